//! When two cuts are the same one.
//!
//! A new process has nothing but what both worlds remember. So what follows a cut follows from the state of the worlds at the
//! moment in which the controller died, and of all that it did before nothing counts but what it changed. Most requests are
//! reads, many at one moment: whether it dies before the first of them or after the last is the same. A campaign runs one
//! cut for each state ([`different`]); a test in ring 2 holds that others of the same state tell the same story.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::line::STATUS_WAIT;
use super::{Cut, CutPlace};

/// The state of both worlds: each counts its changes, and a run tells everything up to them in only one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// The time.
    pub at: Timestamp,
    /// The API server's version.
    pub cluster: u64,
    /// The cloud's version.
    pub cloud: u64,
}

/// An answer that the controller was about to hear.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When.
    pub moment: Moment,
    /// How many requests had been sent by then.
    pub sent_by_then: usize,
}

/// One request of the controller.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// When it was about to be sent.
    pub sent: Moment,
    /// Its answer; nothing where none came.
    pub answered: Option<Answered>,
    /// Whether it writes a notebook's status.
    pub writes_status: bool,
}

/// The state in which a cut leaves the worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// As they were at that moment.
    At(Moment),
    /// As they had become when the controller was let die without a status write, so long after this.
    After(Timestamp),
    /// Nobody can say: the request had no answer, or there was no such request.
    Unknown(u64),
}

/// How a cut leaves the worlds, in a run that had these requests.
pub fn left_by(exchanges: &[Exchange], cut: Cut) -> Left {
    let exchange = usize::try_from(cut.number).ok().and_then(|number| exchanges.get(number.checked_sub(1)?));
    let Some(exchange) = exchange else { return Left::Unknown(cut.number) };
    if cut.place == CutPlace::BeforeSending {
        return Left::At(exchange.sent);
    }
    let Some(answered) = exchange.answered else { return Left::Unknown(cut.number) };
    if cut.place == CutPlace::BeforeAnswer {
        return Left::At(answered.moment);
    }
    let dies_at = answered.moment.at + SignedDuration::try_from(STATUS_WAIT).unwrap_or(SignedDuration::MAX);
    let later = exchanges.iter().skip(answered.sent_by_then);
    match later.clone().find(|exchange| exchange.writes_status) {
        Some(status) if status.sent.at < dies_at => Left::At(status.sent),
        Some(_) | None => Left::After(answered.moment.at),
    }
}

/// Of these cuts one for each state, each with how many it stands for.
pub fn different(exchanges: &[Exchange], cuts: impl IntoIterator<Item = Cut>) -> Vec<(Cut, usize)> {
    let mut places: BTreeMap<Left, usize> = BTreeMap::new();
    let mut found: Vec<(Cut, usize)> = Vec::new();
    for cut in cuts {
        let place = *places.entry(left_by(exchanges, cut)).or_insert(found.len());
        match found.get_mut(place) {
            Some((_, count)) => *count += 1,
            None => found.push((cut, 1)),
        }
    }
    found
}
