//! Disks on instances: attach, detach, and who holds what.

use serde_json::{Value, json};

use super::catalogue::MachineType;
use super::compatibility::check_disk_type;
use super::errors::{OperationFailure, Refusal};
use super::insert::device_name;
use super::instances::InstanceStatus;
use super::operations::{Change, Effect, OperationId, Start};
use super::route::{Call, Scope};
use super::wire::{flag, reference, stamp, text};
use super::{Place, World};

/// How a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    ReadWrite,
    ReadOnly,
}

impl Mode {
    /// The mode that an attached disk's body asks for.
    pub(super) fn of(disk: &Value) -> Result<Self, Refusal> {
        match text(disk, "mode") {
            "" | "READ_WRITE" => Ok(Mode::ReadWrite),
            "READ_ONLY" => Ok(Mode::ReadOnly),
            other => Err(Refusal::invalid("resource.mode", other, "Must be READ_WRITE or READ_ONLY.")),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Mode::ReadWrite => "READ_WRITE",
            Mode::ReadOnly => "READ_ONLY",
        }
    }
}

/// One disk of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attachment {
    pub(super) device: String,
    /// A local SSD, which is no disk of its own.
    pub(super) local: bool,
    pub(super) disk: Option<Place>,
    pub(super) mode: Mode,
    pub(super) boot: bool,
    pub(super) auto_delete: bool,
    /// `SCSI` or `NVME`; empty takes the API's choice.
    pub(super) interface: String,
}

/// A disk that is attached read-write: what an oracle looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadWriteAttachment {
    /// The disk.
    pub disk: Place,
    /// The instance.
    pub instance: Place,
    /// The device name.
    pub device: String,
    /// Whether it is the boot disk.
    pub boot: bool,
}

impl World {
    /// Every read-write attachment, by instance.
    pub(super) fn read_write_attachments_now(&self) -> Vec<ReadWriteAttachment> {
        let mut found = Vec::new();
        for (place, instance) in &self.instances {
            for one in instance.attachments.iter().filter(|one| one.mode == Mode::ReadWrite) {
                if let Some(disk) = &one.disk {
                    found.push(ReadWriteAttachment {
                        disk: disk.clone(),
                        instance: place.clone(),
                        device: one.device.clone(),
                        boot: one.boot,
                    });
                }
            }
        }
        found
    }

    /// An attached disk as the API shows it.
    pub(super) fn attachment_json(&self, index: usize, one: &Attachment) -> Value {
        let default_interface = if one.local { "NVME" } else { "SCSI" };
        let interface = if one.interface.is_empty() { default_interface } else { &one.interface };
        let mut shown = json!({
            "kind": "compute#attachedDisk",
            "type": if one.local { "SCRATCH" } else { "PERSISTENT" },
            "mode": one.mode.word(),
            "deviceName": one.device,
            "index": index,
            "boot": one.boot,
            "autoDelete": one.auto_delete,
            "interface": interface,
        });
        let Some((place, disk)) = one.disk.as_ref().and_then(|place| Some((place, self.disks.get(place)?))) else {
            shown["diskSizeGb"] = "375".into();
            return shown;
        };
        shown["source"] = self.links.link(&self.disk_path(place)).into();
        shown["diskSizeGb"] = disk.size_gb.to_string().into();
        for copied in ["licenses", "guestOsFeatures", "architecture"] {
            if let Some(value) = disk.shown.get(copied) {
                shown[copied] = value.clone();
            }
        }
        shown
    }

    /// The disk that a link names; it must be in `zone` and exist.
    pub(super) fn disk_reference(&self, field: &str, link: &str, zone: &str) -> Result<Place, Refusal> {
        let found = reference(link).filter(|found| found.collection.as_deref().is_none_or(|kind| kind == "disks"));
        let Some(found) = found.filter(|found| !found.name.is_empty()) else {
            return Err(Refusal::invalid(field, link, "The URL is malformed."));
        };
        let place = Place::new(found.scope.map_or_else(|| zone.to_owned(), |(_, place)| place), found.name);
        if !self.disks.contains_key(&place) {
            return Err(Refusal::not_found(&self.disk_path(&place)));
        }
        if place.at != zone {
            return Err(Refusal::invalid(field, link, "The disk must be in the same zone as the instance."));
        }
        Ok(place)
    }

