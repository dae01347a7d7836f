//! What the stand-in sees of the cluster: six watches, each into a map.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{BoxStream, SelectAll};
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::{StorageClass, VolumeAttachment};
use kube::api::Api;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

/// Namespace (empty for cluster-scoped kinds) and name.
pub type Key = (String, String);

/// The objects of a kind.
#[derive(Debug)]
pub struct Store<K> {
    objects: BTreeMap<Key, Arc<K>>,
    listing: Option<BTreeMap<Key, Arc<K>>>,
    ready: bool,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Store { objects: BTreeMap::new(), listing: None, ready: false }
    }
}

impl<K: Resource> Store<K> {
    fn key(object: &K) -> Key {
        (object.namespace().unwrap_or_default(), object.name_any())
    }

    fn take(&mut self, event: watcher::Event<K>) {
        match event {
            watcher::Event::Init => self.listing = Some(BTreeMap::new()),
            watcher::Event::InitApply(object) => {
                self.listing.get_or_insert_default().insert(Self::key(&object), Arc::new(object));
            }
            watcher::Event::InitDone => {
                self.objects = self.listing.take().unwrap_or_default();
                self.ready = true;
            }
            watcher::Event::Apply(object) => {
                self.objects.insert(Self::key(&object), Arc::new(object));
            }
            watcher::Event::Delete(object) => {
                self.objects.remove(&Self::key(&object));
            }
        }
    }

    /// An object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<K>> {
        self.objects.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All objects, in order of namespace and name.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.values().cloned().collect()
    }

    /// All objects, in order of namespace and name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<K>> {
        self.objects.values()
    }
}

enum Seen {
    Pod(watcher::Event<Pod>),
    Claim(watcher::Event<PersistentVolumeClaim>),
    Volume(watcher::Event<PersistentVolume>),
    Node(watcher::Event<Node>),
    Attachment(watcher::Event<VolumeAttachment>),
    Class(watcher::Event<StorageClass>),
}

/// The cluster as it was when last heard of.
#[derive(Default)]
pub struct Cache {
    /// Pods.
    pub pods: Store<Pod>,
    /// Claims.
    pub claims: Store<PersistentVolumeClaim>,
    /// Volumes.
    pub volumes: Store<PersistentVolume>,
    /// Nodes.
    pub nodes: Store<Node>,
    /// Attachments.
    pub attachments: Store<VolumeAttachment>,
    /// Storage classes.
    pub classes: Store<StorageClass>,
}

/// News of all six kinds.
pub struct News(SelectAll<BoxStream<'static, Seen>>);

/// A second between attempts, always: a jitter would make runs differ.
struct Steady;

impl Iterator for Steady {
    type Item = Duration;
    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
}

impl Backoff for Steady {
    fn reset(&mut self) {}
}

fn stream<K>(client: &Client, wrap: fn(watcher::Event<K>) -> Seen) -> BoxStream<'static, Seen>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .backoff(Steady)
        // Errors are tried again by the watcher itself.
        .filter_map(move |event| async move { event.ok().map(wrap) })
        .boxed()
}

impl News {
    /// Starts watching.
    pub fn of(client: &Client) -> News {
        let mut streams = SelectAll::new();
        streams.push(stream(client, Seen::Node));
        streams.push(stream(client, Seen::Class));
        streams.push(stream(client, Seen::Volume));
        streams.push(stream(client, Seen::Claim));
        streams.push(stream(client, Seen::Attachment));
        streams.push(stream(client, Seen::Pod));
        News(streams)
    }

    /// Waits for news, and puts all that there is by then into the cache.
    pub async fn reach(&mut self, cache: &mut Cache) {
        let Some(first) = self.0.next().await else { return std::future::pending().await };
        cache.take(first);
        while let Some(Some(more)) = self.0.next().now_or_never() {
            cache.take(more);
        }
    }
}

impl Cache {
    /// Has everything been listed?
    pub fn is_ready(&self) -> bool {
        let (volumes, nodes) = (self.volumes.ready, self.nodes.ready);
        self.pods.ready && self.claims.ready && volumes && nodes && self.attachments.ready && self.classes.ready
    }

    fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Pod(event) => self.pods.take(event),
            Seen::Claim(event) => self.claims.take(event),
            Seen::Volume(event) => self.volumes.take(event),
            Seen::Node(event) => self.nodes.take(event),
            Seen::Attachment(event) => self.attachments.take(event),
            Seen::Class(event) => self.classes.take(event),
        }
    }

    /// The claims that a pod's volumes use.
    pub fn claims_of(pod: &Pod) -> impl Iterator<Item = &str> {
        let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
        volumes.filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str()))
    }

    /// The pods that use a claim and have not ended.
    pub fn users<'a>(&'a self, namespace: &'a str, claim: &'a str) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.pods.iter().filter(move |pod| {
            pod.namespace().as_deref() == Some(namespace) && !is_over(pod) && Self::claims_of(pod).any(|c| c == claim)
        })
    }
}

/// Its containers have ended for good.
pub fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The node that a pod is on, if any.
pub fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|name| !name.is_empty())
}
