use serde_json::{Value, json};

use super::*;
use crate::gce::errors::Cause;
use crate::gce::model::InstanceStatus;
use crate::gce::stubs::{Cloud, refusal};

fn labels(uid: &str) -> Value {
    json!({GCE_CLUSTER: "c", GCE_UID: uid})
}

fn vm(name: &str, id: u64, uid: &str, status: &str) -> Value {
    json!({"name": name, "id": id.to_string(), "status": status, "labels": labels(uid),
        "zone": "https://www.googleapis.com/compute/v1/projects/p/zones/z-a", "labelFingerprint": "+/8=",
        "machineType": "https://x/zones/z-a/machineTypes/n1-standard-4", "metadata": {"fingerprint": "AAAA"},
        "scheduling": {"onHostMaintenance": "TERMINATE"}, "networkInterfaces": [{"networkIP": "10.0.0.2"}],
        "disks": [{"deviceName": "home", "source": "https://x/zones/z-a/disks/home-1", "autoDelete": false,
            "boot": false, "mode": "READ_WRITE"}]})
}

fn home(name: &str, id: u64, uid: &str) -> Value {
    json!({"name": name, "id": id.to_string(), "sizeGb": "100", "status": "READY", "labels": labels(uid),
        "type": "https://x/zones/z-a/diskTypes/pd-balanced", "users": ["https://x/zones/z-a/instances/vm-1"]})
}

fn page(kind: &str, zones: &[(&str, Vec<Value>)]) -> Value {
    let mut items = json!({"regions/us": {"warning": {"code": "NO_RESULTS_ON_PAGE"}}});
    for (zone, objects) in zones {
        items[format!("zones/{zone}")] = json!({kind: objects});
    }
    let kind = format!("compute#{}AggregatedList", kind.trim_end_matches('s'));
    json!({"kind": kind, "items": items})
}

/// What two lists give.
async fn sweep(instances: Value, disks: Value) -> Inventory {
    let cloud = Cloud::new();
    cloud.will_list(Ok(instances));
    cloud.will_list(Ok(disks));
    cloud.gce().inventory("p", "c", Timestamp::UNIX_EPOCH).await.expect("a whole sweep")
}

async fn usual() -> Inventory {
    sweep(
        page("instances", &[("z-a", vec![vm("vm-1", 1, "u1", "RUNNING")])]),
        page("disks", &[("z-a", vec![home("home-1", 2, "u1")])]),
    )
    .await
}

#[tokio::test]
async fn two_lists_find_all_objects_of_the_cluster() {
    let cloud = Cloud::new();
    let mut first = page("instances", &[("z-a", vec![vm("vm-2", 3, "u1", "STAGING")])]);
    first["nextPageToken"] = json!("next");
    cloud.will_list(Ok(first));
    cloud.will_list(Ok(page(
        "instances",
        &[("z-a", vec![vm("vm-1", 1, "u1", "RUNNING"), vm("other", 9, "", "RUNNING")])],
    )));
    cloud.will_list(Ok(page("disks", &[("z-a", vec![home("home-1", 2, "u1")])])));
    let found = cloud.gce().inventory("p", "c", Timestamp::UNIX_EPOCH).await.expect("a whole sweep");

    let names: Vec<_> = found.instances_of("u1").iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["vm-1", "vm-2"], "from both pages, in order");
    let vm = &found.instances_of("u1")[0];
    assert_eq!((vm.zone.as_str(), &vm.status, vm.id), ("z-a", &InstanceStatus::Running, 1));
    assert_eq!(vm.label_fingerprint.as_deref(), Some("-_8="), "as the SDK writes it");
    assert_eq!(vm.attachment("home-1").map(|it| (it.read_write, it.auto_delete)), Some((true, false)));
    let disk = &found.disks_of("u1")[0];
    assert_eq!((disk.size_gb, disk.ready, disk.users[0].as_str(), disk.zone.as_str()), (100, true, "vm-1", "z-a"));
    assert_eq!(found.instances_of("").len(), 1, "what names no notebook is kept for reports");
    assert!(found.completeness.covers("z-b"), "a region without results is no hole");

    let asked = cloud.swept();
    assert_eq!(asked[0].0, "/compute/v1/projects/p/aggregated/instances");
    assert_eq!(asked[2].0, "/compute/v1/projects/p/aggregated/disks");
    let first = &asked[0].1;
    assert_eq!((first["filter"].as_str(), first["maxResults"].as_str()), ("labels.rehost-cluster=c", "500"));
    assert_eq!((first["returnPartialSuccess"].as_str(), first.get("pageToken")), ("true", None));
    assert!(first["fields"].starts_with("items/*/instances(name,id,zone,"), "{}", first["fields"]);
    assert!(!first["fields"].contains(' '), "{}", first["fields"]);
    assert_eq!(asked[1].1["pageToken"], "next");
}

