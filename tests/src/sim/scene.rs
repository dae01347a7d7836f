//! One moment of both worlds, as the oracles look at it.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use rehost::watch::slim::{AttachmentSeen, ClaimSeen, PodRole, PodSeen, SliceSeen, VolumeSeen};
use rehost_api::labels;
use rehost_api::status::{FormerHost, HostKind, HostRecord, NotebookStatus};
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
            status: serde_json::from_value(object["status"].clone()).unwrap_or_default(),
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
        self.hosts().any(|host| host.kind == kind && host.name == name)
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

/// The cluster's part of a moment.
#[derive(Clone, Debug, Default)]
pub struct ClusterScene {
    /// The version that this was read at.
    pub version: u64,
    /// All notebooks.
    pub notebooks: Vec<NotebookScene>,
    /// All pods that carry a notebook's uid.
    pub pods: Vec<PodSeen>,
    /// All slices that carry a notebook's uid.
    pub slices: Vec<SliceSeen>,
    /// All volumes.
    pub volumes: Vec<VolumeSeen>,
    /// All claims that carry a notebook's uid.
    pub claims: Vec<ClaimSeen>,
    /// All attachments.
    pub attachments: Vec<AttachmentSeen>,
    /// Whose an object of the kinds that we write is: by plural, namespace and name, the notebook's uid from its label.
    pub owners: BTreeMap<(String, String, String), Option<String>>,
}

/// The kinds that the controller writes and others may have objects of.
const WRITTEN: [(&str, &str); 5] = [
    ("Pod", "pods"),
    ("Service", "services"),
    ("EndpointSlice", "endpointslices"),
    ("PersistentVolume", "persistentvolumes"),
    ("PersistentVolumeClaim", "persistentvolumeclaims"),
];

fn owners(all: &impl Fn(&str) -> Vec<Value>) -> BTreeMap<(String, String, String), Option<String>> {
    let mut owners = BTreeMap::new();
    for (kind, plural) in WRITTEN {
        for object in all(kind) {
            let metadata = &object["metadata"];
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let uid = metadata["labels"][labels::UID].as_str().map(str::to_owned);
            owners.insert((plural.to_owned(), text(&metadata["namespace"]), text(&metadata["name"])), uid);
        }
    }
    owners
}

impl ClusterScene {
    /// Reads everything, past hooks and trace.
    pub fn of(server: &ApiServer) -> Self {
        Self::read(server.version(), |kind| server.all(kind))
    }

    /// What `all` says of each kind.
    pub fn read(version: u64, all: impl Fn(&str) -> Vec<Value>) -> Self {
        Self {
            version,
            notebooks: all("Notebook").iter().filter_map(NotebookScene::of).collect(),
            pods: decoded(all("Pod"), |pod: &PodSeen| !pod.notebook_uid.is_empty()),
            slices: decoded(all("EndpointSlice"), |slice: &SliceSeen| !slice.notebook_uid.is_empty()),
            volumes: decoded(all("PersistentVolume"), |_: &VolumeSeen| true),
            claims: decoded(all("PersistentVolumeClaim"), |claim: &ClaimSeen| !claim.notebook_uid.is_empty()),
            attachments: decoded(all("VolumeAttachment"), |_: &AttachmentSeen| true),
            owners: owners(&all),
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
}

fn decoded<T: DeserializeOwned>(objects: Vec<Value>, wanted: impl Fn(&T) -> bool) -> Vec<T> {
    objects.into_iter().filter_map(|object| serde_json::from_value(object).ok()).filter(wanted).collect()
}

/// One moment.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The time.
    pub now: Timestamp,
    /// The cluster's label value, as objects in the cloud carry it.
    pub cluster_label: String,
    /// The project.
    pub project: String,
    /// The cluster.
    pub cluster: Arc<ClusterScene>,
    /// All VMs.
    pub vms: BTreeMap<Place, VmScene>,
    /// All disks.
    pub disks: BTreeMap<Place, DiskScene>,
    /// All read-write attachments.
    pub attachments: Vec<ReadWriteAttachment>,
    /// What is on the home disks.
    pub homes: BTreeMap<Place, HomeContent>,
    /// Records that guests wrote and that never reached a disk.
    pub lost_records: u64,
    /// Records that a host did not find on the disk that it mounted.
    pub left_behind_records: u64,
}

impl Scene {
    /// Looks at the world; `cluster` is what was read of the API server.
    pub fn of(now: Timestamp, cluster_label: &str, world: &mut World, cluster: Arc<ClusterScene>) -> Self {
        let vms = world.instance_statuses().into_iter().map(|(place, (status, id))| {
            let labels = world.instance_labels(&place.at, &place.name);
            let guest = world.guest(&place.at, &place.name);
            (place, VmScene { status, id, labels, guest })
        });
        let vms = vms.collect();
        let disks = world.disk_ids().into_iter().map(|(place, id)| {
            let labels = world.disk_labels(&place.at, &place.name);
            (place, DiskScene { id, labels })
        });
        let disks: BTreeMap<Place, DiskScene> = disks.collect();
        let role = |disk: &DiskScene| disk.labels.get(labels::GCE_ROLE).cloned().unwrap_or_default();
        let homes: Vec<Place> = disks
            .iter()
            .filter(|(_, disk)| matches!(role(disk).as_str(), "home" | "kept"))
            .map(|(place, _)| place.clone())
            .collect();
        let homes = homes
            .into_iter()
            .filter_map(|place| Some((place.clone(), world.home_content(&place.at, &place.name)?)))
            .collect();
        Self {
            now,
            cluster_label: cluster_label.to_owned(),
            project: world.settings().project.clone(),
            cluster,
            vms,
            disks,
            attachments: world.read_write_attachments(),
            homes,
            lost_records: world.lost_records(),
            left_behind_records: world.left_behind_records(),
        }
    }

    /// The VMs that carry a notebook's uid and this cluster's label.
    pub fn vms_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = (&'a Place, &'a VmScene)> {
        self.vms.iter().filter(move |(_, vm)| self.belongs(&vm.labels, uid))
    }

    /// The disks that carry a notebook's uid and this cluster's label.
    pub fn disks_of<'a>(&'a self, uid: &'a str) -> impl Iterator<Item = (&'a Place, &'a DiskScene)> {
        self.disks.iter().filter(move |(_, disk)| self.belongs(&disk.labels, uid))
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
