//! One request and its answer against the extract.

use super::super::exchange::{Exchange, method_name};
use super::super::{Request, Response};
use super::extract::{Extract, Field, Method};
use super::kept;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The client.
    Request,
    /// The world.
    Answer,
}

/// One thing that the discovery document does not allow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Who did it.
    pub side: Side,
    /// For example `POST projects/p/zones/z/instances`.
    pub call: String,
    /// For example `body.disks[0].boot`.
    pub place: String,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Request => "request",
            Side::Answer => "answer",
        };
        write!(formatter, "{} ({side}) {}: {}", self.call, self.place, self.message)
    }
}

/// Query parameters that are no method's own and not in the document: what the Rust SDK sends.
const SYSTEM_PARAMETERS: &[&str] = &["$alt", "$apiVersion"];

/// Every list takes this; the newest documents name it in the descriptions of lists only, older ones as a parameter.
const PARTIAL: &str = "returnPartialSuccess";

/// Holds one request and its answer against the document. Nothing is wrong where the list is empty.
pub fn check(request: &Request, response: &Response) -> Vec<Violation> {
    let query = &request.query;
    Checker::new(method_name(request.method), &request.path).check(
        query,
        request.body.as_ref(),
        response.status,
        &response.body,
    )
}

/// The same for a line of a log.
pub fn check_exchange(exchange: &Exchange) -> Vec<Violation> {
    let Exchange { time: _, method, path, query, request, status, response } = exchange;
    Checker::new(method, path).check(query, request.as_ref(), *status, response)
}

/// Every line of a log that the world wrote. A line that is none is a violation too.
pub fn check_log<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<Violation> {
    let parse = |line| match serde_json::from_str::<Exchange>(line) {
        Ok(exchange) => check_exchange(&exchange),
        Err(error) => vec![Violation {
            side: Side::Answer,
            call: "log".to_owned(),
            place: "line".to_owned(),
            message: format!("{error}: {line}"),
        }],
    };
    lines.into_iter().filter(|line| !line.trim().is_empty()).flat_map(parse).collect()
}

/// The id of the method that a request is for, for example `instances.insert`.
pub fn method_of(request: &Request) -> Option<&'static str> {
    Checker::new(method_name(request.method), &request.path).method().map(|(id, _)| id)
}

struct Checker {
    extract: &'static Extract,
    verb: String,
    path: String,
    side: Side,
    /// The method's full id, for what the document requires of its body; empty where that is not asked for.
    required_for: String,
    found: Vec<Violation>,
}

impl Checker {
    fn new(verb: &str, path: &str) -> Self {
        Self {
            extract: kept(),
            verb: verb.to_owned(),
            path: path.to_owned(),
            side: Side::Request,
            required_for: String::new(),
            found: Vec::new(),
        }
    }

    fn report(&mut self, place: &str, message: impl Into<String>) {
        let call = format!("{} {}", self.verb, self.path);
        self.found.push(Violation { side: self.side, call, place: place.to_owned(), message: message.into() });
    }

    fn check(
        mut self,
        query: &[(String, String)],
        body: Option<&Value>,
        status: u16,
        answer: &Value,
    ) -> Vec<Violation> {
        let Some((id, method)) = self.method() else {
            self.report("path", "no method in use has this verb and path");
            return self.found;
        };
        let success = (200..300).contains(&status);
        self.query(method, query, success);
        if success {
            self.required_for = format!("compute.{id}");
        }
        match (&method.request, body) {
            (Some(schema), Some(body)) => self.named(&schema.name, body, "body"),
            (Some(_), None) if success => self.report("body", "is missing"),
            // Clients send `{}` with a POST that has no body; anything more is not known.
            (None, Some(body)) if body.as_object().is_none_or(|body| !body.is_empty()) => {
                self.report("body", "the method has none");
            }
            (Some(_) | None, None) | (None, Some(_)) => {}
        }
        self.side = Side::Answer;
        self.required_for = String::new();
        match (&method.response, success) {
            (Some(schema), true) => self.named(&schema.name, answer, "answer"),
            (None, true) if !answer.is_null() => self.report("answer", "the method has none"),
            (None, true) => {}
            (_, false) => self.error(status, answer),
        }
        self.found
    }

    /// The method with this verb and path; the one with the most literal segments, as `family/{family}` beats nothing.
    fn method(&self) -> Option<(&'static str, &'static Method)> {
        let candidates = self.extract.methods.iter().filter(|(_, method)| method.http_method == self.verb);
        candidates
            .filter_map(|(id, method)| Some((fits(method, &self.path)?, id.as_str(), method)))
            .max_by_key(|(literals, _, _)| *literals)
            .map(|(_, id, method)| (id, method))
    }

