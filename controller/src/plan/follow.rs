//! What a host offers beside the home (a VM's buckets, a repository, who may open it) is told to it while it runs: nothing is
//! interrupted.
//!
//! What a host was told is read only afresh, so the memory keeps a digest of it.

use jiff::SignedDuration;
use rehost_api::guest::{GuestOffer, GuestRole, GuestSettings, GuestStatusPort, POD_CREDENTIALS, STATUS_PORT};
use rehost_api::shape::{HostShape, digest_of};
use rehost_api::status::{HostKind, HostRecord, Step, TransitionKind};

use super::{Planner, Progress};
use crate::desired::WishedContent;
use crate::gce::model::Instance;
use crate::seen::Seen;

/// The pause before the next round of attempts, in seconds: what the host offers is as it was meanwhile.
const PAUSE_S: i64 = 60;

impl Planner<'_> {
    /// What a host is to offer. While the wish is refused, what it already offers; a pod's is not read, so that it offers the home.
    pub(super) fn offer(&self, host: &HostRecord) -> GuestOffer {
        let mut content = match (self.wish(), host.kind) {
            (Some(desired), _) => desired.content.clone(),
            (None, HostKind::Pod) => WishedContent::default(),
            (None, HostKind::Vm) => {
                let settings = self.instance(&host.name).into_present().and_then(|instance| instance.settings);
                return settings.map(|settings| *settings.offer).unwrap_or_default();
            }
        };
        if let HostShape::Pod(pod) = &host.last_shape {
            // What it mounts it has had from its beginning, whatever is wished for by now.
            content.buckets.clone_from(&pod.buckets);
            if let Some(source) = content.source.as_mut().filter(|_| !pod.source_secret.is_empty()) {
                source.secret = Some(POD_CREDENTIALS.to_owned());
            }
        }
        GuestOffer {
            token_hashes: self.resolution.access.people.clone(),
            accelerators: host.gpu.as_ref().and_then(|gpu| u32::try_from(gpu.count).ok()),
            buckets: content.buckets,
            source: content.source,
            status: self.status_port(host),
            ..GuestOffer::default()
        }
    }

    /// A pod has no guest attributes, and says how it is at a port.
    fn status_port(&self, host: &HostRecord) -> Option<GuestStatusPort> {
        let token_hash = self.resolution.access.status.clone().filter(|_| host.kind == HostKind::Pod)?;
        Some(GuestStatusPort { port: STATUS_PORT, token_hash })
    }

    /// Begins to tell the running host what has changed, where anything has.
    pub(super) fn begin_following(&mut self, host: &HostRecord) -> bool {
        if host.told.as_ref() == Some(&digest_of(&self.offer(host))) {
            return false;
        }
        self.begin(TransitionKind::Follow, Step::Set, None, 0);
        true
    }

    pub(super) fn follow_step(&mut self) {
        let Some(host) = self.memory.host.clone() else { return self.lost_step() };
        self.waiting_for(format!("{} is told what it is to offer", host.shape));
        let progress = match host.kind {
            HostKind::Vm => match self.instance(&host.name) {
                Seen::Absent => return self.lost_step(),
                Seen::Unknown(_) => Progress::Busy,
                Seen::Present(instance) => self.vm_told(&host, &instance),
            },
            HostKind::Pod => self.pod_told(&host),
        };
        match progress {
            Progress::Done => {
                let told = digest_of(&self.offer(&host));
                if let Some(host) = &mut self.memory.host {
                    host.told = Some(told);
                }
                self.succeed();
            }
            Progress::Busy => {}
            Progress::Failed(failure) => {
                if let Some(failure) = self.again_or(failure) {
                    self.note(true, failure.reason, failure.message.clone());
                    let not_before = self.now + SignedDuration::from_secs(PAUSE_S);
                    if let Some(transition) = &mut self.memory.transition {
                        transition.attempt += 1;
                        transition.not_before = Some(not_before);
                    }
                }
            }
        }
    }

    fn vm_told(&mut self, host: &HostRecord, instance: &Instance) -> Progress {
        if !self.is_ours(&instance.labels) {
            return Progress::Failed(Self::not_ours(&host.name));
        }
        let offer = self.offer(host);
        let as_told = |settings: &GuestSettings| *settings.offer == offer && settings.role == GuestRole::Serve;
        if instance.settings.as_ref().is_some_and(as_told) {
            return Progress::Done;
        }
        self.set_settings("offer", host, instance, GuestRole::Serve, &host.nonce)
    }

    /// The kubelet brings a change of the ConfigMap to the running pod within a minute or so.
    fn pod_told(&mut self, host: &HostRecord) -> Progress {
        match self.settings_made(host) {
            Progress::Done => {}
            other => return other,
        }
        let told = self.pod_settings(&host.name).into_present().and_then(|seen| seen.told);
        if told.as_ref() == Some(&digest_of(&self.offer(host))) {
            return Progress::Done;
        }
        self.apply_settings(host);
        Progress::Busy
    }
}
