//! The controller of a run, and its replicas: started as a new process would be, ended without a word, and started again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rehost::access::AccessKeys;
use rehost::clock::SharedClock;
use rehost::lease::{self, Leadership, LeaseSettings};
use rehost::run::{Operator, Wiring, in_terms};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::chronicle::Weight;
use super::line::Line;
use super::shared::{CLUSTER, Shared, lock};
use super::skew::ControllerClock;
use super::status_ports::Ports;
use super::{Settings, cloud, cluster};

/// The process of one replica that lives just now.
#[derive(Default)]
struct Incarnation {
    number: u64,
    line: Option<Arc<Line>>,
    operator: Option<Operator>,
    leadership: Option<Leadership>,
    task: Option<JoinHandle<()>>,
}

/// All replicas of the controller.
pub(super) struct Replicas {
    all: Vec<Mutex<Incarnation>>,
    started: Mutex<u64>,
}

impl Replicas {
    pub(super) fn new(count: usize) -> Self {
        let all = (0..count.max(1)).map(|_| Mutex::default()).collect();
        Self { all, started: Mutex::new(0) }
    }

    /// The operator, where there is one replica alone.
    pub(super) fn operator(&self) -> Option<Operator> {
        self.all.first().and_then(|one| lock(one).operator.clone())
    }

    /// Starts the next process of a replica.
    pub(super) fn start(&self, shared: &Arc<Shared>, replica: usize, settings: &Settings) {
        let Some(incarnation) = self.all.get(replica) else { return };
        let number = {
            let mut started = lock(&self.started);
            *started += 1;
            *started
        };
        shared.note(Weight::Headline, "controller", format!("starts, for the {number}. time"), "");
        let mut incarnation = lock(incarnation);
        let line = Line::new(shared.clone(), number);
        incarnation.number = number;
        incarnation.line = Some(line.clone());
        let identity = format!("rehost-{replica}");
        if self.all.len() > 1 {
            incarnation.elects(shared, settings, line, identity);
        } else {
            let operator = Operator::new(wiring(shared, settings, &line, identity, None));
            incarnation.operator = Some(operator.clone());
            incarnation.task = Some(tokio::spawn(async move { operator.run().await }));
        }
    }

    /// Ends a replica's tasks, all of them, before anything else happens.
    pub(super) async fn kill(&self, replica: usize) {
        let Some(incarnation) = self.all.get(replica) else { return };
        let Incarnation { line, task, .. } = {
            let mut incarnation = lock(incarnation);
            let number = incarnation.number;
            std::mem::replace(&mut *incarnation, Incarnation { number, ..Incarnation::default() })
        };
        if let Some(line) = line {
            line.sever();
        }
        if let Some(task) = task {
            task.abort();
            // It says that it was cancelled, which is known.
            let _ = task.await;
        }
        // Its looks are tasks of their own, cancelled with it; each needs a turn to end.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    /// Ends all tasks, when the run is over.
    pub(super) fn abort(&self) {
        for one in &self.all {
            if let Some(task) = std::mem::take(&mut *lock(one)).task {
                task.abort();
            }
        }
    }

    /// The leader loses the Lease: it gives it up, as a process that ends well, or cannot write it for so long.
    pub(super) async fn lease_moves(
        &self,
        shared: &Arc<Shared>,
        settings: &Settings,
        released: bool,
        time: Duration,
    ) -> bool {
        let leads = |one: &Mutex<Incarnation>| lock(one).leadership.as_ref().is_some_and(Leadership::is_leading);
        let Some(replica) = self.all.iter().position(leads).filter(|_| self.all.len() > 1) else { return false };
        if !released {
            shared.note(Weight::Headline, "lease", format!("rehost-{replica} cannot write it for {time:?}"), "");
            if let Some(line) = self.all.get(replica).and_then(|one| lock(one).line.clone()) {
                line.loses_the_lease(shared.clock.monotonic() + time);
            }
            return true;
        }
        shared.note(Weight::Headline, "lease", format!("rehost-{replica} gives it up"), "");
        let leadership = self.all.get(replica).and_then(|one| lock(one).leadership.clone());
        if let Some(leadership) = leadership {
            leadership.release();
        }
        // Its process ends once it has said so, and another takes its place.
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.kill(replica).await;
        self.start(shared, replica, settings);
        true
    }
}

impl Incarnation {
    /// Takes part in the election, and operates while it leads.
    fn elects(&mut self, shared: &Arc<Shared>, settings: &Settings, line: Arc<Line>, identity: String) {
        let leadership = Leadership::new(clock(shared));
        self.leadership = Some(leadership.clone());
        let (shared, settings) = (shared.clone(), settings.clone());
        self.task = Some(tokio::spawn(async move {
            let lease = LeaseSettings { namespace: "default".to_owned(), identity: identity.clone() };
            let electing = lease::run(cluster::client(&line), lease, clock(&shared), leadership.clone());
            let begin = || Operator::new(wiring(&shared, &settings, &line, identity.clone(), Some(leadership.clone())));
            futures::join!(electing, in_terms(&leadership, begin, || {}));
        }));
    }
}

fn clock(shared: &Arc<Shared>) -> SharedClock {
    Arc::new(ControllerClock(shared.clone()))
}

fn wiring(
    shared: &Arc<Shared>,
    settings: &Settings,
    line: &Arc<Line>,
    identity: String,
    leadership: Option<Leadership>,
) -> Wiring {
    let (looked, called) = (shared.clone(), shared.clone());
    Wiring {
        cluster: CLUSTER.to_owned(),
        identity,
        client: cluster::client(line),
        gce: cloud::gce(line),
        clock: clock(shared),
        concurrency: 4,
        sweep_interval_s: settings.sweep_interval_s,
        may_act: Arc::new(move || leadership.as_ref().is_none_or(Leadership::may_act)),
        access: if settings.has_key { key() } else { AccessKeys::default() },
        status_ports: Arc::new(Ports(shared.clone())),
        on_call: Arc::new(move |verb, _| called.acted(verb)),
        on_status: Arc::new(|_, _| {}),
        on_watch_failure: Arc::new(|_| {}),
        on_reconcile: Arc::new(move |_, _| looked.looked()),
    }
}

#[allow(clippy::expect_used, reason = "it is long enough")]
fn key() -> AccessKeys {
    AccessKeys::parse(&"simulated-".repeat(5)).expect("a key")
}

/// Starts a new process of a replica after each crash.
pub(super) async fn supervise(
    shared: Arc<Shared>,
    replicas: Arc<Replicas>,
    settings: Settings,
    mut died: mpsc::UnboundedReceiver<u64>,
) {
    while let Some(number) = died.recv().await {
        let Some(replica) = replicas.all.iter().position(|one| lock(one).number == number) else { continue };
        replicas.kill(replica).await;
        tokio::time::sleep(settings.absence).await;
        // Somebody else may have started it meanwhile.
        if replicas.all.get(replica).is_some_and(|one| lock(one).line.is_none()) {
            replicas.start(&shared, replica, &settings);
        }
    }
}
