//! Beginning, advancing, retrying and ending a transition.

use rehost_api::conditions::Reason;
use rehost_api::labels;
use rehost_api::shape::HostShape;
use rehost_api::status::{HostKind, HostRecord, Retry, Step, Transition, TransitionKind, TransitionReason};

use super::bounds::{ATTEMPTS, backoff_s, round_pause_s};
use super::{Action, Failure, Note, Planner, Progress, Weight};
use crate::gce::errors::{Cause, GceError};
use crate::gce::mutation::Mutation;
use crate::gce::operations::OperationState;

impl Planner<'_> {
    /// Records a new transition. Nothing of it is called before this is stored.
    pub(super) fn begin(&mut self, kind: TransitionKind, step: Step, to: Option<HostRecord>, candidate: i64) {
        self.memory.last_transition += 1;
        let id = format!("t{}", self.memory.last_transition);
        if let Some(retry) = &mut self.memory.retry {
            retry.tried = candidate;
        }
        let from = self.memory.host.clone();
        self.note(false, kind_reason(kind, step), begin_message(kind, step, from.as_ref(), to.as_ref()));
        self.memory.transition = Some(Transition {
            id,
            kind,
            step,
            attempt: 1,
            started_at: self.now,
            step_started_at: self.now,
            from,
            to,
            candidate,
            reason: None,
            not_before: None,
            home: None,
            size_gb: None,
        });
        self.step_situation();
    }

    /// The record of a host that the next transition would make.
    pub(super) fn new_host(&self, shape: &HostShape) -> HostRecord {
        let id = format!("t{}", self.memory.last_transition + 1);
        self.host_of_shape(shape, &id, 1)
    }

    pub(super) fn host_of_shape(&self, shape: &HostShape, transition: &str, attempt: i64) -> HostRecord {
        let subject = &self.resolution.subject;
        let home = self.memory.home.as_ref();
        let name = match shape.kind() {
            HostKind::Vm => labels::host_name(&subject.uid, number_of(transition), attempt),
            HostKind::Pod => format!("{}-{transition}-a{attempt}", subject.name),
        };
        HostRecord {
            kind: shape.kind(),
            name,
            project: home.map(|home| home.project.clone()).unwrap_or_default(),
            zone: home.map(|home| home.zone.clone()).unwrap_or_default(),
            shape: shape.text(),
            machine_type: match shape {
                HostShape::Vm(vm) => Some(vm.machine_type.clone()),
                HostShape::Pod(_) => None,
            },
            gpu: shape.gpu().cloned(),
            address: None,
            node: None,
            started_at: None,
            nonce: format!("{transition}-a{attempt}"),
            boot_id: None,
            told: None,
            serving_since: None,
            last_shape: shape.clone(),
        }
    }

    /// Records the next step.
    pub(super) fn advance(&mut self, step: Step) {
        let now = self.now;
        if let Some(transition) = &mut self.memory.transition {
            transition.step = step;
            transition.attempt = 1;
            transition.step_started_at = now;
            transition.not_before = None;
        }
        self.step_situation();
    }

    /// Records that the change goes back, and why.
    pub(super) fn turn_back(&mut self, step: Step, failure: &Failure) {
        if let Some(transition) = &mut self.memory.transition {
            transition.reason =
                Some(TransitionReason { reason: failure.reason.as_str().to_owned(), message: failure.message.clone() });
        }
        self.note(true, failure.reason, failure.message.clone());
        self.advance(step);
    }

    fn step_situation(&mut self) {
        if let Some(transition) = &self.memory.transition {
            self.situation =
                super::Situation::Changing { kind: transition.kind, step: transition.step, detail: String::new() };
        }
    }

    /// The transition has reached its aim.
    pub(super) fn succeed(&mut self) {
        let Some(transition) = self.memory.transition.take() else { return };
        let wished = transition.candidate == 0 && transition.reason.is_none();
        if wished && !matches!(transition.kind, TransitionKind::Grow | TransitionKind::Follow) {
            self.memory.retry = None;
        } else {
            self.plan_next_round(transition.candidate);
        }
    }

    /// The last shape that ran is back in place of all that is wished for: the next round comes in its time.
    fn plan_next_round(&mut self, candidate: i64) {
        let candidates = self.wish().map_or(i64::MAX, |desired| desired.host.candidates());
        let now = self.now;
        if let Some(retry) =
            self.memory.retry.as_mut().filter(|retry| retry.next_try.is_none() && candidate >= candidates)
        {
            retry.rounds += 1;
            retry.next_try = Some(now + jiff::SignedDuration::from_secs(round_pause_s(retry.rounds)));
        }
    }

    /// The transition has ended without reaching its aim: what could not be had is remembered, with the time of the next try.
    pub(super) fn give_up(&mut self, failure: &Failure) {
        let Some(transition) = self.memory.transition.take() else { return };
        self.remember_failure(transition.candidate, failure);
    }

    pub(super) fn remember_failure(&mut self, candidate: i64, failure: &Failure) {
        let Some(resolved) = &self.memory.resolved else { return };
        let earlier = self.memory.retry.take().filter(|retry| retry.digest == resolved.digest);
        let candidates = i64::try_from(resolved.fallbacks.len()).map_or(i64::MAX, |count| count + 1);
        // Only missing capacity makes another host worth trying: what a person must mend would fail there too.
        let tried = match failure.weight {
            Weight::Capacity => candidate + 1,
            Weight::Passing | Weight::Host | Weight::Person => candidates + 1,
        };
        let round_over = tried > candidates || (tried == candidates && !self.last_shape_is_left());
        let rounds = earlier.as_ref().map_or(0, |retry| retry.rounds) + i64::from(round_over);
        let next_try = match (round_over, failure.reason) {
            (true, Reason::ContentMismatch | Reason::HomeDamaged) | (false, _) => None,
            (true, _) => Some(self.now + jiff::SignedDuration::from_secs(round_pause_s(rounds))),
        };
        let first = candidate == 0 || earlier.is_none();
        self.memory.retry = Some(Retry {
            digest: resolved.digest.clone(),
            // The sentence that people want is why the wished host was not to be had, not why its last substitute was not.
            reason: if first {
                failure.reason.to_string()
            } else {
                earlier.as_ref().map_or_else(String::new, |retry| retry.reason.clone())
            },
            message: if first {
                failure.message.clone()
            } else {
                earlier.as_ref().map_or_else(String::new, |retry| retry.message.clone())
            },
            tried,
            rounds,
            since: earlier.map_or(self.now, |retry| retry.since),
            next_try,
        });
    }

    /// Plans another attempt of the same step where the failure is passing and attempts are left; otherwise hands the failure back.
    pub(super) fn again_or(&mut self, failure: Failure) -> Option<Failure> {
        let now = self.now;
        let Some(transition) = &mut self.memory.transition else { return None };
        if failure.weight != Weight::Passing || transition.attempt >= ATTEMPTS {
            return Some(failure);
        }
        let pause = backoff_s(transition.attempt);
        transition.not_before = Some(now + jiff::SignedDuration::from_secs(pause));
        transition.attempt += 1;
        None
    }

    /// Makes a change in Compute Engine under this step's request id, unless its operation is under way or has ended. The caller has seen that
    /// the effect is not there.
    pub(super) fn cloud(&mut self, key: &str, mutation: Mutation) -> Progress {
        let Some(transition) = &self.memory.transition else { return Progress::Busy };
        if self.changes_what_is_not_ours(&mutation) {
            return Progress::Failed(Self::not_ours(mutation.target()));
        }
        let way = if transition.reason.is_some() { "back" } else { "there" };
        let step = format!("{:?}/{way}/{key}", transition.step);
        let request_id =
            labels::request_id(&self.resolution.subject.uid, number_of(&transition.id), &step, transition.attempt);
        match self.observed.operations.get(&request_id) {
            Some(OperationState::Running { .. }) => {
                self.look_again_in(super::bounds::POLL_SLOW_S);
                Progress::Busy
            }
            Some(OperationState::Failed(error, _)) => Progress::Failed(failure_of(error, &mutation)),
            Some(OperationState::Succeeded { .. }) => Progress::Failed(Failure {
                reason: Reason::HostFailed,
                message: format!("{} of {} was done, but its effect is not there", mutation.verb(), mutation.target()),
                weight: Weight::Passing,
            }),
            None => {
                match transition.not_before {
                    Some(at) if self.now < at => self.look_again_at(at),
                    Some(_) | None => self.actions.push(Action::Cloud { request_id, mutation }),
                }
                Progress::Busy
            }
        }
    }

    /// Whether the present step has lasted longer than its bound; otherwise the plan looks again when it will have.
    pub(super) fn overdue(&mut self, bound_s: i64) -> bool {
        let Some(transition) = &self.memory.transition else { return false };
        let until = transition.step_started_at + jiff::SignedDuration::from_secs(bound_s);
        if self.now >= until {
            return true;
        }
        self.look_again_at(until);
        false
    }

    pub(super) fn note(&mut self, warning: bool, reason: Reason, message: impl Into<String>) {
        self.notes.push(Note { warning, reason, message: message.into() });
    }
}

