//! Snapshots: what was flushed to a disk at one moment.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::errors::{OperationFailure, Refusal};
use super::home::Content;
use super::naming::{check_labels, check_name};
use super::operations::{Effect, OperationId, Start};
use super::route::{Call, Scope};
use super::wire::{fingerprint, members, stamp, text};
use super::{Place, World};

/// A disk can have so many snapshots taken in an hour.
const PER_HOUR_MAX: usize = 6;

/// One snapshot.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) id: u64,
    pub(super) ready: bool,
    pub(super) shown: Map<String, Value>,
    pub(super) size_gb: i64,
    pub(super) created_at: Timestamp,
    pub(super) content: Content,
}

impl World {
    pub(super) fn snapshot_path(&self, name: &str) -> String {
        format!("projects/{}/global/snapshots/{name}", self.settings.project)
    }

    pub(super) fn snapshots_get(&self, call: &Call) -> Result<Value, Refusal> {
        match self.snapshots.get(&call.name) {
            Some(snapshot) => Ok(self.snapshot_json(&call.name, snapshot)),
            None => Err(Refusal::not_found(&self.snapshot_path(&call.name))),
        }
    }

    /// A snapshot as the API shows it.
    pub(super) fn snapshot_json(&self, name: &str, snapshot: &Snapshot) -> Value {
        let mut shown = snapshot.shown.clone();
        shown.insert("kind".into(), "compute#snapshot".into());
        shown.insert("id".into(), snapshot.id.to_string().into());
        shown.insert("name".into(), name.into());
        shown.insert("status".into(), if snapshot.ready { "READY" } else { "CREATING" }.into());
        shown.insert("diskSizeGb".into(), snapshot.size_gb.to_string().into());
        shown.insert("creationTimestamp".into(), stamp(snapshot.created_at).into());
        shown.insert("selfLink".into(), self.links.link(&self.snapshot_path(name)).into());
        let bytes = snapshot.content.bytes().to_string();
        shown.insert("storageBytes".into(), if snapshot.ready { bytes } else { "0".to_owned() }.into());
        shown.insert("storageBytesStatus".into(), if snapshot.ready { "UP_TO_DATE" } else { "UPDATING" }.into());
        Value::Object(shown)
    }

    pub(super) fn disks_create_snapshot(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, disk) = self.disk_of(call)?;
        let path = self.disk_path(&place);
        if !disk.is_ready() {
            return Err(Refusal::not_ready(&path));
        }
        let name = check_name("resource.name", text(&call.body, "name"))?.to_owned();
        check_labels("resource.labels", call.body.get("labels"))?;
        if self.snapshots.contains_key(&name) {
            return Err(Refusal::already_exists(&self.snapshot_path(&name)));
        }
        let disk_id = disk.id;
        let an_hour_ago = self.now - SignedDuration::from_hours(1);
        let taken = self.snapshot_chains.entry(disk_id).or_default();
        let first = taken.is_empty();
        let too_many = taken.iter().filter(|at| **at > an_hour_ago).count() >= PER_HOUR_MAX;
        if !too_many {
            taken.push(self.now);
        }
        let failure = too_many.then(|| {
            let message = format!(
                "Operation rate exceeded for resource '{path}'. Too frequent operations from the source resource."
            );
            OperationFailure::new("RESOURCE_OPERATION_RATE_EXCEEDED", 403, message)
        });
        if !too_many {
            self.place_snapshot(&name, &place, &call.body);
        }
        let start = Start {
            kind: "createSnapshot",
            scope: Scope::Zone(place.at.clone()),
            target: path,
            target_id: disk_id,
            figure: if first { "disks.createSnapshot.first" } else { "disks.createSnapshot.incremental" },
            effect: Effect::SnapshotInsert { name, disk: place },
            failure,
        };
        Ok(self.start(call, start))
    }

    fn place_snapshot(&mut self, name: &str, place: &Place, body: &Value) {
        let Some(disk) = self.disks.get(place) else { return };
        let mut shown = members(body);
        shown.remove("name");
        let (disk_id, size_gb, content) = (disk.id, disk.size_gb, disk.content.clone());
        for copied in ["licenses", "licenseCodes", "guestOsFeatures", "architecture"] {
            if let Some(value) = disk.shown.get(copied) {
                shown.insert(copied.into(), value.clone());
            }
        }
        shown.insert("sourceDisk".into(), self.links.link(&self.disk_path(place)).into());
        shown.insert("sourceDiskId".into(), disk_id.to_string().into());
        let labels = shown.get("labels").cloned().unwrap_or(json!({}));
        shown.insert("labelFingerprint".into(), fingerprint(&labels).into());
        shown.entry("storageLocations").or_insert(json!([super::catalogue::region_of(&place.at)]));
        shown.entry("snapshotType").or_insert("STANDARD".into());
        let id = self.new_number("snapshot");
        let snapshot = Snapshot { id, ready: false, shown, size_gb, created_at: self.now, content };
        self.snapshots.insert(name.to_owned(), snapshot);
    }

    /// The moment that the snapshot shows is the one at which its operation begins to run.
    pub(super) fn begin_snapshot(&mut self, name: &str, disk: &Place) {
        self.settle_writer_of(disk);
        let content = self.disks.get(disk).map(|disk| disk.content.clone());
        if let (Some(content), Some(snapshot)) = (content, self.snapshots.get_mut(name)) {
            snapshot.content = content;
        }
    }

    pub(super) fn finish_snapshot(&mut self, name: &str) {
        if let Some(snapshot) = self.snapshots.get_mut(name) {
            snapshot.ready = true;
        }
    }

    pub(super) fn snapshots_delete(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let path = self.snapshot_path(&call.name);
        let Some(snapshot) = self.snapshots.get(&call.name) else { return Err(Refusal::not_found(&path)) };
        if !snapshot.ready {
            return Err(Refusal::not_ready(&path));
        }
        let start = Start {
            kind: "delete",
            scope: Scope::Global,
            target: path,
            target_id: snapshot.id,
            figure: "disks.delete",
            effect: Effect::SnapshotDelete { name: call.name.clone() },
            failure: None,
        };
        Ok(self.start(call, start))
    }

    pub(super) fn finish_snapshot_delete(&mut self, name: &str) {
        if let Some(snapshot) = self.snapshots.remove(name) {
            let shown = self.snapshot_json(name, &snapshot);
            self.leave_ghost("snapshots", "", name, snapshot.created_at, shown);
        }
    }
}
