//! Sub-goals around the home: made, free, detached, attached, grown.

use rehost_api::conditions::Reason;
use rehost_api::guest::HOME_DEVICE;
use rehost_api::status::{HomeRecord, HostKind, HostRecord, Step, TransitionKind};

use super::action::{ClaimPlan, KubeChange, Reach, VolumePlan};
use super::bounds::{GROW_S, POLL_SLOW_S};
use super::vm::{place, unsigned};
use super::{Action, Failure, Planner, Progress, Weight};
use crate::desired::Desired;
use crate::gce::model::Disk;
use crate::gce::mutation::{Mutation, NewDisk, Place};
use crate::observe::Observed;
use crate::seen::Seen;
use crate::watch::slim::{ClaimSeen, VolumeSeen};

impl<'a> Planner<'a> {
    pub(super) fn home_name(&self) -> String {
        self.memory.home.as_ref().map(|home| home.disk.clone()).unwrap_or_default()
    }

    pub(super) fn home_place(home: &HomeRecord) -> Place {
        Place::new(&home.project, &home.zone)
    }

    /// The home disk is there and is the one that the memory means.
    pub(super) fn home_made(&mut self) -> Progress {
        let Some(home) = self.memory.home.clone() else { return Progress::Busy };
        if home.claim {
            return Progress::Done;
        }
        let disk = match &self.observed.home {
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Absent if home.id.is_some() => return Progress::Failed(missing(&home)),
            Seen::Absent => {
                let transition =
                    self.memory.transition.as_ref().map(|transition| transition.id.clone()).unwrap_or_default();
                let mut labels = self.cloud_labels(&transition, "home");
                labels.insert(rehost_api::labels::GCE_CONTENT.to_owned(), home.content_id.clone());
                let subject = &self.resolution.subject;
                let disk = NewDisk {
                    name: home.disk.clone(),
                    size_gb: unsigned(home.size_gb),
                    disk_type: home.disk_type.clone(),
                    labels,
                    description: format!(
                        "The home of notebook {}/{}, made by Rehost.",
                        subject.namespace, subject.name
                    ),
                    snapshot: None,
                };
                self.waiting_for("the home disk is being made");
                return self.cloud("disk", Mutation::InsertDisk { place: Self::home_place(&home), disk });
            }
            Seen::Present(disk) => disk,
        };
        if !self.is_ours(&disk.labels) {
            return Progress::Failed(Self::not_ours(&home.disk));
        }
        let id = disk.id.to_string();
        if home.id.as_ref().is_some_and(|known| *known != id) {
            return Progress::Failed(missing(&home));
        }
        if !disk.ready {
            self.look_again_in(super::bounds::POLL_S);
            return Progress::Busy;
        }
        if let Some(home) = &mut self.memory.home {
            home.id = Some(id);
        }
        Progress::Done
    }

    /// Whether what was looked at as the home is this disk. The plan that ends a change of disks has another home than was looked at.
    fn was_the_home(&self, home: &HomeRecord) -> bool {
        self.observed.previous.home.as_ref().is_none_or(|it| it.disk == home.disk)
    }

