//! Ring 3: the real controller as the chart's own user, a real API server, HTTP to the simulated cloud.
//!
//! Few tests with sections, since the sections of one share an installation: bringing one up takes longer than most of them.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test ends where its world is not as it must be")]

mod again;
mod buckets;
mod cases;
mod person;
mod readme;
mod refusals;
mod rest;
mod rights;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::DeleteParams;
use rehost_api::Notebook;
use rehost_tests::control_plane::{ADMIN, Kubectl};
use rehost_tests::manifests::root;
use rehost_tests::quickstart::NAMESPACE;
use rehost_tests::quickstart::board::{self, Board};
use rehost_tests::quickstart::checks::{Check, Checks};
use rehost_tests::quickstart::look::Look;
use rehost_tests::quickstart::screen::{Screen, Show};
use rehost_tests::quickstart::story::Story;
use rehost_tests::stand::{Install, Ledger, Stand, StandSettings, ZONE};
use rehost_tests::world::Method;
use rehost_tests::world::exchange::Observer;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use person::Person;
use readme::Readme;

/// Seconds of the cloud in a real one, where no times are looked at.
const FAST: f64 = 20.0;
/// More than any step takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(3);

/// The installation, and the eyes and hands of the sections.
struct Ring {
    stand: Stand,
    ledger: Ledger,
    client: Client,
    kubectl: Kubectl,
    person: Person,
    board: Arc<Board>,
    look: Look,
}

impl Ring {
    async fn start(settings: StandSettings, observers: Vec<Observer>) -> Self {
        let ledger = Ledger::default();
        let settings = StandSettings { progress: Arc::new(|part| eprintln!("bringing up {part}")), ..settings };
        let observers = [observers, vec![ledger.observer()]].concat();
        let stand = Stand::start(settings, observers).await.expect("it comes up");
        let client = stand.plane.client(ADMIN).await.expect("a client");
        let look = Look::new(client.clone(), stand.cloud.clone());
        let board = Arc::new(Board::watch(client.clone(), stand.clock.clone()));
        let (kubectl, person) = (stand.plane.kubectl(), Person::new(client.clone()));
        Self { stand, ledger, client, kubectl, person, board, look }
    }

    async fn until(&self, what: &str, name: &str, wanted: impl Fn(Option<&Notebook>) -> bool) -> Option<Notebook> {
        match self.board.until(what, NAMESPACE, name, PATIENCE, wanted).await {
            Ok(notebook) => notebook,
            Err(late) => panic!("{late}"),
        }
    }

    async fn ready(&self, name: &str) -> Notebook {
        let ready = self.until("is ready", name, |notebook| notebook.is_some_and(board::is_ready)).await;
        ready.expect("a ready notebook is there")
    }

    async fn delete(&self, names: &[String]) {
        for name in names {
            self.person.notebooks().delete(name, &DeleteParams::default()).await.expect("it can be deleted");
        }
        for name in names {
            self.until("is gone", name, |notebook| notebook.is_none()).await;
        }
    }

    /// What the cloud has that says it is of a notebook of this name.
    fn in_the_cloud(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        for kind in ["instances", "disks"] {
            let list = self.stand.cloud.peek(&format!("zones/{ZONE}/{kind}"));
            let items = list["items"].as_array().cloned().unwrap_or_default();
            let its = items.iter().filter(|item| item["labels"]["rehost-name"] == name);
            found.extend(its.map(|item| format!("{kind}/{}", item["name"].as_str().unwrap_or_default())));
        }
        found
    }

    /// Namespace and class of the samples.
    async fn prepare(&self) {
        for file in ["namespace.yaml", "class.yaml"] {
            let manifest = in_the_tree(&format!("config/samples/{file}"));
            self.kubectl.apply(&manifest).await.expect("they are right");
        }
    }

