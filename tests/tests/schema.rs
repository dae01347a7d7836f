//! Every method of the world, driven once or more, each request and each answer held against the discovery document.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use jiff::{SignedDuration, Timestamp};
use rehost_tests::world::schema::{METHODS, Side, Violation, check, method_of};
use rehost_tests::world::{Api, Method, Request, Response, World, WorldSettings};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const ZONE: &str = "projects/demo-project/zones/us-central1-a";
const REGION: &str = "projects/demo-project/regions/us-central1";
const GLOBAL: &str = "projects/demo-project/global";

struct Driver {
    world: World,
    now: Timestamp,
    succeeded: BTreeSet<&'static str>,
    violations: Vec<Violation>,
}

impl Driver {
    fn new() -> Self {
        let start: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let world = World::new(WorldSettings {
            project: "demo-project".to_owned(),
            project_number: 123_456_789_012,
            seed: 7,
            start,
            base_url: "https://www.googleapis.com/compute/v1".to_owned(),
            guests: true,
        });
        Self { world, now: start, succeeded: BTreeSet::new(), violations: Vec::new() }
    }

    fn send(&mut self, method: Method, path: &str, query: &[(&str, &str)], body: Option<Value>) -> Response {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request { method, path: path.to_owned(), query, body };
        let response = self.world.handle(self.now, &request);
        self.violations.extend(check(&request, &response));
        if response.status == 200 {
            self.succeeded.insert(method_of(&request).expect("a method that succeeded is in the document"));
        }
        response
    }

    fn get(&mut self, path: &str, query: &[(&str, &str)]) -> Value {
        let response = self.send(Method::Get, path, query, None);
        assert_eq!(response.status, 200, "GET {path}: {}", response.body);
        response.body
    }

    /// Starts an operation, reads it in each of its states, and lets it end well.
    fn mutate(&mut self, method: Method, path: &str, query: &[(&str, &str)], body: Option<Value>) -> Value {
        let response = self.send(method, path, query, body);
        assert_eq!(response.status, 200, "{path}: {}", response.body);
        let link = response.body["selfLink"].as_str().unwrap();
        let path_of_operation = link.split_once("/compute/v1/").unwrap().1.to_owned();
        for _ in 0..600 {
            let operation = self.get(&path_of_operation, &[]);
            if operation["status"] == "DONE" {
                assert_eq!(operation["error"], Value::Null, "{path}: {operation}");
                return operation;
            }
            self.now += SignedDuration::from_secs(1);
        }
        panic!("{path} never ended");
    }

    fn post(&mut self, path: &str, body: Value) -> Value {
        self.mutate(Method::Post, path, &[], Some(body))
    }

    /// Sends what must be refused, at once or in its operation.
    fn refused(&mut self, path: &str, query: &[(&str, &str)], body: Value, status: u16) {
        let response = self.send(Method::Post, path, query, Some(body));
        if response.status != 200 {
            assert_eq!(response.status, status, "{path}: {}", response.body);
            return;
        }
        self.now += SignedDuration::from_secs(300);
        let link = response.body["selfLink"].as_str().unwrap().split_once("/compute/v1/").unwrap().1.to_owned();
        let operation = self.get(&link, &[]);
        assert_eq!(operation["httpErrorStatusCode"], status, "{path}: {operation}");
    }
}

