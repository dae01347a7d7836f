//! Capacity and quota.

use super::super::{Method, QuotaRefusal};
use super::{Story, ZONE, disk_type, settings, vm};
use rehost_api::guest::GuestRole;
use serde_json::{Value, json};

fn with_gpu(name: &str) -> Value {
    let mut body = vm(name, "n1-standard-4", &settings(GuestRole::Serve, "1", true));
    body["scheduling"] = json!({ "onHostMaintenance": "TERMINATE" });
    let kind = format!("projects/p/zones/{ZONE}/acceleratorTypes/nvidia-tesla-t4");
    body["guestAccelerators"] = json!([{ "acceleratorType": kind, "acceleratorCount": 1 }]);
    body
}

fn plain(name: &str) -> Value {
    vm(name, "n1-standard-4", &settings(GuestRole::Serve, "1", true))
}

#[test]
fn a_stockout_is_told_in_the_operation_with_the_zones_that_have_room() {
    let mut story = Story::new();
    let instances = format!("zones/{ZONE}/instances");
    story.world.capacity_set(ZONE, "*nvidia-tesla-t4*", Some(0));
    story.world.capacity_set("us-central1-b", "*nvidia-tesla-t4*", Some(0));
    story.run(&instances, plain("cpu"));
    let operation = story.post(&instances, with_gpu("gpu"));
    assert_eq!(operation["status"], "PENDING");
    let failed = story.done(&operation);
    let error = &failed["error"]["errors"][0];
    assert_eq!(
        (error["code"].as_str(), failed["httpErrorStatusCode"].as_u64()),
        (Some("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"), Some(503))
    );
    let info = error["errorDetails"].as_array().unwrap().iter().find_map(|detail| detail.get("errorInfo")).unwrap();
    assert_eq!(info["reason"], "resource_availability");
    assert_eq!(
        info["metadatas"],
        json!({ "zone": ZONE, "zonesAvailable": "us-central1-c,us-central1-f", "vmType": "n1-standard-4", "attachment": "nvidia-tesla-t4:1" })
    );
    assert_eq!(story.send(Method::Get, &format!("{instances}/gpu"), None).status, 404);
    assert_eq!(story.world.disk_ids().len(), 1, "its boot disk is gone as well");
}

#[test]
fn a_stop_gives_the_capacity_up_and_a_start_may_miss_it() {
    let mut story = Story::new();
    story.world.capacity_set(ZONE, "n1-standard-4", Some(1));
    let instances = format!("zones/{ZONE}/instances");
    story.run(&instances, plain("a"));
    let second = story.post(&instances, plain("b"));
    assert!(story.done(&second).get("error").is_some());
    story.run(&format!("{instances}/a/stop"), json!({}));
    story.run(&instances, plain("b"));
    let start = story.post(&format!("{instances}/a/start"), json!({}));
    let failed = story.done(&start);
    assert_eq!(failed["error"]["errors"][0]["code"], "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS");
    assert_eq!(story.status("a"), "TERMINATED");
    story.world.capacity_set(ZONE, "n1-standard-4", None);
    story.run(&format!("{instances}/a/start"), json!({}));
    assert_eq!(story.status("a"), "RUNNING");
}

