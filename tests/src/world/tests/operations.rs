//! The life of an operation, request ids, and faults that befall requests.

use super::super::{Fault, FaultKind, Method, NO_ANSWER_STATUS, OperationFailure, Sort};
use super::{Story, ZONE, settings, vm};
use jiff::{SignedDuration, Timestamp};
use rehost_api::guest::GuestRole;
use serde_json::{Value, json};

const ID: &str = "6ba7b811-9dad-11d1-80b4-00c04fd430c8";

fn time(operation: &Value, member: &str) -> Timestamp {
    operation[member].as_str().unwrap_or_else(|| panic!("no {member} in {operation}")).parse().unwrap()
}

#[test]
fn an_operation_is_pending_then_running_then_done() {
    let mut story = Story::new();
    let first = story.post(&format!("zones/{ZONE}/disks?requestId={ID}"), json!({ "name": "d", "sizeGb": "10" }));
    assert_eq!((first["status"].as_str(), first["progress"].as_i64()), (Some("PENDING"), Some(0)));
    assert_eq!(first["clientOperationId"], ID);
    assert_eq!(first["operationType"], "insert");
    assert!(first.get("startTime").is_none() && first.get("endTime").is_none());
    let disk = story.get(&format!("zones/{ZONE}/disks/d"));
    assert_eq!((disk["status"].as_str(), &disk["id"]), (Some("CREATING"), &first["targetId"]));
    story.wait_s(1);
    let name = first["name"].as_str().unwrap().to_owned();
    let running = story.get(&format!("zones/{ZONE}/operations/{name}"));
    assert_eq!(running["status"], "RUNNING");
    let done = story.done(&first);
    assert_eq!(done["progress"], 100);
    assert!(time(&done, "insertTime") < time(&done, "startTime") && time(&done, "startTime") < time(&done, "endTime"));
    let took = time(&done, "endTime").duration_since(time(&done, "insertTime")).as_secs_f64();
    assert!((2.0..=5.0).contains(&took), "disks.insert lies between its p50 and p95, and took {took}");
    assert_eq!(story.get(&format!("zones/{ZONE}/disks/d"))["status"], "READY");
}

#[test]
fn a_repeated_request_id_gives_the_same_operation() {
    let mut story = Story::new();
    let path = format!("zones/{ZONE}/disks?requestId={ID}");
    let body = json!({ "name": "d", "sizeGb": "10" });
    let first = story.post(&path, body.clone());
    story.done(&first);
    let again = story.post(&path, body);
    assert_eq!((&again["name"], again["status"].as_str()), (&first["name"], Some("DONE")));
    let other = story.post(&path, json!({ "name": "other", "sizeGb": "10" }));
    assert_ne!(other["name"], first["name"], "another target is another request");
    assert_eq!(story.world.disk_ids().len(), 2);
}

#[test]
fn a_repeated_request_id_repeats_a_failure_too() {
    let mut story = Story::new();
    story.world.capacity_set(ZONE, "n1-*", Some(0));
    let path = format!("zones/{ZONE}/instances?requestId={ID}");
    let body = vm("a", "n1-standard-4", &settings(GuestRole::Serve, "1", true));
    let first = story.post(&path, body.clone());
    let failed = story.done(&first);
    assert!(failed.get("error").is_some());
    story.world.capacity_set(ZONE, "n1-*", None);
    let again = story.post(&path, body.clone());
    assert_eq!(again, failed, "though there is room now");
    let fresh = story.post(&format!("zones/{ZONE}/instances"), body);
    assert!(story.done(&fresh).get("error").is_none());
}

#[test]
fn numeric_ids_tell_incarnations_apart() {
    let mut story = Story::new();
    story.make_disk("d");
    let first = story.get(&format!("zones/{ZONE}/disks/d"));
    let deletion = story.send(Method::Delete, &format!("zones/{ZONE}/disks/d"), None).body;
    assert_eq!(deletion["targetId"], first["id"]);
    story.done(&deletion);
    story.make_disk("d");
    assert_ne!(story.get(&format!("zones/{ZONE}/disks/d"))["id"], first["id"]);
}

