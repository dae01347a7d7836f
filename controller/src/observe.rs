//! What is there: caches at rest, fresh reads before anything is done.

mod around_pods;
mod beside;
mod heard;
mod kept;
mod look;

use std::collections::BTreeMap;

use jiff::Timestamp;
use rehost_api::guest::GuestReport;
use rehost_api::status::NotebookStatus;
use uuid::Uuid;

pub use beside::Beside;
pub use heard::Heard;
pub use look::{Observer, Sources};

use crate::gce::model::{Disk, Instance};
use crate::gce::operations::OperationState;
use crate::seen::Seen;
use crate::watch::slim::{AttachmentSeen, ClaimSeen, PodSeen, ServiceSeen, SettingsSeen, SliceSeen, VolumeSeen};

/// Everything about one notebook that a plan is made from.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The status as stored: the planner's memory, and what server-side apply must send again.
    pub previous: NotebookStatus,
    /// Whether what follows was read for this plan. What comes from caches is only a suspicion.
    pub fresh: bool,
    /// Whether only a guest was asked, which had nothing new to say: what is unknown here was left unread on purpose.
    pub guest_only: bool,
    /// What is known of the operations of this notebook, by request id. Taken **before** the reads below: an operation that
    /// is done here has its effect there.
    pub operations: BTreeMap<Uuid, OperationState>,
    /// The VMs by name: those that the memory names, and those that carry the notebook's uid.
    pub instances: BTreeMap<String, Seen<Instance>>,
    /// What the guests of those VMs last reported. Read only when a transition asks for it.
    pub reports: BTreeMap<String, Seen<GuestReport>>,
    /// Since when this process knows of the notebook.
    pub known_since: Timestamp,
    /// What the serving host last said of itself, where it was asked in this process.
    pub heard: Option<Heard>,
    /// The home disk that the memory names.
    pub home: Seen<Disk>,
    /// The other disk that the memory names: the one that a change makes, or the one that the last such change left.
    pub beside: Beside,
    /// Disks that carry the notebook's uid, the home among them.
    pub own_disks: Vec<Disk>,
    /// Disks that an earlier notebook of the same name in the same namespace left.
    pub kept_disks: Vec<Disk>,
    /// The notebook's pods, placeholders among them.
    pub pods: Seen<Vec<PodSeen>>,
    /// The `ConfigMap`s beside its pods, by name. Read only afresh: those of the pods that the memory names, and of those that are
    /// there.
    pub settings: BTreeMap<String, Seen<SettingsSeen>>,
    /// The cluster's driver for buckets. Asked for only when a pod with buckets is about to be made.
    pub bucket_driver: Seen<()>,
    /// Its Service.
    pub service: Seen<ServiceSeen>,
    /// Its EndpointSlice.
    pub slice: Seen<SliceSeen>,
    /// The PersistentVolume of its home.
    pub volume: Seen<VolumeSeen>,
    /// The claim on its home.
    pub claim: Seen<ClaimSeen>,
    /// The attachments of that volume.
    pub attachments: Seen<Vec<AttachmentSeen>>,
}

impl Observed {
    /// Why something of this could not be looked at, where anything could not: who waits for it must look again.
    ///
    /// Reports are left out: whoever waits for one asks at short intervals anyhow, and a guest that has not spoken yet is
    /// no failure.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        if self.guest_only {
            return None;
        }
        let instances = self.instances.values().find_map(Seen::unknown);
        instances
            .or_else(|| self.home.unknown())
            .or_else(|| self.beside.unknown())
            .or_else(|| self.pods.unknown())
            .or_else(|| self.claim.unknown())
            .or_else(|| self.volume.unknown())
            .or_else(|| self.attachments.unknown())
            .or_else(|| self.service.unknown())
            .or_else(|| self.slice.unknown())
            .or_else(|| self.settings.values().find_map(Seen::unknown))
    }
}
