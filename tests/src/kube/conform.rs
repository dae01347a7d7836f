//! Bringing a request's object into the form that the server keeps.
//!
//! Built-in kinds are Go structs on the real server: unknown fields vanish, empty fields vanish unless they are
//! pointers, required ones appear, quantities become canonical. Custom ones are pruned and defaulted by their schema.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::quantity::Quantity;
use super::schema::{MapShape, Shape, Type};

/// Optional fields that are pointers in Go, so that their zero value is kept. From the `types.go` files of k8s.io/api.
static POINTERS: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    words(
        " activeDeadlineSeconds allocateLoadBalancerNodePorts allowPrivilegeEscalation \
    allowVolumeExpansion apiGroup appProtocol attachRequired automountServiceAccountToken blockOwnerDeletion controller \
    count defaultMode deletionGracePeriodSeconds enableServiceLinks expirationSeconds fsGroup fsGroupChangePolicy \
    holderIdentity hostProcess hostUsers hostnameOverride immutable internalTrafficPolicy ipFamilyPolicy \
    leaseDurationSeconds leaseTransitions loadBalancerClass lun minDomains mode mountPropagation \
    nodeAffinityPolicy nodeTaintsPolicy optional persistentVolumeName podInfoOnMount preemptionPolicy \
    priority privileged procMount readOnlyRootFilesystem ready recursiveReadOnly requiresRepublish runAsGroup \
    runAsNonRoot runAsUser runtimeClassName seLinuxMount serving setHostnameAsFQDN shareProcessNamespace started \
    storageCapacity storageClassName terminating terminationGracePeriodSeconds tolerationSeconds \
    trafficDistribution volumeAttributesClassName volumeBindingMode volumeMode zone",
    )
});

/// Pointers only within the type that has this marker field beside them.
const POINTERS_BESIDE: [(&str, &str); 3] =
    [("port", "appProtocol"), ("name", "appProtocol"), ("protocol", "appProtocol")];

/// Times that are structs in Go, so that they are written as null when unset.
static TIMES: LazyLock<BTreeSet<&str>> = LazyLock::new(|| {
    words(
        " lastProbeTime lastTransitionTime lastHeartbeatTime firstTimestamp lastTimestamp eventTime \
    deprecatedFirstTimestamp deprecatedLastTimestamp startedAt finishedAt",
    )
});

/// Lists that are never left out although nothing requires them, in the type that has this marker field beside them.
const ALWAYS: [(&str, &str); 2] = [("endpoints", "addressType"), ("ports", "addressType")];

fn is_always(name: &str, map: &MapShape) -> bool {
    ALWAYS.iter().any(|(field, marker)| *field == name && map.fields.contains_key(*marker))
}

