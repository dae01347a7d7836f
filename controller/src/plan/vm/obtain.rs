//! A VM that is there and runs: what is ordered for a shape, and how far the order has come.

use std::collections::BTreeMap;

use rehost_api::conditions::Reason;
use rehost_api::guest::GuestRole;
use rehost_api::shape::{HostShape, Provisioning, VmShape};
use rehost_api::status::HostRecord;

use super::super::bounds::POLL_S;
use super::super::{Action, Failure, Planner, Progress, Weight};
use super::{place, unsigned};
use crate::gce::model::{Accelerator, InstanceStatus, OnHostMaintenance};
use crate::gce::mutation::{self, BootDisk, Mutation, Network, NewInstance, Scheduling, Shielded};
use crate::seen::Seen;

impl Planner<'_> {
    /// The VM exists and runs, with the home from the start or without it.
    pub(in crate::plan) fn vm_obtained(&mut self, host: &HostRecord, with_home: bool) -> Progress {
        match self.instance(&host.name) {
            Seen::Unknown(_) => Progress::Busy,
            Seen::Present(instance) if !self.is_ours(&instance.labels) => Progress::Failed(Self::not_ours(&host.name)),
            Seen::Present(instance) => match instance.status {
                InstanceStatus::Running => Progress::Done,
                InstanceStatus::Pending
                | InstanceStatus::Provisioning
                | InstanceStatus::Staging
                | InstanceStatus::Repairing
                | InstanceStatus::Other(_) => {
                    self.waiting_for(format!("{} is being made", host.shape));
                    self.look_again_in(POLL_S);
                    // The operation can still fail while the VM is listed: its word counts.
                    match self.insertion(host, with_home) {
                        Progress::Failed(failure) if failure.weight != Weight::Passing => Progress::Failed(failure),
                        Progress::Done | Progress::Busy | Progress::Failed(_) => self.without_new_insertion(),
                    }
                }
                InstanceStatus::PendingStop
                | InstanceStatus::Stopping
                | InstanceStatus::Stopped
                | InstanceStatus::Suspending
                | InstanceStatus::Suspended
                | InstanceStatus::Deprovisioning => Progress::Failed(Failure {
                    reason: Reason::HostFailed,
                    message: format!("{} was stopped before it was ready", host.name),
                    weight: Weight::Host,
                }),
            },
            Seen::Absent => self.insertion(host, with_home),
        }
    }

    fn insertion(&mut self, host: &HostRecord, with_home: bool) -> Progress {
        let HostShape::Vm(shape) = &host.last_shape else { return Progress::Busy };
        let instance = self.new_instance(host, shape, with_home);
        self.waiting_for(format!("{} is being made", host.shape));
        self.cloud("insert", Mutation::InsertInstance { place: place(host), instance: Box::new(instance) })
    }

    /// A VM that is listed must not be ordered again, whatever became of the knowledge of its operation.
    fn without_new_insertion(&mut self) -> Progress {
        self.actions
            .retain(|action| !matches!(action, Action::Cloud { mutation: Mutation::InsertInstance { .. }, .. }));
        Progress::Busy
    }

    fn new_instance(&self, host: &HostRecord, shape: &VmShape, with_home: bool) -> NewInstance {
        let transition = self.memory.transition.as_ref().map(|transition| transition.id.clone()).unwrap_or_default();
        let mut labels = shape.labels.clone();
        labels.extend(self.cloud_labels(&transition, "host"));
        let subject = &self.resolution.subject;
        NewInstance {
            name: host.name.clone(),
            description: format!("A host of notebook {}/{}, made by Rehost.", subject.namespace, subject.name),
            machine_type: shape.machine_type.clone(),
            accelerators: accelerators(shape),
            scheduling: scheduling(shape),
            boot: BootDisk {
                image: shape.boot_image.clone(),
                size_gb: unsigned(shape.boot_size_gb),
                disk_type: shape.boot_type.clone(),
                labels: self.cloud_labels(&transition, "boot"),
            },
            network: Network {
                subnetwork: (!shape.subnetwork.is_empty()).then(|| shape.subnetwork.clone()),
                tags: shape.tags.clone(),
                external_address: shape.external_address,
            },
            service_account: (!shape.service_account.is_empty()).then(|| shape.service_account.clone()),
            labels,
            metadata: BTreeMap::from([("enable-guest-attributes".to_owned(), "TRUE".to_owned())]),
            settings: self.settings(host, GuestRole::Serve, &host.nonce),
            home: with_home.then(|| self.home_name_of(host)),
            min_cpu_platform: (!shape.min_cpu_platform.is_empty()).then(|| shape.min_cpu_platform.clone()),
            local_ssds: u32::try_from(shape.local_ssds).unwrap_or(0),
            shielded: shielded(shape),
            reservation: (!shape.reservation.is_empty()).then(|| shape.reservation.clone()),
        }
    }
}

/// What the image and Compute Engine do by themselves is not said.
fn shielded(shape: &VmShape) -> Option<Shielded> {
    let switches = Shielded {
        secure_boot: shape.secure_boot,
        vtpm: !shape.without_vtpm,
        integrity_monitoring: !shape.without_integrity_monitoring,
    };
    let said = shape.secure_boot || shape.without_vtpm || shape.without_integrity_monitoring;
    said.then_some(switches)
}

pub(in crate::plan) fn accelerators(shape: &VmShape) -> Vec<Accelerator> {
    shape
        .gpu
        .iter()
        .map(|gpu| Accelerator { kind: gpu.kind.clone(), count: u32::try_from(gpu.count).unwrap_or(0) })
        .collect()
}

/// A VM with a GPU cannot be migrated live (Compute Engine's rule), so it is stopped for maintenance and started again.
pub(in crate::plan) fn maintenance(shape: &VmShape) -> OnHostMaintenance {
    let spot = shape.provisioning != Provisioning::Standard;
    if shape.gpu.is_some() || spot || brings_gpus(&shape.machine_type) {
        OnHostMaintenance::Terminate
    } else {
        OnHostMaintenance::Migrate
    }
}

fn brings_gpus(machine_type: &str) -> bool {
    ["a2-", "a3-", "a4-", "a4x-", "g2-", "g4-"].iter().any(|family| machine_type.starts_with(family))
}

pub(in crate::plan) fn scheduling(shape: &VmShape) -> Scheduling {
    let max_run_duration_s = (shape.max_run_duration_s > 0).then(|| unsigned(shape.max_run_duration_s));
    let (provisioning, automatic_restart, on_termination) = match shape.provisioning {
        Provisioning::Standard => {
            // The end of its time needs an action; the home and the boot disk stay.
            (mutation::Provisioning::Standard, true, max_run_duration_s.map(|_| mutation::TerminationAction::Stop))
        }
        Provisioning::Spot => (mutation::Provisioning::Spot, false, Some(mutation::TerminationAction::Stop)),
        Provisioning::FlexStart => {
            (mutation::Provisioning::FlexStart, false, Some(mutation::TerminationAction::Delete))
        }
    };
    Scheduling {
        provisioning,
        on_host_maintenance: maintenance(shape),
        automatic_restart,
        on_termination,
        max_run_duration_s,
    }
}
