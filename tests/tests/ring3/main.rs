//! Ring 3: the real controller as the chart's own user, a real API server, HTTP to the simulated cloud.
//!
//! One test with sections, since all of them share one installation: bringing one up takes longer than most of them.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test ends where its world is not as it must be")]

mod cases;
mod refusals;
mod rest;
mod rights;

use std::sync::Arc;
use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use rehost_api::Notebook;
use rehost_tests::control_plane::{ADMIN, Kubectl};
use rehost_tests::manifests::root;
use rehost_tests::quickstart::NAMESPACE;
use rehost_tests::quickstart::board::{self, Board};
use rehost_tests::quickstart::checks::{Check, Checks};
use rehost_tests::quickstart::look::Look;
use rehost_tests::quickstart::screen::{Screen, Show};
use rehost_tests::quickstart::story::Story;
use rehost_tests::stand::{Ledger, Stand, StandSettings, ZONE};
use serde_json::{Value, json};

/// More than any step takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(3);

/// The installation, and the eyes and hands of the sections.
struct Ring {
    stand: Stand,
    ledger: Ledger,
    client: Client,
    kubectl: Kubectl,
    board: Arc<Board>,
    look: Look,
}

impl Ring {
    async fn start() -> Self {
        let ledger = Ledger::default();
        let settings =
            StandSettings { progress: Arc::new(|part| eprintln!("bringing up {part}")), ..StandSettings::default() };
        let stand = Stand::start(settings, vec![ledger.observer()]).await.expect("it comes up");
        let client = stand.plane.client(ADMIN).await.expect("a client");
        let look = Look::new(client.clone(), stand.cloud.clone());
        let board = Arc::new(Board::watch(client.clone(), stand.clock.clone()));
        let kubectl = stand.plane.kubectl();
        Self { stand, ledger, client, kubectl, board, look }
    }

    fn notebooks(&self) -> Api<Notebook> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Server-side apply with strict field validation, as kubectl does it.
    async fn apply(&self, manifest: &Value) -> Result<Notebook, String> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let strict = PatchParams::apply("person").validation_strict();
        self.notebooks().patch(&name, &strict, &Patch::Apply(manifest)).await.map_err(|error| match error {
            kube::Error::Api(status) => status.message,
            other => other.to_string(),
        })
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
            self.notebooks().delete(name, &DeleteParams::default()).await.expect("it can be deleted");
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
            let path = root().join("config/samples").join(file);
            let manifest = std::fs::read_to_string(path).expect("the samples are there");
            self.kubectl.apply(&manifest).await.expect("they are right");
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

/// What runs by itself. The story is the quickstart's, whose own check tells it; `rights` holds the chart's grants against what was
/// asked, and needs the story before it: `RING3=story,rights`.
const SECTIONS: &str = "admission,plain,stalled,rest";

/// `RING3=rest,plain` runs these sections alone, while somebody works on them.
fn wanted(section: &str) -> bool {
    let asked = std::env::var("RING3").unwrap_or_else(|_| SECTIONS.to_owned());
    let runs = asked.split(',').any(|one| one == section);
    if runs {
        eprintln!("--- {section}");
    }
    runs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_installation() {
    let ring = Ring::start().await;
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
    ring.apply(&vm_notebook("plain")).await.expect("it is right");
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
