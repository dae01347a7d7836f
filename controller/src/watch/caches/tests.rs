use futures::FutureExt;
use jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::*;
use crate::clock::TokioClock;
use crate::watch::queue::{Lane, QueueSettings};

/// Caches and the queue that they wake notebooks through.
struct Bench {
    caches: Caches,
    queue: Queue,
}

impl Bench {
    /// Every kind has been listed, and there is nothing but what the test lists.
    fn new() -> Self {
        let clock = Arc::new(TokioClock::new(Timestamp::UNIX_EPOCH));
        let queue = Queue::new(clock, QueueSettings::default());
        Self { caches: Caches::of(Vec::new(), Vec::new(), &queue), queue }
    }

    fn say<K: Concerns>(&self, event: Event<DeserializeGuard<K>>) {
        self.caches.take::<K>(event, &self.queue);
    }

    fn list<K: Concerns>(&self, objects: impl IntoIterator<Item = Value>) {
        self.say::<K>(Event::Init);
        for object in objects {
            self.say::<K>(Event::InitApply(decoded(object)));
        }
        self.say::<K>(Event::InitDone);
    }

    fn apply<K: Concerns>(&self, object: &Value) {
        self.say::<K>(Event::Apply(decoded(object.clone())));
    }

    fn delete<K: Concerns>(&self, object: &Value) {
        self.say::<K>(Event::Delete(decoded(object.clone())));
    }

    /// Who was woken since the last time: uid and lane.
    fn woken(&self) -> Vec<(String, Lane)> {
        let turns = std::iter::from_fn(|| self.queue.next().now_or_never());
        turns.map(|turn| (turn.key.uid.clone(), turn.lane)).collect()
    }
}

fn decoded<K: Kind>(object: Value) -> DeserializeGuard<K> {
    serde_json::from_value(object).expect("the metadata at least")
}

fn woken(uid: &str, lane: Lane) -> Vec<(String, Lane)> {
    vec![(uid.to_owned(), lane)]
}

fn object(name: &str, uid: &str) -> Value {
    json!({"metadata": {"namespace": "team", "name": name, "labels": {"rehost.dev/uid": uid}, "resourceVersion": "1"}})
}

fn with(mut object: Value, pointer: &str, value: Value) -> Value {
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = parent.split('/').filter(|part| !part.is_empty()).fold(&mut object, |at, part| &mut at[part]);
    parent[field] = value;
    object
}

/// A notebook at rest.
fn notebook(name: &str) -> Value {
    json!({
        "apiVersion": "rehost.dev/v1alpha1", "kind": "Notebook",
        "metadata": {"namespace": "team", "name": name, "uid": format!("u-{name}"), "generation": 1, "resourceVersion": "1"},
        "spec": {},
        "status": {"observedGeneration": 1},
    })
}

fn home(disk: &str, claim: bool) -> Value {
    let project = if claim { "" } else { "p-home" };
    json!({"disk": disk, "contentId": "c", "formatted": true, "sizeGb": 10, "project": project, "zone": "z-a", "claim": claim})
}

fn class(name: &str, project: &str) -> Value {
    json!({"apiVersion": "rehost.dev/v1alpha1", "kind": "NotebookClass",
        "metadata": {"name": name, "generation": 1}, "spec": {"project": project, "zones": ["z-a"]}})
}

fn volume(name: &str, claim: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"claimRef": {"namespace": "team", "name": claim}}})
}

fn attachment(name: &str, volume: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {"nodeName": "n", "source": {"persistentVolumeName": volume}}})
}

#[test]
fn before_its_first_list_nothing_of_a_kind_is_absent() {
    let bench = Bench { caches: Caches::new(), ..Bench::new() };
    assert!(bench.caches.notebook("team", "a").unknown().is_some());
    let unknown = bench.caches.objects_of("u-a");
    assert!(unknown.pods.unknown().is_some() && unknown.service.unknown().is_some());
    assert!(unknown.volume.unknown().is_some() && unknown.attachments.unknown().is_some());

    bench.say::<Notebook>(Event::Init);
    bench.say::<Notebook>(Event::InitApply(decoded(notebook("a"))));
    assert!(bench.caches.notebook("team", "a").unknown().is_some(), "half a list says nothing");
    bench.say::<Notebook>(Event::InitDone);
    assert!(bench.caches.notebook("team", "a").is_present());
    assert!(bench.caches.notebook("team", "b").is_absent());
    assert!(bench.caches.class("default").unknown().is_some(), "other kinds are not listed yet");
    assert!(!bench.caches.synced());
    assert!(bench.caches.until_synced().now_or_never().is_none());
    assert!(Bench::new().caches.until_synced().now_or_never().is_some());
}

