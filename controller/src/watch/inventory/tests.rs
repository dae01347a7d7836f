use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use google_cloud_compute_v1::{client, stub};
use jiff::Timestamp;
use rehost_api::{Notebook, NotebookClass};
use serde_json::{Value, json};

use super::*;
use crate::clock::TokioClock;
use crate::gce::inventory::Completeness;
use crate::gce::{Cause, Clients, GceError, Sweep};
use crate::guest_files::GuestFiles;
use crate::watch::queue::QueueSettings;
use rehost_api::labels::{GCE_CLUSTER, GCE_UID};

/// What a project answers to the next sweep of it.
#[derive(Clone, Debug)]
enum Answer {
    /// Instances in z-a by name and uid, and what could not be reached.
    Vms(Vec<(&'static str, &'static str)>, Vec<&'static str>),
    Refusal,
    Silence,
}

/// A cloud that can only be swept. The last answer holds.
#[derive(Debug, Default)]
struct Cloud {
    answers: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    swept: Mutex<Vec<(Duration, String)>>,
    clock: Mutex<Option<TokioClock>>,
}

impl stub::Instances for Cloud {}
impl stub::Disks for Cloud {}
impl stub::Images for Cloud {}
impl stub::ZoneOperations for Cloud {}
impl stub::RegionOperations for Cloud {}
impl stub::GlobalOperations for Cloud {}
impl stub::Snapshots for Cloud {}
impl stub::MachineTypes for Cloud {}
impl stub::AcceleratorTypes for Cloud {}
impl stub::Regions for Cloud {}
impl stub::Projects for Cloud {}

impl Cloud {
    fn gce(self: &Arc<Self>) -> Gce {
        let clients = Clients {
            instances: client::Instances::from_stub::<Self>(self.clone()),
            disks: client::Disks::from_stub::<Self>(self.clone()),
            images: client::Images::from_stub::<Self>(self.clone()),
            snapshots: client::Snapshots::from_stub::<Self>(self.clone()),
            zone_operations: client::ZoneOperations::from_stub::<Self>(self.clone()),
            region_operations: client::RegionOperations::from_stub::<Self>(self.clone()),
            global_operations: client::GlobalOperations::from_stub::<Self>(self.clone()),
            machine_types: client::MachineTypes::from_stub::<Self>(self.clone()),
            accelerator_types: client::AcceleratorTypes::from_stub::<Self>(self.clone()),
            regions: client::Regions::from_stub::<Self>(self.clone()),
            projects: client::Projects::from_stub::<Self>(self.clone()),
        };
        Gce::from_parts(clients, self.clone(), GuestFiles::none())
    }

    fn will(&self, project: &str, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().insert(project.to_owned(), answers.into_iter().collect());
    }

    /// When each sweep began, and of which project, since the last time.
    fn swept(&self) -> Vec<(u64, String)> {
        let swept = std::mem::take(&mut *self.swept.lock().unwrap());
        swept.into_iter().map(|(at, project)| (at.as_secs(), project)).collect()
    }
}

impl Sweep for Cloud {
    fn get(&self, path: &str, _query: Vec<(String, String)>) -> BoxFuture<'_, Result<Bytes, GceError>> {
        let parts: Vec<&str> = path.split('/').collect();
        let (project, kind) = (parts[4].to_owned(), parts[6].to_owned());
        // The disks are the second list of a sweep, and have no story of their own here.
        if kind == "disks" {
            let page = json!({"kind": "compute#diskAggregatedList"});
            return async move { Ok(Bytes::from(page.to_string())) }.boxed();
        }
        let now = self.clock.lock().unwrap().map(|clock| crate::clock::Clock::monotonic(&clock)).unwrap_or_default();
        self.swept.lock().unwrap().push((now, project.clone()));
        let mut answers = self.answers.lock().unwrap();
        let queue = answers.entry(project).or_default();
        let answer = if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() };
        match answer.unwrap_or(Answer::Refusal) {
            Answer::Vms(vms, unreachable) => {
                let page = page(&vms, &unreachable);
                async move { Ok(Bytes::from(page.to_string())) }.boxed()
            }
            Answer::Refusal => async { Err(GceError::new(Cause::Server, "no".to_owned())) }.boxed(),
            Answer::Silence => futures::future::pending().boxed(),
        }
    }
}

