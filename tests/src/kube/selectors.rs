//! Label and field selectors.

use serde_json::Value;

use super::refusal::Refusal;

#[derive(Clone, Debug)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

/// Which objects a list or watch is about.
#[derive(Clone, Debug, Default)]
pub struct Selector {
    labels: Vec<(String, Test)>,
    fields: Vec<(String, bool, String)>,
}

/// Fields that can be selected by, beside name and namespace: resource, field label, path.
const FIELDS: [(&str, &str, &str); 12] = [
    ("pods", "spec.nodeName", "/spec/nodeName"),
    ("pods", "status.phase", "/status/phase"),
    ("pods", "spec.restartPolicy", "/spec/restartPolicy"),
    ("pods", "spec.schedulerName", "/spec/schedulerName"),
    ("pods", "spec.serviceAccountName", "/spec/serviceAccountName"),
    ("nodes", "spec.unschedulable", "/spec/unschedulable"),
    ("namespaces", "status.phase", "/status/phase"),
    ("secrets", "type", "/type"),
    ("services", "spec.clusterIP", "/spec/clusterIP"),
    ("services", "spec.type", "/spec/type"),
    ("events", "involvedObject.uid", "/involvedObject/uid"),
    ("events", "reason", "/reason"),
];

impl Selector {
    /// Reads both selectors of a request.
    pub fn parse(labels: Option<&str>, fields: Option<&str>, resource: &str, custom: bool) -> Result<Self, Refusal> {
        let mut out = Selector::default();
        for part in split_top(labels.unwrap_or("")) {
            out.labels.push(parse_label(part.trim()).ok_or_else(|| {
                Refusal::bad_request(format!("unable to parse requirement: found '{part}', expected: identifier"))
            })?);
        }
        for part in fields.unwrap_or("").split(',').filter(|part| !part.is_empty()) {
            let (name, equal, value) = parse_field(part).ok_or_else(|| {
                Refusal::bad_request(format!("invalid selector: '{part}'; can't understand '{part}'"))
            })?;
            if pointer(&name, resource, custom).is_none() {
                let message = format!("field label not supported: {name}");
                return Err(Refusal::bad_request(format!(
                    "Unable to find {resource:?} that match label selector \"\", field selector {part:?}: {message}"
                )));
            }
            out.fields.push((name, equal, value));
        }
        Ok(out)
    }

    /// Selects everything?
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Does the object match?
    pub fn matches(&self, object: &Value, resource: &str, custom: bool) -> bool {
        let label = |key: &str| object["metadata"]["labels"].get(key).and_then(Value::as_str);
        let labels = self.labels.iter().all(|(key, test)| match (test, label(key)) {
            (Test::In(values), Some(value)) => values.iter().any(|wanted| wanted == value),
            (Test::NotIn(values), Some(value)) => !values.iter().any(|wanted| wanted == value),
            (Test::In(_) | Test::Exists, None) | (Test::Absent, Some(_)) => false,
            (Test::NotIn(_) | Test::Absent, None) | (Test::Exists, Some(_)) => true,
        });
        labels
            && self.fields.iter().all(|(name, equal, wanted)| {
                let found = pointer(name, resource, custom).and_then(|path| object.pointer(path));
                let found = match found {
                    Some(Value::String(text)) => text.clone(),
                    Some(Value::Bool(flag)) => flag.to_string(),
                    _ => {
                        if name == "spec.unschedulable" {
                            "false".to_owned()
                        } else {
                            String::new()
                        }
                    }
                };
                (found == *wanted) == *equal
            })
    }
}

fn pointer(name: &str, resource: &str, custom: bool) -> Option<&'static str> {
    match name {
        "metadata.name" => Some("/metadata/name"),
        "metadata.namespace" => Some("/metadata/namespace"),
        _ if custom => None,
        _ => FIELDS.iter().find(|(of, label, _)| *of == resource && *label == name).map(|(_, _, path)| *path),
    }
}

/// Splits at commas outside parentheses.
fn split_top(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut out) = (0, 0, Vec::new());
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                out.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    out.push(&text[start..]);
    out.retain(|part| !part.trim().is_empty());
    out
}

fn parse_label(part: &str) -> Option<(String, Test)> {
    let name_ok =
        |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let list = |text: &str| -> Option<Vec<String>> {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|value| value.trim().to_owned()).collect())
    };
    let (name, test) = if let Some(name) = part.strip_prefix('!') {
        (name, Test::Absent)
    } else if let Some((name, value)) = part.split_once("!=") {
        (name, Test::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((name, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (name, Test::In(vec![value.trim().to_owned()]))
    } else if let Some((name, rest)) = part.split_once(" notin ") {
        (name, Test::NotIn(list(rest)?))
    } else if let Some((name, rest)) = part.split_once(" in ") {
        (name, Test::In(list(rest)?))
    } else {
        (part, Test::Exists)
    };
    let name = name.trim();
    name_ok(name).then(|| (name.to_owned(), test))
}

fn parse_field(part: &str) -> Option<(String, bool, String)> {
    let (name, equal, value) = if let Some((name, value)) = part.split_once("!=") {
        (name, false, value)
    } else {
        let (name, value) = part.split_once("==").or_else(|| part.split_once('='))?;
        (name, true, value)
    };
    Some((name.to_owned(), equal, value.to_owned()))
}
