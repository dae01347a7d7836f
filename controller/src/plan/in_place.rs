//! Change in place: the host is stopped, set and started. If it cannot be started in its new shape, it comes back in its last.

use rehost_api::shape::{HostShape, VmShape};
use rehost_api::status::{HostRecord, Step, TransitionKind, TransitionReason};

use super::bounds::STANDBY_S;
use super::vm::{accelerators, maintenance, place, scheduling};
use super::{Failure, Planner, Progress, Weight};
use crate::gce::model::OnHostMaintenance;
use crate::gce::mutation::Mutation;
use crate::seen::Seen;

/// The families among which Compute Engine changes a machine type in place
/// (<https://cloud.google.com/compute/docs/instances/changing-machine-type-of-stopped-instance>).
const CHANGEABLE: [&str; 7] = ["e2", "n1", "n2", "n2d", "c2", "c2d", "t2d"];

impl Planner<'_> {
    /// Whether the host that has the home can become this shape without a new VM.
    pub(super) fn can_change_in_place(&self, shape: &HostShape) -> bool {
        match (self.memory.host.as_ref().map(|host| &host.last_shape), shape) {
            (Some(HostShape::Vm(old)), HostShape::Vm(new)) => compatible(old, new),
            (Some(HostShape::Vm(_) | HostShape::Pod(_)) | None, _) => false,
        }
    }

    pub(super) fn begin_in_place(&mut self, shape: &HostShape, candidate: i64) {
        let Some(host) = &self.memory.host else { return };
        let wished = self.new_host(shape);
        // The same VM: its name and the boot that it last proved itself in stay. What it says carries the change's own nonce, so that
        // a failure in the new shape is none of the last shape's when that returns.
        let to = HostRecord {
            name: host.name.clone(),
            project: host.project.clone(),
            zone: host.zone.clone(),
            boot_id: host.boot_id.clone(),
            serving_since: None,
            ..wished
        };
        self.begin(TransitionKind::InPlace, Step::Halt, Some(to), candidate);
    }

    pub(super) fn in_place_step(&mut self) {
        let Some(transition) = self.memory.transition.clone() else { return };
        let (Some(from), Some(to)) = (transition.from, transition.to) else { return self.lost_step() };
        match transition.step {
            Step::Halt => {
                self.serve_no_more();
                self.waiting_for(format!("{} is being stopped", from.shape));
                match self.vm_stopped(&from) {
                    Progress::Done => self.advance(Step::Set),
                    Progress::Busy => {}
                    Progress::Failed(failure) => self.in_place_failed(failure),
                }
            }
            Step::Set => {
                self.waiting_for(format!("the stopped VM becomes {}", to.shape));
                match self.vm_set(&to) {
                    Progress::Done => self.advance(Step::Boot),
                    Progress::Busy => {}
                    Progress::Failed(failure) => self.in_place_failed(failure),
                }
            }
            Step::Boot => {
                self.waiting_for(format!("{} is being started", to.shape));
                match self.vm_booted(&to) {
                    Progress::Done => self.advance(Step::Prove),
                    Progress::Busy if self.overdue(STANDBY_S) => {
                        self.in_place_failed(Failure::too_late(&to, STANDBY_S));
                    }
                    Progress::Busy => {}
                    Progress::Failed(failure) => self.in_place_failed(failure),
                }
            }
            Step::Prove => match self.serving(&to) {
                Progress::Done => self.in_place_done(&to),
                Progress::Busy if self.overdue(STANDBY_S) => self.in_place_failed(Failure::too_late(&to, STANDBY_S)),
                Progress::Busy => {}
                Progress::Failed(failure) => self.in_place_failed(failure),
            },
            Step::Home
            | Step::Snapshot
            | Step::Obtain
            | Step::LetGo
            | Step::Copy
            | Step::Move
            | Step::TakeBack
            | Step::Return
            | Step::ProveBack
            | Step::Abandon
            | Step::Suspend
            | Step::Resume
            | Step::Resize
            | Step::Grow
            | Step::Release
            | Step::Dispose => self.lost_step(),
        }
    }

    fn in_place_done(&mut self, to: &HostRecord) {
        self.settle_on(to);
        match self.memory.transition.as_ref().and_then(|transition| transition.reason.clone()) {
            // It is the last shape that came back: why the wished one did not is remembered.
            Some(reason) => self.give_up(&Failure::recorded(&reason)),
            None => self.succeed(),
        }
    }

    fn in_place_failed(&mut self, failure: Failure) {
        let Some(failure) = self.again_or(failure) else { return };
        let Some(transition) = &self.memory.transition else { return };
        let going_back = transition.reason.is_some();
        let same_shape = transition.from.as_ref().map(|host| &host.last_shape)
            == transition.to.as_ref().map(|host| &host.last_shape);
        let may_return =
            self.wish().is_none_or(|desired| desired.return_on_stockout) || failure.weight != Weight::Capacity;
        if going_back || same_shape || !may_return {
            self.note(true, failure.reason, failure.message.clone());
            return self.give_up(&failure);
        }
        let from = transition.from.clone();
        self.turn_back(Step::Halt, &failure);
        if let (Some(transition), Some(mut from)) = (&mut self.memory.transition, from) {
            // The host that failed may have started: its boot is the one that must not be taken for a new proof.
            from.serving_since = None;
            transition.to = Some(from);
            transition.reason =
                Some(TransitionReason { reason: failure.reason.as_str().to_owned(), message: failure.message });
        }
    }

    /// The stopped VM has the wished machine type, GPUs and maintenance policy. In the order that Compute Engine demands: a VM with a GPU can
    /// never be one that migrates, not even between two calls.
    fn vm_set(&mut self, to: &HostRecord) -> Progress {
        let HostShape::Vm(shape) = &to.last_shape else { return Progress::Busy };
        let instance = match self.instance(&to.name) {
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Absent => return Progress::Failed(Failure::too_late(to, 0)),
            Seen::Present(instance) => instance,
        };
        if !self.is_ours(&instance.labels) {
            return Progress::Failed(Self::not_ours(&to.name));
        }
        let (place, name) = (place(to), to.name.clone());
        let wanted = accelerators(shape);
        let terminates = instance.on_host_maintenance == Some(OnHostMaintenance::Terminate);
        let must_terminate = maintenance(shape) == OnHostMaintenance::Terminate;
        if must_terminate && !terminates {
            return self.cloud("scheduling", Mutation::SetScheduling { place, name, scheduling: scheduling(shape) });
        }
        if wanted.is_empty() && !instance.accelerators.is_empty() {
            return self.cloud("no-gpu", Mutation::SetAccelerators { place, name, accelerators: wanted });
        }
        if instance.machine_type != shape.machine_type {
            let machine_type = shape.machine_type.clone();
            return self.cloud("machine-type", Mutation::SetMachineType { place, name, machine_type });
        }
        if instance.accelerators != wanted {
            return self.cloud("gpu", Mutation::SetAccelerators { place, name, accelerators: wanted });
        }
        if !must_terminate && terminates {
            return self
                .cloud("scheduling-back", Mutation::SetScheduling { place, name, scheduling: scheduling(shape) });
        }
        Progress::Done
    }
}

/// Whether the one shape can become the other on the same VM: only machine type and GPUs differ, and the families allow it.
pub(super) fn compatible(old: &VmShape, new: &VmShape) -> bool {
    let family = |machine_type: &str| machine_type.split('-').next().unwrap_or_default().to_owned();
    let (old_family, new_family) = (family(&old.machine_type), family(&new.machine_type));
    let families = old_family == new_family
        || (CHANGEABLE.contains(&old_family.as_str()) && CHANGEABLE.contains(&new_family.as_str()));
    let rest = VmShape { machine_type: old.machine_type.clone(), gpu: old.gpu.clone(), ..new.clone() };
    families && rest == *old && old.local_ssds == 0
}
