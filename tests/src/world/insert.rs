//! `instances.insert`: everything that the API judges before it takes the order.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::attach::{Attachment, Mode};
use super::catalogue::{self, MachineType};
use super::compatibility::{check_accelerators, check_disk_type, check_local_ssd, check_maintenance};
use super::disk_orders::DiskOrder;
use super::disks::Disk;
use super::errors::Refusal;
use super::instances::{Instance, InstanceStatus, accelerators_of, cpu_platform};
use super::machines::Backing;
use super::naming::{check_labels, check_metadata_items, check_name};
use super::operations::{Effect, OperationId, Start};
use super::route::{Call, Scope};
use super::wire::{elements, fingerprint, flag, integer, last_part, members, reference, text};
use super::{Place, World};

/// A disk of a new instance: there already, to be made, or local.
enum Ordered {
    Existing(Place),
    New(DiskOrder),
    Local,
}

impl World {
    pub(super) fn instances_insert(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let body = &call.body;
        let name = check_name("resource.name", text(body, "name"))?;
        let place = Place::new(call.zone(), name);
        if self.instances.contains_key(&place) {
            return Err(Refusal::already_exists(&self.instance_path(&place)));
        }
        let machine = machine_of("resource.machineType", text(body, "machineType"), &place.at)?;
        let scheduling = scheduling_of(body)?;
        let accelerators = self.accelerators_of_body(&machine, body)?;
        check_maintenance(&machine, &accelerators, &scheduling)?;
        check_labels("resource.labels", body.get("labels"))?;
        check_metadata_items(body.get("metadata"))?;
        check_service_accounts(body)?;
        let orders = self.disk_orders(&place, &machine, body)?;
        let interfaces = self.interfaces(&place, body)?;
        let shown = self.shown_at_insert(&place, &machine, body, scheduling, interfaces);
        let mut instance = Instance {
            id: self.new_number("instance"),
            status: InstanceStatus::Provisioning,
            shown,
            accelerators,
            machine,
            needs: Vec::new(),
            shape: String::new(),
            attachments: Vec::new(),
            created_at: self.now,
            busy: None,
            powered: false,
            power: 0,
            guest: None,
            backing: Backing::default(),
            guest_attributes: BTreeMap::new(),
            serial: String::new(),
            restarts: false,
        };
        instance.work_out_needs();
        self.check_quota_at_once(&place, &instance)?;
        instance.attachments = self.make_attachments(&place, orders);
        let target_id = instance.id;
        self.instances.insert(place.clone(), instance);
        let gpu = self.instances.get(&place).is_some_and(|instance| !instance.accelerators.is_empty());
        let id = self.start(
            call,
            Start {
                kind: "insert",
                scope: Scope::Zone(place.at.clone()),
                target: self.instance_path(&place),
                target_id,
                figure: if gpu { "instances.insert.gpu" } else { "instances.insert" },
                effect: Effect::InstanceInsert { place: place.clone() },
                failure: None,
            },
        );
        if let Some(instance) = self.instances.get_mut(&place) {
            instance.busy = Some(id);
        }
        Ok(id)
    }

    /// The GPUs of a body, judged.
    pub(super) fn accelerators_of_body(
        &self,
        machine: &MachineType,
        body: &Value,
    ) -> Result<Vec<(String, u32)>, Refusal> {
        for wanted in elements(body, "guestAccelerators") {
            let kind = last_part(text(wanted, "acceleratorType"));
            if catalogue::accelerator_type(&machine.zone, kind).is_none() {
                let path = format!("projects/{}/zones/{}/acceleratorTypes/{kind}", self.settings.project, machine.zone);
                return Err(Refusal::not_found(&path));
            }
        }
        let attached = body.get("guestAccelerators").cloned().unwrap_or(Value::Null);
        check_accelerators(machine, &attached)?;
        Ok(accelerators_of(machine, &attached))
    }

