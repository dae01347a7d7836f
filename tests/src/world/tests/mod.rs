//! Tests of the whole: requests in, answers out, time passing. Every answer is held against the discovery document.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod handover;
mod lifecycle;
mod lists;
mod operations;
mod refusals;
mod refused_changes;
mod refused_inserts;
mod room;

use jiff::{SignedDuration, Timestamp};
use rehost_api::guest::{GuestReport, GuestRole};
use serde_json::{Value, json};

use super::schema::{self, Side};
use super::{Method, Request, Response, World, WorldSettings};

pub(super) const ZONE: &str = "us-central1-a";

/// A world with a clock of its own, and short words for the requests that tests make.
pub(super) struct Story {
    pub(super) world: World,
    pub(super) now: Timestamp,
}

impl Story {
    pub(super) fn new() -> Self {
        Self::with_seed(7)
    }

    pub(super) fn with_seed(seed: u64) -> Self {
        let start: Timestamp = "2026-03-01T08:00:00Z".parse().unwrap();
        let settings = WorldSettings {
            project: "p".into(),
            project_number: 1234,
            seed,
            start,
            base_url: "https://www.googleapis.com/compute/v1".into(),
            guests: true,
        };
        Self { world: World::new(settings), now: start }
    }

    /// Sends a request whose form the discovery document must know.
    pub(super) fn send(&mut self, method: Method, path: &str, body: Option<Value>) -> Response {
        let (response, found) = self.send_any(method, path, body);
        assert!(found.is_empty(), "{found:?}");
        response
    }

    /// Sends any request; the answer's form is held against the document, the request's is told.
    pub(super) fn send_any(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (Response, Vec<schema::Violation>) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let request =
            Request { method, path: format!("projects/p/{path}").trim_end_matches('/').to_owned(), query, body };
        let response = self.world.handle(self.now, &request);
        let (ours, theirs): (Vec<_>, Vec<_>) =
            schema::check(&request, &response).into_iter().partition(|one| one.side == Side::Answer);
        assert!(ours.is_empty(), "{request:?} {response:?} {ours:?}");
        (response, theirs)
    }

    pub(super) fn get(&mut self, path: &str) -> Value {
        let response = self.send(Method::Get, path, None);
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        response.body
    }

    /// Starts an operation.
    pub(super) fn post(&mut self, path: &str, body: Value) -> Value {
        let response = self.send(Method::Post, path, Some(body));
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        response.body
    }

    pub(super) fn wait_s(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
        self.world.advance(self.now);
    }

    /// Lets time pass until an operation is DONE, and shows it.
    pub(super) fn done(&mut self, operation: &Value) -> Value {
        let place = operation["zone"].as_str().or(operation["region"].as_str()).map(|link| {
            let at = link.find("/p/").unwrap() + 3;
            link[at..].to_owned()
        });
        let path = format!("{}/operations/{}", place.unwrap_or("global".into()), operation["name"].as_str().unwrap());
        loop {
            let shown = self.get(&path);
            if shown["status"] == "DONE" {
                return shown;
            }
            self.now = self.world.next_event_at().expect("an operation in flight has something due").max(self.now);
        }
    }

    /// Starts an operation and sees it through without an error.
    pub(super) fn run(&mut self, path: &str, body: Value) -> Value {
        let operation = self.post(path, body);
        let done = self.done(&operation);
        assert!(done.get("error").is_none(), "{path}: {done}");
        done
    }

    pub(super) fn instance(&mut self, name: &str) -> Value {
        self.get(&format!("zones/{ZONE}/instances/{name}"))
    }

    pub(super) fn status(&mut self, name: &str) -> String {
        self.instance(name)["status"].as_str().unwrap().to_owned()
    }

    pub(super) fn make_disk(&mut self, name: &str) {
        self.run(
            &format!("zones/{ZONE}/disks"),
            json!({ "name": name, "sizeGb": "100", "type": disk_type("pd-balanced") }),
        );
    }

    /// An instance with guest attributes and settings of ours.
    pub(super) fn make_vm(&mut self, name: &str) {
        self.run(&format!("zones/{ZONE}/instances"), vm(name, "n1-standard-4", &settings(GuestRole::Serve, "1", true)));
    }

    pub(super) fn attach(&mut self, name: &str, disk: &str) -> Value {
        self.post(
            &format!("zones/{ZONE}/instances/{name}/attachDisk"),
            json!({ "source": format!("projects/p/zones/{ZONE}/disks/{disk}"), "deviceName": "home", "mode": "READ_WRITE" }),
        )
    }

    /// Gives a guest another role, as the controller does.
    pub(super) fn tell(&mut self, name: &str, role: GuestRole, nonce: &str, format: bool) {
        let metadata = self.instance(name)["metadata"].clone();
        let body = json!({
            "fingerprint": metadata["fingerprint"],
            "items": items(&settings(role, nonce, format)),
        });
        self.run(&format!("zones/{ZONE}/instances/{name}/setMetadata"), body);
    }

    pub(super) fn report(&mut self, name: &str) -> Option<GuestReport> {
        let path = format!("zones/{ZONE}/instances/{name}/getGuestAttributes?variableKey=rehost/report");
        let response = self.send(Method::Get, &path, None);
        (response.status == 200)
            .then(|| serde_json::from_str(response.body["variableValue"].as_str().unwrap()).unwrap())
    }

    /// Lets time pass until the guest reports what is wanted, at most two minutes.
    pub(super) fn until(&mut self, name: &str, wanted: impl Fn(&GuestReport) -> bool) -> GuestReport {
        for _ in 0..240 {
            if let Some(report) = self.report(name).filter(&wanted) {
                return report;
            }
            self.now += SignedDuration::from_millis(500);
        }
        panic!("the guest of {name} never said it: {:?}", self.report(name));
    }
}

pub(super) fn disk_type(name: &str) -> String {
    format!("projects/p/zones/{ZONE}/diskTypes/{name}")
}

pub(super) fn settings(role: GuestRole, nonce: &str, format: bool) -> Value {
    json!({
        "notebook": "team/nb",
        "uid": "u-1",
        "role": role,
        "nonce": nonce,
        "home": { "device": "home", "contentId": "c-1", "format": format },
        "port": 8888,
    })
}

fn items(settings: &Value) -> Value {
    json!([
        { "key": "enable-guest-attributes", "value": "TRUE" },
        { "key": "rehost-settings", "value": settings.to_string() },
    ])
}

pub(super) fn vm(name: &str, machine_type: &str, settings: &Value) -> Value {
    json!({
        "name": name,
        "machineType": format!("zones/{ZONE}/machineTypes/{machine_type}"),
        "disks": [{
            "boot": true,
            "autoDelete": true,
            "initializeParams": { "sourceImage": "projects/debian-cloud/global/images/family/debian-12" },
        }],
        "networkInterfaces": [{ "network": "global/networks/default" }],
        "labels": { "rehost-uid": "u-1" },
        "metadata": { "items": items(settings) },
    })
}
