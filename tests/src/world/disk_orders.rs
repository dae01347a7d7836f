//! Disks that are to be made: what is asked for, judged and completed.

use serde_json::{Map, Value, json};

use super::catalogue::{self, MachineType};
use super::disks::{Disk, DiskStatus};
use super::errors::Refusal;
use super::home::Content;
use super::naming::{check_labels, check_name};
use super::wire::{fingerprint, integer, last_part, members, reference, text};
use super::{Place, World};

/// A disk that is to be made, judged and complete.
#[derive(Clone, Debug)]
pub(super) struct DiskOrder {
    place: Place,
    pub(super) disk_type: String,
    pub(super) size_gb: i64,
    shown: Map<String, Value>,
    pub(super) architecture: Option<String>,
    pub(super) source_image: Option<String>,
    pub(super) source_snapshot: Option<String>,
}

/// Where the members of an order stand: at the top of a disk, or in `initializeParams`.
pub(super) struct Members {
    disk_type: &'static str,
    size: &'static str,
}

pub(super) const OF_A_DISK: Members = Members { disk_type: "type", size: "sizeGb" };
const OF_PARAMETERS: Members = Members { disk_type: "diskType", size: "diskSizeGb" };

impl World {
    /// The disk that `initializeParams` of a new instance ask for.
    pub(super) fn order_from_parameters(
        &self,
        instance: &Place,
        machine: &MachineType,
        field: &str,
        parameters: &Value,
        default_name: &str,
    ) -> Result<DiskOrder, Refusal> {
        let field = format!("{field}.initializeParams");
        let name = match text(parameters, "diskName") {
            "" => default_name.to_owned(),
            given => check_name(&format!("{field}.diskName"), given)?.to_owned(),
        };
        let place = Place::new(&instance.at, name);
        if self.disks.contains_key(&place) {
            return Err(Refusal::already_exists(&self.disk_path(&place)));
        }
        self.order(place, &field, parameters, &OF_PARAMETERS, machine.series().default_disk_type)
    }

    pub(super) fn order(
        &self,
        place: Place,
        field: &str,
        body: &Value,
        named: &Members,
        default_type: &str,
    ) -> Result<DiskOrder, Refusal> {
        check_labels(&format!("{field}.labels"), body.get("labels"))?;
        let disk_type = match text(body, named.disk_type) {
            "" => default_type.to_owned(),
            link => disk_type_of(&format!("{field}.{}", named.disk_type), link, &place.at)?,
        };
        let mut shown = members(body);
        for made_by_us in ["name", "sizeGb", "diskSizeGb", "diskName", "diskType", "params", "status", "users", "zone"]
        {
            shown.remove(made_by_us);
        }
        let path = format!("projects/{}/zones/{}/diskTypes/{disk_type}", self.settings.project, place.at);
        shown.insert("type".into(), self.links.link(&path).into());
        shown.entry("physicalBlockSizeBytes").or_insert("4096".into());
        let mut order = DiskOrder {
            place,
            disk_type,
            size_gb: 0,
            shown,
            architecture: Some(text(body, "architecture").to_owned()).filter(|text| !text.is_empty()),
            source_image: None,
            source_snapshot: None,
        };
        let least_gb = self.order_source(&mut order, field, body)?;
        order.size_gb = order_size(&order, field, named, body, least_gb)?;
        Ok(order)
    }

    /// What the disk starts from, and how large it must at least be for that.
    fn order_source(&self, order: &mut DiskOrder, field: &str, body: &Value) -> Result<Option<i64>, Refusal> {
        let (image, snapshot) = (text(body, "sourceImage"), text(body, "sourceSnapshot"));
        if !image.is_empty() && !snapshot.is_empty() {
            let why = "At most one source can be given.";
            return Err(Refusal::invalid(&format!("{field}.sourceSnapshot"), snapshot, why));
        }
        if !image.is_empty() {
            let field = format!("{field}.sourceImage");
            let Some(found) = self.image_of(image) else {
                return Err(Refusal::invalid(&field, image, "The referenced image resource cannot be found."));
            };
            let link = text(&found, "selfLink").to_owned();
            order.shown.insert("sourceImage".into(), link.clone().into());
            order.shown.insert("sourceImageId".into(), text(&found, "id").into());
            for copied in ["architecture", "licenses", "licenseCodes", "guestOsFeatures"] {
                if let Some(value) = found.get(copied) {
                    order.shown.insert(copied.into(), value.clone());
                }
            }
            order.architecture = found.get("architecture").and_then(Value::as_str).map(str::to_owned);
            order.source_image = Some(link);
            return Ok(integer(&found, "diskSizeGb"));
        }
        if !snapshot.is_empty() {
            let name = last_part(snapshot).to_owned();
            let path = self.snapshot_path(&name);
            let Some(found) = self.snapshots.get(&name) else { return Err(Refusal::not_found(&path)) };
            if !found.ready {
                return Err(Refusal::not_ready(&path));
            }
            order.shown.insert("sourceSnapshot".into(), self.links.link(&path).into());
            order.shown.insert("sourceSnapshotId".into(), found.id.to_string().into());
            order.source_snapshot = Some(name);
            return Ok(Some(found.size_gb));
        }
        Ok(None)
    }

