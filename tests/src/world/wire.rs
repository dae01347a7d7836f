//! The words of the wire: a request, its answer, links, and the forms that times, ids and fingerprints take in JSON.

use base64::Engine as _;
use jiff::Timestamp;
use jiff::tz::{TimeZone, offset};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The verb of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Makes, and every custom verb.
    Post,
    /// Replaces.
    Put,
    /// Changes in part.
    Patch,
    /// Removes.
    Delete,
}

/// One request to the Compute Engine API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The verb.
    pub method: Method,
    /// What follows `/compute/v1/`, percent-decoded: `projects/p/zones/z/instances`.
    pub path: String,
    /// The query parameters in order, decoded.
    pub query: Vec<(String, String)>,
    /// The JSON body, when there is one.
    pub body: Option<Value>,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The HTTP status. [`NO_ANSWER_STATUS`] stands for an answer that never came.
    pub status: u16,
    /// The JSON body.
    pub body: Value,
}

/// The status of a request whose effect took place and whose answer was lost: the front end's own time-out. A face may
/// just as well drop the connection.
pub const NO_ANSWER_STATUS: u16 = 504;

/// Where links point to, and how references are read back.
#[derive(Clone, Debug)]
pub(super) struct Links {
    base: String,
}

impl Links {
    /// `base_url` is all that stands before `projects/` in a link.
    pub(super) fn new(base_url: &str) -> Self {
        Self { base: base_url.trim_end_matches('/').to_owned() }
    }

    /// The link to a resource path such as `projects/p/zones/z`.
    pub(super) fn link(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }
}

/// A reference to another resource as requests write it: a full link, `projects/…`, or only its last part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The project named, if one is.
    pub(super) project: Option<String>,
    /// `zones`, `regions` or `global` with its name, if one is named.
    pub(super) scope: Option<(String, String)>,
    /// The collection, such as `disks`, if one is named.
    pub(super) collection: Option<String>,
    /// All that follows the collection: mostly a name, `family/f` for an image family.
    pub(super) name: String,
}

/// Reads a reference. Only its form is judged here; whether it leads anywhere is the caller's question.
pub(super) fn reference(text: &str) -> Option<Reference> {
    let path = match text.find("projects/") {
        Some(at) => &text[at..],
        None if text.contains("://") => return None,
        None => text.trim_start_matches('/'),
    };
    let mut parts = path.split('/').peekable();
    let mut found = Reference { project: None, scope: None, collection: None, name: String::new() };
    if parts.peek() == Some(&"projects") {
        parts.next();
        found.project = Some(parts.next().filter(|part| !part.is_empty())?.to_owned());
    }
    match parts.peek().copied() {
        Some("global") => {
            parts.next();
            found.scope = Some(("global".to_owned(), String::new()));
        }
        Some(scope @ ("zones" | "regions")) => {
            parts.next();
            found.scope = Some((scope.to_owned(), parts.next().filter(|part| !part.is_empty())?.to_owned()));
        }
        _ => {}
    }
    let rest: Vec<&str> = parts.collect();
    if rest.iter().any(|part| part.is_empty()) {
        return None;
    }
    match rest.as_slice() {
        [] => found.scope.is_some().then_some(found),
        [name] => {
            (*name).clone_into(&mut found.name);
            Some(found)
        }
        [collection, name @ ..] => {
            found.collection = Some((*collection).to_owned());
            found.name = name.join("/");
            Some(found)
        }
    }
}

/// The last part of a link or of a bare name.
pub(super) fn last_part(link: &str) -> &str {
    link.rsplit('/').next().unwrap_or(link)
}

/// A time as Compute Engine writes it: milliseconds, and Pacific time's standard offset all year.
pub(super) fn stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::fixed(offset(-8))).strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string()
}

/// A fingerprint of `content`: valid in both base64 alphabets, as clients differ in the one they decode.
pub(super) fn fingerprint(content: &Value) -> String {
    let mut digest = Sha256::digest(content.to_string().as_bytes());
    loop {
        let text = base64::engine::general_purpose::STANDARD.encode(&digest[..8]);
        if !text.contains(['+', '/']) {
            return text;
        }
        digest = Sha256::digest(digest);
    }
}

/// A member of an object as text; empty when it is absent or something else.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A member as an integer, written as a JSON number or, as int64 are, as a string.
pub(super) fn integer(value: &Value, key: &str) -> Option<i64> {
    match value.get(key)? {
        Value::Number(number) => number.as_i64(),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    }
}

/// A member as a boolean; false when it is absent.
pub(super) fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

/// A member's elements; none when it is absent.
pub(super) fn elements<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// An object's members as a map of their own.
pub(super) fn members(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Whether `text` fits a pattern in which `*` stands for any run of characters.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, tail)) => {
            let Some(rest) = text.strip_prefix(head) else { return false };
            (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| glob(tail, &rest[at..]))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn references_are_read_in_every_form() {
        let full = reference("https://www.googleapis.com/compute/v1/projects/p/zones/z/disks/d").unwrap();
        assert_eq!(
            (full.project.as_deref(), full.collection.as_deref(), full.name.as_str()),
            (Some("p"), Some("disks"), "d")
        );
        assert_eq!(full.scope, Some(("zones".into(), "z".into())));
        assert_eq!(reference("zones/z/machineTypes/e2-micro").unwrap().name, "e2-micro");
        assert_eq!(reference("projects/debian-cloud/global/images/family/debian-12").unwrap().name, "family/debian-12");
        assert_eq!(reference("home-1").unwrap().name, "home-1");
        assert_eq!(reference("https://example.org/else"), None);
        assert_eq!(reference("projects//zones/z"), None);
    }

    #[test]
    fn times_and_fingerprints_have_the_clouds_form() {
        let at: Timestamp = "2026-01-02T09:04:05.0678Z".parse().unwrap();
        assert_eq!(stamp(at), "2026-01-02T01:04:05.067-08:00");
        for number in 0..200 {
            let text = fingerprint(&json!({ "n": number }));
            assert_eq!(text.len(), 12);
            assert!(!text.contains(['+', '/', '-', '_']));
        }
    }

    #[test]
    fn globs() {
        assert!(glob("instances.*", "instances.get") && glob("*", "") && glob("*gpu*", "a-gpu-b"));
        assert!(!glob("disks.*", "instances.get") && !glob("a", "ab"));
    }
}