#[test]
fn a_list_that_begins_anew_takes_nothing_away_before_its_end() {
    let bench = Bench::new();
    bench.list::<PodSeen>([object("one", "u-a"), object("two", "u-b")]);
    bench.list::<Notebook>([notebook("a"), notebook("b")]);
    bench.woken();
    bench.say::<PodSeen>(Event::Init);
    bench.say::<PodSeen>(Event::InitApply(decoded(object("one", "u-a"))));
    assert_eq!(bench.caches.objects_of("u-b").pods.present().map(Vec::len), Some(1));
    // The list breaks off, and begins once more.
    bench.say::<PodSeen>(Event::Init);
    bench.say::<PodSeen>(Event::InitApply(decoded(object("one", "u-a"))));
    assert!(bench.woken().is_empty());
    bench.say::<PodSeen>(Event::InitDone);
    assert_eq!(bench.caches.objects_of("u-b").pods, Seen::Present(Vec::new()));
    assert_eq!(bench.woken(), woken("u-b", Lane::Transition), "what went wakes, what stayed does not");
}

#[test]
fn what_a_person_says_wakes_a_notebook_and_what_we_say_does_not() {
    let now = "2026-01-01T00:00:00Z";
    let changes = [
        ("/metadata/generation", json!(2), true),
        ("/metadata/annotations", json!({"rehost.dev/wake": "1"}), true),
        ("/metadata/annotations", json!({"example.com/note": "1"}), false),
        ("/metadata/finalizers", json!(["rehost.dev/release"]), true),
        ("/metadata/deletionTimestamp", json!(now), true),
        ("/metadata/labels", json!({"team": "a"}), false),
        ("/metadata/resourceVersion", json!("2"), false),
        ("/status/phase", json!("Running"), false),
        ("/spec/state", json!("Stopped"), true),
    ];
    for (pointer, value, wakes) in changes {
        let bench = Bench::new();
        bench.list::<Notebook>([notebook("a")]);
        bench.woken();
        let edited = with(notebook("a"), pointer, value);
        bench.apply::<Notebook>(&edited);
        assert_eq!(bench.woken(), if wakes { woken("u-a", Lane::People) } else { Vec::new() }, "{pointer}");
        bench.apply::<Notebook>(&edited);
        assert!(bench.woken().is_empty(), "{pointer}: once is enough");
        bench.apply::<Notebook>(&notebook("b"));
        assert_eq!(bench.woken(), woken("u-b", Lane::People), "a new one");
    }
}

#[test]
fn at_the_start_those_who_wait_for_us_go_first() {
    let bench = Bench { caches: Caches::new(), ..Bench::new() };
    let asks = with(notebook("asks"), "/metadata/annotations", json!({"rehost.dev/stop": "2"}));
    let asked = with(notebook("asked"), "/metadata/annotations", json!({"rehost.dev/stop": "2"}));
    let asked = with(asked, "/status/handled", json!({"stop": "2"}));
    let edited = with(notebook("edited"), "/metadata/generation", json!(2));
    let new = with(notebook("new"), "/status", Value::Null);
    bench.list::<Notebook>([asks, asked, edited, new, notebook("rest")]);
    let mut all = Vec::new();
    all.extend(["u-asks", "u-edited", "u-new"].map(|uid| (uid.to_owned(), Lane::People)));
    all.extend(["u-asked", "u-rest"].map(|uid| (uid.to_owned(), Lane::Sweep)));
    assert_eq!(bench.woken(), all);
}

#[test]
fn a_notebook_that_is_gone_waits_for_nothing() {
    let bench = Bench::new();
    bench.apply::<Notebook>(&notebook("a"));
    bench.delete::<Notebook>(&notebook("a"));
    assert!(bench.woken().is_empty());
    assert!(bench.caches.notebook("team", "a").is_absent());
    assert_eq!(bench.caches.key_of("u-a"), None);

    bench.apply::<Notebook>(&notebook("a"));
    bench.apply::<Notebook>(&with(notebook("a"), "/metadata/uid", json!("u-2")));
    assert_eq!(bench.woken(), woken("u-2", Lane::People), "another notebook of the same name");
    assert_eq!(bench.caches.notebooks().len(), 1);
}

