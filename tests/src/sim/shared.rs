//! What all parts of a run share: the two worlds, the clock, the chronicle, the judge.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rehost::clock::SharedClock;
use rehost_api::labels;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};

use super::chance::Chance;
use super::chronicle::{Chronicle, Weight};
use super::line::{Cut, CutPlace};
use super::moment::{Answered, Exchange, Moment};
use super::scene::{CloudScene, ClusterScene, Scene};
use super::tally::Tally;
use super::wording::{named, refusal, short, told};
use crate::kube::{ApiServer, Call, Verb, Verdict};
use crate::oracles::{Change, IdleLooks, Judge, Stillness, Violation};
use crate::world::exchange::method_name;
use crate::world::{Place, Request, Response, World, schema};

/// The controller's user, as the chart's service account gives it.
pub const CONTROLLER: &str = "system:serviceaccount:rehost-system:rehost";
/// Who edits notebooks.
pub const PERSON: &str = "person";
/// Who stands in for scheduler, kubelet and CSI attacher.
pub const KUBELET: &str = "system:kubelet-stand-in";
/// The cluster's name in a run.
pub const CLUSTER: &str = "sim";

/// A lock whose poisoning only says that a test already failed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the controller did since some moment.
#[derive(Clone, Debug, Default)]
pub struct Doings {
    /// Writes to the API server, by verb and object.
    pub writes: BTreeMap<String, usize>,
    /// Changes asked for in the cloud.
    pub mutations: BTreeMap<String, usize>,
    /// Other requests, without watches and sweeps.
    pub asked: BTreeMap<String, usize>,
}

/// How VMs were when they were last looked at, for the chronicle.
type Last = BTreeMap<Place, (crate::world::hand::Status, bool)>;

/// What all parts share.
pub struct Shared {
    /// Everybody's clock.
    pub clock: SharedClock,
    /// Compute Engine.
    pub world: Arc<Mutex<World>>,
    /// Kubernetes.
    pub server: ApiServer,
    chronicle: Mutex<Chronicle>,
    judge: Mutex<Judge>,
    cluster: Mutex<Arc<ClusterScene>>,
    /// Nothing, once something has changed behind the cloud's own count.
    cloud: Mutex<Option<Arc<CloudScene>>>,
    last: Mutex<Last>,
    speaker: Mutex<String>,
    doings: Mutex<Doings>,
    pub(super) chance: Mutex<Option<Chance>>,
    check_shapes: bool,
    /// Counts steps, so that those who wait look again.
    steps: watch::Sender<u64>,
    /// The world may have something due earlier than before.
    pub agenda: Notify,
    /// The controller's requests since the last cut.
    exchanges: Mutex<Vec<Exchange>>,
    looks: AtomicUsize,
    crashes: AtomicUsize,
    pub(super) tally: Tally,
    lost_homes: Mutex<BTreeSet<String>>,
    /// How far the controller's time of day is from everybody else's.
    pub(super) skew_s: AtomicI64,
    cuts: Mutex<VecDeque<Cut>>,
    deaths: mpsc::UnboundedSender<u64>,
}

impl Shared {
    /// Puts the parts together.
    pub fn new(
        clock: SharedClock,
        world: World,
        server: ApiServer,
        cuts: Vec<Cut>,
        chance: Option<Chance>,
        check_shapes: bool,
        deaths: mpsc::UnboundedSender<u64>,
    ) -> Arc<Self> {
        let start = clock.now();
        let shared = Arc::new(Self {
            clock,
            world: Arc::new(Mutex::new(world)),
            server,
            chronicle: Mutex::new(Chronicle::new(start)),
            judge: Mutex::new(Judge::new()),
            cluster: Mutex::default(),
            cloud: Mutex::default(),
            last: Mutex::default(),
            speaker: Mutex::default(),
            doings: Mutex::default(),
            chance: Mutex::new(chance),
            check_shapes,
            steps: watch::Sender::new(0),
            agenda: Notify::new(),
            exchanges: Mutex::default(),
            looks: AtomicUsize::new(0),
            crashes: AtomicUsize::new(0),
            tally: Tally::default(),
            lost_homes: Mutex::default(),
            skew_s: AtomicI64::new(0),
            cuts: Mutex::new(cuts.into()),
            deaths,
        });
        let observer = Arc::downgrade(&shared);
        lock(&shared.world).observe(move |at, request, response| {
            if let Some(shared) = observer.upgrade() {
                shared.answered(at, request, response);
            }
        });
        shared
    }

    /// Writes something down.
    pub fn note(&self, weight: Weight, who: &str, what: impl Into<String>, whole: impl std::fmt::Display) {
        lock(&self.chronicle).note(self.clock.now(), weight, who, what.into(), whole);
    }

    /// The story so far.
    pub fn story(&self, least: Weight) -> String {
        lock(&self.chronicle).story(least)
    }

    /// The hash over everything so far, the API server's answers included.
    pub fn hash(&self) -> String {
        let mut chronicle = lock(&self.chronicle);
        chronicle.note(self.clock.now(), Weight::Minor, "end", String::new(), self.server.trace_hash());
        chronicle.hash()
    }

