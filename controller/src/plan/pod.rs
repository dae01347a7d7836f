//! Sub-goals around a pod: its place kept, made, ready, gone.

use std::collections::BTreeMap;

use rehost_api::conditions::Reason;
use rehost_api::shape::HostShape;
use rehost_api::status::{HostKind, HostRecord};

use super::action::{KubeChange, PodPlan};
use super::bounds::{POLL_S, POLL_SLOW_S, SCHEDULE_S};
use super::handover::returned_name;
use super::vm::guest_failure;
use super::{Action, Failure, Planner, Progress, Weight};
use crate::seen::Seen;
use crate::watch::slim::{PodPhase, PodRole, PodSeen, Scheduled};

/// The name of the placeholder that keeps a pod's place.
pub(super) fn placeholder_of(host: &HostRecord) -> String {
    format!("{}-place", host.name)
}

impl Planner<'_> {
    pub(super) fn pod(&self, name: &str) -> Seen<PodSeen> {
        match &self.observed.pods {
            Seen::Present(pods) => {
                pods.iter().find(|pod| pod.name == name).cloned().map_or(Seen::Absent, Seen::Present)
            }
            Seen::Absent => Seen::Absent,
            Seen::Unknown(why) => Seen::Unknown(why.clone()),
        }
    }

    /// A place for the pod: a placeholder with the same requests, node choice and image runs.
    pub(super) fn place_kept(&mut self, host: &HostRecord, node: Option<String>) -> Progress {
        let name = placeholder_of(host);
        self.waiting_for(format!("a place for {} is being found in the cluster", host.shape));
        self.look_again_in(POLL_SLOW_S);
        match self.pod(&name) {
            Seen::Unknown(_) => Progress::Busy,
            Seen::Absent => self.create_pod(host, PodRole::Placeholder, name, node),
            Seen::Present(pod) => match pod.phase {
                PodPhase::Running if pod.ready && !pod.deleting => Progress::Done,
                PodPhase::Failed | PodPhase::Succeeded => Progress::Failed(Failure {
                    reason: Reason::HostFailed,
                    message: format!("the place for {} was lost again", host.shape),
                    weight: Weight::Host,
                }),
                PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => self.patience(host, &pod),
            },
        }
    }

    /// A pod that finds no node in its time has met a stockout of the cluster.
    fn patience(&mut self, host: &HostRecord, pod: &PodSeen) -> Progress {
        if let Scheduled::No { message, .. } = &pod.scheduled {
            self.waiting_for(format!("no node takes {} yet: {message}", host.shape));
        } else if let Some(waiting) = &pod.waiting {
            self.waiting_for(format!("{}: {} {}", host.shape, waiting.reason, waiting.message));
        }
        if !self.overdue(SCHEDULE_S) {
            return Progress::Busy;
        }
        Progress::Failed(match &pod.scheduled {
            Scheduled::No { message, .. } => Failure {
                reason: Reason::Stockout,
                message: format!("no node of the cluster took {} in {SCHEDULE_S} s: {message}", host.shape),
                weight: Weight::Capacity,
            },
            Scheduled::Yes | Scheduled::Unknown => Failure {
                reason: Reason::HostFailed,
                message: match &pod.waiting {
                    Some(waiting) => {
                        format!("{} did not start in {SCHEDULE_S} s: {} {}", host.name, waiting.reason, waiting.message)
                    }
                    None => format!("{} did not start in {SCHEDULE_S} s", host.name),
                },
                weight: Weight::Host,
            },
        })
    }

    /// The pod itself exists, on that node.
    pub(super) fn pod_made(&mut self, host: &HostRecord, node: Option<String>) -> Progress {
        match self.pod(&host.name) {
            Seen::Unknown(_) => Progress::Busy,
            Seen::Present(pod) if pod.deleting => {
                self.look_again_in(POLL_SLOW_S);
                Progress::Busy
            }
            Seen::Present(_) => Progress::Done,
            Seen::Absent => match self.volume_and_claim(host).and(self.settings_made(host)) {
                Progress::Done => {
                    self.look_again_in(POLL_SLOW_S);
                    self.create_pod(host, PodRole::Host, host.name.clone(), node)
                }
                unfinished => unfinished,
            },
        }
    }

    fn create_pod(&mut self, host: &HostRecord, role: PodRole, name: String, node: Option<String>) -> Progress {
        let HostShape::Pod(shape) = &host.last_shape else { return Progress::Busy };
        let mounts_buckets = match &self.observed.bucket_driver {
            // Without its buckets it is better than not at all; status says what the cluster lacks.
            _ if shape.buckets.is_empty() => false,
            Seen::Present(()) => true,
            Seen::Absent => false,
            Seen::Unknown(_) => {
                self.look_again_in(POLL_S);
                return Progress::Busy;
            }
        };
        let reach = self.home_of(host).filter(|home| !home.claim).map(|home| self.reach(home));
        let transition = self.memory.transition.as_ref().map(|transition| transition.id.clone()).unwrap_or_default();
        let plan = PodPlan {
            name,
            role,
            shape: shape.clone(),
            mounts_buckets,
            claim: (role == PodRole::Host).then(|| self.home_name_of(host)),
            node,
            reach,
            labels: BTreeMap::from([(rehost_api::labels::TRANSITION.to_owned(), transition)]),
        };
        self.actions.push(Action::Kube(KubeChange::CreatePod(Box::new(plan))));
        Progress::Busy
    }

    /// The pod is ready: its readiness probe asks Jupyter itself.
    pub(super) fn pod_serving(&mut self, host: &HostRecord) -> Progress {
        self.look_again_in(POLL_SLOW_S);
        self.waiting_for(format!("the pod with {} starts", host.shape));
        if let Some(failure) = self.current_report(host, &host.nonce).and_then(|report| self.fault_of(host, &report)) {
            return Progress::Failed(failure);
        }
        match self.pod(&host.name) {
            Seen::Unknown(_) => Progress::Busy,
            Seen::Absent => Progress::Failed(Failure {
                reason: Reason::HostFailed,
                message: format!("the pod {} is not there any more", host.name),
                weight: Weight::Host,
            }),
            Seen::Present(pod) if pod.ready && !pod.deleting => Progress::Done,
            Seen::Present(PodSeen { refusal: Some(refusal), .. }) => {
                Progress::Failed(guest_failure(host, Some(refusal.failure), &refusal.message))
            }
            Seen::Present(pod) => match pod.phase {
                PodPhase::Failed | PodPhase::Succeeded => Progress::Failed(Failure {
                    reason: Reason::HostFailed,
                    message: format!("the pod {} ended", host.name),
                    weight: Weight::Host,
                }),
                PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => self.patience(host, &pod),
            },
        }
    }

    /// The pod, its placeholder too if asked, is gone.
    pub(super) fn pod_gone(&mut self, name: &str) -> Progress {
        match self.pod(name) {
            Seen::Absent => Progress::Done,
            Seen::Unknown(_) => Progress::Busy,
            Seen::Present(pod) => {
                self.waiting_for(format!("the pod {name} ends"));
                if !pod.deleting {
                    self.actions
                        .push(Action::Kube(KubeChange::DeletePod { name: pod.name.clone(), uid: pod.uid.clone() }));
                }
                self.look_again_in(POLL_SLOW_S);
                Progress::Busy
            }
        }
    }

    /// Pods of ours that nothing in the memory accounts for are removed: a placeholder whose change is over, a pod of a change that
    /// was given up.
    pub(super) fn sweep_pods(&mut self) {
        let Seen::Present(pods) = &self.observed.pods else { return };
        let mut wanted: Vec<String> = Vec::new();
        if let Some(host) = &self.memory.host {
            wanted.push(host.name.clone());
        }
        if let Some(transition) = &self.memory.transition {
            for host in transition.from.iter().chain(&transition.to) {
                wanted.extend([host.name.clone(), placeholder_of(host)]);
            }
        }
        let now = self.memory.transition.as_ref().map(|transition| transition.id.as_str());
        let stray: Vec<_> = pods
            .iter()
            .filter(|pod| {
                pod.owned && !pod.deleting && !wanted.contains(&pod.name) && Some(pod.transition.as_str()) != now
            })
            .map(|pod| KubeChange::DeletePod { name: pod.name.clone(), uid: pod.uid.clone() })
            .collect();
        self.actions.extend(stray.into_iter().map(Action::Kube));
        wanted.extend(self.returning());
        self.sweep_settings(&wanted);
    }

    /// A pod that an earlier change has left, a placeholder above all: as long as it is there, or may be, it counts as a host.
    pub(super) fn pod_left_over(&self) -> Option<String> {
        let pods = match &self.observed.pods {
            Seen::Absent => return None,
            Seen::Unknown(_) => return Some("which cannot be looked at".to_owned()),
            Seen::Present(pods) => pods,
        };
        let host = self.memory.host.as_ref().map(|host| host.name.as_str());
        pods.iter().find(|pod| pod.owned && Some(pod.name.as_str()) != host).map(|pod| pod.name.clone())
    }

    /// The name of the pod to which the home may come back.
    fn returning(&self) -> Option<String> {
        let transition = self.memory.transition.as_ref()?;
        transition.from.as_ref().map(|from| returned_name(from, transition))
    }

    /// What the memory says of a pod that has just proved itself.
    pub(super) fn proven_pod(&self, host: &HostRecord) -> HostRecord {
        let mut host = host.clone();
        if let Seen::Present(pod) = self.pod(&host.name) {
            host.address = pod.address.map(|address| address.to_string());
            host.node.clone_from(&pod.node);
        }
        if let Seen::Present(settings) = self.pod_settings(&host.name) {
            host.told = settings.told;
        }
        let report = self.observed.reports.get(&host.name).and_then(Seen::present);
        if let Some(report) = report.filter(|report| report.nonce == host.nonce) {
            host.boot_id = Some(report.boot_id.clone());
        }
        host.serving_since = Some(self.now);
        host
    }

    /// The host serves, whatever its kind.
    pub(super) fn serving(&mut self, host: &HostRecord) -> Progress {
        match host.kind {
            HostKind::Vm => self.vm_serving(host),
            HostKind::Pod => self.pod_serving(host),
        }
    }

    /// The host is recorded as the one that has the home, and serves.
    pub(super) fn settle_on(&mut self, host: &HostRecord) {
        let proven = match host.kind {
            HostKind::Vm => self.proven(host),
            HostKind::Pod => self.proven_pod(host),
        };
        self.note(false, Reason::AsDeclared, format!("Jupyter answers on {}.", proven.shape));
        self.memory.host = Some(proven);
        self.memory.started = self.memory.started.or(Some(self.now));
        self.forget_kernels();
        if let Some(home) = &mut self.memory.home {
            home.formatted = true;
        }
    }
}