/// What is done, in one word.
pub fn kind_reason(kind: TransitionKind, step: Step) -> Reason {
    match kind {
        TransitionKind::Create => Reason::Creating,
        TransitionKind::Start if step == Step::Resume => Reason::Resuming,
        TransitionKind::Start => Reason::Starting,
        TransitionKind::Handover => Reason::Moving,
        TransitionKind::InPlace | TransitionKind::LiveResize | TransitionKind::Grow => Reason::Resizing,
        TransitionKind::Follow => Reason::Configuring,
        TransitionKind::Stop if step == Step::Suspend => Reason::Suspending,
        TransitionKind::Stop => Reason::Stopping,
        TransitionKind::Delete => Reason::Deleting,
    }
}

fn begin_message(kind: TransitionKind, step: Step, from: Option<&HostRecord>, to: Option<&HostRecord>) -> String {
    let from = from.map_or("nothing", |host| host.shape.as_str());
    let to = to.map_or("nothing", |host| host.shape.as_str());
    match kind {
        TransitionKind::Create => format!("A host is being made: {to}."),
        TransitionKind::Start if step == Step::Resume => format!("The suspended host is being resumed: {to}."),
        TransitionKind::Start => format!("The host is being started: {to}."),
        TransitionKind::Handover => {
            format!("Moving from {from} to {to}: the new host is obtained first, {from} serves until then.")
        }
        TransitionKind::InPlace => format!("Changing {from} to {to} in place: the host is stopped, set and started."),
        TransitionKind::LiveResize => format!("Changing the running pod from {from} to {to}."),
        TransitionKind::Grow => "The home disk grows.".to_owned(),
        TransitionKind::Follow => "The running host is told what it is to offer; nothing is interrupted.".to_owned(),
        TransitionKind::Stop if step == Step::Suspend => format!("Suspending {from}; kernels are kept."),
        TransitionKind::Stop if step == Step::Dispose => "The home is being deleted.".to_owned(),
        TransitionKind::Stop => format!("Stopping {from}; the home is kept."),
        TransitionKind::Delete => "The notebook is being deleted.".to_owned(),
    }
}

