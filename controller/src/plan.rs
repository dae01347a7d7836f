//! The planner: what is wanted, what is there and what time it is, in; the next calls, and what must be remembered
//! before they are made, out. Pure: no client, no clock, no randomness.
//!
//! **Record, then act.** A plan that changes the memory ([`Memory`]: the transition and its step, the hosts, the home) makes
//! no call that changes a host or a disk: the memory is stored first, with the resourceVersion as precondition, and the
//! next plan, made from what was stored, acts. So whatever a crash interrupts was intended by a status that is still there.
//!
//! **Plan, then look.** At rest a plan is made from caches. If it wants to do anything, the world is read afresh and the plan
//! is made again: only a plan from fresh reads is carried out.

mod action;
mod bounds;
mod clock;
mod conversion;
mod create;
mod delete;
mod ended;
mod evidence;
mod exposure;
mod follow;
mod former_home;
mod handover;
mod hold;
mod home;
mod in_place;
mod lifecycle;
mod live;
mod memory;
mod ownership;
mod pod;
mod pod_settings;
mod rebuild;
mod room;
mod situation;
mod stop;
mod suspension;
#[cfg(test)]
mod tests;
mod transition;
mod vm;
mod when;

use jiff::Timestamp;
use rehost_api::status::{Step, TransitionKind};

pub use action::{Action, ClaimPlan, KubeChange, PodPlan, Reach, ServicePlan, SettingsPlan, SlicePlan, VolumePlan};
pub use conversion::difference as home_difference;
pub use handover::returned_name;
pub use memory::Memory;
pub use situation::{Note, Situation};
pub use transition::kind_reason;

use crate::desired::{Desired, Resolution};
use crate::observe::Observed;
use crate::seen::Seen;

/// What to do now, and what to remember before.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What status must remember. Where it differs from what is stored, it is stored before anything is done.
    pub memory: Memory,
    /// The calls to make, all of them fully decided.
    pub actions: Vec<Action>,
    /// The situation, from which the conditions are written.
    pub situation: Situation,
    /// When to look again, if nothing wakes the notebook before.
    pub wake_at: Option<Timestamp>,
    /// Whether what only the host can say is wanted now: it is read afresh, and the plan made again.
    pub wants_evidence: bool,
    /// What people are told as events, once the memory is stored.
    pub notes: Vec<Note>,
}

impl Plan {
    /// Whether the plan puts our finalizer on the notebook or takes it away.
    #[must_use]
    pub fn changes_finalizer(&self) -> bool {
        let finalizer =
            |action: &Action| matches!(action, Action::Kube(KubeChange::AddFinalizer | KubeChange::RemoveFinalizer));
        self.actions.iter().any(finalizer)
    }

    /// Whether the plan does nothing and remembers nothing new: the notebook is at rest, or waits.
    #[must_use]
    pub fn is_quiet(&self, observed: &Observed) -> bool {
        self.actions.is_empty() && self.memory == Memory::of(&observed.previous)
    }
}

/// Makes the plan.
#[must_use]
pub fn plan(resolution: &Resolution, observed: &Observed, now: Timestamp) -> Plan {
    let mut planner = Planner::new(resolution, observed, now);
    planner.decide();
    planner.finish()
}

/// How far one sub-goal has come.
enum Progress {
    /// It is reached.
    Done,
    /// A call is planned or under way, or something is waited for.
    Busy,
    /// It cannot be reached this way.
    Failed(Failure),
}

impl Progress {
    /// Both of two sub-goals that do not wait for each other.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed(failure), _) | (_, Self::Failed(failure)) => Self::Failed(failure),
            (Self::Busy, _) | (_, Self::Busy) => Self::Busy,
            (Self::Done, Self::Done) => Self::Done,
        }
    }
}

/// Why a sub-goal cannot be reached.
#[derive(Clone, Debug, PartialEq)]
struct Failure {
    reason: rehost_api::conditions::Reason,
    message: String,
    weight: Weight,
}

/// What a failure means for the step that met it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// Worth another attempt of the same.
    Passing,
    /// Not to be had for now.
    Capacity,
    /// The host does not come up, or does not answer in its time.
    Host,
    /// A person must act.
    Person,
}

/// The state of one planning pass.
struct Planner<'a> {
    resolution: &'a Resolution,
    observed: &'a Observed,
    now: Timestamp,
    memory: Memory,
    actions: Vec<Action>,
    situation: Situation,
    wake_at: Option<Timestamp>,
    wants_evidence: bool,
    notes: Vec<Note>,
}