    /// Whether a machine can take a disk now.
    pub(super) fn check_attachable(
        &self,
        place: &Place,
        instance: &Place,
        machine: &MachineType,
        mode: Mode,
    ) -> Result<(), Refusal> {
        let path = self.disk_path(place);
        let Some(disk) = self.disks.get(place) else { return Err(Refusal::not_found(&path)) };
        for user in &disk.users {
            let shared = mode == Mode::ReadOnly
                && user != instance
                && self.instances.get(user).is_some_and(|holder| {
                    holder.attachments.iter().any(|one| one.disk.as_ref() == Some(place) && one.mode == Mode::ReadOnly)
                });
            if !shared {
                return Err(Refusal::in_use("disk", &path, &self.instance_path(user)));
            }
        }
        if !disk.is_ready() {
            return Err(Refusal::not_ready(&path));
        }
        check_disk_type(machine, &disk.disk_type)
    }

    pub(super) fn instances_attach_disk(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        if call.switch("forceAttach")? || flag(&call.body, "forceAttach") {
            let why = "Force attach is supported for regional disks only.";
            return Err(Refusal::invalid("resource.forceAttach", "true", why));
        }
        let source = text(&call.body, "source");
        if source.is_empty() {
            return Err(Refusal::required("resource.source"));
        }
        let mode = Mode::of(&call.body)?;
        let disk = self.disk_reference("resource.source", source, &place.at)?;
        self.check_attachable(&disk, &place, &instance.machine, mode)?;
        let count = instance.attachments.len();
        if count >= usize::try_from(instance.machine.maximum_persistent_disks).unwrap_or(usize::MAX) {
            let message = format!(
                "Exceeded limit 'maximum_persistent_disks' on resource '{}'. Limit: {}",
                place.name, instance.machine.maximum_persistent_disks
            );
            return Err(Refusal::new(400, "limitExceeded", message));
        }
        let device = device_name(&call.body, count);
        if instance.attached(&device).is_some() {
            let why = "A disk with this device name is attached already.";
            return Err(Refusal::invalid("resource.deviceName", &device, why));
        }
        let attachment = Attachment {
            device,
            local: false,
            disk: Some(disk),
            mode,
            boot: false,
            auto_delete: flag(&call.body, "autoDelete"),
            interface: text(&call.body, "interface").to_owned(),
        };
        let target_id = instance.id;
        let effect = Effect::Attach { place: place.clone(), attachment };
        Ok(self.start_on_instance(call, &place, target_id, "attachDisk", "instances.attachDisk", effect))
    }

    pub(super) fn finish_attach(&mut self, place: &Place, attachment: &Attachment) -> Result<(), OperationFailure> {
        let path = self.instance_path(place);
        let Some(instance) = self.instances.get(place) else { return Err(Refusal::not_found(&path).into()) };
        let Some(disk) = attachment.disk.clone() else { return Ok(()) };
        // Somebody else may have been quicker, or the machine may have changed, while this was under way.
        self.check_attachable(&disk, place, &instance.machine, attachment.mode)?;
        if instance.attached(&attachment.device).is_some() {
            return Err(Refusal::not_ready(&path).into());
        }
        self.disk_held(&disk, place);
        if let Some(instance) = self.instances.get_mut(place) {
            instance.attachments.push(attachment.clone());
        }
        self.guest_looks(place);
        Ok(())
    }

