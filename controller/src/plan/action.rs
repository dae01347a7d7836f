//! Everything that a plan can ask for, as plain data with nothing left to decide.

use std::collections::BTreeMap;
use std::net::IpAddr;

use rehost_api::guest::GuestSettings;
use rehost_api::shape::PodShape;
use serde::Serialize;
use uuid::Uuid;

use crate::gce::mutation::Mutation;
use crate::watch::slim::PodRole;

/// One call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Action {
    /// A change in Compute Engine. The request id is the same for the same step and attempt, so repeating it is harmless.
    Cloud {
        /// The idempotency key.
        request_id: Uuid,
        /// The change.
        mutation: Mutation,
    },
    /// A change in the cluster.
    Kube(KubeChange),
}

impl Action {
    /// Whether the call may be made before a changed memory is stored: only where traffic goes, never a host or a disk.
    pub(super) fn needs_no_record(&self) -> bool {
        match self {
            Self::Kube(KubeChange::ApplyService(_) | KubeChange::ApplySlice(_)) => true,
            Self::Kube(
                KubeChange::AddFinalizer
                | KubeChange::RemoveFinalizer
                | KubeChange::ApplySettings(_)
                | KubeChange::DeleteSettings { .. }
                | KubeChange::CreatePod(_)
                | KubeChange::DeletePod { .. }
                | KubeChange::ResizePod { .. }
                | KubeChange::ApplyVolume(_)
                | KubeChange::RetainVolume { .. }
                | KubeChange::DeleteVolume { .. }
                | KubeChange::ApplyClaim(_)
                | KubeChange::DeleteClaim { .. },
            )
            | Self::Cloud { .. } => false,
        }
    }
}

/// A change in the cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum KubeChange {
    /// Our finalizer, before the first thing is made.
    AddFinalizer,
    /// Our finalizer, after the last thing is gone.
    RemoveFinalizer,
    /// The notebook's Service.
    ApplyService(ServicePlan),
    /// The notebook's EndpointSlice.
    ApplySlice(SlicePlan),
    /// The ConfigMap beside a pod.
    ApplySettings(Box<SettingsPlan>),
    /// The ConfigMap beside a pod that is gone.
    DeleteSettings {
        /// Its name.
        name: String,
        /// The uid that it must have.
        uid: String,
    },
    /// A pod, or the placeholder of one.
    CreatePod(Box<PodPlan>),
    /// A pod.
    DeletePod {
        /// Its name.
        name: String,
        /// The uid that it must have.
        uid: String,
    },
    /// New resources for a running pod, through the `resize` subresource.
    ResizePod {
        /// Its name.
        name: String,
        /// The cpu, in thousandths of a core.
        cpu_milli: i64,
        /// The memory in bytes.
        memory_bytes: i64,
    },
    /// The PersistentVolume of the home disk.
    ApplyVolume(VolumePlan),
    /// A dynamic volume is told to outlive its claim.
    RetainVolume {
        /// Its name.
        name: String,
        /// The uid that it must have.
        uid: String,
    },
    /// A PersistentVolume.
    DeleteVolume {
        /// Its name.
        name: String,
        /// The uid that it must have.
        uid: String,
    },
    /// The claim on the home.
    ApplyClaim(ClaimPlan),
    /// A claim.
    DeleteClaim {
        /// Its name.
        name: String,
        /// The uid that it must have.
        uid: String,
    },
}

/// The Service of a notebook: no selector, one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServicePlan {
    /// Its name.
    pub name: String,
    /// The port, on the Service and on the host.
    pub port: u16,
}

/// The EndpointSlice of a notebook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SlicePlan {
    /// Its name.
    pub name: String,
    /// The Service that it belongs to.
    pub service: String,
    /// The port of the host.
    pub port: u16,
    /// The host's address, when there is a host that has one, and whether Jupyter answers there.
    pub endpoint: Option<(IpAddr, bool)>,
}

/// The ConfigMap beside a pod.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SettingsPlan {
    /// Its name, the pod's.
    pub name: String,
    /// What the pod is told.
    pub settings: GuestSettings,
}

/// A pod to make.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PodPlan {
    /// Its name.
    pub name: String,
    /// A host, or a placeholder that only keeps a place.
    pub role: PodRole,
    /// Its shape.
    pub shape: PodShape,
    /// Whether the shape's buckets can be its volumes: the cluster has the driver.
    pub mounts_buckets: bool,
    /// The claim that it mounts, for a host.
    pub claim: Option<String>,
    /// The node that it must run on.
    pub node: Option<String>,
    /// The zone and the machine families that can attach the home disk; empty where the home is a dynamic claim.
    pub reach: Option<Reach>,
    /// Labels beside those of every object of ours.
    pub labels: BTreeMap<String, String>,
}

/// The nodes that can attach a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The disk's zone.
    pub zone: String,
    /// The machine families that can attach the disk's type.
    pub families: Vec<String>,
}

/// A PersistentVolume around the home disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumePlan {
    /// Its name, the disk's.
    pub name: String,
    /// The CSI driver's handle, `projects/P/zones/Z/disks/D`.
    pub handle: String,
    /// The claim that it is for.
    pub claim: String,
    /// The size in GiB.
    pub size_gb: i64,
    /// The nodes that can attach it.
    pub reach: Reach,
}

/// A claim on the home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimPlan {
    /// Its name.
    pub name: String,
    /// The volume that it is for; none for a dynamic one.
    pub volume: Option<String>,
    /// The StorageClass.
    pub storage_class: String,
    /// The size in GiB.
    pub size_gb: i64,
}
