//! The latest look at all of the cloud, project by project, and whom its differences wake.
//!
//! # Guarantees
//! - A sweep that fails leaves the former inventory as it is.
//! - What an incomplete sweep could not see stays as it was seen last; whether it is still there is `Unknown`.
//! - Objects of notebooks that we do not know are counted and named in the log, and never touched.

mod merge;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{Either, select};
use tokio::sync::{Notify, watch};

use self::merge::merge;
use super::caches::Caches;
use super::queue::{Lane, Queue};
use crate::clock::SharedClock;
use crate::gce::Gce;
use crate::gce::inventory::{Inventory, changes};

/// Hints make sweeps no denser than this.
const GAP_MIN: Duration = Duration::from_secs(1);
/// How many projects are swept at once.
const PROJECTS_AT_ONCE: usize = 8;
/// How long the sweep of one project may take.
const SWEEP_MAX: Duration = Duration::from_mins(2);
/// How many strangers are named in the log.
const STRANGERS_NAMED: usize = 5;

/// Objects in one project that carry the cluster's label but belong to no notebook that we know. Disks that were kept on
/// purpose when their notebook was deleted are among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strangers {
    /// How many instances.
    pub instances: usize,
    /// How many disks.
    pub disks: usize,
}

/// The latest inventories. Shared behind an `Arc`; kept by [`run_sweeps`].
#[derive(Debug)]
pub struct Inventories {
    projects: RwLock<BTreeMap<String, Project>>,
    hinted: Notify,
    first_sweep: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Project {
    latest: Option<Arc<Inventory>>,
    strangers: Strangers,
    /// Why the last sweep failed, if it did.
    failure: Option<String>,
}

impl Default for Inventories {
    fn default() -> Self {
        Self { projects: RwLock::default(), hinted: Notify::new(), first_sweep: watch::Sender::new(false) }
    }
}

impl Inventories {
    /// Nothing has been swept yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The latest inventory of a project. None says that there has been no sweep of it, and nothing else.
    pub fn of(&self, project: &str) -> Option<Arc<Inventory>> {
        self.read().get(project)?.latest.clone()
    }

    /// Asks for a sweep soon: something in the cloud is said to have changed.
    pub fn hint(&self) {
        self.hinted.notify_one();
    }

    /// Whether each project has been tried once. Whether that worked is for [`Inventories::of`] to say: a project that
    /// cannot be read keeps no other waiting.
    pub fn first_sweep_done(&self) -> bool {
        *self.first_sweep.borrow()
    }

    /// Waits until [`Inventories::first_sweep_done`].
    pub async fn until_first_sweep(&self) {
        // It fails only when the sender is gone, and that is a part of us.
        let _ = self.first_sweep.subscribe().wait_for(|done| *done).await;
    }

    /// What there is of notebooks that we do not know, by project.
    pub fn strangers(&self) -> BTreeMap<String, Strangers> {
        self.read().iter().map(|(name, project)| (name.clone(), project.strangers)).collect()
    }

    /// The projects whose last sweep failed, and why.
    pub fn failures(&self) -> BTreeMap<String, String> {
        let failure = |(name, project): (&String, &Project)| Some((name.clone(), project.failure.clone()?));
        self.read().iter().filter_map(failure).collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Project>> {
        self.projects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Project>> {
        self.projects.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sweeps every project in which there may be something of ours, every `interval_s` seconds and soon after a hint or a
/// change of a class, and wakes the notebooks whose objects are not as they were. It begins when the caches are whole, and never ends; to stop it, drop it.
pub async fn run_sweeps(
    gce: Gce,
    inventories: Arc<Inventories>,
    caches: Arc<Caches>,
    queue: Arc<Queue>,
    clock: SharedClock,
    interval_s: u64,
    cluster: String,
) {
    let interval = Duration::from_secs(interval_s).max(GAP_MIN);
    let sweeper = Sweeper { gce, inventories, caches, queue, clock, cluster };
    sweeper.caches.until_synced().await;
    loop {
        let began = sweeper.clock.monotonic();
        sweeper.sweep_all().await;
        sweeper.inventories.first_sweep.send_replace(true);
        sweeper.until(began + GAP_MIN).await;
        tokio::select! {
            biased;
            () = sweeper.inventories.hinted.notified() => {}
            // A class may bring a project that was not looked at.
            () = sweeper.caches.class_changed() => {}
            () = sweeper.until(began + interval) => {}
        }
    }
}

struct Sweeper {
    gce: Gce,
    inventories: Arc<Inventories>,
    caches: Arc<Caches>,
    queue: Arc<Queue>,
    clock: SharedClock,
    cluster: String,
}

impl Sweeper {
    async fn until(&self, moment: Duration) {
        self.clock.sleep(moment.saturating_sub(self.clock.monotonic())).await;
    }

    async fn sweep_all(&self) {
        let projects = self.caches.projects();
        self.inventories.write().retain(|name, _| projects.contains(name));
        futures::stream::iter(&projects).for_each_concurrent(PROJECTS_AT_ONCE, |project| self.sweep(project)).await;
    }

    /// One project. A failure is the project's own matter: the others go on.
    async fn sweep(&self, project: &str) {
        let swept = pin!(self.gce.inventory(project, &self.cluster, self.clock.now()));
        let failure = match select(swept, self.clock.sleep(SWEEP_MAX)).await {
            Either::Left((Ok(inventory), _)) => return self.found(project, inventory),
            Either::Left((Err(error), _)) => error.to_string(),
            Either::Right(_) => format!("the sweep took longer than {} s", SWEEP_MAX.as_secs()),
        };
        tracing::warn!(project, error = failure, "a project could not be swept; what was seen before stays");
        self.inventories.write().entry(project.to_owned()).or_default().failure = Some(failure);
    }

    fn found(&self, project: &str, inventory: Inventory) {
        let former = self.inventories.of(project);
        let inventory = merge(former.as_deref(), inventory);
        let strangers = self.strangers(project, &inventory);
        let woken = match &former {
            Some(former) => changes(former, &inventory).iter().filter_map(|uid| self.caches.key_of(uid)).collect(),
            // Absence is news, too: until now it was not known.
            None => self.caches.notebooks_in(project),
        };
        let latest = Some(Arc::new(inventory));
        self.inventories.write().insert(project.to_owned(), Project { latest, strangers, failure: None });
        for key in woken {
            self.queue.wake(key, Lane::Sweep);
        }
    }

    /// Counts what belongs to nobody, and logs it when the count is another one.
    fn strangers(&self, project: &str, inventory: &Inventory) -> Strangers {
        let unknown = |uid: &String| self.caches.key_of(uid).is_none();
        let instances = inventory.instances.iter().filter(|(uid, _)| unknown(uid)).flat_map(|(_, all)| all);
        let disks = inventory.disks.iter().filter(|(uid, _)| unknown(uid)).flat_map(|(_, all)| all);
        let strangers = Strangers { instances: instances.clone().count(), disks: disks.clone().count() };
        let former = self.inventories.read().get(project).map(|project| project.strangers).unwrap_or_default();
        if strangers != former {
            let names = instances.map(|it| &it.name).chain(disks.map(|it| &it.name));
            let some: Vec<_> = names.take(STRANGERS_NAMED).collect();
            let Strangers { instances, disks } = strangers;
            tracing::info!(project, instances, disks, ?some, "objects that belong to no notebook; they are left alone");
        }
        strangers
    }
}

#[cfg(test)]
mod tests;