impl<'a> Planner<'a> {
    fn new(resolution: &'a Resolution, observed: &'a Observed, now: Timestamp) -> Self {
        Self {
            resolution,
            observed,
            now,
            memory: Memory::of(&observed.previous),
            actions: Vec::new(),
            situation: Situation::AsDeclared,
            wake_at: None,
            wants_evidence: false,
            notes: Vec::new(),
        }
    }

    /// The order of concerns: deletion before everything, then what is under way, then what should be next.
    fn decide(&mut self) {
        if self.resolution.deletion.is_some() {
            return self.delete();
        }
        if self.hold_finalizer() {
            return;
        }
        self.rebuild_lost_memory();
        if self.memory.transition.is_some() {
            self.step();
        }
        if self.memory.transition.is_none() {
            self.follow();
        }
        self.look_again_soon_enough();
        self.retire_former();
        self.retire_former_home();
        self.sweep_pods();
        self.expose();
    }

    /// What follows when nothing is under way, or as soon as a change has ended: the same plan says what the notebook is now, so
    /// that one write of the status ends a change, and the next change is not a look later.
    fn follow(&mut self) {
        self.situation = Situation::AsDeclared;
        self.wake_at = None;
        match &self.resolution.wish {
            Ok(desired) => match self.place_taken() {
                Some(refusal) => self.refused(&refusal),
                None => self.next(desired),
            },
            Err(refusal) => self.refused(refusal),
        }
    }

    /// Whatever a change waits for has its own way to wake us; should that fail, this does. What could not be looked at wakes
    /// nobody, so it is looked at again soon, however far away the bound of the step is.
    fn look_again_soon_enough(&mut self) {
        if self.memory.transition.is_none() {
            return;
        }
        let Observed {
            instances, home, beside, pods, settings, service: _, slice: _, volume, claim, attachments, ..
        } = self.observed;
        let unclear = instances.values().any(Seen::is_unknown)
            || home.is_unknown()
            || beside.disk.is_unknown()
            || pods.is_unknown()
            || settings.values().any(Seen::is_unknown)
            || volume.is_unknown()
            || claim.is_unknown()
            || attachments.is_unknown();
        if unclear {
            self.look_again_in(bounds::POLL_S);
        } else if self.wake_at.is_none() {
            self.look_again_in(bounds::POLL_SLOW_S);
        }
    }

    /// One step of the transition under way.
    fn step(&mut self) {
        let Some(transition) = &self.memory.transition else { return };
        self.situation = Situation::Changing { kind: transition.kind, step: transition.step, detail: String::new() };
        match transition.kind {
            TransitionKind::Create => self.create_step(),
            TransitionKind::Start => self.start_step(),
            TransitionKind::Handover => self.handover_step(),
            TransitionKind::InPlace => self.in_place_step(),
            TransitionKind::LiveResize => self.live_resize_step(),
            TransitionKind::Grow => self.grow_step(),
            TransitionKind::Follow => self.follow_step(),
            TransitionKind::Stop => self.stop_step(),
            // Deletion is decided before this is reached; a deletion cannot be taken back in Kubernetes.
            TransitionKind::Delete => self.delete(),
        }
    }

    /// What is wished for, where it could be resolved.
    fn wish(&self) -> Option<&'a Desired> {
        self.resolution.wish.as_ref().ok()
    }

    fn step_of_transition(&self) -> Option<Step> {
        self.memory.transition.as_ref().map(|transition| transition.step)
    }

    /// Look again after so many seconds at the latest.
    fn look_again_in(&mut self, seconds: f64) {
        let at = self.now + jiff::SignedDuration::from_secs_f64(seconds);
        self.look_again_at(at);
    }

    /// Look again then at the latest.
    fn look_again_at(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Says in the situation what is waited for.
    fn waiting_for(&mut self, words: impl Into<String>) {
        if let Situation::Changing { detail, .. } = &mut self.situation {
            *detail = words.into();
        }
    }

    /// Withholds every call until the memory is stored, where the memory has changed.
    fn finish(mut self) -> Plan {
        if self.memory != Memory::of(&self.observed.previous) {
            self.actions.retain(Action::needs_no_record);
        }
        Plan {
            memory: self.memory,
            actions: self.actions,
            situation: self.situation,
            wake_at: self.wake_at,
            wants_evidence: self.wants_evidence,
            notes: self.notes,
        }
    }
}