#[test]
fn classes_and_namespaces_wake_their_notebooks_in_the_sweep() {
    let bench = Bench::new();
    let other = with(notebook("other"), "/spec/class", json!("gpu"));
    bench.list::<Notebook>([notebook("plain"), other]);
    bench.woken();
    bench.apply::<NotebookClass>(&class("gpu", "p"));
    assert_eq!(bench.woken(), woken("u-other", Lane::Sweep));
    bench.apply::<NotebookClass>(&class("default", "p"));
    assert_eq!(bench.woken(), woken("u-plain", Lane::Sweep), "it names no class");
    bench.apply::<NotebookClass>(&with(class("gpu", "p"), "/status", json!({})));
    assert!(bench.woken().is_empty(), "a class's status is no news");
    bench.apply::<NotebookClass>(&with(class("gpu", "p"), "/spec/zones", json!(["z-b"])));
    assert_eq!(bench.woken(), woken("u-other", Lane::Sweep));
    assert!(bench.caches.class_changed().now_or_never().is_some());
    assert!(bench.caches.class_changed().now_or_never().is_none());

    let namespace = json!({"metadata": {"name": "team", "labels": {"tier": "gold"}}});
    bench.apply::<NamespaceSeen>(&namespace);
    assert_eq!(bench.woken().len(), 2);
    bench.apply::<NamespaceSeen>(&with(namespace, "/metadata/resourceVersion", json!("9")));
    bench.apply::<NamespaceSeen>(&json!({"metadata": {"name": "teams"}}));
    assert!(bench.woken().is_empty());
}

#[test]
fn our_objects_wake_their_notebook_when_what_we_read_of_them_changes() {
    let bench = Bench::new();
    bench.list::<Notebook>([notebook("a"), notebook("b")]);
    bench.woken();
    let pod = object("pod", "u-a");
    bench.apply::<PodSeen>(&pod);
    assert_eq!(bench.woken(), woken("u-a", Lane::Transition));
    bench.apply::<PodSeen>(&with(pod.clone(), "/metadata/resourceVersion", json!("2")));
    assert!(bench.woken().is_empty());
    bench.apply::<PodSeen>(&with(pod.clone(), "/status", json!({"phase": "Running"})));
    assert_eq!(bench.woken(), woken("u-a", Lane::Transition));
    bench.delete::<PodSeen>(&pod);
    assert_eq!(bench.woken(), woken("u-a", Lane::Transition));
    bench.apply::<PodSeen>(&object("stranger", "u-x"));
    assert!(bench.woken().is_empty(), "of a notebook that there is not");
    for _ in 0..2 {
        bench.apply::<ServiceSeen>(&object("a", "u-a"));
        bench.apply::<SliceSeen>(&object("b", "u-b"));
    }
    assert_eq!(bench.woken(), [("u-a".to_owned(), Lane::Transition), ("u-b".to_owned(), Lane::Transition)]);
    let seen = bench.caches.objects_of("u-a");
    assert!(seen.service.is_present() && seen.slice.is_absent());
    assert_eq!(seen.attachments, Seen::Present(Vec::new()));
}

#[test]
fn a_disk_of_ours_is_found_by_the_name_in_the_notebooks_memory() {
    let bench = Bench::new();
    bench.list::<Notebook>([with(notebook("a"), "/status/home", home("home-t2", false)), notebook("b")]);
    bench.woken();
    bench.apply::<AttachmentSeen>(&attachment("va", "home-t2"));
    assert_eq!(bench.woken(), woken("u-a", Lane::Transition), "even before the volume is seen");
    for disk in ["home-t1", "home-t2"] {
        bench.apply::<VolumeSeen>(&with(volume(disk, disk), "/metadata/labels", json!({"rehost.dev/uid": "u-a"})));
        bench.apply::<ClaimSeen>(&object(disk, "u-a"));
    }
    assert_eq!(bench.woken(), woken("u-a", Lane::Transition));
    let seen = bench.caches.objects_of("u-a");
    assert_eq!(seen.volume.present().map(|volume| volume.name.as_str()), Some("home-t2"));
    assert_eq!(seen.claim.present().map(|claim| claim.name.as_str()), Some("home-t2"));
    assert_eq!(seen.attachments.present().map(|all| all[0].name.clone()), Some("va".to_owned()));

    bench.delete::<VolumeSeen>(&volume("home-t2", "home-t2"));
    let seen = bench.caches.objects_of("u-a");
    assert!(seen.volume.is_absent(), "a volume of another home does not count");
}

