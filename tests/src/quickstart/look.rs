//! Looking at the cluster and the cloud, beside the controller's own words.

use std::collections::BTreeMap;

use http::Request;
use kube::Client;
use serde_json::Value;

use super::{HERO, NAMESPACE};
use crate::hosts::{Fleet, HostsError};
use crate::stand::{Cloud, ZONE};

/// Looks at the cluster by paths of its API and at the cloud without leaving a trace.
#[derive(Clone)]
pub struct Look {
    client: Client,
    /// The cloud.
    pub cloud: Cloud,
    fleet: Option<Fleet>,
}

/// What is on a home disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnDisk {
    /// The content id that it carries.
    pub content_id: String,
    /// How many records simulated guests have written.
    pub records: u64,
    /// The person's files with their SHA-256, where machines are real.
    pub files: BTreeMap<String, String>,
}

/// What Jupyter and its kernels write for themselves, and what git does: it may differ from one look to the next.
const THEIR_OWN: [&str; 9] = [
    ".cache/",
    ".config/",
    ".ipython/",
    ".jupyter/lab/",
    ".jupyter/migrated",
    ".local/share/jupyter/",
    ".venv.unfinished",
    ".venv/",
    "course/.git/",
];

/// Whether the kernels' own environment is made, by all files of a home: until then kernels run in the server's.
#[must_use]
pub fn kernels_are_made(files: &BTreeMap<String, String>) -> bool {
    files.contains_key(".venv/pyvenv.cfg") && !files.contains_key(".venv.unfinished")
}

/// The person's of all files of a home. Of git's files the branches: what was committed must not move.
#[must_use]
pub fn persons(mut files: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = |path: &str| THEIR_OWN.iter().any(|own| path.starts_with(own));
    files.retain(|path, _| path.starts_with("course/.git/refs/heads/") || !own(path));
    files
}

impl Look {
    /// Looks as a user who may see everything.
    #[must_use]
    pub fn new(client: Client, cloud: Cloud) -> Self {
        Self { client, cloud, fleet: None }
    }

    /// Looks at real disks.
    #[must_use]
    pub fn at_disks_of(self, fleet: Option<Fleet>) -> Self {
        Self { fleet, ..self }
    }

    /// All files of a home disk, the person's and others; nothing where machines are not real.
    pub async fn all_files(&self, name: &str) -> BTreeMap<String, String> {
        let (Some(fleet), Ok(id)) = (self.fleet.clone(), text(&self.disk(name)["id"]).parse()) else {
            return BTreeMap::new();
        };
        let looked = tokio::task::spawn_blocking(move || fleet.disk(id)?.home_files()).await;
        looked.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// What is on a disk, wherever that is.
    pub async fn on_disk(&self, name: &str) -> OnDisk {
        let Some(fleet) = self.fleet.clone() else {
            let content = self.cloud.world.with(|world, _| world.home_content(ZONE, name));
            let (content_id, records) = content.map(|one| (one.content_id, one.records)).unwrap_or_default();
            return OnDisk { content_id: content_id.unwrap_or_default(), records, files: BTreeMap::new() };
        };
        let Ok(id) = text(&self.disk(name)["id"]).parse() else { return OnDisk::default() };
        let looked = tokio::task::spawn_blocking(move || {
            let disk = fleet.disk(id)?;
            let files = persons(disk.home_files()?);
            Ok::<_, HostsError>(OnDisk { content_id: disk.content_id()?, records: 0, files })
        });
        looked.await.ok().and_then(Result::ok).unwrap_or_default()
    }

    /// What is at a path; null where there is nothing.
    pub async fn at(&self, path: &str) -> Value {
        let Ok(request) = Request::get(path).body(Vec::new()) else { return Value::Null };
        self.client.request(request).await.unwrap_or(Value::Null)
    }

    /// An object of the core group in the story's namespace; a list where `name` is empty.
    pub async fn core(&self, plural: &str, name: &str) -> Value {
        self.at(&format!("/api/v1/namespaces/{NAMESPACE}/{plural}/{name}")).await
    }

    /// The notebook of the story as the API server has it.
    pub async fn hero(&self) -> Value {
        self.at(&format!("/apis/rehost.dev/v1alpha1/namespaces/{NAMESPACE}/notebooks/{HERO}")).await
    }

    /// The addresses in the `EndpointSlice` of a notebook, with whether they are ready.
    pub async fn endpoints(&self, name: &str) -> Vec<(String, bool)> {
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices/{name}");
        let slice = self.at(&path).await;
        let endpoint = |one: &Value| {
            let address = one["addresses"][0].as_str().unwrap_or_default().to_owned();
            (address, one["conditions"]["ready"].as_bool().unwrap_or(false))
        };
        slice["endpoints"].as_array().into_iter().flatten().map(endpoint).collect()
    }

    /// The pods of a notebook.
    pub async fn pods(&self, uid: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=rehost.dev%2Fuid%3D{uid}");
        self.at(&path).await["items"].as_array().cloned().unwrap_or_default()
    }

    /// What the events of the notebook say, oldest first.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events");
        let list = self.at(&path).await;
        let mut events: Vec<(String, String)> = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| event["regarding"]["name"] == name)
            .map(|event| (text(&event["eventTime"]), format!("{}: {}", text(&event["reason"]), text(&event["note"]))))
            .collect();
        events.sort();
        events.into_iter().map(|(_, words)| words).collect()
    }

    /// A disk as the API shows it.
    #[must_use]
    pub fn disk(&self, name: &str) -> Value {
        self.cloud.peek(&format!("zones/{ZONE}/disks/{name}"))
    }

    /// An instance as the API shows it.
    #[must_use]
    pub fn instance(&self, name: &str) -> Value {
        self.cloud.peek(&format!("zones/{ZONE}/instances/{name}"))
    }

    /// The machines that a disk is attached to.
    #[must_use]
    pub fn users(&self, disk: &str) -> Vec<String> {
        let shown = self.disk(disk);
        let users = shown["users"].as_array().into_iter().flatten();
        users.filter_map(|user| Some(user.as_str()?.rsplit('/').next()?.to_owned())).collect()
    }

    /// Instances of one notebook and their status, by name.
    #[must_use]
    pub fn machines(&self, stem: &str) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> =
            self.cloud.instances(ZONE, stem).iter().map(|one| (text(&one["name"]), text(&one["status"]))).collect();
        found.sort();
        found
    }
}

/// A value's text, empty where it has none.
#[must_use]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
