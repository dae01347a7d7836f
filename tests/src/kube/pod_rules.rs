//! What a pod must be, and what of it may change.

use serde_json::Value;

use super::quantity::Quantity;
use super::refusal::Fault;
use super::strategy::need;

/// The faults of a pod's spec.
pub fn pod_faults(spec: &Value, faults: &mut Vec<Fault>) {
    let containers = spec["containers"].as_array().cloned().unwrap_or_default();
    if containers.is_empty() {
        faults.push(Fault::required("spec.containers", ""));
    }
    let mut volumes: Vec<&str> = Vec::new();
    for (index, volume) in spec["volumes"].as_array().into_iter().flatten().enumerate() {
        let before = faults.len();
        one_of(volume, &VOLUME_SOURCES, &format!("spec.volumes[{index}]"), "volume type", faults);
        if faults.len() == before {
            volumes.extend(volume["name"].as_str());
        }
    }
    for (index, container) in containers.iter().enumerate() {
        let path = format!("spec.containers[{index}]");
        need(container, "/name", &format!("{path}.name"), "", faults);
        need(container, "/image", &format!("{path}.image"), "", faults);
        for (mount_index, mount) in container["volumeMounts"].as_array().into_iter().flatten().enumerate() {
            let name = mount["name"].as_str().unwrap_or("");
            if !volumes.contains(&name) {
                faults.push(Fault {
                    reason: "FieldValueNotFound",
                    field: format!("{path}.volumeMounts[{mount_index}].name"),
                    message: format!("Not found: {name:?}"),
                });
            }
        }
        over_limit(&container["resources"], &path, faults);
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            one_of(&container[probe], &HANDLERS, &format!("{path}.{probe}"), "handler type", faults);
        }
    }
}

/// In the order in which the real server looks at them.
const VOLUME_SOURCES: [&str; 8] =
    ["emptyDir", "hostPath", "secret", "persistentVolumeClaim", "configMap", "downwardAPI", "projected", "csi"];
const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];

/// Of several ways to say where something comes from, the first counts and the others are too many.
fn one_of(object: &Value, choices: &[&str], path: &str, what: &str, faults: &mut Vec<Fault>) {
    for extra in choices.iter().filter(|choice| object.get(**choice).is_some()).skip(1) {
        let why = format!("may not specify more than 1 {what}");
        faults.push(Fault::forbidden(&format!("{path}.{extra}"), &why));
    }
}

fn over_limit(resources: &Value, path: &str, faults: &mut Vec<Fault>) {
    let amount = |value: &Value| value.as_str().and_then(Quantity::parse).map(|quantity| quantity.milli());
    for (name, request) in resources["requests"].as_object().into_iter().flatten() {
        let limit = &resources["limits"][name];
        if let (Some(asked), Some(most)) = (amount(request), amount(limit))
            && asked > most
        {
            let why = format!("must be less than or equal to {name} limit of {}", limit.as_str().unwrap_or(""));
            faults.push(Fault::invalid(&format!("{path}.resources.requests"), request, &why));
        }
    }
}

const POD_UPDATE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// What may not change through the main endpoint.
pub fn pod_update_faults(new: &Value, old: &Value, faults: &mut Vec<Fault>) {
    let count = |spec: &Value| spec["containers"].as_array().map_or(0, Vec::len);
    if count(new) != count(old) {
        faults.push(Fault::forbidden("spec.containers", "pod updates may not add or remove containers"));
        return;
    }
    toleration_faults(new, old, faults);
    if without_mutable(new) != without_mutable(old) {
        faults.push(Fault::forbidden("spec", POD_UPDATE));
    }
}

/// Tolerations may be added, and an existing one may last longer or shorter.
fn toleration_faults(new: &Value, old: &Value, faults: &mut Vec<Fault>) {
    let list = |spec: &Value| -> Vec<Value> {
        let mut list = spec["tolerations"].as_array().cloned().unwrap_or_default();
        for toleration in &mut list {
            remove(toleration, "tolerationSeconds");
        }
        list
    };
    let now = list(new);
    if list(old).iter().any(|toleration| !now.contains(toleration)) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        faults.push(Fault::forbidden("spec.tolerations", why));
    }
}

/// A pod's spec without what may change through the main endpoint.
fn without_mutable(spec: &Value) -> Value {
    let mut spec = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            remove(container, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations"] {
        remove(&mut spec, field);
    }
    spec
}

fn remove(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}
