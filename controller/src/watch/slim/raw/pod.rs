//! The parts of a pod that are decoded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rehost_api::labels;
use serde::Deserialize;

use super::super::quantity::{bytes, millis};
use super::super::{BUCKET_DRIVER, ContainerWaits, PodPhase, PodRole, PodSeen, Resize, Resources, Scheduled};
use super::{Amounts, RawAmounts, RawWaiting, is_owned, label, name, namespace, slim};

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawCondition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawContainer {
    name: String,
    resources: RawAmounts,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawTerminated {
    exit_code: i32,
    reason: String,
    message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawState {
    waiting: Option<RawWaiting>,
    terminated: Option<RawTerminated>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawContainerStatus {
    name: String,
    restart_count: u32,
    resources: Option<RawAmounts>,
    state: RawState,
    last_state: RawState,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawInlineCsi {
    driver: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawPodVolume {
    csi: Option<RawInlineCsi>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPodSpec {
    node_name: Option<String>,
    containers: Vec<RawContainer>,
    volumes: Vec<RawPodVolume>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawPodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    conditions: Vec<RawCondition>,
    container_statuses: Vec<RawContainerStatus>,
    init_container_statuses: Vec<RawContainerStatus>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::watch::slim) struct RawPod {
    metadata: ObjectMeta,
    spec: RawPodSpec,
    status: RawPodStatus,
}

impl From<RawPod> for PodSeen {
    fn from(raw: RawPod) -> Self {
        let RawPod { metadata, spec, status } = raw;
        let inline = spec.volumes.iter().filter_map(|volume| volume.csi.as_ref());
        let mounts_buckets = inline.into_iter().any(|csi| csi.driver == BUCKET_DRIVER);
        let container = spec.containers.into_iter().find(|container| container.name == "notebook").unwrap_or_default();
        let running = status.container_statuses.into_iter().find(|container| container.name == "notebook");
        let running = running.unwrap_or_default();
        let check = status.init_container_statuses.into_iter().find(|container| container.name == "check");
        let ended_badly = check.and_then(ended_badly);
        Self {
            name: name(&metadata),
            namespace: namespace(&metadata),
            uid: metadata.uid.clone().unwrap_or_default(),
            owned: is_owned(&metadata),
            notebook_uid: label(&metadata, labels::UID),
            role: if label(&metadata, labels::ROLE) == "placeholder" { PodRole::Placeholder } else { PodRole::Host },
            transition: label(&metadata, labels::TRANSITION),
            phase: match status.phase.as_str() {
                "" | "Pending" => PodPhase::Pending,
                "Running" => PodPhase::Running,
                "Succeeded" => PodPhase::Succeeded,
                "Failed" => PodPhase::Failed,
                _ => PodPhase::Unknown,
            },
            ready: condition(&status.conditions, "Ready").is_some_and(|it| it.status == "True"),
            deleting: metadata.deletion_timestamp.is_some(),
            node: spec.node_name,
            address: status.pod_ip.and_then(|text| text.parse().ok()),
            scheduled: scheduled(&status.conditions),
            requests: resources(&container.resources.requests).unwrap_or(Resources { cpu_milli: 0, memory_bytes: 0 }),
            granted: running.resources.and_then(|amounts| resources(&amounts.requests)),
            resize: resize(&status.conditions),
            mounts_buckets,
            refusal: ended_badly.as_ref().and_then(|ended| serde_json::from_str(&ended.message).ok()),
            waiting: match (ended_badly, running.state.waiting) {
                (Some(ended), _) => Some(check_waits(ended)),
                (None, waiting) => {
                    waiting.map(|waiting| ContainerWaits { reason: waiting.reason, message: waiting.message })
                }
            },
            restarts: running.restart_count,
            created_at: metadata.creation_timestamp.as_ref().map(|time| time.0),
            metadata: slim(&metadata),
        }
    }
}

/// How the check of the disk ended, where it did not end well and is not being tried again just now.
fn ended_badly(check: RawContainerStatus) -> Option<RawTerminated> {
    let RawContainerStatus { state, last_state, .. } = check;
    let waits = state.waiting.is_some();
    state.terminated.or_else(|| last_state.terminated.filter(|_| waits)).filter(|ended| ended.exit_code != 0)
}

fn check_waits(ended: RawTerminated) -> ContainerWaits {
    let RawTerminated { exit_code, reason, message } = ended;
    ContainerWaits { reason, message: format!("the check of the home disk ended with {exit_code}: {message}") }
}

fn condition<'a>(conditions: &'a [RawCondition], kind: &str) -> Option<&'a RawCondition> {
    conditions.iter().find(|condition| condition.r#type == kind)
}

fn scheduled(conditions: &[RawCondition]) -> Scheduled {
    match condition(conditions, "PodScheduled") {
        Some(it) if it.status == "True" => Scheduled::Yes,
        Some(it) if it.status == "False" => Scheduled::No { reason: it.reason.clone(), message: it.message.clone() },
        Some(_) | None => Scheduled::Unknown,
    }
}

fn resize(conditions: &[RawCondition]) -> Resize {
    let holds = |kind: &str| condition(conditions, kind).filter(|it| it.status == "True");
    if let Some(pending) = holds("PodResizePending") {
        let message = pending.message.clone();
        return if pending.reason == "Infeasible" {
            Resize::Infeasible { message }
        } else {
            Resize::Deferred { message }
        };
    }
    match holds("PodResizeInProgress") {
        Some(it) if it.reason == "Error" => Resize::Error { message: it.message.clone() },
        Some(_) => Resize::InProgress,
        None => Resize::None,
    }
}

fn resources(amounts: &Amounts) -> Option<Resources> {
    Some(Resources { cpu_milli: millis(amounts.get("cpu")?)?, memory_bytes: bytes(amounts.get("memory")?)? })
}
