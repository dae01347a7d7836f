//! Guests and the home disk: serving, letting go, and what haste costs.

use super::super::{GuestFault, Method};
use super::{Story, ZONE, settings, vm};
use jiff::SignedDuration;
use rehost_api::guest::{GuestFailure, GuestRole, GuestState};
use serde_json::json;

/// Two guests booted, the home served by the first.
fn serving() -> Story {
    let mut story = Story::new();
    story.make_disk("home");
    story.make_vm("old");
    story.until("old", |report| report.state == GuestState::Standby);
    let operation = story.attach("old", "home");
    story.done(&operation);
    let report = story.until("old", |report| report.state == GuestState::Serving);
    assert_eq!(report.content_id.as_deref(), Some("c-1"));
    story.run(&format!("zones/{ZONE}/instances"), vm("new", "n1-standard-8", &settings(GuestRole::Serve, "1", false)));
    story.until("new", |report| report.state == GuestState::Standby);
    story
}

fn detach(story: &mut Story, name: &str) {
    story.run(&format!("zones/{ZONE}/instances/{name}/detachDisk?deviceName=home"), json!({}));
}

#[test]
fn a_handover_in_order_loses_nothing_and_takes_seconds() {
    let mut story = serving();
    assert!(story.world.guest_write(ZONE, "old", b"precious"));
    assert!(story.world.guest(ZONE, "old").unwrap().serving);
    let asked_at = story.now;
    story.tell("old", GuestRole::Release, "2", false);
    let released = story.until("old", |report| report.state == GuestState::Released);
    assert_eq!(released.nonce, "2");
    let at_release = story.world.home_content(ZONE, "home").unwrap();
    assert_eq!((at_release.dirty_records, at_release.mounted_by.clone()), (0, None));
    assert!(at_release.records > 5, "an idle minute has its records");
    detach(&mut story, "old");
    let operation = story.attach("new", "home");
    story.done(&operation);
    let at_attach = story.world.home_content(ZONE, "home").unwrap();
    assert_eq!((at_attach.hash, at_attach.disk_id), (at_release.hash, at_release.disk_id));
    story.until("new", |report| report.state == GuestState::Serving);
    let took = story.now.duration_since(asked_at);
    assert!(took < SignedDuration::from_secs(30), "{took:?}");
    assert_eq!((story.world.lost_records(), story.world.left_behind_records()), (0, 0));
    let attachments = story.world.read_write_attachments();
    let homes: Vec<_> = attachments.iter().filter(|one| one.device == "home").collect();
    assert_eq!(homes.len(), 1);
    assert_eq!(homes[0].instance.name, "new");
}

#[test]
fn a_guest_serves_again_when_it_is_told_to() {
    let mut story = serving();
    let boot_id = story.report("old").unwrap().boot_id;
    story.tell("old", GuestRole::Release, "2", false);
    story.until("old", |report| report.state == GuestState::Released);
    story.tell("old", GuestRole::Serve, "3", false);
    let report = story.until("old", |report| report.state == GuestState::Serving);
    assert_eq!((report.nonce.as_str(), report.boot_id), ("3", boot_id));
    assert_eq!(story.world.lost_records(), 0);
}

#[test]
fn tearing_the_disk_out_loses_what_was_not_flushed() {
    let mut story = serving();
    assert!(story.world.guest_write(ZONE, "old", b"precious"));
    let operation = story.post(&format!("zones/{ZONE}/instances/old/detachDisk?deviceName=home"), json!({}));
    // The guest goes on writing until the disk is gone.
    for _ in 0..20 {
        story.world.guest_write(ZONE, "old", b"more");
        story.now += SignedDuration::from_millis(250);
        story.world.advance(story.now);
    }
    story.done(&operation);
    let content = story.world.home_content(ZONE, "home").unwrap();
    assert!(story.world.lost_records() > 0);
    assert_eq!(content.lost_records, story.world.lost_records());
    assert!(!story.world.guest(ZONE, "old").unwrap().serving);
    story.until("old", |report| report.state == GuestState::Standby);
}

#[test]
fn a_stop_flushes_and_a_reset_does_not() {
    let mut story = serving();
    story.world.guest_write(ZONE, "old", b"precious");
    story.run(&format!("zones/{ZONE}/instances/old/stop"), json!({}));
    assert_eq!(story.world.lost_records(), 0);
    let stopped = story.world.home_content(ZONE, "home").unwrap();
    assert_eq!((stopped.dirty_records, stopped.mounted_by), (0, None));
    story.run(&format!("zones/{ZONE}/instances/old/start"), json!({}));
    let first_boot = story.report("old").unwrap().boot_id;
    story.until("old", |report| report.state == GuestState::Serving && report.boot_id != first_boot);
    story.wait_s(60);
    assert!(story.world.guest_write(ZONE, "old", b"precious"));
    let operation = story.post(&format!("zones/{ZONE}/instances/old/reset"), json!({}));
    while story.get(&format!("zones/{ZONE}/operations/{}", operation["name"].as_str().unwrap()))["status"] != "DONE" {
        story.world.guest_write(ZONE, "old", b"more");
        story.now += SignedDuration::from_millis(100);
    }
    assert!(story.world.lost_records() > 0);
}

#[test]
fn a_hung_guest_is_given_its_whole_grace() {
    let mut story = serving();
    story.world.guest_write(ZONE, "old", b"precious");
    story.world.hang_guest(ZONE, "old");
    assert!(!story.world.guest(ZONE, "old").unwrap().serving);
    let before = story.now;
    story.run(&format!("zones/{ZONE}/instances/old/stop"), json!({}));
    assert!(story.now.duration_since(before) >= SignedDuration::from_secs(120));
    assert!(story.world.lost_records() >= 1);
}

