//! The queue without its waiting: plain data, and a time that is passed in.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Key, Lane, QueueSettings};

/// What became of a wake.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There was room for it.
    Found,
    /// There was none, so a less urgent notebook gave way.
    Displaced(Key),
    /// There was none, and nothing less urgent.
    Refused(Key),
}

/// What can be done next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// This turn, now.
    Turn { key: Key, lane: Lane, due: Timestamp },
    /// A turn, at this time.
    At(Timestamp),
    /// Nothing until something changes.
    None,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    lane: Lane,
    due: Timestamp,
    place: Place,
}

/// In which index a waiting notebook is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Due,
    Later,
    /// In none: it has a turn, and is put into one when that ends.
    Kept,
}

/// Who waits, who has a turn. Every step costs a few look-ups in ordered maps, however many wait.
#[derive(Debug)]
pub(super) struct Line {
    settings: QueueSettings,
    waiting: BTreeMap<Key, Waiting>,
    /// Those that were due when we last looked, in the order of their turns.
    due: BTreeSet<(Lane, Timestamp, Key)>,
    /// Those that were not, in the order of their times.
    later: BTreeSet<(Timestamp, Lane, Key)>,
    turns: BTreeSet<Key>,
    refused: u64,
    counts: BTreeMap<Lane, usize>,
}

impl Line {
    pub(super) fn new(settings: QueueSettings) -> Self {
        Self {
            settings,
            waiting: BTreeMap::new(),
            due: BTreeSet::new(),
            later: BTreeSet::new(),
            turns: BTreeSet::new(),
            refused: 0,
            counts: Lane::ALL.map(|lane| (lane, 0)).into(),
        }
    }

    pub(super) fn wake(&mut self, key: Key, lane: Lane, due: Timestamp) -> Room {
        if let Some(former) = self.remove(&key) {
            self.insert(key, lane.min(former.lane), due.min(former.due));
            return Room::Found;
        }
        if self.waiting.len() < self.settings.most {
            self.insert(key, lane, due);
            return Room::Found;
        }
        self.refused += 1;
        match self.least_urgent() {
            Some((worst_lane, worst)) if worst_lane > lane => {
                self.remove(&worst);
                self.insert(key, lane, due);
                Room::Displaced(worst)
            }
            Some(_) | None => Room::Refused(key),
        }
    }

    /// The next turn, if there may be one now.
    pub(super) fn take(&mut self, now: Timestamp) -> Next {
        if self.turns.len() >= self.settings.concurrency {
            return Next::None;
        }
        self.ripen(now);
        if let Some((lane, due, key)) = self.due.first().cloned() {
            self.remove(&key);
            self.turns.insert(key.clone());
            return Next::Turn { key, lane, due };
        }
        self.later.first().map_or(Next::None, |(due, _, _)| Next::At(*due))
    }

    /// Ends a turn.
    pub(super) fn release(&mut self, key: &Key) {
        if self.turns.remove(key)
            && let Some(kept) = self.remove(key)
        {
            self.insert(key.clone(), kept.lane, kept.due);
        }
    }

    pub(super) fn forget(&mut self, key: &Key) {
        self.remove(key);
    }

    pub(super) fn len_by_lane(&self) -> BTreeMap<Lane, usize> {
        self.counts.clone()
    }

    pub(super) fn turns_out(&self) -> usize {
        self.turns.len()
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// Moves those that have become due. Each moves once, so that nobody's turn costs a look at all.
    fn ripen(&mut self, now: Timestamp) {
        while let Some((due, lane, key)) = self.later.pop_first() {
            if due > now {
                self.later.insert((due, lane, key));
                return;
            }
            if let Some(waiting) = self.waiting.get_mut(&key) {
                waiting.place = Place::Due;
            }
            self.due.insert((lane, due, key));
        }
    }

    /// Puts a notebook that does not wait into line. All start as later ones: the next look sorts out who is due.
    fn insert(&mut self, key: Key, lane: Lane, due: Timestamp) {
        let place = if self.turns.contains(&key) { Place::Kept } else { Place::Later };
        if place == Place::Later {
            self.later.insert((due, lane, key.clone()));
        }
        *self.counts.entry(lane).or_default() += 1;
        self.waiting.insert(key, Waiting { lane, due, place });
    }

    fn remove(&mut self, key: &Key) -> Option<Waiting> {
        let found = self.waiting.remove(key)?;
        match found.place {
            Place::Due => self.due.remove(&(found.lane, found.due, key.clone())),
            Place::Later => self.later.remove(&(found.due, found.lane, key.clone())),
            Place::Kept => false,
        };
        if let Some(count) = self.counts.get_mut(&found.lane) {
            *count = count.saturating_sub(1);
        }
        Some(found)
    }

    /// The one whose wait costs least: the last of those that have time, else the last of those that are due.
    fn least_urgent(&self) -> Option<(Lane, Key)> {
        let later = self.later.last().map(|(_, lane, key)| (*lane, key));
        let due = self.due.last().map(|(lane, _, key)| (*lane, key));
        later.into_iter().chain(due).max_by_key(|(lane, _)| *lane).map(|(lane, key)| (lane, key.clone()))
    }
}
