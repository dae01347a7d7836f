//! One story for every row of the product's table of changes that works now.

use rehost_api::status::StopReason;

use super::stage::{Stage, pod, vm, vm_with_gpu};
use crate::desired::{HomePolicy, Power, When};
use crate::gce::model::InstanceStatus;

/// Tells the story so far into its golden file.
macro_rules! told {
    ($stage:expr) => {
        insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($stage.script)
        })
    };
}

#[test]
fn a_vm_is_made_around_its_home() {
    told!(Stage::new(vm("n1-standard-4")).say("created").play());
}

#[test]
fn a_pod_is_made_around_its_home() {
    told!(Stage::new(pod(2000)).say("created").play());
}

#[test]
fn a_larger_vm_by_handover() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("machineType n1-standard-8").wish_for(vm("n1-standard-8")).play();
    told!(stage.say("after keepOld").pass(1000).play());
}

#[test]
fn a_gpu_by_handover() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    told!(stage.say("a T4").wish_for(vm_with_gpu("n1-standard-4", "nvidia-tesla-t4")).play());
}

#[test]
fn a_gpu_in_place_and_away_again() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("a T4").wish(|it| it.in_place = true).wish_for(vm_with_gpu("n1-standard-8", "nvidia-tesla-t4")).play();
    told!(stage.say("without").wish_for(vm("n1-standard-4")).play());
}

#[test]
fn in_place_between_families_that_do_not_mix_is_a_handover() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    told!(stage.say("c3").wish(|it| it.in_place = true).wish_for(vm("c3-standard-4")).play());
}

#[test]
fn from_a_vm_into_a_pod_and_back() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("into a pod").wish_for(pod(2000)).play();
    told!(stage.say("and back").pass(2000).wish_for(vm("n1-standard-4")).play());
}

#[test]
fn from_a_pod_to_a_pod() {
    let mut stage = Stage::running(pod(2000));
    let rehost_api::shape::HostShape::Pod(mut other) = pod(2000) else { unreachable!("it is a pod") };
    other.image = "jupyter:2".into();
    told!(stage.say("another image").wish_for(rehost_api::shape::HostShape::Pod(other)).play());
}

#[test]
fn cpu_is_raised_in_the_running_pod() {
    told!(Stage::running(pod(2000)).say("4 cpu").wish_for(pod(4000)).play());
}

#[test]
fn a_home_grows_under_a_vm() {
    told!(Stage::running(vm("n1-standard-4")).say("200Gi").wish(|it| it.home.size_gb = 200).play());
}

#[test]
fn a_home_grows_under_a_pod() {
    told!(Stage::running(pod(2000)).say("200Gi").wish(|it| it.home.size_gb = 200).play());
}

#[test]
fn a_vm_is_stopped_and_started() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("Stopped").power(Power::Stopped).play();
    told!(stage.say("Running").power(Power::Running).play());
}

#[test]
fn a_pod_is_stopped_and_started() {
    let mut stage = Stage::running(pod(2000));
    stage.say("Stopped").power(Power::Stopped).play();
    told!(stage.say("Running").power(Power::Running).play());
}

#[test]
fn a_stopped_vm_starts_in_another_shape() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.power(Power::Stopped).play();
    stage.script.clear();
    told!(stage.say("Running, n1-standard-8").power(Power::Running).wish_for(vm("n1-standard-8")).play());
}

#[test]
fn a_stopped_vm_gives_way_to_its_disk_after_its_time() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.power(Power::Stopped).play();
    stage.script.clear();
    stage.say("a week later").pass(8 * 86_400).play();
    told!(stage.say("Running").power(Power::Running).play());
}

#[test]
fn the_annotations_stop_wake_and_restart() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    {
        stage.resolution.requests.stop = Some("1".into());
        stage.say("stop").play()
    };
    assert_eq!(stage.status.stopped.as_ref().unwrap().reason, StopReason::Asked);
    {
        stage.resolution.requests.wake = Some("1".into());
        stage.say("wake").play()
    };
    told!({
        stage.resolution.requests.restart = Some("1".into());
        stage.say("restart").play()
    });
}

#[test]
fn a_change_waits_for_the_next_stop() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("n1-standard-8, NextStop").wish(|it| it.when = When::NextStop).wish_for(vm("n1-standard-8")).play();
    stage.say("Stopped").power(Power::Stopped).play();
    told!(stage.say("Running").power(Power::Running).play());
}

#[test]
fn a_notebook_is_deleted_and_its_disk_kept() {
    told!(Stage::running(vm("n1-standard-4")).say("deleted").delete(HomePolicy::Retain).play());
}

#[test]
fn a_notebook_is_deleted_with_its_disk() {
    told!(Stage::running(vm("n1-standard-4")).say("deleted").delete(HomePolicy::Delete).play());
}

#[test]
fn a_notebook_in_a_pod_is_deleted_and_its_disk_kept() {
    told!(Stage::running(pod(2000)).say("deleted").delete(HomePolicy::Retain).play());
}

#[test]
fn a_vm_that_somebody_stopped_is_started_again() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let name = stage.status.host.clone().unwrap().name;
    stage.instance(&name).status = InstanceStatus::Stopped;
    told!(stage.say("stopped behind our back").pass(60).play());
}

#[test]
fn a_vm_that_somebody_deleted_is_made_again_around_its_home() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.instances.clear();
    stage.disk.as_mut().unwrap().users.clear();
    told!(stage.say("deleted behind our back").play());
}

#[test]
fn a_vm_that_somebody_changed_is_put_right() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let name = stage.status.host.clone().unwrap().name;
    stage.instance(&name).machine_type = "n1-standard-2".into();
    told!(stage.say("changed behind our back").play());
}

#[test]
fn a_lost_status_is_made_again_from_labels() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let (disk, host) = (stage.disk.clone().unwrap(), stage.status.host.clone().unwrap());
    stage.status = rehost_api::NotebookStatus::default();
    stage.say("status lost").play();
    assert_eq!(stage.status.home.as_ref().unwrap().id, Some(disk.id.to_string()));
    assert_eq!(stage.status.host.as_ref().unwrap().name, host.name);
    told!(stage);
}