    fn disk_orders(
        &self,
        place: &Place,
        machine: &MachineType,
        body: &Value,
    ) -> Result<Vec<(Ordered, Value)>, Refusal> {
        let wanted = elements(body, "disks");
        if !wanted.first().is_some_and(|first| flag(first, "boot")) {
            return Err(Refusal::invalid("resource.disks[0]", "", "Boot disk must be specified."));
        }
        if wanted.len() > usize::try_from(machine.maximum_persistent_disks).unwrap_or(usize::MAX) {
            let why = format!("Too many disks for machine type '{}'.", machine.name);
            return Err(Refusal::invalid("resource.disks", &wanted.len().to_string(), &why));
        }
        let mut orders: Vec<(Ordered, Value)> = Vec::new();
        let mut devices: Vec<String> = Vec::new();
        for (index, disk) in wanted.iter().enumerate() {
            let field = format!("resource.disks[{index}]");
            if index > 0 && flag(disk, "boot") {
                return Err(Refusal::invalid(
                    &format!("{field}.boot"),
                    "true",
                    "Only the first disk can be a boot disk.",
                ));
            }
            let device = device_name(disk, index);
            if devices.contains(&device) {
                let why = "Disk device names must be unique.";
                return Err(Refusal::invalid(&format!("{field}.deviceName"), &device, why));
            }
            devices.push(device);
            orders.push((self.disk_order(place, machine, &field, index, disk)?, disk.clone()));
        }
        Ok(orders)
    }

    fn disk_order(
        &self,
        place: &Place,
        machine: &MachineType,
        field: &str,
        index: usize,
        disk: &Value,
    ) -> Result<Ordered, Refusal> {
        if text(disk, "type") == "SCRATCH" {
            check_local_ssd(machine)?;
            return Ok(Ordered::Local);
        }
        let parameters = disk.get("initializeParams").filter(|parameters| !parameters.is_null());
        match (text(disk, "source"), parameters) {
            ("", None) => Err(Refusal::required(&format!("{field}.source"))),
            ("", Some(parameters)) => {
                let default_name = if index == 0 { place.name.clone() } else { format!("{}-{index}", place.name) };
                let order = self.order_from_parameters(place, machine, field, parameters, &default_name)?;
                check_disk_type(machine, &order.disk_type)?;
                if index == 0 && order.source_image.is_none() && order.source_snapshot.is_none() {
                    return Err(Refusal::required(&format!("{field}.initializeParams.sourceImage")));
                }
                check_architecture(machine, order.architecture.as_deref())?;
                Ok(Ordered::New(order))
            }
            (_, Some(_)) => {
                Err(Refusal::invalid(field, "", "Exactly one of source and initializeParams must be given."))
            }
            (source, None) => {
                let found = self.disk_reference(&format!("{field}.source"), source, &place.at)?;
                self.check_attachable(&found, place, machine, Mode::of(disk)?)?;
                if index == 0 {
                    let architecture = self.disks.get(&found).and_then(Disk::architecture);
                    check_architecture(machine, architecture.as_deref())?;
                }
                Ok(Ordered::Existing(found))
            }
        }
    }

    /// Makes the disks that are new and holds the ones that are there.
    fn make_attachments(&mut self, place: &Place, orders: Vec<(Ordered, Value)>) -> Vec<Attachment> {
        let mut attachments = Vec::new();
        for (index, (order, disk)) in orders.into_iter().enumerate() {
            let made = match order {
                Ordered::Existing(found) => Some(found),
                Ordered::New(order) => Some(self.make_disk(order)),
                Ordered::Local => None,
            };
            if let Some(found) = &made {
                self.disk_held(found, place);
            }
            attachments.push(Attachment {
                device: device_name(&disk, index),
                local: made.is_none(),
                disk: made,
                mode: Mode::of(&disk).unwrap_or(Mode::ReadWrite),
                boot: index == 0,
                auto_delete: flag(&disk, "autoDelete"),
                interface: text(&disk, "interface").to_owned(),
            });
        }
        attachments
    }

