//! Every change that the controller makes in Compute Engine, as plain data: a plan carries it, a golden file shows it,
//! and [`super::Gce::start`] sends it without a choice of its own.

use std::collections::BTreeMap;

use rehost_api::guest::GuestSettings;
use serde::Serialize;

use super::model::{Accelerator, OnHostMaintenance};

/// Where a zonal object lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// The project's id.
    pub project: String,
    /// The zone's short name.
    pub zone: String,
}

impl Place {
    /// A place by its two names.
    pub fn new(project: impl Into<String>, zone: impl Into<String>) -> Self {
        Self { project: project.into(), zone: zone.into() }
    }

    /// The region that the zone is in: `us-central1` of `us-central1-a`.
    pub fn region(&self) -> &str {
        self.zone.rsplit_once('-').map_or(self.zone.as_str(), |(region, _)| region)
    }
}

/// Where an operation is kept: a request says so by its path, and its operation is found only there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Scope {
    /// Beside the objects of a zone.
    Zone(Place),
    /// Beside the objects of the region that this zone is in.
    RegionOf(Place),
    /// Beside the objects that are in no place of their own, snapshots among them.
    Global {
        /// The project's id.
        project: String,
    },
}

/// A disk to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewDisk {
    /// Its name.
    pub name: String,
    /// Its size.
    pub size_gb: u64,
    /// The disk type's short name.
    pub disk_type: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// A sentence for people who find it.
    pub description: String,
    /// The snapshot of the same project that it is a copy of; a blank disk where there is none.
    pub snapshot: Option<String>,
}

/// A snapshot to be made: what is on a disk at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewSnapshot {
    /// Its name.
    pub name: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// A sentence for people who find it.
    pub description: String,
}

/// The disk that a new instance boots from; it is deleted with the instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BootDisk {
    /// The exact image, as `projects/P/global/images/I`.
    pub image: String,
    /// Its size.
    pub size_gb: u64,
    /// The disk type's short name.
    pub disk_type: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
}

/// How a new instance is connected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// The subnetwork, as `regions/R/subnetworks/S` or a longer form; `None` is the project's default network.
    pub subnetwork: Option<String>,
    /// Network tags, for firewall rules.
    pub tags: Vec<String>,
    /// Whether it gets an address of its own on the internet.
    pub external_address: bool,
}

/// How capacity is obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Provisioning {
    /// On demand.
    Standard,
    /// Cheaper, and may be taken away.
    Spot,
    /// Waits in a queue, runs for a bounded time.
    FlexStart,
}

/// What the cloud does with an instance whose time is over, or whose capacity it takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum TerminationAction {
    /// It is stopped, and can be started again.
    Stop,
    /// It is deleted.
    Delete,
}

/// How the cloud may treat an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scheduling {
    /// How capacity is obtained.
    pub provisioning: Provisioning,
    /// What happens when the host is maintained: [`OnHostMaintenance::Terminate`] with any GPU.
    pub on_host_maintenance: OnHostMaintenance,
    /// Whether the cloud starts it again by itself after a failure of the host; must be false unless
    /// [`Provisioning::Standard`].
    pub automatic_restart: bool,
    /// What happens at preemption or after `max_run_duration_s`.
    pub on_termination: Option<TerminationAction>,
    /// How long it may run.
    pub max_run_duration_s: Option<u64>,
}

/// Verified boot, by its three switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shielded {
    /// Only signed boot components run.
    pub secure_boot: bool,
    /// A virtual trusted platform module.
    pub vtpm: bool,
    /// The boot is compared with a baseline.
    pub integrity_monitoring: bool,
}

/// An instance to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewInstance {
    /// Its name.
    pub name: String,
    /// A sentence for people who find it.
    pub description: String,
    /// The machine type's short name.
    pub machine_type: String,
    /// GPUs to attach; empty for machine types that have theirs built in.
    pub accelerators: Vec<Accelerator>,
    /// How the cloud may treat it.
    pub scheduling: Scheduling,
    /// What it boots from.
    pub boot: BootDisk,
    /// How it is connected.
    pub network: Network,
    /// The identity of what runs on it; `None` for no identity.
    pub service_account: Option<String>,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// Metadata beside the settings (and beside `enable-guest-attributes`, which is always set).
    pub metadata: BTreeMap<String, String>,
    /// What the guest is asked to be.
    pub settings: GuestSettings,
    /// The short name of the home disk when it is attached from the first moment, read-write, as
    /// [`rehost_api::guest::HOME_DEVICE`], and never deleted with the instance.
    pub home: Option<String>,
    /// The oldest processor platform that will do.
    pub min_cpu_platform: Option<String>,
    /// How many local SSDs to attach.
    pub local_ssds: u32,
    /// Verified boot; `None` leaves it to the image.
    pub shielded: Option<Shielded>,
    /// The one reservation to take capacity from; `None` takes any that fits.
    pub reservation: Option<String>,
}

