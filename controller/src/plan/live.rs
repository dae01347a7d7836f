//! A running pod's cpu and memory, changed through the `resize` subresource while the kernels run.

use rehost_api::conditions::Reason;
use rehost_api::shape::{HostShape, PodShape};
use rehost_api::status::{HostRecord, Step, TransitionKind};

use super::action::KubeChange;
use super::bounds::{POLL_SLOW_S, RESIZE_DEFERRED_S};
use super::{Action, Failure, Planner, Weight};
use crate::seen::Seen;
use crate::watch::slim::{PodSeen, Resize, Resources};

impl Planner<'_> {
    pub(super) fn begin_live_resize(&mut self, shape: &HostShape) {
        let Some(host) = &self.memory.host else { return };
        let to = HostRecord { shape: shape.text(), last_shape: shape.clone(), ..host.clone() };
        self.begin(TransitionKind::LiveResize, Step::Resize, Some(to), 0);
    }

    pub(super) fn live_resize_step(&mut self) {
        let Some(to) = self.memory.transition.as_ref().and_then(|transition| transition.to.clone()) else {
            return self.lost_step();
        };
        let HostShape::Pod(shape) = &to.last_shape else { return self.lost_step() };
        self.waiting_for(format!("the running pod becomes {}", to.shape));
        self.look_again_in(POLL_SLOW_S);
        match self.pod(&to.name) {
            Seen::Unknown(_) => {}
            Seen::Absent => self.lost_step(),
            Seen::Present(pod) => self.resize(&to, shape, &pod),
        }
    }

    fn resize(&mut self, to: &HostRecord, shape: &PodShape, pod: &PodSeen) {
        let wanted = Resources {
            cpu_milli: super::vm::unsigned(shape.cpu_milli),
            memory_bytes: super::vm::unsigned(shape.memory_bytes),
        };
        if pod.requests != wanted {
            let (cpu_milli, memory_bytes) = (shape.cpu_milli, shape.memory_bytes);
            self.actions.push(Action::Kube(KubeChange::ResizePod { name: to.name.clone(), cpu_milli, memory_bytes }));
            if self.overdue(RESIZE_DEFERRED_S) {
                self.live_refused("the cluster does not accept the new resources for the running pod");
            }
            return;
        }
        match &pod.resize {
            Resize::None if pod.granted.as_ref() == Some(&wanted) => {
                if let Some(host) = &mut self.memory.host {
                    host.last_shape = to.last_shape.clone();
                    host.shape.clone_from(&to.shape);
                }
                self.note(
                    false,
                    Reason::Resizing,
                    format!("The running pod is {} now; nothing was interrupted.", to.shape),
                );
                self.succeed();
            }
            Resize::Infeasible { message } => self.live_refused(&format!("the node can never give it: {message}")),
            Resize::Deferred { message } | Resize::Error { message } => {
                self.waiting_for(format!("the node cannot give {} yet: {message}", to.shape));
                if self.overdue(RESIZE_DEFERRED_S) {
                    self.live_refused(&format!("not granted in {RESIZE_DEFERRED_S} s: {message}"));
                }
            }
            Resize::None | Resize::InProgress => {
                if self.overdue(RESIZE_DEFERRED_S) {
                    self.live_refused(&format!("not done in {RESIZE_DEFERRED_S} s"));
                }
            }
        }
    }

    /// The pod cannot be resized where it is: it moves instead.
    fn live_refused(&mut self, why: &str) {
        self.actions.retain(|action| !matches!(action, Action::Kube(KubeChange::ResizePod { .. })));
        self.note(
            true,
            Reason::LiveResizeRefused,
            format!("A live resize is not possible, so the notebook moves: {why}."),
        );
        self.memory.transition = None;
        self.remember_failure(
            -1,
            &Failure { reason: Reason::LiveResizeRefused, message: why.to_owned(), weight: Weight::Capacity },
        );
    }

    /// Whether only cpu and memory differ, and a live resize was not refused for this wish already.
    pub(super) fn can_resize_live(&self, shape: &HostShape) -> bool {
        let refused =
            self.memory.retry.as_ref().is_some_and(|retry| retry.reason == Reason::LiveResizeRefused.to_string());
        let (Some(HostShape::Pod(old)), HostShape::Pod(new)) =
            (self.memory.host.as_ref().map(|host| &host.last_shape), shape)
        else {
            return false;
        };
        let rest = PodShape { cpu_milli: old.cpu_milli, memory_bytes: old.memory_bytes, ..new.clone() };
        !refused && rest == *old
    }
}
