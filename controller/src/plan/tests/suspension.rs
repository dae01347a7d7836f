//! Stories of a notebook that sleeps: suspended because nobody used it, woken, and changed in its sleep.

use rehost_api::notebook::IdleAction;
use rehost_api::shape::HostShape;
use rehost_api::status::{KernelState, Phase, StopReason};

use super::stage::{Denial, Fault, Stage, pod, vm, vm_with_gpu};
use crate::desired::{HomePolicy, Power, WishedIdle};
use crate::gce::model::InstanceStatus;
use crate::plan::plan;

const AFTER_S: i64 = 5400;

macro_rules! told {
    ($stage:expr) => {
        insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($stage.script)
        })
    };
}

/// A notebook that is to be suspended, and has not been used for as long as it takes.
fn unused(shape: HostShape) -> Stage {
    let mut stage = Stage::running(shape);
    stage.wish(|it| it.idle = Some(WishedIdle { after_s: AFTER_S, then: IdleAction::Suspend }));
    stage.seen.activity = Some(stage.used_now());
    stage.play();
    stage.script.clear();
    stage.pass(AFTER_S);
    stage
}

fn asleep(shape: HostShape) -> Stage {
    let mut stage = unused(shape);
    stage.play();
    assert_eq!(stage.status.phase, Some(Phase::Suspended), "{}", stage.script);
    stage.script.clear();
    stage
}

fn wake<'a>(stage: &'a mut Stage, words: &str) -> &'a mut Stage {
    let count = stage.resolution.requests.wake.as_ref().map_or(0, String::len);
    stage.resolution.requests.wake = Some("x".repeat(count + 1));
    stage.say(words).play()
}

fn host(stage: &Stage) -> String {
    stage.status.host.as_ref().unwrap().name.clone()
}

fn kernels(stage: &Stage) -> Option<KernelState> {
    stage.status.kernels.as_ref().map(|kernels| kernels.state)
}

#[test]
fn an_idle_notebook_is_suspended_and_woken() {
    let mut stage = unused(vm("n1-standard-4"));
    let boot = stage.status.host.as_ref().unwrap().boot_id.clone();
    stage.say("an hour and a half without use").play();
    assert_eq!(stage.status.stopped.as_ref().unwrap().reason, StopReason::Idle);
    assert_eq!((stage.status.phase, kernels(&stage)), (Some(Phase::Suspended), Some(KernelState::Kept)));
    wake(&mut stage, "wake");
    let host = stage.status.host.as_ref().unwrap();
    assert_eq!((&host.boot_id, kernels(&stage)), (&boot, None), "the same boot goes on");
    told!(stage);
}

/// The evidence is from before the sleep, and so is the answer of the guest.
#[test]
fn a_wake_is_not_followed_by_a_stale_suspension() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.pass(86_400);
    wake(&mut stage, "a day later");
    assert_eq!(stage.status.phase, Some(Phase::Running), "{}", stage.script);
    assert_eq!(stage.pass(AFTER_S - 60).play().status.phase, Some(Phase::Running));
    assert_eq!(stage.pass(120).play().status.phase, Some(Phase::Suspended), "and nobody has used it since");
}

/// Its report says Serving, and is of this boot, and of before the sleep.
#[test]
fn what_a_resumed_host_said_before_it_slept_proves_nothing() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.faults.push(Fault::Silent);
    wake(&mut stage, "wake, and the guest says nothing any more");
    told!(stage);
    assert_eq!(kernels(&stage), Some(KernelState::Lost));
}

#[test]
fn a_shape_that_cannot_be_suspended_is_stopped_with_words() {
    let mut stage = unused(vm_with_gpu("n1-standard-4", "nvidia-tesla-t4"));
    told!(stage.say("an hour and a half without use").play());
    assert_eq!(kernels(&stage), Some(KernelState::Lost));
}

#[test]
fn what_compute_engine_does_not_suspend_is_stopped_with_its_words() {
    let mut stage = unused(vm("q9-standard-4"));
    stage.faults.push(Fault::Refuse("instances.suspend", Denial::Unsupported));
    stage.say("an hour and a half without use, on a machine that is new to us").play();
    told!(wake(&mut stage, "wake"));
}

#[test]
fn a_suspended_notebook_gets_another_shape_when_it_is_woken() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.say("n1-standard-8: it waits, as for a stopped one").wish_for(vm("n1-standard-8")).play();
    told!(wake(&mut stage, "wake"));
}

