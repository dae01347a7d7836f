//! A host that runs: whether it is still what it was, and whether it is what is wished for.

use rehost_api::conditions::Reason;
use rehost_api::shape::HostShape;
use rehost_api::status::{HostKind, HostRecord, Step, TransitionKind};

use super::super::vm::accelerators;
use super::super::{Planner, Situation, home_difference};
use super::is_new;
use crate::desired::Desired;
use crate::gce::model::Instance;
use crate::watch::slim::PodSeen;

impl Planner<'_> {
    pub(super) fn run_on_vm(&mut self, desired: &Desired, instance: &Instance) {
        let Some(host) = self.memory.host.clone() else { return };
        if self.noticed_drift(&host, instance) {
            return;
        }
        if !self.is_proven(&host, instance) {
            return self.run_again(&host, self.has_home(instance));
        }
        self.run_on(desired, &host);
    }

    /// The wish is refused, and the VM runs: if it was started by somebody else it proves itself, as it is.
    pub(super) fn vm_runs_while_refused(&mut self, instance: &Instance) {
        let Some(host) = self.memory.host.clone() else { return };
        if !self.has_home(instance) {
            // Somebody has detached it: that is put right with the next wish that can be fulfilled.
            self.serve_no_more();
        } else if !self.is_proven(&host, instance) {
            self.run_again(&host, true);
        }
    }

    /// The same of a pod.
    pub(super) fn pod_runs_while_refused(&mut self, pod: &PodSeen) {
        let Some(host) = self.memory.host.clone() else { return };
        if host.serving_since.is_none() && !pod.deleting {
            self.prove_pod(host, pod);
        }
    }

    fn has_home(&self, instance: &Instance) -> bool {
        instance.attachment(&self.home_name()).is_some()
    }

    /// Whether it has proved that it serves, in the boot that it is in.
    fn is_proven(&self, host: &HostRecord, instance: &Instance) -> bool {
        let restarted =
            host.started_at.is_some() && instance.last_start.is_some() && host.started_at != instance.last_start;
        host.serving_since.is_some() && !restarted && self.has_home(instance)
    }

    /// Somebody changed the machine: what is there is what is compared with the wish from now on.
    fn noticed_drift(&mut self, host: &HostRecord, instance: &Instance) -> bool {
        let HostShape::Vm(shape) = &host.last_shape else { return false };
        let accelerators = accelerators(shape);
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
        // What a guest refuses it refuses again, until a person has acted.
        if has_home && self.waits_for_a_person() {
            self.situation = Situation::Short;
            return;
        }
        let to = self.to_serve_again(host.clone());
        self.serve_no_more();
        if has_home && self.keeps_kernels() {
            // Somebody else resumed it: its memory is as it was.
            self.begin_resume(to, 0);
        } else if tried.is_none() && has_home {
            let step = if to.nonce == host.nonce { Step::Prove } else { Step::Boot };
            self.begin(TransitionKind::Start, step, Some(to), 0);
        } else {
            self.handled_restart();
            let shape = host.last_shape.clone();
            self.begin_in_place(&shape, 0);
        }
    }

    fn waits_for_a_person(&self) -> bool {
        let of_the_disk =
            |reason: &str| [Reason::ContentMismatch, Reason::HomeDamaged].map(Reason::as_str).contains(&reason);
        self.memory.retry.as_ref().is_some_and(|retry| retry.next_try.is_none() && of_the_disk(&retry.reason))
    }

    pub(super) fn run_on_pod(&mut self, desired: &Desired, pod: &PodSeen) {
        let Some(host) = self.memory.host.clone() else { return };
        if host.serving_since.is_none() && !pod.deleting {
            return self.prove_pod(host, pod);
        }
        self.notice_boot(&host);
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

    /// The pod is there, but does not serve as far as we know: it proves itself, with a pause after each time that it did not.
    fn prove_pod(&mut self, host: HostRecord, pod: &PodSeen) {
        match self.memory.retry.as_ref().map(|retry| retry.next_try) {
            Some(Some(at)) if self.now < at => {
                self.situation = Situation::Short;
                return self.look_again_at(at);
            }
            // What the check refuses it refuses again, until a person has acted.
            Some(None) if pod.refusal.is_some() => {
                self.situation = Situation::Short;
                return;
            }
            Some(_) | None => {}
        }
        let to = HostRecord { serving_since: None, ..host };
        self.begin(TransitionKind::Start, Step::Prove, Some(to), 0);
    }

    /// The host runs and serves: is it the wished one?
    fn run_on(&mut self, desired: &Desired, host: &HostRecord) {
        if self.begin_growth(desired) {
            return;
        }
        if is_new(self.resolution.requests.restart.as_ref(), self.memory.handled.restart.as_ref()) {
            return self.restart(desired, host);
        }
        if self.begin_idle_stop(desired, host) || self.begin_following(host) {
            return;
        }
        self.look_for_evidence(desired, host);
        let moves_home = self.next_home(desired).is_some();
        if host.last_shape == desired.host.shape && !moves_home {
            self.memory.retry = None;
            return;
        }
        // A live resize interrupts nothing, so it waits for nothing.
        let live = !moves_home && self.can_resize_live(&desired.host.shape);
        if !live && !self.is_due(desired, host) {
            return;
        }
        let Some((candidate, shape)) = self.candidate(desired) else { return };
        if moves_home {
            self.begin_handover(desired, &shape, candidate);
        } else if self.can_resize_live(&shape) {
            self.begin_live_resize(&shape);
        } else {
            self.begin_change(desired, &shape, candidate);
        }
    }

    pub(in crate::plan) fn difference(&self, host: &HostRecord, desired: &Desired) -> String {
        let wished = &desired.host.shape;
        let shape = (host.last_shape != *wished).then(|| format!("{} -> {}", host.shape, wished.text()));
        let home = home_difference(self.memory.home.as_ref(), &desired.home);
        shape.into_iter().chain(home).collect::<Vec<_>>().join(", ")
    }

    fn restart(&mut self, desired: &Desired, host: &HostRecord) {
        self.handled_restart();
        let shape = host.last_shape.clone();
        match host.kind {
            HostKind::Vm => self.begin_in_place(&shape, 0),
            HostKind::Pod => self.begin_handover(desired, &shape, 0),
        }
    }

    pub(super) fn handled_restart(&mut self) {
        self.memory.handled.restart.clone_from(&self.resolution.requests.restart);
    }
}