/// One change of one zonal object.
///
/// `id` is the incarnation that the plan saw. The API addresses objects by name: whoever sends the change holds the id
/// (and the labels) against a fresh look first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs, reason = "the fields say what they are; the variants say what happens to them")]
pub enum Mutation {
    /// Makes a disk, blank or a copy.
    InsertDisk { place: Place, disk: NewDisk },
    /// Grows a disk, attached or not.
    ResizeDisk { place: Place, name: String, size_gb: u64 },
    /// Deletes a disk with its content.
    DeleteDisk { place: Place, name: String, id: u64 },
    /// Replaces all labels of a disk.
    LabelDisk { place: Place, name: String, labels: BTreeMap<String, String>, fingerprint: String },
    /// Makes a snapshot of a disk, which may be in use.
    CreateSnapshot { place: Place, disk: String, snapshot: NewSnapshot },
    /// Deletes a snapshot. `place` is that of the disk that it was made of: a snapshot itself is in no zone.
    DeleteSnapshot { place: Place, name: String, id: u64 },
    /// Makes an instance and starts it.
    InsertInstance { place: Place, instance: Box<NewInstance> },
    /// Deletes an instance, and its boot disk with it.
    DeleteInstance { place: Place, name: String, id: u64 },
    /// Shuts an instance down; local SSDs lose their content, which must be said in so many words.
    StopInstance { place: Place, name: String, id: u64, discard_local_ssd: bool },
    /// Starts a stopped instance.
    StartInstance { place: Place, name: String, id: u64 },
    /// Saves an instance's memory and stops it.
    SuspendInstance { place: Place, name: String, id: u64, discard_local_ssd: bool },
    /// Starts a suspended instance.
    ResumeInstance { place: Place, name: String, id: u64 },
    /// Restarts an instance hard, without asking its guest.
    ResetInstance { place: Place, name: String, id: u64 },
    /// Changes the machine type of a stopped instance.
    SetMachineType { place: Place, name: String, machine_type: String },
    /// Changes the GPUs of a stopped instance.
    SetAccelerators { place: Place, name: String, accelerators: Vec<Accelerator> },
    /// Changes how the cloud may treat a stopped instance.
    SetScheduling { place: Place, name: String, scheduling: Scheduling },
    /// Asks the guest to be something else. Metadata is replaced whole, so `keep` is all that is to stay beside it.
    SetSettings {
        place: Place,
        name: String,
        settings: GuestSettings,
        fingerprint: String,
        keep: BTreeMap<String, String>,
    },
    /// Replaces all labels of an instance.
    LabelInstance { place: Place, name: String, labels: BTreeMap<String, String>, fingerprint: String },
    /// Attaches a disk read-write as the home, never to be deleted with the instance.
    AttachDisk { place: Place, instance: String, disk: String },
    /// Detaches what the instance knows under `device_name`. The guest must have unmounted it.
    DetachDisk { place: Place, instance: String, device_name: String },
    /// Says whether an attached disk is deleted with the instance.
    SetDiskAutoDelete { place: Place, instance: String, device_name: String, auto_delete: bool },
}

impl Mutation {
    /// Where it happens.
    pub fn place(&self) -> &Place {
        match self {
            Self::InsertDisk { place, .. }
            | Self::ResizeDisk { place, .. }
            | Self::DeleteDisk { place, .. }
            | Self::LabelDisk { place, .. }
            | Self::CreateSnapshot { place, .. }
            | Self::DeleteSnapshot { place, .. }
            | Self::InsertInstance { place, .. }
            | Self::DeleteInstance { place, .. }
            | Self::StopInstance { place, .. }
            | Self::StartInstance { place, .. }
            | Self::SuspendInstance { place, .. }
            | Self::ResumeInstance { place, .. }
            | Self::ResetInstance { place, .. }
            | Self::SetMachineType { place, .. }
            | Self::SetAccelerators { place, .. }
            | Self::SetScheduling { place, .. }
            | Self::SetSettings { place, .. }
            | Self::LabelInstance { place, .. }
            | Self::AttachDisk { place, .. }
            | Self::DetachDisk { place, .. }
            | Self::SetDiskAutoDelete { place, .. } => place,
        }
    }

