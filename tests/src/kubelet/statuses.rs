//! The parts of a pod's status.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::lifecycle::Life;

/// A condition as the kubelet writes it.
pub(super) fn condition(kind: &str, status: bool, reason: &str, message: &str, time: &str) -> Value {
    let mut out = json!({
        "type": kind,
        "status": if status { "True" } else { "False" },
        "lastTransitionTime": time,
    });
    if !reason.is_empty() {
        out["reason"] = json!(reason);
        out["message"] = json!(message);
    }
    out
}

/// The resources of each container as its spec has them.
pub(super) fn resources_of(pod: &Pod) -> Vec<Value> {
    let containers = pod.spec.iter().flat_map(|spec| spec.containers.iter());
    let value = |resources| serde_json::to_value(resources).unwrap_or_default();
    containers.map(|container| value(container.resources.clone().unwrap_or_default())).collect()
}

/// The status of each container, with the resources that it really has.
pub(super) fn container_statuses(pod: &Pod, life: &Life, ready: bool) -> Value {
    let containers = pod.spec.iter().flat_map(|spec| spec.containers.iter());
    let statuses = containers.zip(&life.resources).map(|(container, resources)| {
        let image = container.image.clone().unwrap_or_default();
        let mut status = json!({
            "name": container.name,
            "image": image,
            "imageID": format!("sha256:{image}"),
            "containerID": format!("containerd://{}/{}", pod.uid().unwrap_or_default(), container.name),
            "ready": ready,
            "started": true,
            "restartCount": 0,
            "state": {"running": {"startedAt": life.started}},
            "resources": resources,
        });
        if let Some(requests) = resources.get("requests") {
            status["allocatedResources"] = requests.clone();
        }
        status
    });
    statuses.collect()
}
