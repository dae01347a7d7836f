//! Watches: what a client sees of the history, and when.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::kinds::Kind;
use super::read::{partial, storage_order};
use super::refusal::Refusal;
use super::request::Request;
use super::selectors::Selector;
use super::state::{State, served};
use super::store::Change;

/// How often a quiet watch hears a bookmark.
const BOOKMARK_S: u64 = 60;
/// How long a watch lasts that does not say.
const DEFAULT_TIMEOUT_S: u64 = 1800;

/// How a watch is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The answer just ends, as at its timeout.
    End,
    /// The connection breaks.
    Break,
    /// The server says 410: the client must list again.
    Gone,
}

/// Which watches a test means.
#[derive(Clone, Debug, Default)]
pub struct Which {
    /// Only this user's.
    pub user: Option<String>,
    /// Only of this plural.
    pub resource: Option<String>,
}

impl Which {
    fn is(&self, user: &str, resource: &str) -> bool {
        self.user.as_deref().is_none_or(|wanted| wanted == user)
            && self.resource.as_deref().is_none_or(|wanted| wanted == resource)
    }
}

#[derive(Debug)]
struct Open {
    user: String,
    resource: String,
    /// The kind under which its objects are stored.
    index: usize,
    cut: Option<Cut>,
    wake: Arc<Notify>,
}

/// Which watches are open, and what tests do to them.
#[derive(Debug, Default)]
pub struct Control {
    /// By number, in the order in which they were opened: the order in which they are woken.
    open: BTreeMap<u64, Open>,
    next: u64,
    lags: Vec<(Which, Duration)>,
    /// A watch from a compacted version is refused with HTTP 410 rather than with an event.
    pub gone_as_status: bool,
}

impl Control {
    /// The watches of these clients hear of changes only so much later.
    pub fn set_lag(&mut self, which: Which, lag: Duration) {
        self.lags.retain(|(old, _)| old.user != which.user || old.resource != which.resource);
        if !lag.is_zero() {
            self.lags.push((which, lag));
        }
    }

    /// The longest lag that applies.
    fn lag(&self, user: &str, resource: &str) -> Duration {
        self.lags.iter().filter(|(which, _)| which.is(user, resource)).map(|(_, lag)| *lag).max().unwrap_or_default()
    }

    /// Cuts watches that are open now, and says how many.
    pub fn cut(&mut self, which: &Which, cut: Cut) -> usize {
        let open = self.open.values_mut().filter(|open| which.is(&open.user, &open.resource));
        open.map(|open| open.cut = Some(cut)).count()
    }

    /// Wakes the watches of these kinds.
    pub fn wake(&self, changed: &BTreeSet<usize>) {
        self.open.values().filter(|open| changed.contains(&open.index)).for_each(|open| open.wake.notify_one());
    }

    /// Wakes all watches.
    pub fn wake_all(&self) {
        self.open.values().for_each(|open| open.wake.notify_one());
    }

    /// How many watches are open.
    pub fn count(&self) -> usize {
        self.open.len()
    }
}

/// What a watch reads from.
#[derive(Clone)]
pub struct Source {
    /// The server.
    pub state: Arc<Mutex<State>>,
    /// Lags and cuts.
    pub control: Arc<Mutex<Control>>,
}

/// A poisoned lock means that a test already failed while it held it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// One open watch.
pub struct Watch {
    source: Source,
    /// Told of every change of its kind or of its fate. A `tokio::sync::watch` would wake its receivers in random order.
    wake: Arc<Notify>,
    id: u64,
    kind: Kind,
    index: usize,
    user: String,
    namespace: Option<String>,
    selector: Selector,
    metadata_only: bool,
    /// Everything up to here has been told.
    position: u64,
    /// Lines that are due.
    waiting: VecDeque<String>,
    bookmarks: bool,
    ends_at: Instant,
    bookmark_at: Instant,
    over: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.source.control).open.remove(&self.id);
    }
}

