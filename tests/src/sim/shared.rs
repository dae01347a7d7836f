//! What all parts of a run share: the two worlds, the clock, the chronicle, the judge.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rehost::clock::SharedClock;
use rehost_api::labels;
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};

use super::chance::{Chance, DISTURBED};
use super::chronicle::{Chronicle, Weight};
use super::line::{Cut, CutPlace};
use super::scene::{ClusterScene, Scene};
use crate::kube::{ApiServer, Call, Verb, Verdict, Which};
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
    last: Mutex<Last>,
    speaker: Mutex<String>,
    doings: Mutex<Doings>,
    chance: Mutex<Option<Chance>>,
    check_shapes: bool,
    /// Counts steps, so that those who wait look again.
    steps: watch::Sender<u64>,
    /// The world may have something due earlier than before.
    pub agenda: Notify,
    requests: AtomicU64,
    /// Which of the requests since the last cut were sent to change something.
    writes: Mutex<Vec<u64>>,
    looks: AtomicUsize,
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
            last: Mutex::default(),
            speaker: Mutex::default(),
            doings: Mutex::default(),
            chance: Mutex::new(chance),
            check_shapes,
            steps: watch::Sender::new(0),
            agenda: Notify::new(),
            requests: AtomicU64::new(0),
            writes: Mutex::default(),
            looks: AtomicUsize::new(0),
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
    pub fn note(&self, weight: Weight, who: &str, what: impl Into<String>, whole: &str) {
        lock(&self.chronicle).note(self.clock.now(), weight, who, what.into(), whole);
    }

    /// The story so far.
    pub fn story(&self, least: Weight) -> String {
        lock(&self.chronicle).story(least)
    }

    /// The hash over everything so far, the API server's answers included.
    pub fn hash(&self) -> String {
        let mut chronicle = lock(&self.chronicle);
        chronicle.note(self.clock.now(), Weight::Minor, "end", String::new(), &self.server.trace().hash());
        chronicle.hash()
    }

    // Requests of the controller.

    /// Counts a request; its number.
    pub fn count_request(&self, changes_something: bool) -> u64 {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if changes_something {
            lock(&self.writes).push(number);
        }
        number
    }

    /// Which requests since the last cut were sent to change something.
    pub fn writes(&self) -> Vec<u64> {
        lock(&self.writes).clone()
    }

    /// How many requests the controller sent since the last cut.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether the next cut is this one.
    pub fn cut_is(&self, number: u64, place: CutPlace) -> bool {
        lock(&self.cuts).front().is_some_and(|cut| cut.number == number && cut.place == place)
    }

    /// How many cuts did not come.
    pub fn cuts_left(&self) -> usize {
        lock(&self.cuts).len()
    }

    /// The controller died.
    pub fn died(&self, incarnation: u64, at: &str) {
        self.note(Weight::Headline, "crash", at, "");
        lock(&self.cuts).pop_front();
        self.requests.store(0, Ordering::Relaxed);
        lock(&self.writes).clear();
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
            if cached.version != self.server.version() || cached.version == 0 {
                *cached = Arc::new(ClusterScene::of(&self.server));
            }
            cached.clone()
        };
        Scene::of(self.clock.now(), &labels::gce_label_value(CLUSTER), &mut lock(&self.world), cluster)
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
        let whole = format!("{:?} {:?} {}", request.query, request.body, response.body);
        lock(&self.chronicle).note(at, weight, &who, what, &whole);
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
        let weight = if call.verb.is_write() { Weight::Major } else { Weight::Minor };
        let what = format!("{} -> {status}", named(call));
        let body = call.body.as_ref().map(|body| told(call, body)).unwrap_or_default();
        let whole = call.body.as_ref().map(ToString::to_string).unwrap_or_default();
        self.note(weight, &call.user, format!("{what}{body}"), &whole);
        if call.user == CONTROLLER {
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
        if call.verb.is_write() {
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
        self.note(Weight::Headline, "fault", format!("{} {how}", named(call)), "");
    }

    // Chance.

    /// A request to the cloud is on its way for a while.
    pub async fn travels(&self) {
        let wait = lock(&self.chance).as_mut().and_then(Chance::latency);
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
    }

    /// What becomes of a request before its effect.
    pub async fn fate_before(&self, call: &Call) -> Verdict {
        if call.user != CONTROLLER {
            return Verdict::Pass;
        }
        self.travels().await;
        lock(&self.chance).as_mut().map_or(Verdict::Pass, |chance| chance.fate(call, true))
    }

    /// What becomes of it after its effect.
    pub async fn fate_after(&self, call: &Call) -> Verdict {
        if call.user != CONTROLLER {
            return Verdict::Pass;
        }
        self.travels().await;
        lock(&self.chance).as_mut().map_or(Verdict::Pass, |chance| chance.fate(call, false))
    }

    /// No faults for a while, those that wait among them; or faults again.
    pub fn calm(&self, calm: bool) {
        let Some(()) = self.draw(|chance| chance.calm(calm)) else { return };
        self.note(Weight::Headline, "chance", if calm { "rests" } else { "goes on" }, "");
        if calm {
            lock(&self.world).faults_clear();
            for resource in DISTURBED {
                let which = Which { user: Some(CONTROLLER.to_owned()), resource: Some(resource.to_owned()) };
                self.server.set_watch_lag(which, std::time::Duration::ZERO);
            }
        }
    }

    /// Draws from the run's chance, if it has any.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> Option<T> {
        lock(&self.chance).as_mut().map(draw)
    }
}

fn named(call: &Call) -> String {
    let subresource = if call.subresource.is_empty() { String::new() } else { format!("/{}", call.subresource) };
    let name = [call.namespace.as_str(), call.name.as_str()].into_iter().filter(|part| !part.is_empty());
    format!("{} {}{subresource} {}", call.verb.as_str(), call.resource, name.collect::<Vec<_>>().join("/"))
}

/// What a write says, as far as it helps to read the story.
fn told(call: &Call, body: &Value) -> String {
    if call.resource == "notebooks" && call.subresource == "status" {
        let status = &body["status"];
        let transition = &status["transition"];
        let ready = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
        let ready = ready.map_or_else(String::new, |ready| {
            let word = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}: {}", word("status"), word("reason"), word("message"))
        });
        let step = if transition.is_null() {
            "at rest".to_owned()
        } else {
            format!(
                "{} {}/{} a{}",
                word(transition, "id"),
                word(transition, "kind"),
                word(transition, "step"),
                transition["attempt"]
            )
        };
        return format!(" [{}; {step}; {ready}]", word(status, "phase"));
    }
    if call.resource == "events" {
        return format!(" [{}: {}]", word(body, "reason"), word(body, "note"));
    }
    if call.resource == "endpointslices" {
        return format!(" [{}]", body["endpoints"]);
    }
    String::new()
}

fn word(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn short(path: &str) -> &str {
    path.split_once("/zones/").map_or(path, |(_, rest)| rest)
}

/// What the cloud says when it refuses, or of an operation that failed.
fn refusal(response: &Response) -> String {
    let words = response.body["error"]["message"].as_str();
    words.map_or_else(String::new, |words| format!(" {words}"))
}
