//! Instances: what one is, and how it is shown.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::attach::Attachment;
use super::catalogue::{self, MachineType};
use super::disks::Disk;
use super::errors::Refusal;
use super::guest::Guest;
use super::machines::Backing;
use super::operations::OperationId;
use super::route::Call;
use super::wire::{elements, fingerprint, flag, integer, last_part, stamp, text};
use super::{Place, World};

/// The time that a guest has to shut down, in seconds (the API's published figures).
const GRACE_S: i64 = 120;
/// And on Spot.
const GRACE_SPOT_S: i64 = 30;

/// The status of an instance, in the API's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum InstanceStatus {
    /// Resources are being found.
    Provisioning,
    /// The machine is being prepared.
    Staging,
    /// It is booting or running.
    Running,
    /// It is shutting down.
    Stopping,
    /// It is stopped.
    Terminated,
    /// It is being put to sleep.
    Suspending,
    /// It sleeps.
    Suspended,
    /// Its host failed.
    Repairing,
}

impl InstanceStatus {
    /// As the API writes it.
    pub fn word(self) -> &'static str {
        match self {
            InstanceStatus::Provisioning => "PROVISIONING",
            InstanceStatus::Staging => "STAGING",
            InstanceStatus::Running => "RUNNING",
            InstanceStatus::Stopping => "STOPPING",
            InstanceStatus::Terminated => "TERMINATED",
            InstanceStatus::Suspending => "SUSPENDING",
            InstanceStatus::Suspended => "SUSPENDED",
            InstanceStatus::Repairing => "REPAIRING",
        }
    }
}

/// One incarnation of an instance.
#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) id: u64,
    pub(super) status: InstanceStatus,
    /// What the API shows, but for what the other members hold.
    pub(super) shown: Map<String, Value>,
    pub(super) machine: MachineType,
    /// Attached GPUs and those that come with the machine type.
    pub(super) accelerators: Vec<(String, u32)>,
    /// What it counts for while it is powered: worked out whenever its shape changes, as quota is looked at often.
    pub(super) needs: Vec<(&'static str, f64)>,
    /// What a capacity pattern is held against: `n1-standard-4`, with GPUs `n1-standard-4+nvidia-tesla-t4:1`.
    pub(super) shape: String,
    pub(super) attachments: Vec<Attachment>,
    pub(super) created_at: Timestamp,
    /// The operation that has the instance in its hands.
    pub(super) busy: Option<OperationId>,
    /// Whether it holds capacity and quota of processors and GPUs.
    pub(super) powered: bool,
    /// Goes up with every change of power, so that what was due in an earlier round is left alone.
    pub(super) power: u64,
    pub(super) guest: Option<Guest>,
    /// Where no guest is simulated.
    pub(super) backing: Backing,
    pub(super) guest_attributes: BTreeMap<(String, String), String>,
    pub(super) serial: String,
    /// Whether the cloud itself starts it again once it is down.
    pub(super) restarts: bool,
}

impl Instance {
    pub(super) fn scheduling(&self) -> &Value {
        self.shown.get("scheduling").unwrap_or(&Value::Null)
    }

    pub(super) fn is_spot(&self) -> bool {
        text(self.scheduling(), "provisioningModel") == "SPOT" || flag(self.scheduling(), "preemptible")
    }

    /// How long the guest may take to shut down.
    pub(super) fn grace(&self) -> SignedDuration {
        if flag(self.scheduling(), "skipGuestOsShutdown") {
            return SignedDuration::ZERO;
        }
        SignedDuration::from_secs(if self.is_spot() { GRACE_SPOT_S } else { GRACE_S })
    }

    /// Whether the guest does not react to the power button.
    pub(super) fn ignores_shutdown(&self) -> bool {
        self.status == InstanceStatus::Running && self.guest.as_ref().is_some_and(Guest::is_hung)
    }

    pub(super) fn has_external_address(&self) -> bool {
        self.shown.get("networkInterfaces").and_then(Value::as_array).is_some_and(|interfaces| {
            interfaces.iter().any(|interface| !elements(interface, "accessConfigs").is_empty())
        })
    }

    /// A metadata value.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        let items = self.shown.get("metadata")?.get("items")?.as_array()?;
        items.iter().find(|item| text(item, "key") == key)?.get("value")?.as_str()
    }

    pub(super) fn guest_attributes_enabled(&self) -> bool {
        self.metadata("enable-guest-attributes").is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }

    /// The disk attached under a device name.
    pub(super) fn attached(&self, device: &str) -> Option<&Attachment> {
        self.attachments.iter().find(|attachment| attachment.device == device)
    }

    pub(super) fn series(&self) -> &'static catalogue::Series {
        self.machine.series()
    }

    /// Adds a line to the serial console, which keeps the last megabyte.
    pub(super) fn console(&mut self, at: Timestamp, line: &str) {
        const KEPT: usize = 1 << 20;
        self.serial.extend(["[", &stamp(at), "] ", line, "\n"]);
        if self.serial.len() > KEPT {
            let cut = self.serial.len() - KEPT;
            let cut = (cut..self.serial.len()).find(|at| self.serial.is_char_boundary(*at)).unwrap_or(cut);
            self.serial.drain(..cut);
        }
    }
}

