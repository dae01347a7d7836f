use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock;
use crate::gce::errors::Cause;
use crate::gce::mutation::Place;
use crate::gce::stubs::{Answer, Cloud, refusal};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn wire(n: u128, status: &str) -> Value {
    json!({"name": format!("operation-{n}"), "clientOperationId": id(n).to_string(), "operationType": "insert",
        "status": status, "insertTime": format!("2026-07-16T00:00:{n:02}Z"),
        "zone": "https://x/projects/p/zones/z-a", "endTime": "2026-07-16T00:01:00Z"})
}

fn failed(n: u128) -> Value {
    let mut operation = wire(n, "DONE");
    operation["error"] = json!({"errors": [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "none left"}]});
    operation
}

fn started(operations: &Operations, uid: &str, n: u128, zone: &str) {
    started_in(operations, uid, n, Scope::Zone(Place::new("p", zone)));
}

fn started_in(operations: &Operations, uid: &str, n: u128, scope: Scope) {
    let operation = Operation {
        name: format!("operation-{n}"),
        scope,
        request_id: Some(id(n)),
        kind: "insert".into(),
        target: "vm".into(),
        target_id: None,
        status: OperationStatus::Running,
        error: None,
        inserted_at: format!("2026-07-16T00:00:{n:02}Z").parse().ok(),
        ended_at: None,
    };
    operations.started(uid, &operation);
}

#[allow(clippy::unnecessary_wraps, reason = "it reads better as the answer that it is")]
fn list(operations: &[Value]) -> Answer {
    Ok(json!({"items": operations}))
}

fn succeeded(operations: &Operations, n: u128) -> bool {
    matches!(operations.of(id(n)), Some(OperationState::Succeeded { ended_at: Some(_) }))
}

fn running(operations: &Operations, n: u128) -> bool {
    matches!(operations.of(id(n)), Some(OperationState::Running { .. }))
}

#[tokio::test]
async fn one_list_answers_for_all_notebooks_of_a_zone() {
    let (cloud, operations) = (Cloud::new(), Operations::new());
    started(&operations, "u1", 1, "z-a");
    started(&operations, "u2", 2, "z-a");
    started(&operations, "u2", 3, "z-b");
    cloud.will("zone_operations.list", list(&[wire(9, "DONE"), failed(2), wire(1, "DONE")]));
    cloud.will("zone_operations.list", list(&[wire(3, "RUNNING")]));
    assert_eq!(operations.poll_once(&cloud.gce()).await, ["u1", "u2"]);
    assert!(succeeded(&operations, 1) && running(&operations, 3));
    assert!(matches!(operations.of(id(2)), Some(OperationState::Failed(error, Some(_)))
        if matches!(error.cause, Cause::Stockout { .. })));
    assert_eq!(operations.of(id(9)), None, "an operation of others");
    let calls = cloud.calls();
    let targets: Vec<_> = calls.iter().map(|(method, target, _)| (*method, target.as_str())).collect();
    assert_eq!(targets, [("zone_operations.list", "p/z-a"), ("zone_operations.list", "p/z-b")]);
    assert_eq!(calls[0].2, json!(["creationTimestamp desc", 20, null]));

    cloud.will("zone_operations.list", list(&[wire(3, "RUNNING")]));
    assert_eq!(operations.poll_once(&cloud.gce()).await, Vec::<String>::new(), "no news, and one zone is asked");
    assert_eq!(cloud.calls().len(), 1);
}

/// A zone's list does not have the deletion of a snapshot: whoever looked only there would wait for ever.
#[tokio::test]
async fn what_is_in_no_zone_is_found_beside_its_like() {
    let (cloud, operations) = (Cloud::new(), Operations::new());
    started_in(&operations, "u1", 1, Scope::Global { project: "p".into() });
    started_in(&operations, "u2", 2, Scope::RegionOf(Place::new("p", "us-central1-a")));
    cloud.will("region_operations.list", list(&[wire(2, "DONE")]));
    cloud.will("global_operations.list", list(&[]));
    cloud.will("global_operations.get", Ok(wire(1, "DONE")));
    assert_eq!(operations.poll_once(&cloud.gce()).await, ["u1", "u2"]);
    assert!(succeeded(&operations, 1) && succeeded(&operations, 2));
    let calls = cloud.calls();
    let asked: Vec<_> = calls.iter().map(|(method, target, _)| (*method, target.as_str())).collect();
    let lists = [("region_operations.list", "p/us-central1"), ("global_operations.list", "p")];
    assert!(asked.contains(&lists[0]) && asked.contains(&lists[1]), "{asked:?}");
    assert!(asked.contains(&("global_operations.get", "operation-1")), "{asked:?}");
}

#[tokio::test]
async fn a_list_that_fails_changes_nothing() {
    let (cloud, operations) = (Cloud::new(), Operations::new());
    started(&operations, "u1", 1, "z-a");
    cloud.will("zone_operations.list", Err(refusal(403, "rateLimitExceeded")));
    assert!(operations.poll_once(&cloud.gce()).await.is_empty());
    assert!(running(&operations, 1));
    assert_eq!(cloud.calls().len(), 1, "and nothing is looked up by name");
}

