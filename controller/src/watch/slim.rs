//! What the controller reads of the cluster's objects: slim, parsed once at the edge.
//!
//! A typed Pod of the Kubernetes API takes kilobytes in a store; these take what is read of it. Each type can be listed and watched
//! like any other (`Api<PodSeen>`), since it says which kind of object it is a part of.

mod quantity;
mod raw;

use std::borrow::Cow;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rehost_api::guest::GuestRefusal;
use serde::{Deserialize, Serialize};

pub use quantity::{bytes, millis};

/// The CSI driver by which a pod mounts buckets: Cloud Storage FUSE, as GKE brings it.
pub const BUCKET_DRIVER: &str = "gcsfuse.csi.storage.gke.io";

/// What a pod of ours is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum PodRole {
    /// It runs Jupyter.
    Host,
    /// It keeps a place for a pod that will.
    Placeholder,
}

/// The phase of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PodPhase {
    /// Not all of its containers run yet.
    Pending,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// Its node does not answer, or the phase is one that we do not know.
    Unknown,
}

/// Whether a pod has found its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheduled {
    /// It has.
    Yes,
    /// The scheduler says why not.
    No {
        /// The scheduler's word, for example `Unschedulable`.
        reason: String,
        /// Its sentence.
        message: String,
    },
    /// The scheduler has not spoken yet.
    Unknown,
}

/// Processor and memory of a pod's `notebook` container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory_bytes: u64,
}

/// How far a live resize has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resize {
    /// None is asked for, or it is done.
    None,
    /// The node has no room for it now.
    Deferred {
        /// The kubelet's sentence.
        message: String,
    },
    /// The node can never have room for it.
    Infeasible {
        /// The kubelet's sentence.
        message: String,
    },
    /// The kubelet is at it.
    InProgress,
    /// The kubelet tried, and it did not work.
    Error {
        /// The kubelet's sentence.
        message: String,
    },
}

/// Why a container waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerWaits {
    /// The kubelet's word, for example `ImagePullBackOff`.
    pub reason: String,
    /// Its sentence.
    pub message: String,
}

/// A pod of ours.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "raw::RawPod")]
pub struct PodSeen {
    /// What Kubernetes needs to list and watch it: name, namespace, uid, resourceVersion.
    pub metadata: ObjectMeta,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// The uid of its notebook.
    pub notebook_uid: String,
    /// Whether that notebook is its owner by reference, too: a label alone can be copied.
    pub owned: bool,
    /// What it is for.
    pub role: PodRole,
    /// The transition that made it.
    pub transition: String,
    /// Its phase.
    pub phase: PodPhase,
    /// Whether all its containers are ready.
    pub ready: bool,
    /// Whether its deletion was asked for.
    pub deleting: bool,
    /// Its node.
    pub node: Option<String>,
    /// Its address.
    pub address: Option<IpAddr>,
    /// Whether it has found its node.
    pub scheduled: Scheduled,
    /// What it asks for.
    pub requests: Resources,
    /// What it has, as the kubelet says.
    pub granted: Option<Resources>,
    /// How far a live resize has come.
    pub resize: Resize,
    /// Whether it has volumes of [`BUCKET_DRIVER`].
    pub mounts_buckets: bool,
    /// Why its container waits, or why the check of the disk before it did not end well.
    pub waiting: Option<ContainerWaits>,
    /// What the check of the disk refused, in this container's present or last try.
    pub refusal: Option<GuestRefusal>,
    /// How often its container was restarted.
    pub restarts: u32,
    /// When it was created.
    pub created_at: Option<Timestamp>,
}

/// The ConfigMap beside a pod, of which nobody reads more than this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsSeen {
    /// Its name, the pod's.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// The uid of its notebook.
    pub notebook_uid: String,
    /// A digest of what the host is to offer.
    pub told: Option<String>,
}

/// A Service of ours.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "raw::RawService")]
pub struct ServiceSeen {
    /// What Kubernetes needs to list and watch it.
    pub metadata: ObjectMeta,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The uid of its notebook.
    pub notebook_uid: String,
    /// Whether the notebook of that uid is its owner by reference, too: then it goes when that notebook goes.
    pub owned: bool,
    /// Name, port and target port.
    pub ports: Vec<(String, u16, u16)>,
    /// Whether it selects pods; ours never does.
    pub has_selector: bool,
}

/// An EndpointSlice of ours.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "raw::RawSlice")]
pub struct SliceSeen {
    /// What Kubernetes needs to list and watch it.
    pub metadata: ObjectMeta,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The uid of its notebook.
    pub notebook_uid: String,
    /// Whether the notebook of that uid is its owner by reference, too: then it goes when that notebook goes.
    pub owned: bool,
    /// The Service that it belongs to.
    pub service: String,
    /// Addresses, and whether they are ready.
    pub endpoints: Vec<(IpAddr, bool)>,
    /// Its ports.
    pub ports: Vec<u16>,
}

/// A PersistentVolume.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "raw::RawVolume")]
pub struct VolumeSeen {
    /// What Kubernetes needs to list and watch it.
    pub metadata: ObjectMeta,
    /// Its name.
    pub name: String,
    /// The uid of its notebook; empty for a dynamic volume.
    pub notebook_uid: String,
    /// The CSI driver's handle.
    pub handle: String,
    /// The claim that it is bound to, or for: namespace and name.
    pub claim: Option<(String, String)>,
    /// What happens to it when its claim goes.
    pub reclaim_policy: String,
    /// Its phase.
    pub phase: String,
    /// Its size in GiB.
    pub capacity_gb: u64,
    /// Whether its deletion was asked for.
    pub deleting: bool,
}

