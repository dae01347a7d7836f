//! A small stand-in for what runs beside an API server: scheduler, kubelets, volume controllers and CSI attacher.
//!
//! It is a client of the API server like any other, so that it serves the simulated one (ring 2) and the real one
//! (ring 3) alike. What is behind it comes from outside: disks from a [`DiskAttacher`], what goes on in containers from
//! [`Containers`], time from a [`Clock`].
//!
//! ```no_run
//! # use std::sync::{Arc, Mutex, PoisonError};
//! # use rehost_tests::kubelet::{Clock, Control, DiskAttacher, NodeSettings, Quiet, Settings, StandIn, Times};
//! # async fn example(client: kube::Client, clock: Arc<dyn Clock>, disks: Arc<dyn DiskAttacher>) {
//! let settings = Settings {
//!     nodes: vec![NodeSettings::new("node-1", "us-central1-a", "e2-standard-4", "3920m", "13Gi")],
//!     times: Times::default(),
//!     driver: "pd.csi.storage.gke.io".to_owned(),
//!     disks,
//!     containers: Arc::new(Quiet),
//! };
//! let control = Control::default();
//! tokio::spawn(StandIn::new(client, settings, clock, control.clone()).run());
//! # }
//! ```
//!
//! # What it does
//! - Registers nodes; places pods by node selector, required node affinity, taints, volume affinity and requests; says
//!   `Unschedulable` in the real scheduler's words.
//! - Binds claims and volumes, provisions and grows volumes of its driver, takes protection finalizers away.
//! - Makes a `VolumeAttachment` for each volume and node, attaches (retried from 1 s, doubling to 5 min), one node at a
//!   time, and detaches once no pod on the node uses the volume. `ReadWriteOncePod` holds one pod back for another.
//! - Starts pods (mount, pull, start, ready) and ends them; answers resizes.
//!
//! # Simplified
//! - No preferred affinity, no pod affinity, no topology spread, no preemption, no priorities, no disruption budgets.
//! - Init containers take no time; containers never crash; probes are [`Containers::is_ready`].
//! - A node that is down is only silent: nobody evicts its pods, and volumes are never detached by force.
//! - Service accounts, services' endpoints and DNS belong to nobody.

mod attacher;
mod binder;
mod cache;
mod clock;
mod lifecycle;
mod nodes;
mod resize;
mod scheduler;
mod settings;
mod statuses;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::needless_pass_by_value,
    reason = "a test ends where its world is not as it must be"
)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use kube::Client;

pub use clock::{Clock, TokioClock};
pub use settings::{
    Containers, Control, DiskAttacher, NodeSettings, Quiet, ResizeAnswer, Settings, Times, VolumeOrder,
};

use attacher::{Attempt, Done};
use cache::{Cache, News};
use lifecycle::Life;

/// The user that the stand-in's client should speak as.
pub const USER: &str = "system:kubelet-stand-in";
const FIELD_MANAGER: &str = "kubelet-stand-in";

/// A request that is not answered within this is given up.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// After a failed request everything is looked at again.
const RETRY: SignedDuration = SignedDuration::from_secs(1);

/// The stand-in.
pub struct StandIn {
    client: Client,
    settings: Settings,
    clock: Arc<dyn Clock>,
    control: Control,
    cache: Cache,
    /// Pods that were bound a moment ago, which the cache does not show yet.
    assumed: BTreeMap<String, String>,
    lives: BTreeMap<String, Life>,
    /// What unschedulable pods were told.
    told: BTreeMap<String, String>,
    images: BTreeSet<(String, String)>,
    attempts: BTreeMap<String, Attempt>,
    /// Attaches and detaches that are about to start.
    started: Mutex<Vec<BoxFuture<'static, Done>>>,
    /// Claims for which a volume was made.
    made: BTreeSet<String>,
    /// Which nodes were last said to be down.
    down: BTreeMap<String, bool>,
    addresses: u32,
    next_due: Option<Timestamp>,
    failed: AtomicBool,
}

enum Woken {
    Attempt(Done),
    Other,
}

impl StandIn {
    /// A stand-in that is not at work yet.
    pub fn new(client: Client, settings: Settings, clock: Arc<dyn Clock>, control: Control) -> StandIn {
        StandIn {
            client,
            settings,
            clock,
            control,
            cache: Cache::default(),
            assumed: BTreeMap::new(),
            lives: BTreeMap::new(),
            told: BTreeMap::new(),
            images: BTreeSet::new(),
            attempts: BTreeMap::new(),
            started: Mutex::default(),
            made: BTreeSet::new(),
            down: BTreeMap::new(),
            addresses: 0,
            next_due: None,
            failed: AtomicBool::new(false),
        }
    }

    /// Works for ever.
    pub async fn run(mut self) {
        let mut news = News::of(&self.client);
        let mut work = FuturesUnordered::new();
        while !self.cache.is_ready() {
            news.reach(&mut self.cache).await;
        }
        loop {
            self.next_due = None;
            self.failed.store(false, Ordering::Relaxed);
            self.tend_nodes().await;
            self.tend_volumes().await;
            self.tend_attachments().await;
            self.tend_pods().await;
            if self.failed.load(Ordering::Relaxed) {
                self.due(self.clock.now() + RETRY);
            }
            work.extend(self.started.lock().unwrap_or_else(PoisonError::into_inner).drain(..));
            if let Woken::Attempt(done) = self.wait(&mut news, &mut work).await {
                self.finish_attempt(done).await;
            }
        }
    }

    async fn tend_nodes(&mut self) {
        for (index, node) in self.settings.nodes.clone().iter().enumerate() {
            let down = self.control.is_down(&node.name);
            if self.down.get(&node.name) != Some(&down) {
                self.register(index, node, !down).await;
                self.down.insert(node.name.clone(), down);
            }
        }
    }

    /// Until something happens, or something is due.
    async fn wait(&mut self, news: &mut News, work: &mut FuturesUnordered<BoxFuture<'static, Done>>) -> Woken {
        let left = self.next_due.map(|due| due.duration_since(self.clock.now()));
        let sleep: BoxFuture<'static, ()> = match left {
            Some(left) => self.clock.sleep(Duration::try_from(left).unwrap_or(Duration::ZERO)),
            None => Box::pin(std::future::pending()),
        };
        tokio::select! {
            biased;
            Some(done) = work.next(), if !work.is_empty() => Woken::Attempt(done),
            () = news.reach(&mut self.cache) => Woken::Other,
            () = self.control.changed() => Woken::Other,
            () = sleep => Woken::Other,
        }
    }

    /// There is something to do at this time.
    fn due(&mut self, at: Timestamp) {
        self.next_due = Some(self.next_due.map_or(at, |due| due.min(at)));
    }

    /// The time to the second, as objects write it.
    fn time(&self) -> String {
        self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// Sends a request. One that fails is not repeated as such: what it was for is looked at again in a second.
    async fn call<T>(&self, what: &str, request: impl Future<Output = kube::Result<T>>) -> Option<T> {
        match tokio::time::timeout(CALL_TIMEOUT, request).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {
                // It is gone; the watch will say so.
                tracing::debug!(what, "not found");
                return None;
            }
            Ok(Err(error)) => tracing::debug!(what, %error, "refused"),
            Err(_) => tracing::debug!(what, "not answered"),
        }
        self.failed.store(true, Ordering::Relaxed);
        None
    }
}
