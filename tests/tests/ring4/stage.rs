//! An installation with real machines, a person at it, and a notebook that the person watches.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use rehost_api::Notebook;
use rehost_tests::control_plane::{ADMIN, Kubectl};
use rehost_tests::hosts::{Disk, GATEWAY, Machine};
use rehost_tests::kernel::Jupyter;
use rehost_tests::manifests::root;
use rehost_tests::quickstart::NAMESPACE;
use rehost_tests::quickstart::board::{self, Board};
use rehost_tests::quickstart::look::{kernels_are_made, persons};
use rehost_tests::stand::{BUCKET, Caller, Door, Hosts, Real, Stand, StandSettings, ZONE};
use serde_json::{Value, json};

use super::canary::Log;

/// Seconds of the cloud in a real one.
const SCALE: f64 = 5.0;
/// More than any step takes on a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(4);

/// The installation.
pub struct Stage {
    pub stand: Stand,
    pub client: Client,
    pub kubectl: Kubectl,
    pub log: Log,
    board: Arc<Board>,
}

/// One notebook, and its person's way in.
pub struct Watched {
    pub name: String,
    pub door: Door,
    pub caller: Caller,
    pub token: String,
}

impl Stage {
    /// Brings it up with the namespace of the samples and their class, which lets people clone from the local server.
    /// Nothing where this machine can have no real ones, which is a failure where they were asked for.
    pub async fn start() -> Option<Self> {
        if let Some(why) = rehost_tests::hosts::missing() {
            assert!(std::env::var_os("REHOST_HOSTS").is_none(), "real hosts were asked for: {why}");
            eprintln!("left out: {why}");
            return None;
        }
        let log = Log::listen();
        let settings = StandSettings {
            time_scale: SCALE,
            hosts: Hosts::Real,
            progress: Arc::new(|part| eprintln!("bringing up {part}")),
            ..StandSettings::default()
        };
        let stand = Stand::start(settings, Vec::new()).await.expect("it comes up");
        let client = stand.plane.client(ADMIN).await.expect("a client");
        let board = Arc::new(Board::watch(client.clone(), stand.clock.clone()));
        let kubectl = stand.plane.kubectl();
        let stage = Self { stand, client, kubectl, log, board };
        stage.kubectl.apply(&sample("namespace.yaml")).await.expect("the namespace");
        let mut class: Value = serde_saphyr::from_str(&sample("class.yaml")).expect("the class");
        class["spec"]["sourcePrefixes"] = json!([format!("https://{GATEWAY}:")]);
        stage.kubectl.apply(&class.to_string()).await.expect("the class");
        Some(stage)
    }

    pub fn real(&self) -> &Real {
        self.stand.real.as_ref().expect("the machines are real")
    }

