//! What a plan found the situation to be: status turns it into conditions and sentences.

use rehost_api::conditions::Reason;
use rehost_api::status::{Step, StopReason, TransitionKind};

use crate::desired::Refusal;

/// The situation of a notebook, one of the rows of the product's table of conditions.
#[derive(Clone, Debug, PartialEq)]
pub enum Situation {
    /// It runs as declared.
    AsDeclared,
    /// It is stopped as asked, by idle, schedule or lifetime.
    Stopped(StopReason),
    /// It is suspended, for one of the same reasons.
    Suspended(StopReason),
    /// A change waits for idle, the next stop or a window.
    ChangePending(String),
    /// It serves on another shape than the wished one, or nothing could be had at all: memory's `retry` says why and until when.
    Short,
    /// It serves on a fallback, and what the return to the wished host waits for: memory's `retry` says why.
    Substituted(String),
    /// A change is under way.
    Changing {
        /// Which.
        kind: TransitionKind,
        /// How far it has come.
        step: Step,
        /// What is waited for.
        detail: String,
    },
    /// A person must act.
    Refused(Refusal),
    /// Something could not be looked at, so nothing is done.
    Unclear(String),
    /// It is being deleted.
    Deleting(String),
}

/// One event for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether it is a warning.
    pub warning: bool,
    /// A condition reason.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
}