#[test]
fn a_suspended_notebook_is_changed_in_place_when_it_is_woken() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.say("n1-standard-8 in place").wish(|it| it.in_place = true).wish_for(vm("n1-standard-8")).play();
    told!(wake(&mut stage, "wake"));
}

#[test]
fn a_suspended_notebook_moves_into_a_pod_when_it_is_woken() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.say("into a pod").wish_for(pod(2000)).play();
    told!(wake(&mut stage, "wake"));
}

#[test]
fn a_suspended_notebook_that_is_declared_stopped_sleeps_on() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.say("state: Stopped, and a larger home").wish(|it| it.home.size_gb = 200).power(Power::Stopped).play();
    told!(stage.say("state: Running").power(Power::Running).play());
}

#[test]
fn no_capacity_to_resume_and_it_is_started_like_a_stopped_one() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.wish(|it| it.host.fallbacks = vec![vm("e2-standard-4")]);
    stage.faults.push(Fault::Refuse("instances.resume", Denial::Stockout));
    stage.faults.push(Fault::Refuse("instances.start", Denial::Stockout));
    told!(wake(&mut stage, "wake, and there is no capacity to resume or to start"));
    assert_eq!(kernels(&stage), Some(KernelState::Lost));
}

#[test]
fn a_hiccup_while_resuming_is_a_new_attempt() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.resume", Denial::Hiccup));
    wake(&mut stage, "wake");
    assert_eq!((stage.status.phase, kernels(&stage)), (Some(Phase::Running), None), "{}", stage.script);
}

/// Compute Engine is not known to stop what is suspended: then the machine goes, and the home stays.
#[test]
fn what_can_neither_be_resumed_nor_stopped_is_deleted_and_made_anew() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.resume", Denial::Stockout));
    stage.faults.push(Fault::Refuse("instances.stop", Denial::Unsupported));
    let disk = stage.disk.as_ref().unwrap().id;
    wake(&mut stage, "wake");
    told!(stage.say("when it is tried again").pass(61).play());
    assert_eq!(stage.disk.as_ref().unwrap().id, disk);
}

#[test]
fn a_suspended_host_that_is_given_up_lets_go_first() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.say("a week later").pass(7 * 86_400).play();
    told!(wake(&mut stage, "wake"));
}

#[test]
fn a_suspended_notebook_is_deleted() {
    let mut stage = asleep(vm("n1-standard-4"));
    told!(stage.say("deleted").delete(HomePolicy::Retain).play());
}

#[test]
fn a_suspended_notebook_that_cannot_be_resumed_is_deleted_as_it_is() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.resume", Denial::Stockout));
    told!(stage.say("deleted").delete(HomePolicy::Retain).play());
}

#[test]
fn memory_that_the_cloud_gave_up_is_said_to_be_lost() {
    let mut stage = asleep(vm("n1-standard-4"));
    stage.wish(|it| it.keep_stopped_s = 90 * 86_400);
    let host = host(&stage);
    stage.instance(&host).status = InstanceStatus::Stopped;
    stage.say("sixty days later").pass(60 * 86_400).play();
    assert_eq!(kernels(&stage), Some(KernelState::Lost));
    told!(wake(&mut stage, "wake"));
}

#[test]
fn a_host_that_somebody_else_resumed_is_suspended_again() {
    let mut stage = asleep(vm("n1-standard-4"));
    let host = host(&stage);
    stage.instance(&host).status = InstanceStatus::Running;
    stage.play();
    assert_eq!((stage.status.phase, kernels(&stage)), (Some(Phase::Suspended), Some(KernelState::Kept)));
}

#[test]
fn a_host_that_somebody_else_suspended_is_resumed() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let host = host(&stage);
    stage.instance(&host).status = InstanceStatus::Suspended;
    told!(stage.say("suspended by hand").play());
}

/// At rest nothing is asked for, and the host is looked at again when its time is over.
#[test]
fn a_suspended_notebook_is_at_rest() {
    let stage = asleep(vm("n1-standard-4"));
    let observed = stage.observed();
    let planned = plan(&stage.resolution, &observed, stage.now);
    assert!(planned.is_quiet(&observed) && !planned.wants_evidence);
    let kept_until = stage.status.stopped.as_ref().unwrap().at + jiff::SignedDuration::from_hours(7 * 24);
    assert_eq!(planned.wake_at, Some(kept_until));
}