#[test]
fn quota_is_told_in_the_operation_or_at_once() {
    let mut story = Story::new();
    let instances = format!("zones/{ZONE}/instances");
    story.world.quota_set("us-central1", "CPUS", 6.0);
    story.run(&instances, plain("a"));
    let operation = story.post(&instances, plain("b"));
    let failed = story.done(&operation);
    let error = &failed["error"]["errors"][0];
    assert_eq!(
        (error["code"].as_str(), error["message"].as_str()),
        (Some("QUOTA_EXCEEDED"), Some("Quota 'CPUS' exceeded.  Limit: 6.0 in region us-central1."))
    );
    let info = &error["errorDetails"][0]["quotaInfo"];
    assert_eq!((info["limit"].as_f64(), info["metricName"].as_str()), (Some(6.0), Some("compute.googleapis.com/cpus")));
    assert_eq!(story.send(Method::Get, &format!("{instances}/b"), None).status, 404);

    story.world.quota_refusal_set(QuotaRefusal::AtOnce);
    let refused = story.send(Method::Post, &instances, Some(plain("b")));
    assert_eq!((refused.status, refused.body["error"]["errors"][0]["reason"].as_str()), (403, Some("quotaExceeded")));
    let region = story.get("regions/us-central1");
    let cpus = region["quotas"].as_array().unwrap().iter().find(|quota| quota["metric"] == "CPUS").unwrap();
    assert_eq!((cpus["limit"].as_f64(), cpus["usage"].as_f64()), (Some(6.0), Some(4.0)));
    story.run(&format!("{instances}/a/stop"), json!({}));
    story.run(&instances, plain("b"));
}

#[test]
fn quota_of_gpus_disks_addresses_and_instances() {
    let mut story = Story::new();
    let instances = format!("zones/{ZONE}/instances");
    let disks = format!("zones/{ZONE}/disks");
    let expect = |story: &mut Story, path: &str, body: Value, metric: &str| {
        let operation = story.post(path, body);
        let failed = story.done(&operation);
        let message = failed["error"]["errors"][0]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(&format!("'{metric}'")), "{metric}: {failed}");
    };
    story.world.quota_set("us-central1", "NVIDIA_T4_GPUS", 0.0);
    expect(&mut story, &instances, with_gpu("gpu"), "NVIDIA_T4_GPUS");
    story.world.quota_set("us-central1", "NVIDIA_T4_GPUS", 8.0);
    story.world.quota_set("global", "GPUS_ALL_REGIONS", 0.0);
    expect(&mut story, &instances, with_gpu("gpu"), "GPUS_ALL_REGIONS");
    story.world.quota_set("us-central1", "SSD_TOTAL_GB", 100.0);
    let large = json!({ "name": "large", "sizeGb": "200", "type": disk_type("pd-ssd") });
    expect(&mut story, &disks, large, "SSD_TOTAL_GB");
    story.run(&disks, json!({ "name": "home", "sizeGb": "60", "type": disk_type("pd-ssd") }));
    expect(&mut story, &format!("{disks}/home/resize"), json!({ "sizeGb": "150" }), "SSD_TOTAL_GB");
    assert_eq!(story.get(&format!("{disks}/home"))["sizeGb"], "60", "a failed resize changes nothing");
    story.world.quota_set("us-central1", "IN_USE_ADDRESSES", 0.0);
    let mut public = plain("public");
    public["networkInterfaces"][0]["accessConfigs"] = json!([{ "type": "ONE_TO_ONE_NAT" }]);
    expect(&mut story, &instances, public, "IN_USE_ADDRESSES");
    story.world.quota_set("us-central1", "INSTANCES", 0.0);
    expect(&mut story, &instances, plain("a"), "INSTANCES");
    assert!(story.world.instance_statuses().is_empty());
    assert_eq!(story.world.disk_ids().len(), 1);
}

#[test]
fn a_disk_has_six_snapshots_an_hour() {
    let mut story = Story::new();
    story.make_disk("home");
    let path = format!("zones/{ZONE}/disks/home/createSnapshot");
    for number in 0..6 {
        story.run(&path, json!({ "name": format!("s{number}") }));
    }
    let operation = story.post(&path, json!({ "name": "s6" }));
    let failed = story.done(&operation);
    assert_eq!(failed["error"]["errors"][0]["code"], "RESOURCE_OPERATION_RATE_EXCEEDED");
    assert_eq!(story.send(Method::Get, "global/snapshots/s6", None).status, 404);
    story.wait_s(3600);
    story.run(&path, json!({ "name": "s6" }));
    let deletion = story.send(Method::Delete, "global/snapshots/s6", None).body;
    assert!(deletion.get("zone").is_none());
    story.done(&deletion);
    assert_eq!(story.send(Method::Get, "global/snapshots/s6", None).status, 404);
}
