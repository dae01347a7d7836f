//! The wake queue: which notebook is looked at next.
//!
//! # Guarantees
//! - Among those that are due the order is (lane, due time, key), so equal histories give equal orders.
//! - A notebook has one turn at a time. A wake during its turn is kept, and becomes a turn after it.
//! - Wakes of one notebook become one: the earlier time and the higher lane win.
//! - A turn that ends in a panic is followed by another one, a minute later.
//! - At most `concurrency` turns are out, and at most `most` notebooks wait.
//!
//! # Caveats
//! Due times are times of day, because plans speak in them. A step of that clock is noticed within a minute.

mod line;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{Either, select};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use self::line::{Line, Next, Room};
use crate::clock::SharedClock;

/// The longest wait for a due time in one piece: the time of day may be set meanwhile.
const WAIT_MAX: Duration = Duration::from_mins(1);
/// When a notebook whose turn ended in a panic has its next one.
const AFTER_PANIC: Duration = Duration::from_mins(1);

/// Which notebook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: another notebook of the same name is another key.
    pub uid: String,
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Why a notebook is looked at, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// A person changed it.
    People,
    /// A change is under way, and something of it moved.
    Transition,
    /// A round over everything.
    Sweep,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 3] = [Self::People, Self::Transition, Self::Sweep];

    /// The lane as the value of a metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::People => "people",
            Self::Transition => "transition",
            Self::Sweep => "sweep",
        }
    }
}

/// The bounds of a [`Queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// How many turns are out at once.
    pub concurrency: usize,
    /// How many notebooks wait at once.
    pub most: usize,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { concurrency: 32, most: 100_000 }
    }
}

/// The queue. Callers share it behind an `Arc`.
pub struct Queue {
    inner: Arc<Inner>,
}

struct Inner {
    clock: SharedClock,
    line: Mutex<Line>,
    /// Told of everything after which another turn may be possible, or an earlier one.
    changed: Notify,
}

impl Inner {
    fn line(&self) -> MutexGuard<'_, Line> {
        // Nothing in there can panic half-way; a poisoned lock would only spread somebody else's panic.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(clock: SharedClock, settings: QueueSettings) -> Self {
        let line = Mutex::new(Line::new(settings));
        Self { inner: Arc::new(Inner { clock, line, changed: Notify::new() }) }
    }

    /// Asks for a look at this notebook now.
    pub fn wake(&self, key: Key, lane: Lane) {
        self.wake_at(key, lane, self.inner.clock.now());
    }

    /// Asks for a look at this notebook at the given time. An earlier time and a higher lane that it already has stay.
    ///
    /// When the queue is full, the least urgent gives way, be it this one; that is counted ([`Queue::refused`]) and
    /// logged, and its next change wakes it again.
    pub fn wake_at(&self, key: Key, lane: Lane, due: Timestamp) {
        let room = self.inner.line().wake(key, lane, due);
        match room {
            Room::Found => self.inner.changed.notify_waiters(),
            Room::Displaced(other) => {
                tracing::error!(notebook = %other, "the queue is full: a less urgent notebook was dropped from it");
                self.inner.changed.notify_waiters();
            }
            Room::Refused(key) => tracing::error!(notebook = %key, "the queue is full: the notebook was not woken"),
        }
    }

    /// Waits for the next turn. Dropping the future loses nothing.
    pub async fn next(&self) -> Ticket {
        loop {
            let mut changed = pin!(self.inner.changed.notified());
            // From here on no change is missed, whether it comes before or after the look at the line.
            changed.as_mut().enable();
            let next = self.inner.line().take(self.inner.clock.now());
            match next {
                Next::Turn { key, lane, due } => {
                    return Ticket { key, lane, due, queue: Arc::clone(&self.inner) };
                }
                Next::At(due) => {
                    let wait = due.duration_since(self.inner.clock.now());
                    let wait = Duration::try_from(wait).unwrap_or_default().min(WAIT_MAX);
                    match select(changed, self.inner.clock.sleep(wait)).await {
                        Either::Left(_) | Either::Right(_) => {}
                    }
                }
                Next::None => changed.await,
            }
        }
    }

    /// How many notebooks wait, for now or for later, by lane.
    pub fn len_by_lane(&self) -> BTreeMap<Lane, usize> {
        self.inner.line().len_by_lane()
    }

    /// How many turns are out.
    pub fn turns_out(&self) -> usize {
        self.inner.line().turns_out()
    }

    /// How many wakes were lost because the queue was full.
    pub fn refused(&self) -> u64 {
        self.inner.line().refused()
    }

    /// Drops what waits for a notebook that is gone. A turn that is out stays out.
    pub fn forget(&self, key: &Key) {
        self.inner.line().forget(key);
    }
}

/// One turn of one notebook. It ends when this is dropped.
#[must_use = "a ticket that is dropped ends its turn"]
pub struct Ticket {
    /// The notebook.
    pub key: Key,
    /// The most urgent reason.
    pub lane: Lane,
    /// Since when it was due.
    pub due: Timestamp,
    queue: Arc<Inner>,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket({} in {:?} due {})", self.key, self.lane, self.due)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Nobody is left who would say when to look again. Not at once: the same look would end the same way.
            let _ = self.queue.line().wake(self.key.clone(), self.lane, later(self.queue.clock.now(), AFTER_PANIC));
        }
        self.queue.line().release(&self.key);
        self.queue.changed.notify_waiters();
    }
}

/// A time `pause` after `now`, or the end of time.
fn later(now: Timestamp, pause: Duration) -> Timestamp {
    SignedDuration::try_from(pause).ok().and_then(|pause| now.checked_add(pause).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod panics {
    use super::*;
    use crate::clock::TokioClock;

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_ends_in_a_panic_is_followed_by_another() {
        let clock: SharedClock = Arc::new(TokioClock::new(Timestamp::UNIX_EPOCH));
        let queue = Queue::new(Arc::clone(&clock), QueueSettings::default());
        let key = Key { namespace: "team".to_owned(), name: "a".to_owned(), uid: "u".to_owned() };
        queue.wake(key.clone(), Lane::Sweep);
        let ticket = queue.next().await;
        let look = tokio::spawn(async move {
            let _ticket = ticket;
            tokio::task::yield_now().await;
            panic!("a look that fails");
        });
        assert!(look.await.unwrap_err().is_panic());
        assert_eq!(queue.turns_out(), 0);
        let again = tokio::time::timeout(AFTER_PANIC * 2, queue.next()).await.expect("another turn");
        assert_eq!((&again.key, clock.monotonic()), (&key, AFTER_PANIC), "later, and only once");
        drop(again);
        assert_eq!(queue.len_by_lane().values().sum::<usize>(), 0, "a turn that ends well asks for no other");
    }
}

#[cfg(test)]
mod tests;