#[tokio::test]
async fn absence_counts_only_where_somebody_answered() {
    let mut partial = page("instances", &[("z-a", vec![vm("vm-1", 1, "u1", "RUNNING")])]);
    partial["unreachables"] = json!(["https://www.googleapis.com/compute/v1/projects/p/zones/z-b"]);
    partial["items"]["zones/z-c"] = json!({"warning": {"code": "UNREACHABLE"}});
    partial["items"]["regions/eu"] = json!({"warning": {"code": "UNREACHABLE"}});
    let found = sweep(partial, page("disks", &[])).await;
    assert!(found.instance("u1", "z-a", "vm-1").is_present());
    assert!(found.instance("u1", "z-a", "vm-2").is_absent());
    for hole in ["z-b", "z-c", "eu-a"] {
        assert!(found.instance("u1", hole, "vm-1").unknown().is_some(), "{hole}");
        assert!(found.disk("u1", hole, "home-1").unknown().is_some(), "a hole in one list is not trusted in the other");
    }
    let mut unsaid = page("instances", &[]);
    unsaid["warning"] = json!({"code": "SOMETHING_NEW"});
    let found = sweep(unsaid, page("disks", &[])).await;
    assert!(found.instance("u1", "z-a", "vm-1").unknown().is_some());
}

#[tokio::test]
async fn a_sweep_that_fails_anywhere_says_nothing() {
    let whole = || page("instances", &[]);
    let mut endless = whole();
    endless["nextPageToken"] = json!("same");
    let nameless = page("instances", &[("z-a", vec![json!({"id": "1"})])]);
    let bad_fingerprint = page("instances", &[("z-a", vec![json!({"id": "1", "name": "x", "labelFingerprint": "!"})])]);
    let failures = [
        (vec![Ok(whole()), Err(refusal(403, "rateLimitExceeded"))], Cause::RateLimited),
        (vec![Ok(endless.clone()), Ok(endless)], Cause::EffectUnknown),
        (vec![Ok(json!([]))], Cause::EffectUnknown),
        (vec![Ok(json!({}))], Cause::EffectUnknown),
        (vec![Ok(page("disks", &[]))], Cause::EffectUnknown),
        (vec![Ok(nameless)], Cause::EffectUnknown),
        (vec![Ok(bad_fingerprint)], Cause::EffectUnknown),
    ];
    for (pages, cause) in failures {
        let cloud = Cloud::new();
        for page in pages {
            cloud.will_list(page);
        }
        let error = cloud.gce().inventory("p", "c", Timestamp::UNIX_EPOCH).await.expect_err("no inventory");
        assert_eq!(error.cause, cause, "{error}");
    }
}

#[tokio::test]
async fn only_notebooks_whose_objects_differ_are_woken() {
    let before = usual().await;
    assert!(changes(&before, &usual().await).is_empty());

    let stopped = page("instances", &[("z-a", vec![vm("vm-1", 1, "u1", "TERMINATED")])]);
    let disks = page("disks", &[("z-a", vec![home("home-1", 2, "u1"), home("home-2", 4, "u2")])]);
    let after = sweep(stopped, disks).await;
    assert_eq!(changes(&before, &after), BTreeSet::from(["u1".to_owned(), "u2".to_owned()]), "changed and made");
    assert_eq!(changes(&after, &before), BTreeSet::from(["u1".to_owned(), "u2".to_owned()]), "changed and gone");

    let again = page("instances", &[("z-a", vec![vm("vm-1", 7, "u1", "RUNNING")])]);
    let after = sweep(again, page("disks", &[("z-a", vec![home("home-1", 2, "u1")])])).await;
    assert_eq!(changes(&before, &after), BTreeSet::from(["u1".to_owned()]), "another incarnation of the same name");
}

#[tokio::test]
async fn what_is_missing_from_an_unreachable_zone_wakes_nobody() {
    let before = usual().await;
    let mut hole = page("instances", &[]);
    hole["unreachables"] = json!(["zones/z-a"]);
    let during = sweep(hole, page("disks", &[])).await;
    assert!(changes(&before, &during).is_empty());
    assert_eq!(changes(&during, &before), BTreeSet::from(["u1".to_owned()]), "it may have changed meanwhile");
}
