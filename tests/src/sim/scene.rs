//! One moment of both worlds, as the oracles look at it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use rehost::plan::returned_name;
use rehost::watch::slim::{AttachmentSeen, ClaimSeen, PodRole, PodSeen, SliceSeen, VolumeSeen};
use rehost_api::labels;
use rehost_api::status::{FormerHost, HostKind, HostRecord, NotebookStatus};
use serde::Deserialize as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::kube::ApiServer;
use crate::world::hand::{ReadWriteAttachment, Status};
use crate::world::{GuestView, HomeContent, Method, Place, Request, World};

/// A notebook as it is stored.
#[derive(Clone, Debug)]
pub struct NotebookScene {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// The generation of its spec.
    pub generation: i64,
    /// Its spec, word for word.
    pub spec: Value,
    /// Its annotations, word for word.
    pub annotations: Value,
    /// Whether our finalizer is on it.
    pub finalizer: bool,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// Its status.
    pub status: NotebookStatus,
}

impl NotebookScene {
    fn of(object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        let finalizers = metadata["finalizers"].as_array();
        Some(Self {
            namespace: metadata["namespace"].as_str()?.to_owned(),
            name: metadata["name"].as_str()?.to_owned(),
            uid: metadata["uid"].as_str()?.to_owned(),
            generation: metadata["generation"].as_i64().unwrap_or(0),
            spec: object["spec"].clone(),
            annotations: metadata["annotations"].clone(),
            finalizer: finalizers.is_some_and(|all| all.iter().any(|one| one == labels::FINALIZER)),
            deleting: !metadata["deletionTimestamp"].is_null(),
            status: NotebookStatus::deserialize(&object["status"]).unwrap_or_default(),
        })
    }

    /// Every host that the record names.
    pub fn hosts(&self) -> impl Iterator<Item = &HostRecord> {
        let transition = self.status.transition.as_ref();
        let former = self.status.former.as_ref().map(|FormerHost { host, .. }| host);
        let from = transition.and_then(|transition| transition.from.as_ref());
        let to = transition.and_then(|transition| transition.to.as_ref());
        self.status.host.iter().chain(former).chain(from).chain(to)
    }

    /// Whether the record names a host of that kind and name.
    pub fn names_host(&self, kind: HostKind, name: &str) -> bool {
        let returns = |host: &HostRecord| {
            // The pod to which the home comes back has a name of its own, which follows from what is on record.
            let transition = self.status.transition.as_ref().filter(|_| kind == HostKind::Pod);
            transition.is_some_and(|transition| returned_name(host, transition) == name)
        };
        self.hosts().any(|host| host.kind == kind && (host.name == name || returns(host)))
    }
}

/// A VM as it is, without the API's help.
#[derive(Clone, Debug)]
pub struct VmScene {
    /// Its status.
    pub status: Status,
    /// Its numeric id.
    pub id: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What runs on it.
    pub guest: Option<GuestView>,
}

/// A disk as it is.
#[derive(Clone, Debug)]
pub struct DiskScene {
    /// Its numeric id.
    pub id: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// An API server, as far as a scene reads it: past hooks and trace.
pub trait Source {
    /// The version of everything.
    fn version(&self) -> u64;
    /// The version of the last change of any object of a kind; 0 if there was none.
    fn version_of(&self, kind: &str) -> u64;
    /// The objects of a kind.
    fn stored(&self, kind: &str) -> Vec<Arc<Value>>;
}

impl Source for ApiServer {
    fn version(&self) -> u64 {
        Self::version(self)
    }

    fn version_of(&self, kind: &str) -> u64 {
        Self::version_of(self, kind)
    }

    fn stored(&self, kind: &str) -> Vec<Arc<Value>> {
        Self::stored(self, kind)
    }
}

/// All objects of a kind, as far as the oracles look at them, read at the kind's last change.
#[derive(Clone, Debug)]
pub struct OfKind<T> {
    version: u64,
    all: Arc<[T]>,
}

impl<T> Default for OfKind<T> {
    fn default() -> Self {
        Self { version: 0, all: Arc::new([]) }
    }
}

impl<T> std::ops::Deref for OfKind<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.all
    }
}

impl<T> OfKind<T> {
    /// The same as before, unless the kind has changed since.
    fn next(&self, server: &impl Source, kind: &str, read: impl Fn(&Value) -> Option<T>) -> Self {
        let version = server.version_of(kind);
        let is_same = version == self.version;
        let all = || server.stored(kind).iter().filter_map(|object| read(object)).collect();
        Self { version, all: if is_same { self.all.clone() } else { all() } }
    }
}

