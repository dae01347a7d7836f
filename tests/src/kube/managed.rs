//! Who owns which field: `metadata.managedFields`, for updates and for server-side apply.
//!
//! A port of apimachinery's `managedfields`. Not modelled: the cap of ten updaters on one object, and kubectl's
//! take-over of its own last-applied annotation.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::fieldset::{FieldSet, display_path};
use super::merge::merge;
use super::schema::Type;
use super::typed::{compare, equal, field_set, remove};

/// How a manager came to own its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Everything else.
    Update,
}

/// A manager, as the wire format tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Manager {
    /// Apply or Update.
    pub operation: Operation,
    /// The field manager's name.
    pub name: String,
    /// Empty for appliers, who are the same manager in every version.
    pub api_version: String,
    /// The subresource written through, if any.
    pub subresource: String,
}

#[derive(Clone, Debug)]
struct Entry {
    fields: FieldSet,
    api_version: String,
    time: Option<String>,
}

/// All managers of an object.
#[derive(Clone, Debug, Default)]
pub struct Managers(BTreeMap<Manager, Entry>);

/// Somebody else owns what an apply wants to set.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// The other manager, as messages print it.
    pub manager: String,
    /// The field.
    pub field: String,
}

/// The fields that no manager is recorded for.
fn never_recorded() -> FieldSet {
    FieldSet::of_fields(&[
        "apiVersion",
        "kind",
        "metadata",
        "metadata.name",
        "metadata.namespace",
        "metadata.creationTimestamp",
        "metadata.selfLink",
        "metadata.uid",
        "metadata.clusterName",
        "metadata.generation",
        "metadata.managedFields",
        "metadata.resourceVersion",
    ])
}

/// What one write is about: who writes, through what, when.
pub struct Writer<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// The version of the kind written.
    pub api_version: &'a str,
    /// The subresource, or empty.
    pub subresource: &'a str,
    /// The object's type.
    pub schema: &'a Type,
    /// Fields that a write through this endpoint never changes, so never owns.
    pub reset: &'a FieldSet,
    /// The time, as managedFields writes it.
    pub time: &'a str,
}

impl Writer<'_> {
    fn key(&self, operation: Operation) -> Manager {
        Manager {
            operation,
            name: if self.manager.is_empty() { "unknown" } else { self.manager }.to_owned(),
            api_version: if operation == Operation::Apply { String::new() } else { self.api_version.to_owned() },
            subresource: self.subresource.to_owned(),
        }
    }
}

/// Takes `metadata.managedFields` out of the object.
pub fn take(object: &mut Value) -> Option<Value> {
    object.pointer_mut("/metadata")?.as_object_mut()?.remove("managedFields")
}

/// Reads the managers that an object lists.
pub fn read(list: Option<&Value>) -> Managers {
    let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let mut out = Managers::default();
    for entry in list.and_then(Value::as_array).into_iter().flatten() {
        let operation = if text(entry, "operation") == "Apply" { Operation::Apply } else { Operation::Update };
        let api_version = text(entry, "apiVersion");
        let manager = Manager {
            operation,
            name: text(entry, "manager"),
            api_version: if operation == Operation::Apply { String::new() } else { api_version.clone() },
            subresource: text(entry, "subresource"),
        };
        let fields = entry.get("fieldsV1").map(FieldSet::from_fields_v1).unwrap_or_default();
        let time = entry.get("time").and_then(Value::as_str).map(str::to_owned);
        out.0.insert(manager, Entry { fields, api_version, time });
    }
    out
}

/// Writes the managers into the object, in the real server's order.
pub fn write(object: &mut Value, managers: &Managers) {
    let mut entries: Vec<(&Manager, &Entry)> = managers.0.iter().collect();
    entries.sort_by(|(a, x), (b, y)| {
        (a.operation, &x.time, &a.name, &x.api_version, &a.subresource).cmp(&(
            b.operation,
            &y.time,
            &b.name,
            &y.api_version,
            &b.subresource,
        ))
    });
    let list: Vec<Value> = entries.into_iter().map(|(manager, entry)| encode(manager, entry)).collect();
    if list.is_empty() {
        take(object);
    } else if let Some(metadata) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        metadata.insert("managedFields".to_owned(), Value::Array(list));
    }
}

fn encode(manager: &Manager, entry: &Entry) -> Value {
    let operation = match manager.operation {
        Operation::Apply => "Apply",
        Operation::Update => "Update",
    };
    let mut out = json!({
        "manager": manager.name,
        "operation": operation,
        "apiVersion": entry.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": entry.fields.to_fields_v1(),
    });
    if let Some(map) = out.as_object_mut() {
        if let Some(time) = &entry.time {
            map.insert("time".to_owned(), json!(time));
        }
        if !manager.subresource.is_empty() {
            map.insert("subresource".to_owned(), json!(manager.subresource));
        }
    }
    out
}

/// Takes from all other managers what the change touches. With `force` off, a conflict refuses the change.
fn take_over(
    live: &Value,
    new: &Value,
    writer: &Writer<'_>,
    managers: &mut Managers,
    own: Option<&Manager>,
    force: bool,
) -> Result<super::typed::Comparison, Vec<Conflict>> {
    let changes = compare(live, new, writer.schema).excluding(writer.reset);
    let touched = changes.modified.union(&changes.added);
    let mut conflicts = Vec::new();
    for (manager, entry) in managers.0.iter().filter(|(manager, _)| Some(*manager) != own) {
        for path in entry.fields.intersection(&touched).paths() {
            conflicts.push(Conflict { manager: describe(manager), field: display_path(&path) });
        }
    }
    if !force && !conflicts.is_empty() {
        return Err(conflicts);
    }
    for (_, entry) in managers.0.iter_mut().filter(|(manager, _)| Some(*manager) != own) {
        let conflicting = entry.fields.intersection(&touched);
        entry.fields = entry.fields.difference(&conflicting).difference(&changes.removed);
    }
    managers.0.retain(|_, entry| !entry.fields.is_empty());
    Ok(changes)
}

