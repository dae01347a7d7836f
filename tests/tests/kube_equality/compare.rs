//! Runs a script against a server, and makes answers comparable.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use regex::Regex;
use serde_json::{Value, json};

use super::scripts::Step;

static TIME: LazyLock<Regex> = LazyLock::new(|| expression(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"));
static GENERATED: LazyLock<Regex> = LazyLock::new(|| expression("gen-[a-z0-9]{5}"));
/// Some refusals end with a difference of Go structs, which is for people only.
static RECORD: LazyLock<Regex> = LazyLock::new(|| expression(r"in record \(\d+\)"));
/// Others print Go structs, with Go's names of the fields.
static GO_VALUE: LazyLock<Regex> = LazyLock::new(|| expression(r"Invalid value: \{.*\}: "));
static GO_DIFFERENCE: LazyLock<Regex> = LazyLock::new(|| expression(r"(?s)\n@@.*"));

fn expression(text: &str) -> Regex {
    Regex::new(text).expect("a constant expression")
}

/// One server as a script sees it.
pub struct Side {
    client: Client,
    /// The last object seen at a path.
    seen: BTreeMap<String, Value>,
    /// Versions and uids in the order in which they were first seen.
    versions: Vec<String>,
    uids: Vec<String>,
}

/// An answer without what differs from run to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Side {
    pub fn new(client: Client) -> Side {
        Side { client, seen: BTreeMap::new(), versions: Vec::new(), uids: Vec::new() }
    }

    /// Sends a request, and returns the answer in comparable form.
    pub async fn run(&mut self, step: &Step) -> Answer {
        let (status, body) = self.send(step).await;
        self.remember(step, &body);
        Answer { status, body: self.normal(&body) }
    }

    async fn send(&self, step: &Step) -> (u16, Value) {
        let mut body = step.body.clone();
        self.fill_in(&mut body);
        let bytes = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).expect("JSON") };
        let request = http::Request::builder()
            .method(step.method)
            .uri(&step.path)
            .header(http::header::CONTENT_TYPE, step.content_type)
            .body(Body::from(bytes))
            .expect("a request");
        let response = self.client.send(request).await.expect("an answer");
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.expect("a body").to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn fill_in(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let found = |path: &str, field: &str| {
                    let object = self.seen.get(path);
                    object.and_then(|object| object["metadata"][field].as_str()).unwrap_or("1").to_owned()
                };
                if let Some(path) = text.strip_prefix("@version:") {
                    *text = found(path, "resourceVersion");
                } else if let Some(path) = text.strip_prefix("@uid:") {
                    *text = found(path, "uid");
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|item| self.fill_in(item)),
            Value::Object(map) => map.values_mut().for_each(|item| self.fill_in(item)),
            _ => {}
        }
    }

    fn remember(&mut self, step: &Step, body: &Value) {
        let path = step.path.split('?').next().unwrap_or("");
        let path = path.trim_end_matches("/status").trim_end_matches("/resize");
        let metadata = &body["metadata"];
        let named = metadata["name"].as_str().filter(|_| metadata.get("uid").is_some());
        if let Some(name) = named {
            let place = if step.method == "POST" { format!("{path}/{name}") } else { path.to_owned() };
            self.seen.insert(place, body.clone());
        }
        let items = body["items"].as_array().cloned().unwrap_or_default();
        for object in items.iter().chain([body]) {
            let number = |list: &mut Vec<String>, value: &Value| {
                if let Some(text) = value.as_str().filter(|text| !list.iter().any(|old| old == text)) {
                    list.push(text.to_owned());
                }
            };
            if object["metadata"].get("uid").is_some() {
                number(&mut self.uids, &object["metadata"]["uid"]);
                number(&mut self.versions, &object["metadata"]["resourceVersion"]);
            }
            number(&mut self.uids, &object["details"]["uid"]);
        }
    }

    /// Times, uids, versions and addresses by the order of their appearance; causes and managers sorted.
    pub fn normal(&self, value: &Value) -> Value {
        let mut value = self.renamed("", value);
        if value.get("items").is_some() {
            value["metadata"]["resourceVersion"] = json!("LIST");
            if value["metadata"]["continue"].as_str().is_some_and(|token| !token.is_empty()) {
                value["metadata"]["continue"] = json!("CONTINUE");
            }
        }
        sort_lists(&mut value);
        value
    }

    fn renamed(&self, name: &str, value: &Value) -> Value {
        let place = |list: &[String], text: &str| list.iter().position(|old| old == text);
        match value {
            Value::String(text) => match name {
                "resourceVersion" => {
                    json!(place(&self.versions, text).map_or("UNSEEN".to_owned(), |place| format!("version {place}")))
                }
                "clusterIP" | "clusterIPs" if text != "None" => json!("ADDRESS"),
                "uid" => json!(place(&self.uids, text).map_or(text.clone(), |place| format!("uid {place}"))),
                _ => Value::String(self.renamed_text(text)),
            },
            Value::Array(all) => all.iter().map(|item| self.renamed(name, item)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, item)| (self.renamed_text(key), self.renamed(key, item))).collect()
            }
            other => other.clone(),
        }
    }

    fn renamed_text(&self, text: &str) -> String {
        let mut text = TIME.replace_all(text, "TIME").into_owned();
        text = GENERATED.replace_all(&text, "gen-RANDOM").into_owned();
        text = GO_DIFFERENCE.replace(&text, "").into_owned();
        text = GO_VALUE.replace(&text, "Invalid value: STRUCT: ").into_owned();
        for (place, uid) in self.uids.iter().enumerate() {
            text = text.replace(uid, &format!("uid {place}"));
        }
        for (place, version) in self.versions.iter().enumerate() {
            text = text.replace(&format!("({version})"), &format!("(version {place})"));
        }
        RECORD.replace_all(&text, "in record (UNSEEN)").into_owned()
    }
}

