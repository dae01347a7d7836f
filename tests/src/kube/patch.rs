//! JSON patch (RFC 6902), merge patch (RFC 7396), and strategic merge patch for built-in kinds.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::schema::Type;

/// Applies a merge patch.
pub fn merge_patch(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(object) = target.as_object_mut() else { return };
    for (key, change) in changes {
        if change.is_null() {
            object.remove(key);
        } else {
            merge_patch(object.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// The real server's answer to a JSON patch that does not fit: it keeps the cause to itself.
fn unprocessable() -> Refusal {
    Refusal {
        code: 422,
        reason: "Invalid".to_owned(),
        message: "the server rejected our request due to an error in our request".to_owned(),
        details: Some(Value::Object(Map::new())),
    }
}

/// Applies a JSON patch, all of it or nothing.
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), Refusal> {
    let Value::Array(operations) = patch else {
        return Err(Refusal::bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp",
        ));
    };
    let mut work = target.clone();
    for operation in operations {
        apply_operation(&mut work, operation).ok_or_else(unprocessable)?;
    }
    *target = work;
    Ok(())
}

fn apply_operation(target: &mut Value, operation: &Value) -> Option<()> {
    let path = operation["path"].as_str()?;
    match operation["op"].as_str()? {
        "add" => insert(target, path, operation.get("value")?.clone()),
        "remove" => take(target, path).map(drop),
        "replace" => {
            let value = operation.get("value")?.clone();
            // A key that is not there is replaced too, an index is not.
            if let Some(place) = target.pointer_mut(path) {
                *place = value;
            } else {
                let (parent, key) = split(path)?;
                target.pointer_mut(parent)?.as_object_mut()?.insert(key, value);
            }
            Some(())
        }
        "move" => {
            let value = take(target, operation["from"].as_str()?)?;
            insert(target, path, value)
        }
        "copy" => {
            let value = target.pointer(operation["from"].as_str()?)?.clone();
            insert(target, path, value)
        }
        "test" => {
            let wanted = operation.get("value").unwrap_or(&Value::Null);
            let found = target.pointer(path).unwrap_or(&Value::Null);
            super::typed::equal(found, wanted).then_some(())
        }
        _ => None,
    }
}

fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn insert(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, key) = split(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(object) => {
            object.insert(key, value);
        }
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => {
            let index: usize = key.parse().ok().filter(|index| *index <= list.len())?;
            list.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn take(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, key) = split(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(object) => object.remove(&key),
        Value::Array(list) => {
            let index: usize = key.parse().ok().filter(|index| *index < list.len())?;
            Some(list.remove(index))
        }
        _ => None,
    }
}

const DIRECTIVE: &str = "$patch";
const RETAIN: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

/// Applies a strategic merge patch.
pub fn strategic(target: &mut Value, patch: &Value, schema: &Type) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(object) = target.as_object_mut() else { return };
    match changes.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            *object =
                changes.iter().filter(|(key, _)| *key != DIRECTIVE).map(|(k, v)| (k.clone(), v.clone())).collect();
            return;
        }
        Some("delete") => {
            object.clear();
            return;
        }
        _ => {}
    }
    if let Some(Value::Array(kept)) = changes.get(RETAIN) {
        object.retain(|key, _| kept.iter().any(|name| name == key));
    }
    for (key, change) in changes {
        if let Some(list) = key.strip_prefix(DELETE_FROM) {
            delete_scalars(object.get_mut(list), change);
        } else if change.is_null() {
            object.remove(key);
        } else if !key.starts_with('$') {
            let field = schema.field(key).unwrap_or(Type::Deduced);
            strategic_field(object, key, change, &field);
        }
    }
    for (key, order) in changes {
        if let Some(list) = key.strip_prefix(ORDER) {
            let field = schema.field(list).unwrap_or(Type::Deduced);
            if let (Some(Value::Array(list)), Value::Array(order)) = (object.get_mut(list), order) {
                let now = list.clone();
                put_in_order(list, &now, order, field.shape().strategic.merge_key.as_deref());
            }
        }
    }
}

fn strategic_field(object: &mut Map<String, Value>, key: &str, change: &Value, field: &Type) {
    let shape = field.shape();
    let merges = shape.strategic.merge;
    match (change, &shape.list) {
        (Value::Array(items), Some(list)) if merges => {
            let current = object.entry(key.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
            if !current.is_array() {
                *current = Value::Array(Vec::new());
            }
            if let Some(current) = current.as_array_mut() {
                merge_items(current, items, shape.strategic.merge_key.as_deref(), &list.item);
            }
        }
        (Value::Object(_), _) => {
            strategic(object.entry(key.to_owned()).or_insert(Value::Null), change, field);
        }
        _ => {
            object.insert(key.to_owned(), change.clone());
        }
    }
}

fn delete_scalars(list: Option<&mut Value>, gone: &Value) {
    if let (Some(Value::Array(list)), Value::Array(gone)) = (list, gone) {
        list.retain(|item| !gone.contains(item));
    }
}

fn merge_items(current: &mut Vec<Value>, items: &[Value], merge_key: Option<&str>, item_type: &Type) {
    let live = current.clone();
    if let Some(key) = merge_key {
        if items.iter().any(|item| item[DIRECTIVE] == "replace") {
            *current = items.iter().filter(|item| item.get(DIRECTIVE).is_none()).cloned().collect();
            return;
        }
        for item in items {
            merge_item(current, item, key, item_type);
        }
    } else {
        current.extend(items.iter().filter(|item| !live.contains(item)).cloned());
    }
    put_in_order(current, &live, items, merge_key);
}

fn merge_item(current: &mut Vec<Value>, item: &Value, key: &str, item_type: &Type) {
    let place = current.iter().position(|mine| mine.get(key) == item.get(key));
    match (item.get(DIRECTIVE).and_then(Value::as_str), place) {
        (Some("delete"), Some(index)) => {
            current.remove(index);
        }
        (Some("delete"), None) => {}
        (_, Some(index)) => strategic(&mut current[index], item, item_type),
        (_, None) => {
            let mut fresh = Value::Object(Map::new());
            strategic(&mut fresh, item, item_type);
            current.push(fresh);
        }
    }
}

/// The items that the order names come in its order. The others are put among them: before the first one that
/// followed them in the live list, else at the end.
fn put_in_order(list: &mut Vec<Value>, live: &[Value], order: &[Value], merge_key: Option<&str>) {
    let same = |a: &Value, b: &Value| match merge_key {
        Some(key) => a.get(key) == b.get(key),
        None => a == b,
    };
    let place = |all: &[Value], item: &Value| all.iter().position(|other| same(other, item));
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(list).into_iter().partition(|item| place(order, item).is_some());
    named.sort_by_key(|item| place(order, item));
    let mut named = named.into_iter().peekable();
    let mut others = others.into_iter().peekable();
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (None, None) => return,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(name)) => match (place(live, other), place(live, name)) {
                (Some(left), Some(right)) => left < right,
                _ => false,
            },
        };
        list.extend(if other_first { others.next() } else { named.next() });
    }
}
