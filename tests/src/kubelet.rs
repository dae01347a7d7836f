//! A small stand-in for what a cluster has beside its API server: scheduler, kubelet, volume binder, and the attacher of the CSI driver.
//!
//! It is written against a kube client and a clock alone, so that it serves the in-memory API server in virtual time and the
//! real one in real time alike. It is driven by watches and its own timers; at rest it asks for nothing.
//!
//! As the real ones do: a pod that fits no node is unschedulable, with the scheduler's kind of sentence; a claim that is
//! `ReadWriteOncePod` is one pod's; a volume is attached to one node at a time; an attachment that fails is tried again after 1 s,
//! doubling up to 5 min; a volume is detached once no pod on its node uses it; a live resize is granted, deferred or infeasible by the
//! node's room. Beside a real scheduler, real controllers and real kubelets it plays the attacher alone
//! ([`Kubelet::attacher`]). Simplified: no taints, no priorities, no eviction; images are always there after a fixed time; every
//! container is well; a disk grows in one step.

mod attacher;
mod pods;
mod scheduler;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::DynamicObject;
use kube::core::ApiResource;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client};
use rehost::clock::SharedClock;
use serde_json::Value;
use tokio::sync::mpsc;

/// The disks behind the volumes.
pub trait Disks: Send + Sync {
    /// Attaches a disk to the machine of a node, and returns when it is attached.
    fn attach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>>;
    /// Detaches it, and returns when it is detached; a disk that is not attached there counts as detached.
    fn detach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>>;
    /// Lets it grow.
    fn grow(&self, handle: String, size_gb: u64) -> BoxFuture<'static, Result<(), String>>;
}

/// How long things take, in seconds of the clock.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// From a bound pod to its running container: image and sandbox.
    pub start_s: f64,
    /// From the running container to the ready pod.
    pub ready_s: f64,
    /// From a pod's deletion to its end.
    pub end_s: f64,
}

impl Default for Times {
    fn default() -> Self {
        Self { start_s: 2.0, ready_s: 3.0, end_s: 2.0 }
    }
}

/// What is kept of each kind.
#[derive(Default)]
struct Store {
    pods: BTreeMap<String, Value>,
    nodes: BTreeMap<String, Value>,
    volumes: BTreeMap<String, Value>,
    claims: BTreeMap<String, Value>,
    attachments: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Pod,
    Node,
    Volume,
    Claim,
    Attachment,
}

/// What came of a call to the disks.
enum Came {
    Attached { attachment: String, result: Result<(), String> },
    Detached { attachment: String, result: Result<(), String> },
    Grown { claim: String, size_gb: u64, result: Result<(), String> },
}

/// Which parts the stand-in plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    /// All of them: there is nothing beside the API server.
    All,
    /// What the CSI driver's side of the cloud does, attaching and growing: all else is real.
    Attacher,
}

/// The stand-in.
pub struct Kubelet {
    parts: Parts,
    client: Client,
    disks: Arc<dyn Disks>,
    clock: SharedClock,
    times: Times,
    store: Store,
    /// When the next thing happens to a pod, by its uid.
    due: BTreeMap<String, Timestamp>,
    /// Calls to the disks that are under way, by what they are for.
    busy: BTreeSet<String>,
    /// Failed calls: how many in a row, and when the next one may be made.
    failed: BTreeMap<String, (u32, Timestamp)>,
    addresses: u32,
    sender: mpsc::UnboundedSender<Came>,
    came: mpsc::UnboundedReceiver<Came>,
    wake_at: Option<Timestamp>,
}

impl Kubelet {
    /// Makes one for a cluster whose nodes are registered by somebody else.
    #[must_use]
    pub fn new(client: Client, disks: Arc<dyn Disks>, clock: SharedClock, times: Times) -> Self {
        Self::playing(Parts::All, client, disks, clock, times)
    }

    /// Makes one for a cluster that has all but the cloud's side of its CSI driver.
    #[must_use]
    pub fn attacher(client: Client, disks: Arc<dyn Disks>, clock: SharedClock) -> Self {
        Self::playing(Parts::Attacher, client, disks, clock, Times::default())
    }

    fn playing(parts: Parts, client: Client, disks: Arc<dyn Disks>, clock: SharedClock, times: Times) -> Self {
        let (sender, came) = mpsc::unbounded_channel();
        Self {
            parts,
            client,
            disks,
            clock,
            times,
            store: Store::default(),
            due: BTreeMap::new(),
            busy: BTreeSet::new(),
            failed: BTreeMap::new(),
            addresses: 0,
            sender,
            came,
            wake_at: None,
        }
    }