#[test]
fn a_dynamic_volume_is_found_through_its_claim() {
    let bench = Bench::new();
    bench.list::<Notebook>([with(notebook("a"), "/status/home", home("home-t1", true)), notebook("b")]);
    bench.apply::<ClaimSeen>(&object("home-t1", "u-a"));
    bench.woken();
    bench.apply::<VolumeSeen>(&volume("pvc-1", "home-t1"));
    bench.apply::<VolumeSeen>(&volume("pvc-9", "somebody's"));
    assert_eq!(bench.woken(), woken("u-a", Lane::Transition), "by its claimRef");
    bench.apply::<AttachmentSeen>(&attachment("va", "pvc-1"));
    assert_eq!(bench.woken(), woken("u-a", Lane::Transition));
    let bound = with(object("home-t1", "u-a"), "/spec", json!({"volumeName": "pvc-1"}));
    bench.apply::<ClaimSeen>(&bound);
    let seen = bench.caches.objects_of("u-a");
    assert_eq!(seen.volume.present().map(|volume| volume.name.as_str()), Some("pvc-1"));
    assert_eq!(seen.attachments.present().map(Vec::len), Some(1));
    bench.delete::<ClaimSeen>(&bound);
    let seen = bench.caches.objects_of("u-a");
    assert!(seen.claim.is_absent());
    assert!(seen.volume.is_present(), "it outlives its claim, and still says whose it was");
}

#[test]
fn without_memory_the_latest_home_counts() {
    let bench = Bench::new();
    bench.list::<Notebook>([notebook("a")]);
    for disk in ["home-t10", "home-t9"] {
        bench.apply::<VolumeSeen>(&with(volume(disk, disk), "/metadata/labels", json!({"rehost.dev/uid": "u-a"})));
    }
    let seen = bench.caches.objects_of("u-a");
    assert_eq!(seen.volume.present().map(|volume| volume.name.as_str()), Some("home-t10"));
}

#[test]
fn what_does_not_decode_is_unknown_and_stops_nobody_else() {
    let bench = Bench::new();
    let broken = with(notebook("broken"), "/spec", json!({"state": "Sideways"}));
    bench.list::<Notebook>([broken.clone(), notebook("whole")]);
    assert_eq!(bench.woken().len(), 1);
    assert!(bench.caches.notebook("team", "broken").unknown().is_some_and(|why| why.contains("decode")));
    assert!(bench.caches.notebook("team", "whole").is_present());
    assert!(bench.caches.key_of("u-broken").is_some(), "what it has in the cloud is not a stranger's");
    let health = bench.caches.health()["Notebook"];
    assert_eq!((health.objects, health.broken, health.broken_ever), (2, 1, 1));
    bench.apply::<Notebook>(&notebook("broken"));
    assert_eq!(bench.woken(), woken("u-broken", Lane::People), "mended");
    assert_eq!(bench.caches.health()["Notebook"].broken, 0);

    bench.apply::<PodSeen>(&with(object("pod", "u-whole"), "/spec", json!("?")));
    assert!(bench.caches.objects_of("u-whole").pods.unknown().is_some());
    assert_eq!(bench.caches.objects_of("u-broken").pods, Seen::Present(Vec::new()));
    bench.apply::<AttachmentSeen>(&with(attachment("va", "v"), "/spec", json!("?")));
    assert!(bench.caches.attachments_of("w").unknown().is_some(), "it may be of any volume");
}

#[test]
fn projects_are_those_of_classes_and_of_what_notebooks_have() {
    let bench = Bench::new();
    bench.list::<NotebookClass>([class("default", "p-class"), class("other", "p-other")]);
    bench.list::<Notebook>([with(notebook("a"), "/status/home", home("home-t1", false)), notebook("b")]);
    let projects: Vec<_> = bench.caches.projects().into_iter().collect();
    assert_eq!(projects, ["p-class", "p-home", "p-other"]);
    let names =
        |project: &str| -> Vec<_> { bench.caches.notebooks_in(project).into_iter().map(|key| key.name).collect() };
    assert_eq!((names("p-class"), names("p-home")), (vec!["a".into(), "b".into()], vec!["a".to_owned()]));
    assert!(names("p-other").is_empty());
}

#[test]
fn bookkeeping_is_not_kept() {
    let bench = Bench::new();
    let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": "{}", "rehost.dev/wake": "1"});
    let whole = with(notebook("a"), "/metadata/annotations", annotations);
    bench.apply::<Notebook>(&with(whole, "/metadata/managedFields", json!([{"manager": "kubectl"}])));
    let kept = bench.caches.notebook("team", "a").into_present().unwrap();
    assert!(kept.managed_fields().is_empty());
    assert_eq!(kept.annotations().keys().collect::<Vec<_>>(), ["rehost.dev/wake"]);
}
