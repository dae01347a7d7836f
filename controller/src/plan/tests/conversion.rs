//! The home on another disk: of another type, in another zone.

use super::stage::{Denial, Fault, Stage, pod, vm};
use crate::desired::{HomePolicy, Power, When};
use rehost_api::guest::GuestFailure;

/// Tells the story so far into its golden file.
macro_rules! told {
    ($stage:expr) => {
        insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($stage.script)
        })
    };
}

/// Only disks that are wanted are left, and no snapshot.
fn left(stage: &Stage) -> Vec<String> {
    let others = stage.others.values().filter_map(|other| other.disk.as_ref());
    let disks = stage.disk.iter().chain(others);
    disks.map(|disk| format!("{} {} {}", disk.zone, disk.disk_type, disk.labels["rehost-role"])).collect()
}

/// Plans until that is so.
fn until(stage: &mut Stage, so: impl Fn(&Stage) -> bool) {
    for _ in 0..100 {
        if so(stage) {
            return;
        }
        stage.plan_once();
        stage.settle();
    }
    panic!("that does not come about:\n{}", stage.script);
}

#[test]
fn a_family_that_takes_another_disk_type() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("c4-standard-4").wish(|it| it.home.disk_type = "hyperdisk-balanced".into());
    stage.wish_for(vm("c4-standard-4")).play();
    assert_eq!(left(&stage), ["us-central1-a pd-balanced former", "us-central1-a hyperdisk-balanced home"]);
    stage.say("after keepOld").pass(1000).play();
    assert_eq!(left(&stage), ["us-central1-a hyperdisk-balanced home"]);
    assert!(stage.snapshots.is_empty() && stage.status.former_home.is_none());
    told!(stage);
}

#[test]
fn a_home_moves_to_another_zone() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("zones: [us-east1-b]").wish(|it| it.home.zone = "us-east1-b".into()).play();
    stage.say("after keepOld").pass(1000).play();
    assert_eq!(left(&stage), ["us-east1-b pd-balanced home"]);
    told!(stage);
}

#[test]
fn a_home_is_converted_between_pods() {
    let mut stage = Stage::running(pod(2000));
    stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into()).play();
    stage.say("after keepOld").pass(1000).play();
    assert_eq!(left(&stage), ["us-central1-a pd-ssd home"]);
    told!(stage);
}

#[test]
fn a_stopped_notebook_is_converted_when_it_is_started() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.power(Power::Stopped).play();
    stage.say("stopped; type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into()).play();
    assert_eq!(stage.status.pending.as_deref(), Some("home pd-balanced -> pd-ssd, waits for the next start"));
    told!(stage.say("Running").power(Power::Running).play());
}

#[test]
fn a_notebook_without_a_host_is_converted_when_it_is_started() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.keep_stopped_s = 60).power(Power::Stopped).play();
    stage.pass(100).play();
    stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into()).play();
    stage.say("Running").power(Power::Running).play();
    assert_eq!(left(&stage), ["us-central1-a pd-balanced former", "us-central1-a pd-ssd home"]);
    told!(stage);
}

#[test]
fn a_conversion_waits_for_the_next_stop() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.when = When::NextStop);
    told!(stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into()).play());
}

#[test]
fn a_conversion_waits_until_nobody_uses_the_notebook() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.when = When::Idle { after_s: 600 });
    stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into()).play();
    assert!(stage.others.is_empty() && stage.status.pending.as_deref().is_some_and(|words| words.contains("pd-ssd")));
    told!(stage);
}

#[test]
fn a_copy_that_no_host_can_serve_is_removed_and_the_home_goes_back() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Guest(GuestFailure::JupyterFailed));
    stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into()).play();
    assert_eq!(left(&stage), ["us-central1-a pd-balanced home"]);
    assert!(stage.snapshots.is_empty());
    told!(stage);
}

#[test]
fn a_disk_that_cannot_be_made_costs_a_pause() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("disks.insert", Denial::Quota));
    stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into()).play();
    assert_eq!(left(&stage), ["us-central1-a pd-balanced home"]);
    told!(stage);
}

#[test]
fn no_more_snapshots_in_this_hour_are_waited_for_before_anything_is_interrupted() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("disks.createSnapshot", Denial::TooOften));
    told!(stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into()).play());
}

#[test]
fn no_more_snapshots_after_the_host_has_let_go_give_the_home_back_for_an_hour() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into());
    until(&mut stage, |stage| !stage.snapshots.is_empty());
    stage.faults.push(Fault::Refuse("disks.createSnapshot", Denial::TooOften));
    stage.play();
    let began = stage.status.retry.as_ref().unwrap();
    assert!(began.next_try.unwrap().duration_since(stage.now).as_secs() > 3500);
    stage.say("an hour later").pass(3600).play();
    told!(stage);
}

#[test]
fn another_wish_ends_a_copy_before_the_host_is_interrupted() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into());
    until(&mut stage, |stage| !stage.snapshots.is_empty());
    stage.say("and back").wish(|it| it.home.disk_type = "pd-balanced".into()).play();
    assert!(stage.snapshots.is_empty() && stage.others.is_empty());
    told!(stage);
}

#[test]
fn a_notebook_deleted_in_the_middle_of_a_copy_keeps_its_proven_home() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into());
    until(&mut stage, |stage| !stage.others.is_empty());
    stage.say("deleted").delete(HomePolicy::Retain).play();
    assert_eq!(left(&stage), ["us-central1-a pd-balanced kept"]);
    assert!(stage.snapshots.is_empty());
    told!(stage);
}

#[test]
fn a_notebook_deleted_after_a_copy_keeps_the_new_home() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("type: pd-ssd").wish(|it| it.home.disk_type = "pd-ssd".into()).play();
    stage.say("deleted").delete(HomePolicy::Retain).play();
    assert_eq!(left(&stage), ["us-central1-a pd-ssd kept"]);
    told!(stage);
}

#[test]
fn another_copy_waits_until_the_disk_before_is_gone() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.home.disk_type = "pd-ssd".into()).play();
    stage.script.clear();
    stage.say("and back").wish(|it| it.home.disk_type = "pd-balanced".into()).play();
    told!(stage);
}

#[test]
fn a_status_lost_in_the_middle_of_a_copy_finds_the_proven_home() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.home.disk_type = "pd-ssd".into());
    until(&mut stage, |stage| !stage.others.is_empty());
    let proven = stage.disk.as_ref().unwrap().name.clone();
    stage.status = rehost_api::status::NotebookStatus::default();
    stage.plan_once();
    assert_eq!(stage.status.home.as_ref().unwrap().disk, proven);
}
