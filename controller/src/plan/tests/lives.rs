//! What simulated lives have shown, each as the smallest story in which it shows.

use rehost_api::conditions::Reason;
use rehost_api::status::Step;

use super::stage::{Stage, pod, vm};
use crate::desired::{Power, Refusal};
use crate::gce::model::InstanceStatus;
use crate::plan::{Action, Situation, plan};
use crate::seen::Seen;

/// Plans until the change under way has come to that step.
fn play_to(stage: &mut Stage, step: Step) {
    for _ in 0..100 {
        if stage.status.transition.as_ref().is_some_and(|transition| transition.step == step) {
            return;
        }
        stage.plan_once();
        stage.settle();
    }
    panic!("the change does not come to {step:?}:\n{}", stage.script);
}

/// The placeholder that kept a pod's place until the VM served is a host like any other: it goes before the next one is made.
#[test]
fn a_vm_that_is_left_as_soon_as_it_serves_waits_for_the_placeholder() {
    let mut stage = Stage::running(pod(2000));
    stage.wish_for(vm("n1-standard-4"));
    play_to(&mut stage, Step::Prove);
    stage.wish_for(vm("n1-standard-8"));
    for _ in 0..40 {
        let (planned, _) = stage.plan_once();
        let makes = planned
            .actions
            .iter()
            .any(|action| matches!(action, Action::Cloud { mutation, .. } if mutation.verb() == "instances.insert"));
        assert!(!makes || stage.observed().pods.present().is_some_and(Vec::is_empty), "{}", stage.script);
        stage.settle();
    }
    stage.play();
    assert_eq!(stage.status.host.as_ref().unwrap().shape, "n1-standard-8", "{}", stage.script);
}

/// A home that somebody let grow in the cloud is as large as it is, and status says so.
#[test]
fn a_home_that_somebody_let_grow_is_on_record_as_it_is() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let wished_gb = stage.status.home.as_ref().unwrap().size_gb;
    stage.disk.as_mut().unwrap().size_gb += 50;
    let (planned, _) = stage.plan_once();
    assert_eq!(stage.status.home.as_ref().unwrap().size_gb, wished_gb + 50);
    let refused = matches!(&planned.situation, Situation::Refused(refusal) if refusal.reason == Reason::HomeShrink);
    assert!(refused, "a home does not shrink, whoever let it grow: {:?}", planned.situation);
}

/// While a wish is refused nothing is begun, but what somebody else has stopped is not said to serve.
#[test]
fn a_host_that_somebody_stops_while_the_wish_is_refused_serves_no_more() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let message = "'n1-standard-5' is no machine type of zone us-central1-a".into();
    let (reason, field) = (Reason::UnknownMachineType, "spec.host.vm.machineType".into());
    stage.resolution.wish = Err(Refusal { reason, field, message });
    stage.play();
    assert!(stage.status.host.as_ref().unwrap().serving_since.is_some(), "a refusal stops nothing");
    let name = stage.status.host.clone().unwrap().name;
    stage.instance(&name).status = InstanceStatus::Stopped;
    stage.play();
    assert_eq!(stage.status.host.as_ref().unwrap().serving_since, None);
    let serving = stage.status.conditions.iter().find(|condition| condition.type_ == "Serving").unwrap();
    assert_eq!((serving.status.as_str(), serving.reason.as_str()), ("False", "UnknownMachineType"));
    // And started again by somebody else, it serves as before; the wish is still refused.
    stage.instance(&name).status = InstanceStatus::Running;
    stage.reports.get_mut(&name).unwrap().boot_id = "the next".into();
    stage.play();
    assert!(stage.status.host.as_ref().unwrap().serving_since.is_some(), "{}", stage.script);
    let ready = stage.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "UnknownMachineType"));
}

/// A wish for a smaller home is refused like any other: who wants the notebook stopped gets it stopped, and what somebody else has
/// stopped is not said to serve.
#[test]
fn a_host_is_known_for_what_it_is_while_a_smaller_home_is_wished_for() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.home.size_gb -= 10).play();
    assert!(stage.status.host.as_ref().unwrap().serving_since.is_some(), "a refusal stops nothing");
    let name = stage.status.host.clone().unwrap().name;
    stage.instance(&name).status = InstanceStatus::Stopped;
    stage.play();
    assert_eq!(stage.status.host.as_ref().unwrap().serving_since, None, "{}", stage.script);

    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.home.size_gb -= 10).power(Power::Stopped).play();
    let status = stage.instance(&name).status.clone();
    assert_eq!(status, InstanceStatus::Stopped, "{}", stage.script);
}

/// Somebody lets a home grow while the wish is refused for something else: status says how large it is.
#[test]
fn a_home_that_grew_while_the_wish_is_refused_is_on_record() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let wished_gb = stage.status.home.as_ref().unwrap().size_gb;
    let (reason, field) = (Reason::NotAllowedByClass, "spec.host.vm.machineType".into());
    stage.resolution.wish = Err(Refusal { reason, field, message: "it is not allowed".into() });
    stage.disk.as_mut().unwrap().size_gb += 50;
    stage.play();
    assert_eq!(stage.status.home.as_ref().unwrap().size_gb, wished_gb + 50);
}

/// Somebody detaches the home while the wish is refused: the machine runs, and serves nobody.
#[test]
fn a_vm_without_its_home_serves_nobody_while_the_wish_is_refused() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.home.size_gb -= 10).play();
    let name = stage.status.host.clone().unwrap().name;
    stage.instance(&name).disks.retain(|disk| disk.boot);
    stage.play();
    assert_eq!(stage.status.host.as_ref().unwrap().serving_since, None, "{}", stage.script);
}

/// The list of pods failed in the very look in which the next handover was to begin: a placeholder was still there, and a third host
/// was made beside it.
#[test]
fn no_handover_begins_while_it_is_not_known_what_pods_there_are() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish_for(vm("n1-standard-8"));
    let mut observed = stage.observed();
    observed.pods = Seen::Unknown("too many requests".into());
    let planned = plan(&stage.resolution, &observed, stage.now);
    assert!(planned.memory.transition.is_none() && planned.wake_at.is_some(), "{planned:?}");
    stage.play();
    assert_eq!(stage.status.host.as_ref().unwrap().shape, "n1-standard-8");
}
