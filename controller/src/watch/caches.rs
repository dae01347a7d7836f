//! What the cluster's watches told: the last known state of everything that a notebook is made from.
//!
//! # Guarantees
//! - Before the first whole list of a kind, nothing of that kind is `Absent`: it is `Unknown`.
//! - A list that begins anew takes nothing away before it has ended.
//! - An object that does not decode is `Unknown`, never `Absent`, and keeps nobody else from being seen.
//!
//! # Caveats
//! A cache is behind the world, and a watch that fails leaves it further behind. It says which notebooks to look at, and
//! serves a notebook at rest; before anything is done the objects themselves are read.

mod kinds;
mod lookup;
mod store;
mod waking;
mod watches;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use rehost_api::notebook::DEFAULT_CLASS;
use rehost_api::status::NotebookStatus;
use rehost_api::{Notebook, NotebookClass};
use tokio::sync::{Notify, watch};

use self::kinds::Kind;
use self::store::Store;
use self::waking::Concerns;
use super::queue::{Key, Queue};
use super::slim::{AttachmentSeen, ClaimSeen, NamespaceSeen, PodSeen, ServiceSeen, SliceSeen, VolumeSeen};
use crate::seen::Seen;

pub use watches::{OnWatchFailure, run_watches};

/// One notebook's objects in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedObjects {
    /// Its pods, placeholders among them, by name.
    pub pods: Seen<Vec<PodSeen>>,
    /// Its Service.
    pub service: Seen<ServiceSeen>,
    /// Its EndpointSlice.
    pub slice: Seen<SliceSeen>,
    /// The PersistentVolume of its home.
    pub volume: Seen<VolumeSeen>,
    /// The claim on its home.
    pub claim: Seen<ClaimSeen>,
    /// The attachments of that volume, by name. Where there is no volume there are none.
    pub attachments: Seen<Vec<AttachmentSeen>>,
}

/// How the watch of one kind is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindHealth {
    /// Whether it has seen a whole list.
    pub synced: bool,
    /// How many objects it holds.
    pub objects: usize,
    /// How many of them do not decode.
    pub broken: usize,
    /// How many times an object came that did not decode.
    pub broken_ever: u64,
}

/// One store for each kind. They share one lock, so that whoever looks sees one moment of all of them.
#[derive(Debug, Default)]
struct Stores {
    notebooks: Store<Notebook>,
    classes: Store<NotebookClass>,
    namespaces: Store<NamespaceSeen>,
    pods: Store<PodSeen>,
    services: Store<ServiceSeen>,
    slices: Store<SliceSeen>,
    volumes: Store<VolumeSeen>,
    claims: Store<ClaimSeen>,
    attachments: Store<AttachmentSeen>,
}

/// The caches. Shared behind an `Arc`; kept by [`run_watches`].
#[derive(Debug)]
pub struct Caches {
    stores: RwLock<Stores>,
    synced: watch::Sender<bool>,
    class_changed: Notify,
}

impl Default for Caches {
    fn default() -> Self {
        Self { stores: RwLock::default(), synced: watch::Sender::new(false), class_changed: Notify::new() }
    }
}

impl Caches {
    /// Caches that have seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A notebook.
    pub fn notebook(&self, namespace: &str, name: &str) -> Seen<Arc<Notebook>> {
        self.read().named(namespace, name)
    }

    /// A class.
    pub fn class(&self, name: &str) -> Seen<Arc<NotebookClass>> {
        self.read().named("", name)
    }

    /// A namespace.
    pub fn namespace(&self, name: &str) -> Seen<NamespaceSeen> {
        owned(self.read().named("", name))
    }

    /// A PersistentVolume, ours or not.
    pub fn volume(&self, name: &str) -> Seen<VolumeSeen> {
        owned(self.read().named("", name))
    }

    /// A claim of ours.
    pub fn claim(&self, namespace: &str, name: &str) -> Seen<ClaimSeen> {
        owned(self.read().named(namespace, name))
    }

