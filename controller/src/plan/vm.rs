//! Sub-goals around a VM: obtained, let go, detached, attached, serving, stopped, deleted. Each looks first whether it is
//! reached already, so that each can be asked for again at any time.

use std::collections::BTreeMap;

use rehost_api::conditions::Reason;
use rehost_api::guest::{GuestHome, GuestReport, GuestRole, GuestSettings, GuestState, HOME_DEVICE, JUPYTER_PORT};
use rehost_api::labels;
use rehost_api::shape::{HostShape, Provisioning, VmShape};
use rehost_api::status::{HostRecord, TransitionKind};

use super::bounds::{LET_GO_S, POLL_S, POLL_URGENT_S};
use super::{Failure, Planner, Progress, Weight};
use crate::gce::model::{Accelerator, Instance, InstanceStatus, OnHostMaintenance};
use crate::gce::mutation::{self, BootDisk, Mutation, Network, NewInstance, Place, Scheduling, Shielded};
use crate::seen::Seen;

/// Where a host record's VM is.
pub(super) fn place(host: &HostRecord) -> Place {
    Place::new(&host.project, &host.zone)
}

impl Planner<'_> {
    pub(super) fn instance(&self, name: &str) -> Seen<Instance> {
        self.observed.instances.get(name).cloned().unwrap_or_else(|| Seen::Unknown(format!("{name} was not looked at")))
    }

    /// Whether the labels say that the VM is this notebook's. Asked before every change of a VM.
    pub(super) fn is_ours(&self, labels: &BTreeMap<String, String>) -> bool {
        let subject = &self.resolution.subject;
        labels.get(labels::GCE_UID).is_some_and(|uid| *uid == labels::gce_label_value(&subject.uid))
            && labels
                .get(labels::GCE_CLUSTER)
                .is_some_and(|cluster| *cluster == labels::gce_label_value(&subject.cluster))
    }

    pub(super) fn not_ours(name: &str) -> Failure {
        Failure {
            reason: Reason::NotOurs,
            message: format!("{name} exists, but its labels do not say that it is this notebook's: it is not touched"),
            weight: Weight::Person,
        }
    }

    /// The settings that a host is given.
    pub(super) fn settings(&self, role: GuestRole, nonce: &str) -> GuestSettings {
        let subject = &self.resolution.subject;
        let home = self.memory.home.as_ref();
        GuestSettings {
            notebook: format!("{}/{}", subject.namespace, subject.name),
            uid: subject.uid.clone(),
            role,
            nonce: nonce.to_owned(),
            home: GuestHome {
                device: HOME_DEVICE.to_owned(),
                content_id: home.map(|home| home.content_id.clone()).unwrap_or_default(),
                format: home.is_some_and(|home| !home.formatted),
                copied_from: None,
            },
            port: JUPYTER_PORT,
            offer: Box::default(),
        }
    }

    /// The VM exists and runs, with the home from the start or without it.
    pub(super) fn vm_obtained(&mut self, host: &HostRecord, with_home: bool) -> Progress {
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
            .retain(|action| !matches!(action, super::Action::Cloud { mutation: Mutation::InsertInstance { .. }, .. }));
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
            settings: self.settings(GuestRole::Serve, &host.nonce),
            home: with_home.then(|| self.home_name()),
            min_cpu_platform: (!shape.min_cpu_platform.is_empty()).then(|| shape.min_cpu_platform.clone()),
            local_ssds: u32::try_from(shape.local_ssds).unwrap_or(0),
            shielded: shape.secure_boot.then_some(Shielded {
                secure_boot: true,
                vtpm: true,
                integrity_monitoring: true,
            }),
            reservation: None,
        }
    }

    /// The labels of everything that we make in the cloud: whose it is, and which transition made it.
    pub(super) fn cloud_labels(&self, transition: &str, role: &str) -> BTreeMap<String, String> {
        let subject = &self.resolution.subject;
        [
            (labels::GCE_CLUSTER, subject.cluster.as_str()),
            (labels::GCE_UID, &subject.uid),
            (labels::GCE_NAMESPACE, &subject.namespace),
            (labels::GCE_NAME, &subject.name),
            (labels::GCE_TRANSITION, transition),
            (labels::GCE_ROLE, role),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), labels::gce_label_value(value)))
        .collect()
    }

    /// The new VM waits for the home. Where the report says that it failed, so has this.
    pub(super) fn vm_standing_by(&mut self, host: &HostRecord) -> Progress {
        let report = self.current_report(host, &host.nonce);
        self.look_again_in(POLL_S);
        self.waiting_for(format!("{} boots", host.shape));
        match report {
            Some(report) => match report.state {
                GuestState::Standby | GuestState::Serving => Progress::Done,
                GuestState::Failed => Progress::Failed(guest_failure(host, &report)),
                GuestState::Preparing | GuestState::Released => Progress::Busy,
            },
            None => Progress::Busy,
        }
    }

    /// The VM serves the right content, by its own word in this boot and to these settings.
    pub(super) fn vm_serving(&mut self, host: &HostRecord) -> Progress {
        let handover = self.memory.transition.as_ref().is_some_and(|it| it.kind == TransitionKind::Handover);
        self.look_again_in(if handover { POLL_URGENT_S } else { POLL_S });
        self.waiting_for(format!("{} mounts the home and starts Jupyter", host.shape));
        let Some(report) = self.current_report(host, &host.nonce) else { return Progress::Busy };
        let expected = self.memory.home.as_ref().map(|home| home.content_id.clone());
        match report.state {
            GuestState::Serving if report.content_id == expected => Progress::Done,
            GuestState::Serving => Progress::Failed(Failure {
                reason: Reason::ContentMismatch,
                message: format!(
                    "{} serves content {}, but this notebook's is {}",
                    host.name,
                    report.content_id.as_deref().unwrap_or("without an id"),
                    expected.as_deref().unwrap_or("not known"),
                ),
                weight: Weight::Person,
            }),
            GuestState::Failed => Progress::Failed(guest_failure(host, &report)),
            GuestState::Preparing | GuestState::Standby | GuestState::Released => Progress::Busy,
        }
    }

    /// The report of the host's guest, where it answers these settings and is not of an earlier boot.
    pub(super) fn current_report(&self, host: &HostRecord, nonce: &str) -> Option<GuestReport> {
        let report = self.observed.reports.get(&host.name)?.present()?;
        let stale = report.nonce != nonce || host.boot_id.as_ref().is_some_and(|boot| *boot == report.boot_id);
        (!stale).then(|| report.clone())
    }

    /// The VM holds the home no longer, as far as its guest goes: it said so, or it does not run.
    pub(super) fn vm_let_go(&mut self, host: &HostRecord, nonce: &str) -> Progress {
        let instance = match self.instance(&host.name) {
            Seen::Absent => return Progress::Done,
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Present(instance) => instance,
        };
        if !self.is_ours(&instance.labels) {
            return Progress::Failed(Self::not_ours(&host.name));
        }
        if instance.attachment(&self.home_name()).is_none() {
            return Progress::Done;
        }
        match instance.status {
            InstanceStatus::Stopped => Progress::Done,
            InstanceStatus::Running if !self.overdue(LET_GO_S) => self.vm_asked_to_let_go(host, &instance, nonce),
            InstanceStatus::Running | InstanceStatus::Repairing => {
                self.waiting_for(format!("{} did not let go in {LET_GO_S} s and is being stopped", host.name));
                self.vm_stopped(host)
            }
            // A suspended machine still has the file system mounted in its memory: it must run to let go.
            InstanceStatus::Suspended => self.cloud(
                "resume",
                Mutation::ResumeInstance { place: place(host), name: host.name.clone(), id: instance.id },
            ),
            InstanceStatus::Pending
            | InstanceStatus::Provisioning
            | InstanceStatus::Staging
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

    fn vm_asked_to_let_go(&mut self, host: &HostRecord, instance: &Instance, nonce: &str) -> Progress {
        self.look_again_in(POLL_URGENT_S);
        self.waiting_for(format!("{} ends Jupyter and unmounts the home", host.shape));
        let asked = instance
            .settings
            .as_ref()
            .is_some_and(|settings| settings.role == GuestRole::Release && settings.nonce == nonce);
        if !asked {
            return self.set_settings("release", host, instance, GuestRole::Release, nonce);
        }
        let report = self.observed.reports.get(&host.name).and_then(Seen::present);
        match report {
            Some(report) if report.nonce == nonce && report.state == GuestState::Released => Progress::Done,
            Some(_) | None => Progress::Busy,
        }
    }

    pub(super) fn set_settings(
        &mut self,
        key: &str,
        host: &HostRecord,
        instance: &Instance,
        role: GuestRole,
        nonce: &str,
    ) -> Progress {
        let settings = self.settings(role, nonce);
        self.cloud(
            key,
            Mutation::SetSettings {
                place: place(host),
                name: host.name.clone(),
                settings,
                fingerprint: instance.metadata_fingerprint.clone().unwrap_or_default(),
                keep: instance.metadata.clone(),
            },
        )
    }

    /// The VM's status is stopped.
    pub(super) fn vm_stopped(&mut self, host: &HostRecord) -> Progress {
        let instance = match self.instance(&host.name) {
            Seen::Absent => return Progress::Done,
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Present(instance) => instance,
        };
        match instance.status {
            InstanceStatus::Stopped => Progress::Done,
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
    pub(super) fn vm_started(&mut self, host: &HostRecord) -> Progress {
        let instance = match self.instance(&host.name) {
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Absent => {
                return Progress::Failed(Failure {
                    reason: Reason::HostFailed,
                    message: format!("{} is not there any more", host.name),
                    weight: Weight::Host,
                });
            }
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
    pub(super) fn vm_deleted(&mut self, host: &HostRecord) -> Progress {
        let instance = match self.instance(&host.name) {
            Seen::Absent => return Progress::Done,
            Seen::Unknown(_) => return Progress::Busy,
            Seen::Present(instance) => instance,
        };
        if !self.is_ours(&instance.labels) {
            return Progress::Failed(Self::not_ours(&host.name));
        }
        if let Some(home) = instance.attachment(&self.home_name()).filter(|home| home.auto_delete) {
            let device_name = home.device_name.clone();
            let mutation = Mutation::SetDiskAutoDelete {
                place: place(host),
                instance: host.name.clone(),
                device_name,
                auto_delete: false,
            };
            return self.cloud(&format!("keep-home-{}", host.name), mutation);
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

    /// What the memory says of a host that has just proved itself.
    pub(super) fn proven(&self, host: &HostRecord) -> HostRecord {
        let mut host = host.clone();
        if let Seen::Present(instance) = self.instance(&host.name) {
            host.address = instance.address.map(|address| address.to_string());
            host.started_at = instance.last_start;
        }
        if let Some(report) = self.observed.reports.get(&host.name).and_then(Seen::present) {
            host.boot_id = Some(report.boot_id.clone());
        }
        host.serving_since = Some(self.now);
        host
    }
}

fn guest_failure(host: &HostRecord, report: &GuestReport) -> Failure {
    use rehost_api::guest::GuestFailure;
    let (reason, weight) = match report.failure {
        Some(GuestFailure::ContentMismatch | GuestFailure::ForeignFilesystem | GuestFailure::FilesystemDamaged) => {
            (Reason::ContentMismatch, Weight::Person)
        }
        Some(GuestFailure::JupyterFailed | GuestFailure::AcceleratorMissing) | None => {
            (Reason::HostFailed, Weight::Host)
        }
    };
    let words = if report.message.is_empty() { "its guest reports a failure" } else { report.message.as_str() };
    Failure { reason, message: format!("{}: {words}", host.name), weight }
}

pub(super) fn accelerators(shape: &VmShape) -> Vec<Accelerator> {
    shape
        .gpu
        .iter()
        .map(|gpu| Accelerator { kind: gpu.kind.clone(), count: u32::try_from(gpu.count).unwrap_or(0) })
        .collect()
}

/// A VM with a GPU cannot be migrated live (Compute Engine's rule), so it is stopped for maintenance and started again.
pub(super) fn maintenance(shape: &VmShape) -> OnHostMaintenance {
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

pub(super) fn scheduling(shape: &VmShape) -> Scheduling {
    let (provisioning, automatic_restart, on_termination) = match shape.provisioning {
        Provisioning::Standard => (mutation::Provisioning::Standard, true, None),
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
        max_run_duration_s: None,
    }
}

fn has_local_ssd(shape: &HostShape) -> bool {
    match shape {
        HostShape::Vm(vm) => vm.local_ssds > 0,
        HostShape::Pod(_) => false,
    }
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