fn page(vms: &[(&str, &str)], unreachable: &[&str]) -> Value {
    let vm = |(name, uid): &(&str, &str)| json!({"name": name, "id": "1", "status": "RUNNING", "labels": {GCE_CLUSTER: "c", GCE_UID: uid}});
    let vms: Vec<_> = vms.iter().map(vm).collect();
    json!({"kind": "compute#instanceAggregatedList", "items": {"zones/z-a": {"instances": vms}}, "unreachables": unreachable})
}

/// Sweeps every 15 s of a cloud and a cluster that the test speaks for.
struct Run {
    cloud: Arc<Cloud>,
    inventories: Arc<Inventories>,
    queue: Arc<Queue>,
    clock: SharedClock,
    sweeps: tokio::task::JoinHandle<()>,
}

impl Run {
    /// Notebooks `a` and `b` in project `p`, and whatever else is in the cluster.
    fn start(cloud: Arc<Cloud>, classes: &[(&str, &str)]) -> Self {
        let tokio_clock = TokioClock::new(Timestamp::UNIX_EPOCH);
        *cloud.clock.lock().unwrap() = Some(tokio_clock);
        let clock: SharedClock = Arc::new(tokio_clock);
        let queue = Arc::new(Queue::new(Arc::clone(&clock), QueueSettings::default()));
        let caches = Arc::new(Caches::of(classes.iter().map(class).collect(), ["a", "b"].map(notebook).into(), &queue));
        let inventories = Arc::new(Inventories::new());
        let sweeps = run_sweeps(
            cloud.gce(),
            Arc::clone(&inventories),
            caches,
            Arc::clone(&queue),
            Arc::clone(&clock),
            15,
            "c".to_owned(),
        );
        let run = Self { sweeps: tokio::spawn(sweeps), cloud, inventories, queue, clock };
        run.woken();
        run
    }

    async fn pass(&self, milliseconds: u64) {
        self.clock.sleep(Duration::from_millis(milliseconds)).await;
    }

    fn woken(&self) -> Vec<(String, Lane)> {
        let turns = std::iter::from_fn(|| self.queue.next().now_or_never());
        turns.map(|turn| (turn.key.name.clone(), turn.lane)).collect()
    }

    fn names(&self, uid: &str) -> Vec<String> {
        let inventory = self.inventories.of("p").expect("an inventory");
        inventory.instances_of(uid).iter().map(|it| it.name.clone()).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.sweeps.abort();
    }
}

fn class((name, project): &(&str, &str)) -> NotebookClass {
    let json = json!({"apiVersion": "rehost.dev/v1alpha1", "kind": "NotebookClass", "metadata": {"name": name},
        "spec": {"project": project, "zones": ["z-a"]}});
    serde_json::from_value(json).expect("a class")
}

fn notebook(name: &str) -> Notebook {
    let json = json!({"apiVersion": "rehost.dev/v1alpha1", "kind": "Notebook", "spec": {},
        "metadata": {"namespace": "team", "name": name, "uid": format!("u-{name}")}});
    serde_json::from_value(json).expect("a notebook")
}

const CLASSES: &[(&str, &str)] = &[("default", "p")];