    /// Makes a notebook, and waits until it is ready.
    pub async fn make(&self, name: &str, host: Value) -> Watched {
        let manifest = json!({
            "apiVersion": "rehost.dev/v1alpha1",
            "kind": "Notebook",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "class": "default",
                "host": host,
                "zones": [ZONE],
                "storage": {"size": "10Gi"},
                "buckets": [{"path": "data", "name": BUCKET, "prefix": format!("{name}/")}],
                "source": {"repository": self.real().repository.url, "ref": "main", "path": "course"},
            },
        });
        self.kubectl.apply(&manifest.to_string()).await.expect("the notebook");
        self.until("is ready", name, board::is_ready).await;
        let network = Arc::clone(&self.real().network);
        let door = Door::open(self.client.clone(), network, NAMESPACE, name).await.expect("a door");
        let caller = Caller::start(door.address, self.stand.clock.clone());
        Watched { name: name.to_owned(), door, caller, token: self.token(name) }
    }

    pub async fn until(&self, what: &str, name: &str, wanted: impl Fn(&Notebook) -> bool) -> Notebook {
        let seen = self.board.until(what, NAMESPACE, name, PATIENCE, |notebook| notebook.is_some_and(&wanted)).await;
        match seen {
            Ok(notebook) => notebook.expect("it was seen"),
            Err(late) => panic!("{late}\n{}", self.journals()),
        }
    }

    /// Changes the spec, and waits until the notebook runs in that shape. Returns the longest time without an answer.
    pub async fn reshape(&self, watched: &Watched, spec: Value, shape: &str) -> f64 {
        let began = self.edit(watched, json!({"spec": spec})).await;
        let wanted = |notebook: &Notebook| board::is_ready(notebook) && board::shape(notebook) == shape;
        self.until(&format!("runs as {shape}"), &watched.name, wanted).await;
        self.until_it_answers(watched).await;
        let gap_s = watched.caller.longest_gap_s(began, self.stand.clock.now());
        eprintln!("{}: {shape}: {gap_s:.1} s of the cloud without an answer", watched.name);
        gap_s
    }

    /// A merge patch. Returns when it was asked for.
    pub async fn edit(&self, watched: &Watched, patch: Value) -> Timestamp {
        let notebooks: Api<Notebook> = Api::namespaced(self.client.clone(), NAMESPACE);
        let began = self.stand.clock.now();
        notebooks.patch(&watched.name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("it is taken");
        began
    }

    /// The person's files on the home disk, wherever that is, with their SHA-256.
    pub fn files(&self, name: &str) -> BTreeMap<String, String> {
        persons(self.all_files(name))
    }

    fn all_files(&self, name: &str) -> BTreeMap<String, String> {
        self.disk(name).home_files().expect("its files")
    }

    fn seen(&self, name: &str) -> Notebook {
        self.board.get(NAMESPACE, name).expect("it is there")
    }

    /// The home disk.
    pub fn disk(&self, name: &str) -> Arc<Disk> {
        let id = board::status(&self.seen(name)).home.and_then(|home| home.id).expect("it has a home");
        self.real().fleet.disk(id.parse().expect("a number")).expect("the disk")
    }

    /// The name of the host.
    pub fn host(&self, watched: &Watched) -> String {
        board::status(&self.seen(&watched.name)).host.expect("it has a host").name
    }

    /// The machine that is the host.
    pub fn machine(&self, watched: &Watched) -> Arc<Machine> {
        self.real().fleet.machine(ZONE, &self.host(watched)).expect("it is on")
    }

    /// The token of the present key.
    pub fn token(&self, name: &str) -> String {
        self.stand.access.token(&self.seen(name).metadata.uid.expect("a uid")).expect("there is a key")
    }

    /// Waits until the kernels' own environment is made: until then kernels run in the server's.
    pub async fn kernels_are_made(&self, watched: &Watched) {
        let made = async || kernels_are_made(&self.all_files(&watched.name));
        self.eventually("the kernels' environment is made", made).await;
    }

    /// The way in follows the status a moment later.
    pub async fn until_it_answers(&self, watched: &Watched) {
        self.eventually("Jupyter answers", async || watched.answers("/api/status").await == Some(200)).await;
    }

    /// Looks every second until it holds.
    pub async fn eventually(&self, what: &str, holds: impl AsyncFn() -> bool) {
        for _ in 0..PATIENCE.as_secs() {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        panic!("{what}: not in {} s\n{}", PATIENCE.as_secs(), self.journals());
    }

    /// What the machines said, for messages about a failure.
    pub fn journals(&self) -> String {
        let instances = self.stand.cloud.instances(ZONE, "rehost-");
        let names = instances.iter().filter_map(|one| one["name"].as_str());
        names
            .filter_map(|name| Some(format!("{name}:\n{}", self.real().fleet.machine(ZONE, name)?.journal())))
            .collect()
    }
}

impl Watched {
    /// Jupyter, as its person has it.
    pub fn person(&self) -> Jupyter {
        Jupyter::new(&self.door.address.to_string(), Some(&self.token)).expect("a client")
    }

    /// With which code it answers to its person, if at all.
    pub async fn answers(&self, path: &str) -> Option<u16> {
        self.answers_to(path, &self.token).await
    }

    /// The same to whoever has that token.
    pub async fn answers_to(&self, path: &str, token: &str) -> Option<u16> {
        ask(self.door.address, path, Some(token)).await
    }

    /// The same to anybody.
    pub async fn answers_nobody(&self, path: &str) -> Option<u16> {
        ask(self.door.address, path, None).await
    }
}

async fn ask(at: SocketAddr, path: &str, token: Option<&str>) -> Option<u16> {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().expect("a client");
    let mut request = client.get(format!("http://{at}{path}"));
    if let Some(token) = token {
        request = request.header("Authorization", format!("token {token}"));
    }
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

fn sample(name: &str) -> String {
    std::fs::read_to_string(root().join("config/samples").join(name)).expect("a sample")
}