/// What a refusal of the cloud means for the step that met it, in words that name what was asked for.
fn failure_of(error: &GceError, mutation: &Mutation) -> Failure {
    let what = in_words(mutation);
    let (reason, weight) = match &error.cause {
        Cause::Stockout { .. } => (Reason::Stockout, Weight::Capacity),
        Cause::Quota { .. } => (Reason::QuotaExceeded, Weight::Capacity),
        Cause::IpSpaceExhausted => (Reason::IpSpaceExhausted, Weight::Capacity),
        Cause::RateLimited | Cause::ConcurrentOperations => (Reason::RateLimited, Weight::Passing),
        Cause::PermissionDenied | Cause::Unauthenticated => (Reason::PermissionDenied, Weight::Person),
        Cause::Invalid => (Reason::Refused, Weight::Person),
        Cause::NotFound
        | Cause::AlreadyExists
        | Cause::StaleFingerprint
        | Cause::ResourceInUse
        | Cause::NotReady
        | Cause::Server
        | Cause::EffectUnknown => (Reason::HostFailed, Weight::Passing),
    };
    Failure { reason, message: format!("{what}: {error}"), weight }
}

/// The number in a transition's id.
pub(super) fn number_of(id: &str) -> i64 {
    id.strip_prefix('t').and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// What was asked for, as a person would say it.
fn in_words(mutation: &Mutation) -> String {
    let zone = &mutation.place().zone;
    match mutation {
        Mutation::InsertInstance { instance, .. } => {
            let gpus: Vec<String> =
                instance.accelerators.iter().map(|it| format!("{} {}", it.count, it.kind)).collect();
            let with = if gpus.is_empty() { String::new() } else { format!(" with {}", gpus.join(", ")) };
            format!("a VM of {}{with} cannot be had in {zone}", instance.machine_type)
        }
        Mutation::SuspendInstance { name, .. } => format!("the VM {name} cannot be suspended in {zone}"),
        Mutation::ResumeInstance { name, .. } => format!("the VM {name} cannot be resumed in {zone}"),
        Mutation::StartInstance { name, .. } => format!("the VM {name} cannot be started in {zone}"),
        other => format!("{} of {} in {zone} failed", other.verb(), other.target()),
    }
}
