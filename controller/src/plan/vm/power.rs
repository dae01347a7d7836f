//! A VM stopped, started, deleted.

use rehost_api::conditions::Reason;
use rehost_api::shape::HostShape;
use rehost_api::status::HostRecord;

use super::super::bounds::POLL_S;
use super::super::handover::release_nonce;
use super::super::{Failure, Planner, Progress, Weight};
use super::place;
use crate::gce::model::InstanceStatus;
use crate::gce::mutation::Mutation;
use crate::seen::Seen;

impl Planner<'_> {
    /// The VM's status is stopped.
    pub(in crate::plan) fn vm_stopped(&mut self, host: &HostRecord) -> Progress {
        let instance = match self.instance(&host.name) {
            Seen::Absent => return Progress::Done,
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Present(instance) => instance,
        };
        match instance.status {
            InstanceStatus::Stopped => {
                self.forget_kernels();
                Progress::Done
            }
            InstanceStatus::Suspended if !self.has_lost_kernels() => self.vm_woken_to_let_go(host, &instance),
            InstanceStatus::Stopping
            | InstanceStatus::PendingStop
            | InstanceStatus::Suspending
            | InstanceStatus::Deprovisioning => {
                self.look_again_in(POLL_S);
                Progress::Busy
            }
            InstanceStatus::Running
            | InstanceStatus::Suspended
            | InstanceStatus::Pending
            | InstanceStatus::Provisioning
            | InstanceStatus::Staging
            | InstanceStatus::Repairing
            | InstanceStatus::Other(_) => {
                if !self.is_ours(&instance.labels) {
                    return Progress::Failed(Self::not_ours(&host.name));
                }
                self.cloud(
                    "stop",
                    Mutation::StopInstance {
                        place: place(host),
                        name: host.name.clone(),
                        id: instance.id,
                        discard_local_ssd: has_local_ssd(&host.last_shape),
                    },
                )
            }
        }
    }

    /// The VM's status is running.
    pub(in crate::plan) fn vm_started(&mut self, host: &HostRecord) -> Progress {
        let instance = match self.instance(&host.name) {
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Absent => return Progress::Failed(Failure::gone(host)),
            Seen::Present(instance) => instance,
        };
        if !self.is_ours(&instance.labels) {
            return Progress::Failed(Self::not_ours(&host.name));
        }
        let id = instance.id;
        match instance.status {
            InstanceStatus::Running => Progress::Done,
            InstanceStatus::Stopped => {
                self.cloud("start", Mutation::StartInstance { place: place(host), name: host.name.clone(), id })
            }
            InstanceStatus::Suspended => {
                self.cloud("resume", Mutation::ResumeInstance { place: place(host), name: host.name.clone(), id })
            }
            InstanceStatus::Pending
            | InstanceStatus::Provisioning
            | InstanceStatus::Staging
            | InstanceStatus::Repairing
            | InstanceStatus::PendingStop
            | InstanceStatus::Stopping
            | InstanceStatus::Suspending
            | InstanceStatus::Deprovisioning
            | InstanceStatus::Other(_) => {
                self.look_again_in(POLL_S);
                Progress::Busy
            }
        }
    }

    /// The VM is gone. A home that is attached so that it would go with the VM is first told to stay.
    pub(in crate::plan) fn vm_deleted(&mut self, host: &HostRecord) -> Progress {
        let instance = match self.instance(&host.name) {
            Seen::Absent => return Progress::Done,
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Present(instance) => instance,
        };
        if !self.is_ours(&instance.labels) {
            return Progress::Failed(Self::not_ours(&host.name));
        }
        if let Some(home) = instance.attachment(&self.home_name_of(host)).filter(|home| home.auto_delete) {
            let device_name = home.device_name.clone();
            let mutation = Mutation::SetDiskAutoDelete {
                place: place(host),
                instance: host.name.clone(),
                device_name,
                auto_delete: false,
            };
            return self.cloud(&format!("keep-home-{}", host.name), mutation);
        }
        if self.lets_go_before_deletion(host, &instance) {
            let nonce = self.memory.transition.as_ref().map(release_nonce).unwrap_or_default();
            match self.vm_let_go(host, &nonce) {
                Progress::Done => {}
                other => return other,
            }
        }
        self.waiting_for(format!("{} is being deleted", host.name));
        match instance.status {
            // A second delete while the first one works would only be refused.
            InstanceStatus::Stopping | InstanceStatus::PendingStop | InstanceStatus::Deprovisioning => {
                self.look_again_in(POLL_S);
                self.cloud_if_unknown(
                    &format!("delete-{}", host.name),
                    Mutation::DeleteInstance { place: place(host), name: host.name.clone(), id: instance.id },
                )
            }
            InstanceStatus::Pending
            | InstanceStatus::Provisioning
            | InstanceStatus::Staging
            | InstanceStatus::Running
            | InstanceStatus::Stopped
            | InstanceStatus::Suspending
            | InstanceStatus::Suspended
            | InstanceStatus::Repairing
            | InstanceStatus::Other(_) => self.cloud(
                &format!("delete-{}", host.name),
                Mutation::DeleteInstance { place: place(host), name: host.name.clone(), id: instance.id },
            ),
        }
    }

    /// Waits while a VM is on its way down by somebody's order; only an ended operation of ours is news.
    fn cloud_if_unknown(&mut self, key: &str, mutation: Mutation) -> Progress {
        let planned = self.actions.len();
        let progress = self.cloud(key, mutation);
        self.actions.truncate(planned);
        match progress {
            Progress::Failed(failure) => Progress::Failed(failure),
            Progress::Done | Progress::Busy => Progress::Busy,
        }
    }
}

impl Failure {
    pub(in crate::plan) fn gone(host: &HostRecord) -> Self {
        Self {
            reason: Reason::HostFailed,
            message: format!("{} is not there any more", host.name),
            weight: Weight::Host,
        }
    }

    pub(in crate::plan) fn stopped(host: &HostRecord) -> Self {
        Self {
            reason: Reason::HostFailed,
            message: format!("{} was stopped, not by our doing", host.name),
            weight: Weight::Host,
        }
    }
}

pub(super) fn has_local_ssd(shape: &HostShape) -> bool {
    match shape {
        HostShape::Vm(vm) => vm.local_ssds > 0,
        HostShape::Pod(_) => false,
    }
}