#[test]
fn one_seed_gives_one_world_and_another_seed_another() {
    let run = |seed| {
        let mut story = Story::with_seed(seed);
        story.make_vm("a");
        story.make_disk("home");
        let operation = story.attach("a", "home");
        story.done(&operation);
        story.wait_s(30);
        (story.now, story.instance("a"), story.get(&format!("zones/{ZONE}/operations")))
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3).0, run(4).0);
}

#[test]
fn faults_befall_the_requests_they_are_meant_for() {
    let mut story = Story::new();
    let disks = format!("zones/{ZONE}/disks");
    let body = json!({ "name": "d", "sizeGb": "10" });
    let unavailable = FaultKind::HttpError { status: 503, reason: "backendError".into(), message: "try again".into() };
    story.world.fault_add(Fault::next("disks.insert", unavailable));
    assert_eq!(story.send(Method::Get, &disks, None).status, 200, "another method goes through");
    assert_eq!(story.send(Method::Post, &disks, Some(body.clone())).status, 503);
    assert!(story.world.disk_ids().is_empty());

    story.world.fault_add(Fault::next("disks.insert", FaultKind::TimeoutAfterEffect));
    let lost = story.send(Method::Post, &format!("{disks}?requestId={ID}"), Some(body.clone()));
    assert_eq!(lost.status, NO_ANSWER_STATUS);
    assert_eq!(story.world.disk_ids().len(), 1, "the effect took place");
    let again = story.post(&format!("{disks}?requestId={ID}"), body);
    assert!(story.done(&again).get("error").is_none());

    let failure = OperationFailure::new("INTERNAL_ERROR", 500, "something broke");
    let fault = Fault { target: "e".into(), ..Fault::next("disks.*", FaultKind::OperationError(failure)) };
    story.world.fault_add(fault);
    let operation = story.post(&disks, json!({ "name": "e", "sizeGb": "10" }));
    let done = story.done(&operation);
    assert_eq!(done["error"]["errors"][0]["code"], "INTERNAL_ERROR");
    assert_eq!(story.send(Method::Get, &format!("{disks}/e"), None).status, 404, "what failed is not there");

    story.world.fault_add(Fault::next("disks.resize", FaultKind::Latency(SignedDuration::from_mins(3))));
    let slow = story.run(&format!("{disks}/d/resize"), json!({ "sizeGb": "20" }));
    assert!(time(&slow, "endTime").duration_since(time(&slow, "insertTime")) > SignedDuration::from_mins(3));
    assert_eq!(story.world.faults_waiting(), 0);
}

#[test]
fn rates_and_operations_in_flight_have_bounds() {
    let mut story = Story::new();
    story.world.rate_set(Sort::Read, Some(2));
    let path = format!("zones/{ZONE}");
    assert_eq!(story.send(Method::Get, &path, None).status, 200);
    assert_eq!(story.send(Method::Get, &path, None).status, 200);
    let refused = story.send(Method::Get, &path, None);
    assert_eq!(
        (refused.status, refused.body["error"]["errors"][0]["reason"].as_str()),
        (403, Some("rateLimitExceeded"))
    );
    story.wait_s(60);
    assert_eq!(story.send(Method::Get, &path, None).status, 200, "the bucket is full again on the minute");

    story.world.concurrent_operations_set(Some(1));
    story.post(&format!("zones/{ZONE}/disks"), json!({ "name": "one" }));
    let refused = story.send(Method::Post, &format!("zones/{ZONE}/disks"), Some(json!({ "name": "two" })));
    assert_eq!(refused.status, 403);
    assert_eq!(refused.body["error"]["details"][0]["reason"], "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED");
    story.wait_s(10);
    assert_eq!(story.send(Method::Post, &format!("zones/{ZONE}/disks"), Some(json!({ "name": "two" }))).status, 200);
}

#[test]
fn calls_are_counted_and_seen() {
    let mut story = Story::new();
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = seen.clone();
    story.world.observe(move |_, request, response| log.lock().unwrap().push((request.path.clone(), response.status)));
    story.make_disk("d");
    story.send(Method::Get, &format!("zones/{ZONE}/disks/none"), None);
    assert_eq!(story.world.call_counts()["disks.insert"], 1);
    assert_eq!(story.world.call_counts()["disks.get"], 1);
    assert_eq!(story.world.mutations(), 1);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.first().unwrap(), &(format!("projects/p/zones/{ZONE}/disks"), 200));
    assert_eq!(seen.last().unwrap().1, 404);
}
