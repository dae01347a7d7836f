//! The `set…` methods of instances: what needs a stopped machine, and what a fingerprint guards.

use serde_json::{Value, json};

use super::agenda::Event;
use super::compatibility::{check_accelerators, check_disk_type, check_in_place, check_maintenance};
use super::disks::check_label_fingerprint;
use super::errors::{OperationFailure, Refusal};
use super::guest::GuestStep;
use super::insert::{check_architecture, check_service_account, machine_of, metadata_shown, scheduling_of, tags_shown};
use super::instances::{Instance, InstanceStatus, accelerators_of};
use super::naming::{check_labels, check_metadata_items};
use super::operations::{Change, Effect, OperationId, Start};
use super::route::{Call, Scope};
use super::wire::{elements, fingerprint, text};
use super::{Place, World};

impl World {
    /// Starts a change. One that needs a stopped machine fails inside its operation when the machine is not, and has
    /// the instance in its hands when it is.
    fn start_set(
        &mut self,
        call: &Call,
        place: &Place,
        kind: &'static str,
        figure: &'static str,
        change: Change,
        needs_stop: bool,
    ) -> OperationId {
        let stopped = self.instances.get(place).is_some_and(|one| one.status == InstanceStatus::Terminated);
        let failure = (needs_stop && !stopped).then(|| Refusal::not_ready(&self.instance_path(place)).into());
        let holds = needs_stop && stopped;
        let start = Start {
            kind,
            scope: Scope::Zone(place.at.clone()),
            target: self.instance_path(place),
            target_id: self.instances.get(place).map_or(0, |instance| instance.id),
            figure,
            effect: Effect::InstanceSet { place: place.clone(), change },
            failure,
        };
        let id = self.start(call, start);
        if let (Some(instance), true) = (self.instances.get_mut(place), holds) {
            instance.busy = Some(id);
        }
        id
    }

    pub(super) fn instances_set_machine_type(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        let machine = machine_of("resource.machineType", text(&call.body, "machineType"), &place.at)?;
        check_in_place(&instance.machine, &machine)?;
        if instance.attachments.iter().any(|one| one.local) {
            let message =
                "Invalid resource usage: 'The machine type of an instance with local SSD cannot be changed.'.";
            return Err(Refusal::new(400, "invalidResourceUsage", message));
        }
        if instance.machine.accelerators.is_empty() {
            check_accelerators(&machine, instance.shown.get("guestAccelerators").unwrap_or(&Value::Null))?;
        }
        check_maintenance(&machine, &machine.accelerators, instance.scheduling())?;
        self.check_disks_on(instance, &machine)?;
        let path = format!("projects/{}/zones/{}/machineTypes/{}", self.settings.project, place.at, machine.name);
        let change = Change::MachineType { link: self.links.link(&path) };
        Ok(self.start_set(call, &place, "setMachineType", "instances.setMachineType", change, true))
    }

    /// The disks of an instance must fit another machine too, in kind, number and architecture.
    fn check_disks_on(&self, instance: &Instance, machine: &super::catalogue::MachineType) -> Result<(), Refusal> {
        if instance.attachments.len() > usize::try_from(machine.maximum_persistent_disks).unwrap_or(usize::MAX) {
            let count = instance.attachments.len().to_string();
            let why = format!("Too many disks for machine type '{}'.", machine.name);
            return Err(Refusal::invalid("resource.disks", &count, &why));
        }
        for attachment in &instance.attachments {
            let Some(disk) = attachment.disk.as_ref().and_then(|disk| self.disks.get(disk)) else { continue };
            check_disk_type(machine, &disk.disk_type)?;
            if attachment.boot {
                check_architecture(machine, disk.architecture().as_deref())?;
            }
        }
        Ok(())
    }

    pub(super) fn instances_set_machine_resources(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        self.accelerators_of_body(&instance.machine, &call.body)?;
        let attached = call.body.get("guestAccelerators").cloned().unwrap_or(json!([]));
        let wanted = accelerators_of(&instance.machine, &attached);
        check_maintenance(&instance.machine, &wanted, instance.scheduling())?;
        let list = self.accelerators_shown(&place.at, &instance.machine, &call.body).unwrap_or(json!([]));
        let change = Change::Accelerators { list };
        Ok(self.start_set(call, &place, "setMachineResources", "instances.setMachineResources", change, true))
    }

