//! Stories in which something fails: nothing is lost, and what happens next is said.

use rehost_api::conditions::Reason;
use rehost_api::guest::GuestFailure;

use super::stage::{Denial, Fault, Stage, pod, vm, vm_with_gpu};
use crate::desired::{HomePolicy, Power, Refusal};

macro_rules! told {
    ($stage:expr) => {
        insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($stage.script)
        })
    };
}

#[test]
fn no_capacity_for_the_new_host_and_the_old_one_serves_on() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Stockout));
    stage.say("a T4, which is out of stock").wish_for(vm_with_gpu("n1-standard-4", "nvidia-tesla-t4")).play();
    told!(stage.say("when it is tried again").pass(61).play());
}

#[test]
fn no_capacity_and_a_fallback() {
    let mut stage = Stage::new(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Stockout));
    stage.say("created, with a fallback").wish(|it| it.host.fallbacks = vec![vm("e2-standard-4")]).play();
    stage.say("stopped").power(Power::Stopped).play();
    told!(stage.say("started: back to the wished host").power(Power::Running).play());
}

#[test]
fn no_capacity_after_a_stop_in_place_and_the_last_shape_returns() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.start", Denial::Stockout));
    stage.say("n1-standard-8 in place").wish(|it| it.in_place = true).wish_for(vm("n1-standard-8")).play();
    told!(stage.say("when it is tried again").pass(61).play());
}

#[test]
fn a_quota_for_one_host_only() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Quota));
    told!(stage.say("n1-standard-8").wish_for(vm("n1-standard-8")).play());
}

#[test]
fn a_new_host_that_fails_gives_the_home_back() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Guest(GuestFailure::JupyterFailed));
    told!(stage.say("n1-standard-8, whose Jupyter does not start").wish_for(vm("n1-standard-8")).play());
}

#[test]
fn a_pod_that_gave_the_home_away_gets_it_back() {
    let mut stage = Stage::running(pod(2000));
    stage.faults.push(Fault::Guest(GuestFailure::JupyterFailed));
    told!(stage.say("into a VM, whose Jupyter does not start").wish_for(vm("n1-standard-8")).play());
}

#[test]
fn a_host_that_does_not_let_go_is_stopped() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Deaf);
    told!(stage.say("n1-standard-8, and the old guest hangs").wish_for(vm("n1-standard-8")).play());
}

#[test]
fn a_hiccup_is_a_new_attempt() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.attachDisk", Denial::Hiccup));
    told!(stage.say("n1-standard-8, and the attach fails once").wish_for(vm("n1-standard-8")).play());
}

#[test]
fn a_missing_permission_is_for_a_person() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Forbidden));
    told!(stage.say("n1-standard-8").wish_for(vm("n1-standard-8")).play());
}

#[test]
fn a_live_resize_that_the_node_cannot_give_becomes_a_move() {
    let mut stage = Stage::running(pod(2000));
    stage.faults.push(Fault::ResizeInfeasible);
    told!(stage.say("64 cpu").wish_for(pod(64_000)).play());
}

#[test]
fn a_pod_that_finds_no_node_costs_nothing() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Unschedulable);
    told!(stage.say("into a pod, and the cluster is full").wish_for(pod(2000)).play());
}

#[test]
fn a_home_that_is_gone_is_never_replaced() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.instances.clear();
    stage.disk = None;
    told!(stage.say("VM and disk deleted behind our back").play());
}

#[test]
fn a_home_never_shrinks() {
    told!(Stage::running(vm("n1-standard-4")).say("50Gi").wish(|it| it.home.size_gb = 50).play());
}

#[test]
fn a_disk_that_cannot_be_deleted_yet_keeps_the_notebook() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("disks.delete", Denial::InUse));
    told!(stage.say("deleted").delete(HomePolicy::Delete).play());
}

#[test]
fn what_is_not_known_of_the_cloud_is_asked_again() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let message = "whether us-central1-a has it is not known at the moment".to_owned();
    let refusal = Refusal { reason: Reason::CloudUnknown, field: "spec.host.vm.machineType".into(), message };
    stage.resolution.wish = Err(refusal);
    let (plan, _) = stage.plan_once();
    assert!(plan.wake_at.is_some_and(|at| at.duration_since(stage.now).as_secs() <= 10));
}

#[test]
fn a_refused_wish_touches_nothing_and_can_still_be_stopped() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let refusal = Refusal {
        reason: Reason::UnknownMachineType,
        field: "spec.host.vm.machineType".into(),
        message: "'n1-standard-5' is not a machine type of us-central1-a".into(),
    };
    let wish = std::mem::replace(&mut stage.resolution.wish, Err(refusal));
    stage.say("n1-standard-5").play();
    stage.say("Stopped").power(Power::Stopped).play();
    stage.resolution.wish = wish;
    told!(stage.say("n1-standard-4, Running").power(Power::Running).play());
}

/// The disk was changed while the notebook was stopped: it is not started over and over.
#[test]
fn a_vm_that_refuses_its_disk_waits_for_a_person() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.say("Stopped").power(Power::Stopped).play();
    stage.faults.push(Fault::Guest(GuestFailure::ContentMismatch));
    stage.say("Running, and the disk carries other content").power(Power::Running).play();
    told!(stage.say("Stopped").power(Power::Stopped).play());
}

#[test]
fn a_pod_whose_check_refuses_the_disk_is_given_up() {
    let mut stage = Stage::new(pod(2000));
    stage.faults.push(Fault::Check(GuestFailure::ContentMismatch));
    told!(stage.say("created, and the disk carries other content").play());
}

#[test]
fn a_pod_whose_check_refuses_the_disk_gives_it_back() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.faults.push(Fault::Check(GuestFailure::ContentMismatch));
    told!(stage.say("into a pod, which finds other content").wish_for(pod(2000)).play());
}

/// Neither host serves: nothing is tried over and over, and status says what a person must look at.
#[test]
fn a_pod_whose_check_refuses_the_home_that_came_back_waits_for_a_person() {
    let mut stage = Stage::running(pod(2000));
    stage.faults = vec![Fault::Guest(GuestFailure::JupyterFailed), Fault::Check(GuestFailure::ContentMismatch)];
    told!(stage.say("into a VM that fails, and back into a pod that refuses").wish_for(vm("n1-standard-8")).play());
}
