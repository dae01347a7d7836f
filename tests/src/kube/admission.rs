//! The admission plugins that are on by default, and the addresses that services get.

use serde_json::{Map, Value, json};

use super::defaults;
use super::kinds::Kind;
use super::quantity::Quantity;
use super::refusal::{About, Refusal};
use super::state::{State, Target};

impl State {
    /// The namespace must be there, and not be going away.
    pub fn admit_namespace(&self, target: &Target<'_>) -> Result<(), Refusal> {
        if !target.kind.namespaced {
            return Ok(());
        }
        let namespace = &target.key.0;
        let index = self.kinds.find("", "v1", "namespaces").unwrap_or(0);
        let Some(found) = self.store.get(index, &(String::new(), namespace.clone())) else {
            let about = About { group: "", resource: "namespaces", kind: "Namespace", name: namespace };
            return Err(Refusal::not_found(&about));
        };
        if found["status"]["phase"] == "Terminating" {
            return Err(Refusal::namespace_terminating(&target.about(), namespace));
        }
        Ok(())
    }

    /// The mutating admission plugins that are on by default.
    pub fn admit(&mut self, kind: &Kind, object: &mut Value) -> Result<(), Refusal> {
        let protect = match kind.resource.as_str() {
            _ if kind.custom => None,
            "persistentvolumes" => Some("kubernetes.io/pv-protection"),
            "persistentvolumeclaims" => Some("kubernetes.io/pvc-protection"),
            "pods" => {
                let class = self.priority_class(object)?;
                defaults::admit_pod(&mut object["spec"], class.as_ref());
                None
            }
            "nodes" => {
                taint_not_ready(&mut object["spec"]);
                None
            }
            _ => None,
        };
        if let Some(finalizer) = protect
            && let Some(metadata) = object["metadata"].as_object_mut()
            && let Some(list) = metadata.entry("finalizers").or_insert_with(|| json!([])).as_array_mut()
            && !list.contains(&json!(finalizer))
        {
            list.push(json!(finalizer));
        }
        if kind.is("persistentvolumeclaims") && object["spec"].get("storageClassName").is_none() {
            self.default_storage_class(&mut object["spec"]);
        }
        Ok(())
    }

    fn priority_class(&self, pod: &Value) -> Result<Option<Value>, Refusal> {
        let name = pod["spec"]["priorityClassName"].as_str().unwrap_or("");
        if name.is_empty() {
            return Ok(None);
        }
        let index = self.kinds.find("scheduling.k8s.io", "v1", "priorityclasses").unwrap_or(0);
        let class = self.store.get(index, &(String::new(), name.to_owned()));
        class.map(|class| Some((*class).clone())).ok_or_else(|| {
            let pod_name = pod["metadata"]["name"].as_str().unwrap_or("");
            let about = About { group: "", resource: "pods", kind: "Pod", name: pod_name };
            Refusal::forbidden(&about, &format!("no PriorityClass with name {name} was found"))
        })
    }

    fn default_storage_class(&self, spec: &mut Value) {
        let index = self.kinds.find("storage.k8s.io", "v1", "storageclasses").unwrap_or(0);
        let marker = "storageclass.kubernetes.io/is-default-class";
        let default = self.store.all(index).find(|(_, class)| class["metadata"]["annotations"][marker] == "true");
        if let Some(((_, name), _)) = default {
            spec["storageClassName"] = json!(name);
        }
    }

    /// Cluster addresses are handed out in order.
    pub fn allocate_address(&mut self, spec: &mut Value) {
        if spec["type"] == "ExternalName" {
            return;
        }
        if spec["clusterIP"] == "None" && spec["selector"].as_object().is_none_or(Map::is_empty) {
            // Nobody selects by family where nobody selects.
            spec["clusterIPs"] = json!(["None"]);
            spec["ipFamilies"] = json!(["IPv4", "IPv6"]);
            spec["ipFamilyPolicy"] = json!("RequireDualStack");
            return;
        }
        if spec["clusterIP"].as_str().is_none_or(str::is_empty) {
            let number = self.number();
            spec["clusterIP"] = json!(format!("10.0.{}.{}", (number >> 8) & 255, number & 255));
        }
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
        if spec.get("ipFamilies").is_none() {
            spec["ipFamilies"] = json!(["IPv4"]);
        }
        if spec.get("ipFamilyPolicy").is_none() {
            spec["ipFamilyPolicy"] = json!("SingleStack");
        }
    }

