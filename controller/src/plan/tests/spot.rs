//! Stories of machines that Compute Engine takes back or ends.

use rehost_api::shape::{HostShape, Provisioning, VmShape};
use rehost_api::status::{Phase, StopReason};

use super::stage::{Stage, vm};
use crate::gce::model::InstanceStatus;

macro_rules! told {
    ($stage:expr) => {
        insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($stage.script)
        })
    };
}

fn shaped(edit: impl FnOnce(&mut VmShape)) -> HostShape {
    let HostShape::Vm(mut shape) = vm("n1-standard-4") else { unreachable!("it is a VM") };
    edit(&mut shape);
    HostShape::Vm(shape)
}

fn spot() -> HostShape {
    shaped(|shape| shape.provisioning = Provisioning::Spot)
}

/// It is seen on its way down first, and then at rest.
fn taken_back(stage: &mut Stage) {
    let name = stage.status.host.as_ref().unwrap().name.clone();
    stage.instance(&name).status = InstanceStatus::Stopping;
    stage.plan_once();
    stage.plan_once();
    stage.instance(&name).status = InstanceStatus::Stopped;
    stage.pass(30).play();
}

fn wake(stage: &mut Stage) {
    stage.resolution.requests.wake = Some("1".into());
    stage.play();
}

#[test]
fn a_spot_machine_that_was_taken_back_is_started_again() {
    let mut stage = Stage::running(spot());
    stage.say("taken back").pass(600);
    taken_back(&mut stage);
    told!(stage);
    assert_eq!(stage.status.phase, Some(Phase::Running));
}

#[test]
fn a_spot_machine_whose_policy_says_so_stays_stopped_until_it_is_woken() {
    let mut stage = Stage::running(spot());
    stage.wish(|it| it.host.stay_preempted = vec![spot()]);
    stage.say("taken back").pass(600);
    taken_back(&mut stage);
    assert_eq!(stage.status.stopped.as_ref().unwrap().reason, StopReason::Preempted);
    stage.say("woken");
    wake(&mut stage);
    told!(stage);
}

#[test]
fn a_machine_whose_time_is_over_stays_stopped_until_it_is_woken() {
    let mut stage = Stage::running(shaped(|shape| shape.max_run_duration_s = 28_800));
    stage.say("its maxRunDuration is over").pass(28_800);
    taken_back(&mut stage);
    assert_eq!(stage.status.stopped.as_ref().unwrap().reason, StopReason::Lifetime);
    stage.say("woken");
    wake(&mut stage);
    told!(stage);
}

/// Long before its end, so it was somebody else.
#[test]
fn a_machine_that_is_stopped_before_its_end_is_started_again() {
    let mut stage = Stage::running(shaped(|shape| shape.max_run_duration_s = 28_800));
    stage.pass(600);
    taken_back(&mut stage);
    assert_eq!(stage.status.phase, Some(Phase::Running), "{}", stage.script);
}
