//! How rules are written beside the types: CEL rules with messages for people, and the shape that Kubernetes asks of a
//! schema.
//!
//! Every string and every list is bounded, because the API server estimates the cost of a rule from the largest value
//! that the schema allows, and refuses the whole definition when the estimate is too high.

use schemars::{Schema, json_schema};
use serde_json::{Map, Value, json};

/// The key under which a schema holds its CEL rules.
pub(crate) const RULES: &str = "x-kubernetes-validations";

/// A rule with a fixed message.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// A rule whose message is computed; `message` is what is said should the expression itself fail.
pub(crate) fn rule_saying(rule: &str, expression: &str, message: &str) -> Value {
    json!({"rule": rule, "messageExpression": expression, "message": message})
}

/// A rule that a text has the form of `pattern`. The message gives the text, what it should be, and an example.
///
/// A `pattern` of the schema would name the regular expression only, and people do not read those.
pub(crate) fn form(pattern: &str, what: &str, example: &str) -> Value {
    debug_assert!(!pattern.contains('\'') && !what.contains('"') && !example.contains('"'));
    rule_saying(
        &format!("self.matches(r'{pattern}')"),
        &format!("\"'\" + self + \"' is not {what}: write for example {example}\""),
        &format!("is not {what}: write for example {example}"),
    )
}

/// The schema of a text of at most `max` bytes that follows `rules`.
pub(crate) fn text(max: u32, rules: Vec<Value>) -> Schema {
    let mut schema = json_schema!({"type": "string", "minLength": 1, "maxLength": max});
    if !rules.is_empty() {
        schema.insert(RULES.to_owned(), Value::Array(rules));
    }
    schema
}

/// The schema of an ordered list that server-side apply replaces as a whole.
pub(crate) fn list(max_items: u32, item: &Schema, rules: Vec<Value>) -> Schema {
    let mut schema =
        json_schema!({"type": "array", "maxItems": max_items, "items": item, "x-kubernetes-list-type": "atomic"});
    if !rules.is_empty() {
        schema.insert(RULES.to_owned(), Value::Array(rules));
    }
    schema
}

/// The schema of a list of texts of which each may occur once; server-side apply merges it by value.
pub(crate) fn set(max_items: u32, item: &Schema) -> Schema {
    json_schema!({"type": "array", "maxItems": max_items, "items": item, "x-kubernetes-list-type": "set"})
}

/// The schema of a map of texts.
pub(crate) fn map(max_entries: u32, value: &Schema, rules: Vec<Value>) -> Schema {
    let mut schema = json_schema!({"type": "object", "maxProperties": max_entries, "additionalProperties": value});
    if !rules.is_empty() {
        schema.insert(RULES.to_owned(), Value::Array(rules));
    }
    schema
}

/// Turns a derived schema into one that Kubernetes reads well.
///
/// - An optional field is absent or has a value: `null` is no third case, so `nullable` never appears.
/// - The documented variants of an enum become `enum`, and their docs a list below the field's description.
/// - Formats that Kubernetes does not know become the nearest that it does.
pub(crate) fn kubernetes_shape(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    drop_null(object);
    hoist_variants(object);
    if object.get("default").is_some_and(Value::is_null) {
        object.remove("default");
    }
    let known = match object.get("format").and_then(Value::as_str) {
        Some("uint64" | "uint32") => Some("int64"),
        Some("uint16" | "uint8" | "int16" | "int8") => Some("int32"),
        Some(_) | None => None,
    };
    if let Some(known) = known {
        object.insert("format".to_owned(), json!(known));
    }
    // Last, so that an optional enum's variants are still documented apart when they reach the field's description.
    schemars::transform::transform_subschemas(&mut kubernetes_shape, schema);
}

fn drop_null(object: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                // The field's own description is nearer to the reader than the type's.
                object.entry(key).or_insert(value);
            }
        }
    }
}

fn hoist_variants(object: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = object.get("oneOf") else { return };
    let named: Option<Vec<(Value, String)>> = variants
        .iter()
        .map(|variant| {
            let name = variant.get("const").or_else(|| variant.get("enum")?.get(0))?;
            let doc = variant.get("description").and_then(Value::as_str).unwrap_or_default();
            Some((name.clone(), doc.replace('\n', " ")))
        })
        .collect();
    let Some(named) = named else { return };
    let list: Vec<String> = named
        .iter()
        .filter(|(_, doc)| !doc.is_empty())
        .map(|(name, doc)| format!("- {}: {doc}", name.as_str().unwrap_or_default()))
        .collect();
    let own = object.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = format!("{own}\n\n{}", list.join("\n"));
    object.remove("oneOf");
    object.insert("type".to_owned(), json!("string"));
    object.insert("enum".to_owned(), Value::Array(named.into_iter().map(|(name, _)| name).collect()));
    object.insert("description".to_owned(), json!(description.trim()));
}