#[tokio::test]
async fn pages_are_read_only_as_far_as_the_oldest_in_flight() {
    let (cloud, operations) = (Cloud::new(), Operations::new());
    started(&operations, "u1", 10, "z-a");
    started(&operations, "u1", 20, "z-a");
    let page = |items: &[Value]| Ok(json!({"items": items, "nextPageToken": "more"}));
    cloud.will("zone_operations.list", page(&[wire(30, "DONE"), wire(20, "RUNNING")]));
    cloud.will("zone_operations.list", page(&[wire(15, "DONE"), wire(9, "DONE")]));
    cloud.will("zone_operations.get", Ok(wire(10, "DONE")));
    assert_eq!(operations.poll_once(&cloud.gce()).await, ["u1"]);
    assert!(succeeded(&operations, 10) && running(&operations, 20));
    let calls = cloud.calls();
    assert_eq!(
        calls.iter().map(|call| call.0).collect::<Vec<_>>(),
        ["zone_operations.list", "zone_operations.list", "zone_operations.get"]
    );
    assert_eq!(calls[2].1, "operation-10", "missing from the list, so looked up");
}

#[tokio::test]
async fn an_operation_that_the_cloud_forgot_is_no_longer_known_and_wakes_its_notebook() {
    let (cloud, operations) = (Cloud::new(), Operations::new());
    started(&operations, "u1", 1, "z-a");
    cloud.will("zone_operations.list", list(&[]));
    cloud.will("zone_operations.get", Err(refusal(503, "backendError")));
    assert!(operations.poll_once(&cloud.gce()).await.is_empty());
    assert!(running(&operations, 1), "an error is not absence");
    cloud.will("zone_operations.list", list(&[]));
    assert_eq!(operations.poll_once(&cloud.gce()).await, ["u1"]);
    assert_eq!(operations.of(id(1)), None);
}

#[tokio::test]
async fn lookups_by_name_are_bounded_and_take_turns() {
    let (cloud, operations) = (Cloud::new(), Operations::new());
    for n in 0..50 {
        started(&operations, "u1", n, "z-a");
    }
    let mut looked_up = BTreeSet::new();
    for _ in 0..5 {
        cloud.will("zone_operations.list", list(&[]));
        for _ in 0..LOOKUPS_MAX {
            cloud.will("zone_operations.get", Ok(wire(0, "RUNNING")));
        }
        operations.poll_once(&cloud.gce()).await;
        let calls = cloud.calls();
        assert_eq!(calls.len(), 1 + LOOKUPS_MAX);
        looked_up.extend(calls.into_iter().skip(1).map(|(_, name, _)| name));
    }
    assert_eq!(looked_up.len(), 50);
}

#[tokio::test]
async fn a_refusal_is_an_operation_that_failed() {
    let (cloud, operations) = (Cloud::new(), Operations::new());
    operations.refused("u1", id(1), GceError::new(Cause::Invalid, "no such machine type"));
    assert!(matches!(operations.of(id(1)), Some(OperationState::Failed(error, None)) if error.cause == Cause::Invalid));
    assert_eq!(operations.poll_once(&cloud.gce()).await, ["u1"], "told once");
    assert!(operations.poll_once(&cloud.gce()).await.is_empty());
    assert!(cloud.calls().is_empty(), "there is nothing to look for");
}

#[test]
fn what_is_over_stays_over() {
    let operations = Operations::new();
    operations.refused("u1", id(1), GceError::new(Cause::Invalid, "no"));
    started(&operations, "u1", 1, "z-a");
    assert!(!running(&operations, 1), "a late answer does not revive it");
}

#[tokio::test]
async fn forgetting_drops_what_is_over_and_watches_the_rest_to_its_end() {
    let (cloud, operations) = (Cloud::new(), Operations::new());
    operations.refused("u1", id(1), GceError::new(Cause::Invalid, "no"));
    operations.refused("u1", id(2), GceError::new(Cause::Invalid, "no"));
    operations.refused("u2", id(3), GceError::new(Cause::Invalid, "no"));
    started(&operations, "u1", 4, "z-a");
    operations.forget("u1", &BTreeSet::from([id(2)]));
    let known = |uid: &str| operations.for_notebook(uid).into_keys().collect::<Vec<_>>();
    assert_eq!((known("u1"), known("u2")), (vec![id(2), id(4)], vec![id(3)]));
    cloud.will("zone_operations.list", list(&[wire(4, "DONE")]));
    assert!(operations.poll_once(&cloud.gce()).await.contains(&"u1".to_owned()), "its end still wakes the notebook");
    assert_eq!(known("u1"), [id(2)]);
}

/// A clock whose every wait is over at once, and noted.
#[derive(Default)]
struct Hurry(Mutex<Vec<Duration>>);

impl Clock for Hurry {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.lock().unwrap().push(duration);
        tokio::task::yield_now().boxed()
    }
}

#[tokio::test]
async fn it_asks_less_often_while_the_cloud_fails_and_sleeps_when_nothing_is_in_flight() {
    let (cloud, operations, clock) = (Cloud::new(), Operations::new(), Arc::new(Hurry::default()));
    for _ in 0..6 {
        cloud.will("zone_operations.list", Err(refusal(503, "backendError")));
    }
    cloud.will("zone_operations.list", list(&[wire(1, "RUNNING")]));
    cloud.will("zone_operations.list", list(&[wire(1, "DONE")]));
    started(&operations, "u1", 1, "z-a");
    let told = tokio::sync::Notify::new();
    let (gce, shared): (_, SharedClock) = (cloud.gce(), clock.clone());
    tokio::select! {
        biased;
        () = operations.run(&gce, &shared, |uid| { assert_eq!(uid, "u1"); told.notify_one(); }) => {}
        () = told.notified() => {}
    }
    let waits: Vec<u128> = clock.0.lock().unwrap().iter().map(Duration::as_millis).collect();
    assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 500]);
    assert_eq!(operations.in_flight(), 0);
}
