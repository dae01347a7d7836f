//! What should be next for a notebook with nothing under way: the requests of its people, then its home, then its host.

use rehost_api::conditions::Reason;
use rehost_api::labels;
use rehost_api::shape::HostShape;
use rehost_api::status::{HomeRecord, HostKind, HostRecord, Resolved, Step, StopReason, Stopped, TransitionKind};

use super::bounds::POLL_SLOW_S;
use super::{Planner, Situation};
use crate::desired::{Desired, Power, Refusal, When};
use crate::gce::model::{Instance, InstanceStatus};
use crate::seen::Seen;
use crate::watch::slim::{PodPhase, PodSeen};

/// Where the host that has the home is found.
enum Whereabouts {
    /// There is none.
    Nowhere,
    /// A VM at rest.
    AtRest,
    /// A VM that runs.
    RunsVm(Box<Instance>),
    /// A pod that has not ended.
    RunsPod(Box<PodSeen>),
    /// On its way from one to the other, by somebody's order.
    InMotion(String),
    /// It could not be looked at.
    Unclear(String),
}

impl Planner<'_> {
    /// Decides what is next, and begins it.
    pub(super) fn next(&mut self, desired: &Desired) {
        self.take_requests();
        if !self.home_settled(desired) {
            return;
        }
        self.remember_resolution(desired);
        match self.memory.stopped.clone() {
            Some(stopped) => self.rest(desired, &stopped),
            None => self.run(desired),
        }
    }

    /// The wish cannot be fulfilled as written. What runs is left as it is, but for one thing: who wants it stopped gets it stopped.
    pub(super) fn refused(&mut self, refusal: &Refusal) {
        self.take_requests();
        let runs = matches!(self.whereabouts(), Whereabouts::RunsVm(_) | Whereabouts::RunsPod(_));
        if self.memory.stopped.is_some() && runs {
            self.begin(TransitionKind::Stop, Step::Halt, None, 0);
        } else {
            self.situation = Situation::Refused(refusal.clone());
        }
    }

    fn remember_resolution(&mut self, desired: &Desired) {
        self.memory.resolved = Some(Resolved {
            digest: desired.host.digest.clone(),
            host: desired.host.shape.clone(),
            fallbacks: desired.host.fallbacks.clone(),
        });
        if self.memory.retry.as_ref().is_some_and(|retry| retry.digest != desired.host.digest) {
            self.memory.retry = None;
        }
    }

    /// The request annotations and `spec.state`: any value that was not handled is a new request; clocks are not compared.
    fn take_requests(&mut self) {
        let declared = self.resolution.power == Power::Stopped;
        let stop = is_new(self.resolution.requests.stop.as_ref(), self.memory.handled.stop.as_ref());
        let wake = is_new(self.resolution.requests.wake.as_ref(), self.memory.handled.wake.as_ref());
        if stop {
            self.memory.handled.stop.clone_from(&self.resolution.requests.stop);
        }
        if wake {
            self.memory.handled.wake.clone_from(&self.resolution.requests.wake);
            // Who wakes a notebook wants it tried now.
            self.memory.retry = None;
        }
        self.memory.stopped = match self.memory.stopped.take() {
            Some(stopped) if declared => Some(Stopped { declared, ..stopped }),
            None if declared || (stop && !wake) => Some(Stopped { at: self.now, reason: StopReason::Asked, declared }),
            Some(stopped) if stopped.declared || wake => None,
            other => other,
        };
    }

    /// The home is recorded, and what is recorded is what is there. False where a person must act first.
    fn home_settled(&mut self, desired: &Desired) -> bool {
        let Some(home) = self.memory.home.clone() else {
            if let Some(kept) = self.observed.kept_disks.first().filter(|_| !desired.home.start_blank) {
                self.situation = Situation::Refused(Refusal {
                    reason: Reason::KeptDiskFound,
                    field: "spec.storage.from".to_owned(),
                    message: format!(
                        "the disk {} in {} was kept from an earlier notebook of this name; say spec.storage.from.blank: true to start anew and leave it as it is",
                        kept.name, kept.zone,
                    ),
                });
                return false;
            }
            self.memory.home = Some(self.new_home(desired));
            return true;
        };
        let gone = home.id.is_some() && !home.claim && self.observed.home.is_absent();
        let other = match (&home.id, &self.observed.home) {
            (Some(id), Seen::Present(disk)) => *id != disk.id.to_string(),
            (None, _) | (_, Seen::Absent | Seen::Unknown(_)) => false,
        };
        if gone || other {
            let failure = super::home::missing(&home);
            self.serve_no_more();
            self.situation = Situation::Refused(Refusal {
                reason: Reason::HomeMissing,
                field: "status.home".to_owned(),
                message: failure.message,
            });
            return false;
        }
        if desired.home.size_gb < home.size_gb {
            self.situation = Situation::Refused(Refusal {
                reason: Reason::HomeShrink,
                field: "spec.storage.size".to_owned(),
                message: format!(
                    "{}Gi is smaller than the home, which has {}Gi; a home only grows: say {}Gi or more",
                    desired.home.size_gb, home.size_gb, home.size_gb,
                ),
            });
            return false;
        }
        true
    }

    fn new_home(&self, desired: &Desired) -> HomeRecord {
        let uid = &self.resolution.subject.uid;
        let transition = self.memory.last_transition + 1;
        let home = &desired.home;
        HomeRecord {
            disk: labels::disk_name(uid, transition),
            id: None,
            content_id: labels::content_id(uid).to_string(),
            formatted: false,
            size_gb: home.size_gb,
            disk_type: if home.claim { String::new() } else { home.disk_type.clone() },
            project: if home.claim { String::new() } else { home.project.clone() },
            zone: if home.claim { String::new() } else { home.zone.clone() },
            claim: home.claim,
        }
    }

    /// The notebook is to be stopped, or is.
    fn rest(&mut self, desired: &Desired, stopped: &Stopped) {
        self.situation = Situation::Stopped(stopped.reason);
        match self.whereabouts() {
            Whereabouts::Nowhere => {
                self.serve_no_more();
                self.begin_growth(desired);
            }
            Whereabouts::AtRest => {
                if self.begin_growth(desired) {
                    return;
                }
                let until = stopped.at + jiff::SignedDuration::from_secs(desired.keep_stopped_s);
                if self.now >= until {
                    self.begin(TransitionKind::Stop, Step::Release, None, 0);
                } else {
                    self.look_again_at(until);
                }
            }
            Whereabouts::RunsVm(_) | Whereabouts::RunsPod(_) => self.begin(TransitionKind::Stop, Step::Halt, None, 0),
            Whereabouts::InMotion(words) => self.wait_for_motion(&words),
            Whereabouts::Unclear(why) => self.situation = Situation::Unclear(why),
        }
    }

    /// The notebook is to run.
    fn run(&mut self, desired: &Desired) {
        match self.whereabouts() {
            Whereabouts::Nowhere => self.run_anew(desired),
            Whereabouts::AtRest => self.run_from_rest(desired),
            Whereabouts::RunsVm(instance) => self.run_on_vm(desired, &instance),
            Whereabouts::RunsPod(pod) => self.run_on_pod(desired, &pod),
            Whereabouts::InMotion(words) => self.wait_for_motion(&words),
            Whereabouts::Unclear(why) => self.situation = Situation::Unclear(why),
        }
    }

    fn wait_for_motion(&mut self, words: &str) {
        self.serve_no_more();
        self.situation = Situation::Unclear(words.to_owned());
        self.look_again_in(POLL_SLOW_S);
    }

    /// There is no host: one is made around the home.
    fn run_anew(&mut self, desired: &Desired) {
        if self.memory.host.as_ref().is_some_and(|host| host.serving_since.is_some()) {
            self.note(
                true,
                Reason::HostFailed,
                "The host is gone, not by our doing; the home is kept, and a new host is made.",
            );
            self.serve_no_more();
        }
        let Some((candidate, shape)) = self.candidate(desired) else { return };
        self.handled_restart();
        let to = self.new_host(&shape);
        let step = Step::Home;
        self.begin(TransitionKind::Create, step, Some(to), candidate);
    }

    /// The host is stopped: it is started, set and started, or left for another.
    fn run_from_rest(&mut self, desired: &Desired) {
        if self.memory.host.as_ref().is_some_and(|host| host.serving_since.is_some()) {
            self.note(true, Reason::HostFailed, "The host was stopped, not by our doing; it is started again.");
            self.serve_no_more();
        }
        let Some((candidate, shape)) = self.candidate(desired) else { return };
        self.handled_restart();
        let Some(host) = self.memory.host.clone() else { return };
        if host.last_shape == shape {
            let to = HostRecord { serving_since: None, ..host };
            self.begin(TransitionKind::Start, Step::Boot, Some(to), candidate);
        } else if desired.in_place && self.can_change_in_place(&shape) {
            self.begin_in_place(&shape, candidate);
        } else {
            self.begin_handover(&shape, candidate);
        }
    }

    fn run_on_vm(&mut self, desired: &Desired, instance: &Instance) {
        let Some(host) = self.memory.host.clone() else { return };
        if self.noticed_drift(&host, instance) {
            return;
        }
        let has_home = instance.attachment(&self.home_name()).is_some();
        let restarted =
            host.started_at.is_some() && instance.last_start.is_some() && host.started_at != instance.last_start;
        if host.serving_since.is_none() || restarted || !has_home {
            return self.run_again(&host, has_home);
        }
        self.run_on(desired, &host);
    }

    /// Somebody changed the machine: what is there is what is compared with the wish from now on.
    fn noticed_drift(&mut self, host: &HostRecord, instance: &Instance) -> bool {
        let HostShape::Vm(shape) = &host.last_shape else { return false };
        let accelerators = super::vm::accelerators(shape);
        // Accelerators that come with the machine type are listed by Compute Engine, but not part of a shape.
        let same_gpus = shape.gpu.is_none() || instance.accelerators == accelerators;
        if instance.machine_type == shape.machine_type && same_gpus {
            return false;
        }
        let mut actual = shape.clone();
        actual.machine_type.clone_from(&instance.machine_type);
        actual.gpu = instance.accelerators.first().map(|accelerator| rehost_api::shape::Gpu {
            kind: accelerator.kind.clone(),
            count: i32::try_from(accelerator.count).unwrap_or(i32::MAX),
        });
        let actual = HostShape::Vm(actual);
        self.note(
            true,
            Reason::HostFailed,
            format!("The host was changed from {} to {}, not by our doing.", host.shape, actual.text()),
        );
        if let Some(host) = &mut self.memory.host {
            host.shape = actual.text();
            host.machine_type = Some(instance.machine_type.clone());
            host.gpu = actual.gpu().cloned();
            host.last_shape = actual;
        }
        true
    }

    /// The VM runs, but nobody has proved that Jupyter answers on it: it proves itself, or is restarted.
    fn run_again(&mut self, host: &HostRecord, has_home: bool) {
        let tried = self.memory.retry.as_ref().and_then(|retry| retry.next_try);
        if let Some(at) = tried
            && self.now < at
        {
            self.situation = Situation::Short;
            return self.look_again_at(at);
        }
        let to = HostRecord { serving_since: None, ..host.clone() };
        self.serve_no_more();
        if tried.is_none() && has_home {
            self.begin(TransitionKind::Start, Step::Prove, Some(to), 0);
        } else {
            self.handled_restart();
            let shape = host.last_shape.clone();
            self.begin_in_place(&shape, 0);
        }
    }

    fn run_on_pod(&mut self, desired: &Desired, pod: &PodSeen) {
        let Some(host) = self.memory.host.clone() else { return };
        if host.serving_since.is_none() && !pod.deleting {
            let to = HostRecord { serving_since: None, ..host };
            return self.begin(TransitionKind::Start, Step::Prove, Some(to), 0);
        }
        // The pod's address can change with its sandbox: the record follows.
        let address = pod.address.map(|address| address.to_string());
        if let Some(host) = &mut self.memory.host
            && address.is_some()
            && host.address != address
        {
            host.address = address;
        }
        self.run_on(desired, &host);
    }

    /// The host runs and serves: is it the wished one?
    fn run_on(&mut self, desired: &Desired, host: &HostRecord) {
        if self.begin_growth(desired) {
            return;
        }
        if is_new(self.resolution.requests.restart.as_ref(), self.memory.handled.restart.as_ref()) {
            return self.restart(host);
        }
        if host.last_shape == desired.host.shape {
            self.memory.retry = None;
            return;
        }
        let difference = format!("{} -> {}", host.shape, desired.host.shape.text());
        if desired.when == When::NextStop {
            self.situation = Situation::ChangePending(format!("{difference}, waits for the next stop"));
            return;
        }
        if desired.host.fallbacks.contains(&host.last_shape) && self.memory.retry.is_some() {
            // It has a host that it may have; the way back interrupts, so it waits for the next stop.
            self.situation = Situation::Short;
            return;
        }
        let Some((candidate, shape)) = self.candidate(desired) else { return };
        if self.can_resize_live(&shape) {
            self.begin_live_resize(&shape);
        } else if desired.in_place && self.can_change_in_place(&shape) {
            self.begin_in_place(&shape, candidate);
        } else {
            self.begin_handover(&shape, candidate);
        }
    }

    fn restart(&mut self, host: &HostRecord) {
        self.handled_restart();
        let shape = host.last_shape.clone();
        match host.kind {
            HostKind::Vm => self.begin_in_place(&shape, 0),
            HostKind::Pod => self.begin_handover(&shape, 0),
        }
    }

    fn handled_restart(&mut self) {
        self.memory.handled.restart.clone_from(&self.resolution.requests.restart);
    }

    /// Begins a handover, once a host of an earlier one is gone: never more than two hosts.
    fn begin_handover(&mut self, shape: &HostShape, candidate: i64) {
        if let Some(former) = &mut self.memory.former {
            former.keep_until = former.keep_until.min(self.now);
            self.situation = Situation::Changing {
                kind: TransitionKind::Handover,
                step: Step::Obtain,
                detail: format!("the host of the last handover, {}, is removed first", former.host.name),
            };
            return self.look_again_in(super::bounds::POLL_S);
        }
        let to = self.new_host(shape);
        self.begin(TransitionKind::Handover, Step::Obtain, Some(to), candidate);
    }

    /// The wished host or the fallback whose turn it is; none while the next round has not come.
    fn candidate(&mut self, desired: &Desired) -> Option<(i64, HostShape)> {
        let tried = self.memory.retry.as_ref().map_or(0, |retry| retry.tried);
        if let Some(shape) = desired.host.candidate(tried) {
            return Some((tried, shape.clone()));
        }
        // After all of them: the last shape that ran, where the notebook would otherwise have no host at all.
        if tried == desired.host.candidates() && self.last_shape_is_left() {
            return self.memory.host.as_ref().map(|host| (tried, host.last_shape.clone()));
        }
        self.situation = Situation::Short;
        let next_try = self.memory.retry.as_ref().and_then(|retry| retry.next_try)?;
        if self.now < next_try {
            self.look_again_at(next_try);
            return None;
        }
        Some((0, desired.host.shape.clone()))
    }

    /// Whether the last shape that ran is none of the candidates, and its host does not run now.
    pub(super) fn last_shape_is_left(&self) -> bool {
        let (Some(host), Some(resolved)) = (&self.memory.host, &self.memory.resolved) else { return false };
        let candidate = resolved.host == host.last_shape || resolved.fallbacks.contains(&host.last_shape);
        host.kind == HostKind::Vm && host.serving_since.is_none() && !candidate
    }

    fn whereabouts(&self) -> Whereabouts {
        let Some(host) = &self.memory.host else { return Whereabouts::Nowhere };
        match host.kind {
            HostKind::Vm => match self.instance(&host.name) {
                Seen::Absent => Whereabouts::Nowhere,
                Seen::Unknown(why) => Whereabouts::Unclear(why),
                Seen::Present(instance) => match instance.status {
                    InstanceStatus::Running => Whereabouts::RunsVm(Box::new(instance)),
                    InstanceStatus::Stopped | InstanceStatus::Suspended => Whereabouts::AtRest,
                    InstanceStatus::Pending
                    | InstanceStatus::Provisioning
                    | InstanceStatus::Staging
                    | InstanceStatus::PendingStop
                    | InstanceStatus::Stopping
                    | InstanceStatus::Suspending
                    | InstanceStatus::Repairing
                    | InstanceStatus::Deprovisioning
                    | InstanceStatus::Other(_) => Whereabouts::InMotion(format!(
                        "the VM {} is {:?}, not by our order",
                        host.name, instance.status
                    )),
                },
            },
            HostKind::Pod => match self.pod(&host.name) {
                Seen::Absent => Whereabouts::Nowhere,
                Seen::Unknown(why) => Whereabouts::Unclear(why),
                Seen::Present(pod) if pod.deleting => Whereabouts::InMotion(format!("the pod {} ends", host.name)),
                Seen::Present(pod) => match pod.phase {
                    PodPhase::Failed | PodPhase::Succeeded => Whereabouts::Nowhere,
                    PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => Whereabouts::RunsPod(Box::new(pod)),
                },
            },
        }
    }
}

fn is_new(asked: Option<&String>, handled: Option<&String>) -> bool {
    asked.is_some() && asked != handled
}