    // Requests of the controller.

    /// The controller sends a request; its number.
    pub fn sends(&self, writes_status: bool) -> u64 {
        let sent = self.moment();
        self.tally.request();
        let mut all = lock(&self.exchanges);
        all.push(Exchange { sent, answered: None, writes_status });
        all.len() as u64
    }

    /// It is about to hear the answer.
    pub fn hears(&self, number: u64) {
        let moment = self.moment();
        let mut all = lock(&self.exchanges);
        let sent_by_then = all.len();
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        if let Some(exchange) = place.and_then(|place| all.get_mut(place)) {
            exchange.answered = Some(Answered { moment, sent_by_then });
        }
    }

    fn moment(&self) -> Moment {
        Moment { at: self.clock.now(), cluster: self.server.version(), cloud: lock(&self.world).version() }
    }

    /// The controller's requests since the last cut.
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.exchanges).clone()
    }

    /// Whether the next cut is this one.
    pub fn cut_is(&self, number: u64, place: CutPlace) -> bool {
        lock(&self.cuts).front().is_some_and(|cut| cut.number == number && cut.place == place)
    }

    /// How many cuts did not come.
    pub fn cuts_left(&self) -> usize {
        lock(&self.cuts).len()
    }

    /// No cut comes any more.
    pub fn forget_cuts(&self) {
        lock(&self.cuts).clear();
    }

    /// How often the controller was cut down.
    pub fn crashes(&self) -> usize {
        self.crashes.load(Ordering::Relaxed)
    }

    /// The controller died once more.
    pub fn crashed(&self) {
        self.crashes.fetch_add(1, Ordering::Relaxed);
    }

    /// The controller died.
    pub fn died(&self, incarnation: u64, at: &str) {
        self.note(Weight::Headline, "crash", at, "");
        self.crashed();
        lock(&self.cuts).pop_front();
        lock(&self.exchanges).clear();
        // The receiver is gone only when the run is over.
        let _ = self.deaths.send(incarnation);
    }

    /// The controller looked at a notebook.
    pub fn looked(&self) {
        self.looks.fetch_add(1, Ordering::Relaxed);
    }

    /// Starts counting anew what the controller does.
    pub fn watch_doings(&self) {
        *lock(&self.doings) = Doings::default();
        self.looks.store(0, Ordering::Relaxed);
    }

    /// What it did since then: writes, and what it asked or looked at without need.
    pub fn doings(&self) -> (Stillness, IdleLooks) {
        let Doings { writes, mutations, asked } = lock(&self.doings).clone();
        let looks = self.looks.load(Ordering::Relaxed);
        (Stillness { writes, mutations }, IdleLooks { looks, requests: asked })
    }

    // The judge.

    /// Both worlds as they are now.
    pub fn scene(&self) -> Scene {
        let cluster = {
            let mut cached = lock(&self.cluster);
            if cached.version != self.server.version() {
                *cached = Arc::new(cached.next(&self.server));
            }
            cached.clone()
        };
        let mut world = lock(&self.world);
        let cloud = {
            let mut cached = lock(&self.cloud);
            if cached.as_ref().is_none_or(|cloud| cloud.version != world.version()) {
                *cached = Some(Arc::new(CloudScene::of(&world)));
            }
            cached.clone().unwrap_or_default()
        };
        let label = labels::gce_label_value(CLUSTER);
        let mut scene = Scene::of(self.clock.now(), &label, &mut world, cluster, cloud);
        scene.lost_homes.clone_from(&lock(&self.lost_homes));
        scene
    }

    /// Somebody deleted the home of this notebook.
    pub fn excuse_home(&self, uid: &str) {
        lock(&self.lost_homes).insert(uid.to_owned());
    }

    /// What the guest of this machine has not flushed is lost by somebody else's doing.
    pub fn excuse_tear(&self, vm: &Place) {
        lock(&self.world).forgive_losses(&vm.at, &vm.name);
    }

    /// The test's own hand has changed something in the cloud.
    pub fn cloud_was_touched(&self) {
        *lock(&self.cloud) = None;
    }

    /// Something has happened: the oracles look.
    pub fn stepped(&self) {
        let scene = self.scene();
        self.tell_changes(&scene);
        lock(&self.judge).step(&scene);
        self.steps.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A receiver that hears of every step.
    pub fn steps(&self) -> watch::Receiver<u64> {
        self.steps.subscribe()
    }

    /// At rest, everything must be in order.
    pub fn rests(&self) {
        let scene = self.scene();
        let world = lock(&self.world);
        lock(&self.judge).rest(&scene, &world);
    }

    /// A finding of a count.
    pub fn found(&self, oracle: &'static str, sentence: &'static str, found: String) {
        lock(&self.judge).found(self.clock.now(), oracle, sentence, found);
    }

    /// What the oracles found so far.
    pub fn violations(&self) -> Vec<Violation> {
        lock(&self.judge).violations().to_vec()
    }

    /// Writes down how VMs and guests have changed.
    fn tell_changes(&self, scene: &Scene) {
        let now: Last = scene
            .cloud
            .vms
            .iter()
            .map(|(place, vm)| (place.clone(), (vm.status, vm.guest.as_ref().is_some_and(|guest| guest.serving))))
            .collect();
        let before = std::mem::replace(&mut *lock(&self.last), now.clone());
        for (place, (status, serving)) in &now {
            let told = match before.get(place) {
                None => format!("{} is there, {}", place.name, status.word()),
                Some((was, _)) if was != status => format!("{}: {} -> {}", place.name, was.word(), status.word()),
                Some((_, served)) if served != serving && *serving => format!("{} serves", place.name),
                Some((_, served)) if served != serving => format!("{} serves no more", place.name),
                Some(_) => continue,
            };
            self.note(Weight::Major, "world", told, "");
        }
        for place in before.keys().filter(|place| !now.contains_key(*place)) {
            self.note(Weight::Major, "world", format!("{} is gone", place.name), "");
        }
    }

    // The cloud's side.

    /// Who sends the next request to the world.
    pub fn speaks(&self, who: &str) {
        who.clone_into(&mut lock(&self.speaker));
    }

    /// Whatever is due in the world happens, and is looked at.
    pub fn world_catches_up(&self) {
        let now = self.clock.now();
        let due = {
            let mut world = lock(&self.world);
            let due = world.next_event_at().is_some_and(|at| at <= now);
            world.advance(now);
            due
        };
        if due {
            self.stepped();
        }
    }

    /// A change by the controller is about to take effect.
    pub fn cloud_changes(&self, request: &Request) {
        let change = Change::Cloud(request);
        if change.changes_something() {
            let scene = self.scene();
            lock(&self.judge).change(&scene, change);
        }
    }

    /// The world answered: called under its lock.
    fn answered(&self, at: Timestamp, request: &Request, response: &Response) {
        let who = std::mem::take(&mut *lock(&self.speaker));
        let who = if who.is_empty() { "hand".to_owned() } else { who };
        let verb = method_name(request.method);
        let weight = if verb == "GET" { Weight::Minor } else { Weight::Major };
        let what = format!("{verb} {} -> {}{}", short(&request.path), response.status, refusal(response));
        let body = request.body.as_ref().unwrap_or(&Value::Null);
        let whole = format_args!("{:?} {body} {}", request.query, response.body);
        lock(&self.chronicle).note(at, weight, &who, what, whole);
        if who == CONTROLLER {
            let mut doings = lock(&self.doings);
            if weight == Weight::Major {
                *doings.mutations.entry(format!("{verb} {}", short(&request.path))).or_default() += 1;
            } else if !request.path.contains("/aggregated/") {
                *doings.asked.entry(format!("{verb} {}", short(&request.path))).or_default() += 1;
            }
        }
        if self.check_shapes {
            for wrong in schema::check(request, response) {
                let sentence = "Every request and every answer has the form that the discovery document gives it.";
                lock(&self.judge).found(at, "shapes", sentence, format!("{verb} {}: {wrong:?}", request.path));
            }
        }
        self.agenda.notify_one();
    }

    // The cluster's side.

    /// A change by the controller is about to take effect.
    pub fn cluster_changes(&self, call: &Call) {
        let change = Change::Cluster(call);
        if call.user == CONTROLLER && change.changes_something() {
            let scene = self.scene();
            lock(&self.judge).change(&scene, change);
        }
    }

    /// The API server has acted.
    pub fn called(&self, call: &Call, status: u16) {
        let weight = if call.verb.is_write() && call.resource != "leases" { Weight::Major } else { Weight::Minor };
        let what = format!("{} -> {status}", named(call));
        let body = call.body.as_ref().map(|body| told(call, body)).unwrap_or_default();
        let whole = call.body.as_deref().unwrap_or(&Value::Null);
        self.note(weight, &call.user, format!("{what}{body}"), whole);
        if call.user == CONTROLLER && call.resource != "leases" {
            self.tally.called(call, status);
            let mut doings = lock(&self.doings);
            match call.verb {
                Verb::Watch => {}
                // A watch begins with a list.
                Verb::List if call.query.contains("limit=500") => {}
                Verb::Get | Verb::List => *doings.asked.entry(named(call)).or_default() += 1,
                Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => {
                    *doings.writes.entry(named(call)).or_default() += 1;
                }
            }
        }
        if call.verb.is_write() && call.resource != "leases" {
            self.stepped();
        }
    }

    /// A request met its fate on the way.
    pub fn call_failed(&self, call: &Call, verdict: &Verdict) {
        let how = match verdict {
            Verdict::Pass => return,
            Verdict::Refuse(refusal) => format!("is refused with {}", refusal.code),
            Verdict::Break(_) => "breaks".to_owned(),
            Verdict::Silence => "is never answered".to_owned(),
        };
        self.tally.fault();
        self.note(Weight::Headline, "fault", format!("{} {how}", named(call)), "");
    }
}
