//! The broken manifests, as they stand in the table.

use std::path::Path;

use rehost_tests::quickstart::NAMESPACE;
use serde::Deserialize;
use serde_json::Value;

/// Who refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expect {
    /// The API server.
    Admission,
    /// The controller.
    Stalled,
}

/// One broken manifest.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Case {
    pub name: String,
    /// Laid over the base.
    pub patch: Value,
    /// Laid over the result: the edit that is refused.
    pub then: Option<Value>,
    pub expect: Expect,
    pub says: Vec<String>,
    #[serde(default)]
    pub never_says: Vec<String>,
}

#[derive(Deserialize)]
struct Table {
    base: Value,
    cases: Vec<Case>,
}

/// The base and the cases.
pub fn all() -> (Value, Vec<Case>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken_manifests.yaml");
    let text = std::fs::read_to_string(path).expect("the table is there");
    let Table { mut base, cases } = serde_saphyr::from_str(&text).expect("the table is well-formed");
    base["metadata"]["namespace"] = NAMESPACE.into();
    assert!(cases.len() >= 30, "the table has lost cases: {}", cases.len());
    (base, cases)
}

/// A JSON merge patch (RFC 7386).
pub fn merged(target: &Value, patch: &Value) -> Value {
    let Value::Object(fields) = patch else { return patch.clone() };
    let mut result = target.as_object().cloned().unwrap_or_default();
    for (key, value) in fields {
        if value.is_null() {
            result.remove(key);
        } else {
            let merged = merged(result.get(key).unwrap_or(&Value::Null), value);
            result.insert(key.clone(), merged);
        }
    }
    Value::Object(result)
}

impl Case {
    /// What the message lacks, or has and must not have.
    pub fn faults(&self, message: &str) -> Vec<String> {
        let lacks =
            self.says.iter().filter(|part| !message.contains(part.as_str())).map(|part| format!("lacks {part:?}"));
        let leaks =
            self.never_says.iter().filter(|part| message.contains(part.as_str())).map(|part| format!("has {part:?}"));
        lacks.chain(leaks).collect()
    }
}