    fn query(&mut self, method: &Method, query: &[(String, String)], success: bool) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, value) in query {
            let place = format!("query.{name}");
            *seen.entry(name).or_default() += 1;
            if SYSTEM_PARAMETERS.contains(&name.as_str()) {
                continue;
            }
            let own = method.parameters.get(name).filter(|field| field.location.as_deref() == Some("query"));
            match own.or_else(|| self.extract.parameters.get(name)) {
                Some(field) if seen[name.as_str()] > 1 && !field.repeated => self.report(&place, "is given twice"),
                Some(field) => self.parameter(field, value, &place),
                None if name == PARTIAL && method.parameters.contains_key("filter") => {
                    let boolean = Field { kind: Some("boolean".to_owned()), ..Field::default() };
                    self.parameter(&boolean, value, &place);
                }
                None => self.report(&place, "is not known"),
            }
        }
        for (name, field) in &method.parameters {
            let missing = field.required && field.location.as_deref() == Some("query");
            if success && missing && !seen.contains_key(name.as_str()) {
                self.report(&format!("query.{name}"), "is required");
            }
        }
    }

    fn parameter(&mut self, field: &Field, value: &str, place: &str) {
        match field.kind.as_deref() {
            // gcloud writes `True`, which the service takes.
            Some("boolean") if !["true", "false"].contains(&value.to_ascii_lowercase().as_str()) => {
                self.report(place, "is not true or false");
            }
            Some("integer") => {
                let number = value.parse::<i64>().ok();
                let bound = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<i64>().ok());
                let low = bound(&field.minimum).is_some_and(|bound| number.is_some_and(|number| number < bound));
                let high = bound(&field.maximum).is_some_and(|bound| number.is_some_and(|number| number > bound));
                if number.is_none() || low || high {
                    self.report(place, format!("{value:?} is not an integer within its bounds"));
                }
            }
            Some("string") => self.string(field, value, place),
            Some(_) | None => {}
        }
    }

    fn named(&mut self, name: &str, value: &Value, place: &str) {
        match self.extract.schemas.get(name) {
            Some(schema) => self.field(schema, value, place),
            None => self.report(place, format!("the extract has no schema {name}")),
        }
    }

    fn field(&mut self, field: &Field, value: &Value, place: &str) {
        if let Some(name) = &field.reference {
            return self.named(name, value, place);
        }
        match (field.kind.as_deref(), value) {
            (Some("any") | None, _) | (Some("boolean"), Value::Bool(_)) => {}
            (Some("string"), Value::String(text)) => self.string(field, text, place),
            (Some("integer"), Value::Number(number)) => self.integer(field, number, place),
            (Some("number"), Value::Number(number)) if number.as_f64().is_some_and(f64::is_finite) => {}
            (Some("array"), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    if let Some(of) = &field.items {
                        self.field(of, item, &format!("{place}[{index}]"));
                    }
                }
            }
            (Some("object"), Value::Object(members)) => {
                for (name, member) in members {
                    let place = format!("{place}.{name}");
                    match field.properties.get(name).or(field.additional_properties.as_deref()) {
                        Some(of) => self.field(of, member, &place),
                        None => self.report(&place, "is not known"),
                    }
                }
                self.required(field, value, place);
            }
            (Some(kind), value) => self.report(place, format!("{value} is not of type {kind}")),
        }
    }

    fn required(&mut self, field: &Field, value: &Value, place: &str) {
        for (name, of) in &field.properties {
            let asked = of.annotations.as_ref().is_some_and(|notes| notes.required.contains(&self.required_for));
            if asked && value.get(name).is_none() {
                self.report(&format!("{place}.{name}"), "is required, and the request was accepted without it");
            }
        }
    }

    fn integer(&mut self, field: &Field, number: &serde_json::Number, place: &str) {
        let fits = match field.format.as_deref() {
            Some("uint32") => number.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
            Some(_) | None => number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        };
        if !fits {
            self.report(place, format!("{number} is not an {}", field.format.as_deref().unwrap_or("int32")));
        }
    }

    fn string(&mut self, field: &Field, text: &str, place: &str) {
        if !field.values.is_empty() && !field.values.iter().any(|value| value == text) {
            self.report(place, format!("{text:?} is none of the enum"));
        }
        let fits = match field.format.as_deref() {
            Some("int64") => text.parse::<i64>().is_ok(),
            Some("uint64") => text.parse::<u64>().is_ok(),
            Some("byte") => STANDARD.decode(text).is_ok() || URL_SAFE.decode(text).is_ok(),
            Some("google-datetime" | "date-time") => text.parse::<jiff::Timestamp>().is_ok(),
            Some(_) | None => true,
        };
        if !fits {
            self.report(place, format!("{text:?} is not a {}", field.format.as_deref().unwrap_or("string")));
        }
    }

    /// The legacy form of errors, which Compute Engine answers.
    fn error(&mut self, status: u16, answer: &Value) {
        let error = &answer["error"];
        if error["code"].as_u64() != Some(u64::from(status)) {
            self.report("answer.error.code", format!("{} is not the status {status}", error["code"]));
        }
        let message = error["message"].as_str();
        if message.is_none_or(str::is_empty) {
            self.report("answer.error.message", "says nothing");
        }
        let errors = error["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        if errors.is_empty()
            || errors.iter().any(|one| !["domain", "reason", "message"].iter().all(|key| one[key].is_string()))
        {
            self.report("answer.error.errors", "needs at least one, each with domain, reason and message");
        }
        for key in error.as_object().map(|error| error.keys().cloned().collect::<Vec<_>>()).unwrap_or_default() {
            if !["code", "message", "errors", "status", "details"].contains(&key.as_str()) {
                self.report(&format!("answer.error.{key}"), "is not known");
            }
        }
    }
}

