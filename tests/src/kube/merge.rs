//! Merging an applied configuration into the live object (structured-merge-diff's `typed.Merge`).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fieldset::Step;
use super::schema::{ListKind, ListShape, Type};
use super::typed::{Atom, atom, entries, item_step, items};

/// The left object with everything of the right one.
///
/// Nothing is removed. Where both give a leaf the right one wins. Items of sets and list maps keep the order of the
/// right one where it names them, and of the left one elsewhere.
pub fn merge(left: Option<&Value>, right: Option<&Value>, schema: &Type) -> Option<Value> {
    let shape = schema.shape();
    let form = match right {
        None => atom(shape, left),
        Some(_) => atom(shape, right),
    };
    let leaf = || right.or(left).cloned();
    match form {
        Atom::Nothing => None,
        Atom::Scalar => leaf(),
        Atom::List(list) => {
            let (l, r) = (items(left), items(right));
            if list.kind == ListKind::Atomic || (l.is_empty() && r.is_empty()) {
                return leaf();
            }
            merge_lists(l, r, list)
        }
        Atom::Map(map) => {
            let empty = Map::new();
            let (l, r) = (entries(left).unwrap_or(&empty), entries(right).unwrap_or(&empty));
            if map.atomic || (l.is_empty() && r.is_empty()) {
                return leaf();
            }
            let keys: BTreeSet<&String> = l.keys().chain(r.keys()).collect();
            let mut out = Map::new();
            for key in keys {
                let field = map.field(key).unwrap_or(Type::Deduced);
                if let Some(merged) = merge(l.get(key), r.get(key), &field) {
                    out.insert(key.clone(), merged);
                }
            }
            (!out.is_empty()).then_some(Value::Object(out))
        }
    }
}

struct Side<'a> {
    steps: Vec<Step>,
    values: Vec<&'a Value>,
    /// By step; none where the step occurs more than once, as duplicates are not merged into.
    single: BTreeMap<Step, Option<&'a Value>>,
}

fn index<'a>(all: &'a [Value], list: &ListShape) -> Side<'a> {
    let mut side = Side { steps: Vec::new(), values: Vec::new(), single: BTreeMap::new() };
    for item in all {
        let Ok(step) = item_step(list, item) else { continue };
        let known = side.single.contains_key(&step);
        side.single.insert(step.clone(), (!known).then_some(item));
        side.steps.push(step);
        side.values.push(item);
    }
    side
}

fn merge_lists(left: &[Value], right: &[Value], list: &ListShape) -> Option<Value> {
    let (l, r) = (index(left, list), index(right, list));
    let mut shared = r.steps.iter().filter(|step| l.single.contains_key(*step));
    let mut next_shared = shared.next();
    let mut merged_right: BTreeSet<&Step> = BTreeSet::new();
    let mut out = Vec::new();
    let both = |step: &Step| {
        let left_item = l.single.get(step).copied().flatten();
        let right_item = r.single.get(step).copied().flatten();
        merge(left_item, right_item, &list.item)
    };
    let (mut li, mut ri) = (0, 0);
    while li < l.steps.len() || ri < r.steps.len() {
        if let (Some(step), Some(right_step)) = (l.steps.get(li), r.steps.get(ri)) {
            if step == right_step {
                merged_right.insert(step);
                out.extend(both(step));
                (li, ri) = (li + 1, ri + 1);
                next_shared = shared.next();
                continue;
            }
            if r.single.contains_key(step) && next_shared.is_some_and(|next| next != step) {
                li += 1;
                continue;
            }
        }
        if let Some(step) = l.steps.get(li) {
            if !r.single.contains_key(step) {
                out.extend(merge(Some(l.values[li]), None, &list.item));
                li += 1;
                continue;
            } else if merged_right.contains(step) {
                li += 1;
            }
        }
        if let Some(step) = r.steps.get(ri) {
            merged_right.insert(step);
            out.extend(both(step));
            ri += 1;
            if next_shared == Some(step) {
                next_shared = shared.next();
            }
        }
    }
    (!out.is_empty()).then_some(Value::Array(out))
}
