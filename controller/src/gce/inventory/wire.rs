//! The lists' JSON, cut to what is read of it. `fields` asks for no more than these structs have.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::gce::convert;
use crate::gce::errors::GceError;
use crate::gce::model::{Accelerator, AttachedDisk, Disk, Instance, InstanceStatus, OnHostMaintenance, short};
use crate::gce::mutation::Place;

/// What is asked for of each instance.
pub(super) const INSTANCE_FIELDS: &str = "name,id,zone,status,machineType,guestAccelerators,scheduling/onHostMaintenance,\
     labels,labelFingerprint,metadata/fingerprint,disks(deviceName,source,boot,autoDelete,mode),\
     networkInterfaces/networkIP,lastStartTimestamp,lastStopTimestamp,creationTimestamp";
/// What is asked for of each disk.
pub(super) const DISK_FIELDS: &str = "name,id,zone,sizeGb,type,status,labels,labelFingerprint,users";
/// What is asked for of each page, beside its objects.
pub(super) const PAGE_FIELDS: &str = "items/*/warning/code,warning/code,unreachables,nextPageToken";

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Page {
    pub(super) items: BTreeMap<String, Scope>,
    pub(super) unreachables: Vec<String>,
    pub(super) warning: Option<Warning>,
    pub(super) next_page_token: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Scope {
    pub(super) instances: Vec<RawInstance>,
    pub(super) disks: Vec<RawDisk>,
    pub(super) warning: Option<Warning>,
}

#[derive(Deserialize)]
pub(super) struct Warning {
    code: Option<String>,
}

impl Warning {
    /// What is missing from the list, if the warning is of that kind. Every zone without an object of ours says
    /// `NO_RESULTS_ON_PAGE`; a word that we do not know is taken for the worst.
    pub(super) fn missing(self) -> Option<String> {
        self.code.filter(|code| code != "NO_RESULTS_ON_PAGE")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawInstance {
    name: String,
    #[serde(deserialize_with = "number")]
    id: u64,
    zone: Option<String>,
    #[serde(default)]
    status: String,
    #[serde(default)]
    machine_type: String,
    #[serde(default)]
    guest_accelerators: Vec<RawAccelerator>,
    scheduling: Option<RawScheduling>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    label_fingerprint: Option<String>,
    metadata: Option<RawMetadata>,
    #[serde(default)]
    disks: Vec<RawAttachedDisk>,
    #[serde(default)]
    network_interfaces: Vec<RawInterface>,
    last_start_timestamp: Option<String>,
    last_stop_timestamp: Option<String>,
    creation_timestamp: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAccelerator {
    accelerator_type: String,
    accelerator_count: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawScheduling {
    on_host_maintenance: Option<String>,
}

#[derive(Deserialize)]
struct RawMetadata {
    fingerprint: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAttachedDisk {
    #[serde(default)]
    device_name: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    boot: bool,
    #[serde(default)]
    auto_delete: bool,
    mode: Option<String>,
}

#[derive(Deserialize)]
struct RawInterface {
    #[serde(rename = "networkIP")]
    network_ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawDisk {
    name: String,
    #[serde(deserialize_with = "number")]
    id: u64,
    zone: Option<String>,
    #[serde(default, deserialize_with = "number")]
    size_gb: u64,
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    label_fingerprint: Option<String>,
    #[serde(default)]
    users: Vec<String>,
}

/// A 64-bit number, which JSON of this API has as a string.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Text(String),
        Plain(u64),
    }
    match Number::deserialize(deserializer)? {
        Number::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Number::Plain(number) => Ok(number),
    }
}

/// A fingerprint in the alphabet that [`convert`] uses, so that lists and single reads agree.
fn fingerprint(text: Option<String>) -> Result<Option<String>, GceError> {
    let Some(text) = text else { return Ok(None) };
    match convert::fingerprint_bytes(&text) {
        Some(bytes) => Ok(Some(convert::fingerprint_text(&bytes))),
        None => Err(GceError::unreadable("a list", format!("the fingerprint {text} is not base64"))),
    }
}

fn zone(link: Option<&String>, place: &Place) -> String {
    link.map_or_else(|| place.zone.clone(), |link| short(link).to_owned())
}

impl RawInstance {
    pub(super) fn read(self, place: &Place) -> Result<Instance, GceError> {
        Ok(Instance {
            zone: zone(self.zone.as_ref(), place),
            name: self.name,
            id: self.id,
            status: InstanceStatus::parse(&self.status),
            machine_type: short(&self.machine_type).to_owned(),
            accelerators: self
                .guest_accelerators
                .into_iter()
                .map(|it| Accelerator { kind: short(&it.accelerator_type).to_owned(), count: it.accelerator_count })
                .collect(),
            on_host_maintenance: match self.scheduling.and_then(|it| it.on_host_maintenance).as_deref() {
                Some("MIGRATE") => Some(OnHostMaintenance::Migrate),
                Some("TERMINATE") => Some(OnHostMaintenance::Terminate),
                Some(_) | None => None,
            },
            labels: self.labels,
            label_fingerprint: fingerprint(self.label_fingerprint)?,
            metadata_fingerprint: fingerprint(self.metadata.and_then(|it| it.fingerprint))?,
            settings: None,
            metadata: BTreeMap::new(),
            disks: self.disks.into_iter().map(RawAttachedDisk::read).collect(),
            address: self.network_interfaces.iter().find_map(|it| it.network_ip.as_ref()?.parse().ok()),
            last_start: convert::time(self.last_start_timestamp.as_ref()),
            last_stop: convert::time(self.last_stop_timestamp.as_ref()),
            created: convert::time(self.creation_timestamp.as_ref()),
        })
    }
}

impl RawAttachedDisk {
    fn read(self) -> AttachedDisk {
        AttachedDisk {
            device_name: self.device_name,
            disk: short(&self.source).to_owned(),
            boot: self.boot,
            auto_delete: self.auto_delete,
            read_write: self.mode.as_deref() != Some("READ_ONLY"),
        }
    }
}

impl RawDisk {
    pub(super) fn read(self, place: &Place) -> Result<Disk, GceError> {
        Ok(Disk {
            zone: zone(self.zone.as_ref(), place),
            name: self.name,
            id: self.id,
            size_gb: self.size_gb,
            disk_type: short(&self.r#type).to_owned(),
            ready: self.status == "READY",
            labels: self.labels,
            label_fingerprint: fingerprint(self.label_fingerprint)?,
            users: self.users.iter().map(|link| short(link).to_owned()).collect(),
        })
    }
}
