//! Objects of the cluster that stand where the notebook's own must be, and are not its own. They are never touched: nothing is
//! begun beside them, and what runs is left as it is.

use rehost_api::conditions::Reason;
use rehost_api::status::HomeRecord;

use super::bounds::{NOT_OURS_S, POLL_S};
use super::{Failure, Planner, Weight};
use crate::desired::Refusal;
use crate::gce::mutation::Mutation;
use crate::seen::Seen;
use crate::watch::slim::{ClaimSeen, VolumeSeen};

/// Whose an object of the cluster is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// This notebook's.
    Ours,
    /// An earlier notebook's of the same name: the garbage collector takes it, as it is owned by what is gone.
    Earlier,
    /// Somebody else's.
    Foreign,
}

impl<'a> Planner<'a> {
    /// Whether it would change a machine or a disk whose labels name another owner, whichever step asks for it.
    pub(super) fn changes_what_is_not_ours(&self, mutation: &Mutation) -> bool {
        let instance = |name: &str| self.instance(name).present().is_some_and(|it| !self.is_ours(&it.labels));
        let disk = |name: &str| {
            let disks = [&self.observed.home, &self.observed.beside.disk].into_iter().filter_map(Seen::present);
            disks.filter(|disk| disk.name == name).any(|disk| !self.is_ours(&disk.labels))
        };
        let snapshot = |name: &str| self.snapshot(name).present().is_some_and(|it| !self.is_ours(&it.labels));
        match mutation {
            Mutation::InsertDisk { .. } | Mutation::InsertInstance { .. } => false,
            Mutation::ResizeDisk { name, .. }
            | Mutation::DeleteDisk { name, .. }
            | Mutation::LabelDisk { name, .. }
            | Mutation::CreateSnapshot { disk: name, .. } => disk(name),
            Mutation::DeleteSnapshot { name, .. } => snapshot(name),
            Mutation::DeleteInstance { name, .. }
            | Mutation::StopInstance { name, .. }
            | Mutation::StartInstance { name, .. }
            | Mutation::SuspendInstance { name, .. }
            | Mutation::ResumeInstance { name, .. }
            | Mutation::ResetInstance { name, .. }
            | Mutation::SetMachineType { name, .. }
            | Mutation::SetAccelerators { name, .. }
            | Mutation::SetScheduling { name, .. }
            | Mutation::SetSettings { name, .. }
            | Mutation::LabelInstance { name, .. } => instance(name),
            Mutation::AttachDisk { instance: name, disk: home, .. } => instance(name) || disk(home),
            Mutation::DetachDisk { instance: name, .. } | Mutation::SetDiskAutoDelete { instance: name, .. } => {
                instance(name)
            }
        }
    }

    /// Why nothing can be begun: something else has a name that the notebook needs.
    pub(super) fn place_taken(&mut self) -> Option<Refusal> {
        let refusal = self.taken()?;
        // Nobody tells us of what is not ours, so it is looked at again.
        self.look_again_in(if refusal.needs_a_person() { NOT_OURS_S } else { POLL_S });
        Some(refusal)
    }

    fn taken(&self) -> Option<Refusal> {
        let service =
            self.observed.service.present().map(|it| ("Service", &it.name, self.whose(&it.notebook_uid, it.owned)));
        let slice =
            self.observed.slice.present().map(|it| ("EndpointSlice", &it.name, self.whose(&it.notebook_uid, it.owned)));
        let namespace = &self.resolution.subject.namespace;
        for (kind, name, whose) in service.into_iter().chain(slice) {
            match whose {
                Whose::Ours => {}
                Whose::Earlier => {
                    return Some(Refusal {
                        reason: Reason::Deleting,
                        field: "metadata.name".to_owned(),
                        message: format!("the {kind} {namespace}/{name} of an earlier notebook is still being removed"),
                    });
                }
                Whose::Foreign => {
                    return Some(Refusal {
                        reason: Reason::NotOurs,
                        field: "metadata.name".to_owned(),
                        message: format!(
                            "the {kind} {namespace}/{name} exists and is not this notebook's, so it is not touched and nothing is begun: delete it, or give the notebook another name",
                        ),
                    });
                }
            }
        }
        let failure = self.foreign_claim().or_else(|| self.foreign_volume())?;
        Some(Refusal { reason: failure.reason, field: "status.home".to_owned(), message: failure.message })
    }

    fn whose(&self, notebook_uid: &str, owned: bool) -> Whose {
        if notebook_uid == self.resolution.subject.uid {
            Whose::Ours
        } else if owned {
            Whose::Earlier
        } else {
            Whose::Foreign
        }
    }

    /// Whether an object that carries this uid may be changed.
    pub(super) fn is_our_object(&self, notebook_uid: &str) -> bool {
        notebook_uid == self.resolution.subject.uid
    }

    /// The claim on the home, where it is ours.
    pub(super) fn our_claim(&self) -> Seen<&'a ClaimSeen> {
        let observed = self.observed;
        observed
            .claim
            .as_ref()
            .and_then(|claim| if self.is_our_object(&claim.notebook_uid) { Seen::Present(claim) } else { Seen::Absent })
    }

    /// The volume of the home, where it is ours. A dynamic one has no label of ours, and says for which claim it is.
    pub(super) fn our_volume(&self) -> Seen<&'a VolumeSeen> {
        let observed = self.observed;
        observed.volume.as_ref().and_then(
            |volume| {
                if self.is_our_volume(volume) { Seen::Present(volume) } else { Seen::Absent }
            },
        )
    }

    fn is_our_volume(&self, volume: &VolumeSeen) -> bool {
        let Some(home) = &self.memory.home else { return self.is_our_object(&volume.notebook_uid) };
        if !home.claim {
            return self.is_our_object(&volume.notebook_uid);
        }
        let claim = (self.resolution.subject.namespace.clone(), home.disk.clone());
        self.foreign_claim().is_none() && volume.claim.as_ref() == Some(&claim)
    }

    /// A claim that has the home's name and is not ours.
    pub(super) fn foreign_claim(&self) -> Option<Failure> {
        let claim = self.observed.claim.present().filter(|claim| !self.is_our_object(&claim.notebook_uid))?;
        Some(foreign(&format!("the PersistentVolumeClaim {}/{}", claim.namespace, claim.name)))
    }

    /// A claim or a volume that has the disk's name and is not ours.
    pub(super) fn foreign_around(&self, home: &HomeRecord) -> Option<Failure> {
        if home.claim {
            return self.foreign_claim().or_else(|| self.foreign_volume());
        }
        let (claim, volume) = self.shown(home);
        let claim = claim.present().filter(|claim| !self.is_our_object(&claim.notebook_uid));
        let volume = volume.present().filter(|volume| !self.is_our_object(&volume.notebook_uid));
        let claim = claim.map(|it| format!("the PersistentVolumeClaim {}/{}", it.namespace, it.name));
        let what = claim.or_else(|| volume.map(|it| format!("the PersistentVolume {}", it.name)))?;
        Some(foreign(&what))
    }

    /// A volume that has the home's name and is not ours.
    pub(super) fn foreign_volume(&self) -> Option<Failure> {
        let volume = self.observed.volume.present().filter(|volume| !self.is_our_volume(volume))?;
        Some(foreign(&format!("the PersistentVolume {}", volume.name)))
    }
}

/// What is refused beside something that is somebody else's.
pub(super) fn foreign(what: &str) -> Failure {
    Failure {
        reason: Reason::NotOurs,
        message: format!(
            "{what} exists and is not this notebook's, so it is not touched and nothing is begun: delete it, and the notebook makes its own"
        ),
        weight: Weight::Person,
    }
}
