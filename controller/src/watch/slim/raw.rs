//! The parts of the API's own JSON that are decoded, and how they become ours.

mod pod;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rehost_api::labels;
use serde::Deserialize;

use super::quantity::bytes;
use super::{AttachmentSeen, ClaimSeen, NamespaceSeen, ServiceSeen, SettingsSeen, SliceSeen, VolumeSeen};

pub(super) use pod::RawPod;

type Amounts = BTreeMap<String, String>;

/// What is kept of an object's metadata.
fn slim(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectMeta::default()
    }
}

fn label(metadata: &ObjectMeta, key: &str) -> String {
    metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned().unwrap_or_default()
}

fn is_owned(metadata: &ObjectMeta) -> bool {
    let uid = label(metadata, labels::UID);
    metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid && owner.kind == "Notebook")
}

fn name(metadata: &ObjectMeta) -> String {
    metadata.name.clone().unwrap_or_default()
}

fn namespace(metadata: &ObjectMeta) -> String {
    metadata.namespace.clone().unwrap_or_default()
}

fn gigabytes(amounts: &Amounts) -> Option<u64> {
    amounts.get("storage").and_then(|text| bytes(text)).map(|bytes| bytes >> 30)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAmounts {
    requests: Amounts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawWaiting {
    reason: String,
    message: String,
}

impl SettingsSeen {
    /// From the metadata of a ConfigMap.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            name: name(metadata),
            namespace: namespace(metadata),
            uid: metadata.uid.clone().unwrap_or_default(),
            notebook_uid: label(metadata, labels::UID),
            told: metadata.annotations.as_ref().and_then(|annotations| annotations.get(labels::OFFER)).cloned(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPort {
    name: String,
    port: u16,
    target_port: serde_json::Value,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawServiceSpec {
    ports: Vec<RawPort>,
    selector: Option<Amounts>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawService {
    metadata: ObjectMeta,
    spec: RawServiceSpec,
}

impl From<RawService> for ServiceSeen {
    fn from(raw: RawService) -> Self {
        let target =
            |port: &RawPort| port.target_port.as_u64().and_then(|it| u16::try_from(it).ok()).unwrap_or(port.port);
        Self {
            name: name(&raw.metadata),
            namespace: namespace(&raw.metadata),
            notebook_uid: label(&raw.metadata, labels::UID),
            owned: is_owned(&raw.metadata),
            ports: raw.spec.ports.iter().map(|port| (port.name.clone(), port.port, target(port))).collect(),
            has_selector: raw.spec.selector.is_some_and(|selector| !selector.is_empty()),
            metadata: slim(&raw.metadata),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawEndpointConditions {
    ready: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawEndpoint {
    addresses: Vec<String>,
    conditions: RawEndpointConditions,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawSlicePort {
    port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawSlice {
    metadata: ObjectMeta,
    // The API server writes null for an empty list.
    endpoints: Option<Vec<RawEndpoint>>,
    ports: Option<Vec<RawSlicePort>>,
}

impl From<RawSlice> for SliceSeen {
    fn from(raw: RawSlice) -> Self {
        let endpoint = |endpoint: &RawEndpoint| {
            let address = endpoint.addresses.first()?.parse().ok()?;
            Some((address, endpoint.conditions.ready.unwrap_or(true)))
        };
        Self {
            name: name(&raw.metadata),
            namespace: namespace(&raw.metadata),
            notebook_uid: label(&raw.metadata, labels::UID),
            owned: is_owned(&raw.metadata),
            service: label(&raw.metadata, "kubernetes.io/service-name"),
            endpoints: raw.endpoints.unwrap_or_default().iter().filter_map(endpoint).collect(),
            ports: raw.ports.unwrap_or_default().iter().filter_map(|port| port.port).collect(),
            metadata: slim(&raw.metadata),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawReference {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawCsi {
    volume_handle: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawVolumeSpec {
    capacity: Amounts,
    claim_ref: Option<RawReference>,
    persistent_volume_reclaim_policy: String,
    csi: RawCsi,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPhase {
    phase: String,
    capacity: Amounts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawVolume {
    metadata: ObjectMeta,
    spec: RawVolumeSpec,
    status: RawPhase,
}

impl From<RawVolume> for VolumeSeen {
    fn from(raw: RawVolume) -> Self {
        Self {
            name: name(&raw.metadata),
            notebook_uid: label(&raw.metadata, labels::UID),
            handle: raw.spec.csi.volume_handle,
            claim: raw.spec.claim_ref.map(|claim| (claim.namespace, claim.name)),
            reclaim_policy: raw.spec.persistent_volume_reclaim_policy,
            phase: raw.status.phase,
            capacity_gb: gigabytes(&raw.spec.capacity).unwrap_or(0),
            deleting: raw.metadata.deletion_timestamp.is_some(),
            metadata: slim(&raw.metadata),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawClaimSpec {
    volume_name: Option<String>,
    resources: RawAmounts,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawClaim {
    metadata: ObjectMeta,
    spec: RawClaimSpec,
    status: RawPhase,
}

impl From<RawClaim> for ClaimSeen {
    fn from(raw: RawClaim) -> Self {
        Self {
            name: name(&raw.metadata),
            namespace: namespace(&raw.metadata),
            notebook_uid: label(&raw.metadata, labels::UID),
            volume: raw.spec.volume_name.filter(|volume| !volume.is_empty()),
            phase: raw.status.phase,
            requested_gb: gigabytes(&raw.spec.resources.requests).unwrap_or(0),
            capacity_gb: gigabytes(&raw.status.capacity),
            deleting: raw.metadata.deletion_timestamp.is_some(),
            metadata: slim(&raw.metadata),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawAttachmentSource {
    persistent_volume_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawAttachmentSpec {
    node_name: String,
    source: RawAttachmentSource,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawAttachmentStatus {
    attached: bool,
    attach_error: Option<RawWaiting>,
    detach_error: Option<RawWaiting>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawAttachment {
    metadata: ObjectMeta,
    spec: RawAttachmentSpec,
    status: RawAttachmentStatus,
}

impl From<RawAttachment> for AttachmentSeen {
    fn from(raw: RawAttachment) -> Self {
        Self {
            name: name(&raw.metadata),
            volume: raw.spec.source.persistent_volume_name,
            node: raw.spec.node_name,
            attached: raw.status.attached,
            error: raw.status.attach_error.or(raw.status.detach_error).map(|error| error.message),
            deleting: raw.metadata.deletion_timestamp.is_some(),
            metadata: slim(&raw.metadata),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RawNamespace {
    metadata: ObjectMeta,
}

impl From<RawNamespace> for NamespaceSeen {
    fn from(raw: RawNamespace) -> Self {
        let mut metadata = slim(&raw.metadata);
        metadata.labels.clone_from(&raw.metadata.labels);
        Self { name: name(&raw.metadata), terminating: raw.metadata.deletion_timestamp.is_some(), metadata }
    }
}
