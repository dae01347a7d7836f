//! Up, down, asleep: the statuses of an instance and their order.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::agenda::Event;
use super::errors::{OperationFailure, Refusal};
use super::instances::{Instance, InstanceStatus};
use super::operations::{Effect, OperationId, Start};
use super::route::{Call, Scope};
use super::wire::{flag, integer, stamp, text};
use super::{Place, World};

/// How long PROVISIONING lasts before STAGING, in seconds (our estimate; the operation's whole time is the cloud's).
const PROVISIONING_S: [f64; 2] = [1.0, 3.0];
/// How long the cloud takes to find a failed host out and to begin anew elsewhere, in seconds (our estimate).
const REPAIRING_S: [f64; 2] = [20.0, 60.0];

/// When an instance's run is over and something else has it in its hands, it is looked at again after this time.
const RUN_ENDS_AGAIN: SignedDuration = SignedDuration::from_secs(5);

impl World {
    /// Starts an operation that has the instance in its hands until it is DONE.
    fn start_lifecycle(
        &mut self,
        call: &Call,
        place: &Place,
        kind: &'static str,
        figure: &'static str,
        effect: Effect,
    ) -> OperationId {
        let idle = effect == Effect::Nothing;
        let target_id = self.instances.get(place).map_or(0, |instance| instance.id);
        let id = self.start_on_instance(call, place, target_id, kind, figure, effect);
        if let (Some(instance), false) = (self.instances.get_mut(place), idle) {
            instance.busy = Some(id);
        }
        id
    }

    pub(super) fn instances_start(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        let effect = match instance.status {
            InstanceStatus::Running => Effect::Nothing,
            InstanceStatus::Terminated => Effect::InstanceStart { place: place.clone() },
            InstanceStatus::Suspended
            | InstanceStatus::Provisioning
            | InstanceStatus::Staging
            | InstanceStatus::Stopping
            | InstanceStatus::Suspending
            | InstanceStatus::Repairing => return Err(Refusal::not_ready(&self.instance_path(&place))),
        };
        if effect != Effect::Nothing {
            self.check_quota_at_once(&place, instance)?;
        }
        Ok(self.start_lifecycle(call, &place, "start", "instances.start", effect))
    }

    pub(super) fn instances_stop(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        check_local_ssd(call, instance)?;
        let hard = call.switch("noGracefulShutdown")? || instance.grace().is_zero();
        let effect = match instance.status {
            InstanceStatus::Running => Effect::InstanceStop { place: place.clone(), hard },
            // What slept has no guest that could shut down: its memory is lost.
            InstanceStatus::Suspended => Effect::InstanceStop { place: place.clone(), hard: true },
            InstanceStatus::Terminated
            | InstanceStatus::Provisioning
            | InstanceStatus::Staging
            | InstanceStatus::Stopping
            | InstanceStatus::Suspending
            | InstanceStatus::Repairing => Effect::Nothing,
        };
        Ok(self.start_lifecycle(call, &place, "stop", "instances.stop", effect))
    }

    pub(super) fn instances_delete(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        if instance.shown.get("deletionProtection").and_then(Value::as_bool) == Some(true) {
            let message = "Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion.'.";
            return Err(Refusal::new(400, "invalidResourceUsage", message));
        }
        self.check_settled(&place)?;
        let hard = call.switch("noGracefulShutdown")? || instance.status != InstanceStatus::Running;
        let effect = Effect::InstanceDelete { place: place.clone(), hard };
        Ok(self.start_lifecycle(call, &place, "delete", "instances.delete", effect))
    }

    pub(super) fn instances_suspend(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        check_local_ssd(call, instance)?;
        if instance.status != InstanceStatus::Running {
            return Err(Refusal::not_ready(&self.instance_path(&place)));
        }
        if !instance.accelerators.is_empty() || !instance.series().suspend {
            let message = format!(
                "Instance '{}' of machine type '{}' does not support suspend.",
                place.name, instance.machine.name
            );
            return Err(Refusal::bad_request(message));
        }
        let effect = Effect::InstanceSuspend { place: place.clone() };
        Ok(self.start_lifecycle(call, &place, "suspend", "instances.suspend", effect))
    }

    pub(super) fn instances_resume(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        if instance.status != InstanceStatus::Suspended {
            let message = format!("Instance '{}' is not suspended.", place.name);
            return Err(Refusal::bad_request(message));
        }
        let effect = Effect::InstanceResume { place: place.clone() };
        Ok(self.start_lifecycle(call, &place, "resume", "instances.resume", effect))
    }

    pub(super) fn instances_reset(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        if instance.status != InstanceStatus::Running {
            return Err(Refusal::not_ready(&self.instance_path(&place)));
        }
        let effect = Effect::InstanceReset { place: place.clone() };
        Ok(self.start_lifecycle(call, &place, "reset", "instances.setLabels", effect))
    }