    /// Deletes what notebooks of this name left in the cloud, as their owner would who needs it no more.
    async fn forget_kept_disks(&self, name: &str) {
        for left in self.in_the_cloud(name) {
            let answer = self.stand.cloud.call(Method::Delete, &format!("zones/{ZONE}/{left}"), &[], None).await;
            assert_eq!(answer.status, 200, "{left}: {}", answer.body);
        }
        while !self.in_the_cloud(name).is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A notebook on a small VM, whose disk goes with it.
fn vm_notebook(name: &str) -> Value {
    json!({
        "apiVersion": "rehost.dev/v1alpha1",
        "kind": "Notebook",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "host": {"vm": {"machineType": "n1-standard-1"}},
            "storage": {"size": "20Gi", "type": "pd-balanced", "deletionPolicy": "Delete"},
        },
    })
}

/// A notebook in a small pod, whose disk goes with it.
fn pod_notebook(name: &str) -> Value {
    let mut notebook = vm_notebook(name);
    notebook["spec"]["host"] = json!({"pod": {"resources": {"cpu": "500m", "memory": "1Gi"}}});
    notebook
}

/// Who has the home, by name and shape.
fn host(notebook: &Notebook) -> (String, String) {
    let host = board::status(notebook).host.expect("a host");
    (host.name, host.shape)
}

/// A file of the tree.
fn in_the_tree(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `RING3=rest,plain` runs these sections alone, while somebody works on them. `rights` needs the story and the buckets before it.
fn asked_for(section: &str) -> bool {
    std::env::var("RING3").map_or(true, |asked| asked.split(',').any(|one| one == section))
}

fn wanted(section: &str) -> bool {
    let runs = asked_for(section);
    if runs {
        eprintln!("--- {section}");
    }
    runs
}

/// One installation at a time: the times of its steps are looked at, and a machine may have few processors.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_installation() {
    if !["admission", "story", "plain", "buckets", "stalled", "rest", "rights"].into_iter().any(asked_for) {
        return;
    }
    let _alone = ALONE.lock().await;
    let ring = Ring::start(StandSettings::default(), Vec::new()).await;
    if wanted("admission") {
        refusals::at_admission(&ring).await;
    }
    if wanted("story") {
        tell_the_story(&ring).await;
    }
    ring.prepare().await;
    if wanted("plain") {
        from_creation_to_end(&ring).await;
    }
    if wanted("buckets") {
        buckets::come_with_the_driver(&ring).await;
    }
    if wanted("stalled") {
        refusals::by_the_controller(&ring).await;
    }
    if wanted("rest") {
        rest::nothing_is_written(&ring).await;
    }
    if wanted("rights") {
        rights::are_exact(&ring).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_after_the_readme() {
    if !["readme", "again"].into_iter().any(asked_for) {
        return;
    }
    let _alone = ALONE.lock().await;
    let (readme, log) = (Readme::read(), again::Log::default());
    let install = Install::Typed(readme.install.clone());
    let settings = StandSettings { time_scale: FAST, install, ..StandSettings::default() };
    let sweep_interval_s = settings.sweep_interval_s;
    let mut ring = Ring::start(settings, vec![log.observer()]).await;
    if wanted("readme") {
        readme::does_what_it_says(&ring, &readme).await;
        // The next section's controller knows nothing yet, as ring 2's does at first.
        ring.stand.crash_controller();
        ring.stand.start_controller(sweep_interval_s).await.expect("it starts again");
    }
    ring.prepare().await;
    if wanted("again") {
        again::with_the_same_requests(&ring, &log).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_supported_kubernetes() {
    let _alone = ALONE.lock().await;
    if wanted("versions") {
        versions::hold().await;
    }
}

async fn tell_the_story(ring: &Ring) {
    let show = Arc::new(|check: &Check| {
        if !check.passed {
            eprintln!("    FAILED  {}: {}", check.name, check.found);
        }
    });
    let screen = Screen::new(Show::Aside);
    let (ledger, board, checks) = (ring.ledger.clone(), ring.board.clone(), Checks::new(show));
    let mut story = Story::new(&ring.stand, ledger, board, screen, checks).await.expect("it begins");
    let told = story.tell().await;
    assert!(told.is_ok(), "the story broke off: {}", told.err().map(|error| error.to_string()).unwrap_or_default());
    let failed: Vec<&str> =
        story.checks.all().iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(story.checks.passed() >= 40, "only {} checks", story.checks.passed());
}

async fn from_creation_to_end(ring: &Ring) {
    ring.person.apply(&vm_notebook("plain")).await.expect("it is right");
    let notebook = ring.ready("plain").await;
    assert_eq!(host(&notebook).1, "n1-standard-1");
    assert_eq!(ring.in_the_cloud("plain").len(), 3, "a VM, its boot disk and a home: {:?}", ring.in_the_cloud("plain"));

    ring.delete(&["plain".to_owned()]).await;
    assert_eq!(ring.in_the_cloud("plain"), Vec::<String>::new(), "with deletionPolicy Delete the disk goes too");
    // The garbage collector hears of it when everybody else does.
    for _ in 0..100 {
        if ring.look.core("services", "plain").await.is_null() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the Service did not go with its notebook");
}
