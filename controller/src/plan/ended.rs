//! A machine that somebody else has stopped: Compute Engine, because it wanted it back or because its time was over, or a person.
//!
//! The machine itself does not say who it was. A Spot machine that is found stopped counts as taken back, and one with a
//! `maxRunDuration` that has passed as ended by it.

use jiff::SignedDuration;
use rehost_api::conditions::Reason;
use rehost_api::labels;
use rehost_api::shape::{HostShape, Provisioning};
use rehost_api::status::{StopReason, Stopped};

use super::{Planner, Situation};
use crate::desired::Desired;

/// How much earlier than after its whole time a machine may be found stopped by it, in seconds: clocks differ.
const END_SLACK_S: i64 = 60;

impl Planner<'_> {
    /// Records who seems to have stopped the machine. True where the notebook then stays stopped.
    pub(super) fn notice_end(&mut self, desired: &Desired, sleeps: bool) -> bool {
        let Some(host) = self.memory.host.clone() else { return false };
        let ran = host.serving_since.is_some() || (self.memory.started.is_some() && self.memory.retry.is_none());
        let HostShape::Vm(shape) = &host.last_shape else { return false };
        if !ran {
            return false;
        }
        self.serve_no_more();
        let most = SignedDuration::from_secs((shape.max_run_duration_s - END_SLACK_S).max(0));
        let over = host.started_at.is_some_and(|since| self.now >= since + most);
        if shape.max_run_duration_s > 0 && over && !sleeps {
            let words = "Compute Engine has ended the machine after its maxRunDuration; the home is kept.";
            self.ended(StopReason::Lifetime, Reason::Lifetime, words);
            return true;
        }
        if sleeps || shape.provisioning != Provisioning::Spot {
            self.note(true, Reason::HostFailed, "The host was stopped, not by our doing; it is started again.");
            return false;
        }
        let stays = desired.host.stay_preempted.contains(&host.last_shape);
        if stays {
            self.ended(StopReason::Preempted, Reason::Preempted, "The Spot machine was taken back; the home is kept.");
        } else {
            self.note(true, Reason::Preempted, "The Spot machine was taken back; it is started again.");
        }
        stays
    }

    fn ended(&mut self, reason: StopReason, said: Reason, words: &str) {
        self.memory.stopped = Some(Stopped { at: self.now, reason, declared: false });
        self.memory.started = None;
        self.situation = Situation::Stopped(reason);
        self.note(true, said, format!("{words} Annotate it with {} to go on.", labels::WAKE));
    }
}
