//! What the API refuses, each with its code, reason and words.

use super::super::{Method, Response};
use super::{Story, ZONE, disk_type, settings, vm};
use rehost_api::guest::GuestRole;
use serde_json::{Value, json};

use super::refused_changes::changes;
use super::refused_inserts::inserts;

/// A request that is refused.
pub(super) struct Case {
    pub(super) what: &'static str,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) status: u16,
    pub(super) reason: &'static str,
    pub(super) says: &'static str,
}

pub(super) fn post(
    what: &'static str,
    path: &str,
    body: Value,
    status: u16,
    reason: &'static str,
    says: &'static str,
) -> Case {
    Case { what, method: Method::Post, path: format!("zones/{ZONE}/{path}"), body: Some(body), status, reason, says }
}

pub(super) fn plain(name: &str, machine: &str) -> Value {
    vm(name, machine, &settings(GuestRole::Serve, "1", true))
}

pub(super) fn with(mut body: Value, pointer: &str, value: Value) -> Value {
    match body.pointer_mut(pointer) {
        Some(there) => *there = value,
        None => body[pointer.trim_start_matches('/')] = value,
    }
    body
}

pub(super) fn gpu(kind: &str, count: u32) -> Value {
    json!([{ "acceleratorType": format!("projects/p/zones/{ZONE}/acceleratorTypes/{kind}"), "acceleratorCount": count }])
}

pub(super) fn terminate() -> Value {
    json!({ "onHostMaintenance": "TERMINATE" })
}

/// A world with an instance up, one down without guest attributes and with a disk, one with a GPU, and some disks.
fn furnished() -> Story {
    let mut story = Story::new();
    story.make_vm("up");
    let instances = format!("zones/{ZONE}/instances");
    story.run(&instances, with(plain("down", "n1-standard-4"), "/metadata", json!({ "items": [] })));
    story.run(
        &instances,
        with(
            with(plain("gpu", "n1-standard-4"), "/guestAccelerators", gpu("nvidia-tesla-t4", 1)),
            "/scheduling",
            terminate(),
        ),
    );
    for name in ["held", "free"] {
        story.make_disk(name);
    }
    story.run(&format!("zones/{ZONE}/disks"), json!({ "name": "hyper", "type": disk_type("hyperdisk-balanced") }));
    story.run("zones/us-central1-b/disks", json!({ "name": "far" }));
    let operation = story.attach("down", "held");
    story.done(&operation);
    story.run(&format!("zones/{ZONE}/instances/down/stop"), json!({}));
    story
}

#[test]
fn what_is_wrong_is_refused_with_the_apis_own_words() {
    let mut story = furnished();
    for case in inserts().into_iter().chain(changes()) {
        let before = (story.world.instance_statuses(), story.world.disk_ids(), story.world.in_flight());
        let Response { status, body } = story.send(case.method, &case.path, case.body);
        let error = &body["error"];
        assert_eq!(
            (status, error["errors"][0]["reason"].as_str()),
            (case.status, Some(case.reason)),
            "{}: {body}",
            case.what
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(case.says), "{}: {message}", case.what);
        assert_eq!(error["code"], status, "{}", case.what);
        let after = (story.world.instance_statuses(), story.world.disk_ids(), story.world.in_flight());
        assert_eq!(before, after, "{}: a refusal has no effect", case.what);
    }
}

#[test]
fn what_the_api_does_not_know_is_refused() {
    let mut story = furnished();
    let unknown_member = with(plain("new", "n1-standard-4"), "/machinType", json!("x"));
    for (method, path, body) in [
        (Method::Post, format!("zones/{ZONE}/instances"), Some(unknown_member)),
        (
            Method::Post,
            format!("zones/{ZONE}/instances"),
            Some(with(plain("new", "n1-standard-4"), "/disks/0", json!({ "bootable": true }))),
        ),
        (
            Method::Post,
            format!("zones/{ZONE}/instances"),
            Some(with(plain("new", "n1-standard-4"), "/canIpForward", json!("yes"))),
        ),
        (Method::Get, format!("zones/{ZONE}/instances?pageSize=5"), None),
        (Method::Get, format!("zones/{ZONE}/instances/up?requestId=1"), None),
        (Method::Get, format!("zones/{ZONE}/instances?alt=proto"), None),
        (Method::Post, format!("zones/{ZONE}/instances/up/stop"), Some(json!({ "force": true }))),
    ] {
        let (response, _) = story.send_any(method, &path, body);
        assert_eq!(response.status, 400, "{path}: {}", response.body);
    }
    for query in ["$alt=json;enum-encoding=int", "prettyPrint=false", "alt=json", "quotaUser=x", "fields=name"] {
        let (response, _) = story.send_any(Method::Get, &format!("zones/{ZONE}/instances/up?{query}"), None);
        assert_eq!(response.status, 200, "{query}: {}", response.body);
    }
    let (elsewhere, _) = story.send_any(Method::Get, "../q/zones/us-central1-a/instances", None);
    assert_eq!(elsewhere.status, 404);
}

#[test]
fn what_needs_a_stopped_machine_fails_inside_the_operation() {
    let mut story = furnished();
    for (verb, body) in [
        ("setMachineType", json!({ "machineType": format!("zones/{ZONE}/machineTypes/n1-standard-8") })),
        ("setMachineResources", json!({ "guestAccelerators": [] })),
        ("setScheduling", json!({ "onHostMaintenance": "TERMINATE" })),
        ("setMinCpuPlatform", json!({ "minCpuPlatform": "Intel Skylake" })),
    ] {
        let operation = story.post(&format!("zones/{ZONE}/instances/up/{verb}"), body.clone());
        let done = story.done(&operation);
        assert_eq!(done["error"]["errors"][0]["code"], "RESOURCE_NOT_READY", "{verb}: {done}");
        assert_eq!(done["httpErrorStatusCode"], 400, "{verb}");
        story.run(&format!("zones/{ZONE}/instances/down/{verb}"), body);
    }
    let down = story.instance("down");
    assert!(down["machineType"].as_str().unwrap().ends_with("/n1-standard-8"));
    assert_eq!(down["minCpuPlatform"], "Intel Skylake");
    assert!(story.instance("up")["machineType"].as_str().unwrap().ends_with("/n1-standard-4"));
}

#[test]
fn while_it_goes_up_or_down_an_instance_is_not_ready_for_more() {
    let mut story = furnished();
    let stop = story.post(&format!("zones/{ZONE}/instances/up/stop"), json!({}));
    story.wait_s(2);
    assert_eq!(story.status("up"), "STOPPING");
    for verb in ["start", "stop", "reset", "suspend"] {
        let response = story.send(Method::Post, &format!("zones/{ZONE}/instances/up/{verb}"), None);
        assert_eq!(response.body["error"]["errors"][0]["reason"], "resourceNotReady", "{verb}");
    }
    let deleted = story.send(Method::Delete, &format!("zones/{ZONE}/instances/up"), None);
    assert_eq!(deleted.body["error"]["errors"][0]["reason"], "resourceNotReady");
    story.done(&stop);
    assert_eq!(story.status("up"), "TERMINATED");
}