/// The real server sorts managers by time first, and lists causes in the order of a hash map, some twice.
fn sort_lists(value: &mut Value) {
    const TYPED: &str = "failed to create typed patch object";
    let head = |message: &str, end: &str| message.split(end).next().unwrap_or("").to_owned();
    if let Some(causes) = value.pointer_mut("/details/causes").and_then(Value::as_array_mut) {
        causes.sort_by_key(ToString::to_string);
        causes.dedup();
        // The sentence repeats the causes in their order.
        value["message"] = json!(head(value["message"].as_str().unwrap_or(""), ": "));
    } else if let Some(message) = value["message"].as_str().filter(|message| message.starts_with(TYPED)) {
        // Which of several faults are found depends on the order of a hash map.
        value["message"] = json!(head(message, "): "));
    }
    sort_managers(value);
}

fn sort_managers(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(sort_managers),
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                if let (true, Value::Array(list)) = (key == "managedFields", &mut *item) {
                    list.sort_by_key(|entry| {
                        format!(
                            "{}{}{}{}",
                            entry["operation"], entry["manager"], entry["subresource"], entry["apiVersion"]
                        )
                    });
                } else {
                    sort_managers(item);
                }
            }
        }
        _ => {}
    }
}

/// The paths at which two values differ, with both values.
pub fn differences(real: &Value, simulated: &Value) -> Vec<String> {
    let mut out = Vec::new();
    differ("", real, simulated, &mut out);
    out
}

fn differ(path: &str, real: &Value, simulated: &Value, out: &mut Vec<String>) {
    match (real, simulated) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => differ(&format!("{path}/{key}"), x, y, out),
                    (x, y) => out.push(format!("{path}/{key}: real {} simulated {}", shown(x), shown(y))),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (x, y)) in a.iter().zip(b).enumerate() {
                differ(&format!("{path}/{index}"), x, y, out);
            }
        }
        _ if real == simulated => {}
        _ => out.push(format!("{path}: real {real} simulated {simulated}")),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}
