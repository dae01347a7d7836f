//! Suspended hosts: their memory is kept, so that kernels go on where they were.
//!
//! A suspended machine has the home mounted in its memory. So nothing is detached from it and nothing of it is set: it is resumed
//! first, and lets go in order. Where it cannot be resumed it is stopped. What only its memory held is lost then, and status says so.

use rehost_api::conditions::Reason;
use rehost_api::notebook::IdleAction;
use rehost_api::status::{HostRecord, KernelState, Kernels, Step, StopReason, TransitionKind};

use super::bounds::{RESUME_S, SUSPEND_S};
use super::lifecycle::Whereabouts;
use super::{Failure, Planner, Progress, Weight};
use crate::desired::{Desired, obstacle_to_suspension};

/// As much as status takes of the reason why kernels are lost.
const WHY_LENGTH_MAX: usize = 1024;

impl Planner<'_> {
    /// Begins to bring the host to rest: suspended where an idle one is to be and can be, otherwise stopped.
    pub(super) fn begin_rest(&mut self, desired: &Desired, reason: StopReason) {
        self.memory.kernels = None;
        let suspends = desired.idle.is_some_and(|idle| idle.then == IdleAction::Suspend) && reason == StopReason::Idle;
        let obstacle = self.memory.host.as_ref().and_then(|host| obstacle_to_suspension(&host.last_shape));
        match obstacle.filter(|_| suspends) {
            None if suspends => self.begin(TransitionKind::Stop, Step::Suspend, None, 0),
            None => self.begin(TransitionKind::Stop, Step::Halt, None, 0),
            Some(why) => {
                self.begin(TransitionKind::Stop, Step::Halt, None, 0);
                self.record_loss(why);
            }
        }
    }

    /// The host that is to be suspended is; where Compute Engine refuses, it is stopped, and status says why.
    pub(super) fn suspend_step(&mut self, from: &HostRecord) {
        self.waiting_for(format!("{} is being suspended", from.shape));
        let failure = match self.vm_suspended(from) {
            Progress::Done => return self.suspended(),
            Progress::Busy if self.overdue(SUSPEND_S) => Failure::too_long(from, "suspended", SUSPEND_S),
            Progress::Busy => return,
            Progress::Failed(failure) => failure,
        };
        if let Some(failure) = self.again_or(failure) {
            self.lose_kernels(&failure.message);
            self.advance(Step::Halt);
        }
    }

    fn suspended(&mut self) {
        self.keep_kernels();
        if let Some(host) = &mut self.memory.host {
            host.address = None;
        }
        self.memory.retry = None;
        self.succeed();
    }

    /// Begins to resume the suspended host. It is told to serve under a new nonce: its answer is then of after its sleep.
    pub(super) fn begin_resume(&mut self, host: HostRecord, candidate: i64) {
        let nonce = self.new_host(&host.last_shape).nonce;
        let to = HostRecord { serving_since: None, boot_id: None, nonce, ..host };
        self.begin(TransitionKind::Start, Step::Resume, Some(to), candidate);
    }

    pub(super) fn resume_step(&mut self, to: &HostRecord) {
        self.waiting_for(format!("{} is being resumed", to.shape));
        match self.vm_resumed(to) {
            Progress::Done => self.advance(Step::Prove),
            Progress::Busy if self.overdue(RESUME_S) => {
                self.resume_failed(Failure::too_long(to, "resumed", RESUME_S));
            }
            Progress::Busy => {}
            Progress::Failed(failure) => self.resume_failed(worth_another_try(failure)),
        }
    }

    /// What cannot be resumed is stopped, and then started the ordinary way.
    pub(super) fn resume_failed(&mut self, failure: Failure) {
        let Some(failure) = self.again_or(failure) else { return };
        self.turn_back(Step::Halt, &failure);
        self.notes.pop();
        self.lose_kernels(&failure.message);
    }

    /// The host that could not be resumed is stopped. Should Compute Engine not stop it either, it is deleted: the home stays.
    pub(super) fn give_up_memory(&mut self, to: &HostRecord) {
        self.waiting_for(format!("{} could not be resumed and is being stopped", to.shape));
        match self.vm_stopped(to) {
            Progress::Done => {
                if let Some(transition) = &mut self.memory.transition {
                    // The former nonce: a late answer to the new one would be of the boot that is over.
                    transition.to = transition.from.clone().map(|host| HostRecord { serving_since: None, ..host });
                    transition.reason = None;
                }
                self.advance(Step::Boot);
            }
            Progress::Busy => {}
            Progress::Failed(failure) => {
                if let Some(failure) = self.again_or(failure) {
                    self.note(true, failure.reason, failure.message);
                    self.advance(Step::Abandon);
                }
            }
        }
    }

    /// Compute Engine gives up what it keeps after 60 days; whoever else stops or deletes the machine does so at once.
    pub(super) fn notice_lost_kernels(&mut self) {
        if !self.keeps_kernels() {
            return;
        }
        match self.whereabouts() {
            Whereabouts::AtRest => self.lose_kernels(
                "the suspended VM is stopped, not by our doing: Compute Engine keeps memory for 60 days at most",
            ),
            Whereabouts::Nowhere => self.lose_kernels("the suspended VM is gone, not by our doing"),
            Whereabouts::Asleep
            | Whereabouts::RunsVm(_)
            | Whereabouts::RunsPod(_)
            | Whereabouts::InMotion(_)
            | Whereabouts::Unclear(_) => {}
        }
    }

    /// Whether it is on record that a suspended host's memory is kept.
    pub(super) fn keeps_kernels(&self) -> bool {
        self.memory.kernels.as_ref().is_some_and(|kernels| kernels.state == KernelState::Kept)
    }

    /// Whether the change under way has given the memory up.
    pub(super) fn has_lost_kernels(&self) -> bool {
        let (Some(kernels), Some(transition)) = (&self.memory.kernels, &self.memory.transition) else { return false };
        kernels.state == KernelState::Lost && kernels.at >= transition.started_at
    }

    pub(super) fn keep_kernels(&mut self) {
        self.memory.kernels = Some(Kernels { state: KernelState::Kept, at: self.now, message: String::new() });
    }

    /// Records that the memory is lost, and tells people.
    pub(super) fn lose_kernels(&mut self, why: &str) {
        self.record_loss(why);
        self.note(
            true,
            Reason::KernelsLost,
            format!("Kernels could not be kept: {}. The home is as it was.", why.trim_end_matches('.')),
        );
    }

    fn record_loss(&mut self, why: &str) {
        let mut message = why.trim_end_matches('.').to_owned();
        message.truncate(message.floor_char_boundary(WHY_LENGTH_MAX));
        self.memory.kernels = Some(Kernels { state: KernelState::Lost, at: self.now, message });
    }

    /// The host runs again, or has ended in order: nothing is kept any more.
    pub(super) fn forget_kernels(&mut self) {
        self.memory.kernels = self.memory.kernels.take().filter(|kernels| kernels.state == KernelState::Lost);
    }
}

/// Memory is not given up at the first refusal that a person may mend.
pub(super) fn worth_another_try(failure: Failure) -> Failure {
    let weight = if failure.weight == Weight::Person { Weight::Passing } else { failure.weight };
    Failure { weight, ..failure }
}

impl Failure {
    fn too_long(host: &HostRecord, what: &str, bound_s: i64) -> Self {
        Self { message: format!("{} was not {what} in {bound_s} s", host.name), ..Self::too_late(host, bound_s) }
    }
}
