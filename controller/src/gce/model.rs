//! What the controller reads of Compute Engine's objects: slim, parsed once at the edge, the same from the SDK and from
//! the inventory's own lists.
//!
//! Links are shortened to their last part (`…/zones/us-central1-a` is `us-central1-a`), fingerprints are URL-safe base64
//! as the SDK writes them, and times are parsed. An enum value that is new to us is kept as `Other`: it means wait,
//! never an error.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use rehost_api::guest::GuestSettings;
use serde::Serialize;
use uuid::Uuid;

use super::errors::GceError;
use super::mutation::Scope;

/// Where an instance is in its life.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum InstanceStatus {
    /// Queued for capacity (flex start).
    Pending,
    /// Resources are being obtained.
    Provisioning,
    /// Resources are there; the machine is being made ready to boot.
    Staging,
    /// The machine runs (which says nothing of its guest).
    Running,
    /// A graceful shutdown waits for its end.
    PendingStop,
    /// The guest is shutting down, for up to 120 s.
    Stopping,
    /// At rest without its memory: the API's `TERMINATED` and `STOPPED`, which mean the same to us.
    Stopped,
    /// Memory is being saved.
    Suspending,
    /// At rest with its memory saved.
    Suspended,
    /// The host failed, and the cloud is putting the machine right.
    Repairing,
    /// Resources are being given back.
    Deprovisioning,
    /// A status that we do not know: wait.
    Other(String),
}

impl InstanceStatus {
    /// Reads the API's word.
    pub fn parse(word: &str) -> Self {
        match word {
            "PENDING" => Self::Pending,
            "PROVISIONING" => Self::Provisioning,
            "STAGING" => Self::Staging,
            "RUNNING" => Self::Running,
            "PENDING_STOP" => Self::PendingStop,
            "STOPPING" => Self::Stopping,
            "STOPPED" | "TERMINATED" => Self::Stopped,
            "SUSPENDING" => Self::Suspending,
            "SUSPENDED" => Self::Suspended,
            "REPAIRING" => Self::Repairing,
            "DEPROVISIONING" => Self::Deprovisioning,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// What the cloud does with an instance when its host is maintained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum OnHostMaintenance {
    /// Moved while it runs.
    Migrate,
    /// Stopped: the only choice with GPUs.
    Terminate,
}

/// GPUs of one kind on an instance.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Accelerator {
    /// The short name, such as `nvidia-tesla-t4`.
    pub kind: String,
    /// How many.
    pub count: u32,
}

/// A disk as an instance has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttachedDisk {
    /// The name by which the guest finds it.
    pub device_name: String,
    /// The disk's short name; empty for local SSDs, which are no disks of their own.
    pub disk: String,
    /// Whether the instance boots from it.
    pub boot: bool,
    /// Whether it is deleted with the instance.
    pub auto_delete: bool,
    /// Whether the instance may write to it.
    pub read_write: bool,
}

/// A virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// Its name, unique in project and zone at one time.
    pub name: String,
    /// The id of this incarnation: a new instance of the same name has another.
    pub id: u64,
    /// The zone's short name.
    pub zone: String,
    /// Where it is in its life.
    pub status: InstanceStatus,
    /// The machine type's short name.
    pub machine_type: String,
    /// Attached GPUs; those that are built into a machine type are listed too.
    pub accelerators: Vec<Accelerator>,
    /// What happens when its host is maintained, where the API said so.
    pub on_host_maintenance: Option<OnHostMaintenance>,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// To be sent with a change of labels.
    pub label_fingerprint: Option<String>,
    /// To be sent with a change of metadata.
    pub metadata_fingerprint: Option<String>,
    /// The settings in its metadata; `None` when they were not read (lists leave metadata out) or cannot be read.
    pub settings: Option<GuestSettings>,
    /// All its metadata, settings included, when it was got by name; empty in lists.
    pub metadata: BTreeMap<String, String>,
    /// What is attached to it.
    pub disks: Vec<AttachedDisk>,
    /// Its internal address.
    pub address: Option<IpAddr>,
    /// When it was last started.
    pub last_start: Option<Timestamp>,
    /// When it was last stopped.
    pub last_stop: Option<Timestamp>,
    /// When it was made.
    pub created: Option<Timestamp>,
}

