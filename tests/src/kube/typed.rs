//! Comparing, taking apart and checking objects by their schema (structured-merge-diff's `typed`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fieldset::{FieldSet, Scalar, Step};
use super::schema::{ListKind, ListShape, MapShape, Shape, Type};

/// What the schema makes of a value.
#[derive(Clone, Copy)]
pub(super) enum Atom<'a> {
    Map(&'a MapShape),
    Scalar,
    List(&'a ListShape),
    Nothing,
}

impl Atom<'_> {
    fn same_kind(&self, other: &Atom<'_>) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// The form that the value has, if the type allows it, else the type's first form.
pub(super) fn atom<'a>(shape: &'a Shape, value: Option<&Value>) -> Atom<'a> {
    match value {
        Some(Value::Number(_) | Value::String(_) | Value::Bool(_)) if shape.scalar.is_some() => return Atom::Scalar,
        Some(Value::Array(_)) => {
            if let Some(list) = &shape.list {
                return Atom::List(list);
            }
        }
        Some(Value::Object(_)) => {
            if let Some(map) = &shape.map {
                return Atom::Map(map);
            }
        }
        _ => {}
    }
    match (&shape.map, &shape.scalar, &shape.list) {
        (Some(map), _, _) => Atom::Map(map),
        (None, Some(_), _) => Atom::Scalar,
        (None, None, Some(list)) => Atom::List(list),
        (None, None, None) => Atom::Nothing,
    }
}

/// Tells an item of a set or list map from the others.
pub(super) fn item_step(list: &ListShape, item: &Value) -> Result<Step, String> {
    match &list.kind {
        ListKind::Atomic => Err("invalid indexing of non-associative list".to_owned()),
        ListKind::Set => match item {
            Value::Object(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::Array(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => Err("associative list without keys has an element that's an explicit null".to_owned()),
            scalar => Scalar::of(scalar).map(Step::Value).ok_or_else(String::new),
        },
        ListKind::Map(keys) => {
            let Value::Object(object) = item else {
                let what = if item.is_null() { "a null element" } else { "non-map elements" };
                return Err(format!("associative list with keys may not have {what}"));
            };
            let mut found: Vec<(String, Scalar)> = Vec::new();
            for key in keys {
                let default = || list.item.field(key).and_then(|field| field.shape().default.clone());
                if let Some(scalar) = object.get(key).cloned().or_else(default).as_ref().and_then(Scalar::of) {
                    found.push((key.clone(), scalar));
                }
            }
            if found.is_empty() {
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                    keys.iter().map(|k| format!("{k:?}")).collect::<Vec<_>>().join(" ")
                ));
            }
            found.sort();
            Ok(Step::Key(found))
        }
    }
}

/// The differences of two objects.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Only in the left one.
    pub removed: FieldSet,
    /// In both, and different.
    pub modified: FieldSet,
    /// Only in the right one.
    pub added: FieldSet,
}

impl Comparison {
    /// Without what is in the set or below it.
    pub fn excluding(mut self, fields: &FieldSet) -> Comparison {
        self.removed = self.removed.recursive_difference(fields);
        self.modified = self.modified.recursive_difference(fields);
        self.added = self.added.recursive_difference(fields);
        self
    }
}

/// Compares two objects of a type.
pub fn compare(left: &Value, right: &Value, schema: &Type) -> Comparison {
    let mut out = Comparison::default();
    compare_at(&mut Vec::new(), Some(left), Some(right), schema, &mut out);
    out
}

fn compare_at(path: &mut Vec<Step>, left: Option<&Value>, right: Option<&Value>, schema: &Type, out: &mut Comparison) {
    let shape = schema.shape();
    let (left_atom, right_atom) = (atom(shape, left), atom(shape, right));
    let was_leaf = if right.is_none() {
        compare_atom(path, left, right, left_atom, out)
    } else if left.is_none() || left_atom.same_kind(&right_atom) {
        compare_atom(path, left, right, right_atom, out)
    } else {
        compare_atom(path, left, right, left_atom, out);
        compare_atom(path, left, right, right_atom, out)
    };
    if !was_leaf {
        if left.is_none() {
            out.added.insert(path);
        } else if right.is_none() {
            out.removed.insert(path);
        }
    }
}

fn compare_leaf(path: &[Step], left: Option<&Value>, right: Option<&Value>, out: &mut Comparison) {
    match (left, right) {
        (None, _) => out.added.insert(path),
        (_, None) => out.removed.insert(path),
        (Some(a), Some(b)) if !equal(a, b) => out.modified.insert(path),
        (Some(_), Some(_)) => {}
    }
}

/// Equality by value: `1` and `1.0` are the same.
pub fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => left == right,
    }
}

