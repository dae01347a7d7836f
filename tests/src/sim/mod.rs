//! Ring 2: the whole controller over both simulated worlds, in virtual time, one seed for one run.
//!
//! A run has its own single-threaded runtime whose time only moves when everybody waits. The controller is the real one
//! ([`rehost::run::Operator`]), with the SDK's clients into the simulated Compute Engine and a Kubernetes client into the
//! simulated API server. It can be cut down at any of its requests ([`line::Cut`]), and comes back like a new process: with
//! nothing but what the worlds remember. The oracles look after every step ([`crate::oracles`]).
//!
//! # Guarantees
//! - The same seed, settings and story give the same run to the byte ([`Run::hash`]), in any process.
//! - Nothing outlives a run.
//!
//! # Simplified
//! - The oracles see all that happens in one millisecond of virtual time as one step where nobody's request lies between.
//! - The controller's own computing takes no time.

mod asleep;
mod campaign;
mod chance;
mod chapters;
mod chronicle;
mod churn;
mod cloud;
mod cluster;
mod conditions;
mod drive;
mod incarnation;
mod line;
mod moment;
mod nodes;
mod rehomed;
mod shared;
mod skew;
mod stage;
mod status_ports;
mod story;
mod tally;
mod wording;

pub mod lives;
pub mod scene;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use jiff::Timestamp;
use rehost::clock::{SharedClock, TokioClock};
use rehost::watch::queue::Lane;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::kube::{ApiServer, Hand};
use crate::oracles::Violation;
use crate::world::{Request, Response, World, WorldSettings};
use incarnation::Replicas;
use shared::{Shared, lock};

pub use campaign::{Cuts, Length, Plan, Tally, campaign};
pub use chance::Rates;
pub use chapters::{Extent, NAME, chapters, manifest};
pub use chronicle::Weight;
pub use conditions::*;
pub use line::{Cut, CutPlace};
pub use moment::{Exchange, Left, different, left_by};
pub use shared::{CLUSTER, CONTROLLER, KUBELET, PERSON};
pub use status_ports::REVISION;
pub use story::{Act, Chapter, Condition, Failed, View, tell, tell_recovery};

/// The one project of a run.
pub const PROJECT: &str = "demo-project";
/// The zone in which the story plays.
pub const ZONE: &str = "us-central1-a";
/// The namespace in which the story plays.
pub const NAMESPACE: &str = "team-a";

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All chance follows from it.
    pub seed: u64,
    /// Where the controller is cut down, one after the other.
    pub cuts: Vec<Cut>,
    /// Random faults, if any.
    pub faults: Option<Rates>,
    /// How often the inventory is swept, in seconds.
    pub sweep_interval_s: u64,
    /// How long the controller is away after a crash.
    pub absence: Duration,
    /// Whether every exchange with the cloud is held against the discovery document.
    pub check_shapes: bool,
    /// Whether the story tells of reads too.
    pub tell_reads: bool,
    /// Whether the controller has an access key, without which pods cannot be asked how they are.
    pub has_key: bool,
    /// How many replicas of the controller there are; of more than one, the one that has the Lease acts.
    pub replicas: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seed: 1,
            cuts: Vec::new(),
            faults: None,
            sweep_interval_s: 15,
            absence: Duration::from_secs(2),
            check_shapes: false,
            tell_reads: false,
            has_key: false,
            replicas: 1,
        }
    }
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the oracles found.
    pub violations: Vec<Violation>,
    /// Why the story ended early, if it did.
    pub failed: Option<String>,
    /// The hash over everything that happened.
    pub hash: String,
    /// The controller's requests, since the last cut.
    pub exchanges: Vec<Exchange>,
    /// How many cuts never came, because the run had fewer requests.
    pub cuts_left: usize,
    /// How long it took, in virtual seconds.
    pub seconds: f64,
    /// The story.
    pub story: String,
}

impl Outcome {
    /// How many requests the controller sent, since the last cut.
    pub fn requests(&self) -> u64 {
        self.exchanges.len() as u64
    }

    /// Whether nothing is wrong.
    pub fn is_fine(&self) -> bool {
        self.violations.is_empty() && self.failed.is_none()
    }

    /// What is wrong, in words, with the story that led there.
    pub fn report(&self, replay: &str) -> String {
        let violations = self.violations.iter().map(|one| format!("  {} {one}", one.at)).collect::<Vec<_>>().join("\n");
        let failed = self.failed.as_deref().unwrap_or("the story was told to its end");
        format!("{}\n{failed}\nviolations:\n{violations}\nreplay: {replay}\n", self.story)
    }
}

