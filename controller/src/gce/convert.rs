//! From the SDK's wide objects to our slim ones.
//!
//! What cannot be missing in a real answer (a name, an id) makes the whole answer unreadable when it is: a half-read
//! object is worse than a look that has to be repeated.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bytes::Bytes;
use google_cloud_compute_v1::model as sdk;
use jiff::Timestamp;
use rehost_api::guest::{GuestReport, GuestSettings, REPORT_KEY, SETTINGS_KEY};
use uuid::Uuid;

use super::errors::GceError;
use super::model::{
    Accelerator, AcceleratorType, Architecture, AttachedDisk, Disk, ImageFacts, Instance, InstanceStatus, MachineType,
    OnHostMaintenance, Operation, OperationStatus, Quota, Snapshot, short,
};
use super::mutation::{Place, Scope};

/// How much of a guest's own sentence is kept: any process on the host can write it, and it ends in status.
const GUEST_MESSAGE_CHARS_MAX: usize = 300;

/// A fingerprint as we keep it: URL-safe base64, which is how the SDK writes it.
pub(super) fn fingerprint_text(bytes: &Bytes) -> String {
    URL_SAFE.encode(bytes)
}

/// A fingerprint as the SDK wants it, from either alphabet of base64.
pub(super) fn fingerprint_bytes(text: &str) -> Option<Bytes> {
    URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).ok().map(Bytes::from)
}

/// A time as the API writes it; one that cannot be read is as one that is missing.
pub(super) fn time(text: Option<&String>) -> Option<Timestamp> {
    text.and_then(|text| text.parse().ok())
}

/// Where an object says that it is, else where it was asked for.
fn zone_of(link: Option<&String>, place: &Place) -> String {
    link.map_or_else(|| place.zone.clone(), |link| short(link).to_owned())
}

fn short_of(link: Option<&String>) -> String {
    link.map(|link| short(link).to_owned()).unwrap_or_default()
}

fn required<T>(value: Option<T>, what: &str, field: &str) -> Result<T, GceError> {
    value.ok_or_else(|| GceError::unreadable(what, format!("it has no {field}")))
}