impl State {
    /// Refuses what the real server refuses before it opens a watch.
    pub fn check_watch(kind: &Kind, request: &Request) -> Result<(), Refusal> {
        State::selector(kind, request)?;
        if request.flag("sendInitialEvents") && request.parameter("resourceVersionMatch") != Some("NotOlderThan") {
            let about = super::refusal::About { group: "meta.k8s.io", resource: "", kind: "ListOptions", name: "" };
            let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            let fault = super::refusal::Fault::forbidden("resourceVersionMatch", why);
            return Err(Refusal::invalid(&about, &[fault]));
        }
        let version = request.parameter("resourceVersion").unwrap_or("0");
        if version.parse::<u64>().is_err() {
            return Err(Refusal::bad_request(format!("Invalid value: {version:?}: must be a number")));
        }
        Ok(())
    }
}

impl Watch {
    /// Opens a watch that the server has accepted.
    pub fn open(source: &Source, request: &Request) -> Result<Watch, Refusal> {
        let state = lock(&source.state);
        let mut control = lock(&source.control);
        let kind = state.kinds.get(request.kind).clone();
        let index = kind.stored_as.unwrap_or(request.kind);
        let asked = request.parameter("resourceVersion").and_then(|version| version.parse::<u64>().ok()).unwrap_or(0);
        let initial = request.flag("sendInitialEvents");
        if asked != 0 && asked < state.store.compacted && control.gone_as_status && !initial {
            return Err(too_old(asked, state.store.compacted));
        }
        let timeout_s = request.parameter("timeoutSeconds").and_then(|seconds| seconds.parse().ok());
        let now = Instant::now();
        let id = control.next;
        control.next += 1;
        let wake = Arc::<Notify>::default();
        let (user, resource) = (request.user.clone(), kind.resource.clone());
        let open = Open { user, resource, index, cut: None, wake: wake.clone() };
        control.open.insert(id, open);
        let mut watch = Watch {
            source: source.clone(),
            wake,
            id,
            index,
            user: request.user.clone(),
            namespace: request.namespace.clone(),
            selector: State::selector(&kind, request)?,
            kind,
            metadata_only: request.metadata_only(),
            position: asked,
            waiting: VecDeque::new(),
            bookmarks: request.flag("allowWatchBookmarks"),
            ends_at: now + Duration::from_secs(timeout_s.unwrap_or(DEFAULT_TIMEOUT_S)),
            bookmark_at: now + Duration::from_secs(BOOKMARK_S),
            over: false,
        };
        if asked == 0 || initial {
            watch.start_with_everything(&state, initial);
        } else if asked < state.store.compacted {
            watch.finish_with(&too_old(asked, state.store.compacted));
        }
        Ok(watch)
    }

    fn start_with_everything(&mut self, state: &State, say_when_done: bool) {
        let mut found: Vec<(String, String)> = state
            .store
            .all(self.index)
            .filter(|(key, object)| self.concerns(&key.0, object))
            .map(|(key, object)| (storage_order(key), self.event("ADDED", object)))
            .collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.waiting.extend(found.into_iter().map(|(_, event)| event));
        self.position = state.store.version();
        if say_when_done {
            let bookmark = self.bookmark(true);
            self.waiting.push_back(bookmark);
        }
    }

    fn concerns(&self, namespace: &str, object: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && self.selector.matches(object, &self.kind.resource, self.kind.custom)
    }

    fn event(&self, event: &str, object: &Value) -> String {
        if self.metadata_only {
            line(event, &partial(&served(&self.kind, object)))
        } else if self.kind.stored_as.is_some() {
            line(event, &served(&self.kind, object))
        } else {
            line(event, object)
        }
    }

    fn bookmark(&self, initial_end: bool) -> String {
        let mut metadata = json!({"resourceVersion": self.position.to_string()});
        if initial_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let (kind, version) = if self.metadata_only {
            ("PartialObjectMetadata".to_owned(), "meta.k8s.io/v1".to_owned())
        } else {
            (self.kind.kind.clone(), self.kind.api_version())
        };
        line("BOOKMARK", &json!({"kind": kind, "apiVersion": version, "metadata": metadata}))
    }

