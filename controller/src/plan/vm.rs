//! Sub-goals around a VM. Each looks first whether it is reached already, so that each can be asked for again at any time.
//! Here is what its guest is asked and says; its order is in [`obtain`], its stop, start and end in [`power`], its sleep in [`sleep`].

mod obtain;
mod power;
mod sleep;

use std::collections::BTreeMap;

use rehost_api::conditions::Reason;
use rehost_api::guest::{
    GuestFailure, GuestHome, GuestReport, GuestRole, GuestSettings, GuestState, HOME_DEVICE, JUPYTER_PORT,
};
use rehost_api::labels;
use rehost_api::shape::digest_of;
use rehost_api::status::{HostRecord, TransitionKind};

use super::bounds::{LET_GO_S, POLL_S, POLL_URGENT_S, RESUME_S};
use super::{Failure, Planner, Progress, Weight};
pub(super) use obtain::{accelerators, maintenance, scheduling};

use crate::gce::model::{Instance, InstanceStatus};
use crate::gce::mutation::{Mutation, Place};
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
    pub(super) fn settings(&self, host: &HostRecord, role: GuestRole, nonce: &str) -> GuestSettings {
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
            offer: Box::new(self.offer(host)),
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
                GuestState::Failed => Progress::Failed(guest_failure(host, report.failure, &report.message)),
                GuestState::Preparing | GuestState::Released => Progress::Busy,
            },
            None => Progress::Busy,
        }
    }

    /// The VM serves the right content, by its own word in this boot and to these settings.
    pub(super) fn vm_serving(&mut self, host: &HostRecord) -> Progress {
        let handover = self.memory.transition.as_ref().is_some_and(|it| it.kind == TransitionKind::Handover);
        self.look_again_in(if handover { POLL_URGENT_S } else { POLL_S });
        let does = if self.keeps_kernels() { "wakes" } else { "mounts the home and starts Jupyter" };
        self.waiting_for(format!("{} {does}", host.shape));
        let Some(report) = self.current_report(host, &host.nonce) else { return Progress::Busy };
        match (report.state, self.fault_of(host, &report)) {
            (_, Some(failure)) => Progress::Failed(failure),
            (GuestState::Serving, None) => Progress::Done,
            (GuestState::Preparing | GuestState::Standby | GuestState::Released | GuestState::Failed, None) => {
                Progress::Busy
            }
        }
    }

    /// What is wrong by the guest's own word: it failed, or serves what is not this notebook's.
    pub(super) fn fault_of(&self, host: &HostRecord, report: &GuestReport) -> Option<Failure> {
        let expected = self.memory.home.as_ref().map(|home| home.content_id.clone());
        match report.state {
            GuestState::Serving if report.content_id == expected => None,
            GuestState::Serving => Some(Failure {
                reason: Reason::ContentMismatch,
                message: format!(
                    "{} serves content {}, but this notebook's is {}",
                    host.name,
                    report.content_id.as_deref().unwrap_or("without an id"),
                    expected.as_deref().unwrap_or("not known"),
                ),
                weight: Weight::Person,
            }),
            GuestState::Failed => Some(guest_failure(host, report.failure, &report.message)),
            GuestState::Preparing | GuestState::Standby | GuestState::Released => None,
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
        if instance.attachment(&self.home_name_of(host)).is_none() {
            return Progress::Done;
        }
        match instance.status {
            InstanceStatus::Stopped => Progress::Done,
            InstanceStatus::Running if !self.overdue(self.let_go_bound_s()) => {
                self.vm_asked_to_let_go(host, &instance, nonce)
            }
            InstanceStatus::Running | InstanceStatus::Repairing => {
                self.waiting_for(format!("{} did not let go in {LET_GO_S} s and is being stopped", host.name));
                self.vm_stopped(host)
            }
            InstanceStatus::Suspended if self.has_lost_kernels() => self.vm_stopped(host),
            // It still has the file system mounted in its memory: it must run to let go.
            InstanceStatus::Suspended => self.vm_woken_to_let_go(host, &instance),
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

    /// The time to let go of one that slept begins when it has been resumed.
    fn let_go_bound_s(&self) -> i64 {
        LET_GO_S + if self.keeps_kernels() { RESUME_S } else { 0 }
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
        let settings = self.settings(host, role, nonce);
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

    /// What the memory says of a host that has just proved itself.
    pub(super) fn proven(&self, host: &HostRecord) -> HostRecord {
        let mut host = host.clone();
        if let Seen::Present(instance) = self.instance(&host.name) {
            host.address = instance.address.map(|address| address.to_string());
            host.started_at = instance.last_start;
            host.told = instance.settings.as_ref().map(|settings| digest_of(&settings.offer));
        }
        if let Some(report) = self.observed.reports.get(&host.name).and_then(Seen::present) {
            host.boot_id = Some(report.boot_id.clone());
        }
        host.serving_since = Some(self.now);
        host
    }
}

/// What a guest's own refusal means, whichever way it came.
pub(super) fn guest_failure(host: &HostRecord, failure: Option<GuestFailure>, message: &str) -> Failure {
    let (reason, weight) = match failure {
        Some(GuestFailure::ContentMismatch | GuestFailure::ForeignFilesystem) => {
            (Reason::ContentMismatch, Weight::Person)
        }
        Some(GuestFailure::FilesystemDamaged) => (Reason::HomeDamaged, Weight::Person),
        Some(GuestFailure::JupyterFailed | GuestFailure::AcceleratorMissing) | None => {
            (Reason::HostFailed, Weight::Host)
        }
    };
    let words = if message.is_empty() { "its guest reports a failure" } else { message };
    Failure { reason, message: format!("{}: {words}", host.name), weight }
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
