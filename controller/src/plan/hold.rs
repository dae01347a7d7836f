//! Taking hold of a notebook before the first thing is made, and letting the former host go.

use jiff::Timestamp;
use rehost_api::labels;
use rehost_api::status::{FormerHost, Step, TransitionKind};

use super::action::KubeChange;
use super::vm::place;
use super::{Action, Planner, Situation};
use crate::gce::model::{Instance, InstanceStatus};
use crate::gce::mutation::Mutation;
use crate::gce::operations::OperationState;

/// The pause after a failed call outside any transition: to stop a former host, say, or to delete a former home.
const BESIDE_PAUSE_S: i64 = 30;

impl Planner<'_> {
    /// The finalizer comes before the first thing that would have to be cleaned up. True while it is not there yet.
    pub(super) fn hold_finalizer(&mut self) -> bool {
        let nothing_to_hold = self.resolution.wish.is_err() && self.memory.home.is_none();
        if self.resolution.finalizer || nothing_to_hold {
            return false;
        }
        self.situation = Situation::Changing {
            kind: TransitionKind::Create,
            step: Step::Home,
            detail: "taking hold of the notebook".to_owned(),
        };
        self.actions.push(Action::Kube(KubeChange::AddFinalizer));
        true
    }

    /// Stops the former host, and deletes it when its time has come.
    pub(super) fn retire(&mut self, former: &FormerHost, instance: &Instance) {
        let (name, id) = (former.host.name.clone(), instance.id);
        if self.now >= former.keep_until {
            match instance.status {
                InstanceStatus::Stopping | InstanceStatus::PendingStop | InstanceStatus::Deprovisioning => {
                    self.look_again_in(super::bounds::POLL_SLOW_S);
                }
                _ => self.former_call(
                    "delete",
                    former,
                    Mutation::DeleteInstance { place: place(&former.host), name, id },
                ),
            }
            return;
        }
        if instance.status == InstanceStatus::Running {
            let mutation = Mutation::StopInstance { place: place(&former.host), name, id, discard_local_ssd: false };
            self.former_call("stop", former, mutation);
        }
        self.look_again_at(former.keep_until);
    }

    /// A call for the former host: its own attempt, kept beside it.
    fn former_call(&mut self, key: &str, former: &FormerHost, mutation: Mutation) {
        let step = format!("former/{key}/{}", former.host.name);
        if let Some((attempt, at)) = self.call_beside(&step, former.attempt, former.not_before, mutation) {
            self.memory.former = Some(FormerHost { attempt, not_before: Some(at), ..former.clone() });
        }
    }

    /// A call outside any transition. Returns the next attempt and when it may be made, where this one has ended.
    pub(super) fn call_beside(
        &mut self,
        step: &str,
        attempt: i64,
        not_before: Option<Timestamp>,
        mutation: Mutation,
    ) -> Option<(i64, Timestamp)> {
        let request_id = labels::request_id(&self.resolution.subject.uid, 0, step, attempt);
        match self.observed.operations.get(&request_id) {
            Some(OperationState::Running { .. }) => self.look_again_in(super::bounds::POLL_SLOW_S),
            Some(OperationState::Failed(..) | OperationState::Succeeded { .. }) => {
                return Some((attempt + 1, self.now + jiff::SignedDuration::from_secs(BESIDE_PAUSE_S)));
            }
            None => match not_before {
                Some(at) if self.now < at => self.look_again_at(at),
                Some(_) | None => self.actions.push(Action::Cloud { request_id, mutation }),
            },
        }
        None
    }
}