/// `"name" using v1`, as conflict messages say it.
fn describe(manager: &Manager) -> String {
    let mut text = format!("{:?}", manager.name);
    if !manager.subresource.is_empty() {
        text = format!("{text} with subresource {:?}", manager.subresource);
    }
    match manager.operation {
        Operation::Apply => text,
        Operation::Update => format!("{text} using {}", manager.api_version),
    }
}

/// Records a create, update or patch: `live` is the object before (or the kind's empty object), `new` the one after,
/// both without managedFields.
pub fn updated(live: &Value, new: &Value, mut managers: Managers, writer: &Writer<'_>) -> Managers {
    let Ok(changes) = take_over(live, new, writer, &mut managers, None, true) else { return managers };
    let own = changes.modified.union(&changes.added).recursive_difference(writer.reset).difference(&never_recorded());
    if own.is_empty() {
        return managers;
    }
    let key = writer.key(Operation::Update);
    let before = managers.0.get(&key).map(|entry| entry.fields.clone()).unwrap_or_default();
    let entry = Entry {
        fields: own.union(&before),
        api_version: writer.api_version.to_owned(),
        time: Some(writer.time.to_owned()),
    };
    managers.0.insert(key, entry);
    managers
}

/// The outcome of an apply: the new object without managedFields, and its managers.
pub fn applied(
    live: &Value,
    empty: &Value,
    config: &Value,
    mut managers: Managers,
    writer: &Writer<'_>,
    force: bool,
) -> Result<(Value, Managers), Vec<Conflict>> {
    if managers.0.is_empty() {
        let before = Writer { manager: "before-first-apply", ..*writer };
        managers = updated(empty, live, managers, &before);
    }
    let key = writer.key(Operation::Apply);
    let merged = merge(Some(live), Some(config), writer.schema).unwrap_or_else(|| Value::Object(Map::new()));
    let last = managers.0.get(&key).map(|entry| entry.fields.clone());
    let old_time = managers.0.get(&key).and_then(|entry| entry.time.clone());
    let fields = field_set(config, writer.schema).recursive_difference(writer.reset);
    let entry = Entry { fields, api_version: writer.api_version.to_owned(), time: old_time };
    managers.0.insert(key.clone(), entry);
    let new = prune(merged, &managers, last.as_ref(), writer.schema);
    take_over(live, &new, writer, &mut managers, Some(&key), force)?;
    if let Some(entry) = managers.0.get_mut(&key) {
        entry.fields = entry.fields.difference(&never_recorded());
        // An apply that changes nothing has no time, even a manager's first.
        if !equal(live, &new) {
            entry.time = Some(writer.time.to_owned());
        }
    }
    managers.0.retain(|_, entry| !entry.fields.is_empty());
    Ok((new, managers))
}

/// Removes what this applier set last time, does not set now, and nobody else owns.
fn prune(merged: Value, managers: &Managers, last: Option<&FieldSet>, schema: &Type) -> Value {
    let Some(last) = last.filter(|set| !set.is_empty()) else { return merged };
    let last = last.with_named_parents(schema);
    let mut pruned = remove(&merged, &last, schema);
    let mut owned = FieldSet::default();
    for entry in managers.0.values() {
        owned = owned.union(&entry.fields);
    }
    let merged_set = field_set(&merged, schema).with_named_parents(schema);
    let pruned_set = field_set(&pruned, schema).with_named_parents(schema);
    // Adds back what other managers, or the new configuration, own.
    let keep = pruned_set.union(&owned.with_named_parents(schema));
    pruned = remove(&merged, &merged_set.difference(&keep), schema);
    // Adds back what nobody owned last time.
    let pruned_set = field_set(&pruned, schema).with_named_parents(schema);
    remove(&merged, &merged_set.difference(&pruned_set).intersection(&last), schema)
}

/// If the two objects differ only in the times of managedFields, the new one takes the old times, so that nothing is
/// written.
pub fn ignore_times(new: &mut Value, old: &Value) {
    if are_equal_but_for_times(new, old) {
        let fields = old.pointer("/metadata/managedFields").cloned();
        if let (Some(fields), Some(metadata)) = (fields, new.pointer_mut("/metadata").and_then(Value::as_object_mut)) {
            metadata.insert("managedFields".to_owned(), fields);
        }
    }
}

fn are_equal_but_for_times(new: &Value, old: &Value) -> bool {
    let same = |ours: &Value, theirs: &Value, but: &str| match (ours.as_object(), theirs.as_object()) {
        (Some(ours), Some(theirs)) => {
            ours.keys().eq(theirs.keys())
                && ours.iter().all(|(key, value)| key == but || theirs.get(key) == Some(value))
        }
        (_, _) => ours == theirs,
    };
    let managers = |object: &Value| {
        let mut all = object.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default();
        all.iter_mut().filter_map(Value::as_object_mut).for_each(|entry| drop(entry.remove("time")));
        all.sort_by_key(ToString::to_string);
        all
    };
    same(new, old, "metadata")
        && same(&new["metadata"], &old["metadata"], "managedFields")
        && managers(new) == managers(old)
}
