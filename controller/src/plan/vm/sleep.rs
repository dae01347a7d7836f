//! A VM suspended and resumed.

use rehost_api::guest::GuestRole;
use rehost_api::status::HostRecord;

use super::super::bounds::{POLL_SLOW_S, RESUME_S};
use super::super::suspension::worth_another_try;
use super::super::{Failure, Planner, Progress};
use super::place;
use super::power::has_local_ssd;
use crate::gce::model::{Instance, InstanceStatus};
use crate::gce::mutation::Mutation;
use crate::seen::Seen;

impl Planner<'_> {
    /// The VM's status is suspended.
    pub(in crate::plan) fn vm_suspended(&mut self, host: &HostRecord) -> Progress {
        let instance = match self.instance(&host.name) {
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Absent => return Progress::Failed(Failure::gone(host)),
            Seen::Present(instance) => instance,
        };
        match instance.status {
            InstanceStatus::Suspended => Progress::Done,
            InstanceStatus::Stopped => Progress::Failed(Failure::stopped(host)),
            InstanceStatus::Running if !self.is_ours(&instance.labels) => Progress::Failed(Self::not_ours(&host.name)),
            InstanceStatus::Running => self.cloud(
                "suspend",
                Mutation::SuspendInstance {
                    place: place(host),
                    name: host.name.clone(),
                    id: instance.id,
                    discard_local_ssd: has_local_ssd(&host.last_shape),
                },
            ),
            InstanceStatus::Suspending
            | InstanceStatus::Pending
            | InstanceStatus::Provisioning
            | InstanceStatus::Staging
            | InstanceStatus::PendingStop
            | InstanceStatus::Stopping
            | InstanceStatus::Repairing
            | InstanceStatus::Deprovisioning
            | InstanceStatus::Other(_) => {
                self.look_again_in(POLL_SLOW_S);
                Progress::Busy
            }
        }
    }

    /// The suspended VM runs again, and is told to serve. Not before it runs: its metadata is left alone while it sleeps.
    pub(in crate::plan) fn vm_resumed(&mut self, host: &HostRecord) -> Progress {
        let instance = match self.instance(&host.name) {
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Absent => return Progress::Failed(Failure::gone(host)),
            Seen::Present(instance) => instance,
        };
        if !self.is_ours(&instance.labels) {
            return Progress::Failed(Self::not_ours(&host.name));
        }
        match instance.status {
            InstanceStatus::Running => {
                let told = instance
                    .settings
                    .as_ref()
                    .is_some_and(|settings| settings.role == GuestRole::Serve && settings.nonce == host.nonce);
                if told {
                    return Progress::Done;
                }
                self.set_settings("serve", host, &instance, GuestRole::Serve, &host.nonce)
            }
            InstanceStatus::Suspended => self.vm_woken(host, &instance),
            InstanceStatus::Stopped => Progress::Failed(Failure::stopped(host)),
            InstanceStatus::Suspending
            | InstanceStatus::Pending
            | InstanceStatus::Provisioning
            | InstanceStatus::Staging
            | InstanceStatus::PendingStop
            | InstanceStatus::Stopping
            | InstanceStatus::Repairing
            | InstanceStatus::Deprovisioning
            | InstanceStatus::Other(_) => {
                self.look_again_in(POLL_SLOW_S);
                Progress::Busy
            }
        }
    }

    /// The suspended VM runs, so that it can let go of the home that is mounted in its memory. Where it cannot be resumed, its memory
    /// is given up: from then on it may be stopped as it is.
    pub(super) fn vm_woken_to_let_go(&mut self, host: &HostRecord, instance: &Instance) -> Progress {
        self.waiting_for(format!("{} is being resumed, to let go of the home", host.shape));
        if self.overdue(RESUME_S) {
            self.lose_kernels(&format!("{} was not resumed in {RESUME_S} s", host.name));
            return Progress::Busy;
        }
        if let Progress::Failed(failure) = self.vm_woken(host, instance)
            && let Some(failure) = self.again_or(worth_another_try(failure))
        {
            self.lose_kernels(&failure.message);
        }
        Progress::Busy
    }

    fn vm_woken(&mut self, host: &HostRecord, instance: &Instance) -> Progress {
        if !self.keeps_kernels() {
            // Somebody else suspended it, or it was still on its way to sleep when this was decided.
            self.keep_kernels();
        }
        self.cloud("resume", Mutation::ResumeInstance { place: place(host), name: host.name.clone(), id: instance.id })
    }

    /// Whether the VM lets go of the home before it is deleted: it sleeps, or did when this was decided.
    pub(super) fn lets_go_before_deletion(&self, host: &HostRecord, instance: &Instance) -> bool {
        let sleeps = matches!(instance.status, InstanceStatus::Suspending | InstanceStatus::Suspended);
        instance.attachment(&self.home_name_of(host)).is_some()
            && !self.has_lost_kernels()
            && (sleeps || self.keeps_kernels())
    }
}
