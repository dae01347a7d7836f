//! What goes wrong on purpose: errors, delays, lost answers, partial and hidden lists, and rate quotas.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::World;
use super::errors::{OperationFailure, Refusal};
use super::route::{Call, Sort};
use super::wire::glob;

/// The project's rate quota in each group: requests a minute (the published figure of old).
const RATE_A_MINUTE: u32 = 1500;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum FaultKind {
    /// It is refused at once, without any effect.
    HttpError {
        /// The HTTP status.
        status: u16,
        /// `error.errors[0].reason`.
        reason: String,
        /// The sentence.
        message: String,
    },
    /// 403 `rateLimitExceeded`.
    RateLimit,
    /// 403 `rateLimitExceeded` with `CONCURRENT_OPERATIONS_QUOTA_EXCEEDED`.
    ConcurrentOperations,
    /// The operation ends with an error.
    OperationError(OperationFailure),
    /// The operation takes so much longer.
    Latency(SignedDuration),
    /// The effect takes place, the answer is lost: [`super::NO_ANSWER_STATUS`].
    TimeoutAfterEffect,
    /// These zones are unreachable for an aggregated list; with `returnPartialSuccess` the rest is answered.
    PartialList(Vec<String>),
    /// A list answers as if nothing were there, with no word of warning: a replica far behind.
    HiddenList,
}

/// A fault that waits for its request.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Which methods: a pattern such as `instances.*`.
    pub method: String,
    /// Which names in the path or, for inserts, in the body; `*` for all.
    pub target: String,
    /// How many matching requests go through before.
    pub after: u32,
    /// How many matching requests it then befalls.
    pub times: u32,
    /// What happens.
    pub kind: FaultKind,
}

impl Fault {
    /// The next request of `method` suffers `kind`.
    pub fn next(method: &str, kind: FaultKind) -> Self {
        Self { method: method.to_owned(), target: "*".to_owned(), after: 0, times: 1, kind }
    }
}

/// What the faults do to the request at hand.
#[derive(Clone, Debug, Default)]
pub(super) struct Tamper {
    pub(super) failure: Option<OperationFailure>,
    pub(super) latency: Option<SignedDuration>,
    pub(super) answer_lost: bool,
    pub(super) unreachable: Vec<String>,
    pub(super) hidden: bool,
}

/// Rate quotas and what is spent of them in this minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Rates {
    pub(super) limits: BTreeMap<&'static str, Option<u32>>,
    spent: BTreeMap<&'static str, u32>,
    minute: i64,
    pub(super) concurrent_operations_max: Option<u32>,
}

/// The rate groups by name.
pub(super) fn group_of(sort: Sort) -> &'static str {
    match sort {
        Sort::Mutate => "Queries",
        Sort::Read => "ReadGroup",
        Sort::List | Sort::Aggregate => "ListGroup",
        Sort::Operation => "OperationReadGroup",
    }
}

impl World {
    /// Counts a request against its group's minute.
    pub(super) fn spend_rate(&mut self, call: &Call) -> Result<(), Refusal> {
        let minute = self.now.as_second().div_euclid(60);
        if self.rates.minute != minute {
            self.rates.minute = minute;
            self.rates.spent.clear();
        }
        let group = group_of(call.api.sort());
        let limit = self.rates.limits.get(group).copied().unwrap_or(Some(RATE_A_MINUTE));
        let spent = self.rates.spent.entry(group).or_default();
        match limit {
            Some(limit) if *spent >= limit => Err(Refusal::rate_limit(group)),
            Some(_) | None => {
                *spent += 1;
                Ok(())
            }
        }
    }

    /// Looks which fault is meant for a request.
    pub(super) fn tamper_with(&mut self, call: &Call) -> Result<(), Refusal> {
        let in_body = call.body.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        let name = if call.name.is_empty() { in_body } else { &call.name };
        let fits = |fault: &Fault| glob(&fault.method, call.api.id()) && glob(&fault.target, name);
        let Some(at) = self.faults.iter().position(fits) else { return Ok(()) };
        let Some(fault) = self.faults.get_mut(at) else { return Ok(()) };
        if fault.after > 0 {
            fault.after -= 1;
            return Ok(());
        }
        fault.times = fault.times.saturating_sub(1);
        let kind = fault.kind.clone();
        if fault.times == 0 {
            self.faults.remove(at);
        }
        match kind {
            FaultKind::HttpError { status, reason, message } => return Err(Refusal::new(status, &reason, message)),
            FaultKind::RateLimit => return Err(Refusal::rate_limit(group_of(call.api.sort()))),
            FaultKind::ConcurrentOperations => return Err(Refusal::concurrent_operations()),
            FaultKind::OperationError(failure) => self.tamper.failure = Some(failure),
            FaultKind::Latency(longer) => self.tamper.latency = Some(longer),
            FaultKind::TimeoutAfterEffect => self.tamper.answer_lost = true,
            FaultKind::PartialList(zones) => self.tamper.unreachable = zones,
            FaultKind::HiddenList => self.tamper.hidden = true,
        }
        Ok(())
    }
}
