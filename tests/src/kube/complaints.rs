//! What a schema says against an object, in the words of structured-merge-diff.

use std::collections::BTreeSet;

use serde_json::Value;

use super::fieldset::{Step, display_path};
use super::schema::{ListKind, ListShape, ScalarKind, Type};
use super::typed::{Atom, atom, item_step};

/// What the schema says against an object, each line with its path.
pub fn complaints(value: &Value, schema: &Type, allow_duplicates: bool) -> Vec<String> {
    let mut out = Vec::new();
    complain_at(&mut Vec::new(), value, schema, &mut out);
    if allow_duplicates {
        out.retain(|line| !line.contains("duplicate entries for key"));
    }
    out
}

fn complain_at(path: &mut Vec<Step>, value: &Value, schema: &Type, out: &mut Vec<String>) {
    let shape = schema.shape();
    let mut say = |path: &[Step], text: String| {
        out.push(if path.is_empty() { text } else { format!("{}: {text}", display_path(path)) });
    };
    if value.is_null() {
        return;
    }
    match atom(shape, Some(value)) {
        Atom::Nothing => {}
        Atom::Scalar => {
            let fits = match shape.scalar {
                Some(ScalarKind::Numeric) => value.is_number(),
                Some(ScalarKind::String) => value.is_string(),
                Some(ScalarKind::Boolean) => value.is_boolean(),
                Some(ScalarKind::Untyped) => !value.is_object() && !value.is_array(),
                None => false,
            };
            if !fits {
                say(path, scalar_complaint(shape.scalar, value));
            }
        }
        Atom::List(list) => {
            let Value::Array(all) = value else {
                return say(path, format!("expected list, got {}", go_value(value)));
            };
            complain_list(path, all, list, out);
        }
        Atom::Map(map) => {
            let Value::Object(all) = value else {
                return say(path, format!("expected map, got {}", go_value(value)));
            };
            for (key, item) in all {
                path.push(Step::Field(key.clone()));
                match map.field(key) {
                    Some(field) => complain_at(path, item, &field, out),
                    None => out.push(format!("{}: field not declared in schema", display_path(path))),
                }
                path.pop();
            }
        }
    }
}

fn complain_list(path: &mut Vec<Step>, all: &[Value], list: &ListShape, out: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for (index, item) in all.iter().enumerate() {
        let step = if list.kind == ListKind::Atomic {
            Step::Index(i64::try_from(index).unwrap_or(i64::MAX))
        } else {
            match item_step(list, item) {
                Ok(step) => step,
                Err(text) => {
                    out.push(format!("{}: element {index}: {text}", display_path(path)));
                    return;
                }
            }
        };
        if !seen.insert(step.clone()) {
            out.push(format!("{}: duplicate entries for key {step}", display_path(path)));
        }
        path.push(step);
        complain_at(path, item, &list.item, out);
        path.pop();
    }
}

fn scalar_complaint(kind: Option<ScalarKind>, value: &Value) -> String {
    match kind {
        Some(ScalarKind::Numeric) => {
            let go_type = match value {
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                Value::Array(_) => "[]interface {}",
                _ => "map[string]interface {}",
            };
            format!("expected numeric (int or float), got {go_type}")
        }
        Some(ScalarKind::String) => format!("expected string, got &value.valueUnstructured{{Value:{value}}}"),
        Some(ScalarKind::Boolean) => format!("expected boolean, got {}", go_value(value)),
        _ => format!("expected any scalar, got {}", go_value(value)),
    }
}

/// `%v` of structured-merge-diff's value, which is a pointer to a struct with one field.
fn go_value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("&{{{text}}}"),
        other => format!("&{{{other}}}"),
    }
}
