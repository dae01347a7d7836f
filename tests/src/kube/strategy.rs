//! What each kind does to its objects before they are stored, and what it refuses.
//!
//! Built-in kinds are checked only for what a controller can get wrong with the fields it uses: required fields,
//! immutable ones and references. The full validation of, say, a pod is not modelled.

use serde_json::{Map, Value, json};

use super::defaults::qos_class;
use super::events::{event_faults, event_update_faults, new_event_faults};
use super::kinds::Kind;
use super::pod_rules::{pod_faults, pod_update_faults};
use super::quantity::Quantity;
use super::refusal::Fault;
use super::validate::{changeable_meta, custom, meta_update, name_rule, object_meta};

/// A fresh object: status wiped, generation 1, kind-specific fields set.
pub fn prepare_create(kind: &Kind, object: &mut Value, now: &str) {
    if kind.custom && kind.has_status {
        remove(object, "status");
        if let Some(default) = first_status(kind) {
            object["status"] = default;
        }
    }
    if kind.generation {
        object["metadata"]["generation"] = json!(1);
    } else if !kind.custom
        && let Some(metadata) = object["metadata"].as_object_mut()
    {
        metadata.remove("generation");
    }
    match kind.resource.as_str() {
        _ if kind.custom => {}
        "pods" => {
            let qos = qos_class(&object["spec"]);
            object["status"] = json!({"phase": "Pending", "qosClass": qos});
        }
        "persistentvolumes" => object["status"] = json!({"phase": "Pending", "lastPhaseTransitionTime": now}),
        "persistentvolumeclaims" => object["status"] = json!({"phase": "Pending"}),
        "services" => object["status"] = json!({"loadBalancer": {}}),
        "volumeattachments" => object["status"] = json!({"attached": false}),
        "namespaces" => {
            object["status"] = json!({"phase": "Active"});
            object["spec"] = json!({"finalizers": ["kubernetes"]});
        }
        _ => {}
    }
}

/// The status that a custom object is read with before anybody has written one: the schema's default.
pub fn first_status(kind: &Kind) -> Option<Value> {
    let status = kind.schema.field("status").filter(|_| kind.custom && kind.has_status)?;
    status.shape().default.clone()
}

fn remove(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}

fn copy(new: &mut Value, old: &Value, field: &str) {
    match old.get(field) {
        Some(value) => new[field] = value.clone(),
        None => remove(new, field),
    }
}

/// A write through the main endpoint: status stays, and the generation follows the content.
pub fn prepare_update(kind: &Kind, new: &mut Value, old: &Value) {
    if kind.has_status {
        copy(new, old, "status");
    }
    if kind.is("namespaces") {
        copy(new, old, "spec");
    }
    if kind.is("services") {
        keep_cluster_ip(&mut new["spec"], &old["spec"]);
    }
    // Priority classes have a generation that never moves.
    if kind.generation && !kind.is("priorityclasses") && content(new) != content(old) {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
        new["metadata"]["generation"] = json!(generation + 1);
    }
    if kind.is("endpointslices") && new["metadata"].get("labels") != old["metadata"].get("labels") {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
        new["metadata"]["generation"] = json!(generation + 1);
    }
}

/// A PUT that leaves out what the server allocated keeps it.
fn keep_cluster_ip(new: &mut Value, old: &Value) {
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if new.get(field).is_none_or(|value| value.is_null() || *value == "") {
            copy(new, old, field);
        }
    }
    if new["clusterIP"] != old["clusterIP"] && new["clusterIPs"] == old["clusterIPs"] {
        new["clusterIPs"] = json!([new["clusterIP"]]);
    }
}

/// Everything but metadata and status.
fn content(object: &Value) -> Map<String, Value> {
    let object = object.as_object().cloned().unwrap_or_default();
    object.into_iter().filter(|(key, _)| key != "metadata" && key != "status").collect()
}

