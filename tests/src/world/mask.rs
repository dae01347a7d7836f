//! The `fields` parameter: which members of an answer are sent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::errors::Refusal;

/// A mask such as `items/*/instances(name,zone),nextPageToken`. An empty mask under a name takes all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mask {
    members: BTreeMap<String, Mask>,
}

impl Mask {
    /// Reads a mask; anything but its grammar is refused.
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let mut rest = text;
        let mask = Self::list(&mut rest).filter(|_| rest.is_empty());
        mask.ok_or_else(|| Refusal::new(400, "invalidParameter", format!("Invalid field selection {text}")))
    }

    /// Every path that the mask names.
    pub(super) fn paths(&self) -> Vec<Vec<String>> {
        let mut paths = Vec::new();
        for (name, inner) in &self.members {
            let deeper = inner.paths();
            if deeper.is_empty() {
                paths.push(vec![name.clone()]);
            }
            for mut path in deeper {
                path.insert(0, name.clone());
                paths.push(path);
            }
        }
        paths
    }

    fn list(rest: &mut &str) -> Option<Self> {
        let mut mask = Mask::default();
        loop {
            mask.add(rest)?;
            match rest.strip_prefix(',') {
                Some(after) => *rest = after,
                None => return Some(mask),
            }
        }
    }

    /// Reads one path and puts it in.
    fn add(&mut self, rest: &mut &str) -> Option<()> {
        let end = rest.find(['/', ',', '(', ')']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let name = name.trim();
        let known = |one: char| one.is_ascii_alphanumeric() || matches!(one, '_' | '*' | '-');
        if name.is_empty() || !name.chars().all(known) {
            return None;
        }
        *rest = after;
        let whole = self.members.get(name).is_some_and(|inner| inner.members.is_empty());
        let inner = self.members.entry(name.to_owned()).or_default();
        if let Some(after) = rest.strip_prefix('/') {
            *rest = after;
            inner.add(rest)?;
        } else if let Some(after) = rest.strip_prefix('(') {
            *rest = after;
            let list = Self::list(rest)?;
            *rest = rest.strip_prefix(')')?;
            inner.members.extend(list.members);
        } else {
            inner.members.clear();
        }
        // What was asked for whole stays whole.
        if whole {
            inner.members.clear();
        }
        Some(())
    }

    /// Cuts an answer. Lists are cut element by element.
    pub(super) fn cut(&self, value: &Value) -> Value {
        if self.members.is_empty() {
            return value.clone();
        }
        match value {
            Value::Array(elements) => Value::Array(elements.iter().map(|element| self.cut(element)).collect()),
            Value::Object(members) => {
                let mut kept = Map::new();
                for (name, member) in members {
                    if let Some(mask) = self.members.get(name).or_else(|| self.members.get("*")) {
                        kept.insert(name.clone(), mask.cut(member));
                    }
                }
                Value::Object(kept)
            }
            other => other.clone(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn masks_cut() {
        let answer = json!({
            "kind": "k",
            "items": {
                "zones/a": { "instances": [{ "name": "i", "zone": "z", "status": "RUNNING", "tags": { "items": [] } }] },
                "zones/b": { "warning": { "code": "NO_RESULTS_ON_PAGE" } },
            },
            "nextPageToken": "t",
        });
        let cut = |mask: &str| Mask::read(mask).unwrap().cut(&answer);
        assert_eq!(
            cut("items/*/instances(name,zone),nextPageToken"),
            json!({ "items": { "zones/a": { "instances": [{ "name": "i", "zone": "z" }] }, "zones/b": {} }, "nextPageToken": "t" })
        );
        assert_eq!(cut("kind"), json!({ "kind": "k" }));
        assert_eq!(cut("*"), answer);
        assert_eq!(cut("items(*/instances/name),kind")["items"]["zones/a"], json!({ "instances": [{ "name": "i" }] }));
        assert_eq!(cut("nothing"), json!({}));
    }

    #[test]
    fn other_words_are_refused() {
        for wrong in ["", "a,", "a(b", "a)b", "a//b", "a b", "items/*/"] {
            assert!(Mask::read(wrong).is_err(), "{wrong}");
        }
    }
}
