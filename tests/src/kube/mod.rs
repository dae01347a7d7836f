//! An in-memory Kubernetes API server for the simulation.
//!
//! It speaks HTTP semantics to [`kube::Client`] through a `tower` service: no sockets, no threads, no wall clock. Time
//! comes from a closure; latency, faults and lost answers only from an [`Intercept`] hook; everything is deterministic
//! on a current-thread runtime.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # async fn example() {
//! use rehost_tests::kube::{ApiServer, Settings};
//! let server = ApiServer::new(Settings { seed: 7, ..Settings::default() });
//! let client = server.client("rehost");
//! # }
//! ```
//!
//! A test in `tests/kube_equality.rs` runs the same random requests against it and the real kube-apiserver, and expects
//! the same answers.
//!
//! # Simplified
//! - CEL rules and admission policies of CRDs are not evaluated, nor are RBAC, quotas, webhooks, or API priority.
//! - Built-in kinds are validated only where `strategy.rs` says so; wrong JSON types in them are not refused.
//! - One version per CRD is stored as written: no conversion between versions.
//! - No discovery, `kubectl`-style tables, protobuf, YAML bodies, `exec`, `log`, `scale` or `proxy`.
//! - Lists are never stale; only watches lag. A watch's bookmarks come every 60 s and at its end.
//! - managedFields: no cap on updaters, no take-over of kubectl's last-applied annotation.
//! - The namespace controller and the garbage collector act at once, within the write that gives them cause
//!   ([`Settings::controllers`]).
//! - Service addresses are handed out in order; node ports and load balancers are not.

mod admission;
mod apply;
mod complaints;
mod conform;
mod controllers;
mod defaults;
mod delete;
mod events;
pub mod extract;
mod fieldset;
mod hand;
mod hooks;
mod kinds;
mod managed;
mod merge;
mod patch;
mod pod_rules;
mod pods;
mod quantity;
mod read;
mod refusal;
mod request;
mod schema;
mod selectors;
mod service;
mod state;
mod store;
mod strategy;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends where its world is not as it must be")]
mod tests;
mod trace;
mod typed;
mod validate;
mod watch;
mod write;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

pub use hand::Hand;
pub use hooks::{Call, Intercept, Verdict};
pub use kinds::{Kind, Kinds};
pub use quantity::Quantity;
pub use refusal::{About, Fault, Refusal};
pub use request::Verb;
pub use service::Connection;
pub use state::Now;
pub use trace::{Ending, Line, Trace};
pub use watch::{Cut, Which};

use state::{Answer, State};
use watch::{Control, Source, lock};

/// How a server is made.
pub struct Settings {
    /// Uids and generated names follow from it.
    pub seed: u64,
    /// What time it is.
    pub now: Now,
    /// The kinds that it has.
    pub kinds: Arc<Kinds>,
    /// Act as namespace controller and garbage collector too.
    pub controllers: bool,
}

impl Default for Settings {
    /// A server that stands still at the start of 2026.
    fn default() -> Self {
        let start = Timestamp::from_second(1_767_225_600).unwrap_or(Timestamp::UNIX_EPOCH);
        Settings { seed: 0, now: Arc::new(move || start), kinds: Arc::new(Kinds::new(&[])), controllers: true }
    }
}

/// The server. Clones are the same server.
#[derive(Clone)]
pub struct ApiServer {
    inner: Arc<Inner>,
}

struct Inner {
    source: Source,
    hook: Mutex<Option<Arc<dyn Intercept>>>,
    trace: Mutex<Trace>,
    now: Now,
}

impl ApiServer {
    /// A server with these kinds and the namespaces that every cluster has.
    pub fn new(settings: Settings) -> ApiServer {
        let state = State::new(settings.kinds, settings.seed, settings.now.clone(), settings.controllers);
        let source = Source { state: Arc::new(Mutex::new(state)), control: Arc::new(Mutex::new(Control::default())) };
        let inner = Inner { source, hook: Mutex::default(), trace: Mutex::default(), now: settings.now };
        ApiServer { inner: Arc::new(inner) }
    }

    /// Puts a hook between all clients and the server, or takes it away.
    pub fn intercept(&self, hook: Option<Arc<dyn Intercept>>) {
        *lock(&self.inner.hook) = hook;
    }

    /// The requests so far.
    pub fn trace(&self) -> Trace {
        lock(&self.inner.trace).clone()
    }

    /// One hash over all requests so far: equal runs have equal hashes.
    pub fn trace_hash(&self) -> String {
        lock(&self.inner.trace).hash()
    }

    /// The newest resourceVersion: a number that only writes change.
    pub fn version(&self) -> u64 {
        lock(&self.inner.source.state).store.version()
    }

    /// Watches of these clients hear of a change only so long after it happened.
    pub fn set_watch_lag(&self, which: Which, lag: Duration) {
        let mut control = lock(&self.inner.source.control);
        control.set_lag(which, lag);
        control.wake_all();
    }

    /// Cuts open watches, and says how many.
    pub fn cut_watches(&self, which: &Which, cut: Cut) -> usize {
        let mut control = lock(&self.inner.source.control);
        let count = control.cut(which, cut);
        control.wake_all();
        count
    }

    /// How many watches are open.
    pub fn open_watches(&self) -> usize {
        lock(&self.inner.source.control).count()
    }

    /// Forgets history: watches and paged lists from an older version are answered 410.
    pub fn compact(&self) {
        lock(&self.inner.source.state).store.compact();
        lock(&self.inner.source.control).wake_all();
    }

    /// Is a watch from a forgotten version refused with HTTP 410 (true), or with a 410 event (false, the default)?
    pub fn refuse_old_watches_by_status(&self, by_status: bool) {
        lock(&self.inner.source.control).gone_as_status = by_status;
    }
}

impl Inner {
    /// Serves a request past hooks and trace; the watches of what it changed are woken.
    fn operate(&self, request: &request::Request) -> Result<Answer, Refusal> {
        let (outcome, changed) = {
            let mut state = lock(&self.source.state);
            (state.operate(request), state.store.take_changed())
        };
        if !changed.is_empty() {
            lock(&self.source.control).wake(&changed);
        }
        outcome
    }
}