    /// Plays its parts until it is dropped.
    pub async fn run(mut self) {
        let kinds = [
            (Kind::Pod, ApiResource::erase::<Pod>(&())),
            (Kind::Node, ApiResource::erase::<Node>(&())),
            (Kind::Volume, ApiResource::erase::<PersistentVolume>(&())),
            (Kind::Claim, ApiResource::erase::<PersistentVolumeClaim>(&())),
            (Kind::Attachment, ApiResource::erase::<VolumeAttachment>(&())),
        ];
        let mut watches: Vec<_> = kinds
            .into_iter()
            .filter(|(kind, _)| self.parts == Parts::All || !matches!(kind, Kind::Pod | Kind::Node))
            .map(|(kind, resource)| {
                let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
                (kind, watcher(api, Config::default()).boxed())
            })
            .collect();
        loop {
            let pause = self.pause();
            let slept = self.clock.sleep(pause);
            tokio::select! {
                biased;
                chunk = news(&mut watches) => {
                    for (kind, event) in chunk {
                        match event {
                            Ok(event) => self.store.take(kind, event),
                            Err(error) => {
                                tracing::debug!(%error, ?kind, "a watch of the stand-in broke");
                                self.clock.sleep(Duration::from_secs(1)).await;
                            }
                        }
                    }
                }
                Some(came) = self.came.recv() => self.take(came).await,
                () = slept => {}
            }
            self.step().await;
        }
    }

    fn pause(&self) -> Duration {
        const LONGEST_S: i64 = 300;
        let now = self.clock.now();
        let at = self.wake_at.unwrap_or(now + SignedDuration::from_secs(LONGEST_S));
        Duration::try_from(at.duration_since(now)).unwrap_or(Duration::from_millis(1)).max(Duration::from_millis(1))
    }

    async fn step(&mut self) {
        self.wake_at = None;
        match self.parts {
            Parts::All => self.play_all().await,
            Parts::Attacher => self.attach_as_asked().await,
        }
    }

    async fn play_all(&mut self) {
        self.bind_claims().await;
        let names: Vec<String> = self.store.pods.keys().cloned().collect();
        for name in &names {
            self.pod_step(name).await;
        }
        self.attachments_step(&names).await;
        self.release().await;
    }

    fn wake_in(&mut self, seconds: f64) {
        let at = self.clock.now() + SignedDuration::from_secs_f64(seconds);
        self.wake_by(at);
    }

    fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether a call for `what` may be made now: none is under way, and the pause after a failure is over.
    fn may_try(&mut self, what: &str) -> bool {
        if self.busy.contains(what) {
            return false;
        }
        match self.failed.get(what) {
            Some((_, at)) if self.clock.now() < *at => {
                let at = *at;
                self.wake_by(at);
                false
            }
            Some(_) | None => true,
        }
    }

    /// The real attacher's back-off: 1 s, doubling up to 5 min.
    fn note(&mut self, what: &str, result: &Result<(), String>) {
        self.busy.remove(what);
        match result {
            Ok(()) => {
                self.failed.remove(what);
            }
            Err(_) => {
                let times = self.failed.get(what).map_or(0, |(times, _)| *times);
                let pause_s = (1_i64 << times.min(9)).min(300);
                let at = self.clock.now() + SignedDuration::from_secs(pause_s);
                self.failed.insert(what.to_owned(), (times + 1, at));
                self.wake_by(at);
            }
        }
    }
}

type Watch = (Kind, BoxStream<'static, watcher::Result<Event<DynamicObject>>>);

/// What the watches tell, asked in one fixed order, so that the same news is always taken in the same way.
async fn news(watches: &mut [Watch]) -> Vec<(Kind, watcher::Result<Event<DynamicObject>>)> {
    std::future::poll_fn(|context| {
        let mut all = Vec::new();
        for (kind, events) in watches.iter_mut() {
            while let Poll::Ready(Some(event)) = events.poll_next_unpin(context) {
                all.push((*kind, event));
            }
        }
        if all.is_empty() { Poll::Pending } else { Poll::Ready(all) }
    })
    .await
}

impl Store {
    fn of(&mut self, kind: Kind) -> &mut BTreeMap<String, Value> {
        match kind {
            Kind::Pod => &mut self.pods,
            Kind::Node => &mut self.nodes,
            Kind::Volume => &mut self.volumes,
            Kind::Claim => &mut self.claims,
            Kind::Attachment => &mut self.attachments,
        }
    }

    fn take(&mut self, kind: Kind, event: Event<DynamicObject>) {
        let store = self.of(kind);
        match event {
            Event::Init => store.clear(),
            Event::InitDone => {}
            Event::Apply(object) | Event::InitApply(object) => {
                let value = serde_json::to_value(&object).unwrap_or_default();
                store.insert(key(&value), value);
            }
            Event::Delete(object) => {
                let value = serde_json::to_value(&object).unwrap_or_default();
                store.remove(&key(&value));
            }
        }
    }
}

/// `namespace/name`, or the name alone.
fn key(object: &Value) -> String {
    let metadata = &object["metadata"];
    let name = text(&metadata["name"]);
    match metadata["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name,
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn names_of(object: &Value) -> (String, String) {
    (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]))
}
