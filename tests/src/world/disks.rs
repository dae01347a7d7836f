//! Zonal disks: made, grown, labelled, deleted.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::catalogue;
use super::disk_orders::{OF_A_DISK, signed};
use super::errors::{OperationFailure, Refusal};
use super::home::Content;
use super::naming::{check_labels, check_name};
use super::operations::{Effect, OperationId, Start};
use super::route::{Call, Scope};
use super::wire::{fingerprint, integer, stamp, text};
use super::{Place, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DiskStatus {
    Creating,
    Restoring,
    Ready,
    Deleting,
}

/// One incarnation of a disk.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) id: u64,
    pub(super) status: DiskStatus,
    pub(super) shown: Map<String, Value>,
    /// The API's `type`, which is a word of the language.
    #[allow(clippy::struct_field_names, reason = "`type` is reserved, and disk_type is what the cloud calls it")]
    pub(super) disk_type: String,
    /// The quota that its size counts against.
    pub(super) metric: &'static str,
    pub(super) size_gb: i64,
    pub(super) users: Vec<Place>,
    pub(super) created_at: Timestamp,
    pub(super) content: Content,
}

impl Disk {
    pub(super) fn is_ready(&self) -> bool {
        self.status == DiskStatus::Ready
    }

    pub(super) fn architecture(&self) -> Option<String> {
        self.shown.get("architecture").and_then(Value::as_str).map(str::to_owned)
    }
}

impl World {
    pub(super) fn disk_path(&self, place: &Place) -> String {
        format!("projects/{}/zones/{}/disks/{}", self.settings.project, place.at, place.name)
    }

    pub(super) fn disk_of(&self, call: &Call) -> Result<(Place, &Disk), Refusal> {
        let place = Place::new(call.zone(), &call.name);
        match self.disks.get(&place) {
            Some(disk) => Ok((place, disk)),
            None => Err(Refusal::not_found(&self.disk_path(&place))),
        }
    }

    pub(super) fn disks_get(&self, call: &Call) -> Result<Value, Refusal> {
        self.check_scope(call)?;
        let (place, disk) = self.disk_of(call)?;
        Ok(self.disk_json(&place, disk))
    }

    /// A disk as the API shows it.
    pub(super) fn disk_json(&self, place: &Place, disk: &Disk) -> Value {
        let mut shown = disk.shown.clone();
        let status = match disk.status {
            DiskStatus::Creating => "CREATING",
            DiskStatus::Restoring => "RESTORING",
            DiskStatus::Ready => "READY",
            DiskStatus::Deleting => "DELETING",
        };
        shown.insert("kind".into(), "compute#disk".into());
        shown.insert("id".into(), disk.id.to_string().into());
        shown.insert("name".into(), place.name.as_str().into());
        shown.insert("status".into(), status.into());
        shown.insert("sizeGb".into(), disk.size_gb.to_string().into());
        shown.insert("creationTimestamp".into(), stamp(disk.created_at).into());
        shown.insert("zone".into(), self.zone_link(&place.at).into());
        shown.insert("selfLink".into(), self.links.link(&self.disk_path(place)).into());
        if !disk.users.is_empty() {
            let users: Vec<Value> =
                disk.users.iter().map(|user| self.links.link(&self.instance_path(user)).into()).collect();
            shown.insert("users".into(), Value::Array(users));
        }
        Value::Object(shown)
    }

    pub(super) fn disks_insert(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let mut body = call.body.clone();
        if let Some(image) = call.parameter("sourceImage") {
            body["sourceImage"] = image.into();
        }
        let name = check_name("resource.name", text(&body, "name"))?;
        let place = Place::new(call.zone(), name);
        if self.disks.contains_key(&place) {
            return Err(Refusal::already_exists(&self.disk_path(&place)));
        }
        let order = self.order(place.clone(), "resource", &body, &OF_A_DISK, "pd-standard")?;
        self.check_disk_quota_at_once(&place, &order.disk_type, order.size_gb)?;
        let from_source = order.source_snapshot.is_some();
        let place = self.make_disk(order);
        let target_id = self.disks.get(&place).map_or(0, |disk| disk.id);
        let start = Start {
            kind: "insert",
            scope: Scope::Zone(place.at.clone()),
            target: self.disk_path(&place),
            target_id,
            figure: if from_source { "disks.insert.fromSnapshot" } else { "disks.insert" },
            effect: Effect::DiskInsert { place: place.clone() },
            failure: None,
        };
        Ok(self.start(call, start))
    }

    pub(super) fn begin_disk(&mut self, place: &Place) -> Result<(), OperationFailure> {
        self.check_disk_quota(place)
    }

    pub(super) fn finish_disk(&mut self, place: &Place) {
        if let Some(disk) = self.disks.get_mut(place) {
            disk.status = DiskStatus::Ready;
        }
    }

