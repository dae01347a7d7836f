//! Lists: pages, filters, lag, partial answers.

use super::super::{Fault, FaultKind, Method};
use super::{Story, ZONE};
use jiff::SignedDuration;
use serde_json::{Value, json};

fn names(list: &Value) -> Vec<String> {
    list["items"].as_array().into_iter().flatten().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

fn with_disks(count: usize) -> Story {
    let mut story = Story::new();
    for number in 0..count {
        let zone = if number % 2 == 0 { ZONE } else { "us-central1-b" };
        let body = json!({ "name": format!("d{number}"), "sizeGb": "10", "labels": { "n": number.to_string() } });
        story.post(&format!("zones/{zone}/disks"), body);
    }
    story.wait_s(10);
    story
}

#[test]
fn pages_join_to_the_whole_whatever_comes_and_goes() {
    let mut story = with_disks(10);
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = story.get(&format!("aggregated/disks?maxResults=3&pageToken={token}"));
        let scopes = page["items"].as_object().unwrap();
        let count: usize = scopes.values().map(|scope| scope["disks"].as_array().map_or(0, Vec::len)).sum();
        assert!(count <= 3);
        for scope in scopes.values() {
            for disk in scope["disks"].as_array().into_iter().flatten() {
                seen.push(disk["name"].as_str().unwrap().to_owned());
            }
            assert!(scope.get("disks").is_some() || scope["warning"]["code"] == "NO_RESULTS_ON_PAGE");
        }
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
        if seen.len() == 3 {
            // One that was sent already goes, which must not shift the pages.
            story.send(Method::Delete, &format!("zones/{ZONE}/disks/{}", seen[0]), None);
            story.wait_s(10);
        }
    }
    seen.sort();
    assert_eq!(seen, (0..10).map(|number| format!("d{number}")).collect::<Vec<_>>());
}

#[test]
fn filters_orders_and_masks() {
    let mut story = with_disks(6);
    let list = |story: &mut Story, query: &str| story.get(&format!("zones/{ZONE}/disks?{query}"));
    assert_eq!(names(&list(&mut story, "filter=labels.n = 4")), ["d4"]);
    assert_eq!(names(&list(&mut story, "filter=(name eq \"d(0|2)\")")), ["d0", "d2"]);
    assert_eq!(names(&list(&mut story, "filter=labels.none:*")), Vec::<String>::new());
    story.wait_s(1);
    story.make_disk("newest");
    assert_eq!(names(&list(&mut story, "orderBy=creationTimestamp desc&maxResults=1")), ["newest"]);
    let cut = list(&mut story, "fields=items(name,labels/n)&filter=labels.n = 2");
    assert_eq!(cut, json!({ "items": [{ "name": "d2", "labels": { "n": "2" } }] }));
    let mask = "aggregated/disks?fields=items/*/disks(name),nextPageToken,unreachables&filter=labels.n = 1";
    let cut = story.get(mask);
    assert_eq!(cut["items"]["zones/us-central1-b"], json!({ "disks": [{ "name": "d1" }] }));
    assert_eq!(cut["items"][format!("zones/{ZONE}")], json!({}));
    let too_many = story.send_any(Method::Get, &format!("zones/{ZONE}/disks?maxResults=501"), None).0;
    assert_eq!(too_many.status, 400);
}

#[test]
fn lists_lag_and_gets_do_not() {
    let mut story = Story::new();
    story.world.list_lag_set(SignedDuration::from_secs(20));
    story.make_disk("d");
    let disks = format!("zones/{ZONE}/disks");
    assert_eq!(story.send(Method::Get, &format!("{disks}/d"), None).status, 200);
    assert_eq!(names(&story.get(&disks)), Vec::<String>::new());
    story.wait_s(20);
    assert_eq!(names(&story.get(&disks)), ["d"]);
    let deletion = story.send(Method::Delete, &format!("{disks}/d"), None).body;
    story.done(&deletion);
    assert_eq!(story.send(Method::Get, &format!("{disks}/d"), None).status, 404);
    assert_eq!(names(&story.get(&disks)), ["d"], "a ghost");
    story.make_disk("d");
    assert_eq!(names(&story.get(&disks)), ["d"], "a ghost and its successor are one name");
    story.wait_s(20);
    assert_eq!(names(&story.get(&disks)), ["d"]);
}