/// A claim on a volume, of ours.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "raw::RawClaim")]
pub struct ClaimSeen {
    /// What Kubernetes needs to list and watch it.
    pub metadata: ObjectMeta,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The uid of its notebook.
    pub notebook_uid: String,
    /// The volume that it is bound to.
    pub volume: Option<String>,
    /// Its phase.
    pub phase: String,
    /// What it asks for, in GiB.
    pub requested_gb: u64,
    /// What it has, in GiB.
    pub capacity_gb: Option<u64>,
    /// Whether its deletion was asked for.
    pub deleting: bool,
}

/// An attachment of a volume to a node.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "raw::RawAttachment")]
pub struct AttachmentSeen {
    /// What Kubernetes needs to list and watch it.
    pub metadata: ObjectMeta,
    /// Its name.
    pub name: String,
    /// The PersistentVolume.
    pub volume: String,
    /// The node.
    pub node: String,
    /// Whether it is attached.
    pub attached: bool,
    /// What the attacher or detacher last met.
    pub error: Option<String>,
    /// Whether its deletion was asked for.
    pub deleting: bool,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "raw::RawNamespace")]
pub struct NamespaceSeen {
    /// What Kubernetes needs to list and watch it; with its labels.
    pub metadata: ObjectMeta,
    /// Its name.
    pub name: String,
    /// Whether it is being deleted.
    pub terminating: bool,
}

macro_rules! part_of {
    ($($seen:ty => $whole:ty, $scope:ty;)+) => {
        $(
            impl kube::Resource for $seen {
                type DynamicType = ();
                type Scope = $scope;
                fn kind((): &()) -> Cow<'_, str> {
                    <$whole as kube::Resource>::kind(&())
                }
                fn group((): &()) -> Cow<'_, str> {
                    <$whole as kube::Resource>::group(&())
                }
                fn version((): &()) -> Cow<'_, str> {
                    <$whole as kube::Resource>::version(&())
                }
                fn plural((): &()) -> Cow<'_, str> {
                    <$whole as kube::Resource>::plural(&())
                }
                fn meta(&self) -> &ObjectMeta {
                    &self.metadata
                }
                fn meta_mut(&mut self) -> &mut ObjectMeta {
                    &mut self.metadata
                }
            }

            impl $seen {
                /// Whether nothing that we read differs; a new resourceVersion alone is no news.
                #[must_use]
                pub fn same_as(&self, other: &Self) -> bool {
                    let mut other = other.clone();
                    other.metadata.resource_version.clone_from(&self.metadata.resource_version);
                    *self == other
                }
            }
        )+
    };
}

part_of! {
    PodSeen => Pod, k8s_openapi::NamespaceResourceScope;
    ServiceSeen => Service, k8s_openapi::NamespaceResourceScope;
    SliceSeen => EndpointSlice, k8s_openapi::NamespaceResourceScope;
    VolumeSeen => PersistentVolume, k8s_openapi::ClusterResourceScope;
    ClaimSeen => PersistentVolumeClaim, k8s_openapi::NamespaceResourceScope;
    AttachmentSeen => VolumeAttachment, k8s_openapi::ClusterResourceScope;
    NamespaceSeen => k8s_openapi::api::core::v1::Namespace, k8s_openapi::ClusterResourceScope;
}

#[cfg(test)]
mod tests {
    use rehost_api::guest::GuestFailure;
    use serde_json::{Value, json};

    use super::PodSeen;

    fn pod(check: Value) -> PodSeen {
        let waits = json!({"name": "notebook", "state": {"waiting": {"reason": "PodInitializing"}}});
        let status = json!({"containerStatuses": [waits], "initContainerStatuses": [check]});
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {}, "status": status})).unwrap()
    }

    #[test]
    fn what_the_check_refused_is_read_while_it_has_ended_or_waits_to_be_tried_again() {
        let message = json!({"failure": "ContentMismatch", "message": "other content", "contentId": null}).to_string();
        let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "message": message}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        for (state, last, refused) in [
            (&ended, json!({}), true),
            (&waits, ended.clone(), true),
            (&json!({"running": {}}), ended.clone(), false),
            (&json!({"terminated": {"exitCode": 0}}), ended.clone(), false),
        ] {
            let seen = pod(json!({"name": "check", "state": state, "lastState": last}));
            let failure = refused.then_some(GuestFailure::ContentMismatch);
            assert_eq!(seen.refusal.map(|refusal| refusal.failure), failure, "{state} {last}");
        }
    }

    #[test]
    fn a_check_that_fails_without_such_a_word_says_why_the_pod_waits() {
        let ended = json!({"exitCode": 127, "reason": "ContainerCannotRun", "message": "python3: not found"});
        let seen = pod(json!({"name": "check", "state": {"terminated": ended}}));
        assert_eq!(seen.refusal, None);
        let waiting = seen.waiting.unwrap();
        assert_eq!(waiting.reason, "ContainerCannotRun");
        assert_eq!(waiting.message, "the check of the home disk ended with 127: python3: not found");
    }
}
