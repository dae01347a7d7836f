//! The controller's line to the outer world: every request of one incarnation goes over it, is counted, and may be the
//! last.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::shared::{Shared, lock};

/// After a cut that waits for a status write, the controller dies at the latest this much later: a look that has nothing to
/// write would otherwise live on.
pub(super) const STATUS_WAIT: Duration = Duration::from_secs(2);

/// Where the controller is cut down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CutPlace {
    /// Before the request is sent: it has no effect.
    BeforeSending,
    /// After its effect, before its answer.
    BeforeAnswer,
    /// After its answer, before the next write of a status.
    BeforeStatus,
}

impl CutPlace {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::BeforeSending, Self::BeforeAnswer, Self::BeforeStatus];

    /// As the command line writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::BeforeSending => "before-sending",
            Self::BeforeAnswer => "before-answer",
            Self::BeforeStatus => "before-status",
        }
    }

    /// The place of a word on the command line.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|place| place.word() == word)
    }
}

/// One cut: at the controller's `number`-th request, counted from 1 and, for every cut but the first, from the restart before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which request.
    pub number: u64,
    /// Where.
    pub place: CutPlace,
}

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}:{}", self.number, self.place.word())
    }
}

/// A request on its way out, as far as a cut cares.
#[derive(Clone, Debug)]
pub struct Asked {
    /// For the chronicle.
    pub what: String,
    /// Whether it writes a notebook's status.
    pub writes_status: bool,
}

/// One incarnation's line.
pub struct Line {
    shared: Arc<Shared>,
    incarnation: u64,
    alive: AtomicBool,
    /// A cut has come that waits for the next status write.
    doomed: AtomicBool,
    /// Until when, in monotonic time, the Lease cannot be reached.
    no_lease_until: Mutex<Duration>,
}

impl Line {
    /// The line of a new incarnation.
    pub fn new(shared: Arc<Shared>, incarnation: u64) -> Arc<Self> {
        let (alive, doomed) = (AtomicBool::new(true), AtomicBool::new(false));
        Arc::new(Self { shared, incarnation, alive, doomed, no_lease_until: Mutex::default() })
    }

    /// What all share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The Lease cannot be reached until then.
    pub fn loses_the_lease(&self, until: Duration) {
        *lock(&self.no_lease_until) = until;
    }

    /// A request for the Lease, which is none of the numbered ones; never answered for a dead controller. Whether it gets through.
    pub async fn reaches_the_lease(&self) -> bool {
        if !self.alive.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        self.shared.clock.monotonic() >= *lock(&self.no_lease_until)
    }

    /// A request is about to be sent. Gives back its number; for a dead controller, never.
    pub async fn goes_out(&self, asked: &Asked) -> u64 {
        if !self.alive.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        if asked.writes_status && self.doomed.load(Ordering::Relaxed) {
            return self.dies(&format!("before the status write {}", asked.what)).await;
        }
        let number = self.shared.sends(asked.writes_status);
        if self.shared.cut_is(number, CutPlace::BeforeSending) {
            return self.dies(&format!("before request {number}, {}", asked.what)).await;
        }
        number
    }

    /// The request has had its effect, and the answer is about to be heard.
    pub async fn comes_in(self: &Arc<Self>, number: u64, asked: &Asked) {
        if !self.alive.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        self.shared.hears(number);
        if self.shared.cut_is(number, CutPlace::BeforeAnswer) {
            self.dies::<()>(&format!("before the answer to request {number}, {}", asked.what)).await;
        } else if self.shared.cut_is(number, CutPlace::BeforeStatus) {
            self.doomed.store(true, Ordering::Relaxed);
            let (line, asked) = (self.clone(), asked.clone());
            tokio::spawn(async move {
                tokio::time::sleep(STATUS_WAIT).await;
                if line.alive.load(Ordering::Relaxed) {
                    line.dies::<()>(&format!("after the answer to request {number}, {}", asked.what)).await;
                }
            });
        }
    }

    /// The controller dies here: it hears and says nothing any more.
    async fn dies<T>(&self, at: &str) -> T {
        self.alive.store(false, Ordering::Relaxed);
        self.shared.died(self.incarnation, at);
        std::future::pending().await
    }

    /// Cuts the line from outside.
    pub fn sever(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}