    /// What is seen of one of the two disks.
    pub(super) fn disk_of(&self, home: &HomeRecord) -> &'a Seen<Disk> {
        if self.was_the_home(home) { &self.observed.home } else { &self.observed.beside.disk }
    }

    /// What is seen around one of the two disks: the claim on it, and the volume that shows it to pods.
    pub(super) fn shown(&self, home: &HomeRecord) -> (&'a Seen<ClaimSeen>, &'a Seen<VolumeSeen>) {
        let Observed { claim, volume, beside, .. } = self.observed;
        if self.was_the_home(home) { (claim, volume) } else { (&beside.claim, &beside.volume) }
    }

    /// No machine has the home that the host has, or is to have.
    pub(super) fn home_is_free(&self, host: &HostRecord) -> bool {
        let Some(home) = self.home_of(host) else { return false };
        let Observed { attachments, beside, .. } = self.observed;
        let attachments = if self.was_the_home(home) { attachments } else { &beside.attachments };
        let attached = match attachments {
            Seen::Present(attachments) => !attachments.is_empty(),
            Seen::Absent => false,
            Seen::Unknown(_) => true,
        };
        if attached {
            return false;
        }
        match self.disk_of(home) {
            _ if home.claim => true,
            Seen::Present(disk) => disk.users.is_empty(),
            Seen::Absent | Seen::Unknown(_) => false,
        }
    }

    /// The VM, whose guest has let go, has the disk no longer.
    pub(super) fn home_detached(&mut self, host: &HostRecord) -> Progress {
        match self.instance(&host.name) {
            Seen::Absent => Progress::Done,
            Seen::Unknown(_) => Progress::Busy,
            Seen::Present(instance) => match instance.attachment(&self.home_name_of(host)) {
                None => Progress::Done,
                Some(attached) => {
                    let device_name = attached.device_name.clone();
                    self.waiting_for(format!("the home is being detached from {}", host.shape));
                    self.cloud(
                        "detach",
                        Mutation::DetachDisk { place: place(host), instance: host.name.clone(), device_name },
                    )
                }
            },
        }
    }

    /// The VM has the disk. Asked for only when no other machine has it.
    pub(super) fn home_attached(&mut self, host: &HostRecord) -> Progress {
        let home = self.home_name_of(host);
        match self.instance(&host.name) {
            Seen::Unknown(_) => Progress::Busy,
            Seen::Absent => Progress::Failed(Failure {
                reason: Reason::HostFailed,
                message: format!("{} is not there any more", host.name),
                weight: Weight::Host,
            }),
            Seen::Present(instance)
                if instance.attachment(&home).is_some_and(|attached| attached.device_name == HOME_DEVICE) =>
            {
                Progress::Done
            }
            Seen::Present(instance) if !self.is_ours(&instance.labels) => Progress::Failed(Self::not_ours(&host.name)),
            Seen::Present(_) if !self.home_is_free(host) => {
                self.look_again_in(super::bounds::POLL_URGENT_S);
                self.waiting_for("the home is still attached elsewhere");
                Progress::Busy
            }
            Seen::Present(_) => {
                self.waiting_for(format!("the home is being attached to {}", host.shape));
                self.cloud(
                    "attach",
                    Mutation::AttachDisk { place: place(host), instance: host.name.clone(), disk: home },
                )
            }
        }
    }

    /// The volume and the claim through which pods reach the home are there as wanted.
    pub(super) fn volume_and_claim(&mut self, host: &HostRecord) -> Progress {
        let Some(home) = self.home_of(host).cloned() else { return Progress::Busy };
        let (seen_claim, seen_volume) = self.shown(&home);
        if let Some(failure) = self.foreign_around(&home) {
            return Progress::Failed(failure);
        }
        let bound = |claim: &Seen<_>| if claim.is_present() { Progress::Done } else { Progress::Busy };
        let Some(desired) = self.wish() else { return bound(seen_claim) };
        let volume = (!home.claim).then(|| VolumePlan {
            name: home.disk.clone(),
            handle: format!("projects/{}/zones/{}/disks/{}", home.project, home.zone, home.disk),
            claim: home.disk.clone(),
            size_gb: home.size_gb,
            reach: self.reach(&home),
        });
        let claim = ClaimPlan {
            name: home.disk.clone(),
            volume: volume.as_ref().map(|volume| volume.name.clone()),
            storage_class: desired.home.storage_class.clone(),
            size_gb: home.size_gb,
        };
        let mut ready = true;
        if let Some(volume) = volume
            && seen_volume.is_absent()
        {
            ready = false;
            self.actions.push(Action::Kube(KubeChange::ApplyVolume(volume)));
        }
        if seen_claim.is_absent() {
            ready = false;
            self.actions.push(Action::Kube(KubeChange::ApplyClaim(claim)));
        }
        if !ready {
            self.look_again_in(super::bounds::POLL_S);
            return Progress::Busy;
        }
        bound(seen_claim)
    }

    /// The nodes that can attach this disk. Which families can is known of the wished disk type only.
    pub(super) fn reach(&self, home: &HomeRecord) -> Reach {
        let suits = |desired: &&Desired| home.disk_type == desired.home.disk_type;
        let families = self.wish().filter(suits).map(|desired| desired.home.families.clone()).unwrap_or_default();
        Reach { zone: home.zone.clone(), families }
    }

    /// A dynamic volume is told to outlive its claim as soon as there is one.
    pub(super) fn retain_dynamic_volume(&mut self) {
        let dynamic = self.memory.home.as_ref().is_some_and(|home| home.claim);
        if let (true, Seen::Present(volume)) = (dynamic, self.our_volume())
            && volume.reclaim_policy != "Retain"
        {
            let (name, uid) = (volume.name.clone(), volume.metadata.uid.clone().unwrap_or_default());
            self.actions.push(Action::Kube(KubeChange::RetainVolume { name, uid }));
        }
    }

    /// Begins to grow the home where a larger one is wished for.
    pub(super) fn begin_growth(&mut self, desired: &Desired) -> bool {
        let Some(home) = &self.memory.home else { return false };
        if desired.home.size_gb <= home.size_gb || home.id.is_none() && !home.claim {
            return false;
        }
        let (old, new) = (home.size_gb, desired.home.size_gb);
        self.begin(TransitionKind::Grow, Step::Grow, None, 0);
        if let Some(transition) = &mut self.memory.transition {
            transition.size_gb = Some(new);
        }
        self.notes.pop();
        self.note(
            false,
            Reason::Resizing,
            format!("The home grows from {old} GiB to {new} GiB; nothing is interrupted."),
        );
        true
    }

    pub(super) fn grow_step(&mut self) {
        let Some(transition) = self.memory.transition.clone() else { return };
        let (Some(home), Some(size_gb)) = (self.memory.home.clone(), transition.size_gb) else { return };
        self.waiting_for(format!("the home grows from {} GiB to {size_gb} GiB", home.size_gb));
        match self.grown(&home, size_gb) {
            Progress::Done => {
                if let Some(home) = &mut self.memory.home {
                    home.size_gb = size_gb;
                }
                self.succeed();
            }
            Progress::Busy => {
                if self.overdue(GROW_S) {
                    self.give_up(&Failure {
                        reason: Reason::HostFailed,
                        message: format!("the home did not grow to {size_gb} GiB in {GROW_S} s"),
                        weight: Weight::Host,
                    });
                }
            }
            Progress::Failed(failure) => {
                if let Some(failure) = self.again_or(failure) {
                    self.give_up(&failure);
                }
            }
        }
    }

    /// A running pod's disk grows through its claim (the CSI driver grows disk and file system); any other through the disk itself.
    fn grown(&mut self, home: &HomeRecord, size_gb: i64) -> Progress {
        let in_pod =
            self.memory.host.as_ref().is_some_and(|host| host.kind == HostKind::Pod && host.serving_since.is_some());
        if home.claim || in_pod {
            return self.claim_grown(home, size_gb);
        }
        match &self.observed.home {
            Seen::Unknown(_) => Progress::Busy,
            Seen::Absent => Progress::Failed(missing(home)),
            Seen::Present(disk) if disk.size_gb >= unsigned(size_gb) => Progress::Done,
            Seen::Present(disk) if !self.is_ours(&disk.labels) => Progress::Failed(Self::not_ours(&home.disk)),
            Seen::Present(_) => self.cloud(
                "grow",
                Mutation::ResizeDisk {
                    place: Self::home_place(home),
                    name: home.disk.clone(),
                    size_gb: unsigned(size_gb),
                },
            ),
        }
    }

    fn claim_grown(&mut self, home: &HomeRecord, size_gb: i64) -> Progress {
        if let Some(failure) = self.foreign_claim() {
            return Progress::Failed(failure);
        }
        let Seen::Present(claim) = &self.observed.claim else { return Progress::Busy };
        let (requested, capacity) = (claim.requested_gb, claim.capacity_gb);
        let wanted = unsigned(size_gb);
        if requested < wanted {
            let plan = ClaimPlan {
                name: home.disk.clone(),
                volume: (!home.claim).then(|| home.disk.clone()),
                storage_class: self.wish().map(|desired| desired.home.storage_class.clone()).unwrap_or_default(),
                size_gb,
            };
            self.actions.push(Action::Kube(KubeChange::ApplyClaim(plan)));
            self.look_again_in(POLL_SLOW_S);
            return Progress::Busy;
        }
        if capacity.is_some_and(|capacity| capacity >= wanted) { Progress::Done } else { Progress::Busy }
    }
}

/// A home that was there is not there: never a reason to make a new, empty one.
pub(super) fn missing(home: &HomeRecord) -> Failure {
    Failure {
        reason: Reason::HomeMissing,
        message: format!(
            "the home disk {} (id {}) is not there any more; nothing is made in its place. Restore it under this name, or say where to start from in spec.storage.from",
            home.disk,
            home.id.as_deref().unwrap_or("not known"),
        ),
        weight: Weight::Person,
    }
}
