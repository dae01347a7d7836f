//! All operations in flight, watched together: one list for each scope (a zone, a region, or what is global) that has any, for all notebooks at
//! once. No reconcile ever waits for an operation; it is woken when one of its own is over.
//!
//! Nothing here outlives the process. After a restart the same request is sent again under the same id, and the cloud
//! answers with the operation that it started, or that already failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

use super::Gce;
use super::errors::GceError;
use super::model::{Operation, OperationStatus};
use super::mutation::Scope;
use crate::clock::SharedClock;
use crate::seen::Seen;

/// How often the cloud is asked while anything is in flight.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// How seldom it is asked, at most, while it fails to answer.
const POLL_INTERVAL_MAX: Duration = Duration::from_secs(8);
/// Operations a page: the API's most.
const PAGE_OPERATIONS_MAX: u32 = 500;
/// Operations a page at least, as others' operations are in the list too.
const PAGE_OPERATIONS_MIN: u32 = 20;
/// Pages for one zone and poll; what lies beyond is looked up by name.
const PAGES_MAX: usize = 10;
/// Operations looked up by name for one zone and poll; the rest waits for the next one.
const LOOKUPS_MAX: usize = 20;

/// How far one request's operation is.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationState {
    /// Under way.
    Running {
        /// Its name in the cloud.
        name: String,
        /// When the cloud took it in.
        since: Option<Timestamp>,
    },
    /// Over, and what was asked for is done.
    Succeeded {
        /// When, by the cloud's clock.
        ended_at: Option<Timestamp>,
    },
    /// Over (or refused at once) without the effect that was asked for.
    Failed(GceError, Option<Timestamp>),
}

impl OperationState {
    fn of(operation: &Operation) -> Self {
        match (operation.status, &operation.error) {
            (OperationStatus::Pending | OperationStatus::Running, _) => {
                Self::Running { name: operation.name.clone(), since: operation.inserted_at }
            }
            (OperationStatus::Done, Some(error)) => Self::Failed(error.clone(), operation.ended_at),
            (OperationStatus::Done, None) => Self::Succeeded { ended_at: operation.ended_at },
        }
    }

    fn is_running(&self) -> bool {
        match self {
            Self::Running { .. } => true,
            Self::Succeeded { .. } | Self::Failed(..) => false,
        }
    }
}

#[derive(Debug)]
struct Tracked {
    uid: String,
    scope: Option<Scope>,
    state: OperationState,
    /// Its notebook asked to forget it while it was running: it goes when it is over.
    forgotten: bool,
}

#[derive(Debug, Default)]
struct State {
    tracked: BTreeMap<Uuid, Tracked>,
    /// Notebooks with news that nobody was told of yet.
    news: BTreeSet<String>,
    /// Polls so far: they take turns in whom they look up by name.
    polls: usize,
}

/// An operation that is looked for.
#[derive(Clone, Debug)]
struct Wanted {
    request_id: Uuid,
    name: String,
    since: Option<Timestamp>,
}

/// What a look found of one request: how far its operation is, or `None` when the cloud does not know the operation (any
/// more). What became of it is then for a look at the object to say.
type Found = (Uuid, Option<OperationState>);

/// The operations of all notebooks.
#[derive(Debug, Default)]
pub struct Operations {
    state: Mutex<State>,
    wake: Notify,
}

impl Operations {
    /// No operations.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches what [`Gce::start`] came back with. The same operation again changes nothing.
    pub fn started(&self, uid: &str, operation: &Operation) {
        let Some(request_id) = operation.request_id else {
            tracing::warn!(uid, operation = operation.name, "an operation without a request id cannot be watched");
            return;
        };
        self.remember(uid, request_id, Some(operation.scope.clone()), OperationState::of(operation));
    }

    /// Remembers that the cloud refused a request at once: for the plan that is the same as an operation that failed.
    /// Errors that leave the effect open ([`GceError::is_definite`] is false) are not for here: the request is sent
    /// again.
    pub fn refused(&self, uid: &str, request_id: Uuid, error: GceError) {
        self.remember(uid, request_id, None, OperationState::Failed(error, None));
    }

    fn remember(&self, uid: &str, request_id: Uuid, scope: Option<Scope>, state: OperationState) {
        let mut all = self.state();
        // What is known to be over stays so: a late answer to the first sending must not revive it.
        if all.tracked.get(&request_id).is_some_and(|known| !known.state.is_running()) {
            return;
        }
        if !state.is_running() {
            all.news.insert(uid.to_owned());
        }
        all.tracked.insert(request_id, Tracked { uid: uid.to_owned(), scope, state, forgotten: false });
        drop(all);
        self.wake.notify_one();
    }

    /// How far a request is; `None` when nothing is known of it.
    pub fn of(&self, request_id: Uuid) -> Option<OperationState> {
        self.state().tracked.get(&request_id).map(|it| it.state.clone())
    }

    /// All that is known of one notebook's requests.
    pub fn for_notebook(&self, uid: &str) -> BTreeMap<Uuid, OperationState> {
        let all = self.state();
        all.tracked.iter().filter(|(_, it)| it.uid == uid).map(|(id, it)| (*id, it.state.clone())).collect()
    }

    /// Drops what is known of a notebook's requests but for `keep`. What is still running is watched to its end, which
    /// still wakes the notebook, and dropped then.
    pub fn forget(&self, uid: &str, keep: &BTreeSet<Uuid>) {
        self.state().tracked.retain(|id, it| {
            if it.uid != uid || keep.contains(id) {
                return true;
            }
            it.forgotten = true;
            it.state.is_running()
        });
    }

