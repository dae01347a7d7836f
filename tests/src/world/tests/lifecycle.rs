//! Statuses and their order, and what the cloud does of its own accord.

use super::super::Method;
use super::{Story, ZONE, settings, vm};
use rehost_api::guest::{GuestRole, GuestState};
use serde_json::{Value, json};

fn scheduled(name: &str, scheduling: Value) -> Value {
    let mut body = vm(name, "n1-standard-4", &settings(GuestRole::Serve, "1", true));
    body["scheduling"] = scheduling;
    body
}

/// The statuses that an instance goes through until an operation is DONE.
fn statuses(story: &mut Story, name: &str, operation: &Value) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    let path = format!("zones/{ZONE}/operations/{}", operation["name"].as_str().unwrap());
    loop {
        let shown = story.send(Method::Get, &format!("zones/{ZONE}/instances/{name}"), None);
        let status = shown.body["status"].as_str().unwrap_or("GONE").to_owned();
        if seen.last() != Some(&status) {
            seen.push(status);
        }
        if story.get(&path)["status"] == "DONE" {
            return seen;
        }
        story.now = story.world.next_event_at().unwrap().max(story.now);
        story.world.advance(story.now);
    }
}

#[test]
fn statuses_come_in_their_order() {
    let mut story = Story::new();
    let body = vm("a", "n1-standard-4", &settings(GuestRole::Serve, "1", true));
    let operation = story.post(&format!("zones/{ZONE}/instances"), body);
    assert_eq!(statuses(&mut story, "a", &operation), ["PROVISIONING", "STAGING", "RUNNING"]);
    let shown = story.instance("a");
    assert!(shown["lastStartTimestamp"].is_string());
    assert_eq!(
        shown["disks"][0]["source"],
        format!("https://www.googleapis.com/compute/v1/projects/p/zones/{ZONE}/disks/a")
    );
    assert_eq!(shown["disks"][0]["deviceName"], "persistent-disk-0");
    assert!(shown["networkInterfaces"][0]["networkIP"].as_str().unwrap().starts_with("10."));
    let instance = format!("zones/{ZONE}/instances/a");
    for (verb, expected) in [
        ("stop", vec!["RUNNING", "STOPPING", "TERMINATED"]),
        ("stop", vec!["TERMINATED"]),
        ("start", vec!["TERMINATED", "PROVISIONING", "STAGING", "RUNNING"]),
        ("start", vec!["RUNNING"]),
        ("suspend", vec!["RUNNING", "SUSPENDING", "SUSPENDED"]),
        ("resume", vec!["SUSPENDED", "PROVISIONING", "STAGING", "RUNNING"]),
        ("reset", vec!["RUNNING"]),
    ] {
        let operation = story.post(&format!("{instance}/{verb}"), json!({}));
        assert_eq!(statuses(&mut story, "a", &operation), expected, "{verb}");
    }
    let operation = story.send(Method::Delete, &instance, None).body;
    assert_eq!(statuses(&mut story, "a", &operation), ["RUNNING", "STOPPING", "GONE"]);
    assert!(story.world.disk_ids().is_empty(), "the boot disk went with it");
}

#[test]
fn a_disk_outlives_its_instance_unless_it_is_to_go_with_it() {
    let mut story = Story::new();
    story.make_vm("a");
    story.make_disk("home");
    story.make_disk("scratch");
    let operation = story.attach("a", "home");
    story.done(&operation);
    let body = json!({ "source": format!("zones/{ZONE}/disks/scratch"), "deviceName": "scratch" });
    story.run(&format!("zones/{ZONE}/instances/a/attachDisk"), body);
    story.run(&format!("zones/{ZONE}/instances/a/setDiskAutoDelete?deviceName=scratch&autoDelete=true"), json!({}));
    let users = story.get(&format!("zones/{ZONE}/disks/home"))["users"].clone();
    assert!(users[0].as_str().unwrap().ends_with("/instances/a"));
    let operation = story.send(Method::Delete, &format!("zones/{ZONE}/instances/a"), None).body;
    story.done(&operation);
    let disks = story.world.disk_ids();
    assert_eq!(disks.keys().map(|place| place.name.as_str()).collect::<Vec<_>>(), ["home"]);
    assert!(story.get(&format!("zones/{ZONE}/disks/home")).get("users").is_none());
}

