//! What each step of the story must show, looked up beside the controller's own words.

mod beginning;
mod ending;
mod moves;

use std::time::Duration;

use jiff::SignedDuration;
use rehost_api::Notebook;
use rehost_api::status::{HomeRecord, HostRecord};
use serde_json::Value;

use super::board;
use super::checks::Checks;
use super::look::{Look, OnDisk, text};
use super::{HERO, NAMESPACE};
use crate::control_plane::Kubectl;
use crate::stand::Ledger;

/// By when what a change left behind must be on its way to rest, or gone, in the cloud's time: a stop that is refused for now is
/// tried again after half a minute.
const CLEARED_AWAY: SignedDuration = SignedDuration::from_secs(120);
/// How often that is looked at, in real time.
const LOOKED_AGAIN: Duration = Duration::from_millis(20);

/// What was seen at the beginning, which later steps are compared with.
#[derive(Clone, Debug, Default)]
struct First {
    home: Option<HomeRecord>,
    on_disk: OnDisk,
    service_uid: String,
    service_address: String,
    neighbour_host: String,
    neighbour_disk: String,
}

/// Looks after each step whether it shows what it must.
pub struct Expect {
    look: Look,
    kubectl: Kubectl,
    ledger: Ledger,
    first: First,
    /// The hosts that the hero had, in order.
    hosts: Vec<String>,
    pod_uid: String,
    calls_before: usize,
}

impl Expect {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(look: Look, kubectl: Kubectl, ledger: Ledger) -> Self {
        let (first, hosts) = (First::default(), Vec::new());
        Self { look, kubectl, ledger, first, hosts, pod_uid: String::new(), calls_before: 0 }
    }

    fn stem(&self) -> String {
        let disk = self.first.home.as_ref().map(|home| home.disk.clone()).unwrap_or_default();
        format!("{}-", disk.split('-').take(2).collect::<Vec<_>>().join("-"))
    }

    /// What holds after every change of host: the same disk with the same content, the same name, one host that serves.
    async fn still_the_same(&mut self, checks: &mut Checks, step: &str, hero: &Notebook) {
        let status = board::status(hero);
        let first = self.first.home.clone().unwrap_or_default_record();
        let home = status.home.clone().unwrap_or_default_record();
        checks.same(format!("{step}: it is the same disk, by its id"), &home.id, &first.id);
        checks.same(format!("{step}: it is the same content, by its id"), &home.content_id, &first.content_id);
        let shown = text(&self.look.disk(&home.disk)["id"]);
        checks.same(format!("{step}: the cloud shows that disk under that id"), &Some(shown), &home.id);

        let host = host(hero);
        let holder = match &host.node {
            Some(node) => node.clone(),
            None => host.name.clone(),
        };
        checks.same(format!("{step}: the home is on that host alone"), &self.look.users(&home.disk), &vec![holder]);
        let expected = vec![(host.address.clone().unwrap_or_default(), true)];
        let endpoints = self.look.endpoints(HERO).await;
        checks.same(format!("{step}: the EndpointSlice has that host's address alone"), &endpoints, &expected);
        self.files_are_the_same(checks, step).await;
        let service = self.look.core("services", HERO).await;
        let same = text(&service["metadata"]["uid"]) == self.first.service_uid
            && text(&service["spec"]["clusterIP"]) == self.first.service_address;
        checks.that(
            format!("{step}: the Service is the same, with its name and address"),
            same,
            service["spec"].clone(),
        );
        let (reconciling, stalled) = (board::says(hero, "Reconciling"), board::says(hero, "Stalled"));
        let at_rest = reconciling == "False" && stalled == "False" && board::says(hero, "Serving") == "True";
        checks.that(
            format!("{step}: it serves, and nothing is reconciled or stalled"),
            at_rest,
            (reconciling, stalled),
        );
        self.hosts.push(host.name);
    }

    /// The person has worked: from now on the files that are on the disk must stay.
    pub async fn worked(&mut self, checks: &mut Checks) {
        self.first.on_disk = self.look.on_disk(&self.home_name()).await;
        let files = &self.first.on_disk.files;
        let all = ["course/fares.ipynb", "course/means.json", "results/means.json"];
        checks.that(
            "a course is run: what it has written is on the disk",
            all.iter().all(|file| files.contains_key(*file)),
            files.keys(),
        );
    }

    /// Every file of the person's, by its SHA-256. Simulated guests have none.
    async fn files_are_the_same(&self, checks: &mut Checks, step: &str) {
        let first = &self.first.on_disk.files;
        if !first.is_empty() {
            let files = self.look.on_disk(&self.home_name()).await.files;
            checks.same(format!("{step}: every file is the same, by its SHA-256"), &files, first);
        }
    }

    fn home_name(&self) -> String {
        self.first.home.as_ref().map(|home| home.disk.clone()).unwrap_or_default()
    }

    /// The old VM, once a handover is over: at rest, without the home, and on record. It is stopped after the new one serves, so
    /// that nobody waits for it; how soon, the cloud says.
    async fn old_host_rests(&self, checks: &mut Checks, step: &str, old: &str) {
        let status = async || {
            let machines = self.look.machines(&self.stem());
            machines.into_iter().find(|(name, _)| name == old).map(|(_, status)| status)
        };
        let resting = |status: &Option<String>| matches!(status.as_deref(), Some("STOPPING" | "TERMINATED"));
        let found = self.soon(status, resting).await;
        checks.that(format!("{step}: the old VM is stopped, and kept for a time"), resting(&found), found);
    }

    /// What a look finds once it is as wanted, or at the last: what is left behind is cleared away after the new host serves.
    async fn soon<T>(&self, look: impl AsyncFn() -> T, wanted: impl Fn(&T) -> bool) -> T {
        let clock = self.look.cloud.world.clock();
        let until = clock.now() + CLEARED_AWAY;
        loop {
            let found = look().await;
            if wanted(&found) || clock.now() >= until {
                return found;
            }
            tokio::time::sleep(LOOKED_AGAIN).await;
        }
    }
}

trait OrBlank {
    fn unwrap_or_default_record(self) -> HomeRecord;
}

impl OrBlank for Option<HomeRecord> {
    /// A home that is not recorded compares unequal to any that is.
    fn unwrap_or_default_record(self) -> HomeRecord {
        self.unwrap_or_else(|| HomeRecord {
            disk: String::new(),
            id: None,
            content_id: String::new(),
            formatted: false,
            size_gb: 0,
            disk_type: String::new(),
            project: String::new(),
            zone: String::new(),
            claim: false,
        })
    }
}

/// The host on record. A story's notebook has one after its first step.
fn host(notebook: &Notebook) -> HostRecord {
    board::status(notebook).host.unwrap_or_else(|| panic!("{HERO} has no host on record"))
}

/// The labels that say whose a thing in the cloud is.
fn labels(thing: &Value) -> Vec<String> {
    ["rehost-cluster", "rehost-namespace", "rehost-name", "rehost-uid"]
        .iter()
        .map(|key| text(&thing["labels"][key]))
        .collect()
}

fn whose(notebook: &Notebook) -> Vec<String> {
    let uid = notebook.metadata.uid.clone().unwrap_or_default();
    vec![crate::stand::CLUSTER.to_owned(), NAMESPACE.to_owned(), HERO.to_owned(), uid]
}