    /// How many operations are in flight, for metrics.
    pub fn in_flight(&self) -> usize {
        self.state().tracked.values().filter(|it| it.state.is_running()).count()
    }

    /// Looks once at everything in flight, and says which notebooks have news.
    pub async fn poll_once(&self, gce: &Gce) -> Vec<String> {
        self.poll(gce).await;
        self.take_news()
    }

    /// Looks for ever, and calls `on_done` with the uid of each notebook that has news. Sleeps while nothing is in
    /// flight; asks less often while the cloud does not answer.
    pub async fn run(&self, gce: &Gce, clock: &SharedClock, on_done: impl Fn(&str)) {
        let mut interval = POLL_INTERVAL;
        loop {
            self.take_news().iter().for_each(|uid| on_done(uid));
            if self.in_flight() == 0 {
                self.wake.notified().await;
                continue;
            }
            // What is started meanwhile waits for the same poll; what is refused meanwhile is told at once.
            let mut pause = clock.sleep(interval);
            loop {
                tokio::select! {
                    biased;
                    () = &mut pause => break,
                    () = self.wake.notified() => self.take_news().iter().for_each(|uid| on_done(uid)),
                }
            }
            let answered = self.poll(gce).await;
            interval = if answered { POLL_INTERVAL } else { (interval * 2).min(POLL_INTERVAL_MAX) };
        }
    }

    fn take_news(&self) -> Vec<String> {
        std::mem::take(&mut self.state().news).into_iter().collect()
    }

    /// Asks every zone that has something in flight, and notes what is over. Says whether all zones answered.
    async fn poll(&self, gce: &Gce) -> bool {
        let (wanted, turn) = (self.wanted(), self.count());
        let zones = join_all(wanted.iter().map(|(scope, wanted)| look(gce, scope, wanted, turn))).await;
        let mut answered = true;
        for zone in zones {
            answered &= zone.answered;
            zone.found.into_iter().for_each(|found| self.note(found));
        }
        answered
    }

    fn count(&self) -> usize {
        let mut all = self.state();
        all.polls = all.polls.wrapping_add(1);
        all.polls
    }

    fn wanted(&self) -> BTreeMap<Scope, Vec<Wanted>> {
        let mut wanted: BTreeMap<Scope, Vec<Wanted>> = BTreeMap::new();
        for (request_id, it) in &self.state().tracked {
            if let (OperationState::Running { name, since }, Some(scope)) = (&it.state, &it.scope) {
                let one = Wanted { request_id: *request_id, name: name.clone(), since: *since };
                wanted.entry(scope.clone()).or_default().push(one);
            }
        }
        wanted
    }

    fn note(&self, (request_id, state): Found) {
        let mut all = self.state();
        let Some(known) = all.tracked.get_mut(&request_id) else { return };
        if !known.state.is_running() || state.as_ref().is_some_and(OperationState::is_running) {
            return;
        }
        let uid = known.uid.clone();
        match state {
            Some(state) if !known.forgotten => known.state = state,
            Some(_) | None => {
                all.tracked.remove(&request_id);
            }
        }
        all.news.insert(uid);
    }
}

/// What one zone's poll brought.
struct Zone {
    found: Vec<Found>,
    answered: bool,
}

/// Looks for operations in one zone: in the list, which answers for all of them, and by name where the list does not
/// have them. A list that fails changes nothing.
async fn look(gce: &Gce, scope: &Scope, wanted: &[Wanted], turn: usize) -> Zone {
    let mut missing: BTreeMap<&str, &Wanted> = wanted.iter().map(|it| (it.name.as_str(), it)).collect();
    let mut found = Vec::new();
    if let Err(error) = read_list(gce, scope, &mut missing, &mut found).await {
        tracing::debug!(%error, ?scope, "operations could not be listed");
        return Zone { found, answered: false };
    }
    let mut answered = true;
    let missing: Vec<&Wanted> = missing.into_values().collect();
    let first = turn.wrapping_mul(LOOKUPS_MAX).checked_rem(missing.len()).unwrap_or_default();
    for it in missing.iter().cycle().skip(first).take(LOOKUPS_MAX.min(missing.len())) {
        match gce.operation(scope, &it.name).await {
            Seen::Present(operation) => found.push((it.request_id, Some(OperationState::of(&operation)))),
            Seen::Absent => found.push((it.request_id, None)),
            Seen::Unknown(_) => answered = false,
        }
    }
    Zone { found, answered }
}

/// Reads the list, the newest first, until everything was found or it is older than anything that we look for.
async fn read_list(
    gce: &Gce,
    scope: &Scope,
    missing: &mut BTreeMap<&str, &Wanted>,
    found: &mut Vec<Found>,
) -> Result<(), GceError> {
    // Without its time, an operation could be anywhere in the list.
    let times = missing.values().map(|it| it.since).collect::<Option<Vec<_>>>();
    let oldest = times.and_then(|times| times.into_iter().min());
    let doubled = u32::try_from(missing.len().saturating_mul(2)).unwrap_or(PAGE_OPERATIONS_MAX);
    let page_size = doubled.clamp(PAGE_OPERATIONS_MIN, PAGE_OPERATIONS_MAX);
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let page = gce.operations_page(scope, page_size, token).await?;
        let reached = page.operations.last().and_then(|it| it.inserted_at);
        for operation in page.operations {
            if let Some(it) = missing.remove(operation.name.as_str()) {
                found.push((it.request_id, Some(OperationState::of(&operation))));
            }
        }
        let past_all = matches!((reached, oldest), (Some(reached), Some(oldest)) if reached < oldest);
        token = page.next;
        if token.is_none() || missing.is_empty() || past_all {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
