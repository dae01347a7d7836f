//! Validation that all kinds share (`metadata`), and that of custom kinds by their schema. CEL is not evaluated.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::{Value, json};

use super::refusal::Fault;
use super::schema::{ListKind, Type};
use super::typed::item_step;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

#[expect(clippy::expect_used, reason = "the expressions are constants")]
fn regex(text: &str) -> Regex {
    Regex::new(text).expect("a constant expression")
}

static IS_LABEL: LazyLock<Regex> = LazyLock::new(|| regex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"));
static IS_SUBDOMAIN: LazyLock<Regex> =
    LazyLock::new(|| regex(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"));
static IS_VALUE: LazyLock<Regex> = LazyLock::new(|| regex("^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$"));
static IS_NAME: LazyLock<Regex> = LazyLock::new(|| regex("^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$"));

/// What a kind's names must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// DNS subdomain, at most 253 characters.
    Subdomain,
    /// DNS label, at most 63.
    Label,
}

/// The rule of a resource.
pub fn name_rule(custom: bool, resource: &str) -> NameRule {
    match resource {
        "namespaces" | "services" if !custom => NameRule::Label,
        _ => NameRule::Subdomain,
    }
}

/// The faults of an object's metadata at creation.
pub fn object_meta(object: &Value, rule: NameRule) -> Vec<Fault> {
    let name = object.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("");
    let mut faults = Vec::new();
    if name.is_empty() {
        faults.push(Fault::required("metadata.name", "name or generateName is required"));
    } else {
        name_faults(name, rule, &mut faults);
    }
    changeable_meta(object, &mut faults);
    faults
}

fn name_faults(name: &str, rule: NameRule, faults: &mut Vec<Fault>) {
    let (limit, expression, why) = match rule {
        NameRule::Subdomain => (253, &*IS_SUBDOMAIN, SUBDOMAIN),
        NameRule::Label => (63, &*IS_LABEL, DNS_LABEL),
    };
    if name.len() > limit {
        let why = format!("must be no more than {limit} characters");
        faults.push(Fault::invalid("metadata.name", &json!(name), &why));
    }
    if !expression.is_match(name) {
        faults.push(Fault::invalid("metadata.name", &json!(name), why));
    }
}

/// Labels, annotations, finalizers and owners, which are checked at every write.
pub fn changeable_meta(object: &Value, faults: &mut Vec<Fault>) {
    let entries = |name: &str| {
        let map = object.pointer(&format!("/metadata/{name}")).and_then(Value::as_object);
        map.into_iter().flatten()
    };
    for (key, value) in entries("labels") {
        qualified_name("metadata.labels", key, key, faults);
        let value = value.as_str().unwrap_or("");
        if value.len() > 63 {
            let why = "must be no more than 63 bytes";
            faults.push(Fault::invalid("metadata.labels", &json!(value), why));
        }
        if !IS_VALUE.is_match(value) {
            faults.push(Fault::invalid("metadata.labels", &json!(value), LABEL_VALUE));
        }
    }
    for (key, _) in entries("annotations") {
        qualified_name("metadata.annotations", &key.to_lowercase(), key, faults);
    }
    let list = |name: &str| {
        let list = object.pointer(&format!("/metadata/{name}")).and_then(Value::as_array);
        list.into_iter().flatten().enumerate()
    };
    for (_, finalizer) in list("finalizers") {
        let finalizer = finalizer.as_str().unwrap_or("");
        qualified_name("metadata.finalizers", finalizer, finalizer, faults);
        let standard = matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion");
        if !finalizer.contains('/') && !standard {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            faults.push(Fault::invalid("metadata.finalizers", &json!(finalizer), why));
        }
    }
    for (index, owner) in list("ownerReferences") {
        for field in ["kind", "name", "uid"] {
            if owner[field].as_str().unwrap_or("").is_empty() {
                let path = format!("metadata.ownerReferences[{index}].{field}");
                faults.push(Fault::invalid(&path, &json!(""), &format!("{field} must not be empty")));
            }
        }
    }
}

fn qualified_name(field: &str, checked: &str, shown: &str, faults: &mut Vec<Fault>) {
    let (prefix, name) = match checked.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, checked),
    };
    if prefix.is_some_and(|prefix| !IS_SUBDOMAIN.is_match(prefix)) {
        faults.push(Fault::invalid(field, &json!(shown), &format!("prefix part {SUBDOMAIN}")));
    }
    if name.len() > 63 {
        faults.push(Fault::invalid(field, &json!(shown), "name part must be no more than 63 bytes"));
    }
    if name.is_empty() {
        faults.push(Fault::invalid(field, &json!(shown), "name part must be non-empty"));
    }
    if !IS_NAME.is_match(name) {
        faults.push(Fault::invalid(field, &json!(shown), NAME_PART));
    }
}

/// What may not change in metadata, and finalizers of an object that is being deleted.
pub fn meta_update(new: &Value, old: &Value, faults: &mut Vec<Fault>) {
    let text = |object: &Value, name: &str| object["metadata"][name].as_str().unwrap_or("").to_owned();
    for name in ["name", "namespace", "uid"] {
        let (before, after) = (text(old, name), text(new, name));
        if before != after {
            let why = "field is immutable";
            faults.push(Fault::invalid(&format!("metadata.{name}"), &json!(after), why));
        }
    }
    let deleting = !old["metadata"]["deletionTimestamp"].is_null();
    let list = |object: &Value| object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    let before = list(old);
    let added: Vec<Value> = list(new).into_iter().filter(|finalizer| !before.contains(finalizer)).collect();
    if deleting && !added.is_empty() {
        let mut names: Vec<String> = added.iter().map(ToString::to_string).collect();
        names.sort();
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            names.join(", ")
        );
        faults.push(Fault::forbidden("metadata.finalizers", &why));
    }
}