/// How many literal segments of a method's path are in this one; none where it does not fit.
fn fits(method: &'static Method, path: &str) -> Option<usize> {
    let parts = || method.path.split('/').zip(path.split('/'));
    let name_of = |part: &'static str| part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
    // The literals tell nearly all methods apart, and cost less than the patterns.
    let literals = parts().filter(|(part, _)| name_of(part).is_none());
    if method.path.split('/').count() != path.split('/').count() || literals.clone().any(|(part, given)| part != given)
    {
        return None;
    }
    let takes = |name: &str, given: &str| {
        let pattern = method.parameters.get(name).and_then(|field| field.pattern.as_deref());
        !given.is_empty() && pattern.is_none_or(|pattern| matches_whole(pattern, given))
    };
    let all_fit = parts().all(|(part, given)| name_of(part).is_none_or(|name| takes(name, given)));
    all_fit.then(|| literals.count())
}

/// Patterns are few and asked for all the time, so each is compiled once.
static PATTERNS: Mutex<BTreeMap<String, Option<Regex>>> = Mutex::new(BTreeMap::new());

fn matches_whole(pattern: &str, text: &str) -> bool {
    let mut patterns = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if !patterns.contains_key(pattern) {
        patterns.insert(pattern.to_owned(), Regex::new(&format!("^(?:{pattern})$")).ok());
    }
    let compiled = patterns.get(pattern).and_then(Option::as_ref);
    compiled.is_none_or(|pattern| pattern.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::super::super::Method;
    use super::*;
    use serde_json::json;

    fn places(
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
        status: u16,
        answer: Value,
    ) -> Vec<String> {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request { method, path: path.to_owned(), query, body };
        check(&request, &Response { status, body: answer }).into_iter().map(|violation| violation.place).collect()
    }

    const DISKS: &str = "projects/p1-demo/zones/us-central1-a/disks";

    #[test]
    fn what_the_document_allows_passes() {
        let body = json!({"name": "d", "sizeGb": "10", "labels": {"a": "b"}});
        let answer = json!({"kind": "compute#operation", "status": "RUNNING", "progress": 0, "id": "12"});
        let query = [("requestId", "x"), ("$alt", "json"), ("fields", "id")];
        assert_eq!(places(Method::Post, DISKS, &query, Some(body), 200, answer), Vec::<String>::new());
    }

    #[test]
    fn each_kind_of_fault_is_found() {
        let operation = || json!({"status": "DONE"});
        let bad = |body: Value| places(Method::Post, DISKS, &[], Some(body), 200, operation());
        assert_eq!(bad(json!({"name": "d", "sizeGb": 10})), ["body.sizeGb"], "int64 is a string");
        assert_eq!(bad(json!({"name": "d", "size": "10"})), ["body.size"]);
        assert_eq!(bad(json!({"name": "d", "architecture": "Z80"})), ["body.architecture"]);
        assert_eq!(bad(json!({"name": "d", "labels": {"a": 1}})), ["body.labels.a"]);
        assert_eq!(bad(json!({"name": "d", "labelFingerprint": "not base64"})), ["body.labelFingerprint"]);
        let query = |query: &[(&str, &str)]| places(Method::Get, DISKS, query, None, 200, json!({}));
        assert_eq!(query(&[("maxResult", "1")]), ["query.maxResult"]);
        assert_eq!(query(&[("maxResults", "many")]), ["query.maxResults"]);
        assert_eq!(query(&[("returnPartialSuccess", "yes")]), ["query.returnPartialSuccess"]);
        assert_eq!(query(&[("filter", "a"), ("filter", "b")]), ["query.filter"]);
        assert_eq!(places(Method::Get, "projects/p1-demo/zones", &[], None, 200, json!({"item": []})), ["answer.item"]);
        assert_eq!(places(Method::Get, "projects/p1-demo/zoneses", &[], None, 200, json!({})), ["path"]);
        let detach = format!("{}/i/detachDisk", DISKS.replace("disks", "instances"));
        assert_eq!(places(Method::Post, &detach, &[], None, 200, operation()), ["query.deviceName"]);
        let error = json!({"error": {"code": 404, "message": "no"}});
        assert_eq!(places(Method::Get, DISKS, &[], None, 400, error), ["answer.error.code", "answer.error.errors"]);
    }
}