/// When every run begins.
pub fn start() -> Timestamp {
    // Noon of a Monday.
    Timestamp::from_second(1_772_452_800).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// One run.
pub struct Run {
    shared: Arc<Shared>,
    settings: Settings,
    replicas: Arc<Replicas>,
    helpers: Vec<JoinHandle<()>>,
}

impl Run {
    /// Builds both worlds and what moves them; the controller is not started. To be called in a paused runtime.
    pub fn new(settings: Settings) -> Self {
        let clock: SharedClock = Arc::new(TokioClock::new(start()));
        let world = World::new(WorldSettings {
            project: PROJECT.to_owned(),
            project_number: 123_456_789_012,
            seed: settings.seed,
            start: start(),
            base_url: "https://www.googleapis.com/compute/v1".to_owned(),
            guests: true,
        });
        let now = clock.clone();
        let server = ApiServer::new(crate::kube::Settings {
            seed: settings.seed,
            now: Arc::new(move || now.now()),
            kinds: stage::kinds(),
            controllers: true,
        });
        let (deaths, died) = mpsc::unbounded_channel();
        let chance = settings.faults.map(|rates| chance::Chance::new(settings.seed, rates));
        let shared = Shared::new(clock, world, server, settings.cuts.clone(), chance, settings.check_shapes, deaths);
        shared.server.intercept(Some(Arc::new(cluster::Gate { shared: shared.clone() })));
        stage::set(&shared);
        let replicas = Arc::new(Replicas::new(settings.replicas));
        let helpers = vec![
            tokio::spawn(drive::drive(shared.clone())),
            tokio::spawn(incarnation::supervise(shared.clone(), replicas.clone(), settings.clone(), died)),
            tokio::spawn(drive::disturb(shared.clone())),
            tokio::spawn(nodes::start(&shared).run()),
        ];
        Self { shared, settings, replicas, helpers }
    }

    /// Starts the controller, all its replicas.
    pub fn start_controller(&self) {
        for replica in 0..self.settings.replicas {
            self.replicas.start(&self.shared, replica, &self.settings);
        }
    }

    /// The Lease moves to another replica, where there is one: the leader gives it up and is started again, or cannot reach it for so
    /// long. Whether it did.
    pub async fn lease_moves(&self, released: bool, time: Duration) -> bool {
        self.replicas.lease_moves(&self.shared, &self.settings, released, time).await
    }

    /// Kills the controller, whatever it is doing.
    pub async fn crash(&self) {
        self.shared.note(Weight::Headline, "crash", "by hand", "");
        self.shared.crashed();
        for replica in 0..self.settings.replicas {
            self.replicas.kill(replica).await;
        }
    }

    /// Kills the controller and starts a new one.
    pub async fn restart(&self) {
        self.crash().await;
        self.start_controller();
    }

    /// The API server, to act on as somebody. What is done shows in the chronicle only through its consequences.
    pub fn hand<'a>(&'a self, user: &str) -> Hand<'a> {
        self.shared.server.hand(user)
    }

    /// The test's own hand on Compute Engine; the oracles look afterwards.
    pub fn with_world<R>(&self, act: impl FnOnce(&mut World) -> R) -> R {
        self.shared.world_catches_up();
        let result = act(&mut lock(&self.shared.world));
        self.shared.cloud_was_touched();
        self.shared.agenda.notify_one();
        self.shared.stepped();
        result
    }

    /// A request to the cloud that the controller would never send, sent in its name: a planted fault.
    pub fn forge_in_cloud(&self, request: &Request) -> Response {
        let shared = &self.shared;
        shared.note(Weight::Headline, "forger", format!("{:?} {}", request.method, request.path), "");
        shared.world_catches_up();
        shared.cloud_changes(request);
        shared.speaks(CONTROLLER);
        let answer = lock(&shared.world).handle(shared.clock.now(), request);
        shared.stepped();
        answer
    }

    /// A client that speaks in the controller's name, for what the controller would never say: planted faults.
    pub fn forging_client(&self) -> kube::Client {
        self.shared.server.client(CONTROLLER)
    }

    /// Wakes the controller for this notebook without a cause: a planted fault.
    pub fn wake_for_nothing(&self, name: &str) {
        let operator = self.replicas.operator();
        let uid = self.shared.scene().cluster.notebooks.iter().find(|one| one.name == name).map(|one| one.uid.clone());
        if let (Some(operator), Some(uid)) = (operator, uid)
            && let Some(key) = operator.caches.key_of(&uid)
        {
            operator.queue.wake(key, Lane::Sweep);
        }
    }

    /// What all parts share.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Lets virtual time pass.
    pub async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// The hash over everything so far.
    pub fn hash(&self) -> String {
        self.shared.hash()
    }

    fn end(self, failed: Option<String>) -> Outcome {
        let shared = &self.shared;
        let seconds = shared.clock.now().duration_since(start()).as_secs_f64();
        Outcome {
            violations: shared.violations(),
            failed,
            exchanges: shared.exchanges(),
            cuts_left: shared.cuts_left(),
            seconds,
            story: shared.story(if self.settings.tell_reads { Weight::Minor } else { Weight::Major }),
            hash: shared.hash(),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        for helper in &self.helpers {
            helper.abort();
        }
        self.replicas.abort();
        self.shared.server.intercept(None);
    }
}

/// Runs a story in a runtime of its own, from its first moment to its last. A panic anywhere in it is a failure of the run.
pub fn simulate<F>(settings: Settings, story: impl FnOnce(Arc<Run>) -> F) -> Outcome
where
    F: Future<Output = Result<(), Failed>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    #[allow(clippy::expect_used, reason = "without a runtime there is nothing to test")]
    let runtime = runtime.expect("a runtime");
    stage::panics_are_counted();
    let before = stage::panics();
    runtime.block_on(async {
        let run = Arc::new(Run::new(settings));
        let told = AssertUnwindSafe(story(run.clone())).catch_unwind().await;
        let mut failed = match told {
            Ok(Ok(())) => None,
            Ok(Err(failed)) => Some(failed.to_string()),
            Err(_) => Some("the story panicked".to_owned()),
        };
        let panics = stage::panics().split_off(before.len());
        if !panics.is_empty() {
            failed = Some(format!("panics: {}; {}", panics.join("; "), failed.unwrap_or_default()));
        }
        match Arc::try_unwrap(run) {
            Ok(run) => run.end(failed),
            Err(_) => unreachable_run(),
        }
    })
}

/// A story that kept its run for itself cannot be judged.
#[allow(clippy::panic, reason = "a fault of the test itself")]
fn unreachable_run() -> Outcome {
    panic!("the story kept the run")
}
