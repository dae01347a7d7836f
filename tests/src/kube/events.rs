//! `events.k8s.io` and core events are the same objects under two names.

use serde_json::{Value, json};

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