    /// Puts a disk in the world; it is not ready until its operation is DONE.
    pub(super) fn make_disk(&mut self, order: DiskOrder) -> Place {
        let id = self.new_number("disk");
        let DiskOrder { place, disk_type, size_gb, mut shown, architecture, source_image, source_snapshot } = order;
        let labels = shown.get("labels").cloned().unwrap_or(json!({}));
        shown.insert("labelFingerprint".into(), fingerprint(&labels).into());
        if let Some(architecture) = architecture {
            shown.insert("architecture".into(), architecture.into());
        }
        let content = match (&source_snapshot, &source_image) {
            (Some(name), _) => self.snapshots.get(name).map_or_else(Content::blank, |found| found.content.clone()),
            (None, Some(_)) => Content::foreign("an operating system"),
            (None, None) => Content::blank(),
        };
        let status = if source_snapshot.is_some() { DiskStatus::Restoring } else { DiskStatus::Creating };
        let metric = catalogue::disk_type(&place.at, &disk_type).map_or("DISKS_TOTAL_GB", |kind| kind.metric);
        let disk =
            Disk { id, status, shown, disk_type, metric, size_gb, users: Vec::new(), created_at: self.now, content };
        self.disks.insert(place.clone(), disk);
        place
    }
}

fn disk_type_of(field: &str, link: &str, zone: &str) -> Result<String, Refusal> {
    let found = reference(link).filter(|found| found.collection.as_deref() == Some("diskTypes"));
    let Some(found) = found else { return Err(Refusal::invalid(field, link, "The URL is malformed.")) };
    let elsewhere = found.scope.is_some_and(|(_, place)| place != zone);
    if elsewhere || found.name == "local-ssd" || catalogue::disk_type(zone, &found.name).is_none() {
        return Err(Refusal::invalid(field, link, "The referenced diskType resource cannot be found."));
    }
    Ok(found.name)
}

fn order_size(
    order: &DiskOrder,
    field: &str,
    named: &Members,
    body: &Value,
    least_gb: Option<i64>,
) -> Result<i64, Refusal> {
    let field = format!("{field}.{}", named.size);
    let Some(kind) = catalogue::disk_type(&order.place.at, &order.disk_type) else {
        return Err(Refusal::invalid(&field, &order.disk_type, "Unknown disk type."));
    };
    let (min, max) = (signed(kind.size_gb_min), signed(kind.size_gb_max));
    let size_gb = match body.get(named.size) {
        None | Some(Value::Null) => least_gb.unwrap_or_else(|| signed(kind.default_size_gb)).max(min),
        Some(given) => integer(body, named.size)
            .ok_or_else(|| Refusal::invalid(&field, &given.to_string(), "An integer is expected."))?,
    };
    if let Some(least_gb) = least_gb.filter(|least_gb| size_gb < *least_gb) {
        let source = if order.source_image.is_some() { "image" } else { "snapshot" };
        let why = format!("Requested disk size cannot be smaller than the {source} size ({least_gb} GB)");
        return Err(Refusal::invalid(&field, &size_gb.to_string(), &why));
    }
    if !(min..=max).contains(&size_gb) {
        let why = format!("Disk size for type {} must be between {min} GB and {max} GB.", order.disk_type);
        return Err(Refusal::invalid(&field, &size_gb.to_string(), &why));
    }
    Ok(size_gb)
}

/// Sizes are signed on the wire.
pub(super) fn signed(size_gb: u64) -> i64 {
    i64::try_from(size_gb).unwrap_or(i64::MAX)
}