impl World {
    pub(super) fn instance_path(&self, place: &Place) -> String {
        format!("projects/{}/zones/{}/instances/{}", self.settings.project, place.at, place.name)
    }

    /// The place of a request and its instance, or 404.
    pub(super) fn instance_of(&self, call: &Call) -> Result<(Place, &Instance), Refusal> {
        let place = Place::new(call.zone(), &call.name);
        match self.instances.get(&place) {
            Some(instance) => Ok((place, instance)),
            None => Err(Refusal::not_found(&self.instance_path(&place))),
        }
    }

    pub(super) fn instances_get(&self, call: &Call) -> Result<Value, Refusal> {
        self.check_scope(call)?;
        let (place, instance) = self.instance_of(call)?;
        Ok(self.instance_json(&place, instance))
    }

    /// An instance as the API shows it.
    pub(super) fn instance_json(&self, place: &Place, instance: &Instance) -> Value {
        let mut shown = instance.shown.clone();
        shown.insert("kind".into(), "compute#instance".into());
        shown.insert("id".into(), instance.id.to_string().into());
        shown.insert("name".into(), place.name.as_str().into());
        shown.insert("status".into(), instance.status.word().into());
        shown.insert("creationTimestamp".into(), stamp(instance.created_at).into());
        shown.insert("zone".into(), self.zone_link(&place.at).into());
        shown.insert("selfLink".into(), self.links.link(&self.instance_path(place)).into());
        let disks: Vec<Value> =
            instance.attachments.iter().enumerate().map(|(index, one)| self.attachment_json(index, one)).collect();
        shown.insert("disks".into(), Value::Array(disks));
        shown.insert("startRestricted".into(), false.into());
        shown.insert("deletionProtection".into(), flag(&Value::Object(shown.clone()), "deletionProtection").into());
        let all = Value::Object(shown);
        let mark = fingerprint(&all);
        let Value::Object(mut shown) = all else { return Value::Null };
        shown.insert("fingerprint".into(), mark.into());
        Value::Object(shown)
    }

    pub(super) fn zone_link(&self, zone: &str) -> String {
        self.links.link(&format!("projects/{}/zones/{zone}", self.settings.project))
    }

    /// Takes an instance out of the world: disks that go with it go, the others are free.
    pub(super) fn remove_instance(&mut self, place: &Place) {
        let Some(mut instance) = self.instances.remove(place) else { return };
        let shown = self.instance_json(place, &instance);
        self.cut_power(place, &mut instance);
        self.leave_ghost("instances", &place.at, &place.name, instance.created_at, shown);
        for attachment in std::mem::take(&mut instance.attachments) {
            let Some(disk) = attachment.disk.clone() else { continue };
            self.disk_released(&disk, place);
            // A disk that was being made with the instance goes with it as well.
            if attachment.auto_delete || !self.disks.get(&disk).is_some_and(Disk::is_ready) {
                self.remove_disk(&disk);
            }
        }
    }

    /// Works out anew what follows from the machine type and the attached GPUs.
    pub(super) fn reshape(&mut self, place: &Place) {
        let Some(instance) = self.instances.get_mut(place) else { return };
        let name = last_part(instance.shown.get("machineType").and_then(Value::as_str).unwrap_or_default()).to_owned();
        if let Some(machine) = catalogue::machine_type(&place.at, &name) {
            instance.machine = machine;
        }
        let attached = instance.shown.get("guestAccelerators").cloned().unwrap_or(json!([]));
        instance.accelerators = accelerators_of(&instance.machine, &attached);
        instance.shown.insert("cpuPlatform".into(), cpu_platform(&instance.machine).into());
        instance.work_out_needs();
    }
}

/// The GPUs of a shape: those that come with it, or those attached.
pub(super) fn accelerators_of(machine: &MachineType, attached: &Value) -> Vec<(String, u32)> {
    if !machine.accelerators.is_empty() {
        return machine.accelerators.clone();
    }
    let list = attached.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .map(|one| {
            let count = integer(one, "acceleratorCount").and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
            (last_part(text(one, "acceleratorType")).to_owned(), count)
        })
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// A processor that the series may have.
pub(super) fn cpu_platform(machine: &MachineType) -> &'static str {
    match machine.series().name {
        "n2" | "c2" | "a2" | "g2" => "Intel Cascade Lake",
        "n2d" | "t2d" | "c2d" => "AMD Milan",
        "t2a" => "Ampere Altra",
        "c3" | "a3" => "Intel Sapphire Rapids",
        "c4" | "n4" => "Intel Emerald Rapids",
        "c4a" | "n4a" => "Google Axion",
        "c3d" => "AMD Genoa",
        _ => "Intel Broadwell",
    }
}
