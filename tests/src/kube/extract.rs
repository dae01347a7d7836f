//! Makes `openapi.json`: what the simulated server needs to know of the real one's `OpenAPI` document.
//!
//! The equality test makes the extract again from the real server that it talks to, and fails if the tree's copy
//! differs; with `REHOST_WRITE_EXTRACT=1` it writes the copy instead. Nobody edits it by hand.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The documents that the definitions come from, below `/openapi/v3/`.
pub const DOCUMENTS: [&str; 6] = [
    "api/v1",
    "apis/discovery.k8s.io/v1",
    "apis/storage.k8s.io/v1",
    "apis/coordination.k8s.io/v1",
    "apis/events.k8s.io/v1",
    "apis/scheduling.k8s.io/v1",
];

const ROOTS: [&str; 18] = [
    "core.v1.Namespace",
    "core.v1.Node",
    "core.v1.Pod",
    "core.v1.Service",
    "core.v1.PersistentVolume",
    "core.v1.PersistentVolumeClaim",
    "core.v1.Secret",
    "core.v1.ConfigMap",
    "core.v1.Event",
    "core.v1.ServiceAccount",
    "discovery.v1.EndpointSlice",
    "storage.v1.VolumeAttachment",
    "storage.v1.StorageClass",
    "storage.v1.CSIDriver",
    "storage.v1.CSINode",
    "coordination.v1.Lease",
    "events.v1.Event",
    "scheduling.v1.PriorityClass",
];

const KEPT: [&str; 17] = [
    "type",
    "format",
    "properties",
    "items",
    "additionalProperties",
    "required",
    "default",
    "enum",
    "allOf",
    "oneOf",
    "anyOf",
    "$ref",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
    "x-kubernetes-patch-merge-key",
    "x-kubernetes-patch-strategy",
];

/// The extract of the documents, as the tree keeps it.
pub fn extract(documents: &[Value]) -> String {
    let mut all: BTreeMap<&str, &Value> = BTreeMap::new();
    for document in documents {
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
        all.extend(schemas.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema)));
    }
    let mut out: BTreeMap<String, Value> = BTreeMap::new();
    let mut wanted: Vec<String> = ROOTS.iter().map(|root| format!("io.k8s.api.{root}")).collect();
    while let Some(name) = wanted.pop() {
        if out.contains_key(&name) {
            continue;
        }
        let Some(schema) = all.get(name.as_str()) else { continue };
        let kept = reduce(schema);
        references(&kept, &mut wanted);
        out.insert(name, kept);
    }
    let mut text = serde_json::to_string_pretty(&out).unwrap_or_default();
    text.push('\n');
    text
}

/// Without descriptions, and with keys in order.
fn reduce(node: &Value) -> Value {
    let Value::Object(object) = node else { return node.clone() };
    let sorted: BTreeMap<&String, &Value> = object.iter().filter(|(key, _)| KEPT.contains(&key.as_str())).collect();
    let entry = |(key, value): (&String, &Value)| {
        let value = match (key.as_str(), value) {
            ("properties", Value::Object(fields)) => {
                let fields: BTreeMap<&String, &Value> = fields.iter().collect();
                Value::Object(fields.into_iter().map(|(name, field)| (name.clone(), reduce(field))).collect())
            }
            ("allOf" | "oneOf" | "anyOf", Value::Array(list)) => Value::Array(list.iter().map(reduce).collect()),
            (_, Value::Object(_)) if key != "default" => reduce(value),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    Value::Object(sorted.into_iter().map(entry).collect::<Map<String, Value>>())
}

fn references(node: &Value, out: &mut Vec<String>) {
    match node {
        Value::Object(object) => {
            if let Some(target) = object.get("$ref").and_then(Value::as_str) {
                out.extend(target.rsplit('/').next().map(str::to_owned));
            }
            object.values().for_each(|value| references(value, out));
        }
        Value::Array(list) => list.iter().for_each(|value| references(value, out)),
        _ => {}
    }
}