    pub(super) fn instances_detach_disk(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        let device = call.parameter("deviceName").unwrap_or_default().to_owned();
        if device.is_empty() {
            return Err(Refusal::required("deviceName"));
        }
        let Some(attachment) = instance.attached(&device) else {
            let why = format!("No attached disk found with device name '{device}'.");
            return Err(Refusal::invalid("disk", &device, &why));
        };
        if attachment.boot && instance.status != InstanceStatus::Terminated {
            let why = "The boot disk of a running instance cannot be detached.";
            return Err(Refusal::invalid("deviceName", &device, why));
        }
        let target_id = instance.id;
        let effect = Effect::Detach { place: place.clone(), device };
        Ok(self.start_on_instance(call, &place, target_id, "detachDisk", "instances.detachDisk", effect))
    }

    pub(super) fn finish_detach(&mut self, place: &Place, device: &str) {
        let Some(disk) =
            self.instances.get(place).and_then(|instance| instance.attached(device)).and_then(|one| one.disk.clone())
        else {
            return;
        };
        // A disk that is still mounted is torn out: what was not flushed is gone.
        self.guest_loses_device(place, device);
        if let Some(instance) = self.instances.get_mut(place) {
            instance.attachments.retain(|one| one.device != device);
        }
        self.disk_released(&disk, place);
    }

    pub(super) fn instances_set_disk_auto_delete(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, instance) = self.instance_of(call)?;
        self.check_settled(&place)?;
        let device = call.parameter("deviceName").unwrap_or_default().to_owned();
        if call.parameter("autoDelete").is_none() {
            return Err(Refusal::required("autoDelete"));
        }
        let auto_delete = call.switch("autoDelete")?;
        if instance.attached(&device).is_none() {
            let why = format!("No attached disk found with device name '{device}'.");
            return Err(Refusal::invalid("disk", &device, &why));
        }
        let target_id = instance.id;
        let effect = Effect::InstanceSet { place: place.clone(), change: Change::AutoDelete { device, auto_delete } };
        Ok(self.start_on_instance(call, &place, target_id, "setDiskAutoDelete", "instances.setLabels", effect))
    }

    /// Starts an operation on an instance.
    pub(super) fn start_on_instance(
        &mut self,
        call: &Call,
        place: &Place,
        target_id: u64,
        kind: &'static str,
        figure: &'static str,
        effect: Effect,
    ) -> OperationId {
        let start = Start {
            kind,
            scope: Scope::Zone(place.at.clone()),
            target: self.instance_path(place),
            target_id,
            figure,
            effect,
            failure: None,
        };
        self.start(call, start)
    }

    /// Refuses a change of an instance that is going up, down or to sleep.
    pub(super) fn check_settled(&self, place: &Place) -> Result<(), Refusal> {
        let settled = self.instances.get(place).is_some_and(|instance| {
            instance.busy.is_none()
                && match instance.status {
                    InstanceStatus::Running | InstanceStatus::Terminated | InstanceStatus::Suspended => true,
                    InstanceStatus::Provisioning
                    | InstanceStatus::Staging
                    | InstanceStatus::Stopping
                    | InstanceStatus::Suspending
                    | InstanceStatus::Repairing => false,
                }
        });
        if settled { Ok(()) } else { Err(Refusal::not_ready(&self.instance_path(place))) }
    }

    /// Notes that an instance has a disk.
    pub(super) fn disk_held(&mut self, disk: &Place, by: &Place) {
        let now = self.now;
        if let Some(disk) = self.disks.get_mut(disk) {
            disk.users.push(by.clone());
            disk.shown.insert("lastAttachTimestamp".into(), stamp(now).into());
        }
    }

    /// Notes that an instance no longer has a disk.
    pub(super) fn disk_released(&mut self, disk: &Place, by: &Place) {
        let now = self.now;
        if let Some(disk) = self.disks.get_mut(disk) {
            disk.users.retain(|user| user != by);
            disk.shown.insert("lastDetachTimestamp".into(), stamp(now).into());
        }
    }
}
