//! `events.k8s.io` and core events are the same objects under two names.

use serde_json::{Value, json};

use super::refusal::Fault;
use super::strategy::{need, text};

/// core name, `events.k8s.io` name.
const NAMES: [(&str, &str); 6] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// An `events.k8s.io` event as a core one.
pub fn to_core(event: &Value) -> Value {
    renamed(event, "v1", |name| NAMES.iter().find(|(_, new)| *new == name).map(|(core, _)| *core), true)
}

/// A core event as an `events.k8s.io` one.
pub fn from_core(event: &Value) -> Value {
    let find = |name: &str| NAMES.iter().find(|(core, _)| *core == name).map(|(_, new)| *new);
    renamed(event, "events.k8s.io/v1", find, false)
}

fn renamed(event: &Value, api_version: &str, find: impl Fn(&str) -> Option<&'static str>, to_core: bool) -> Value {
    let fields = event.as_object().cloned().unwrap_or_default();
    let mut out: serde_json::Map<String, Value> = fields
        .into_iter()
        .map(|(name, value)| match (find(&name), name.as_str()) {
            (Some(other), _) => (other.to_owned(), value),
            (None, "reportingController") if to_core => ("reportingComponent".to_owned(), value),
            (None, "reportingComponent") if !to_core => ("reportingController".to_owned(), value),
            (None, _) => (name, value),
        })
        .collect();
    if !to_core {
        // The newer version leaves out what the older one must always have.
        out.retain(|name, value| {
            !(value == "" && matches!(name.as_str(), "reportingController" | "reportingInstance"))
        });
    }
    out.insert("apiVersion".to_owned(), json!(api_version));
    Value::Object(out)
}

/// What both versions of events must hold to. The real server words it in the terms of the old one.
pub fn event_faults(event: &Value, group: &str, faults: &mut Vec<Fault>) {
    let (regarding, controller) = match group {
        "" => ("involvedObject", "reportingComponent"),
        _ => ("regarding", "reportingController"),
    };
    let namespace = text(event, "/metadata/namespace");
    let about = event[regarding]["namespace"].as_str().unwrap_or("");
    let field = "involvedObject.namespace";
    let why = "does not match event.namespace";
    if event["eventTime"].is_null() {
        if about != namespace && !(about.is_empty() && namespace == "default") {
            faults.push(Fault::invalid(field, &json!(about), why));
        }
        return;
    }
    if about.is_empty() && namespace != "default" && namespace != "kube-system" {
        faults.push(Fault::invalid(field, &json!(about), why));
    }
    need(event, &format!("/{controller}"), controller, "", faults);
    for name in ["reportingInstance", "action", "reason"] {
        need(event, &format!("/{name}"), name, "", faults);
    }
}

/// What new-style events must have beside.
pub fn new_event_faults(event: &Value, faults: &mut Vec<Fault>) {
    if event["eventTime"].is_null() {
        faults.push(Fault::required("eventTime", ""));
    }
    let kind = text(event, "/type");
    if kind != "Normal" && kind != "Warning" {
        faults.push(Fault::invalid("type", &json!(""), &format!("has invalid value: {kind}")));
    }
    if event["series"]["count"].as_i64().is_some_and(|count| count < 2) {
        faults.push(Fault::invalid("series.count", &json!(""), "should be at least 2"));
    }
}

/// Of a new-style event only the series may change.
pub fn event_update_faults(new: &Value, old: &Value, faults: &mut Vec<Fault>) {
    let names = [
        ("regarding", "involvedObject"),
        ("reason", "reason"),
        ("note", "message"),
        ("reason", "reason"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ];
    for (name, field) in names {
        if new.get(name) != old.get(name) {
            let value = new.get(name).cloned().unwrap_or(json!(""));
            faults.push(Fault::invalid(field, &value, "field is immutable"));
        }
    }
}