/// Returns true if the path itself was taken as a leaf.
fn compare_atom(
    path: &mut Vec<Step>,
    left: Option<&Value>,
    right: Option<&Value>,
    form: Atom<'_>,
    out: &mut Comparison,
) -> bool {
    match form {
        Atom::Nothing => false,
        Atom::Scalar => {
            compare_leaf(path, left, right, out);
            true
        }
        Atom::List(list) => {
            let (l, r) = (items(left), items(right));
            if list.kind == ListKind::Atomic || (l.is_empty() && r.is_empty()) {
                compare_leaf(path, left, right, out);
                return true;
            }
            compare_lists(path, l, r, list, out);
            false
        }
        Atom::Map(map) => {
            let empty = Map::new();
            let (l, r) = (entries(left).unwrap_or(&empty), entries(right).unwrap_or(&empty));
            if map.atomic || (l.is_empty() && r.is_empty()) {
                compare_leaf(path, left, right, out);
                return true;
            }
            let keys: BTreeSet<&String> = l.keys().chain(r.keys()).collect();
            for key in keys {
                path.push(Step::Field(key.clone()));
                compare_at(path, l.get(key), r.get(key), &map.field(key).unwrap_or(Type::Deduced), out);
                path.pop();
            }
            false
        }
    }
}

pub(super) fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn entries(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object)
}

/// Items that occur more than once are compared as one lump, as the real server does.
fn compare_lists(path: &mut Vec<Step>, left: &[Value], right: &[Value], list: &ListShape, out: &mut Comparison) {
    let mut all: BTreeMap<Step, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for item in left {
        if let Ok(step) = item_step(list, item) {
            all.entry(step).or_default().0.push(item);
        }
    }
    for item in right {
        if let Ok(step) = item_step(list, item) {
            all.entry(step).or_default().1.push(item);
        }
    }
    for (step, (l, r)) in all {
        path.push(step);
        match (l.len(), r.len()) {
            (0 | 1, 0 | 1) => compare_at(path, l.first().copied(), r.first().copied(), &list.item, out),
            (0 | 1, _) => {
                if let Some(one) = l.first() {
                    compare_at(path, Some(one), None, &list.item, out);
                }
                out.added.insert(path);
            }
            (_, 0 | 1) => {
                if let Some(one) = r.first() {
                    compare_at(path, None, Some(one), &list.item, out);
                }
                out.removed.insert(path);
            }
            (_, _) => {
                if l != r {
                    out.modified.insert(path);
                }
            }
        }
        path.pop();
    }
}

/// Every leaf and every list item that the object mentions.
pub fn field_set(value: &Value, schema: &Type) -> FieldSet {
    let mut out = FieldSet::default();
    field_set_at(&mut Vec::new(), value, schema, &mut out);
    out
}

fn field_set_at(path: &mut Vec<Step>, value: &Value, schema: &Type, out: &mut FieldSet) {
    match atom(schema.shape(), Some(value)) {
        Atom::Nothing => {}
        Atom::Scalar => out.insert(path),
        Atom::List(list) => {
            if list.kind == ListKind::Atomic {
                out.insert(path);
                return;
            }
            for item in items(Some(value)) {
                let Ok(step) = item_step(list, item) else { continue };
                path.push(step);
                field_set_at(path, item, &list.item, out);
                out.insert(path);
                path.pop();
            }
        }
        Atom::Map(map) => {
            if map.atomic {
                out.insert(path);
                return;
            }
            for (key, item) in entries(Some(value)).into_iter().flatten() {
                path.push(Step::Field(key.clone()));
                field_set_at(path, item, &map.field(key).unwrap_or(Type::Deduced), out);
                let hollow = item.is_null() || item.as_object().is_some_and(Map::is_empty);
                if hollow || !map.fields.contains_key(key) {
                    out.insert(path);
                }
                path.pop();
            }
        }
    }
}

/// The object without the given fields and items. Nothing left is null.
pub fn remove(value: &Value, fields: &FieldSet, schema: &Type) -> Value {
    match atom(schema.shape(), Some(value)) {
        Atom::Nothing => Value::Null,
        Atom::Scalar => value.clone(),
        Atom::List(list) => {
            if list.kind == ListKind::Atomic {
                return Value::Null;
            }
            let mut kept = Vec::new();
            for item in items(Some(value)) {
                let Ok(step) = item_step(list, item) else { continue };
                if fields.has(&step) {
                    continue;
                }
                kept.push(fields.below(&step).map_or_else(|| item.clone(), |set| remove(item, set, &list.item)));
            }
            if kept.is_empty() { Value::Null } else { Value::Array(kept) }
        }
        Atom::Map(map) => {
            if map.atomic {
                return Value::Null;
            }
            let mut kept = Map::new();
            for (key, item) in entries(Some(value)).into_iter().flatten() {
                let step = Step::Field(key.clone());
                if fields.has(&step) {
                    continue;
                }
                let item = match fields.below(&step) {
                    Some(set) => remove(item, set, &map.field(key).unwrap_or(Type::Deduced)),
                    None => item.clone(),
                };
                kept.insert(key.clone(), item);
            }
            if kept.is_empty() { Value::Null } else { Value::Object(kept) }
        }
    }
}