/// The faults of a custom object by its schema.
pub fn custom(object: &Value, schema: &Type) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        if !matches!(name.as_str(), "apiVersion" | "kind" | "metadata")
            && let Some(field) = schema.field(name)
        {
            check(name, value, &field, &mut faults);
        }
    }
    for name in &schema.shape().bounds.required {
        if object.get(name).is_none() {
            faults.push(Fault::required(name, ""));
        }
    }
    faults
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn check(path: &str, value: &Value, schema: &Type, faults: &mut Vec<Fault>) {
    let shape = schema.shape();
    let bounds = &shape.bounds;
    if value.is_null() && shape.nullable {
        return;
    }
    let given = json_type(value);
    let wanted = bounds.json_type.as_str();
    let fits = wanted.is_empty()
        || wanted == given
        || (wanted == "number" && given == "integer")
        || (bounds.int_or_string && matches!(given, "integer" | "string"));
    if !fits {
        let why = format!("{path} in body must be of type {wanted}: {given:?}");
        faults.push(Fault { reason: "FieldValueTypeInvalid", ..Fault::invalid(path, &json!(given), &why) });
        if value.is_null() && !bounds.allowed.is_empty() {
            let allowed: Vec<String> = bounds.allowed.iter().map(ToString::to_string).collect();
            faults.push(Fault::not_supported(path, value, &allowed));
        }
        return;
    }
    if bounds.int_or_string && !matches!(given, "integer" | "string") {
        let why = format!("{path} in body must be of type integer,string: {given:?}");
        faults.push(Fault { reason: "FieldValueTypeInvalid", ..Fault::invalid(path, &json!(given), &why) });
        return;
    }
    if !bounds.allowed.is_empty() && !bounds.allowed.contains(value) {
        let allowed: Vec<String> = bounds.allowed.iter().map(ToString::to_string).collect();
        faults.push(Fault::not_supported(path, value, &allowed));
    }
    match value {
        Value::Number(number) => check_number(path, value, number.as_f64().unwrap_or(0.0), schema, faults),
        Value::String(text) => check_text(path, text, schema, faults),
        Value::Array(all) => check_list(path, all, schema, faults),
        Value::Object(object) => {
            let Some(map) = &shape.map else { return };
            for name in bounds.required.iter().filter(|name| !object.contains_key(*name)) {
                faults.push(Fault::required(&format!("{path}.{name}"), ""));
            }
            for (name, item) in object {
                if let Some(field) = map.field(name) {
                    check(&format!("{path}.{name}"), item, &field, faults);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_number(path: &str, value: &Value, number: f64, schema: &Type, faults: &mut Vec<Fault>) {
    let bounds = &schema.shape().bounds;
    if let Some(minimum) = bounds.minimum.filter(|minimum| number < *minimum) {
        let why = format!("{path} in body should be greater than or equal to {minimum}");
        faults.push(Fault::invalid(path, value, &why));
    }
    if let Some(maximum) = bounds.maximum.filter(|maximum| number > *maximum) {
        let why = format!("{path} in body should be less than or equal to {maximum}");
        faults.push(Fault::invalid(path, value, &why));
    }
}

fn check_text(path: &str, text: &str, schema: &Type, faults: &mut Vec<Fault>) {
    let bounds = &schema.shape().bounds;
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    if let Some(most) = bounds.most.filter(|most| length > *most) {
        let message = format!("Too long: may not be more than {most} bytes");
        faults.push(Fault { reason: "FieldValueTooLong", field: path.to_owned(), message });
    }
    if let Some(least) = bounds.least.filter(|least| length < *least) {
        let why = format!("{path} in body should be at least {least} chars long");
        faults.push(Fault::invalid(path, &json!(text), &why));
    }
    if let Some(pattern) = bounds.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
        let why = format!("{path} in body should match '{pattern}'");
        faults.push(Fault::invalid(path, &json!(text), &why));
    }
}

fn check_list(path: &str, all: &[Value], schema: &Type, faults: &mut Vec<Fault>) {
    let (bounds, Some(list)) = (&schema.shape().bounds, &schema.shape().list) else { return };
    let length = u64::try_from(all.len()).unwrap_or(u64::MAX);
    if let Some(most) = bounds.most.filter(|most| length > *most) {
        let message = format!("Too many: {length}: must have at most {most} items");
        faults.push(Fault { reason: "FieldValueTooMany", field: path.to_owned(), message });
    }
    if let Some(least) = bounds.least.filter(|least| length < *least) {
        let why = format!("{path} in body should have at least {least} items");
        faults.push(Fault::invalid(path, &json!(all.len()), &why));
    }
    let mut seen = Vec::new();
    for (index, item) in all.iter().enumerate() {
        let below = format!("{path}[{index}]");
        check(&below, item, &list.item, faults);
        if let Ok(step) = item_step(list, item) {
            if seen.contains(&step) {
                faults.push(Fault::duplicate(&below, &duplicate_value(item, &list.kind)));
            }
            seen.push(step);
        }
    }
}

/// Duplicates are shown by their keys.
fn duplicate_value(item: &Value, kind: &ListKind) -> Value {
    match kind {
        ListKind::Map(keys) => keys
            .iter()
            .filter_map(|key| Some((key.clone(), item.get(key)?.clone())))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        ListKind::Set | ListKind::Atomic => item.clone(),
    }
}