    fn finish_with(&mut self, refusal: &Refusal) {
        self.waiting.push_back(line("ERROR", &refusal.to_status()));
        self.over = true;
    }

    /// A change as this watch sees it: objects that stop matching are deleted to it.
    fn translate(&self, change: &Change) -> Option<String> {
        let matches = |object: &Arc<Value>| self.concerns(&change.key.0, object);
        let before = change.before.as_ref().is_some_and(matches);
        let after = !change.deleted && matches(&change.after);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(self.event("ADDED", &change.after)),
            (true, true) => Some(self.event("MODIFIED", &change.after)),
            (true, false) if change.deleted => Some(self.event("DELETED", &change.after)),
            (true, false) => {
                // The last state that matched, with the version of the change.
                let mut last = change.before.as_ref().map(|before| (**before).clone()).unwrap_or_default();
                last["metadata"]["resourceVersion"] = json!(change.version.to_string());
                Some(self.event("DELETED", &last))
            }
        }
    }

    /// The next line, or none at the end. An error breaks the connection.
    pub async fn next(&mut self) -> Option<Result<Bytes, std::io::Error>> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(Ok(Bytes::from(event)));
            }
            if self.over {
                return None;
            }
            let until = match self.look() {
                Found::Something => continue,
                Found::Broken => {
                    self.over = true;
                    let kind = std::io::ErrorKind::ConnectionReset;
                    return Some(Err(std::io::Error::new(kind, "the watch was cut")));
                }
                Found::NothingUntil(until) => until,
            };
            tokio::select! {
                biased;
                () = self.wake.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Takes what is due now into `waiting`.
    fn look(&mut self) -> Found {
        let now = Instant::now();
        let source = self.source.clone();
        let state = lock(&source.state);
        let (cut, lag) = {
            let control = lock(&source.control);
            let cut = control.open.get(&self.id).and_then(|open| open.cut);
            (cut, control.lag(&self.user, &self.kind.resource))
        };
        match cut {
            Some(Cut::End) => {
                self.over = true;
                return Found::Something;
            }
            Some(Cut::Break) => return Found::Broken,
            Some(Cut::Gone) => {
                self.finish_with(&too_old(self.position, state.store.version()));
                return Found::Something;
            }
            None => {}
        }
        if self.position < state.store.forgotten(self.index) {
            // A watch that was behind when history was forgotten has lost its place.
            self.finish_with(&too_old(self.position, state.store.compacted));
            return Found::Something;
        }
        let mut pending = None;
        while let Some(change) = state.store.next_change(self.index, self.position) {
            let due = change.at + lag;
            if due > now {
                pending = Some(due);
                break;
            }
            self.position = change.version;
            if let Some(event) = self.translate(change) {
                self.waiting.push_back(event);
                return Found::Something;
            }
        }
        if pending.is_none() && lag.is_zero() {
            self.position = state.store.version();
        }
        if now >= self.ends_at {
            self.over = true;
            if self.bookmarks {
                self.waiting.push_back(self.bookmark(false));
            }
            return Found::Something;
        }
        if self.bookmarks && now >= self.bookmark_at {
            self.bookmark_at = now + Duration::from_secs(BOOKMARK_S);
            self.waiting.push_back(self.bookmark(false));
            return Found::Something;
        }
        let mut until = self.ends_at;
        if self.bookmarks {
            until = until.min(self.bookmark_at);
        }
        Found::NothingUntil(pending.map_or(until, |due| due.min(until)))
    }
}

/// A line of a watch.
fn line(event: &str, object: &Value) -> String {
    format!("{{\"object\":{object},\"type\":\"{event}\"}}\n")
}

enum Found {
    Something,
    Broken,
    NothingUntil(Instant),
}

fn too_old(asked: u64, oldest: u64) -> Refusal {
    Refusal::expired(format!("too old resource version: {asked} ({oldest})"))
}
