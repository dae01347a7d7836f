//! The running operator: watches, sweeps, operations and the workers that reconcile, while this process leads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::access::AccessKeys;
use crate::clock::SharedClock;
use crate::execute::{Executor, MayAct, OnCall};
use crate::gce::Gce;
use crate::gce::catalogue::Catalogue;
use crate::gce::operations::Operations;
use crate::lease::Leadership;
use crate::observe::{Observer, Sources};
use crate::reconcile::{Next, OnStatus, Reconciler};
use crate::status_ports::{NoStatusPorts, StatusPorts};
use crate::watch::caches::{Caches, OnWatchFailure, run_watches};
use crate::watch::inventory::{Inventories, run_sweeps};
use crate::watch::queue::{Key, Lane, Queue, QueueSettings, Ticket};

/// What the operator is made of. The outer world comes in from outside, so that a test can be it.
pub struct Wiring {
    /// The cluster's name: part of every label.
    pub cluster: String,
    /// Who reports events.
    pub identity: String,
    /// The API server.
    pub client: Client,
    /// Compute Engine.
    pub gce: Gce,
    /// The time.
    pub clock: SharedClock,
    /// How many notebooks are reconciled at once.
    pub concurrency: usize,
    /// How often the inventory is swept, in seconds.
    pub sweep_interval_s: u64,
    /// Whether this process may act.
    pub may_act: MayAct,
    /// Told of every call to the cloud.
    pub on_call: OnCall,
    /// Told of every look: how it ended, and how many seconds it took.
    pub on_reconcile: OnReconcile,
    /// The keys that tokens derive from.
    pub access: AccessKeys,
    /// The way to the pods' status ports.
    pub status_ports: Arc<dyn StatusPorts>,
    /// Told of every status that was stored.
    pub on_status: OnStatus,
    /// Told of every failure of a watch.
    pub on_watch_failure: OnWatchFailure,
}

impl Wiring {
    /// An operator that always may act, and that nobody listens to: for one that is run by a test.
    #[must_use]
    pub fn alone(cluster: &str, client: Client, gce: Gce, clock: SharedClock, sweep_interval_s: u64) -> Self {
        Self {
            cluster: cluster.to_owned(),
            identity: "alone".to_owned(),
            client,
            gce,
            clock,
            concurrency: 32,
            sweep_interval_s,
            may_act: Arc::new(|| true),
            on_call: Arc::new(|_, _| {}),
            on_reconcile: Arc::new(|_, _| {}),
            access: AccessKeys::default(),
            status_ports: Arc::new(NoStatusPorts),
            on_status: Arc::new(|_, _| {}),
            on_watch_failure: Arc::new(|_| {}),
        }
    }
}

/// Operates in every term of `leadership`, each time with an operator that `begin` makes: what was cached in an earlier term is not
/// trusted in the next. `ended` is called after each.
pub async fn in_terms(leadership: &Leadership, begin: impl Fn() -> Operator, ended: impl Fn()) {
    loop {
        leadership.wait_for(true).await;
        tracing::info!("leads");
        let operator = begin();
        tokio::select! {
            biased;
            () = leadership.wait_for(false) => tracing::warn!("leads no longer"),
            () = operator.run() => {}
        }
        ended();
    }
}

