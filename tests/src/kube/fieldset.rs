//! Sets of fields, as server-side apply keeps them in `metadata.managedFields` (structured-merge-diff's `fieldpath`).

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Number, Value};

use super::schema::Type;

/// A scalar that tells one list item from another.
#[derive(Clone, Debug)]
pub enum Scalar {
    /// Integers and floats, compared by value.
    Number(Number),
    /// A string.
    String(String),
    /// A boolean.
    Bool(bool),
    /// JSON null.
    Null,
}

impl Scalar {
    /// The scalar of a JSON value, unless it is a list or a map.
    pub fn of(value: &Value) -> Option<Scalar> {
        match value {
            Value::Number(number) => Some(Scalar::Number(number.clone())),
            Value::String(text) => Some(Scalar::String(text.clone())),
            Value::Bool(flag) => Some(Scalar::Bool(*flag)),
            Value::Null => Some(Scalar::Null),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Scalar::Number(number) => Value::Number(number.clone()),
            Scalar::String(text) => Value::String(text.clone()),
            Scalar::Bool(flag) => Value::Bool(*flag),
            Scalar::Null => Value::Null,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Scalar::Number(_) => 0,
            Scalar::String(_) => 1,
            Scalar::Bool(_) => 2,
            Scalar::Null => 3,
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Scalar::Number(a), Scalar::Number(b)) => {
                let (a, b) = (a.as_f64().unwrap_or(f64::NAN), b.as_f64().unwrap_or(f64::NAN));
                a.total_cmp(&b)
            }
            (Scalar::String(a), Scalar::String(b)) => a.cmp(b),
            (Scalar::Bool(a), Scalar::Bool(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}
impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Scalar {}

/// One step of a path. The order of the variants is the order that the wire format sorts by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A field of a map or struct.
    Field(String),
    /// An item of a list map, by its keys, sorted by name.
    Key(Vec<(String, Scalar)>),
    /// An item of a set, by its value.
    Value(Scalar),
    /// An item by its place (never written by current servers, but read).
    Index(i64),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Field(name) => write!(f, ".{name}"),
            Step::Key(keys) => {
                let text: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={}", v.to_value())).collect();
                write!(f, "[{}]", text.join(","))
            }
            Step::Value(value) => write!(f, "[={}]", value.to_value()),
            Step::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl Step {
    fn encode(&self) -> String {
        match self {
            Step::Field(name) => format!("f:{name}"),
            Step::Key(keys) => {
                let object: BTreeMap<&str, Value> = keys.iter().map(|(k, v)| (k.as_str(), v.to_value())).collect();
                format!("k:{}", serde_json::to_string(&object).unwrap_or_default())
            }
            Step::Value(value) => format!("v:{}", value.to_value()),
            Step::Index(index) => format!("i:{index}"),
        }
    }

    fn decode(text: &str) -> Option<Step> {
        let (kind, rest) = text.split_once(':')?;
        match kind {
            "f" => Some(Step::Field(rest.to_owned())),
            "k" => {
                let object: BTreeMap<String, Value> = serde_json::from_str(rest).ok()?;
                let keys = object.into_iter().map(|(k, v)| Some((k, Scalar::of(&v)?))).collect::<Option<_>>()?;
                Some(Step::Key(keys))
            }
            "v" => Some(Step::Value(Scalar::of(&serde_json::from_str(rest).ok()?)?)),
            "i" => rest.parse().ok().map(Step::Index),
            _ => None,
        }
    }
}

/// A path as people read it: `.spec.ports[port=80].name`.
pub fn display_path(path: &[Step]) -> String {
    path.iter().map(ToString::to_string).collect()
}

/// A set of paths. A path being in the set says nothing about its parents or children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSet {
    members: BTreeSet<Step>,
    children: BTreeMap<Step, FieldSet>,
}

impl FieldSet {
    /// A set of plain field paths, written with dots.
    pub fn of_fields(paths: &[&str]) -> FieldSet {
        let mut set = FieldSet::default();
        for path in paths {
            let steps: Vec<Step> = path.split('.').map(|name| Step::Field(name.to_owned())).collect();
            set.insert(&steps);
        }
        set
    }

    /// Adds a path. The empty path (the whole object) is never tracked.
    pub fn insert(&mut self, path: &[Step]) {
        match path {
            [] => {}
            [last] => {
                self.members.insert(last.clone());
            }
            [first, rest @ ..] => self.children.entry(first.clone()).or_default().insert(rest),
        }
    }

    /// No path at all.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(FieldSet::is_empty)
    }

    /// Is this single step a member?
    pub fn has(&self, step: &Step) -> bool {
        self.members.contains(step)
    }

    /// The paths below a step, without it.
    pub fn below(&self, step: &Step) -> Option<&FieldSet> {
        self.children.get(step).filter(|set| !set.is_empty())
    }

    /// Paths of either.
    pub fn union(&self, other: &FieldSet) -> FieldSet {
        let mut out = self.clone();
        out.members.extend(other.members.iter().cloned());
        for (step, set) in &other.children {
            let merged = out.children.get(step).map_or_else(|| set.clone(), |mine| mine.union(set));
            out.children.insert(step.clone(), merged);
        }
        out
    }

    /// Paths of both.
    pub fn intersection(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.intersection(&other.members).cloned().collect();
        let children = self
            .children
            .iter()
            .filter_map(|(step, set)| {
                let both = set.intersection(other.children.get(step)?);
                (!both.is_empty()).then(|| (step.clone(), both))
            })
            .collect();
        FieldSet { members, children }
    }

    /// Paths of the first that are not in the second; children of a removed path stay.
    pub fn difference(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self
            .children
            .iter()
            .filter_map(|(step, set)| {
                let rest = other.children.get(step).map_or_else(|| set.clone(), |theirs| set.difference(theirs));
                (!rest.is_empty()).then(|| (step.clone(), rest))
            })
            .collect();
        FieldSet { members, children }
    }

    /// Paths of the first that are neither in the second nor below one of it.
    pub fn recursive_difference(&self, other: &FieldSet) -> FieldSet {
        let members = self.members.difference(&other.members).cloned().collect();
        let children = self
            .children
            .iter()
            .filter(|(step, _)| !other.members.contains(step))
            .filter_map(|(step, set)| {
                let rest =
                    other.children.get(step).map_or_else(|| set.clone(), |theirs| set.recursive_difference(theirs));
                (!rest.is_empty()).then(|| (step.clone(), rest))
            })
            .collect();
        FieldSet { members, children }
    }

    /// The set and every declared field that has something of the set below it.
    pub fn with_named_parents(&self, schema: &Type) -> FieldSet {
        let shape = schema.shape();
        let mut members = self.members.clone();
        let mut children = BTreeMap::new();
        for (step, set) in &self.children {
            let below = match step {
                Step::Field(name) => {
                    if shape.map.as_ref().is_some_and(|map| map.fields.contains_key(name)) {
                        members.insert(step.clone());
                    }
                    shape.map.as_ref().and_then(|map| map.field(name))
                }
                Step::Key(_) | Step::Value(_) | Step::Index(_) => shape.list.as_ref().map(|list| list.item.clone()),
            };
            children.insert(step.clone(), set.with_named_parents(&below.unwrap_or(Type::Untyped)));
        }
        FieldSet { members, children }
    }

    /// Every path, members of a level before what is below.
    pub fn paths(&self) -> Vec<Vec<Step>> {
        let mut out = Vec::new();
        self.collect(&mut Vec::new(), &mut out);
        out
    }

    fn collect(&self, prefix: &mut Vec<Step>, out: &mut Vec<Vec<Step>>) {
        for step in &self.members {
            prefix.push(step.clone());
            out.push(prefix.clone());
            prefix.pop();
        }
        for (step, set) in &self.children {
            prefix.push(step.clone());
            set.collect(prefix, out);
            prefix.pop();
        }
    }

    /// The wire form, `fieldsV1`.
    pub fn to_fields_v1(&self) -> Value {
        Value::Object(self.encode(false))
    }

    fn encode(&self, include_self: bool) -> Map<String, Value> {
        let mut out = Map::new();
        if include_self {
            out.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for step in &self.members {
            if !self.children.contains_key(step) {
                out.insert(step.encode(), Value::Object(Map::new()));
            }
        }
        for (step, set) in &self.children {
            out.insert(step.encode(), Value::Object(set.encode(self.members.contains(step))));
        }
        out
    }

    /// Reads the wire form; steps of an unknown kind are dropped.
    pub fn from_fields_v1(value: &Value) -> FieldSet {
        let mut out = FieldSet::default();
        let Value::Object(map) = value else { return out };
        for (key, below) in map {
            let Some(step) = Step::decode(key) else { continue };
            let set = FieldSet::from_fields_v1(below);
            let Value::Object(inner) = below else { continue };
            if inner.is_empty() || inner.contains_key(".") {
                out.members.insert(step.clone());
            }
            if !set.is_empty() {
                out.children.insert(step, set);
            }
        }
        out
    }
}
