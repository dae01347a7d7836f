//! A host where there is none (Create), and the host at rest started or resumed (Start).

use rehost_api::conditions::Reason;
use rehost_api::guest::GuestRole;
use rehost_api::status::{HostKind, HostRecord, Step};

use super::bounds::{SERVE_S, SNAPSHOT_HOUR_S, STANDBY_S};
use super::pod::placeholder_of;
use super::{Failure, Planner, Progress, Weight};
use crate::gce::model::InstanceStatus;
use crate::seen::Seen;

impl Planner<'_> {
    pub(super) fn create_step(&mut self) {
        let Some(transition) = self.memory.transition.clone() else { return };
        let Some(to) = transition.to else { return };
        match transition.step {
            Step::Home => match self.home_made().and(self.left_settings_gone(transition.from.as_ref())) {
                Progress::Done => self.advance(Step::Boot),
                Progress::Busy => {}
                Progress::Failed(failure) => self.create_failed(failure),
            },
            Step::Copy => self.copy_at_rest(),
            Step::Boot => {
                if self.wish_has_changed(&to) {
                    return self.turn_back(Step::Abandon, &Failure::superseded());
                }
                let progress = match to.kind {
                    HostKind::Vm => self.vm_obtained(&to, true),
                    HostKind::Pod => self.pod_made(&to, None),
                };
                match progress {
                    Progress::Done => self.advance(Step::Prove),
                    Progress::Busy if self.overdue(STANDBY_S) => self.create_failed(Failure::too_late(&to, STANDBY_S)),
                    Progress::Busy => {}
                    Progress::Failed(failure) => self.create_failed(failure),
                }
            }
            Step::Prove => {
                if self.wish_has_changed(&to) {
                    return self.turn_back(Step::Abandon, &Failure::superseded());
                }
                match self.serving(&to) {
                    Progress::Done => {
                        self.take_new_home();
                        self.settle_on(&to);
                        self.succeed();
                    }
                    Progress::Busy if self.overdue(STANDBY_S) => self.create_failed(Failure::too_late(&to, STANDBY_S)),
                    Progress::Busy => {}
                    Progress::Failed(failure) => self.create_failed(failure),
                }
            }
            Step::Abandon => self.abandon_step(&to),
            Step::Snapshot
            | Step::Obtain
            | Step::LetGo
            | Step::Move
            | Step::TakeBack
            | Step::Return
            | Step::ProveBack
            | Step::Halt
            | Step::Suspend
            | Step::Resume
            | Step::Set
            | Step::Resize
            | Step::Grow
            | Step::Release
            | Step::Dispose => self.lost_step(),
        }
    }

    fn create_failed(&mut self, failure: Failure) {
        if let Some(failure) = self.again_or(failure) {
            self.turn_back(Step::Abandon, &failure);
        }
    }

    /// The host that is not wanted any more, or failed, is removed; then the transition ends.
    pub(super) fn abandon_step(&mut self, to: &HostRecord) {
        self.waiting_for(format!("{} is being removed", to.name));
        let gone = match to.kind {
            HostKind::Vm => self.vm_deleted(to),
            HostKind::Pod => self.pod_host_gone(to).and(self.pod_gone(&placeholder_of(to))),
        };
        let gone = match gone {
            Progress::Done => self.copy_undone(),
            other => other,
        };
        match gone {
            Progress::Done => self.abandoned(),
            Progress::Busy => {}
            Progress::Failed(failure) => {
                // What cannot be removed is not forgotten either: the next attempt comes, with its pause, until it is gone.
                if let Some(failure) = self.again_or(failure) {
                    self.note(true, failure.reason, failure.message.clone());
                    let now = self.now;
                    if let Some(transition) = &mut self.memory.transition {
                        transition.attempt += 1;
                        transition.not_before = Some(now + jiff::SignedDuration::from_secs(60));
                    }
                }
            }
        }
    }

    fn abandoned(&mut self) {
        let Some(transition) = self.memory.transition.clone() else { return };
        match transition.reason {
            Some(reason) if reason.reason != Reason::Superseded.to_string() => {
                let failure = Failure::recorded(&reason);
                self.give_up(&failure);
                if transition.home.is_some() {
                    self.rest_before_the_next_copy(&transition.id, failure.reason);
                }
            }
            Some(_) | None => {
                self.memory.transition = None;
            }
        }
    }

    /// A copy that failed after the host had let go interrupted somebody for nothing: no other host is tried at once, and the next
    /// try finds the whole hour's snapshots.
    fn rest_before_the_next_copy(&mut self, transition: &str, reason: Reason) {
        let came_back = self.memory.host.as_ref().is_some_and(|host| host.nonce == format!("{transition}-back"));
        let candidates = self.memory.resolved.as_ref().map_or(0, |resolved| resolved.fallbacks.len());
        if let Some(retry) = self.memory.retry.as_mut().filter(|_| came_back && reason != Reason::ContentMismatch) {
            retry.tried = i64::try_from(candidates).map_or(i64::MAX, |count| count + 2);
            retry.next_try = Some(self.now + jiff::SignedDuration::from_secs(SNAPSHOT_HOUR_S));
        }
    }

    pub(super) fn start_step(&mut self) {
        let Some(transition) = self.memory.transition.clone() else { return };
        let Some(to) = transition.to else { return };
        match transition.step {
            Step::Boot => match self.vm_booted(&to) {
                Progress::Done => self.advance(Step::Prove),
                Progress::Busy if self.overdue(STANDBY_S) => self.start_failed(Failure::too_late(&to, STANDBY_S)),
                Progress::Busy => {}
                Progress::Failed(failure) => self.start_failed(failure),
            },
            Step::Prove => match self.serving(&to) {
                Progress::Done => {
                    self.settle_on(&to);
                    self.succeed();
                }
                Progress::Busy if self.overdue(SERVE_S) => self.start_failed(Failure::too_late(&to, SERVE_S)),
                Progress::Busy => {}
                Progress::Failed(failure) => self.start_failed(failure),
            },
            Step::Resume => self.resume_step(&to),
            Step::Halt => self.give_up_memory(&to),
            Step::Abandon => self.abandon_step(&to),
            Step::Home
            | Step::Snapshot
            | Step::Obtain
            | Step::LetGo
            | Step::Copy
            | Step::Move
            | Step::TakeBack
            | Step::Return
            | Step::ProveBack
            | Step::Suspend
            | Step::Set
            | Step::Resize
            | Step::Grow
            | Step::Release
            | Step::Dispose => self.lost_step(),
        }
    }

    fn start_failed(&mut self, failure: Failure) {
        if self.keeps_kernels() {
            return self.resume_failed(failure);
        }
        if let Some(failure) = self.again_or(failure) {
            self.note(true, failure.reason, failure.message.clone());
            self.give_up(&failure);
            // Guest attributes outlive a boot: what a VM has said once is no answer to the next try, which is told anew.
            if let Some(host) = self.memory.host.as_mut().filter(|host| host.kind == HostKind::Vm) {
                host.nonce.clear();
            }
        }
    }

    /// A host that is to serve again. One that has failed is told so under a new nonce.
    pub(super) fn to_serve_again(&self, host: HostRecord) -> HostRecord {
        let nonce = if host.nonce.is_empty() { self.new_host(&host.last_shape).nonce } else { host.nonce.clone() };
        HostRecord { serving_since: None, nonce, ..host }
    }

    /// The stopped VM has the home, is told to serve from it, and runs.
    pub(super) fn vm_booted(&mut self, host: &HostRecord) -> Progress {
        let Seen::Present(instance) = self.instance(&host.name) else { return self.vm_started(host) };
        if self.is_ours(&instance.labels) && instance.attachment(&self.home_name_of(host)).is_none() {
            match self.home_attached(host) {
                Progress::Done => {}
                other => return other,
            }
        }
        // What it is to offer is told before it boots: whether its GPUs are there, the guest asks then. Later it is a change of its own.
        let runs = instance.status == InstanceStatus::Running;
        let told = instance.settings.as_ref().is_some_and(|settings| {
            settings.role == GuestRole::Serve
                && settings.nonce == host.nonce
                && (runs || *settings.offer == self.offer(host))
        });
        if self.is_ours(&instance.labels) && !told {
            return self.set_settings("serve", host, &instance, GuestRole::Serve, &host.nonce);
        }
        self.vm_started(host)
    }

    /// Whether the host under way is not what is wished for any more: the person's last word counts.
    pub(super) fn wish_has_changed(&self, to: &HostRecord) -> bool {
        let Some(desired) = self.wish() else { return false };
        let candidate = self.memory.transition.as_ref().map_or(0, |transition| transition.candidate);
        let stop = self.resolution.power == crate::desired::Power::Stopped;
        let last_shape = self.memory.host.as_ref().is_some_and(|host| host.last_shape == to.last_shape);
        stop || self.home_wish_has_changed(desired)
            || !(last_shape || desired.host.candidate(candidate).is_some_and(|shape| *shape == to.last_shape))
    }

    /// A transition in a step that its kind does not have: only a hand-edited status says so. It is ended, and planned again.
    pub(super) fn lost_step(&mut self) {
        self.memory.transition = None;
    }
}

impl Failure {
    /// The person changed the wish meanwhile.
    pub(super) fn superseded() -> Self {
        Self {
            reason: Reason::Superseded,
            message: "another host is wished for now".to_owned(),
            weight: Weight::Passing,
        }
    }

    pub(super) fn too_late(host: &HostRecord, bound_s: i64) -> Self {
        Self {
            reason: Reason::HostFailed,
            message: format!("{} did not come up in {bound_s} s", host.name),
            weight: Weight::Host,
        }
    }

    /// The failure that a transition was turned back for.
    pub(super) fn recorded(reason: &rehost_api::status::TransitionReason) -> Self {
        let known = reason.reason.parse().unwrap_or(Reason::HostFailed);
        let weight = match known {
            Reason::Stockout | Reason::QuotaExceeded | Reason::IpSpaceExhausted => Weight::Capacity,
            Reason::Superseded | Reason::RateLimited => Weight::Passing,
            Reason::PermissionDenied
            | Reason::ContentMismatch
            | Reason::HomeDamaged
            | Reason::HomeMissing
            | Reason::NotOurs
            | Reason::Refused => Weight::Person,
            _ => Weight::Host,
        };
        Self { reason: known, message: reason.message.clone(), weight }
    }
}