#[tokio::test(start_paused = true)]
async fn differences_wake_the_notebooks_that_they_concern() {
    let cloud = Arc::new(Cloud::default());
    let first = Answer::Vms(vec![("vm-a", "u-a")], vec![]);
    let second = Answer::Vms(vec![("vm-a", "u-a"), ("vm-b", "u-b"), ("vm-x", "u-x")], vec![]);
    cloud.will("p", [first.clone(), first, second]);
    let run = Run::start(cloud, CLASSES);
    assert!(!run.inventories.first_sweep_done());
    run.inventories.until_first_sweep().await;
    assert_eq!(run.woken().len(), 2, "absence, which was not known, is news as well");
    run.pass(15_500).await;
    assert!(run.woken().is_empty(), "nothing differs");
    assert_eq!(run.inventories.strangers()["p"], Strangers::default());
    run.pass(15_000).await;
    assert_eq!(run.woken(), [("b".to_owned(), Lane::Sweep)]);
    assert_eq!(run.inventories.strangers()["p"], Strangers { instances: 1, disks: 0 });
    assert_eq!(run.cloud.swept(), [0, 15, 30].map(|at| (at, "p".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_hint_makes_it_sweep_soon_and_many_hints_not_denser() {
    let cloud = Arc::new(Cloud::default());
    cloud.will("p", [Answer::Vms(vec![], vec![])]);
    let run = Run::start(cloud, CLASSES);
    run.pass(5_500).await;
    run.cloud.swept();
    for _ in 0..39 {
        run.inventories.hint();
        run.pass(100).await;
    }
    run.pass(3_000).await;
    let swept: Vec<_> = run.cloud.swept().into_iter().map(|(at, _)| at).collect();
    assert_eq!(swept, [5, 6, 7, 8, 9], "the first at once, then one each second, and none without a hint");
}

#[tokio::test(start_paused = true)]
async fn what_a_sweep_could_not_see_stays_and_is_not_absent() {
    let cloud = Arc::new(Cloud::default());
    cloud.will(
        "p",
        [
            Answer::Vms(vec![("vm-a", "u-a"), ("vm-b", "u-b")], vec![]),
            Answer::Vms(vec![("vm-b", "u-b")], vec!["zones/z-a"]),
            Answer::Refusal,
            Answer::Vms(vec![("vm-b", "u-b")], vec![]),
        ],
    );
    let run = Run::start(cloud, CLASSES);
    run.pass(500).await;
    run.woken();
    run.pass(15_000).await;
    assert_eq!((run.names("u-a"), run.names("u-b")), (vec!["vm-a".to_owned()], vec!["vm-b".to_owned()]));
    let inventory = run.inventories.of("p").unwrap();
    assert!(inventory.instance("u-a", "z-a", "vm-c").unknown().is_some());
    assert!(run.woken().is_empty());
    run.pass(15_000).await;
    assert_eq!(run.names("u-a"), ["vm-a"], "a failed sweep changes nothing");
    assert!(run.inventories.failures().contains_key("p"));
    assert!(run.woken().is_empty());
    run.pass(15_000).await;
    assert!(run.names("u-a").is_empty() && run.inventories.failures().is_empty());
    assert_eq!(run.woken(), [("a".to_owned(), Lane::Sweep)]);
}

#[tokio::test(start_paused = true)]
async fn a_project_that_does_not_answer_keeps_no_other_waiting_for_ever() {
    let cloud = Arc::new(Cloud::default());
    cloud.will("mute", [Answer::Silence]);
    cloud.will("p", [Answer::Vms(vec![("vm-a", "u-a")], vec![])]);
    let run = Run::start(cloud, &[("default", "p"), ("mute", "mute")]);
    run.pass(500).await;
    assert_eq!(run.names("u-a"), ["vm-a"], "it is there while the other is still waited for");
    assert!(!run.inventories.first_sweep_done());
    run.pass(121_000).await;
    assert!(run.inventories.first_sweep_done() && run.inventories.of("mute").is_none());
    assert!(run.cloud.swept().iter().filter(|(_, project)| project == "p").count() >= 2);
}

#[test]
fn what_was_seen_of_an_unreachable_zone_replaces_what_was_there() {
    let vm = |name: &str, id: u64, zone: &str| crate::gce::model::Disk {
        zone: zone.to_owned(),
        name: name.to_owned(),
        id,
        size_gb: 1,
        disk_type: String::new(),
        ready: true,
        labels: BTreeMap::new(),
        label_fingerprint: None,
        users: Vec::new(),
    };
    let inventory = |disks: &[(&str, &str, u64, &str)], unreachable: &[&str]| {
        let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (uid, name, id, zone) in disks {
            found.entry((*uid).to_owned()).or_default().push(vm(name, *id, zone));
        }
        let unreachable: BTreeSet<_> = unreachable.iter().map(|zone| (*zone).to_owned()).collect();
        let completeness = Completeness { unreachable, partial: None };
        Inventory { at: Timestamp::UNIX_EPOCH, instances: BTreeMap::new(), disks: found, completeness }
    };
    let old = inventory(&[("u1", "same", 1, "z-a"), ("u1", "stays", 2, "z-a"), ("u1", "gone", 3, "z-b")], &[]);
    let new = inventory(&[("u2", "same", 9, "z-a")], &["z-a"]);
    let merged = merge(Some(&old), new.clone());
    let ids = |uid: &str| merged.disks_of(uid).iter().map(|it| it.id).collect::<Vec<_>>();
    assert_eq!((ids("u1"), ids("u2")), (vec![2], vec![9]));
    assert_eq!(merged.completeness, new.completeness);
    let mut partial = inventory(&[], &[]);
    partial.completeness.partial = Some("TIMEOUT".to_owned());
    assert_eq!(merge(Some(&old), partial).disks, old.disks, "a partial list says nothing of any zone");
    assert_eq!(merge(None, new.clone()), new);
}