#[test]
fn machine_type_and_gpus_change_on_a_stopped_machine() {
    let mut story = Story::new();
    story.make_vm("a");
    let instance = format!("zones/{ZONE}/instances/a");
    story.run(&format!("{instance}/stop"), json!({}));
    let custom = json!({ "machineType": format!("zones/{ZONE}/machineTypes/custom-32-212992") });
    story.run(&format!("{instance}/setMachineType"), custom);
    assert!(story.instance("a")["machineType"].as_str().unwrap().ends_with("/n1-highmem-32"), "the canonical name");
    story.run(&format!("{instance}/setScheduling"), json!({ "onHostMaintenance": "TERMINATE" }));
    let gpus = json!({ "guestAccelerators": [{ "acceleratorType": format!("zones/{ZONE}/acceleratorTypes/nvidia-tesla-t4"), "acceleratorCount": 1 }] });
    story.run(&format!("{instance}/setMachineResources"), gpus);
    assert_eq!(story.instance("a")["guestAccelerators"][0]["acceleratorCount"], 1);
    let e2 = json!({ "machineType": format!("zones/{ZONE}/machineTypes/e2-standard-4") });
    let refused = story.send(Method::Post, &format!("{instance}/setMachineType"), Some(e2));
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("features are not compatible"));
    story.run(&format!("{instance}/setMachineResources"), json!({ "guestAccelerators": [] }));
    assert!(story.instance("a").get("guestAccelerators").is_none());
    story.run(&format!("{instance}/start"), json!({}));
}

#[test]
fn a_fingerprint_guards_against_who_has_not_seen() {
    let mut story = Story::new();
    story.make_vm("a");
    let path = format!("zones/{ZONE}/instances/a/setLabels");
    let seen = story.instance("a")["labelFingerprint"].clone();
    let body = |value: &str| json!({ "labels": { "a": value }, "labelFingerprint": seen });
    let (first, second) = (story.post(&path, body("1")), story.post(&path, body("2")));
    let ends = [story.done(&first), story.done(&second)];
    let failed: Vec<&Value> = ends.iter().filter(|one| one.get("error").is_some()).collect();
    assert_eq!(failed.len(), 1, "both were taken, one came too late");
    assert_eq!(failed[0]["error"]["errors"][0]["code"], "CONDITION_NOT_MET");
    assert_eq!(failed[0]["httpErrorStatusCode"], 412);
}

#[test]
fn two_attach_one_disk_and_one_gets_it() {
    let mut story = Story::new();
    story.make_vm("a");
    story.make_vm("b");
    story.make_disk("home");
    let (first, second) = (story.attach("a", "home"), story.attach("b", "home"));
    let ends = [story.done(&first), story.done(&second)];
    let failed: Vec<&Value> = ends.iter().filter(|one| one.get("error").is_some()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["error"]["errors"][0]["code"], "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE");
    assert_eq!(story.get(&format!("zones/{ZONE}/disks/home"))["users"].as_array().unwrap().len(), 1);
}

#[test]
fn a_disk_that_is_being_attached_is_not_deleted_under_it() {
    let mut story = Story::new();
    story.make_vm("a");
    story.make_disk("home");
    let attach = story.attach("a", "home");
    let delete = story.send(Method::Delete, &format!("zones/{ZONE}/disks/home"), None).body;
    let ends = [story.done(&attach), story.done(&delete)];
    assert_eq!(ends.iter().filter(|one| one.get("error").is_some()).count(), 1, "one of the two: {ends:?}");
    let attached = story.instance("a")["disks"].as_array().unwrap().len() == 2;
    let there = story.send(Method::Get, &format!("zones/{ZONE}/disks/home"), None).status == 200;
    assert_eq!(attached, there);
}