    pub(super) fn disks_resize(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, disk) = self.disk_of(call)?;
        if !disk.is_ready() {
            return Err(Refusal::not_ready(&self.disk_path(&place)));
        }
        let Some(size_gb) = integer(&call.body, "sizeGb") else { return Err(Refusal::required("sizeGb")) };
        let current_gb = disk.size_gb;
        if size_gb <= current_gb {
            let why = format!("New disk size '{size_gb}' must be larger than existing size '{current_gb}'.");
            return Err(Refusal::invalid("sizeGb", &size_gb.to_string(), &why));
        }
        let max_gb = catalogue::disk_type(&place.at, &disk.disk_type).map_or(65_536, |kind| signed(kind.size_gb_max));
        if size_gb > max_gb {
            let why = format!("Disk size cannot exceed {max_gb} GB.");
            return Err(Refusal::invalid("sizeGb", &size_gb.to_string(), &why));
        }
        let disk_type = disk.disk_type.clone();
        self.check_disk_quota_at_once(&place, &disk_type, size_gb - current_gb)?;
        let effect = Effect::DiskResize { place: place.clone(), size_gb };
        Ok(self.start_on_disk(call, &place, "resizeDisk", "disks.resize", effect))
    }

    pub(super) fn begin_resize(&mut self, place: &Place, size_gb: i64) -> Result<(), OperationFailure> {
        let Some(disk) = self.disks.get_mut(place) else { return Ok(()) };
        let before_gb = disk.size_gb;
        disk.size_gb = before_gb.max(size_gb);
        let allowed = self.check_disk_quota(place);
        if let Some(disk) = self.disks.get_mut(place) {
            disk.size_gb = before_gb;
        }
        allowed
    }

    pub(super) fn finish_resize(&mut self, place: &Place, size_gb: i64) {
        let Some(disk) = self.disks.get_mut(place) else { return };
        disk.size_gb = disk.size_gb.max(size_gb);
        let users = disk.users.clone();
        for user in users {
            self.guest_sees_growth(&user, place);
        }
    }

    pub(super) fn disks_delete(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, disk) = self.disk_of(call)?;
        let path = self.disk_path(&place);
        if let Some(user) = disk.users.first() {
            return Err(Refusal::in_use("disk", &path, &self.instance_path(user)));
        }
        if !disk.is_ready() {
            return Err(Refusal::not_ready(&path));
        }
        let effect = Effect::DiskDelete { place: place.clone() };
        Ok(self.start_on_disk(call, &place, "delete", "disks.delete", effect))
    }

    /// Somebody may have attached it since it was asked for.
    pub(super) fn begin_disk_delete(&mut self, place: &Place) -> Result<(), OperationFailure> {
        let user = self.disks.get(place).and_then(|disk| disk.users.first()).map(|user| self.instance_path(user));
        if let Some(user) = user {
            return Err(Refusal::in_use("disk", &self.disk_path(place), &user).into());
        }
        if let Some(disk) = self.disks.get_mut(place) {
            disk.status = DiskStatus::Deleting;
        }
        Ok(())
    }

    pub(super) fn finish_disk_delete(&mut self, place: &Place) {
        self.remove_disk(place);
    }

    pub(super) fn remove_disk(&mut self, place: &Place) {
        if let Some(disk) = self.disks.remove(place) {
            let shown = self.disk_json(place, &disk);
            self.leave_ghost("disks", &place.at, &place.name, disk.created_at, shown);
        }
    }

    pub(super) fn disks_set_labels(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, disk) = self.disk_of(call)?;
        check_labels("labels", call.body.get("labels"))?;
        let given = text(&call.body, "labelFingerprint").to_owned();
        check_label_fingerprint(&disk.shown, &given)?;
        let labels = call.body.get("labels").cloned().unwrap_or(json!({}));
        let effect = Effect::DiskLabels { place: place.clone(), labels, fingerprint: given };
        Ok(self.start_on_disk(call, &place, "setLabels", "instances.setLabels", effect))
    }

    pub(super) fn finish_disk_labels(
        &mut self,
        place: &Place,
        labels: &Value,
        given: &str,
    ) -> Result<(), OperationFailure> {
        let Some(disk) = self.disks.get_mut(place) else { return Ok(()) };
        check_label_fingerprint(&disk.shown, given)?;
        disk.shown.insert("labels".into(), labels.clone());
        disk.shown.insert("labelFingerprint".into(), fingerprint(labels).into());
        Ok(())
    }

    /// Starts an operation on a disk.
    pub(super) fn start_on_disk(
        &mut self,
        call: &Call,
        place: &Place,
        kind: &'static str,
        figure: &'static str,
        effect: Effect,
    ) -> OperationId {
        let start = Start {
            kind,
            scope: Scope::Zone(place.at.clone()),
            target: self.disk_path(place),
            target_id: self.disks.get(place).map_or(0, |disk| disk.id),
            figure,
            effect,
            failure: None,
        };
        self.start(call, start)
    }
}

/// Labels may be replaced by who has seen the present ones.
pub(super) fn check_label_fingerprint(shown: &Map<String, Value>, given: &str) -> Result<(), Refusal> {
    let current = shown.get("labelFingerprint").and_then(Value::as_str).unwrap_or_default();
    if current == given {
        return Ok(());
    }
    Err(Refusal::condition_not_met("Labels fingerprint either invalid or resource labels have changed"))
}