/// The cluster's part of a moment.
#[derive(Clone, Debug, Default)]
pub struct ClusterScene {
    /// The version that this was read at.
    pub version: u64,
    /// All notebooks.
    pub notebooks: OfKind<NotebookScene>,
    /// All pods that carry a notebook's uid.
    pub pods: OfKind<PodSeen>,
    /// All slices that carry a notebook's uid.
    pub slices: OfKind<SliceSeen>,
    /// All volumes.
    pub volumes: OfKind<VolumeSeen>,
    /// All claims that carry a notebook's uid.
    pub claims: OfKind<ClaimSeen>,
    /// All attachments.
    pub attachments: OfKind<AttachmentSeen>,
    /// The objects of the kinds that we write and others may have objects of, by plural.
    owned: BTreeMap<&'static str, OfKind<Owned>>,
}

/// An object that may be a notebook's.
#[derive(Clone, Debug)]
struct Owned {
    namespace: String,
    name: String,
    /// The notebook's uid, from its label.
    uid: Option<String>,
}

impl Owned {
    fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let uid = metadata["labels"][labels::UID].as_str().map(str::to_owned);
        Self { namespace: text(&metadata["namespace"]), name: text(&metadata["name"]), uid }
    }
}

/// The kinds that the controller writes and others may have objects of.
const WRITTEN: [(&str, &str); 5] = [
    ("Pod", "pods"),
    ("Service", "services"),
    ("EndpointSlice", "endpointslices"),
    ("PersistentVolume", "persistentvolumes"),
    ("PersistentVolumeClaim", "persistentvolumeclaims"),
];

impl ClusterScene {
    /// Reads what has changed since this moment.
    #[must_use]
    pub fn next(&self, server: &impl Source) -> Self {
        let owned = WRITTEN.map(|(kind, plural)| {
            let before = self.owned.get(plural).cloned().unwrap_or_default();
            (plural, before.next(server, kind, |object| Some(Owned::of(object))))
        });
        let pod = |pod: &PodSeen| !pod.notebook_uid.is_empty();
        let slice = |slice: &SliceSeen| !slice.notebook_uid.is_empty();
        let claim = |claim: &ClaimSeen| !claim.notebook_uid.is_empty();
        Self {
            version: server.version(),
            notebooks: self.notebooks.next(server, "Notebook", NotebookScene::of),
            pods: self.pods.next(server, "Pod", |object| decoded(object).filter(pod)),
            slices: self.slices.next(server, "EndpointSlice", |object| decoded(object).filter(slice)),
            volumes: self.volumes.next(server, "PersistentVolume", decoded),
            claims: self.claims.next(server, "PersistentVolumeClaim", |object| decoded(object).filter(claim)),
            attachments: self.attachments.next(server, "VolumeAttachment", decoded),
            owned: owned.into(),
        }
    }

    /// The notebook with this uid.
    pub fn notebook(&self, uid: &str) -> Option<&NotebookScene> {
        self.notebooks.iter().find(|notebook| notebook.uid == uid)
    }

    /// The host pods of a notebook, and its placeholders.
    pub fn pods_of<'a>(&'a self, uid: &'a str, role: PodRole) -> impl Iterator<Item = &'a PodSeen> {
        self.pods.iter().filter(move |pod| pod.notebook_uid == uid && pod.role == role)
    }

    /// Whose an object of a kind is that we write, by its label; nothing if there is no such object.
    pub fn owner(&self, plural: &str, namespace: &str, name: &str) -> Option<Option<&str>> {
        let all = self.owned.get(plural)?;
        let found = all.iter().find(|one| one.namespace == namespace && one.name == name)?;
        Some(found.uid.as_deref())
    }
}

fn decoded<T: DeserializeOwned>(object: &Value) -> Option<T> {
    T::deserialize(object).ok()
}

/// The cloud's part of a moment, but for what is on its disks.
#[derive(Clone, Debug, Default)]
pub struct CloudScene {
    /// The version that this was read at.
    pub version: u64,
    /// All VMs.
    pub vms: BTreeMap<Place, VmScene>,
    /// All disks.
    pub disks: BTreeMap<Place, DiskScene>,
    /// The labels of all snapshots, by name.
    pub snapshots: BTreeMap<String, BTreeMap<String, String>>,
    /// All read-write attachments.
    pub attachments: Vec<ReadWriteAttachment>,
    /// The disks that are or were a home, or are to be one.
    homes: Vec<Place>,
}

