//! Another disk for the home, of another type or in another zone: a copy through two snapshots. The first is taken while the home
//! is served, only so that the second one, taken once nobody writes any more, is small. The disk that was the home stays it until
//! a host has proven the copy; if that fails, the copy goes and nothing else has changed.

use rehost_api::conditions::Reason;
use rehost_api::labels::{self, Role};
use rehost_api::status::{HomeRecord, HostKind, HostRecord, Step, Transition};

use super::bounds::{COPY_S, POLL_S, POLL_SLOW_S, SNAPSHOT_PAUSE_S};
use super::vm::unsigned;
use super::{Failure, Planner, Progress, Weight};
use crate::desired::{Desired, WishedHome};
use crate::gce::model::{Disk, Snapshot};
use crate::gce::mutation::{Mutation, NewDisk, NewSnapshot, Place};
use crate::gce::operations::OperationState;
use crate::seen::Seen;

/// The snapshot that is taken while the home is served.
pub(super) const FIRST: u8 = 1;
/// The snapshot that the new disk is made from.
pub(super) const SECOND: u8 = 2;

/// Whether a home is on a disk of the wished type in the wished zone. A claim's place and type are the cluster's affair.
pub(super) fn suits(home: &HomeRecord, wished: &WishedHome) -> bool {
    home.claim || (home.zone == wished.zone && home.disk_type == wished.disk_type)
}

/// How the home's disk differs from the wished one, in words.
pub fn difference(home: Option<&HomeRecord>, wished: &WishedHome) -> Option<String> {
    let home = home.filter(|home| home.id.is_some() && !suits(home, wished))?;
    let zone = (home.zone != wished.zone).then(|| format!("home in {} -> {}", home.zone, wished.zone));
    let kind = (home.disk_type != wished.disk_type).then(|| format!("home {} -> {}", home.disk_type, wished.disk_type));
    Some(zone.into_iter().chain(kind).collect::<Vec<_>>().join(", "))
}