/// Numbers of things are never negative in truth; the API's types allow it.
fn count(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

fn size(number: Option<i64>) -> u64 {
    number.and_then(|number| u64::try_from(number).ok()).unwrap_or_default()
}

pub(super) fn instance(place: &Place, found: sdk::Instance) -> Result<Instance, GceError> {
    let what = "instances.get";
    let metadata = metadata(found.metadata.as_ref());
    Ok(Instance {
        name: required(found.name, what, "name")?,
        id: required(found.id, what, "id")?,
        zone: zone_of(found.zone.as_ref(), place),
        status: InstanceStatus::parse(found.status.as_ref().and_then(sdk::instance::Status::name).unwrap_or_default()),
        machine_type: short_of(found.machine_type.as_ref()),
        accelerators: found.guest_accelerators.iter().map(accelerator).collect(),
        on_host_maintenance: found
            .scheduling
            .as_ref()
            .and_then(|scheduling| scheduling.on_host_maintenance.as_ref())
            .and_then(maintenance),
        labels: found.labels.into_iter().collect(),
        label_fingerprint: found.label_fingerprint.as_ref().map(fingerprint_text),
        metadata_fingerprint: found.metadata.and_then(|it| it.fingerprint).as_ref().map(fingerprint_text),
        settings: settings(&metadata),
        metadata,
        disks: found.disks.iter().map(attached_disk).collect(),
        address: found.network_interfaces.iter().find_map(|it| it.network_ip.as_ref()?.parse().ok()),
        last_start: time(found.last_start_timestamp.as_ref()),
        last_stop: time(found.last_stop_timestamp.as_ref()),
        created: time(found.creation_timestamp.as_ref()),
    })
}

fn metadata(found: Option<&sdk::Metadata>) -> BTreeMap<String, String> {
    let items = found.map(|metadata| metadata.items.as_slice()).unwrap_or_default();
    items.iter().filter_map(|item| Some((item.key.clone()?, item.value.clone().unwrap_or_default()))).collect()
}

/// The settings that the guest sees; unreadable ones count as none, so that they are written again.
fn settings(metadata: &BTreeMap<String, String>) -> Option<GuestSettings> {
    metadata.get(SETTINGS_KEY).and_then(|text| serde_json::from_str(text).ok())
}

fn accelerator(found: &sdk::AcceleratorConfig) -> Accelerator {
    Accelerator { kind: short_of(found.accelerator_type.as_ref()), count: count(found.accelerator_count) }
}

fn maintenance(found: &sdk::scheduling::OnHostMaintenance) -> Option<OnHostMaintenance> {
    match found {
        sdk::scheduling::OnHostMaintenance::Migrate => Some(OnHostMaintenance::Migrate),
        sdk::scheduling::OnHostMaintenance::Terminate => Some(OnHostMaintenance::Terminate),
        _ => None,
    }
}

fn attached_disk(found: &sdk::AttachedDisk) -> AttachedDisk {
    AttachedDisk {
        device_name: found.device_name.clone().unwrap_or_default(),
        disk: short_of(found.source.as_ref()),
        boot: found.boot.unwrap_or_default(),
        auto_delete: found.auto_delete.unwrap_or_default(),
        // The API's default is READ_WRITE, so that silence means it too.
        read_write: found.mode.as_ref().is_none_or(|mode| *mode != sdk::attached_disk::Mode::ReadOnly),
    }
}

pub(super) fn disk(place: &Place, found: sdk::Disk) -> Result<Disk, GceError> {
    let what = "disks.get";
    Ok(Disk {
        name: required(found.name, what, "name")?,
        id: required(found.id, what, "id")?,
        zone: zone_of(found.zone.as_ref(), place),
        size_gb: size(found.size_gb),
        disk_type: short_of(found.r#type.as_ref()),
        ready: found.status == Some(sdk::disk::Status::Ready),
        labels: found.labels.into_iter().collect(),
        label_fingerprint: found.label_fingerprint.as_ref().map(fingerprint_text),
        users: found.users.iter().map(|link| short(link).to_owned()).collect(),
    })
}

pub(super) fn snapshot(found: sdk::Snapshot) -> Result<Snapshot, GceError> {
    let what = "snapshots.get";
    Ok(Snapshot {
        name: required(found.name, what, "name")?,
        id: required(found.id, what, "id")?,
        ready: found.status == Some(sdk::snapshot::Status::Ready),
        failed: found.status == Some(sdk::snapshot::Status::Failed),
        disk_size_gb: size(found.disk_size_gb),
        labels: found.labels.into_iter().collect(),
    })
}

pub(super) fn operation(scope: &Scope, found: &sdk::Operation) -> Result<Operation, GceError> {
    let what = "an operation";
    let status = match found.status {
        Some(sdk::operation::Status::Done) => OperationStatus::Done,
        Some(sdk::operation::Status::Pending) => OperationStatus::Pending,
        // A status that is new to us is not the end.
        Some(_) | None => OperationStatus::Running,
    };
    Ok(Operation {
        name: required(found.name.clone(), what, "name")?,
        scope: scope.clone(),
        request_id: found.client_operation_id.as_ref().and_then(|id| Uuid::parse_str(id).ok()),
        kind: found.operation_type.clone().unwrap_or_default(),
        target: short_of(found.target_link.as_ref()),
        target_id: found.target_id,
        status,
        error: GceError::from_operation(found).filter(|_| status == OperationStatus::Done),
        inserted_at: time(found.insert_time.as_ref().or(found.creation_timestamp.as_ref())),
        ended_at: time(found.end_time.as_ref()),
    })
}

pub(super) fn machine_type(place: &Place, found: sdk::MachineType) -> Result<MachineType, GceError> {
    Ok(MachineType {
        name: required(found.name, "machineTypes.get", "name")?,
        zone: zone_of(found.zone.as_ref(), place),
        guest_cpus: count(found.guest_cpus),
        memory_mb: u64::from(count(found.memory_mb)),
        architecture: match found.architecture {
            Some(sdk::machine_type::Architecture::Arm64) => Architecture::Arm,
            Some(_) | None => Architecture::X86,
        },
        accelerators: found
            .accelerators
            .iter()
            .map(|it| Accelerator {
                kind: short_of(it.guest_accelerator_type.as_ref()),
                count: count(it.guest_accelerator_count),
            })
            .collect(),
        maximum_persistent_disks: count(found.maximum_persistent_disks),
        shared_cpu: found.is_shared_cpu.unwrap_or_default(),
    })
}

pub(super) fn accelerator_type(place: &Place, found: sdk::AcceleratorType) -> Result<AcceleratorType, GceError> {
    Ok(AcceleratorType {
        name: required(found.name, "acceleratorTypes.get", "name")?,
        zone: zone_of(found.zone.as_ref(), place),
        maximum_cards_per_instance: count(found.maximum_cards_per_instance),
    })
}

pub(super) fn image(project: &str, found: sdk::Image) -> Result<ImageFacts, GceError> {
    let name = required(found.name, "images.get", "name")?;
    Ok(ImageFacts {
        link: format!("projects/{project}/global/images/{name}"),
        name,
        architecture: match found.architecture {
            Some(sdk::image::Architecture::Arm64) => Some(Architecture::Arm),
            Some(sdk::image::Architecture::X8664) => Some(Architecture::X86),
            Some(_) | None => None,
        },
        disk_size_gb: size(found.disk_size_gb),
    })
}

/// Quotas without a name or a limit are left out: one that is unknown means try.
pub(super) fn quotas(found: &[sdk::Quota]) -> Vec<Quota> {
    let quota = |it: &sdk::Quota| {
        let metric = it.metric.as_ref()?.name()?.to_owned();
        Some(Quota { metric, limit: it.limit?, usage: it.usage.unwrap_or_default() })
    };
    found.iter().filter_map(quota).collect()
}

/// The report among an instance's guest attributes: `Ok(None)` when the guest has not reported yet.
pub(super) fn guest_report(found: &sdk::GuestAttributes) -> Result<Option<GuestReport>, String> {
    let items = found.query_value.as_ref().map(|value| value.items.as_slice()).unwrap_or_default();
    let Some(text) = items.iter().find(|item| item.key.as_deref() == Some(REPORT_KEY)).and_then(|it| it.value.as_ref())
    else {
        return Ok(None);
    };
    let mut report: GuestReport =
        serde_json::from_str(text).map_err(|why| format!("the guest's report cannot be read: {why}"))?;
    if report.message.chars().count() > GUEST_MESSAGE_CHARS_MAX {
        report.message = report.message.chars().take(GUEST_MESSAGE_CHARS_MAX).collect();
    }
    Ok(Some(report))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> Place {
        Place::new("p", "us-central1-a")
    }

    #[test]
    fn an_instance_is_read_from_a_recorded_shape() {
        let zone = "https://www.googleapis.com/compute/v1/projects/p/zones/us-central1-a";
        let recorded = json!({"kind": "compute#instance", "id": "7", "name": "vm", "status": "TERMINATED",
            "zone": zone, "machineType": format!("{zone}/machineTypes/n1-standard-4"),
            "guestAccelerators": [{"acceleratorType": format!("{zone}/acceleratorTypes/nvidia-tesla-t4"),
                "acceleratorCount": 1}],
            "scheduling": {"onHostMaintenance": "TERMINATE"}, "labels": {"b": "2", "a": "1"},
            "labelFingerprint": "vezUS-42LLM=", "lastStartTimestamp": "2026-07-16T01:02:03.456-07:00",
            "metadata": {"fingerprint": "-uVLkYsBLbM=", "kind": "compute#metadata",
                "items": [{"key": "other", "value": "x"}, {"key": SETTINGS_KEY, "value": "not ours"}]},
            "networkInterfaces": [{"networkIP": "10.0.0.5"}],
            "disks": [{"boot": true, "autoDelete": true, "deviceName": "persistent-disk-0", "mode": "READ_WRITE",
                "source": format!("{zone}/disks/vm"), "type": "PERSISTENT", "diskSizeGb": "10"}]});
        let found =
            instance(&place(), serde_json::from_value(recorded).expect("the SDK reads it")).expect("we read it");
        assert_eq!(
            (found.id, found.status, found.machine_type.as_str()),
            (7, InstanceStatus::Stopped, "n1-standard-4")
        );
        assert_eq!(found.accelerators, [Accelerator { kind: "nvidia-tesla-t4".into(), count: 1 }]);
        assert_eq!(found.on_host_maintenance, Some(OnHostMaintenance::Terminate));
        assert_eq!(found.label_fingerprint.as_deref(), Some("vezUS-42LLM="));
        assert_eq!(found.metadata_fingerprint.as_deref(), Some("-uVLkYsBLbM="));
        assert_eq!((found.settings, found.metadata.len()), (None, 2));
        assert_eq!(found.address, Some("10.0.0.5".parse().expect("an address")));
        assert_eq!(found.last_start, Some("2026-07-16T08:02:03.456Z".parse().expect("a time")));
        assert_eq!((found.disks[0].disk.as_str(), found.disks[0].boot, found.disks[0].read_write), ("vm", true, true));
    }

    #[test]
    fn an_object_without_its_id_is_not_half_read() {
        let nameless: sdk::Disk =
            serde_json::from_value(json!({"name": "d", "sizeGb": "10"})).expect("the SDK reads it");
        assert!(disk(&place(), nameless).is_err());
    }

    #[test]
    fn an_operation_fails_only_when_it_is_over() {
        let mut recorded = json!({"name": "operation-1", "operationType": "insert", "status": "RUNNING",
            "clientOperationId": "6fa459ea-ee8a-5ca4-894e-db77e160355e", "insertTime": "2026-07-16T01:02:03Z",
            "targetLink": "https://x/projects/p/zones/z/instances/vm", "targetId": "9",
            "error": {"errors": [{"code": "QUOTA_EXCEEDED"}]}});
        let read = |value: &serde_json::Value| {
            let found: sdk::Operation = serde_json::from_value(value.clone()).expect("the SDK reads it");
            operation(&Scope::Zone(place()), &found).expect("we read it")
        };
        let running = read(&recorded);
        assert_eq!((running.status, running.error, running.target.as_str()), (OperationStatus::Running, None, "vm"));
        assert!(running.request_id.is_some());
        recorded["status"] = json!("DONE");
        let done = read(&recorded);
        assert!(done.status == OperationStatus::Done && done.error.is_some());
    }

    #[test]
    fn fingerprints_are_read_in_both_alphabets() {
        let bytes = fingerprint_bytes("-_8=").expect("URL-safe");
        assert_eq!(fingerprint_bytes("+/8="), Some(bytes.clone()));
        assert_eq!(fingerprint_text(&bytes), "-_8=");
        assert_eq!(fingerprint_bytes("not base64!"), None);
    }

    #[test]
    fn a_report_is_read_and_its_sentence_is_cut() {
        let attributes = |value: String| -> sdk::GuestAttributes {
            serde_json::from_value(json!({"queryPath": "rehost/report", "queryValue": {"items": [
                {"namespace": "rehost", "key": "report", "value": value}]}}))
            .expect("the SDK reads it")
        };
        let report = json!({"bootId": "b", "nonce": "n", "state": "Serving", "message": "x".repeat(10_000)});
        let read = guest_report(&attributes(report.to_string())).expect("readable").expect("there");
        assert_eq!((read.nonce.as_str(), read.message.len()), ("n", GUEST_MESSAGE_CHARS_MAX));
        assert!(guest_report(&attributes("{".to_owned())).is_err());
        assert_eq!(guest_report(&sdk::GuestAttributes::new()), Ok(None));
    }
}