/// A write through the status endpoint: all but status stays (built-in kinds let metadata through).
pub fn prepare_status(kind: &Kind, new: &mut Value, old: &Value, now: &str) {
    if kind.custom {
        let managed = new["metadata"].get("managedFields").cloned();
        let version = new["metadata"].get("resourceVersion").cloned();
        let status = new.get("status").cloned();
        *new = old.clone();
        match status {
            Some(status) => new["status"] = status,
            None => remove(new, "status"),
        }
        remove(&mut new["metadata"], "managedFields");
        restore(new, "managedFields", managed);
        restore(new, "resourceVersion", version);
        return;
    }
    for field in content(new).into_iter().map(|(key, _)| key).chain(content(old).into_iter().map(|(key, _)| key)) {
        copy(new, old, &field);
    }
    match kind.resource.as_str() {
        "pods" => {
            copy(&mut new["metadata"], &old["metadata"], "ownerReferences");
            copy(&mut new["metadata"], &old["metadata"], "deletionTimestamp");
            copy(&mut new["status"], &old["status"], "qosClass");
        }
        "persistentvolumes" => {
            let (after, before) = (&new["status"], &old["status"]);
            let moved = after["phase"] != before["phase"];
            let stamped = after.get("lastPhaseTransitionTime");
            if moved && (stamped.is_none() || stamped == before.get("lastPhaseTransitionTime")) {
                new["status"]["lastPhaseTransitionTime"] = json!(now);
            } else if stamped.is_none() {
                copy(&mut new["status"], &old["status"], "lastPhaseTransitionTime");
            }
        }
        "volumeattachments" => {
            for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
                copy(&mut new["metadata"], &old["metadata"], field);
            }
        }
        _ => {}
    }
}

fn restore(object: &mut Value, field: &str, value: Option<Value>) {
    if let Some(value) = value {
        object["metadata"][field] = value;
    }
}

/// The faults of an object that is to be created.
pub fn create_faults(kind: &Kind, object: &Value) -> Vec<Fault> {
    let mut faults = object_meta(object, name_rule(kind.custom, &kind.resource));
    if kind.custom {
        faults.extend(custom(object, &kind.schema));
    } else {
        built_in_faults(kind, object, &mut faults);
    }
    faults
}

/// The faults of a change.
pub fn update_faults(kind: &Kind, new: &Value, old: &Value, subresource: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if kind.resource == "events" && !kind.custom {
        event_faults(new, &kind.group, &mut faults);
        if !kind.group.is_empty() {
            event_update_faults(new, old, &mut faults);
        }
    }
    meta_update(new, old, &mut faults);
    changeable_meta(new, &mut faults);
    if kind.custom {
        faults.extend(custom(new, &kind.schema));
        return faults;
    }
    if subresource.is_empty() && kind.resource != "events" {
        built_in_faults(kind, new, &mut faults);
        immutable_faults(kind, new, old, &mut faults);
    }
    faults
}

pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

pub(super) fn need(object: &Value, pointer: &str, field: &str, why: &str, faults: &mut Vec<Fault>) {
    if text(object, pointer).is_empty() {
        faults.push(Fault::required(field, why));
    }
}

fn built_in_faults(kind: &Kind, object: &Value, faults: &mut Vec<Fault>) {
    match kind.resource.as_str() {
        "pods" => pod_faults(&object["spec"], faults),
        "persistentvolumeclaims" => {
            if object["spec"]["accessModes"].as_array().is_none_or(Vec::is_empty) {
                faults.push(Fault::required("spec.accessModes", "at least 1 access mode is required"));
            }
            if object.pointer("/spec/resources/requests/storage").is_none() {
                faults.push(Fault::required("spec.resources[storage]", ""));
            }
        }
        "persistentvolumes" => {
            if object["spec"]["accessModes"].as_array().is_none_or(Vec::is_empty) {
                faults.push(Fault::required("spec.accessModes", ""));
            }
            if object["spec"]["capacity"].as_object().is_none_or(Map::is_empty) {
                faults.push(Fault::required("spec.capacity", ""));
            }
        }
        "volumeattachments" => {
            need(object, "/spec/attacher", "spec.attacher", "", faults);
            need(object, "/spec/nodeName", "spec.nodeName", "", faults);
        }
        "events" => {
            event_faults(object, &kind.group, faults);
            if !kind.group.is_empty() {
                new_event_faults(object, faults);
            }
        }
        "services"
            if object["spec"]["clusterIP"] != "None"
                && object["spec"]["ports"].as_array().is_none_or(Vec::is_empty) =>
        {
            faults.push(Fault::required("spec.ports", ""));
        }
        "storageclasses" => need(object, "/provisioner", "provisioner", "", faults),
        "endpointslices" => need(object, "/addressType", "addressType", "", faults),
        _ => {}
    }
}