fn words(list: &'static str) -> BTreeSet<&'static str> {
    list.split_whitespace().collect()
}

fn is_pointer(name: &str, map: &MapShape) -> bool {
    POINTERS.contains(name)
        || POINTERS_BESIDE.iter().any(|(field, marker)| {
            *field == name && map.fields.contains_key(*marker) && !map.fields.contains_key("nodePort")
        })
}

/// A built-in object as Go would write it back. Unknown fields are noted.
pub fn built_in(value: &Value, schema: &Type, unknown: &mut Vec<String>) -> Value {
    decode(value, schema, "", unknown)
}

fn decode(value: &Value, schema: &Type, path: &str, unknown: &mut Vec<String>) -> Value {
    let shape = schema.shape();
    match value {
        Value::Object(object) => match &shape.map {
            Some(map) if !map.fields.is_empty() => decode_struct(object, map, &shape.bounds.required, path, unknown),
            Some(map) => {
                let entries = object.iter().map(|(key, item)| {
                    let item = map
                        .rest
                        .as_ref()
                        .map_or_else(|| item.clone(), |rest| decode(item, rest, &format!("{path}.{key}"), unknown));
                    (key.clone(), item)
                });
                Value::Object(entries.collect())
            }
            None => value.clone(),
        },
        Value::Array(all) => match &shape.list {
            Some(list) => {
                let decode_item = |(index, item): (usize, &Value)| {
                    decode(item, &list.item, &format!("{path}[{index}]"), &mut *unknown)
                };
                Value::Array(all.iter().enumerate().map(decode_item).collect())
            }
            None => value.clone(),
        },
        Value::String(text) if shape.quantity => Value::String(Quantity::canonical(text).unwrap_or(text.clone())),
        Value::Number(number) if shape.quantity => {
            Value::String(Quantity::canonical(&number.to_string()).unwrap_or(number.to_string()))
        }
        other => other.clone(),
    }
}

fn decode_struct(
    object: &Map<String, Value>,
    map: &MapShape,
    required: &[String],
    path: &str,
    unknown: &mut Vec<String>,
) -> Value {
    let mut out = Map::new();
    for (name, field) in &map.fields {
        let shape = field.shape();
        let needed = required.contains(name) || is_always(name, map);
        let below = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let given = object.get(name).filter(|value| !value.is_null());
        match given {
            Some(value) => {
                let value = decode(value, field, &below, unknown);
                let is_struct = shape.map.as_ref().is_some_and(|map| !map.fields.is_empty() || map.rest.is_none());
                if needed || shape.default.is_some() || is_struct || is_pointer(name, map) || !is_zero(&value) {
                    let value = if is_zero(&value) { zero_default(shape, value) } else { value };
                    out.insert(name.clone(), value);
                } else if TIMES.contains(name.as_str()) {
                    out.insert(name.clone(), Value::Null);
                }
            }
            None if TIMES.contains(name.as_str()) => {
                out.insert(name.clone(), Value::Null);
            }
            None if name == "metadata" && shape.default.is_some() => {
                out.insert(name.clone(), Value::Object(Map::new()));
            }
            None => {
                if let Some(value) = zero(shape, needed) {
                    out.insert(name.clone(), value);
                }
            }
        }
    }
    for key in object.keys().filter(|key| !map.fields.contains_key(*key)) {
        unknown.push(if path.is_empty() { key.clone() } else { format!("{path}.{key}") });
    }
    Value::Object(out)
}

/// A zero scalar takes the schema's default, as `+default` markers do; pointers to zero are not told apart here.
fn zero_default(shape: &Shape, value: Value) -> Value {
    match &shape.default {
        Some(default) if value == "" => default.clone(),
        _ => value,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

/// What Go writes for a field that was never set: its default, or for a required one its zero.
fn zero(shape: &Shape, needed: bool) -> Option<Value> {
    let struct_of = |map: &MapShape| decode_struct(&Map::new(), map, &shape.bounds.required, "", &mut Vec::new());
    match (&shape.default, &shape.map) {
        (Some(Value::Object(empty)), Some(map)) if empty.is_empty() => Some(struct_of(map)),
        (Some(default), _) => Some(default.clone()),
        (None, Some(map)) if needed && !map.fields.is_empty() => Some(struct_of(map)),
        (None, _) if needed => Some(match shape.bounds.json_type.as_str() {
            "string" if shape.bounds.format.is_empty() => Value::String(String::new()),
            "integer" => Value::from(0),
            "boolean" => Value::Bool(false),
            _ => Value::Null,
        }),
        (None, _) => None,
    }
}

/// The object that a create is compared with to find what its writer owns.
pub fn empty(api_version: &str, kind: &str, schema: &Type, custom: bool) -> Value {
    let mut out = if custom {
        serde_json::json!({"metadata": {}})
    } else {
        decode(&Value::Object(Map::new()), schema, "", &mut Vec::new())
    };
    if let Some(map) = out.as_object_mut() {
        map.insert("apiVersion".to_owned(), api_version.into());
        map.insert("kind".to_owned(), kind.into());
    }
    out
}

/// A custom object without what its schema does not declare. What is dropped is noted.
pub fn prune(value: &mut Value, schema: &Type, path: &str, unknown: &mut Vec<String>) {
    let shape = schema.shape();
    match value {
        Value::Object(object) => {
            let Some(map) = &shape.map else { return };
            let known = |key: &String| shape.preserve || map.open || map.fields.contains_key(key);
            let top = path.is_empty();
            object.retain(|key, _| {
                let keep = known(key) || (top && matches!(key.as_str(), "apiVersion" | "kind" | "metadata"));
                if !keep {
                    unknown.push(if top { key.clone() } else { format!("{path}.{key}") });
                }
                keep
            });
            for (key, item) in object.iter_mut() {
                if top && key == "metadata" {
                    continue;
                }
                let below = if top { key.clone() } else { format!("{path}.{key}") };
                if let Some(field) = map.fields.get(key).or(map.rest.as_ref().filter(|_| map.open)) {
                    prune(item, field, &below, unknown);
                }
            }
        }
        Value::Array(all) => {
            let Some(list) = &shape.list else { return };
            for (index, item) in all.iter_mut().enumerate() {
                prune(item, &list.item, &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Storage does not tell an empty list from none: required ones come back as null.
pub fn stored(value: &mut Value, schema: &Type) {
    let shape = schema.shape();
    match value {
        Value::Object(object) => {
            let Some(map) = &shape.map else { return };
            for (name, item) in object.iter_mut() {
                if map.fields.contains_key(name) && item.as_array().is_some_and(Vec::is_empty) {
                    *item = Value::Null;
                } else if let Some(field) = map.field(name) {
                    stored(item, &field);
                }
            }
        }
        Value::Array(all) => {
            if let Some(list) = &shape.list {
                for item in all {
                    stored(item, &list.item);
                }
            }
        }
        _ => {}
    }
}

/// Fills in defaults. With `drop_nulls`, nulls that the schema does not allow go too.
pub fn default_custom(value: &mut Value, schema: &Type, drop_nulls: bool) {
    let shape = schema.shape();
    match value {
        Value::Object(object) => {
            let Some(map) = &shape.map else { return };
            for (name, field) in &map.fields {
                let field = field.shape();
                let replaced = drop_nulls || field.default.is_some();
                if object.get(name).is_some_and(Value::is_null) && !field.nullable && replaced {
                    object.remove(name);
                }
                if let (false, Some(default)) = (object.contains_key(name), &field.default) {
                    object.insert(name.clone(), default.clone());
                }
            }
            for (name, item) in object.iter_mut() {
                if let Some(field) = map.field(name) {
                    default_custom(item, &field, drop_nulls);
                }
            }
        }
        Value::Array(all) => {
            if let Some(list) = &shape.list {
                for item in all {
                    default_custom(item, &list.item, drop_nulls);
                }
            }
        }
        _ => {}
    }
}

/// `metadata` of a custom object, which is a Go struct for them too.
pub fn metadata(object: &mut Value, schema: &Type) {
    if let Some(value) = object.get_mut("metadata") {
        *value = decode(value, schema, "metadata", &mut Vec::new());
    }
}
