//! What the clock says: the schedule's starts and stops, and the end of a notebook's lifetime.
//!
//! A person's word stands until the schedule says something again: who wakes a notebook in the evening has it until the next stop,
//! and who stops it by hand has it stopped until the next start.

use jiff::SignedDuration;
use rehost_api::conditions::Reason;
use rehost_api::labels;
use rehost_api::notebook::LifetimeAction;
use rehost_api::status::{FollowedSchedule, Step, StopReason, Stopped, TransitionKind};

use super::{Failure, Planner, Progress, Situation};
use crate::desired::{HomePolicy, Turn};

impl Planner<'_> {
    /// Follows what the clock has said since it was last followed.
    pub(super) fn follow_clock(&mut self) {
        self.follow_schedule();
        self.end_lifetime();
        if self.memory.stopped.is_some() {
            self.memory.started = None;
        }
    }

    fn follow_schedule(&mut self) {
        let Some(schedule) = &self.resolution.clock.schedule else {
            self.memory.schedule = None;
            return;
        };
        let now = self.now;
        match &mut self.memory.schedule {
            Some(followed) if followed.digest == schedule.digest => {
                if let Some((at, turn)) = schedule.last(followed.until, now) {
                    followed.until = at;
                    self.turn(turn);
                }
            }
            // What another schedule would have said before it was written is not caught up with.
            Some(_) | None => {
                self.memory.schedule = Some(FollowedSchedule { digest: schedule.digest.clone(), until: now });
            }
        }
        if let Some(at) = schedule.next(now) {
            self.look_again_at(at);
        }
    }

    fn turn(&mut self, turn: Turn) {
        match (turn, &self.memory.stopped) {
            (Turn::Stop, None) => {
                self.memory.stopped = Some(Stopped { at: self.now, reason: StopReason::Schedule, declared: false });
                let words = format!(
                    "The notebook is stopped by its schedule; the home is kept. Annotate it with {} to go on until the next stop.",
                    labels::WAKE
                );
                self.note(false, Reason::Schedule, words);
            }
            // What `spec.state` says is stronger than the clock, and what was given up is not made again by it.
            (Turn::Start, Some(stopped)) if !stopped.declared && stopped.reason != StopReason::Expired => {
                self.memory.stopped = None;
                self.memory.retry = None;
                self.note(false, Reason::Schedule, "The notebook is started by its schedule.");
            }
            (Turn::Stop | Turn::Start, Some(_)) | (Turn::Start, None) => {}
        }
    }

    fn end_lifetime(&mut self) {
        let Some(lifetime) = self.resolution.clock.lifetime.filter(|_| self.memory.stopped.is_none()) else { return };
        let serving = self.memory.host.as_ref().and_then(|host| host.serving_since);
        let Some(since) = self.memory.started.or(serving) else { return };
        let ends = since + SignedDuration::from_secs(lifetime.after_s);
        if self.now < ends {
            return self.look_again_at(ends);
        }
        let (reason, what, said) = match (lifetime.then, lifetime.home) {
            (LifetimeAction::Stop, _) => (StopReason::Lifetime, "is stopped; the home is kept", Reason::Lifetime),
            (LifetimeAction::Release, HomePolicy::Retain) => {
                (StopReason::Expired, "gives its host up; the home is kept", Reason::Expired)
            }
            (LifetimeAction::Release, HomePolicy::Delete) => (
                StopReason::Expired,
                "gives its host up, and the home is deleted, as its deletionPolicy says",
                Reason::Expired,
            ),
        };
        self.memory.stopped = Some(Stopped { at: self.now, reason, declared: false });
        self.note(false, said, format!("The notebook has run for its lifetime and {what}."));
    }

    /// Whether the notebook's time is over and its home was given up: then none is made until somebody asks for it.
    pub(super) fn has_given_all_up(&self) -> bool {
        let expired = self.memory.stopped.as_ref().is_some_and(|stopped| stopped.reason == StopReason::Expired);
        expired && self.memory.home.is_none()
    }

    /// The host of a notebook whose time is over is gone: so goes the home, where its policy says so.
    pub(super) fn begin_disposal(&mut self, stopped: &Stopped) -> bool {
        let deletes = self.home_policy() == HomePolicy::Delete;
        if stopped.reason != StopReason::Expired || !deletes || self.memory.home.is_none() {
            return false;
        }
        self.begin(TransitionKind::Stop, Step::Dispose, None, 0);
        true
    }

    /// What becomes of a home that is given up: by a deletion, or at the end of a lifetime.
    pub(super) fn home_policy(&self) -> HomePolicy {
        match (&self.resolution.deletion, self.resolution.clock.lifetime) {
            (Some(deletion), _) => deletion.policy,
            (None, Some(lifetime)) if lifetime.then == LifetimeAction::Release => lifetime.home,
            (None, _) => HomePolicy::Retain,
        }
    }

    /// The home of a notebook whose time is over is deleted. A policy that was changed before that keeps it.
    pub(super) fn dispose_step(&mut self) {
        if self.home_policy() != HomePolicy::Delete {
            self.memory.transition = None;
            return;
        }
        let progress = self.home_disposed();
        if let Situation::Deleting(detail) = &self.situation {
            let detail = detail.clone();
            self.situation = Situation::Changing { kind: TransitionKind::Stop, step: Step::Dispose, detail };
        }
        match progress {
            Progress::Done => {
                self.memory.home = None;
                self.memory.host = None;
                self.memory.transition = None;
            }
            Progress::Busy => {}
            Progress::Failed(failure) => self.try_disposal_again(failure),
        }
    }

    fn try_disposal_again(&mut self, failure: Failure) {
        if let Some(failure) = self.again_or(failure) {
            self.note(true, failure.reason, failure.message);
            let not_before = self.now + SignedDuration::from_secs(60);
            if let Some(transition) = &mut self.memory.transition {
                transition.attempt += 1;
                transition.not_before = Some(not_before);
            }
        }
    }
}