#[test]
fn a_local_ssd_is_given_up_by_who_says_so() {
    let mut story = Story::new();
    let mut body = vm("a", "n1-standard-4", &settings(GuestRole::Serve, "1", true));
    let local = json!({ "type": "SCRATCH", "initializeParams": { "diskType": super::disk_type("local-ssd") } });
    body["disks"].as_array_mut().unwrap().push(local);
    story.run(&format!("zones/{ZONE}/instances"), body);
    let shown = story.instance("a");
    assert_eq!(
        (shown["disks"][1]["type"].as_str(), shown["disks"][1]["diskSizeGb"].as_str()),
        (Some("SCRATCH"), Some("375"))
    );
    let stop = format!("zones/{ZONE}/instances/a/stop");
    let refused = story.send(Method::Post, &stop, None);
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("discard-local-ssd"));
    story.run(&format!("{stop}?discardLocalSsd=true"), json!({}));
    let larger = json!({ "machineType": format!("zones/{ZONE}/machineTypes/n1-standard-8") });
    let refused = story.send(Method::Post, &format!("zones/{ZONE}/instances/a/setMachineType"), Some(larger));
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("local SSD"));
}

#[test]
fn the_cloud_takes_spot_machines_back() {
    let mut story = Story::new();
    let instances = format!("zones/{ZONE}/instances");
    story.run(&instances, scheduled("stops", json!({ "provisioningModel": "SPOT" })));
    let deletes = json!({ "provisioningModel": "SPOT", "instanceTerminationAction": "DELETE" });
    story.run(&instances, scheduled("goes", deletes));
    story.world.preempt(ZONE, "stops");
    story.world.preempt(ZONE, "goes");
    story.wait_s(2);
    assert_eq!(story.status("stops"), "STOPPING");
    story.wait_s(60);
    assert_eq!(story.status("stops"), "TERMINATED");
    assert_eq!(story.send(Method::Get, &format!("{instances}/goes"), None).status, 404);
    let list = story.get(&format!("zones/{ZONE}/operations?filter=operationType = compute.instances.preempted"));
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(list["items"][0]["user"], "system");
}

#[test]
fn a_failed_host_loses_memory_and_the_machine_comes_again() {
    let mut story = Story::new();
    story.make_disk("home");
    story.make_vm("a");
    let operation = story.attach("a", "home");
    story.done(&operation);
    let first = story.until("a", |report| report.state == GuestState::Serving);
    assert!(story.world.guest_write(ZONE, "a", b"precious"));
    story.world.host_error(ZONE, "a");
    assert!(story.world.lost_records() > 0);
    assert_eq!(story.status("a"), "REPAIRING");
    let second = story.until("a", |report| report.boot_id != first.boot_id && report.state == GuestState::Serving);
    assert_eq!(second.nonce, first.nonce);
    assert_eq!(story.status("a"), "RUNNING");

    story.run(&format!("zones/{ZONE}/instances"), scheduled("stays", json!({ "automaticRestart": false })));
    story.world.host_error(ZONE, "stays");
    story.wait_s(300);
    assert_eq!(story.status("stays"), "TERMINATED");
}

#[test]
fn maintenance_moves_or_stops() {
    let mut story = Story::new();
    let instances = format!("zones/{ZONE}/instances");
    story.make_vm("moves");
    story.run(&instances, scheduled("stops", json!({ "onHostMaintenance": "TERMINATE" })));
    story.world.maintenance(ZONE, "moves");
    story.world.maintenance(ZONE, "stops");
    story.wait_s(3);
    assert_eq!((story.status("moves").as_str(), story.status("stops").as_str()), ("RUNNING", "STOPPING"));
    story.wait_s(300);
    assert_eq!(story.status("stops"), "RUNNING", "and is started again");
}

#[test]
fn a_bounded_run_ends_and_a_guest_can_power_itself_off() {
    let mut story = Story::new();
    let instances = format!("zones/{ZONE}/instances");
    story.run(&instances, scheduled("short", json!({ "maxRunDuration": { "seconds": "60" } })));
    assert!(story.instance("short")["scheduling"]["terminationTime"].is_string());
    story.wait_s(150);
    assert_eq!(story.status("short"), "TERMINATED");
    story.make_vm("a");
    story.world.guest_power_off(ZONE, "a");
    story.wait_s(90);
    assert_eq!(story.status("a"), "TERMINATED");
    assert_eq!(story.world.guest(ZONE, "a"), None);
}
