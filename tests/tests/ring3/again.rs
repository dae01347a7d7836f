//! Ring 2's story once more, over HTTP and on a real API server: the controller asks the cloud for the same.
//!
//! What differs between two tellings is how long somebody waited: how often a guest is asked, and how many times a machine that is
//! out of stock is ordered. So reads are compared as kinds, and orders of what was out of stock are compared, not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use kube::api::{DeleteParams, Patch, PatchParams};
use regex::Regex;
use rehost_api::guest::{FILES_KEY, STARTUP_KEY};
use rehost_api::labels;
use rehost_tests::sim::scene::{CloudScene, ClusterScene, Scene, Source};
use rehost_tests::sim::{Act, Chapter, Extent, NAME, Settings, View, chapters, simulate, tell};
use rehost_tests::stand::{CLUSTER, ZONE};
use rehost_tests::world::exchange::{Exchange, Observer};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Ring;

/// Beyond the cloud's own time for a chapter: what a busy machine may add, in real seconds.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often the story is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Exchanges with a cloud, in order.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<Exchange>>>);

impl Log {
    /// The observer that writes it.
    pub fn observer(&self) -> Observer {
        let log = self.clone();
        Arc::new(move |exchange: &Exchange| log.add(exchange.clone()))
    }

    fn add(&self, exchange: Exchange) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(exchange);
    }

    fn since(&self, mark: usize) -> Vec<Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[mark..].to_vec()
    }

    fn mark(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

pub async fn with_the_same_requests(ring: &Ring, log: &Log) {
    let in_memory = tokio::task::spawn_blocking(told_in_memory).await.expect("it is told");
    let mark = log.mark();
    told_over_http(ring).await;
    let over_http = log.since(mark);
    ring.forget_kept_disks(NAME).await;

    let (in_memory, over_http) = (Asked::by_the_controller(&in_memory), Asked::by_the_controller(&over_http));
    assert!(in_memory.changes.values().sum::<usize>() >= 20, "the story asks for changes: {:#?}", in_memory.changes);
    assert!(in_memory.reads.len() >= 5, "the story asks for reads: {:#?}", in_memory.reads);
    assert_eq!(
        difference(&in_memory.changes, &over_http.changes),
        Vec::<String>::new(),
        "changes in memory, over HTTP"
    );
    assert_eq!(in_memory.reads, over_http.reads, "kinds of reads in memory, over HTTP");
}

fn told_in_memory() -> Vec<Exchange> {
    let log = Log::default();
    let told = log.clone();
    let outcome = simulate(Settings::default(), |run| async move {
        run.with_world(|world| {
            world.observe(move |at, request, response| told.add(Exchange::new(at, request, response)));
        });
        run.start_controller();
        tell(&run, NAME, &chapters(Extent::Whole)).await
    });
    assert!(outcome.is_fine(), "{}", outcome.report("ring 2's story without faults"));
    log.since(0)
}

async fn told_over_http(ring: &Ring) {
    for chapter in chapters(Extent::Whole) {
        eprintln!("    {}", chapter.name);
        for act in &chapter.acts {
            perform(ring, act).await;
        }
        comes_about(ring, &chapter).await;
    }
}

async fn perform(ring: &Ring, act: &Act) {
    let notebooks = ring.person.notebooks();
    match act {
        Act::Apply(manifest) => drop(ring.person.apply(manifest).await.expect("ring 2's manifests are right")),
        Act::Annotate(key, value) => {
            let patch = json!({"metadata": {"annotations": {*key: value}}});
            notebooks.patch(NAME, &PatchParams::default(), &Patch::Merge(patch)).await.expect("it is annotated");
        }
        Act::Delete => drop(notebooks.delete(NAME, &DeleteParams::default()).await.expect("it can be deleted")),
        Act::LeaveAlone => panic!("nobody sleeps in this story"),
        Act::Capacity(pattern, most) => ring.stand.cloud.capacity(ZONE, pattern, *most),
    }
}

async fn comes_about(ring: &Ring, chapter: &Chapter) {
    let scale = ring.stand.cloud.world.clock().scale();
    let deadline = Instant::now() + PATIENCE + Duration::from_secs_f64(chapter.cloud_s / scale);
    loop {
        let scene = scene(ring).await;
        let view = View { scene: &scene, name: NAME };
        if let Some(Err(what)) = chapter.meanwhile.as_ref().map(|meanwhile| meanwhile(&view)) {
            panic!("chapter '{}': {what}", chapter.name);
        }
        let Err(lacking) = (chapter.until)(&view) else { return };
        assert!(Instant::now() < deadline, "chapter '{}' does not come about: {lacking}", chapter.name);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What a real API server listed of each kind.
struct Listed(BTreeMap<&'static str, Vec<Arc<Value>>>);

impl Source for Listed {
    fn version(&self) -> u64 {
        1
    }

    fn version_of(&self, _kind: &str) -> u64 {
        1
    }

    fn stored(&self, kind: &str) -> Vec<Arc<Value>> {
        self.0.get(kind).cloned().unwrap_or_default()
    }
}

/// The cluster as a real API server has it, and the cloud, as ring 2's conditions look at them.
async fn scene(ring: &Ring) -> Scene {
    let mut objects: BTreeMap<&'static str, Vec<Arc<Value>>> = BTreeMap::new();
    for (kind, path) in [
        ("Notebook", "/apis/rehost.dev/v1alpha1/notebooks"),
        ("Pod", "/api/v1/pods"),
        ("Service", "/api/v1/services"),
        ("EndpointSlice", "/apis/discovery.k8s.io/v1/endpointslices"),
        ("PersistentVolume", "/api/v1/persistentvolumes"),
        ("PersistentVolumeClaim", "/api/v1/persistentvolumeclaims"),
        ("VolumeAttachment", "/apis/storage.k8s.io/v1/volumeattachments"),
    ] {
        let request = Request::get(path).body(Vec::new()).expect("a request");
        let list: Value = ring.client.request(request).await.expect("a list");
        let items = list["items"].as_array().cloned().unwrap_or_default();
        objects.insert(kind, items.into_iter().map(Arc::new).collect());
    }
    let cluster = Arc::new(ClusterScene::default().next(&Listed(objects)));
    let label = labels::gce_label_value(CLUSTER);
    ring.stand.cloud.world.with(|world, now| {
        let cloud = Arc::new(CloudScene::of(world));
        Scene::of(now, &label, world, cluster, cloud)
    })
}

/// What the controller asked of a cloud, without what is different in every telling.
struct Asked {
    /// How often each change was asked for; 0 for what may be asked for any number of times.
    changes: BTreeMap<String, usize>,
    reads: BTreeSet<String>,
}

impl Asked {
    fn by_the_controller(exchanges: &[Exchange]) -> Self {
        let mut asked = Self { changes: BTreeMap::new(), reads: BTreeSet::new() };
        for exchange in exchanges.iter().filter(|exchange| !is_of_the_cluster(exchange)) {
            if exchange.method == "GET" {
                let mut keys: Vec<&str> = exchange.query.iter().map(|(key, _)| key.as_str()).collect();
                keys.sort_unstable();
                asked.reads.insert(format!("{} {keys:?}", plain(&exchange.path)));
            } else {
                let change = change(exchange);
                let count = asked.changes.entry(change.clone()).or_default();
                *count = if may_be_repeated(&change) { 0 } else { *count + 1 };
            }
        }
        asked
    }
}

/// Nodes are made, and disks attached to them, by those who stand in for the cluster's own parts.
fn is_of_the_cluster(exchange: &Exchange) -> bool {
    let made = exchange.request.as_ref().and_then(|body| body["name"].as_str()).unwrap_or_default();
    exchange.path.contains("/instances/node-") || made.starts_with("node-") || exchange.path.ends_with("/wait")
}

fn may_be_repeated(change: &str) -> bool {
    change.contains("guestAccelerators")
}

fn change(exchange: &Exchange) -> String {
    let query: Vec<String> = exchange
        .query
        .iter()
        .map(|(key, value)| if key == "requestId" { key.clone() } else { format!("{key}={value}") })
        .collect();
    let body = exchange.request.clone().map(|body| without_guest(body).to_string()).unwrap_or_default();
    plain(&format!("{} {} {query:?} {body}", exchange.method, exchange.path))
}

/// A machine that is only imagined is given no program to run.
fn without_guest(mut body: Value) -> Value {
    let metadata = if body["metadata"].is_object() { &mut body["metadata"] } else { &mut body };
    if let Some(items) = metadata["items"].as_array_mut() {
        items.retain(|item| item["key"] != STARTUP_KEY && item["key"] != FILES_KEY);
    }
    body
}

/// Without ids, numbers of changes, versions of images, and the cluster's name.
fn plain(text: &str) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
            (r"rehost-[0-9a-f]{16}", "rehost-UID"),
            (r#"(rehost-UID-|rehost-UID-home-|")t[0-9]+\b"#, "${1}tN"),
            (r"notebook-(cpu|gpu|arm)-v[0-9]+", "notebook-${1}"),
            (r#"("[a-zA-Z]*[fF]ingerprint":)"[^"]*""#, "${1}\"F\""),
            (r#"("rehost-cluster":)"[^"]*""#, "${1}\"C\""),
            (r"(operations/)operation-[0-9a-zA-Z-]+", "${1}OPERATION"),
        ]
        .map(|(pattern, with)| (Regex::new(pattern).expect("a pattern"), with))
        .into()
    });
    RULES.iter().fold(text.to_owned(), |text, (pattern, with)| pattern.replace_all(&text, *with).into_owned())
}

fn difference(left: &BTreeMap<String, usize>, right: &BTreeMap<String, usize>) -> Vec<String> {
    let all: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differs = |key: &&&String| left.get(**key) != right.get(**key);
    all.iter().filter(differs).map(|key| format!("{:?} {:?} {key}", left.get(*key), right.get(*key))).collect()
}