const CLAIM_UPDATE: &str =
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

fn immutable_faults(kind: &Kind, new: &Value, old: &Value, faults: &mut Vec<Fault>) {
    let changed = |pointer: &str| new.pointer(pointer) != old.pointer(pointer);
    match kind.resource.as_str() {
        "pods" => {
            pod_update_faults(&new["spec"], &old["spec"], faults);
        }
        "persistentvolumeclaims" => claim_update_faults(&new["spec"], old, faults),
        "persistentvolumes" => {
            if changed("/spec/csi") {
                let message = "spec.persistentvolumesource is immutable after creation";
                faults.push(Fault::forbidden("spec.persistentvolumesource", message));
            }
            if changed("/spec/nodeAffinity") && old["spec"].get("nodeAffinity").is_some() {
                let why = "field is immutable, except for updating from beta label to GA";
                let value = new["spec"].get("nodeAffinity").cloned().unwrap_or_default();
                faults.push(Fault::invalid("nodeAffinity", &value, why));
            }
        }
        "nodes" if changed("/spec/providerID") && !text(old, "/spec/providerID").is_empty() => {
            let why = "node updates may not change providerID except from \"\" to valid";
            faults.push(Fault::forbidden("spec.providerID", why));
        }
        "volumeattachments" if changed("/spec") => {
            faults.push(Fault::invalid("spec", &new["spec"], "field is immutable"));
        }
        "endpointslices" if changed("/addressType") => {
            faults.push(Fault::invalid("addressType", &new["addressType"], "field is immutable"));
        }
        "secrets" if changed("/type") => {
            faults.push(Fault::invalid("type", &new["type"], "field is immutable"));
        }
        "storageclasses" => {
            for field in ["volumeBindingMode", "reclaimPolicy"] {
                if new.get(field) != old.get(field) {
                    faults.push(Fault::invalid(field, &new[field], "field is immutable"));
                }
            }
            if changed("/parameters") {
                faults.push(Fault::invalid("parameters", &new["parameters"], "field is immutable"));
            }
            if changed("/provisioner") {
                faults.push(Fault::invalid("provisioner", &new["provisioner"], "field is immutable"));
            }
        }
        "priorityclasses" => {
            if changed("/value") {
                faults.push(Fault::forbidden("value", "may not be changed in an update."));
            }
            if changed("/preemptionPolicy") {
                faults.push(Fault::invalid("preemptionPolicy", &new["preemptionPolicy"], "field is immutable"));
            }
        }
        "services" if changed("/spec/clusterIP") => {
            let why = "may not change once set";
            faults.push(Fault::invalid("spec.clusterIPs[0]", &new["spec"]["clusterIPs"], why));
        }
        _ => {}
    }
}

fn claim_update_faults(new: &Value, old: &Value, faults: &mut Vec<Fault>) {
    let size = |spec: &Value| {
        spec.pointer("/resources/requests/storage").and_then(Value::as_str).and_then(Quantity::parse).map(|q| q.whole())
    };
    let classed = new.get("storageClassName").is_some();
    let unclassed = old["spec"].get("storageClassName").is_none();
    let strip = |spec: &Value| {
        let mut spec = spec.as_object().cloned().unwrap_or_default();
        if unclassed && classed {
            spec.remove("storageClassName");
        }
        spec.remove("resources");
        spec.remove("volumeName");
        spec
    };
    let bound = old["status"]["phase"] == "Bound";
    let capacity = old.pointer("/status/capacity/storage").and_then(Value::as_str).and_then(Quantity::parse);
    let capacity = capacity.map_or(0, |capacity| capacity.whole());
    let old = &old["spec"];
    let bind = old.get("volumeName").is_none();
    let moved = !bind && new.get("volumeName") != old.get("volumeName");
    let resized = new.get("resources") != old.get("resources");
    if strip(new) != strip(old) || moved || (resized && !bound) {
        faults.push(Fault::forbidden("spec", CLAIM_UPDATE));
    }
    if let (Some(after), Some(before)) = (size(new), size(old))
        && after < before
        && after <= capacity
    {
        let why = "field can not be less than status.capacity";
        faults.push(Fault::forbidden("spec.resources.requests.storage", why));
    }
}
