//! Stopping: the host goes to rest, its memory kept or not, the home stays with it; after a time only the disk is kept.

use rehost_api::status::{HostKind, Step};

use super::{Planner, Progress, Weight};

impl Planner<'_> {
    pub(super) fn stop_step(&mut self) {
        let Some(transition) = self.memory.transition.clone() else { return };
        if transition.step == Step::Dispose {
            return self.dispose_step();
        }
        let Some(from) = transition.from else { return self.lost_step() };
        self.serve_no_more();
        if transition.step == Step::Suspend {
            return self.suspend_step(&from);
        }
        let progress = match (transition.step, from.kind) {
            (Step::Release, HostKind::Vm) => self.vm_deleted(&from),
            (_, HostKind::Vm) => {
                self.waiting_for(format!("{} is being stopped", from.shape));
                self.vm_stopped(&from)
            }
            (_, HostKind::Pod) => self.pod_host_gone(&from),
        };
        match progress {
            Progress::Done => {
                if transition.step == Step::Release {
                    self.memory.host = None;
                    self.forget_kernels();
                } else if let Some(host) = &mut self.memory.host {
                    host.address = None;
                }
                self.memory.retry = None;
                self.succeed();
            }
            Progress::Busy => {}
            Progress::Failed(failure) => {
                let failure = super::Failure { weight: Weight::Passing, ..failure };
                if let Some(failure) = self.again_or(failure) {
                    self.note(true, failure.reason, failure.message.clone());
                    self.give_up(&failure);
                }
            }
        }
    }
}