    /// Where its operation is found.
    pub fn scope(&self) -> Scope {
        match self {
            Self::DeleteSnapshot { place, .. } => Scope::Global { project: place.project.clone() },
            Self::InsertDisk { place, .. }
            | Self::ResizeDisk { place, .. }
            | Self::DeleteDisk { place, .. }
            | Self::LabelDisk { place, .. }
            | Self::CreateSnapshot { place, .. }
            | Self::InsertInstance { place, .. }
            | Self::DeleteInstance { place, .. }
            | Self::StopInstance { place, .. }
            | Self::StartInstance { place, .. }
            | Self::SuspendInstance { place, .. }
            | Self::ResumeInstance { place, .. }
            | Self::ResetInstance { place, .. }
            | Self::SetMachineType { place, .. }
            | Self::SetAccelerators { place, .. }
            | Self::SetScheduling { place, .. }
            | Self::SetSettings { place, .. }
            | Self::LabelInstance { place, .. }
            | Self::AttachDisk { place, .. }
            | Self::DetachDisk { place, .. }
            | Self::SetDiskAutoDelete { place, .. } => Scope::Zone(place.clone()),
        }
    }

    /// The short name of the disk, snapshot or instance that it changes.
    pub fn target(&self) -> &str {
        match self {
            Self::InsertDisk { disk, .. } => &disk.name,
            Self::InsertInstance { instance, .. } => &instance.name,
            Self::ResizeDisk { name, .. }
            | Self::DeleteDisk { name, .. }
            | Self::LabelDisk { name, .. }
            | Self::CreateSnapshot { disk: name, .. }
            | Self::DeleteSnapshot { name, .. }
            | Self::DeleteInstance { name, .. }
            | Self::StopInstance { name, .. }
            | Self::StartInstance { name, .. }
            | Self::SuspendInstance { name, .. }
            | Self::ResumeInstance { name, .. }
            | Self::ResetInstance { name, .. }
            | Self::SetMachineType { name, .. }
            | Self::SetAccelerators { name, .. }
            | Self::SetScheduling { name, .. }
            | Self::SetSettings { name, .. }
            | Self::LabelInstance { name, .. } => name,
            Self::AttachDisk { instance, .. }
            | Self::DetachDisk { instance, .. }
            | Self::SetDiskAutoDelete { instance, .. } => instance,
        }
    }

    /// The API's method, for logs and metrics.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::InsertDisk { .. } => "disks.insert",
            Self::ResizeDisk { .. } => "disks.resize",
            Self::DeleteDisk { .. } => "disks.delete",
            Self::LabelDisk { .. } => "disks.setLabels",
            Self::CreateSnapshot { .. } => "disks.createSnapshot",
            Self::DeleteSnapshot { .. } => "snapshots.delete",
            Self::InsertInstance { .. } => "instances.insert",
            Self::DeleteInstance { .. } => "instances.delete",
            Self::StopInstance { .. } => "instances.stop",
            Self::StartInstance { .. } => "instances.start",
            Self::SuspendInstance { .. } => "instances.suspend",
            Self::ResumeInstance { .. } => "instances.resume",
            Self::ResetInstance { .. } => "instances.reset",
            Self::SetMachineType { .. } => "instances.setMachineType",
            Self::SetAccelerators { .. } => "instances.setMachineResources",
            Self::SetScheduling { .. } => "instances.setScheduling",
            Self::SetSettings { .. } => "instances.setMetadata",
            Self::LabelInstance { .. } => "instances.setLabels",
            Self::AttachDisk { .. } => "instances.attachDisk",
            Self::DetachDisk { .. } => "instances.detachDisk",
            Self::SetDiskAutoDelete { .. } => "instances.setDiskAutoDelete",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_knows_its_region() {
        assert_eq!(Place::new("p", "us-central1-a").region(), "us-central1");
        assert_eq!(Place::new("p", "us-central1-ai1a").region(), "us-central1");
    }

    #[test]
    fn a_change_names_what_it_changes() {
        let place = Place::new("p", "z-a");
        let attach = Mutation::AttachDisk { place: place.clone(), instance: "vm".into(), disk: "home".into() };
        assert_eq!((attach.place(), attach.target(), attach.verb()), (&place, "vm", "instances.attachDisk"));
        let delete = Mutation::DeleteDisk { place, name: "home".into(), id: 7 };
        assert_eq!((delete.target(), delete.verb()), ("home", "disks.delete"));
    }
}
