//! What should be next for a notebook with nothing under way: the requests of its people, then its home, then its host.

mod running;
mod whereabouts;

use rehost_api::conditions::Reason;
use rehost_api::labels;
use rehost_api::shape::HostShape;
use rehost_api::status::{HomeRecord, HostKind, Resolved, Step, StopReason, Stopped, TransitionKind};

pub(super) use whereabouts::Whereabouts;

use super::bounds::POLL_SLOW_S;
use super::{Planner, Situation};
use crate::desired::{Desired, Power, Refusal};
use crate::gce::operations::OperationState;
use crate::seen::Seen;

impl Planner<'_> {
    /// Decides what is next, and begins it.
    pub(super) fn next(&mut self, desired: &Desired) {
        self.follow_clock();
        self.take_requests();
        if self.has_given_all_up() {
            self.situation = Situation::Stopped(StopReason::Expired);
            return;
        }
        if !self.home_settled(desired) {
            return;
        }
        self.remember_resolution(desired);
        self.notice_lost_kernels();
        match self.memory.stopped.clone() {
            Some(stopped) => self.rest(desired, &stopped),
            None => self.run(desired),
        }
    }

    /// The wish cannot be fulfilled as written.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.follow_clock();
        self.take_requests();
        if let Some(home) = self.memory.home.clone() {
            self.follow_home_size(home);
        }
        self.leave_as_it_is(refusal);
    }

    /// What runs is left as it is, but for this: who wants it stopped gets it stopped, and what somebody else has stopped or started
    /// is known for what it is.
    fn leave_as_it_is(&mut self, refusal: &Refusal) {
        self.situation = Situation::Refused(refusal.clone());
        match self.whereabouts() {
            Whereabouts::RunsVm(_) | Whereabouts::RunsPod(_) if self.memory.stopped.is_some() => {
                self.begin(TransitionKind::Stop, Step::Halt, None, 0);
            }
            Whereabouts::RunsVm(instance) => self.vm_runs_while_refused(&instance),
            Whereabouts::RunsPod(pod) => self.pod_runs_while_refused(&pod),
            // Nobody is sent there any more, whatever the wish is worth.
            Whereabouts::Nowhere | Whereabouts::AtRest | Whereabouts::Asleep | Whereabouts::InMotion(_) => {
                self.serve_no_more();
            }
            Whereabouts::Unclear(_) => {}
        }
        // The refusal is what people have to act on, not what is tried meanwhile.
        if self.memory.transition.is_none() {
            if refusal.reason == Reason::CloudUnknown {
                // Nobody tells us when it can be seen again.
                self.look_again_in(POLL_SLOW_S);
            }
            self.situation = Situation::Refused(refusal.clone());
        }
    }

    fn remember_resolution(&mut self, desired: &Desired) {
        self.memory.resolved = Some(Resolved {
            digest: desired.host.digest.clone(),
            host: desired.host.shape.clone(),
            fallbacks: desired.host.fallbacks.clone(),
            home_type: desired.home.disk_type.clone(),
        });
        if self.memory.retry.as_ref().is_some_and(|retry| retry.digest != desired.host.digest) {
            self.memory.retry = None;
        }
    }

    /// The request annotations and `spec.state`: any value that was not handled is a new request; clocks are not compared.
    fn take_requests(&mut self) {
        let declared = self.resolution.power == Power::Stopped;
        let stop = is_new(self.resolution.requests.stop.as_ref(), self.memory.handled.stop.as_ref());
        let wake = is_new(self.resolution.requests.wake.as_ref(), self.memory.handled.wake.as_ref());
        if stop {
            self.memory.handled.stop.clone_from(&self.resolution.requests.stop);
        }
        if wake {
            self.memory.handled.wake.clone_from(&self.resolution.requests.wake);
            // Who wakes a notebook wants it tried now, and for a whole lifetime.
            self.memory.retry = None;
            self.memory.started = self.memory.host.as_ref().and_then(|host| host.serving_since).map(|_| self.now);
        }
        self.memory.stopped = match self.memory.stopped.take() {
            Some(stopped) if declared => Some(Stopped { declared, ..stopped }),
            None if declared || (stop && !wake) => Some(Stopped { at: self.now, reason: StopReason::Asked, declared }),
            Some(stopped) if stopped.declared || wake => None,
            other => other,
        };
    }

    /// The home is recorded, and what is recorded is what is there. False where a person must act first.
    fn home_settled(&mut self, desired: &Desired) -> bool {
        let Some(home) = self.memory.home.clone() else {
            if let Some(kept) = self.observed.kept_disks.first().filter(|_| !desired.home.start_blank) {
                self.situation = Situation::Refused(Refusal {
                    reason: Reason::KeptDiskFound,
                    field: "spec.storage.from".to_owned(),
                    message: format!(
                        "the disk {} in {} was kept from an earlier notebook of this name; say spec.storage.from.blank: true to start anew and leave it as it is",
                        kept.name, kept.zone,
                    ),
                });
                return false;
            }
            self.memory.home = Some(self.new_home(desired));
            return true;
        };
        if self.never_was(&home) && !super::conversion::suits(&home, &desired.home) {
            self.memory.home = Some(self.new_home(desired));
            return true;
        }
        let gone = home.id.is_some() && !home.claim && self.disk_of(&home).is_absent();
        let other = match (&home.id, self.disk_of(&home)) {
            (Some(id), Seen::Present(disk)) => *id != disk.id.to_string(),
            (None, _) | (_, Seen::Absent | Seen::Unknown(_)) => false,
        };
        if gone || other {
            let failure = super::home::missing(&home);
            self.serve_no_more();
            self.situation = Situation::Refused(Refusal {
                reason: Reason::HomeMissing,
                field: "status.home".to_owned(),
                message: failure.message,
            });
            return false;
        }
        let home = self.follow_home_size(home);
        if desired.home.size_gb < home.size_gb {
            self.leave_as_it_is(&Refusal {
                reason: Reason::HomeShrink,
                field: "spec.storage.size".to_owned(),
                message: format!(
                    "{}Gi is smaller than the home, which has {}Gi; a home only grows: say {}Gi or more",
                    desired.home.size_gb, home.size_gb, home.size_gb,
                ),
            });
            return false;
        }
        true
    }

    /// A home that somebody else let grow is as large as it is: the record follows.
    fn follow_home_size(&mut self, home: HomeRecord) -> HomeRecord {
        let Seen::Present(disk) = self.disk_of(&home) else { return home };
        let has_gb = i64::try_from(disk.size_gb).unwrap_or(i64::MAX);
        if home.claim || has_gb <= home.size_gb {
            return home;
        }
        let home = HomeRecord { size_gb: has_gb, ..home };
        self.memory.home = Some(home.clone());
        home
    }

    /// A home that is recorded, and of which no disk was ever seen: nothing of it can be lost.
    fn never_was(&self, home: &HomeRecord) -> bool {
        let under_way = self.observed.operations.values().any(|it| matches!(it, OperationState::Running { .. }));
        home.id.is_none() && !home.claim && self.observed.home.is_absent() && !under_way
    }

    fn new_home(&self, desired: &Desired) -> HomeRecord {
        let uid = &self.resolution.subject.uid;
        let transition = self.memory.last_transition + 1;
        let home = &desired.home;
        HomeRecord {
            disk: labels::disk_name(uid, transition),
            id: None,
            content_id: labels::content_id(uid).to_string(),
            formatted: false,
            size_gb: home.size_gb,
            disk_type: if home.claim { String::new() } else { home.disk_type.clone() },
            project: if home.claim { String::new() } else { home.project.clone() },
            zone: if home.claim { String::new() } else { home.zone.clone() },
            claim: home.claim,
        }
    }

    /// The notebook is to be stopped, or is.
    fn rest(&mut self, desired: &Desired, stopped: &Stopped) {
        self.situation = Situation::Stopped(stopped.reason);
        match self.whereabouts() {
            Whereabouts::Nowhere => {
                self.serve_no_more();
                if !self.begin_disposal(stopped) {
                    self.begin_growth(desired);
                }
            }
            Whereabouts::AtRest => {
                if !self.begin_growth(desired) {
                    self.keep_host(desired, stopped);
                }
            }
            // The disk under a file system that sleeps is left as it is: it grows when the notebook is woken.
            Whereabouts::Asleep => {
                self.situation = Situation::Suspended(stopped.reason);
                self.keep_host(desired, stopped);
            }
            Whereabouts::RunsVm(_) | Whereabouts::RunsPod(_) => self.begin_rest(desired, stopped.reason),
            Whereabouts::InMotion(words) => self.wait_for_motion(&words),
            Whereabouts::Unclear(why) => self.situation = Situation::Unclear(why),
        }
    }

    /// The host at rest is kept for a time; then only the disk is.
    fn keep_host(&mut self, desired: &Desired, stopped: &Stopped) {
        let keep_s = if stopped.reason == StopReason::Expired { 0 } else { desired.keep_stopped_s };
        let until = stopped.at + jiff::SignedDuration::from_secs(keep_s);
        if self.now >= until {
            self.begin(TransitionKind::Stop, Step::Release, None, 0);
        } else {
            self.look_again_at(until);
        }
    }

    /// The notebook is to run.
    fn run(&mut self, desired: &Desired) {
        match self.whereabouts() {
            Whereabouts::Nowhere => self.run_anew(desired),
            Whereabouts::AtRest => self.run_from_rest(desired, false),
            Whereabouts::Asleep => self.run_from_rest(desired, true),
            Whereabouts::RunsVm(instance) => self.run_on_vm(desired, &instance),
            Whereabouts::RunsPod(pod) => self.run_on_pod(desired, &pod),
            Whereabouts::InMotion(words) => self.wait_for_motion(&words),
            Whereabouts::Unclear(why) => self.situation = Situation::Unclear(why),
        }
    }

    fn wait_for_motion(&mut self, words: &str) {
        self.serve_no_more();
        self.situation = Situation::Unclear(words.to_owned());
        self.look_again_in(POLL_SLOW_S);
    }

    /// There is no host: one is made around the home.
    fn run_anew(&mut self, desired: &Desired) {
        if self.memory.host.as_ref().is_some_and(|host| host.serving_since.is_some()) {
            self.note(
                true,
                Reason::HostFailed,
                "The host is gone, not by our doing; the home is kept, and a new host is made.",
            );
            self.serve_no_more();
        }
        let Some((candidate, shape)) = self.candidate(desired) else { return };
        self.handled_restart();
        if self.waits_for_the_former_home(desired) {
            return;
        }
        let next = self.next_home(desired);
        let to = self.new_host(&shape);
        let step = if next.is_some() { Step::Copy } else { Step::Home };
        self.begin(TransitionKind::Create, step, Some(to), candidate);
        self.lead_to(next);
    }

    /// Never more than two disks: another copy waits until the one before the last is gone.
    fn waits_for_the_former_home(&mut self, desired: &Desired) -> bool {
        if self.next_home(desired).is_none() {
            return false;
        }
        let Some(disk) = self.former_home_goes_first() else { return false };
        self.situation = Situation::Changing {
            kind: TransitionKind::Handover,
            step: Step::Snapshot,
            detail: format!("the disk {disk}, which was the home before, is removed first"),
        };
        self.look_again_in(super::bounds::POLL_S);
        true
    }

    /// The host is stopped or suspended: it is started or resumed, set and started, or left for another.
    fn run_from_rest(&mut self, desired: &Desired, sleeps: bool) {
        if self.notice_end(desired, sleeps) {
            return;
        }
        let Some((candidate, shape)) = self.candidate(desired) else { return };
        self.handled_restart();
        let Some(host) = self.memory.host.clone() else { return };
        if self.next_home(desired).is_some() {
            self.begin_handover(desired, &shape, candidate);
        } else if host.last_shape == shape && sleeps {
            self.begin_resume(host, candidate);
        } else if host.last_shape == shape {
            let to = self.to_serve_again(host);
            self.begin(TransitionKind::Start, Step::Boot, Some(to), candidate);
        } else if desired.in_place && self.can_change_in_place(&shape) {
            self.begin_in_place(&shape, candidate);
        } else {
            self.begin_handover(desired, &shape, candidate);
        }
    }

    /// Begins a handover, once a host of an earlier one is gone: never more than two hosts.
    pub(super) fn begin_handover(&mut self, desired: &Desired, shape: &HostShape, candidate: i64) {
        if !self.former_has_gone() || self.waits_for_the_former_home(desired) {
            return;
        }
        let next = self.next_home(desired);
        let to = self.new_host(shape);
        // Who serves nobody is not interrupted: then one snapshot is enough.
        let serves = self.memory.host.as_ref().is_some_and(|host| host.serving_since.is_some());
        let step = if next.is_some() && serves { Step::Snapshot } else { Step::Obtain };
        self.begin(TransitionKind::Handover, step, Some(to), candidate);
        self.lead_to(next);
    }

    /// Whether no host of an earlier handover is left: one that is still kept is removed now.
    pub(super) fn former_has_gone(&mut self) -> bool {
        let former = self.memory.former.as_mut().map(|former| {
            former.keep_until = former.keep_until.min(self.now);
            former.host.name.clone()
        });
        if let Some(left) = former.or_else(|| self.pod_left_over()) {
            self.situation = Situation::Changing {
                kind: TransitionKind::Handover,
                step: Step::Obtain,
                detail: format!("what the last handover has left, {left}, is removed first"),
            };
            self.look_again_in(super::bounds::POLL_S);
            return false;
        }
        true
    }

    /// The wished host or the fallback whose turn it is; none while the next round has not come.
    fn candidate(&mut self, desired: &Desired) -> Option<(i64, HostShape)> {
        let tried = self.memory.retry.as_ref().map_or(0, |retry| retry.tried);
        if let Some(shape) = desired.host.candidate(tried) {
            return Some((tried, shape.clone()));
        }
        // After all of them: the last shape that ran, where the notebook would otherwise have no host at all.
        if tried == desired.host.candidates() && self.last_shape_is_left() {
            return self.memory.host.as_ref().map(|host| (tried, host.last_shape.clone()));
        }
        self.situation = Situation::Short;
        let next_try = self.memory.retry.as_ref().and_then(|retry| retry.next_try)?;
        if self.now < next_try {
            self.look_again_at(next_try);
            return None;
        }
        Some((0, desired.host.shape.clone()))
    }

    /// Whether the last shape that ran is none of the candidates, its host does not run now, and the notebook may go back to it.
    pub(super) fn last_shape_is_left(&self) -> bool {
        if self.wish().is_some_and(|desired| !desired.return_on_stockout) {
            return false;
        }
        let (Some(host), Some(resolved)) = (&self.memory.host, &self.memory.resolved) else { return false };
        let candidate = resolved.host == host.last_shape || resolved.fallbacks.contains(&host.last_shape);
        host.kind == HostKind::Vm && host.serving_since.is_none() && !candidate
    }
}

fn is_new(asked: Option<&String>, handled: Option<&String>) -> bool {
    asked.is_some() && asked != handled
}
