//! Bugs that other controllers had, each by the name under which its users reported it. Here they cannot happen.

use rehost_api::conditions::Reason;
use rehost_api::notebook::IdleAction;
use rehost_api::status::{Phase, StopReason};

use super::stage::{Crash, Denial, Fault, Stage, pod, vm};
use crate::desired::{HomePolicy, Power, Refusal, WishedIdle};
use crate::gce::model::InstanceStatus;
use crate::gce::mutation::Mutation;
use crate::plan::action::{Action, KubeChange};
use crate::plan::{Plan, plan};

fn mutations(planned: &Plan) -> Vec<&Mutation> {
    let mut all = Vec::new();
    for action in &planned.actions {
        match action {
            Action::Cloud { mutation, .. } => all.push(mutation),
            Action::Kube(_) => {}
        }
    }
    all
}

fn planned(stage: &Stage) -> Plan {
    plan(&stage.resolution, &stage.observed(), stage.now)
}

/// Steps until the condition holds.
fn until(stage: &mut Stage, holds: impl Fn(&Stage) -> bool) {
    for _ in 0..200 {
        if holds(stage) {
            return;
        }
        stage.step();
    }
    panic!("it does not come about:\n{}", stage.script);
}

fn vm_of(stage: &Stage) -> String {
    stage.status.host.as_ref().expect("it has a host").name.clone()
}

/// karpenter-provider-gcp 242 and 243: deletes again and again, a 403, and the finalizer was dropped while the VM still ran.
#[test]
fn the_finalizer_stays_until_the_vm_is_truly_gone() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let host = vm_of(&stage);
    stage.faults.push(Fault::Refuse("instances.delete", Denial::Forbidden));
    stage.delete(HomePolicy::Retain);
    for _ in 0..20 {
        stage.step();
        assert!(stage.resolution.finalizer || !stage.instances.contains_key(&host), "{}", stage.script);
    }
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.delete(HomePolicy::Retain);
    stage.step();
    let host = vm_of(&stage);
    stage.instance(&host).status = InstanceStatus::Stopping;
    for _ in 0..5 {
        let planned = planned(&stage);
        let ends = planned.actions.contains(&Action::Kube(KubeChange::RemoveFinalizer));
        let deletes = mutations(&planned).iter().any(|it| matches!(it, Mutation::DeleteInstance { .. }));
        assert!(!ends && !deletes, "a machine that is stopping is waited for: {planned:?}");
        stage.pass(10);
    }
}

/// karpenter-provider-gcp 334: the quota was used up, nothing was launched, and the finalizer was stuck on an empty id.
#[test]
fn what_was_never_launched_can_be_deleted() {
    for verb in ["instances.insert", "disks.insert"] {
        let mut stage = Stage::new(vm("n1-standard-4"));
        stage.faults.extend([Fault::Refuse(verb, Denial::Quota); 3]);
        stage.play();
        stage.delete(HomePolicy::Delete).play();
        assert!(stage.is_gone() && stage.instances.is_empty() && stage.disk.is_none(), "{verb}:\n{}", stage.script);
    }
}

/// machine-controller 581 (the finalizer came after the create) and cluster-api-provider-cloudstack 191 (deleted before the id was
/// saved): both leaked.
#[test]
fn whenever_it_is_deleted_nothing_of_it_is_left() {
    for shape in [vm("n1-standard-4"), pod(2000)] {
        for at in 0..60 {
            let mut stage = Stage::new(shape.clone());
            (0..at).for_each(|_| {
                stage.step();
                let made = !stage.instances.is_empty() || stage.disk.is_some() || !stage.pods.is_empty();
                assert!(
                    stage.resolution.finalizer || !made,
                    "something is made before the finalizer: {}",
                    stage.script
                );
            });
            // The process that ordered the last thing ends before it has stored anything.
            stage.crash(Crash::BeforeStoring);
            stage.delete(HomePolicy::Delete);
            if stage.resolution.finalizer {
                stage.play();
            }
            let left = stage.instances.len() + stage.pods.len() + usize::from(stage.disk.is_some());
            assert_eq!(left, 0, "deleted after {at} plans:\n{}", stage.script);
        }
    }
}

/// cluster-api-provider-gcp 1647: that it was not found on delete was not taken as success.
#[test]
fn what_somebody_else_deleted_is_deleted() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.delete(HomePolicy::Delete);
    until(&mut stage, |stage| !mutations(&planned(stage)).is_empty());
    stage.instances.clear();
    stage.disk = None;
    stage
        .faults
        .extend([Fault::Refuse("instances.delete", Denial::NotFound), Fault::Refuse("disks.delete", Denial::NotFound)]);
    stage.play();
    assert!(stage.is_gone(), "{}", stage.script);
}

/// k0smotron 1535: a cache that lagged and names made by chance gave six machines for one replica.
#[test]
fn a_cache_that_lags_orders_the_same_thing_again_and_not_another() {
    let mut stage = Stage::new(vm("n1-standard-4"));
    for _ in 0..60 {
        let stale = stage.observed();
        let first = plan(&stage.resolution, &stale, stage.now);
        let again = plan(&stage.resolution, &stale, stage.now + jiff::SignedDuration::from_secs(1));
        assert_eq!(first.actions, again.actions, "the same names and the same request ids");
        stage.step();
    }
    assert_eq!(stage.instances.len(), 1);
}

