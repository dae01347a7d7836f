//! The subresources of pods: binding, eviction, resize.

use serde_json::{Value, json};

use super::defaults::qos_class;
use super::kinds::Kind;
use super::refusal::{About, Fault, Refusal};
use super::request::Request;
use super::state::{Answer, State};

fn success() -> Answer {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Answer::Json { code: 201, body }
}

impl State {
    /// A scheduler's word: the pod goes to a node.
    pub fn bind(&mut self, kind: &Kind, request: &Request) -> Result<Answer, Refusal> {
        let target = State::target(kind, request);
        let Some(mut pod) = self.load(&target) else { return Err(Refusal::not_found(&target.about())) };
        let body = request.json().unwrap_or(Value::Null);
        let node = body["target"]["name"].as_str().unwrap_or("");
        let about = About { resource: "pods/binding", ..target.about() };
        if pod["metadata"].get("deletionTimestamp").is_some() {
            let why = format!("pod {} is being deleted, cannot be assigned to a host", target.key.1);
            return Err(Refusal::conflict(&about, &why));
        }
        if let Some(other) = pod["spec"]["nodeName"].as_str().filter(|other| !other.is_empty()) {
            let why = format!("pod {} is already assigned to node {other:?}", target.key.1);
            return Err(Refusal::conflict(&about, &why));
        }
        pod["spec"]["nodeName"] = json!(node);
        let scheduled = json!({
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": null,
            "lastTransitionTime": self.time(),
        });
        set_condition(&mut pod["status"], scheduled);
        self.save(&target, pod);
        Ok(success())
    }

    /// A polite deletion. Disruption budgets are not modelled.
    pub fn evict(&mut self, kind: &Kind, request: &Request) -> Result<Answer, Refusal> {
        let target = State::target(kind, request);
        let Some(mut pod) = self.load(&target) else { return Err(Refusal::not_found(&target.about())) };
        let evicting = json!({
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastProbeTime": null,
            "lastTransitionTime": self.time(),
        });
        set_condition(&mut pod["status"], evicting);
        self.save(&target, pod);
        let mut deletion = request.clone();
        let body = request.json().unwrap_or(Value::Null);
        let options = body.get("deleteOptions").or_else(|| body.get("delete_options")).cloned().unwrap_or(json!({}));
        deletion.body = serde_json::to_vec(&options).unwrap_or_default().into();
        deletion.subresource = None;
        self.delete(kind, &deletion)?;
        Ok(success())
    }
}

/// Puts a condition in the place of the one of its type.
pub fn set_condition(status: &mut Value, condition: Value) {
    let list = status.as_object_mut().map(|status| status.entry("conditions").or_insert_with(|| json!([])));
    if let Some(Value::Array(conditions)) = list {
        match conditions.iter_mut().find(|old| old["type"] == condition["type"]) {
            Some(old) if old["status"] == condition["status"] => {}
            Some(old) => *old = condition,
            None => conditions.push(condition),
        }
    }
}

/// Only resources and their policy go through `resize`; the quality of service stays.
pub fn prepare_resize(new: &mut Value, old: &Value, faults: &mut Vec<Fault>) {
    let mut pod = old.clone();
    for list in ["containers", "initContainers"] {
        let asked = new["spec"][list].as_array().cloned().unwrap_or_default();
        for container in pod["spec"].get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(wanted) = asked.iter().find(|wanted| wanted["name"] == container["name"]) else { continue };
            for field in ["resources", "resizePolicy"] {
                match wanted.get(field) {
                    Some(value) => container[field] = value.clone(),
                    None => {
                        container.as_object_mut().map(|container| container.remove(field));
                    }
                }
            }
        }
    }
    resize_faults(&pod, old, faults);
    if pod["spec"] != old["spec"] {
        let generation = old["metadata"]["generation"].as_i64().unwrap_or(0);
        pod["metadata"]["generation"] = json!(generation + 1);
    }
    for field in ["managedFields", "resourceVersion"] {
        if let Some(value) = new["metadata"].get(field) {
            pod["metadata"][field] = value.clone();
        }
    }
    *new = pod;
}

fn resize_faults(new: &Value, old: &Value, faults: &mut Vec<Fault>) {
    if old["status"]["qosClass"] != qos_class(&new["spec"]) {
        let why = "Pod QOS Class may not change as a result of resizing";
        faults.push(Fault::invalid("spec", &new["status"]["qosClass"], why));
    }
    let running = old["status"]["phase"] == "Running";
    let mut containers = old["status"]["containerStatuses"].as_array().into_iter().flatten();
    if running && containers.any(|status| status["state"].get("running").is_some() && status.get("resources").is_none())
    {
        faults.push(Fault::forbidden("spec", "Pod running on node without support for resize"));
    }
    let (new, old) = (&new["spec"], &old["spec"]);
    let (after, before) = (new["containers"].as_array(), old["containers"].as_array());
    for (index, (after, before)) in after.into_iter().flatten().zip(before.into_iter().flatten()).enumerate() {
        for list in ["limits", "requests"] {
            let (a, b) = (&after["resources"][list], &before["resources"][list]);
            let names = a.as_object().into_iter().flatten().chain(b.as_object().into_iter().flatten());
            let fixed = names
                .map(|(name, _)| name)
                .any(|name| !matches!(name.as_str(), "cpu" | "memory") && a.get(name) != b.get(name));
            if fixed {
                faults.push(Fault::forbidden("spec", "only cpu and memory resources are mutable"));
            }
            let removed = b.as_object().into_iter().flatten().any(|(name, _)| a.get(name).is_none());
            if removed {
                let path = format!("spec.containers[{index}].resources.{list}");
                faults.push(Fault::forbidden(&path, &format!("resource {list} cannot be removed")));
            }
        }
    }
}
