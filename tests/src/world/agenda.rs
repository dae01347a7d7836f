//! What is due, and when: the world's only clockwork. Two events of one instant happen in the order of their adding.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::Place;
use super::guest::GuestStep;
use super::operations::OperationId;

/// Something that happens by itself when its time has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// PENDING to RUNNING.
    OperationRuns(OperationId),
    /// RUNNING to DONE.
    OperationEnds(OperationId),
    /// PROVISIONING to STAGING, in the given round of power.
    Stages(Place, u64),
    /// `maxRunDuration` is over, in the given round of power.
    RunEnds(Place, u64),
    /// The cloud starts an instance again by itself; the number is the incarnation's id.
    Restarts(Place, u64),
    /// A guest does something, in the given round of power.
    Guest(Place, u64, GuestStep),
}

/// Events by time.
#[derive(Clone, Debug, Default)]
pub(super) struct Agenda {
    events: BTreeMap<(Timestamp, u64), Event>,
    added: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Timestamp, event: Event) {
        self.added += 1;
        self.events.insert((at, self.added), event);
    }

    /// The first event that is due at `until`.
    pub(super) fn take(&mut self, until: Timestamp) -> Option<(Timestamp, Event)> {
        let entry = self.events.first_entry()?;
        (entry.key().0 <= until).then(|| {
            let ((at, _), event) = entry.remove_entry();
            (at, event)
        })
    }

    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.events.keys().next().map(|(at, _)| *at)
    }
}