    pub(super) fn begin_power_on(&mut self, place: &Place) -> Result<(), OperationFailure> {
        self.check_room(place)?;
        self.provision(place);
        Ok(())
    }

    fn provision(&mut self, place: &Place) {
        let stages_at = self.now + self.dice.duration("staging", PROVISIONING_S);
        let Some(instance) = self.instances.get_mut(place) else { return };
        instance.status = InstanceStatus::Provisioning;
        instance.powered = true;
        let power = instance.power;
        self.agenda.add(stages_at, Event::Stages(place.clone(), power));
    }

    pub(super) fn stages(&mut self, place: &Place, power: u64) {
        if let Some(instance) = self.instances.get_mut(place)
            && instance.power == power
            && instance.status == InstanceStatus::Provisioning
        {
            instance.status = InstanceStatus::Staging;
        }
    }

    pub(super) fn finish_power_on(&mut self, place: &Place) {
        self.runs(place);
        let Some(instance) = self.instances.get(place) else { return };
        let disks: Vec<Place> = instance.attachments.iter().filter_map(|one| one.disk.clone()).collect();
        for disk in disks {
            self.finish_disk(&disk);
        }
        self.boot(place);
    }

    /// RUNNING, with what the API notes of it.
    fn runs(&mut self, place: &Place) {
        let now = self.now;
        let address = self.external_address(place);
        let Some(instance) = self.instances.get_mut(place) else { return };
        instance.status = InstanceStatus::Running;
        instance.shown.insert("lastStartTimestamp".into(), stamp(now).into());
        if let Some(address) = address {
            set_external_address(instance, Some(&address));
        }
        let limit_s = instance.scheduling().get("maxRunDuration").and_then(|limit| integer(limit, "seconds"));
        let power = instance.power;
        if let Some(limit_s) = limit_s {
            let ends_at = now + SignedDuration::from_secs(limit_s);
            if let Some(scheduling) = instance.shown.get_mut("scheduling") {
                scheduling["terminationTime"] = stamp(ends_at).into();
            }
            self.agenda.add(ends_at, Event::RunEnds(place.clone(), power));
        }
    }

    pub(super) fn undo_start(&mut self, place: &Place) {
        if let Some(instance) = self.instances.get_mut(place) {
            instance.status = InstanceStatus::Terminated;
            instance.powered = false;
        }
    }

    pub(super) fn begin_power_off(&mut self, place: &Place, hard: bool) {
        let Some(instance) = self.instances.get_mut(place) else { return };
        let was_running = instance.status == InstanceStatus::Running;
        instance.status = InstanceStatus::Stopping;
        if hard {
            self.take_down(place);
        } else if was_running {
            self.guest_shuts_down(place);
        }
    }

    /// The power goes, whatever the guest has in its hands.
    pub(super) fn take_down(&mut self, place: &Place) {
        if let Some(mut instance) = self.instances.remove(place) {
            self.cut_power(place, &mut instance);
            self.instances.insert(place.clone(), instance);
        }
    }

    pub(super) fn finish_power_off(&mut self, place: &Place) {
        self.take_down(place);
        let now = self.now;
        let restarts_at = now + self.dice.duration("repair", REPAIRING_S);
        let Some(instance) = self.instances.get_mut(place) else { return };
        instance.shown.insert("lastStopTimestamp".into(), stamp(now).into());
        set_external_address(instance, None);
        instance.status = InstanceStatus::Terminated;
        if std::mem::take(&mut instance.restarts) {
            instance.status = InstanceStatus::Repairing;
            let id = instance.id;
            self.agenda.add(restarts_at, Event::Restarts(place.clone(), id));
        }
    }

    pub(super) fn finish_delete(&mut self, place: &Place) {
        self.remove_instance(place);
    }

    pub(super) fn begin_suspend(&mut self, place: &Place) {
        if let Some(instance) = self.instances.get_mut(place) {
            instance.status = InstanceStatus::Suspending;
        }
        self.guest_falls_asleep(place);
    }

    pub(super) fn finish_suspend(&mut self, place: &Place) {
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(place) {
            instance.status = InstanceStatus::Suspended;
            instance.powered = false;
            instance.shown.insert("lastSuspendedTimestamp".into(), stamp(now).into());
            set_external_address(instance, None);
        }
    }

    pub(super) fn begin_resume(&mut self, place: &Place) -> Result<(), OperationFailure> {
        self.check_room(place)?;
        self.provision(place);
        Ok(())
    }

    pub(super) fn finish_resume(&mut self, place: &Place) {
        self.runs(place);
        self.guest_wakes(place);
    }

