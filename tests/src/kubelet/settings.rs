//! What a cluster of stand-ins looks like, and how long things take in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;

/// A node.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Its name, and its host name.
    pub name: String,
    /// The zone.
    pub zone: String,
    /// `e2-standard-4`.
    pub instance_type: String,
    /// `e2`; also a label.
    pub machine_family: String,
    /// `gce://project/zone/instance`.
    pub provider_id: String,
    /// What pods can have: `cpu`, `memory`, `nvidia.com/gpu`, ... as quantities.
    pub allocatable: BTreeMap<String, String>,
    /// More labels.
    pub labels: BTreeMap<String, String>,
}

impl NodeSettings {
    /// A node without GPUs.
    pub fn new(name: &str, zone: &str, instance_type: &str, cpu: &str, memory: &str) -> NodeSettings {
        let amounts = [("cpu", cpu), ("memory", memory), ("ephemeral-storage", "100Gi"), ("pods", "110")];
        NodeSettings {
            name: name.to_owned(),
            zone: zone.to_owned(),
            instance_type: instance_type.to_owned(),
            machine_family: instance_type.split('-').next().unwrap_or("").to_owned(),
            provider_id: format!("gce://project/{zone}/{name}"),
            allocatable: amounts.map(|(name, amount)| (name.to_owned(), amount.to_owned())).into(),
            labels: BTreeMap::new(),
        }
    }

    /// With GPUs of a type.
    #[must_use]
    pub fn with_gpus(mut self, gpu_type: &str, count: u32) -> NodeSettings {
        self.allocatable.insert("nvidia.com/gpu".to_owned(), count.to_string());
        self.labels.insert("cloud.google.com/gke-accelerator".to_owned(), gpu_type.to_owned());
        self
    }
}

/// Seconds of the clock.
#[derive(Clone, Debug)]
pub struct Times {
    /// Pulling an image that the node does not have.
    pub pull_s: f64,
    /// Starting the containers.
    pub start_s: f64,
    /// From running to ready.
    pub ready_s: f64,
    /// From a deletion to the end of the containers; the pod's grace bounds it.
    pub stop_s: f64,
    /// A resize that fits.
    pub resize_s: f64,
    /// Mounting volumes that are attached.
    pub mount_s: f64,
    /// Waiting after the first failed attach; doubles up to `attach_retry_most_s`.
    pub attach_retry_s: f64,
    /// Waiting between failed attaches, at most.
    pub attach_retry_most_s: f64,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            pull_s: 20.0,
            start_s: 1.0,
            ready_s: 5.0,
            stop_s: 3.0,
            resize_s: 2.0,
            mount_s: 2.0,
            attach_retry_s: 1.0,
            attach_retry_most_s: 300.0,
        }
    }
}

/// How a kubelet answers a resize.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResizeAnswer {
    /// By what the node has: too much for it is infeasible, too much for now is deferred.
    #[default]
    ByCapacity,
    /// Put off, whatever there is.
    Deferred,
    /// Refused, whatever there is.
    Infeasible,
}

/// The disks behind the CSI driver. The world implements it.
pub trait DiskAttacher: Send + Sync {
    /// Attaches a disk to a node's machine; returns once it is there.
    fn attach<'a>(
        &'a self,
        node: &'a str,
        volume_handle: &'a str,
        read_only: bool,
    ) -> BoxFuture<'a, Result<(), String>>;

    /// Detaches it; returns once it is gone. Detaching what is not attached is no error.
    fn detach<'a>(&'a self, node: &'a str, volume_handle: &'a str) -> BoxFuture<'a, Result<(), String>>;

    /// Makes a disk for a claim, and returns its handle.
    fn create<'a>(&'a self, order: &'a VolumeOrder) -> BoxFuture<'a, Result<String, String>> {
        Box::pin(async move { Ok(order.name.clone()) })
    }

    /// Deletes a disk (reclaim policy Delete).
    fn delete<'a>(&'a self, volume_handle: &'a str) -> BoxFuture<'a, Result<(), String>> {
        let _ = volume_handle;
        Box::pin(async { Ok(()) })
    }

    /// Grows a disk.
    fn expand<'a>(&'a self, volume_handle: &'a str, size_bytes: i128) -> BoxFuture<'a, Result<(), String>> {
        let _ = (volume_handle, size_bytes);
        Box::pin(async { Ok(()) })
    }
}

/// What a dynamic claim asks for.
#[derive(Clone, Debug)]
pub struct VolumeOrder {
    /// The volume's name, `pvc-<uid>`.
    pub name: String,
    /// Size in bytes.
    pub size_bytes: i128,
    /// The zone of the node that a pod was scheduled to, where the class waits for one.
    pub zone: Option<String>,
    /// The class's parameters.
    pub parameters: BTreeMap<String, String>,
}

/// What goes on in containers, as the world models it. Nothing, by default.
pub trait Containers: Send + Sync {
    /// The containers run, their volumes mounted.
    fn started<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, ()> {
        let _ = pod;
        Box::pin(async {})
    }

    /// Would the readiness probe succeed? Asked when `ready_s` is over, and every second until it does.
    fn is_ready<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, bool> {
        let _ = pod;
        Box::pin(async { true })
    }

    /// The containers have ended, and volumes are unmounted.
    fn stopped<'a>(&'a self, pod: &'a Pod) -> BoxFuture<'a, ()> {
        let _ = pod;
        Box::pin(async {})
    }
}

/// Containers in which nothing goes on.
pub struct Quiet;
impl Containers for Quiet {}

/// The cluster.
#[derive(Clone)]
pub struct Settings {
    /// The nodes. They are registered if they are not there.
    pub nodes: Vec<NodeSettings>,
    /// How long things take.
    pub times: Times,
    /// The CSI driver that is attached for; volumes of others are there at once.
    pub driver: String,
    /// The disks.
    pub disks: Arc<dyn DiskAttacher>,
    /// What goes on in containers.
    pub containers: Arc<dyn Containers>,
}

/// A test's hold on a running cluster. Clones are the same.
#[derive(Clone, Default)]
pub struct Control {
    inner: Arc<Mutex<Held>>,
    changed: Arc<tokio::sync::Notify>,
}

#[derive(Default)]
struct Held {
    down: BTreeMap<String, bool>,
    resize: ResizeAnswer,
}

impl Control {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node's kubelet falls silent, or comes back. Its pods neither start nor end while it is down.
    pub fn set_node_down(&self, node: &str, down: bool) {
        self.held().down.insert(node.to_owned(), down);
        self.changed.notify_one();
    }

    /// From now on resizes are answered so.
    pub fn set_resize_answer(&self, answer: ResizeAnswer) {
        self.held().resize = answer;
        self.changed.notify_one();
    }

    pub(super) fn is_down(&self, node: &str) -> bool {
        self.held().down.get(node).copied().unwrap_or(false)
    }

    pub(super) fn resize_answer(&self) -> ResizeAnswer {
        self.held().resize
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}
