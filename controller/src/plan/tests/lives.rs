//! What simulated lives have shown, each as the smallest story in which it shows.

use rehost_api::conditions::Reason;
use rehost_api::status::Step;

use super::stage::{Stage, pod, vm};
use crate::plan::{Action, Situation};

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
