//! A change where the quotas have no room for two hosts: the present one is stopped first, and kept until the next one serves.
//!
//! This is the one way in which a running host is given up before the next is there, so it is gone only where the quotas are known to
//! have room for one, and it is said beforehand. Where they are known to have none, nothing is stopped.

use rehost_api::conditions::Reason;
use rehost_api::shape::HostShape;
use rehost_api::status::{HostKind, HostRecord, Step, TransitionKind};

use super::{Failure, Planner, Progress, Situation, Weight};
use crate::desired::{Desired, Room};

impl Planner<'_> {
    /// Begins the change to another host in the way that the quotas leave.
    pub(super) fn begin_change(&mut self, desired: &Desired, shape: &HostShape, candidate: i64) {
        // Of substitutes it is not asked whether they have room: they are tried.
        let room = if candidate == 0 { &desired.room } else { &Room::Enough };
        match room {
            Room::None(words) => {
                let failure = Failure {
                    reason: Reason::QuotaExceeded,
                    message: format!("{} cannot be had: {words}", shape.text()),
                    weight: Weight::Capacity,
                };
                self.note(true, failure.reason, failure.message.clone());
                self.remember_failure(candidate, &failure);
                self.situation = Situation::Short;
                self.look_again_in(super::bounds::POLL_S);
            }
            Room::Enough | Room::ForOne(_) if desired.in_place && self.can_change_in_place(shape) => {
                self.begin_in_place(shape, candidate);
            }
            Room::Enough => self.begin_handover(desired, shape, candidate),
            Room::ForOne(words) => self.begin_stop_first(shape, candidate, words),
        }
    }

    fn begin_stop_first(&mut self, shape: &HostShape, candidate: i64, words: &str) {
        if self.can_change_in_place(shape) {
            self.begin_in_place(shape, candidate);
        } else if self.former_has_gone() {
            let to = self.new_host(shape);
            self.begin(TransitionKind::Handover, Step::Halt, Some(to), candidate);
            // The note of the beginning says that the old host serves on.
            self.notes.pop();
        } else {
            return;
        }
        self.note(
            true,
            Reason::QuotaExceeded,
            format!(
                "Changing to {}: {words}. So this host is stopped first, and kept until the new one serves.",
                shape.text()
            ),
        );
    }

    /// What is said of a change that waits, where it will take a stop first.
    pub(super) fn words_of_room(desired: &Desired) -> String {
        match &desired.room {
            Room::Enough => String::new(),
            Room::ForOne(words) => format!("; the present host will be stopped first, because {words}"),
            Room::None(words) => format!("; it cannot be had now, because {words}"),
        }
    }

    /// The old host is stopped, with the home, before the new one is asked for.
    pub(super) fn halt_first(&mut self, from: &HostRecord, to: &HostRecord) {
        if self.wish_has_changed(to) {
            return self.turn_back(Step::Abandon, &Failure::superseded());
        }
        self.serve_no_more();
        self.waiting_for(format!("the quotas have no room for two hosts, so {} is stopped first", from.shape));
        let progress = match from.kind {
            HostKind::Vm => self.vm_stopped(from),
            HostKind::Pod => self.pod_host_gone(from),
        };
        match progress {
            Progress::Done => self.advance(Step::Obtain),
            Progress::Busy => {}
            Progress::Failed(failure) => {
                if let Some(failure) = self.again_or(failure) {
                    self.turn_back(Step::Abandon, &failure);
                }
            }
        }
    }
}