    pub(super) fn instances_set_min_cpu_platform(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, _) = self.instance_of(call)?;
        self.check_settled(&place)?;
        let change = Change::MinCpuPlatform { platform: text(&call.body, "minCpuPlatform").to_owned() };
        Ok(self.start_set(call, &place, "setMinCpuPlatform", "instances.setMachineResources", change, true))
    }

    pub(super) fn instances_set_scheduling(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        let scheduling = scheduling_of(&json!({ "scheduling": call.body }))?;
        check_maintenance(&instance.machine, &instance.accelerators, &scheduling)?;
        let change = Change::Scheduling { scheduling };
        Ok(self.start_set(call, &place, "setScheduling", "instances.setScheduling", change, true))
    }

    pub(super) fn instances_set_labels(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        check_labels("labels", call.body.get("labels"))?;
        let given = text(&call.body, "labelFingerprint").to_owned();
        check_label_fingerprint(&instance.shown, &given)?;
        let labels = call.body.get("labels").cloned().unwrap_or(json!({}));
        let change = Change::Labels { labels, fingerprint: given };
        Ok(self.start_set(call, &place, "setLabels", "instances.setLabels", change, false))
    }

    pub(super) fn instances_set_metadata(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        check_metadata_items(Some(&call.body))?;
        let given = text(&call.body, "fingerprint").to_owned();
        check_member_fingerprint(instance, "metadata", &given)?;
        let items = call.body.get("items").cloned().unwrap_or(json!([]));
        let change = Change::Metadata { items, fingerprint: given };
        Ok(self.start_set(call, &place, "setMetadata", "instances.setMetadata", change, false))
    }

    pub(super) fn instances_set_tags(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        let given = text(&call.body, "fingerprint").to_owned();
        check_member_fingerprint(instance, "tags", &given)?;
        let items = call.body.get("items").cloned().unwrap_or(json!([]));
        let change = Change::Tags { items, fingerprint: given };
        Ok(self.start_set(call, &place, "setTags", "instances.setLabels", change, false))
    }

    pub(super) fn instances_set_service_account(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        if instance.status != InstanceStatus::Terminated {
            let message = "The instance must be stopped before the service account can be changed.";
            return Err(Refusal::bad_request(message));
        }
        let accounts = if text(&call.body, "email").is_empty() {
            json!([])
        } else {
            check_service_account("email", &call.body)?;
            let email = match text(&call.body, "email") {
                "default" => self.default_service_account(),
                email => email.to_owned(),
            };
            json!([{ "email": email, "scopes": elements(&call.body, "scopes") }])
        };
        let change = Change::ServiceAccount { accounts };
        Ok(self.start_set(call, &place, "setServiceAccount", "instances.setLabels", change, true))
    }

    pub(super) fn finish_set(&mut self, place: &Place, change: &Change) -> Result<(), OperationFailure> {
        let Some(instance) = self.instances.get_mut(place) else {
            return Err(Refusal::not_found(&self.instance_path(place)).into());
        };
        match change {
            Change::MachineType { link } => {
                instance.shown.insert("machineType".into(), link.as_str().into());
                self.reshape(place);
                self.show_built_in_accelerators(place);
            }
            Change::Accelerators { list } => {
                replace_list(instance, "guestAccelerators", list);
                self.reshape(place);
            }
            Change::MinCpuPlatform { platform } => {
                instance.shown.insert("minCpuPlatform".into(), platform.as_str().into());
            }
            Change::Scheduling { scheduling } => {
                instance.shown.insert("scheduling".into(), scheduling.clone());
                instance.work_out_needs();
            }
            Change::Labels { labels, fingerprint: given } => {
                check_label_fingerprint(&instance.shown, given)?;
                instance.shown.insert("labels".into(), labels.clone());
                instance.shown.insert("labelFingerprint".into(), fingerprint(labels).into());
            }
            Change::Metadata { items, fingerprint: given } => {
                check_member_fingerprint(instance, "metadata", given)?;
                let shown = metadata_shown(Some(&json!({ "items": items })));
                instance.shown.insert("metadata".into(), shown);
                self.guest_hears_of_metadata(place);
            }
            Change::Tags { items, fingerprint: given } => {
                check_member_fingerprint(instance, "tags", given)?;
                instance.shown.insert("tags".into(), tags_shown(Some(&json!({ "items": items }))));
            }
            Change::ServiceAccount { accounts } => replace_list(instance, "serviceAccounts", accounts),
            Change::AutoDelete { device, auto_delete } => {
                for attachment in instance.attachments.iter_mut().filter(|one| one.device == *device) {
                    attachment.auto_delete = *auto_delete;
                }
            }
        }
        Ok(())
    }

    fn show_built_in_accelerators(&mut self, place: &Place) {
        let Some(instance) = self.instances.get(place) else { return };
        let shown = json!({ "guestAccelerators": instance.shown.get("guestAccelerators").cloned() });
        let list = self.accelerators_shown(&place.at, &instance.machine, &shown).unwrap_or(json!([]));
        if let Some(instance) = self.instances.get_mut(place) {
            replace_list(instance, "guestAccelerators", &list);
        }
    }

    /// A guest that waits for a change of its metadata hears of it a little later.
    fn guest_hears_of_metadata(&mut self, place: &Place) {
        let delay = self.dice.duration("metadata", self.times.of("metadata.wait_for_change"));
        let simulated = self.settings.guests;
        if let Some(instance) = self.instances.get(place).filter(|instance| instance.guest.is_some() || !simulated) {
            let event = Event::Guest(place.clone(), instance.power, GuestStep::ReadsSettings);
            self.agenda.add(self.now + delay, event);
        }
    }
}

/// An empty list is not shown at all.
fn replace_list(instance: &mut Instance, member: &str, list: &Value) {
    if list.as_array().is_some_and(|list| !list.is_empty()) {
        instance.shown.insert(member.into(), list.clone());
    } else {
        instance.shown.remove(member);
    }
}

/// Metadata and tags may be replaced by who has seen the present ones.
fn check_member_fingerprint(instance: &Instance, member: &str, given: &str) -> Result<(), Refusal> {
    let current = instance.shown.get(member).map_or("", |shown| text(shown, "fingerprint"));
    if current == given {
        return Ok(());
    }
    Err(Refusal::condition_not_met(&format!("Supplied fingerprint does not match current {member} fingerprint.")))
}
