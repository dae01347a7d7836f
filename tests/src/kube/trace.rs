//! The record of all requests, in the order of their effects.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::hooks::Call;
use super::request::Verb;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The client got an answer.
    Answered {
        /// HTTP status.
        status: u16,
        /// Reason of a refusal, else empty.
        reason: String,
        /// A hash of the body. Watches, whose bodies come later, have none.
        body_hash: String,
    },
    /// The connection broke before the effect or after it.
    Broken,
    /// No answer ever came.
    Silent,
}

/// A line of the trace.
#[derive(Clone, Debug)]
pub struct Line {
    /// When, on the server's clock.
    pub at: Timestamp,
    /// The request.
    pub call: Call,
    /// Did the server act on it? (HTTP status of the effect; none if it never reached the server.)
    pub effect: Option<u16>,
    /// What the client saw.
    pub ending: Option<Ending>,
}

/// The trace.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: Vec<Line>,
}

impl Trace {
    /// A request has come; returns its number.
    pub fn begin(&mut self, at: Timestamp, mut call: Call) -> Call {
        call.number = u64::try_from(self.lines.len()).unwrap_or(u64::MAX);
        self.lines.push(Line { at, call: call.clone(), effect: None, ending: None });
        call
    }

    fn line(&mut self, number: u64) -> Option<&mut Line> {
        self.lines.get_mut(usize::try_from(number).ok()?)
    }

    /// The server has acted.
    pub fn effect(&mut self, number: u64, status: u16) {
        if let Some(line) = self.line(number) {
            line.effect = Some(status);
        }
    }

    /// The client has been answered, or not.
    pub fn end(&mut self, number: u64, ending: Ending) {
        if let Some(line) = self.line(number) {
            line.ending = Some(ending);
        }
    }

    /// All lines, in the order in which requests came.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many requests of a user and verb came.
    pub fn count(&self, user: &str, verb: Verb) -> usize {
        self.lines.iter().filter(|line| line.call.user == user && line.call.verb == verb).count()
    }

    /// Requests by user and verb, as an audit log would count them.
    pub fn counts(&self) -> BTreeMap<(String, Verb), usize> {
        let mut out = BTreeMap::new();
        for line in &self.lines {
            *out.entry((line.call.user.clone(), line.call.verb)).or_default() += 1;
        }
        out
    }

    /// One hash over everything: equal runs have equal hashes.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for line in &self.lines {
            let call = &line.call;
            let body = call.body.as_ref().map(ToString::to_string).unwrap_or_default();
            hasher.update(format!(
                "{} {} {} {} {}/{} {}/{} {} {body} {:?} {:?}\n",
                line.at,
                call.number,
                call.user,
                call.verb.as_str(),
                call.group,
                call.resource,
                call.namespace,
                call.name,
                call.query,
                line.effect,
                line.ending
            ));
        }
        hex(&hasher.finalize())
    }
}

/// The hash of a body.
pub fn body_hash(body: &[u8]) -> String {
    hex(&Sha256::digest(body))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