#[test]
fn suspend_keeps_the_boot_and_loses_nothing() {
    let mut story = serving();
    let boot_id = story.report("old").unwrap().boot_id;
    story.world.guest_write(ZONE, "old", b"precious");
    story.run(&format!("zones/{ZONE}/instances/old/suspend"), json!({}));
    assert_eq!(story.status("old"), "SUSPENDED");
    let asleep = story.world.home_content(ZONE, "home").unwrap();
    assert_eq!(asleep.dirty_records, 0);
    story.wait_s(3600);
    assert_eq!(story.world.home_content(ZONE, "home").unwrap().records, asleep.records, "who sleeps writes nothing");
    story.run(&format!("zones/{ZONE}/instances/old/resume"), json!({}));
    assert_eq!(story.status("old"), "RUNNING");
    assert_eq!(story.world.guest(ZONE, "old").unwrap().boot_id, boot_id);
    assert!(story.world.guest(ZONE, "old").unwrap().serving);
    story.wait_s(60);
    assert!(story.world.home_content(ZONE, "home").unwrap().records > asleep.records);
    assert_eq!(story.world.lost_records(), 0);
}

#[test]
fn a_disk_that_is_not_the_one_is_not_touched() {
    for (what, failure) in
        [("blank", "ContentMismatch"), ("other", "ContentMismatch"), ("foreign", "ForeignFilesystem")]
    {
        let mut story = Story::new();
        story.make_disk("home");
        match what {
            "other" => story.world.disk_set_content(ZONE, "home", "c-2"),
            "foreign" => story.world.disk_make_foreign(ZONE, "home"),
            _ => {}
        }
        let before = story.world.home_content(ZONE, "home");
        let body = vm("a", "n1-standard-4", &settings(GuestRole::Serve, "1", false));
        story.run(&format!("zones/{ZONE}/instances"), body);
        let operation = story.attach("a", "home");
        story.done(&operation);
        let report = story.until("a", |report| report.state == GuestState::Failed);
        assert_eq!(format!("{:?}", report.failure.unwrap()), failure, "{what}");
        assert_eq!(story.world.home_content(ZONE, "home"), before, "{what}");
    }
}

#[test]
fn every_step_of_a_guest_can_fail() {
    let failure = GuestFault::ServeFails(GuestFailure::JupyterFailed);
    for fault in [GuestFault::BootNever, GuestFault::StandbyNever, GuestFault::ServeNever, failure] {
        let mut story = Story::new();
        story.make_disk("home");
        story.world.fail_guest("a*", fault, 1);
        story.make_vm("a");
        let operation = story.attach("a", "home");
        story.done(&operation);
        story.wait_s(300);
        let state = story.report("a").map(|report| report.state);
        assert_eq!(state, (fault == failure).then_some(GuestState::Failed), "{fault:?}");
        assert_eq!(story.world.faults_waiting(), 0);
    }
    let mut story = Story::new();
    story.world.fail_guest("old", GuestFault::ReleaseNever, 1);
    story.make_disk("home");
    story.make_vm("old");
    let operation = story.attach("old", "home");
    story.done(&operation);
    story.until("old", |report| report.state == GuestState::Serving);
    story.tell("old", GuestRole::Release, "2", false);
    story.wait_s(300);
    assert_eq!(story.report("old").unwrap().state, GuestState::Serving, "the last thing it said");
}

#[test]
fn a_disk_grows_under_a_serving_guest() {
    let mut story = serving();
    assert_eq!(story.world.home_content(ZONE, "home").unwrap().filesystem_gb, 100);
    story.run(&format!("zones/{ZONE}/disks/home/resize"), json!({ "sizeGb": "150" }));
    story.wait_s(5);
    assert_eq!(story.world.home_content(ZONE, "home").unwrap().filesystem_gb, 150);
    assert!(story.world.guest(ZONE, "old").unwrap().serving);
    assert_eq!(story.instance("old")["disks"][1]["diskSizeGb"], "150");
}

#[test]
fn a_snapshot_is_what_was_flushed_and_a_stale_copy_is_noticed() {
    let mut story = serving();
    story.wait_s(60);
    let operation = story.post(&format!("zones/{ZONE}/disks/home/createSnapshot"), json!({ "name": "s" }));
    story.done(&operation);
    let body = json!({ "name": "copy", "sourceSnapshot": "global/snapshots/s", "type": super::disk_type("pd-ssd") });
    story.run(&format!("zones/{ZONE}/disks"), body);
    let (home, copy) =
        (story.world.home_content(ZONE, "home").unwrap(), story.world.home_content(ZONE, "copy").unwrap());
    assert_eq!(copy.content_id.as_deref(), Some("c-1"));
    assert!(copy.records > 0 && copy.records < home.records);
    let operation = story.attach("new", "copy");
    story.done(&operation);
    story.until("new", |report| report.state == GuestState::Serving);
    assert!(story.world.left_behind_records() > 0, "what was written since the snapshot is not on the copy");
    let taken = story.send(Method::Get, "global/snapshots/s", None).body;
    assert_eq!((taken["status"].as_str(), taken["diskSizeGb"].as_str()), (Some("READY"), Some("100")));
}

#[test]
fn an_idle_world_has_no_events() {
    let mut story = serving();
    story.wait_s(600);
    assert_eq!(story.world.next_event_at(), None);
    assert_eq!(story.world.in_flight(), 0);
}