    pub(super) fn undo_resume(&mut self, place: &Place) {
        if let Some(instance) = self.instances.get_mut(place) {
            instance.status = InstanceStatus::Suspended;
            instance.powered = false;
        }
    }

    pub(super) fn finish_reset(&mut self, place: &Place) {
        self.take_down(place);
        if let Some(instance) = self.instances.get_mut(place) {
            instance.powered = true;
        }
        self.boot(place);
    }

    /// `maxRunDuration` is over.
    pub(super) fn run_ends(&mut self, place: &Place, power: u64) {
        let Some(instance) = self.instances.get(place) else { return };
        if instance.power != power || instance.status != InstanceStatus::Running {
            return;
        }
        if instance.busy.is_some() {
            self.agenda.add(self.now + RUN_ENDS_AGAIN, Event::RunEnds(place.clone(), power));
        } else {
            self.terminate(place, "compute.instances.terminateOnMaxRunDuration");
        }
    }

    /// The cloud's own stop, or deletion where the scheduling says so.
    pub(super) fn terminate(&mut self, place: &Place, kind: &'static str) {
        let Some(instance) = self.instances.get(place) else { return };
        let delete = text(instance.scheduling(), "instanceTerminationAction") == "DELETE";
        let hard = instance.grace().is_zero();
        let place = place.clone();
        if delete {
            self.system_operation(
                &place,
                kind,
                "instances.delete",
                Effect::InstanceDelete { place: place.clone(), hard },
            );
        } else {
            self.system_operation(&place, kind, "instances.stop", Effect::InstanceStop { place: place.clone(), hard });
        }
    }

    /// An operation of the cloud's own on an instance.
    pub(super) fn system_operation(
        &mut self,
        place: &Place,
        kind: &'static str,
        figure: &'static str,
        effect: Effect,
    ) -> OperationId {
        let idle = effect == Effect::Nothing;
        let start = Start {
            kind,
            scope: Scope::Zone(place.at.clone()),
            target: self.instance_path(place),
            target_id: self.instances.get(place).map_or(0, |instance| instance.id),
            figure,
            effect,
            failure: None,
        };
        let id = self.start_by_system(start);
        if let (Some(instance), false) = (self.instances.get_mut(place), idle) {
            instance.busy = Some(id);
        }
        id
    }

    /// The cloud brings an instance up again by itself.
    pub(super) fn restarts(&mut self, place: &Place, id: u64) {
        let due = self.instances.get(place).is_some_and(|instance| {
            instance.id == id && instance.status == InstanceStatus::Repairing && instance.busy.is_none()
        });
        if due {
            let effect = Effect::InstanceStart { place: place.clone() };
            self.system_operation(place, "compute.instances.automaticRestart", "instances.start", effect);
        }
    }

    /// An instance's host fails: no shutdown, and a restart where the scheduling asks for one.
    pub(super) fn host_fails(&mut self, place: &Place) {
        if !self.instances.get(place).is_some_and(|instance| instance.powered && instance.busy.is_none()) {
            return;
        }
        self.take_down(place);
        self.system_operation(place, "compute.instances.hostError", "instances.setLabels", Effect::Nothing);
        if let Some(instance) = self.instances.get_mut(place) {
            instance.restarts = flag(instance.scheduling(), "automaticRestart");
        }
        self.finish_power_off(place);
    }

    fn external_address(&mut self, place: &Place) -> Option<String> {
        if !self.instances.get(place)?.has_external_address() {
            return None;
        }
        let count = self.next_address.entry("external".to_owned()).or_default();
        *count += 1;
        Some(format!("34.66.{}.{}", *count / 256, *count % 256))
    }
}

fn set_external_address(instance: &mut Instance, address: Option<&str>) {
    let Some(interfaces) = instance.shown.get_mut("networkInterfaces").and_then(Value::as_array_mut) else { return };
    for config in interfaces.iter_mut().filter_map(|one| one.get_mut("accessConfigs")?.as_array_mut()?.first_mut()) {
        match (address, config.as_object_mut()) {
            (Some(address), Some(config)) => {
                config.insert("natIP".into(), json!(address));
            }
            (None, Some(config)) => {
                config.remove("natIP");
            }
            (_, None) => {}
        }
    }
}

/// What is on local SSDs is only given up by who says so.
fn check_local_ssd(call: &Call, instance: &Instance) -> Result<(), Refusal> {
    if instance.attachments.iter().any(|one| one.local) && call.parameter("discardLocalSsd").is_none() {
        let message = "VM has a Local SSD attached but an undefined value for `discard-local-ssd`. If using gcloud, please add `--discard-local-ssd=false` or `--discard-local-ssd=true` to your command.";
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}