impl CloudScene {
    /// Looks at everything.
    pub fn of(world: &World) -> Self {
        let vms = world.instance_statuses().into_iter().map(|(place, (status, id))| {
            let labels = world.instance_labels(&place.at, &place.name);
            let guest = world.guest(&place.at, &place.name);
            (place, VmScene { status, id, labels, guest })
        });
        let disks = world.disk_ids().into_iter().map(|(place, id)| {
            let labels = world.disk_labels(&place.at, &place.name);
            (place, DiskScene { id, labels })
        });
        let disks: BTreeMap<Place, DiskScene> = disks.collect();
        let is_home = |disk: &DiskScene| {
            let role = disk.labels.get(labels::GCE_ROLE);
            role.is_some_and(|role| matches!(role.as_str(), "home" | "kept" | "next" | "former"))
        };
        let homes = disks.iter().filter(|(_, disk)| is_home(disk)).map(|(place, _)| place.clone()).collect();
        let (attachments, snapshots) = (world.read_write_attachments(), world.snapshot_labels());
        Self { version: world.version(), vms: vms.collect(), disks, snapshots, attachments, homes }
    }
}

/// One moment.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The time.
    pub now: Timestamp,
    /// The cluster's label value, as objects in the cloud carry it.
    pub cluster_label: String,
    /// The cluster.
    pub cluster: Arc<ClusterScene>,
    /// The cloud.
    pub cloud: Arc<CloudScene>,
    /// What is on the home disks.
    pub homes: BTreeMap<Place, HomeContent>,
    /// Records that guests wrote and that never reached a disk.
    pub lost_records: u64,
    /// Records that a host did not find on the disk that it mounted.
    pub left_behind_records: u64,
    /// The notebooks whose home somebody deleted, by uid.
    pub lost_homes: BTreeSet<String>,
}

impl Scene {
    /// Looks at what is on the disks; `cluster` and `cloud` are what was read before of the rest.
    pub fn of(
        now: Timestamp,
        cluster_label: &str,
        world: &mut World,
        cluster: Arc<ClusterScene>,
        cloud: Arc<CloudScene>,
    ) -> Self {
        let content = |place: &Place| Some((place.clone(), world.home_content(&place.at, &place.name)?));
        let homes = cloud.homes.iter().filter_map(content).collect();
        let (lost_records, left_behind_records) = (world.lost_records(), world.left_behind_records());
        let cluster_label = cluster_label.to_owned();
        let lost_homes = BTreeSet::new();
        Self { now, cluster_label, cluster, cloud, homes, lost_records, left_behind_records, lost_homes }
    }

    /// The VMs that carry a notebook's uid and this cluster's label.
    pub fn vms_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = (&'a Place, &'a VmScene)> {
        self.cloud.vms.iter().filter(move |(_, vm)| self.belongs(&vm.labels, uid))
    }

    /// The disks that carry a notebook's uid and this cluster's label.
    pub fn disks_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = (&'a Place, &'a DiskScene)> {
        self.cloud.disks.iter().filter(move |(_, disk)| self.belongs(&disk.labels, uid))
    }

    /// Whether labels name this cluster and this notebook.
    pub fn belongs(&self, all: &BTreeMap<String, String>, uid: &str) -> bool {
        all.get(labels::GCE_CLUSTER) == Some(&self.cluster_label)
            && all.get(labels::GCE_UID).is_some_and(|its| *its == labels::gce_label_value(uid))
    }

    /// Whether Jupyter answers on a host, by the host's own truth and not by what anybody says of it.
    pub fn serves(&self, host: &HostRecord) -> bool {
        match host.kind {
            HostKind::Vm => self
                .cloud
                .vms
                .get(&Place::new(&host.zone, &host.name))
                .is_some_and(|vm| vm.guest.as_ref().is_some_and(|guest| guest.serving)),
            HostKind::Pod => self.cluster.pods.iter().any(|pod| pod.name == host.name && pod.ready && !pod.deleting),
        }
    }
}

/// An instance as the API shows it, without a request in any log.
pub fn shown_instance(world: &World, place: &Place) -> Option<Value> {
    shown(world, format!("projects/{}/zones/{}/instances/{}", world.settings().project, place.at, place.name))
}

/// A disk as the API shows it, without a request in any log.
pub fn shown_disk(world: &World, place: &Place) -> Option<Value> {
    shown(world, format!("projects/{}/zones/{}/disks/{}", world.settings().project, place.at, place.name))
}

fn shown(world: &World, path: String) -> Option<Value> {
    let answer = world.peek(&Request { method: Method::Get, path, query: Vec::new(), body: None });
    (answer.status == 200).then_some(answer.body)
}