    /// The attachments of a PersistentVolume, by name.
    pub fn attachments_of(&self, volume: &str) -> Seen<Vec<AttachmentSeen>> {
        self.read().attachments_of(volume)
    }

    /// Everything in the cluster that belongs to the notebook with this uid, as of one moment.
    ///
    /// A label alone makes nothing the notebook's: its pods are in its namespace, its Service and slice have its name too.
    /// Volume and claim are those of the home that the notebook's status names; of a notebook without such memory (or that is
    /// gone) those that are labelled with its uid, the latest first.
    pub fn objects_of(&self, uid: &str) -> OwnedObjects {
        let stores = self.read();
        let home = stores.home_of(uid);
        let claim = home.as_ref().and_then(|home| stores.claim_of(uid, home.as_ref()));
        let volume = home.and_then(|home| stores.volume_of(uid, home.as_ref(), &claim));
        let attachments = match &volume {
            Seen::Present(volume) => stores.attachments_of(&volume.name),
            Seen::Absent => Seen::Present(Vec::new()),
            Seen::Unknown(why) => Seen::Unknown(why.clone()),
        };
        OwnedObjects {
            pods: stores.pods_of(uid),
            service: owned(stores.exposing::<ServiceSeen>(uid)),
            slice: owned(stores.exposing::<SliceSeen>(uid)),
            volume: owned(volume),
            claim: owned(claim),
            attachments,
        }
    }

    /// The volume of a disk of ours, the claim on it and its attachments: the first two have the disk's name.
    pub fn around_disk(
        &self,
        namespace: &str,
        disk: &str,
    ) -> (Seen<VolumeSeen>, Seen<ClaimSeen>, Seen<Vec<AttachmentSeen>>) {
        let stores = self.read();
        let attachments = stores.attachments_of(disk);
        (owned(stores.named("", disk)), owned(stores.named(namespace, disk)), attachments)
    }

    /// Whether every kind has seen a whole list.
    pub fn synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// Waits until [`Caches::synced`].
    pub async fn until_synced(&self) {
        // It fails only when the sender is gone, and that is a part of us.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Waits for a change of any class after the first list; one that came since the last wait counts. For one waiter.
    pub async fn class_changed(&self) {
        self.class_changed.notified().await;
    }

    /// The notebook with this uid; also one that does not decode.
    pub fn key_of(&self, uid: &str) -> Option<Key> {
        waking::key_of(&self.read(), uid)
    }

    /// All notebooks, by namespace and name; those that do not decode among them.
    pub fn notebooks(&self) -> Vec<Key> {
        self.read().notebooks.all().filter_map(|(name, entry)| waking::key(name, entry)).collect()
    }

    /// The Google Cloud projects that there may be something of ours in: those of classes and of what notebooks have.
    pub fn projects(&self) -> BTreeSet<String> {
        let stores = self.read();
        let classes = stores.classes.all().filter_map(|(_, class)| Some(class.as_ref().ok()?.spec.project.clone()));
        let mut projects: BTreeSet<String> = classes.collect();
        for (_, notebook) in stores.notebooks.all() {
            let status = notebook.as_ref().ok().and_then(|notebook| notebook.status.as_ref());
            for project in status.into_iter().flat_map(projects_of) {
                if !projects.contains(project) {
                    projects.insert(project.to_owned());
                }
            }
        }
        projects.remove("");
        projects
    }

    /// The notebooks that have something in this project, or whose class would put it there.
    pub fn notebooks_in(&self, project: &str) -> Vec<Key> {
        let stores = self.read();
        let concerned = |notebook: &Notebook| {
            let class = notebook.spec.class.as_deref().unwrap_or(DEFAULT_CLASS);
            let class = stores.classes.get("", class).and_then(|class| class.as_ref().ok());
            class.is_some_and(|class| class.spec.project == project)
                || notebook.status.iter().flat_map(projects_of).any(|its| its == project)
        };
        let all = stores.notebooks.all().filter(|(_, entry)| entry.as_ref().is_ok_and(|notebook| concerned(notebook)));
        all.filter_map(|(name, entry)| waking::key(name, entry)).collect()
    }

    /// How the watches are doing, by kind.
    pub fn health(&self) -> BTreeMap<&'static str, KindHealth> {
        let stores = self.read();
        BTreeMap::from([
            stores.health_of::<Notebook>(),
            stores.health_of::<NotebookClass>(),
            stores.health_of::<NamespaceSeen>(),
            stores.health_of::<PodSeen>(),
            stores.health_of::<ServiceSeen>(),
            stores.health_of::<SliceSeen>(),
            stores.health_of::<VolumeSeen>(),
            stores.health_of::<ClaimSeen>(),
            stores.health_of::<AttachmentSeen>(),
        ])
    }

