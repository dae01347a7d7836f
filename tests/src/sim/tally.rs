//! What a run is counted by: requests, faults, and what the controller and its status have reached.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::lives::Reached;
use super::shared::{Shared, lock};
use crate::kube::{Call, Verb};

/// The counts of one run, over all its crashes.
#[derive(Default)]
pub(super) struct Tally {
    requests: AtomicU64,
    faults: AtomicUsize,
    reached: Mutex<Reached>,
}

impl Tally {
    /// The controller sent a request.
    pub(super) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// Something went wrong on purpose.
    pub(super) fn fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// The API server answered the controller.
    pub(super) fn called(&self, call: &Call, status: u16) {
        if !call.verb.is_write() || status >= 300 {
            return;
        }
        let body = call.body.as_deref();
        let mut reached = lock(&self.reached);
        match (call.resource.as_str(), call.subresource.as_str(), body) {
            ("notebooks", "status", Some(body)) => reached.status(&body["status"]),
            ("events", _, Some(body)) => reached.event(body),
            (resource, "", _) => reached.action(format!("{} {resource}", verb(call.verb))),
            (resource, subresource, _) => reached.action(format!("{} {resource}/{subresource}", verb(call.verb))),
        }
    }
}

fn verb(verb: Verb) -> &'static str {
    verb.as_str()
}

impl Shared {
    /// How many requests the controller sent in all.
    pub fn requests(&self) -> u64 {
        self.tally.requests.load(Ordering::Relaxed)
    }

    /// How many faults there were.
    pub fn faults(&self) -> usize {
        self.tally.faults.load(Ordering::Relaxed)
    }

    /// What was reached.
    pub fn reached(&self) -> Reached {
        lock(&self.tally.reached).clone()
    }

    /// The controller asked the cloud for a change.
    pub fn acted(&self, verb: &'static str) {
        lock(&self.tally.reached).action(verb.to_owned());
    }
}