    /// Admission of a change, after validation: resizes must fit the node, growth must be allowed by the class.
    pub fn admit_change(
        &self,
        target: &Target<'_>,
        subresource: &str,
        new: &Value,
        old: &Value,
    ) -> Result<(), Refusal> {
        if target.kind.is("pods") && subresource == "resize" && new["spec"] != old["spec"] {
            return self.admit_resize(target, new);
        }
        if target.kind.is("persistentvolumeclaims") && subresource.is_empty() {
            return self.admit_growth(target, new, old);
        }
        Ok(())
    }

    /// A pod that has a node can only grow to what the node has.
    fn admit_resize(&self, target: &Target<'_>, pod: &Value) -> Result<(), Refusal> {
        let name = pod["spec"]["nodeName"].as_str().unwrap_or("");
        if name.is_empty() {
            return Ok(());
        }
        let index = self.kinds.find("", "v1", "nodes").unwrap_or(0);
        let Some(node) = self.store.get(index, &(String::new(), name.to_owned())) else {
            return Err(Refusal::forbidden(&target.about(), &format!("node {name:?} not found")));
        };
        let room = |resource: &str| {
            let amount = node["status"]["allocatable"][resource].as_str().and_then(Quantity::parse);
            if resource == "cpu" { amount.map_or(0, |a| a.milli()) } else { amount.map_or(0, |a| a.whole()) }
        };
        let mut short = Vec::new();
        for resource in ["cpu", "memory"] {
            let (asked, room) = (requested(&pod["spec"], resource), room(resource));
            if asked > room {
                short.push(format!("{resource}, requested: {asked}, allocatable: {room}"));
            }
        }
        if short.is_empty() {
            return Ok(());
        }
        let why = format!("node didn't have enough allocatable resources: {}", short.join("; "));
        let mut refusal = Refusal::forbidden(&target.about(), &why);
        if let Some(Value::Object(details)) = &mut refusal.details {
            details.insert("causes".to_owned(), json!([{"reason": "NodeCapacity"}]));
        }
        Err(refusal)
    }

    fn admit_growth(&self, target: &Target<'_>, new: &Value, old: &Value) -> Result<(), Refusal> {
        let size = |claim: &Value| {
            let text = claim.pointer("/spec/resources/requests/storage").and_then(Value::as_str);
            text.and_then(Quantity::parse).map_or(0, |size| size.whole())
        };
        if size(new) <= size(old) {
            return Ok(());
        }
        if old["status"]["phase"] != "Bound" {
            let why = "Only bound persistent volume claims can be expanded";
            return Err(Refusal::forbidden(&target.about(), why));
        }
        let class = |claim: &Value| claim["spec"]["storageClassName"].as_str().unwrap_or("").to_owned();
        let index = self.kinds.find("storage.k8s.io", "v1", "storageclasses").unwrap_or(0);
        let found = self.store.get(index, &(String::new(), class(new)));
        let allowed = class(new) == class(old) && found.is_some_and(|class| class["allowVolumeExpansion"] == true);
        if allowed {
            return Ok(());
        }
        let why = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize";
        Err(Refusal::forbidden(&target.about(), why))
    }
}

/// The sum of the containers' requests: thousandths of a CPU, or bytes.
fn requested(spec: &Value, resource: &str) -> i128 {
    let containers = spec["containers"].as_array().into_iter().flatten();
    let amounts = containers
        .filter_map(|container| container["resources"]["requests"][resource].as_str().and_then(Quantity::parse));
    amounts.map(|amount| if resource == "cpu" { amount.milli() } else { amount.whole() }).sum()
}

fn taint_not_ready(spec: &mut Value) {
    let taint = json!({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"});
    let list = spec.as_object_mut().map(|spec| spec.entry("taints").or_insert_with(|| json!([])));
    if let Some(Value::Array(taints)) = list
        && !taints.iter().any(|other| other["key"] == taint["key"])
    {
        taints.push(taint);
    }
}