    /// Takes in what a watch says, and wakes whom it concerns.
    fn take<K: Concerns>(&self, event: Event<DeserializeGuard<K>>, queue: &Queue) {
        let list_ended = matches!(event, Event::InitDone);
        let calls: Vec<_> = {
            let mut stores = self.write();
            let changes = K::store_mut(&mut stores).take(event);
            if K::NAME == NotebookClass::NAME && changes.iter().any(|change| !change.first) {
                self.class_changed.notify_one();
            }
            changes.iter().flat_map(|change| K::calls(&stores, change)).collect()
        };
        for call in calls {
            call.make(queue);
        }
        if list_ended && !self.synced() && self.health().values().all(|kind| kind.synced) {
            self.synced.send_replace(true);
        }
    }

    // Nothing panics while it holds the lock; a poisoned one would only spread somebody else's panic.
    fn read(&self) -> RwLockReadGuard<'_, Stores> {
        self.stores.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Stores> {
        self.stores.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The projects that a notebook's memory names.
fn projects_of(status: &NotebookStatus) -> impl Iterator<Item = &str> {
    let transition = status.transition.as_ref();
    let hosts = status
        .host
        .iter()
        .chain(status.former.as_ref().map(|former| &former.host))
        .chain(transition.and_then(|transition| transition.from.as_ref()))
        .chain(transition.and_then(|transition| transition.to.as_ref()));
    let hosts = hosts.map(|host| host.project.as_str());
    status.home.iter().map(|home| home.project.as_str()).chain(hosts)
}

fn owned<K: Clone>(seen: Seen<Arc<K>>) -> Seen<K> {
    seen.map(Arc::unwrap_or_clone)
}

#[cfg(test)]
impl Caches {
    /// Whole caches with these objects and no others, for tests of what reads them.
    pub(crate) fn of(classes: Vec<NotebookClass>, notebooks: Vec<Notebook>, queue: &Queue) -> Self {
        let caches = Self::new();
        caches.listed(classes, queue);
        caches.listed::<NamespaceSeen>(Vec::new(), queue);
        caches.listed::<PodSeen>(Vec::new(), queue);
        caches.listed::<ServiceSeen>(Vec::new(), queue);
        caches.listed::<SliceSeen>(Vec::new(), queue);
        caches.listed::<VolumeSeen>(Vec::new(), queue);
        caches.listed::<ClaimSeen>(Vec::new(), queue);
        caches.listed::<AttachmentSeen>(Vec::new(), queue);
        caches.listed(notebooks, queue);
        caches
    }

    fn listed<K: Concerns>(&self, objects: Vec<K>, queue: &Queue) {
        self.take::<K>(Event::Init, queue);
        for object in objects {
            self.take::<K>(Event::InitApply(DeserializeGuard(Ok(object))), queue);
        }
        self.take::<K>(Event::InitDone, queue);
    }
}

#[cfg(test)]
mod tests;
