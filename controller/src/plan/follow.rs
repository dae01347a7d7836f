//! What a VM offers beside the home (buckets, a repository, who may open it) is told to it while it runs: nothing is interrupted.
//!
//! The machine's own settings are read only afresh, so the memory keeps a digest of what the host was last told.

use jiff::SignedDuration;
use rehost_api::guest::{GuestOffer, GuestRole};
use rehost_api::shape::digest_of;
use rehost_api::status::{HostKind, HostRecord, Step, TransitionKind};

use super::{Planner, Progress};
use crate::seen::Seen;

/// The pause before the next round of attempts, in seconds: what the host offers is as it was meanwhile.
const PAUSE_S: i64 = 60;

impl Planner<'_> {
    /// What a host is to offer. While the wish is refused, what it already offers.
    pub(super) fn offer(&self, host: &HostRecord) -> GuestOffer {
        let Some(desired) = self.wish() else {
            let settings = self.instance(&host.name).into_present().and_then(|instance| instance.settings);
            return settings.map(|settings| *settings.offer).unwrap_or_default();
        };
        GuestOffer {
            token_hashes: self.resolution.access.clone(),
            accelerators: host.gpu.as_ref().and_then(|gpu| u32::try_from(gpu.count).ok()),
            buckets: desired.content.buckets.clone(),
            source: desired.content.source.clone(),
            ..GuestOffer::default()
        }
    }

    /// Begins to tell the running VM what has changed, where anything has.
    pub(super) fn begin_following(&mut self, host: &HostRecord) -> bool {
        let as_told = host.told.as_ref() == Some(&digest_of(&self.offer(host)));
        if host.kind == HostKind::Pod || as_told {
            return false;
        }
        self.begin(TransitionKind::Follow, Step::Set, None, 0);
        true
    }

    pub(super) fn follow_step(&mut self) {
        let Some(host) = self.memory.host.clone() else { return self.lost_step() };
        self.waiting_for(format!("{} is told what it is to offer", host.shape));
        let progress = match self.instance(&host.name) {
            Seen::Absent => return self.lost_step(),
            Seen::Unknown(_) => Progress::Busy,
            Seen::Present(instance) if !self.is_ours(&instance.labels) => Progress::Failed(Self::not_ours(&host.name)),
            Seen::Present(instance) => {
                let offer = self.offer(&host);
                let told = instance
                    .settings
                    .as_ref()
                    .is_some_and(|settings| *settings.offer == offer && settings.role == GuestRole::Serve);
                if told {
                    Progress::Done
                } else {
                    self.set_settings("offer", &host, &instance, GuestRole::Serve, &host.nonce)
                }
            }
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
}