/// crossplane-runtime 340: a restart in the middle of a create left it stuck for ever.
#[test]
fn a_restart_in_the_middle_of_a_create_goes_on_with_it() {
    for shape in [vm("n1-standard-4"), pod(2000)] {
        for at in 0..60 {
            for crash in [Crash::BeforeActing, Crash::BeforeStoring] {
                let mut stage = Stage::new(shape.clone());
                (0..at).for_each(|_| {
                    stage.step();
                });
                stage.crash(crash);
                stage.play();
                assert_eq!(stage.status.phase, Some(Phase::Running), "{crash:?} at {at}:\n{}", stage.script);
                assert_eq!(stage.instances.len() + stage.pods.len(), 1);
            }
        }
    }
}

/// ACK 2102 and Teleport 37655: deleted what it had never owned.
#[test]
fn what_carries_another_owners_labels_is_never_touched() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let host = vm_of(&stage);
    let uid = rehost_api::labels::GCE_UID;
    stage.instance(&host).labels.insert(uid.to_owned(), "somebody-else".to_owned());
    stage.disk.as_mut().unwrap().labels.insert(uid.to_owned(), "somebody-else".to_owned());
    for edit in 0..3 {
        match edit {
            0 => stage.wish_for(vm("n1-standard-8")),
            1 => stage.power(Power::Stopped),
            _ => stage.delete(HomePolicy::Delete),
        };
        for _ in 0..20 {
            let planned = planned(&stage);
            let touched =
                mutations(&planned).iter().any(|it| it.target() == host || matches!(it, Mutation::DeleteDisk { .. }));
            assert!(!touched, "{planned:?}");
            stage.step();
        }
    }
}

/// Config Connector 375: what the object refers to was deleted first, and the finalizers hung.
#[test]
fn a_notebook_whose_class_is_gone_is_deleted_from_what_status_recorded() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.resolution.wish = Err(Refusal {
        reason: Reason::ClassNotFound,
        field: "spec.class".into(),
        message: "there is no class 'default'".into(),
    });
    stage.delete(HomePolicy::Delete).play();
    assert!(stage.is_gone() && stage.instances.is_empty() && stage.disk.is_none(), "{}", stage.script);
}

/// Cluster API 5483: deleted in the gap between a thing's making and the reference to its owner.
#[test]
fn nothing_is_made_any_more_once_it_is_deleted() {
    for shape in [vm("n1-standard-4"), pod(2000)] {
        for at in 0..60 {
            let mut stage = Stage::new(shape.clone());
            (0..at).for_each(|_| {
                stage.step();
            });
            stage.delete(HomePolicy::Retain);
            while !stage.is_gone() && stage.resolution.finalizer {
                let planned = planned(&stage);
                let makes = planned.actions.iter().any(|action| match action {
                    Action::Cloud { mutation, .. } => {
                        matches!(mutation, Mutation::InsertDisk { .. } | Mutation::InsertInstance { .. })
                    }
                    Action::Kube(change) => matches!(change, KubeChange::CreatePod(_) | KubeChange::ApplySettings(_)),
                });
                assert!(!makes, "deleted after {at} plans: {planned:?}");
                stage.step();
            }
        }
    }
}

/// Kubeflow 6648: the last activity was from before a restart, and the notebook was culled again right after it.
#[test]
fn activity_from_before_a_wake_stops_nothing() {
    let after_s = 5400;
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.idle = Some(WishedIdle { after_s, then: IdleAction::Stop }));
    stage.seen.activity = Some(stage.used_now());
    stage.pass(after_s).play();
    assert_eq!(stage.status.stopped.as_ref().map(|stopped| stopped.reason), Some(StopReason::Idle));
    stage.resolution.requests.wake = Some("1".into());
    stage.play();
    stage.pass(after_s - 60).play();
    assert_eq!(stage.status.phase, Some(Phase::Running), "{}", stage.script);
}

/// Config Connector's compute instance: stop, set, and the start failed; the next look saw no difference, and the VM stayed stopped
/// for ever.
#[test]
fn a_start_that_failed_after_a_change_in_place_is_made_up_for() {
    for denial in [Denial::Stockout, Denial::Hiccup, Denial::Forbidden] {
        for times in 1..4 {
            let mut stage = Stage::running(vm("n1-standard-4"));
            stage.faults.extend(vec![Fault::Refuse("instances.start", denial); times]);
            stage.wish(|it| it.in_place = true).wish_for(vm("n1-standard-8"));
            for _ in 0..10 {
                stage.play();
                let retry = stage.status.retry.as_ref().and_then(|retry| retry.next_try);
                let serves = stage.status.host.as_ref().is_some_and(|host| host.serving_since.is_some());
                assert!(
                    serves || retry.is_some(),
                    "{denial:?} {times}: nothing serves, nothing is tried\n{}",
                    stage.script
                );
                stage.pass(1000);
            }
            stage.power(Power::Stopped).play();
            stage.power(Power::Running).play();
            let host = stage.status.host.as_ref().unwrap();
            let serves = (host.shape.as_str(), host.serving_since.is_some());
            assert_eq!(serves, ("n1-standard-8", true), "{denial:?} {times}:\n{}", stage.script);
        }
    }
}