    fn shown_at_insert(
        &self,
        place: &Place,
        machine: &MachineType,
        body: &Value,
        scheduling: Value,
        interfaces: Value,
    ) -> Map<String, Value> {
        let mut shown = members(body);
        for made_by_us in ["disks", "name", "params", "zone", "kind", "status"] {
            shown.remove(made_by_us);
        }
        let link = self
            .links
            .link(&format!("projects/{}/zones/{}/machineTypes/{}", self.settings.project, place.at, machine.name));
        shown.insert("machineType".into(), link.into());
        shown.insert("cpuPlatform".into(), cpu_platform(machine).into());
        shown.insert("scheduling".into(), scheduling);
        shown.insert("networkInterfaces".into(), interfaces);
        let labels = body.get("labels").filter(|labels| labels.as_object().is_some_and(|map| !map.is_empty()));
        shown.insert("labelFingerprint".into(), fingerprint(labels.unwrap_or(&json!({}))).into());
        shown.insert("metadata".into(), metadata_shown(body.get("metadata")));
        shown.insert("tags".into(), tags_shown(body.get("tags")));
        if let Some(list) = self.accelerators_shown(&place.at, machine, body) {
            shown.insert("guestAccelerators".into(), list);
        }
        if let Some(accounts) = shown.get_mut("serviceAccounts").and_then(Value::as_array_mut) {
            for account in accounts.iter_mut().filter(|account| text(account, "email") == "default") {
                account["email"] = self.default_service_account().into();
            }
        }
        shown
    }

    /// Whom `default` stands for.
    pub(super) fn default_service_account(&self) -> String {
        format!("{}-compute@developer.gserviceaccount.com", self.settings.project_number)
    }

    /// GPUs are shown with full links, those that come with the machine type too.
    pub(super) fn accelerators_shown(&self, zone: &str, machine: &MachineType, body: &Value) -> Option<Value> {
        let attached = body.get("guestAccelerators").cloned().unwrap_or(Value::Null);
        let list: Vec<Value> = accelerators_of(machine, &attached)
            .into_iter()
            .map(|(kind, count)| {
                let path = format!("projects/{}/zones/{zone}/acceleratorTypes/{kind}", self.settings.project);
                json!({ "acceleratorType": self.links.link(&path), "acceleratorCount": count })
            })
            .collect();
        (!list.is_empty()).then_some(Value::Array(list))
    }
}

/// The machine type that a link names, in the zone where it is wanted.
pub(super) fn machine_of(field: &str, link: &str, zone: &str) -> Result<MachineType, Refusal> {
    if link.is_empty() {
        return Err(Refusal::required(field));
    }
    let read = reference(link).filter(|found| found.collection.as_deref() == Some("machineTypes"));
    let Some(found) = read else {
        return Err(Refusal::invalid(field, link, "The URL is malformed."));
    };
    if found.scope.is_some_and(|(_, place)| place != zone) {
        return Err(Refusal::invalid(field, link, "The machine type must be in the zone of the instance."));
    }
    let why = format!("Machine type with name '{}' does not exist in zone '{zone}'.", found.name);
    catalogue::machine_type(zone, &found.name).ok_or_else(|| Refusal::invalid(field, link, &why))
}

