//! The ConfigMap beside a pod, from which its containers read what they are to be: made before the pod, gone with it.

use rehost_api::guest::GuestRole;
use rehost_api::status::{HostKind, HostRecord};

use super::action::{KubeChange, SettingsPlan};
use super::bounds::POLL_URGENT_S;
use super::ownership::foreign;
use super::{Action, Planner, Progress};
use crate::seen::Seen;
use crate::watch::slim::SettingsSeen;

impl Planner<'_> {
    pub(super) fn pod_settings(&self, name: &str) -> Seen<SettingsSeen> {
        self.observed.settings.get(name).cloned().unwrap_or_else(|| Seen::Unknown(format!("{name} was not looked at")))
    }

    /// What the pod is to be told is there.
    pub(super) fn settings_made(&mut self, host: &HostRecord) -> Progress {
        match self.pod_settings(&host.name) {
            Seen::Unknown(_) => Progress::Busy,
            Seen::Present(seen) if !self.is_our_object(&seen.notebook_uid) => {
                Progress::Failed(foreign(&format!("the ConfigMap {}/{}", seen.namespace, seen.name)))
            }
            Seen::Present(_) => Progress::Done,
            Seen::Absent => {
                self.apply_settings(host);
                Progress::Busy
            }
        }
    }

    /// Writes what the pod is told. Nobody wakes us when it is there.
    pub(super) fn apply_settings(&mut self, host: &HostRecord) {
        let settings = self.settings(host, GuestRole::Serve, &host.nonce);
        let plan = SettingsPlan { name: host.name.clone(), settings };
        self.actions.push(Action::Kube(KubeChange::ApplySettings(Box::new(plan))));
        self.look_again_in(POLL_URGENT_S);
    }

    /// The pod that was a host is gone, and what it was told with it. Both are asked for at once.
    pub(super) fn pod_host_gone(&mut self, host: &HostRecord) -> Progress {
        self.pod_gone(&host.name).and(self.settings_gone(&host.name))
    }

    /// What was told to a pod that somebody else has removed is gone before it is out of memory.
    pub(super) fn left_settings_gone(&mut self, left: Option<&HostRecord>) -> Progress {
        match left.filter(|host| host.kind == HostKind::Pod) {
            Some(host) => self.settings_gone(&host.name),
            None => Progress::Done,
        }
    }

    fn settings_gone(&mut self, name: &str) -> Progress {
        match self.pod_settings(name) {
            Seen::Unknown(_) => Progress::Busy,
            Seen::Present(seen) if self.is_our_object(&seen.notebook_uid) => {
                self.delete_settings(&seen);
                self.look_again_in(POLL_URGENT_S);
                Progress::Busy
            }
            // Somebody else's stays where it is.
            Seen::Present(_) | Seen::Absent => Progress::Done,
        }
    }

    /// Deletes all that are ours but those of these names. True when there are none.
    pub(super) fn sweep_settings(&mut self, wanted: &[String]) -> bool {
        let all = self.observed.settings.values().filter_map(Seen::present);
        let stray: Vec<SettingsSeen> = all
            .filter(|seen| self.is_our_object(&seen.notebook_uid) && !wanted.contains(&seen.name))
            .cloned()
            .collect();
        for seen in &stray {
            self.delete_settings(seen);
        }
        stray.is_empty()
    }

    fn delete_settings(&mut self, seen: &SettingsSeen) {
        let change = KubeChange::DeleteSettings { name: seen.name.clone(), uid: seen.uid.clone() };
        let action = Action::Kube(change);
        if !self.actions.contains(&action) {
            self.actions.push(action);
        }
    }
}