/// Told of every look: how it ended, and how many seconds it took.
pub type OnReconcile = Arc<dyn Fn(&'static str, f64) + Send + Sync>;

/// The parts of a running operator that others look at.
#[derive(Clone)]
pub struct Operator {
    /// The watch caches.
    pub caches: Arc<Caches>,
    /// The wake queue.
    pub queue: Arc<Queue>,
    /// The latest sweeps.
    pub inventories: Arc<Inventories>,
    /// Operations in flight.
    pub operations: Arc<Operations>,
    reconciler: Arc<Reconciler>,
    failures: Arc<Mutex<BTreeMap<Key, u32>>>,
    clock: SharedClock,
    client: Client,
    gce: Gce,
    cluster: String,
    sweep_interval_s: u64,
    on_reconcile: OnReconcile,
    on_watch_failure: OnWatchFailure,
}

impl Operator {
    /// Puts the parts together; nothing runs yet.
    #[must_use]
    pub fn new(wiring: Wiring) -> Self {
        let Wiring {
            cluster,
            identity,
            client,
            gce,
            clock,
            concurrency,
            sweep_interval_s,
            may_act,
            on_call,
            on_reconcile,
            access,
            status_ports,
            on_status,
            on_watch_failure,
        } = wiring;
        let caches = Arc::new(Caches::new());
        let queue = Arc::new(Queue::new(clock.clone(), QueueSettings { concurrency, ..QueueSettings::default() }));
        let inventories = Arc::new(Inventories::new());
        let operations = Arc::new(Operations::new());
        let observer = Observer::new(Sources {
            gce: gce.clone(),
            operations: operations.clone(),
            inventories: inventories.clone(),
            client: client.clone(),
            caches: caches.clone(),
            access: access.clone(),
            status_ports,
        });
        let executor = Executor {
            gce: gce.clone(),
            operations: operations.clone(),
            client: client.clone(),
            clock: clock.clone(),
            may_act,
            on_call,
            identity,
        };
        let reconciler = Reconciler {
            cluster: cluster.clone(),
            caches: caches.clone(),
            catalogue: Arc::new(Catalogue::new(gce.clone(), clock.clone())),
            observer,
            executor,
            client: client.clone(),
            clock: clock.clone(),
            access,
            on_status,
        };
        Self {
            caches,
            queue,
            inventories,
            operations,
            reconciler: Arc::new(reconciler),
            failures: Arc::default(),
            clock,
            client,
            gce,
            cluster,
            sweep_interval_s,
            on_reconcile,
            on_watch_failure,
        }
    }

    /// Watches, sweeps, polls and reconciles until it is dropped.
    pub async fn run(&self) {
        let woken = |uid: &str| {
            if let Some(key) = self.caches.key_of(uid) {
                self.queue.wake(key, Lane::Transition);
            }
        };
        futures::join!(
            run_watches(
                self.client.clone(),
                self.caches.clone(),
                self.queue.clone(),
                self.clock.clone(),
                self.on_watch_failure.clone(),
            ),
            run_sweeps(
                self.gce.clone(),
                self.inventories.clone(),
                self.caches.clone(),
                self.queue.clone(),
                self.clock.clone(),
                self.sweep_interval_s,
                self.cluster.clone(),
            ),
            self.operations.run(&self.gce, &self.clock, woken),
            self.work(),
        );
    }

    /// Takes one notebook after the other from the queue; each is looked at in a task of its own.
    ///
    /// It begins when the caches are whole and every project was swept or tried once: before, each notebook at rest would look
    /// as if nothing were known of it, and be written and read afresh, all of them at once.
    async fn work(&self) {
        self.caches.until_synced().await;
        self.inventories.until_first_sweep().await;
        let mut looks = JoinSet::new();
        loop {
            let ticket = self.queue.next().await;
            while let Some(ended) = looks.try_join_next() {
                if let Err(error) = ended {
                    tracing::error!(%error, "a look did not end well");
                }
            }
            let operator = self.clone();
            let span = tracing::info_span!(
                "reconcile",
                notebook = %ticket.key,
                transition = tracing::field::Empty,
                step = tracing::field::Empty,
            );
            looks.spawn(async move { Box::pin(operator.look(ticket)).await }.instrument(span));
        }
    }

    async fn look(&self, ticket: Ticket) {
        let key = ticket.key.clone();
        let began = self.clock.monotonic();
        let next = Box::pin(self.reconciler.reconcile(&key)).await;
        let seconds = self.clock.monotonic().saturating_sub(began).as_secs_f64();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, again) = match next {
            Next::WhenWoken => {
                failures.remove(&key);
                ("settled", None)
            }
            Next::At(at) => {
                failures.remove(&key);
                ("waits", Some(at))
            }
            Next::AfterFailure(why) => {
                let count = failures.entry(key.clone()).or_default();
                let pause_s = Reconciler::pause_s(*count);
                *count = count.saturating_add(1);
                tracing::warn!(notebook = %key.name, why, pause_s, "not done; tried again");
                ("failed", Some(self.after(pause_s)))
            }
        };
        drop(failures);
        (self.on_reconcile)(outcome, seconds);
        if let Some(at) = again {
            self.queue.wake_at(key, Lane::Transition, at);
        }
        drop(ticket);
    }

    fn after(&self, seconds: i64) -> Timestamp {
        self.clock.now() + SignedDuration::from_secs(seconds)
    }
}
