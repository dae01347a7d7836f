//! Deletion: every host first, then the home by its policy, then the finalizer. From what status recorded, never from the spec.

use rehost_api::labels;
use rehost_api::status::{HomeRecord, HostKind, HostRecord, Step, TransitionKind};

use super::action::KubeChange;
use super::bounds::POLL_SLOW_S;
use super::{Action, Planner, Progress, Situation};
use crate::desired::HomePolicy;
use crate::gce::mutation::{Mutation, Place};
use crate::gce::operations::OperationState;
use crate::seen::Seen;
use crate::watch::slim::{ClaimSeen, VolumeSeen};

impl Planner<'_> {
    pub(super) fn delete(&mut self) {
        self.situation = Situation::Deleting(String::new());
        if !self.resolution.finalizer {
            return;
        }
        self.rebuild_lost_memory();
        let under_way =
            self.memory.transition.as_ref().is_some_and(|transition| transition.kind == TransitionKind::Delete);
        if !under_way {
            let (to, next) = self.memory.transition.take().map_or((None, None), |it| (it.to, it.home));
            self.begin(TransitionKind::Delete, Step::Release, to, 0);
            if let Some(transition) = &mut self.memory.transition {
                // A copy that no host has proven goes; the disk that it was made of is the home.
                transition.home = next;
            }
            return;
        }
        self.serve_no_more();
        let progress = match self.step_of_transition() {
            Some(Step::Dispose) => self.home_disposed(),
            Some(_) | None => self.hosts_deleted(),
        };
        match progress {
            Progress::Done if self.step_of_transition() == Some(Step::Dispose) => {
                self.actions.push(Action::Kube(KubeChange::RemoveFinalizer));
            }
            Progress::Done => self.advance(Step::Dispose),
            Progress::Busy => {}
            Progress::Failed(failure) => {
                self.situation = Situation::Deleting(failure.message.clone());
                let now = self.now;
                if let (Some(_), Some(transition)) = (self.again_or(failure), &mut self.memory.transition) {
                    // Deletion waits as long as it must: what it waits for is in status.
                    transition.attempt += 1;
                    transition.not_before = Some(now + jiff::SignedDuration::from_secs(60));
                }
            }
        }
        if self.step_of_transition() == Some(Step::Release) || self.step_of_transition() == Some(Step::Dispose) {
            self.keep_deletion_words();
        }
    }

    /// `waiting_for` speaks of changes; a deletion says the same in its own situation.
    fn keep_deletion_words(&mut self) {
        if let Situation::Changing { detail, .. } = &self.situation {
            self.situation = Situation::Deleting(detail.clone());
        }
    }

    fn hosts_deleted(&mut self) -> Progress {
        // An order whose outcome is open could still become a machine.
        let open =
            self.observed.operations.values().any(|operation| matches!(operation, OperationState::Running { .. }));
        let mut all_gone = !open;
        if open {
            self.look_again_in(POLL_SLOW_S);
        }
        for host in self.hosts_on_record() {
            match self.vm_deleted(&host) {
                Progress::Done => {}
                Progress::Busy => {
                    self.situation = Situation::Deleting(format!("waits until the VM {} is gone", host.name));
                    all_gone = false;
                }
                Progress::Failed(failure) => return Progress::Failed(failure),
            }
        }
        match self.observed.pods.clone() {
            Seen::Absent => {}
            Seen::Unknown(_) => all_gone = false,
            Seen::Present(pods) => {
                for pod in pods {
                    all_gone = false;
                    self.situation = Situation::Deleting(format!("waits until the pod {} is gone", pod.name));
                    let _gone = self.pod_gone(&pod.name);
                }
            }
        }
        if !self.sweep_settings(&[]) {
            all_gone = false;
            self.look_again_in(super::bounds::POLL_S);
        }
        if all_gone { Progress::Done } else { Progress::Busy }
    }

    /// The VMs that the memory names, and those that carry the notebook's uid.
    fn hosts_on_record(&self) -> Vec<HostRecord> {
        let transition = self.memory.transition.as_ref();
        let mut hosts: Vec<HostRecord> = self
            .memory
            .host
            .iter()
            .chain(self.memory.former.iter().map(|former| &former.host))
            .chain(transition.and_then(|transition| transition.from.as_ref()))
            .chain(transition.and_then(|transition| transition.to.as_ref()))
            .filter(|host| host.kind == HostKind::Vm)
            .cloned()
            .collect();
        let project = self.memory.home.as_ref().map(|home| home.project.clone()).unwrap_or_default();
        if let Some(template) = hosts.first().cloned() {
            for instance in self.observed.instances.values().filter_map(Seen::present) {
                if self.is_ours(&instance.labels) {
                    let (name, zone) = (instance.name.clone(), instance.zone.clone());
                    hosts.push(HostRecord { name, zone, project: project.clone(), ..template.clone() });
                }
            }
        }
        hosts.sort_by(|one, other| one.name.cmp(&other.name));
        hosts.dedup_by(|one, other| one.name == other.name);
        hosts
    }

    pub(super) fn home_disposed(&mut self) -> Progress {
        let Some(home) = self.memory.home.clone() else { return Progress::Done };
        match self.other_disposed(&home) {
            Progress::Done => {}
            other => return other,
        }
        if !self.claim_and_volume_deleted() {
            return Progress::Busy;
        }
        if home.claim {
            return Progress::Done;
        }
        let disk = match &self.observed.home {
            Seen::Absent => return Progress::Done,
            Seen::Unknown(why) => {
                self.situation = Situation::Deleting(format!("the home disk cannot be looked at: {why}"));
                return Progress::Busy;
            }
            Seen::Present(disk) => disk.clone(),
        };
        // A disk that is not ours, or another disk of the same name, is not ours to keep or delete either.
        if !self.is_ours(&disk.labels) || home.id.as_ref().is_some_and(|id| *id != disk.id.to_string()) {
            return Progress::Done;
        }
        let place = Place::new(&home.project, &home.zone);
        match self.home_policy() {
            HomePolicy::Delete => {
                self.situation = Situation::Deleting(format!("waits until the disk {} is gone", home.disk));
                self.cloud("delete-disk", Mutation::DeleteDisk { place, name: home.disk.clone(), id: disk.id })
            }
            HomePolicy::Retain => {
                let kept = disk.labels.get(labels::GCE_ROLE).is_some_and(|role| role == "kept");
                if kept {
                    return Progress::Done;
                }
                let mut labels = disk.labels.clone();
                labels.insert(labels::GCE_ROLE.to_owned(), "kept".to_owned());
                self.situation = Situation::Deleting(format!("labels the disk {} as kept", home.disk));
                let fingerprint = disk.label_fingerprint.clone().unwrap_or_default();
                self.cloud("keep-disk", Mutation::LabelDisk { place, name: home.disk.clone(), labels, fingerprint })
            }
        }
    }

    /// Of two disks only the home is kept: nothing is left of a copy that was not proven, nor of the disk that was the home before.
    fn other_disposed(&mut self, home: &HomeRecord) -> Progress {
        if self.memory.transition.as_ref().is_some_and(|transition| transition.home.is_some()) {
            return self.copy_undone();
        }
        let Some(former) = self.memory.former_home.clone() else { return Progress::Done };
        if !self.beside_unshown(&former.home) {
            return Progress::Busy;
        }
        let disk = self.observed.beside.disk.clone();
        let snapshots = if former.cleared { Progress::Done } else { self.snapshots_deleted(home) };
        self.disk_deleted(&former.home, &disk).and(snapshots)
    }

    /// The claim, then the volume: ordered in the cluster, whose own protection ends them once nothing uses them.
    fn claim_and_volume_deleted(&mut self) -> bool {
        let dynamic = self.memory.home.as_ref().is_some_and(|home| home.claim);
        self.unshown(self.our_claim(), self.our_volume(), dynamic)
    }

    /// No claim and no volume of ours is left that was not ordered to go. A dynamic volume goes by itself.
    pub(super) fn unshown(&mut self, claim: Seen<&ClaimSeen>, volume: Seen<&VolumeSeen>, dynamic: bool) -> bool {
        match claim {
            Seen::Unknown(_) => return false,
            Seen::Present(claim) if !claim.deleting => {
                let (name, uid) = (claim.name.clone(), claim.metadata.uid.clone().unwrap_or_default());
                self.actions.push(Action::Kube(KubeChange::DeleteClaim { name, uid }));
                self.look_again_in(super::bounds::POLL_S);
                return false;
            }
            Seen::Present(_) | Seen::Absent => {}
        }
        match volume {
            Seen::Unknown(_) => false,
            Seen::Present(volume) if !volume.deleting && !dynamic => {
                let (name, uid) = (volume.name.clone(), volume.metadata.uid.clone().unwrap_or_default());
                self.actions.push(Action::Kube(KubeChange::DeleteVolume { name, uid }));
                self.look_again_in(super::bounds::POLL_S);
                false
            }
            Seen::Present(_) | Seen::Absent => true,
        }
    }
}