impl Planner<'_> {
    /// The disk that the home must go to before it is as wished for.
    pub(super) fn next_home(&self, desired: &Desired) -> Option<HomeRecord> {
        let home = self.memory.home.as_ref().filter(|home| home.id.is_some() && !suits(home, &desired.home))?;
        Some(HomeRecord {
            disk: labels::disk_name(&self.resolution.subject.uid, self.memory.last_transition + 1),
            id: None,
            zone: desired.home.zone.clone(),
            disk_type: desired.home.disk_type.clone(),
            ..home.clone()
        })
    }

    /// Whether another disk is wished for than the one that the present change leads to.
    pub(super) fn home_wish_has_changed(&self, desired: &Desired) -> bool {
        let next = self.memory.transition.as_ref().and_then(|transition| transition.home.as_ref());
        let home = self.memory.home.as_ref().filter(|home| home.id.is_some());
        next.or(home).is_some_and(|home| !suits(home, &desired.home))
    }

    /// The home that a host has, or is to have: the new one of a change that makes one, where the change leads to the host.
    pub(super) fn home_of(&self, host: &HostRecord) -> Option<&HomeRecord> {
        let transition = self.memory.transition.as_ref();
        let leads_there = |it: &&Transition| it.to.as_ref().is_some_and(|to| to.name == host.name);
        transition.filter(leads_there).and_then(|it| it.home.as_ref()).or(self.memory.home.as_ref())
    }

    /// The name of that home's disk.
    pub(super) fn home_name_of(&self, host: &HostRecord) -> String {
        self.home_of(host).map(|home| home.disk.clone()).unwrap_or_default()
    }

    /// The change that has just begun leads to this disk too.
    pub(super) fn lead_to(&mut self, next: Option<HomeRecord>) {
        let Some(next) = next else { return };
        let from = self.memory.home.as_ref().map(|home| format!("{} in {}", home.disk_type, home.zone));
        let message = format!(
            "The home is copied from a disk of type {} to one of {} in {}, through a snapshot; the old disk is kept until the copy is proven.",
            from.unwrap_or_default(),
            next.disk_type,
            next.zone,
        );
        self.note(false, Reason::Moving, message);
        if let Some(transition) = &mut self.memory.transition {
            if let Some(to) = &mut transition.to {
                to.zone.clone_from(&next.zone);
                to.project.clone_from(&next.project);
            }
            transition.home = Some(next);
        }
    }

    /// The first snapshot, while the old host serves on.
    pub(super) fn copy_ahead(&mut self, to: &HostRecord) {
        if self.wish_has_changed(to) {
            return self.turn_back(Step::Abandon, &Failure::superseded());
        }
        let progress = self.snapshot_taken(FIRST, true);
        match progress {
            Progress::Done => self.advance(Step::Obtain),
            Progress::Busy => {}
            Progress::Failed(failure) => self.copy_failed(failure, Step::Abandon),
        }
    }

    /// The second snapshot and the new disk, once the old host has let go; what was attached to that is free then.
    pub(super) fn copy(&mut self, from: &HostRecord) {
        let progress = match self.snapshot_taken(SECOND, false) {
            Progress::Done => self.next_disk_made().and(match from.kind {
                HostKind::Vm => self.home_detached(from),
                HostKind::Pod => Progress::Done,
            }),
            other => other,
        };
        match progress {
            Progress::Done => self.advance(Step::Move),
            Progress::Busy if self.overdue(COPY_S) => self.turn_back(Step::TakeBack, &too_slow()),
            Progress::Busy => {}
            Progress::Failed(failure) => self.copy_failed(failure, Step::TakeBack),
        }
    }

    /// The same where there is no host: one snapshot is enough, and nobody waits.
    pub(super) fn copy_at_rest(&mut self) {
        let progress = match self.snapshot_taken(SECOND, true) {
            Progress::Done => self.next_disk_made(),
            other => other,
        };
        match progress {
            Progress::Done => self.advance(Step::Boot),
            Progress::Busy => {}
            Progress::Failed(failure) => self.copy_failed(failure, Step::Abandon),
        }
    }

    fn copy_failed(&mut self, failure: Failure, back: Step) {
        if failure.reason == Reason::RateLimited {
            // Nobody is served meanwhile: whoever waits for the hour to pass waits on the old disk.
            return self.turn_back(back, &failure);
        }
        if let Some(failure) = self.again_or(failure) {
            self.turn_back(back, &failure);
        }
    }

    /// The snapshot of the home is there and whole. `may_wait`: where the disk had its snapshots of this hour, the next try is
    /// waited for; otherwise that is a failure.
    fn snapshot_taken(&mut self, number: u8, may_wait: bool) -> Progress {
        let Some(transition) = self.memory.transition.clone() else { return Progress::Busy };
        let (Some(home), Some(next)) = (self.memory.home.clone(), &transition.home) else { return Progress::Busy };
        let name = labels::snapshot_name(&next.disk, number);
        self.waiting_for(format!("a snapshot of the disk {} is being taken", home.disk));
        let limited = transition.reason.is_none() && transition.not_before.is_some_and(|at| self.now < at);
        if limited
            && may_wait
            && let Some(at) = transition.not_before
        {
            let at = at.strftime("%Y-%m-%dT%H:%M:%SZ");
            self.waiting_for(format!("a snapshot of the disk {} is tried again at {at}", home.disk));
        }
        let seen = self.snapshot(&name);
        let taken = match &seen {
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Present(snapshot) if !self.is_ours(&snapshot.labels) => {
                return Progress::Failed(Self::not_ours(&name));
            }
            Seen::Present(snapshot) if snapshot.ready => return Progress::Done,
            Seen::Present(snapshot) if snapshot.failed => return Progress::Failed(failed_snapshot(&name)),
            Seen::Present(_) | Seen::Absent => {
                let snapshot = self.new_snapshot(name, Role::Copy, &transition.id, &home);
                let mutation =
                    Mutation::CreateSnapshot { place: Self::home_place(&home), disk: home.disk.clone(), snapshot };
                self.cloud(&format!("snapshot-{number}"), mutation)
            }
        };
        match taken {
            Progress::Failed(failure) if failure.reason == Reason::RateLimited && may_wait => {
                self.wait_for_snapshots();
                Progress::Busy
            }
            // It is listed before it is whole.
            Progress::Failed(failure) if seen.is_present() && failure.weight == Weight::Passing => {
                self.look_again_in(POLL_S);
                Progress::Busy
            }
            other => {
                if seen.is_present() {
                    self.without_new_copy();
                }
                other
            }
        }
    }

    /// Compute Engine takes some snapshots of one disk in an hour and no more
    /// (<https://cloud.google.com/compute/docs/disks/snapshot-best-practices>): not a failure, but a time.
    fn wait_for_snapshots(&mut self) {
        let at = self.now + jiff::SignedDuration::from_secs(SNAPSHOT_PAUSE_S);
        self.note(
            true,
            Reason::RateLimited,
            format!(
                "Compute Engine takes no more snapshots of the home in this hour; the next try is at {}.",
                at.strftime("%Y-%m-%dT%H:%M:%SZ")
            ),
        );
        if let Some(transition) = &mut self.memory.transition {
            transition.attempt += 1;
            transition.not_before = Some(at);
        }
        self.look_again_at(at);
    }

    /// What is listed is not ordered again.
    fn without_new_copy(&mut self) {
        self.actions.retain(|action| match action {
            super::Action::Cloud { mutation, .. } => {
                !matches!(mutation, Mutation::CreateSnapshot { .. } | Mutation::InsertDisk { .. })
            }
            super::Action::Kube(_) => true,
        });
        self.look_again_in(POLL_S);
    }

    pub(super) fn new_snapshot(&self, name: String, role: Role, transition: &str, home: &HomeRecord) -> NewSnapshot {
        let subject = &self.resolution.subject;
        let mut all = self.cloud_labels(transition, role.as_str());
        all.insert(labels::GCE_CONTENT.to_owned(), home.content_id.clone());
        let description = format!("The home of notebook {}/{}, copied by Rehost.", subject.namespace, subject.name);
        NewSnapshot { name, labels: all, description }
    }

    pub(super) fn snapshot(&self, name: &str) -> Seen<Snapshot> {
        let seen = self.observed.beside.snapshots.get(name).cloned();
        seen.unwrap_or_else(|| Seen::Unknown(format!("the snapshot {name} was not looked at")))
    }

    /// The new disk is there, a copy of the second snapshot.
    fn next_disk_made(&mut self) -> Progress {
        let Some(transition) = self.memory.transition.clone() else { return Progress::Busy };
        let Some(next) = transition.home else { return Progress::Busy };
        let disk = match &self.observed.beside.disk {
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Absent if next.id.is_some() => return Progress::Failed(super::home::missing(&next)),
            Seen::Absent => return self.next_disk_ordered(&transition.id, &next),
            Seen::Present(disk) => disk.clone(),
        };
        if !self.is_ours(&disk.labels) {
            return Progress::Failed(Self::not_ours(&next.disk));
        }
        if !disk.ready {
            self.waiting_for("the new home disk is being made");
            self.look_again_in(POLL_S);
            return Progress::Busy;
        }
        if let Some(next) = self.memory.transition.as_mut().and_then(|transition| transition.home.as_mut()) {
            next.id = Some(disk.id.to_string());
            next.size_gb = i64::try_from(disk.size_gb).unwrap_or(i64::MAX);
        }
        Progress::Done
    }

    fn next_disk_ordered(&mut self, transition: &str, next: &HomeRecord) -> Progress {
        let snapshot = labels::snapshot_name(&next.disk, SECOND);
        let least_gb = self.snapshot(&snapshot).present().map_or(0, |snapshot| snapshot.disk_size_gb);
        let subject = &self.resolution.subject;
        let mut all = self.cloud_labels(transition, Role::Next.as_str());
        all.insert(labels::GCE_CONTENT.to_owned(), next.content_id.clone());
        let disk = NewDisk {
            name: next.disk.clone(),
            // Somebody may have grown the old one.
            size_gb: unsigned(next.size_gb).max(least_gb),
            disk_type: next.disk_type.clone(),
            labels: all,
            description: format!("The home of notebook {}/{}, made by Rehost.", subject.namespace, subject.name),
            snapshot: Some(snapshot),
        };
        self.waiting_for("the new home disk is being made");
        self.cloud("next-disk", Mutation::InsertDisk { place: Self::home_place(next), disk })
    }

    /// Nothing is left of a copy that is not wanted any more: no volume or claim, no disk, no snapshot.
    pub(super) fn copy_undone(&mut self) -> Progress {
        let next = self.memory.transition.as_ref().and_then(|transition| transition.home.clone());
        let Some(next) = next else { return Progress::Done };
        self.waiting_for(format!("the copy {} is being removed", next.disk));
        // An order whose outcome is open could still become a disk.
        if self.observed.operations.values().any(|operation| matches!(operation, OperationState::Running { .. })) {
            self.look_again_in(POLL_SLOW_S);
            return Progress::Busy;
        }
        if !self.beside_unshown(&next) {
            return Progress::Busy;
        }
        let disk = self.observed.beside.disk.clone();
        self.disk_deleted(&next, &disk).and(self.snapshots_deleted(&next))
    }

    /// The volume and the claim that showed the other disk to pods are gone.
    pub(super) fn beside_unshown(&mut self, home: &HomeRecord) -> bool {
        let (claim, volume) = self.shown(home);
        let (claim, volume) = (claim.as_ref(), volume.as_ref());
        let claim =
            claim.and_then(|it| if self.is_our_object(&it.notebook_uid) { Seen::Present(it) } else { Seen::Absent });
        let volume =
            volume.and_then(|it| if self.is_our_object(&it.notebook_uid) { Seen::Present(it) } else { Seen::Absent });
        self.unshown(claim, volume, false)
    }

    /// The disk is gone: only ever one whose labels say that it is ours, and the very one that the memory means.
    pub(super) fn disk_deleted(&mut self, home: &HomeRecord, seen: &Seen<Disk>) -> Progress {
        let disk = match seen {
            Seen::Absent => return Progress::Done,
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Present(disk) => disk,
        };
        let another = home.id.as_ref().is_some_and(|id| *id != disk.id.to_string());
        if another || !self.is_ours(&disk.labels) {
            return Progress::Done;
        }
        let mutation = Mutation::DeleteDisk { place: Self::home_place(home), name: home.disk.clone(), id: disk.id };
        self.cloud(&format!("delete-{}", home.disk), mutation)
    }

    /// The snapshots that the disk was made from are gone.
    pub(super) fn snapshots_deleted(&mut self, next: &HomeRecord) -> Progress {
        self.snapshot_deleted(next, FIRST).and(self.snapshot_deleted(next, SECOND))
    }

    fn snapshot_deleted(&mut self, next: &HomeRecord, number: u8) -> Progress {
        let name = labels::snapshot_name(&next.disk, number);
        match self.snapshot(&name) {
            Seen::Absent => Progress::Done,
            Seen::Unknown(_) => Progress::Busy,
            Seen::Present(snapshot) if !self.is_ours(&snapshot.labels) => Progress::Done,
            Seen::Present(snapshot) => {
                let place: Place = Self::home_place(next);
                let mutation = Mutation::DeleteSnapshot { place, name: name.clone(), id: snapshot.id };
                self.cloud(&format!("delete-{name}"), mutation)
            }
        }
    }
}

fn failed_snapshot(name: &str) -> Failure {
    Failure {
        reason: Reason::HostFailed,
        message: format!("Compute Engine could not take the snapshot {name}"),
        weight: Weight::Host,
    }
}

fn too_slow() -> Failure {
    Failure {
        reason: Reason::HostFailed,
        message: format!("the home was not copied in {COPY_S} s"),
        weight: Weight::Host,
    }
}