#[test]
fn a_partial_answer_says_so_and_is_only_given_where_it_is_wanted() {
    let mut story = with_disks(4);
    story.world.zone_unreachable_set("us-central1-b", true);
    assert_eq!(story.send(Method::Get, "aggregated/disks", None).status, 503);
    assert_eq!(story.send(Method::Get, "zones/us-central1-b/disks", None).status, 503);
    assert_eq!(story.send(Method::Get, &format!("zones/{ZONE}/disks"), None).status, 200);
    let partial = story.get("aggregated/disks?returnPartialSuccess=true");
    assert_eq!(partial["unreachables"], json!(["zones/us-central1-b"]));
    assert_eq!(partial["items"]["zones/us-central1-b"]["warning"]["code"], "UNREACHABLE");
    assert_eq!(partial["items"][format!("zones/{ZONE}")]["disks"].as_array().unwrap().len(), 2);
    story.world.zone_unreachable_set("us-central1-b", false);
    let fault = FaultKind::PartialList(vec![ZONE.to_owned()]);
    story.world.fault_add(Fault::next("disks.aggregatedList", fault));
    let partial = story.get("aggregated/disks?returnPartialSuccess=true");
    assert_eq!(partial["unreachables"], json!([format!("zones/{ZONE}")]));
    assert!(story.get("aggregated/disks?returnPartialSuccess=true").get("unreachables").is_none());
    story.world.fault_add(Fault::next("disks.list", FaultKind::HiddenList));
    assert_eq!(names(&story.get(&format!("zones/{ZONE}/disks"))), Vec::<String>::new());
    assert_eq!(names(&story.get(&format!("zones/{ZONE}/disks"))), ["d0", "d2"]);
}

#[test]
fn everything_that_is_served_has_the_documents_form() {
    let mut story = with_disks(2);
    story.make_vm("a");
    story.run(
        "regions/us-central1/resourcePolicies",
        json!({
            "name": "nightly",
            "snapshotSchedulePolicy": { "schedule": { "dailySchedule": { "daysInCycle": 1, "startTime": "03:00" } } },
        }),
    );
    story.run(
        &format!("zones/{ZONE}/disks/d0/addResourcePolicies"),
        json!({
            "resourcePolicies": ["projects/p/regions/us-central1/resourcePolicies/nightly"],
        }),
    );
    story.run(&format!("zones/{ZONE}/disks/d0/createSnapshot"), json!({ "name": "s", "labels": { "a": "b" } }));
    let operation = story.get(&format!("zones/{ZONE}/operations?maxResults=1"))["items"][0]["name"].clone();
    let operation = operation.as_str().unwrap();
    for path in [
        "",
        "zones",
        "regions",
        "regions/us-central1",
        "global/snapshots",
        "global/snapshots/s",
        "global/networks",
        "global/networks/default",
        "regions/us-central1/subnetworks",
        "regions/us-central1/subnetworks/default",
        "regions/us-central1/resourcePolicies",
        "regions/us-central1/resourcePolicies/nightly",
        "global/images",
        "global/operations",
        "regions/us-central1/operations",
        "aggregated/operations",
        "aggregated/instances",
        "aggregated/machineTypes?maxResults=500",
        "aggregated/acceleratorTypes",
        "aggregated/diskTypes",
    ] {
        story.get(path.trim_end_matches('/'));
    }
    for path in [
        "",
        "/instances",
        "/instances/a",
        "/instances/a/serialPort?port=1&start=0",
        "/disks",
        "/disks/d0",
        "/machineTypes",
        "/machineTypes/n1-standard-4",
        "/acceleratorTypes",
        "/acceleratorTypes/nvidia-tesla-t4",
        "/diskTypes",
        "/diskTypes/pd-ssd",
        "/operations",
    ] {
        story.get(&format!("zones/{ZONE}{path}"));
    }
    story.post(&format!("zones/{ZONE}/operations/{operation}/wait"), json!({}));
    let policies = &story.get(&format!("zones/{ZONE}/disks/d0"))["resourcePolicies"];
    assert!(policies[0].as_str().unwrap().ends_with("/resourcePolicies/nightly"));
    let refused = story.send(Method::Delete, "regions/us-central1/resourcePolicies/nightly", None);
    assert_eq!(refused.body["error"]["errors"][0]["reason"], "resourceInUseByAnotherResource");
}