impl Instance {
    /// The attachment of `disk`, if it has it.
    pub fn attachment(&self, disk: &str) -> Option<&AttachedDisk> {
        self.disks.iter().find(|attached| attached.disk == disk)
    }
}

/// A zonal disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Its name, unique in project and zone at one time.
    pub name: String,
    /// The id of this incarnation.
    pub id: u64,
    /// The zone's short name.
    pub zone: String,
    /// Its size.
    pub size_gb: u64,
    /// The disk type's short name.
    pub disk_type: String,
    /// Whether it can be used: false while it is created, restored or deleted, and when it failed.
    pub ready: bool,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// To be sent with a change of labels.
    pub label_fingerprint: Option<String>,
    /// The short names of the instances that it is attached to.
    pub users: Vec<String>,
}

/// What was on a disk at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Snapshot {
    /// Its name, unique in the project at one time.
    pub name: String,
    /// The id of this incarnation.
    pub id: u64,
    /// Whether it is whole: false while it is made or deleted, and when it failed.
    pub ready: bool,
    /// Whether making it failed.
    pub failed: bool,
    /// The size of the disk that it was made of: a copy is as large at least.
    pub disk_size_gb: u64,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum OperationStatus {
    /// Accepted, not begun.
    Pending,
    /// Under way.
    Running,
    /// Over, in success or failure.
    Done,
}

/// What the cloud is doing, or did, at our request.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Its name, unique where it is kept.
    pub name: String,
    /// Where it is kept.
    pub scope: Scope,
    /// The request that started it, as sent; `None` for operations of others.
    pub request_id: Option<Uuid>,
    /// The API's word, such as `insert` or `setMachineType`.
    pub kind: String,
    /// The short name of what it changes.
    pub target: String,
    /// The id of what it changes, where the API said so.
    pub target_id: Option<u64>,
    /// How far it is.
    pub status: OperationStatus,
    /// Why it failed, when it is done and did.
    pub error: Option<GceError>,
    /// When the cloud took it in.
    pub inserted_at: Option<Timestamp>,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// A processor architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Architecture {
    /// 64-bit x86.
    X86,
    /// 64-bit Arm.
    Arm,
}

/// A machine type as a zone offers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineType {
    /// Its short name.
    pub name: String,
    /// The zone's short name.
    pub zone: String,
    /// Virtual processors.
    pub guest_cpus: u32,
    /// Memory.
    pub memory_mb: u64,
    /// Which images run on it; x86 where the API says nothing.
    pub architecture: Architecture,
    /// GPUs that are built in.
    pub accelerators: Vec<Accelerator>,
    /// How many disks can be attached, the boot disk included; 0 where the API says nothing.
    pub maximum_persistent_disks: u32,
    /// Whether its processor is shared with others.
    pub shared_cpu: bool,
}

/// A GPU that a zone offers for attaching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AcceleratorType {
    /// Its short name.
    pub name: String,
    /// The zone's short name.
    pub zone: String,
    /// How many one instance can have; 0 where the API says nothing.
    pub maximum_cards_per_instance: u32,
}

/// What must be known of an image before it is booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ImageFacts {
    /// The exact image, as `projects/P/global/images/I`: a family's newest at the time of asking.
    pub link: String,
    /// Its short name.
    pub name: String,
    /// The architecture it is made for, where the API said so.
    pub architecture: Option<Architecture>,
    /// The smallest boot disk that it fits on.
    pub disk_size_gb: u64,
}

/// One quota, of a region or of a project.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Quota {
    /// The API's name, such as `NVIDIA_T4_GPUS`.
    pub metric: String,
    /// The most there may be.
    pub limit: f64,
    /// What there is.
    pub usage: f64,
}

/// The last part of a link or path: `us-central1-a` of `…/zones/us-central1-a`.
pub fn short(link: &str) -> &str {
    link.rsplit('/').next().unwrap_or(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_shortened() {
        assert_eq!(short("https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a"), "us-central1-a");
        assert_eq!(short("n1-standard-4"), "n1-standard-4");
    }

    #[test]
    fn an_unknown_status_is_kept_and_rest_has_two_names() {
        assert_eq!(InstanceStatus::parse("TERMINATED"), InstanceStatus::parse("STOPPED"));
        assert_eq!(InstanceStatus::parse("HIBERNATING"), InstanceStatus::Other("HIBERNATING".to_owned()));
    }
}