fn instance(name: &str) -> Value {
    json!({
        "name": name,
        "machineType": "zones/us-central1-a/machineTypes/n1-standard-4",
        "labels": {"rehost-notebook": "taxi"},
        "metadata": {"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]},
        "disks": [{"boot": true, "autoDelete": true, "initializeParams": {
            "sourceImage": "projects/debian-cloud/global/images/family/debian-12", "diskSizeGb": "50",
            "diskType": "zones/us-central1-a/diskTypes/pd-balanced"}}],
        "networkInterfaces": [{"network": "global/networks/default"}],
        "serviceAccounts": [{"email": "notebooks@demo-project.iam.gserviceaccount.com",
            "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}],
    })
}

fn disks(driver: &mut Driver) {
    let policy = json!({"name": "daily", "snapshotSchedulePolicy": {
        "schedule": {"dailySchedule": {"daysInCycle": 1, "startTime": "03:00"}},
        "retentionPolicy": {"maxRetentionDays": 14}}});
    driver.post(&format!("{REGION}/resourcePolicies"), policy);
    driver.get(&format!("{REGION}/resourcePolicies"), &[]);
    driver.get(&format!("{REGION}/resourcePolicies/daily"), &[]);
    driver.post(
        &format!("{ZONE}/disks"),
        json!({"name": "home", "sizeGb": "100", "type": "zones/us-central1-a/diskTypes/pd-balanced"}),
    );
    let fingerprint = driver.get(&format!("{ZONE}/disks/home"), &[])["labelFingerprint"].clone();
    driver
        .post(&format!("{ZONE}/disks/home/setLabels"), json!({"labels": {"a": "b"}, "labelFingerprint": fingerprint}));
    driver.refused(
        &format!("{ZONE}/disks/home/setLabels"),
        &[],
        json!({"labels": {}, "labelFingerprint": "AAAAAAAAAAA="}),
        412,
    );
    driver.post(&format!("{ZONE}/disks/home/resize"), json!({"sizeGb": "200"}));
    driver.refused(&format!("{ZONE}/disks/home/resize"), &[], json!({"sizeGb": "100"}), 400);
    let policies = json!({"resourcePolicies": ["projects/demo-project/regions/us-central1/resourcePolicies/daily"]});
    driver.post(&format!("{ZONE}/disks/home/addResourcePolicies"), policies.clone());
    driver.get(&format!("{ZONE}/disks/home"), &[]);
    driver.post(&format!("{ZONE}/disks/home/removeResourcePolicies"), policies);
    driver.mutate(Method::Delete, &format!("{REGION}/resourcePolicies/daily"), &[], None);
    driver.post(&format!("{ZONE}/disks/home/createSnapshot"), json!({"name": "snap"}));
    driver.get(&format!("{GLOBAL}/snapshots"), &[("filter", "name = snap")]);
    driver.get(&format!("{GLOBAL}/snapshots/snap"), &[]);
    driver.post(&format!("{ZONE}/disks"), json!({"name": "copy", "sourceSnapshot": "global/snapshots/snap"}));
    driver.get(&format!("{ZONE}/disks/copy"), &[]);
    driver.mutate(Method::Delete, &format!("{ZONE}/disks/copy"), &[], None);
    driver.mutate(Method::Delete, &format!("{GLOBAL}/snapshots/snap"), &[], None);
}

fn instances(driver: &mut Driver) {
    let vm = format!("{ZONE}/instances/vm");
    driver.post(&format!("{ZONE}/instances"), instance("vm"));
    driver.refused(&format!("{ZONE}/instances"), &[], instance("vm"), 409);
    driver.now += SignedDuration::from_secs(120);
    driver.post(&format!("{vm}/attachDisk"), json!({"source": "zones/us-central1-a/disks/home", "deviceName": "home"}));
    driver.mutate(
        Method::Post,
        &format!("{vm}/setDiskAutoDelete"),
        &[("autoDelete", "false"), ("deviceName", "home")],
        Some(json!({})),
    );
    driver.get(&vm, &[("fields", "name,disks(source,deviceName)")]);
    assert!(driver.world.guest_attribute_set("us-central1-a", "vm", "rehost", "state", "serving"));
    driver.get(&format!("{vm}/getGuestAttributes"), &[("queryPath", "rehost/")]);
    driver.get(&format!("{vm}/serialPort"), &[("port", "1"), ("start", "0")]);
    let read = driver.get(&vm, &[]);
    let labels = json!({"labels": {"x": "y"}, "labelFingerprint": read["labelFingerprint"]});
    driver.post(&format!("{vm}/setLabels"), labels);
    let metadata = json!({"items": [{"key": "k", "value": "v"}], "fingerprint": read["metadata"]["fingerprint"]});
    driver.post(&format!("{vm}/setMetadata"), metadata);
    driver.post(&format!("{vm}/setTags"), json!({"items": ["notebooks"], "fingerprint": read["tags"]["fingerprint"]}));
    driver.refused(
        &format!("{vm}/setMachineType"),
        &[],
        json!({"machineType": "zones/us-central1-a/machineTypes/n1-standard-8"}),
        400,
    );
    driver.mutate(Method::Post, &format!("{vm}/detachDisk"), &[("deviceName", "home")], Some(json!({})));
    driver.mutate(Method::Post, &format!("{vm}/reset"), &[], Some(json!({})));
    driver.now += SignedDuration::from_secs(120);
    driver.mutate(Method::Post, &format!("{vm}/suspend"), &[], Some(json!({})));
    driver.get(&vm, &[]);
    driver.mutate(Method::Post, &format!("{vm}/resume"), &[], Some(json!({})));
    driver.now += SignedDuration::from_secs(60);
    driver.mutate(
        Method::Post,
        &format!("{vm}/stop"),
        &[("requestId", "6c1c8e5e-8a40-4a5b-b9d2-0d9d2f6c0001")],
        Some(json!({})),
    );
    driver.post(
        &format!("{vm}/setMachineType"),
        json!({"machineType": "zones/us-central1-a/machineTypes/n1-standard-8"}),
    );
    driver.post(&format!("{vm}/setScheduling"), json!({"onHostMaintenance": "TERMINATE", "automaticRestart": true}));
    let gpu = json!({"guestAccelerators": [{"acceleratorType": "zones/us-central1-a/acceleratorTypes/nvidia-tesla-t4", "acceleratorCount": 1}]});
    driver.post(&format!("{vm}/setMachineResources"), gpu);
    driver.post(&format!("{vm}/setMinCpuPlatform"), json!({"minCpuPlatform": "Intel Skylake"}));
    let account = json!({"email": "other@demo-project.iam.gserviceaccount.com", "scopes": ["https://www.googleapis.com/auth/cloud-platform"]});
    driver.post(&format!("{vm}/setServiceAccount"), account);
    driver.mutate(Method::Post, &format!("{vm}/start"), &[], Some(json!({})));
    driver.get(&vm, &[]);
}

fn reads(driver: &mut Driver) {
    let project = "projects/demo-project";
    for path in [
        project.to_owned(),
        format!("{project}/zones"),
        ZONE.to_owned(),
        format!("{project}/regions"),
        REGION.to_owned(),
        format!("{GLOBAL}/networks"),
        format!("{GLOBAL}/networks/default"),
        format!("{REGION}/subnetworks"),
        format!("{REGION}/subnetworks/default"),
        format!("{ZONE}/machineTypes"),
        format!("{ZONE}/machineTypes/a2-highgpu-1g"),
        format!("{ZONE}/machineTypes/custom-4-8192"),
        format!("{ZONE}/acceleratorTypes"),
        format!("{ZONE}/acceleratorTypes/nvidia-tesla-t4"),
        format!("{ZONE}/diskTypes"),
        format!("{ZONE}/diskTypes/pd-balanced"),
        "projects/debian-cloud/global/images".to_owned(),
        "projects/debian-cloud/global/images/debian-12-bookworm-v20250910".to_owned(),
        "projects/debian-cloud/global/images/family/debian-12".to_owned(),
        format!("{ZONE}/instances"),
        format!("{ZONE}/disks"),
        format!("{ZONE}/operations"),
        format!("{REGION}/operations"),
        format!("{GLOBAL}/operations"),
    ] {
        driver.get(&path, &[]);
    }
    for collection in ["instances", "disks", "operations", "machineTypes", "acceleratorTypes", "diskTypes"] {
        let query = [("maxResults", "3"), ("returnPartialSuccess", "true"), ("includeAllScopes", "true")];
        let page = driver.get(&format!("{project}/aggregated/{collection}"), &query);
        if let Some(token) = page["nextPageToken"].as_str() {
            let token = token.to_owned();
            driver.get(
                &format!("{project}/aggregated/{collection}"),
                &[
                    ("maxResults", "3"),
                    ("pageToken", &token),
                    ("returnPartialSuccess", "true"),
                    ("includeAllScopes", "true"),
                ],
            );
        }
    }
    for (list, scope) in [
        (format!("{ZONE}/operations"), ZONE),
        (format!("{REGION}/operations"), REGION),
        (format!("{GLOBAL}/operations"), GLOBAL),
    ] {
        let name = driver.get(&list, &[("orderBy", "creationTimestamp desc")])["items"][0]["name"]
            .as_str()
            .unwrap()
            .to_owned();
        let waited = driver.send(Method::Post, &format!("{scope}/operations/{name}/wait"), &[], Some(json!({})));
        assert_eq!(waited.status, 200, "{}", waited.body);
    }
    for missing in [
        format!("{ZONE}/instances/none"),
        format!("{ZONE}/disks/none"),
        "projects/demo-project/zones/us-central1-z".to_owned(),
    ] {
        assert_eq!(driver.send(Method::Get, &missing, &[], None).status, 404);
    }
}

#[test]
fn every_request_and_every_answer_is_as_documented() {
    let mut driver = Driver::new();
    disks(&mut driver);
    instances(&mut driver);
    reads(&mut driver);
    driver.mutate(Method::Delete, &format!("{ZONE}/instances/vm"), &[], None);
    driver.mutate(Method::Delete, &format!("{ZONE}/disks/home"), &[], None);
    let found: Vec<String> = driver.violations.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    let missed: Vec<&&str> = METHODS.iter().filter(|id| !driver.succeeded.contains(*id)).collect();
    assert!(missed.is_empty(), "no request succeeded for {missed:?}");
}

#[test]
fn the_world_serves_the_methods_of_the_extract() {
    let served: BTreeSet<&str> = Api::ALL.iter().map(|api| api.id()).collect();
    let kept: BTreeSet<&str> = METHODS.iter().copied().collect();
    assert_eq!(served, kept);
}

/// A world that took what the document does not know would be no test for anybody.
#[test]
fn what_is_not_documented_is_refused() {
    let mut driver = Driver::new();
    let unknown_field = json!({"name": "d", "sizeGb": "10", "size": "10"});
    driver.refused(&format!("{ZONE}/disks"), &[], unknown_field, 400);
    driver.refused(&format!("{ZONE}/disks"), &[("request", "x")], json!({"name": "d", "sizeGb": "10"}), 400);
    driver.refused(&format!("{ZONE}/disks"), &[], json!({"name": "d", "sizeGb": "10", "architecture": "Z80"}), 400);
    assert_eq!(driver.violations.iter().filter(|violation| violation.side == Side::Answer).count(), 0);
    assert_eq!(driver.violations.len(), 3);
}