/// An Arm image boots on no x86 machine, and the other way round.
pub(super) fn check_architecture(machine: &MachineType, image: Option<&str>) -> Result<(), Refusal> {
    match image {
        Some(image) if image != machine.architecture => Err(Refusal::bad_request(format!(
            "The selected machine type ({}) has an architecture of {}, which is incompatible with the image's architecture {image}.",
            machine.name, machine.architecture
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The device name given, or the one that the API makes up.
pub(super) fn device_name(disk: &Value, index: usize) -> String {
    match text(disk, "deviceName") {
        "" => format!("persistent-disk-{index}"),
        given => given.to_owned(),
    }
}

/// Metadata with its fingerprint.
pub(super) fn metadata_shown(metadata: Option<&Value>) -> Value {
    let items = metadata.and_then(|metadata| metadata.get("items")).cloned().unwrap_or(json!([]));
    let mut shown = json!({ "kind": "compute#metadata", "fingerprint": fingerprint(&items) });
    if !elements(&json!({ "items": items }), "items").is_empty() {
        shown["items"] = items;
    }
    shown
}

/// Tags with their fingerprint.
pub(super) fn tags_shown(tags: Option<&Value>) -> Value {
    let items = tags.and_then(|tags| tags.get("items")).cloned().unwrap_or(json!([]));
    let mut shown = json!({ "fingerprint": fingerprint(&items) });
    if items.as_array().is_some_and(|items| !items.is_empty()) {
        shown["items"] = items;
    }
    shown
}

fn check_service_accounts(body: &Value) -> Result<(), Refusal> {
    let accounts = elements(body, "serviceAccounts");
    if accounts.len() > 1 {
        let why = "At most one service account can be given.";
        return Err(Refusal::invalid("resource.serviceAccounts", &accounts.len().to_string(), why));
    }
    accounts.iter().try_for_each(|account| check_service_account("resource.serviceAccounts[0].email", account))
}

/// A service account's address must look like one.
pub(super) fn check_service_account(field: &str, account: &Value) -> Result<(), Refusal> {
    let email = text(account, "email");
    if email == "default" || email.ends_with(".gserviceaccount.com") && email.contains('@') {
        return Ok(());
    }
    Err(Refusal::invalid(field, email, "The service account does not exist."))
}

/// Scheduling with the API's defaults, judged in itself.
pub(super) fn scheduling_of(body: &Value) -> Result<Value, Refusal> {
    let mut scheduling = members(body.get("scheduling").unwrap_or(&Value::Null));
    let given = Value::Object(scheduling.clone());
    let model = match (text(&given, "provisioningModel"), flag(&given, "preemptible")) {
        ("", true) => "SPOT",
        ("", false) => "STANDARD",
        (model, _) => model,
    };
    let spot = model == "SPOT";
    let flexible = model == "FLEX_START";
    let restart = given.get("automaticRestart").and_then(Value::as_bool).unwrap_or(!spot && !flexible);
    let maintenance = match text(&given, "onHostMaintenance") {
        "" if spot || flexible => "TERMINATE",
        "" => "MIGRATE",
        word => word,
    };
    if spot && (restart || maintenance == "MIGRATE") {
        let what = if restart { "automatically restarted" } else { "migrated on host maintenance" };
        return Err(Refusal::bad_request(format!("Scheduling preemptible instances cannot be {what}.")));
    }
    let limit_s = given.get("maxRunDuration").and_then(|duration| integer(duration, "seconds"));
    if flexible && (restart || limit_s.is_none() || text(&given, "instanceTerminationAction") != "DELETE") {
        let why = "FLEX_START needs maxRunDuration, instanceTerminationAction DELETE, and no automatic restart.";
        return Err(Refusal::invalid("resource.scheduling.provisioningModel", model, why));
    }
    if let Some(seconds) = limit_s.filter(|seconds| !(30..=120 * 86_400).contains(seconds)) {
        let why = "Must be between 30 seconds and 120 days.";
        return Err(Refusal::invalid("resource.scheduling.maxRunDuration.seconds", &seconds.to_string(), why));
    }
    scheduling.insert("provisioningModel".into(), model.into());
    scheduling.insert("preemptible".into(), spot.into());
    scheduling.insert("automaticRestart".into(), restart.into());
    scheduling.insert("onHostMaintenance".into(), maintenance.into());
    if (spot || limit_s.is_some()) && text(&given, "instanceTerminationAction").is_empty() {
        scheduling.insert("instanceTerminationAction".into(), "STOP".into());
    }
    Ok(Value::Object(scheduling))
}
