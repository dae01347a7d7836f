//! What a serving host says: idleness is decided from it, and what it offers follows the spec.

use rehost_api::guest::{GuestActivity, GuestBucket, GuestBucketSeen, GuestSource, GuestSourceSeen};
use rehost_api::notebook::IdleAction;
use rehost_api::status::{Phase, StopReason};

use super::stage::{Stage, pod, vm};
use crate::desired::{Power, WishedIdle};
use crate::plan::plan;

const AFTER_S: i64 = 5400;

fn activity(stage: &Stage) -> GuestActivity {
    GuestActivity {
        last_activity: stage.now,
        kernels: 1,
        busy_kernels: 0,
        connections: 0,
        terminals: 0,
        busy_terminals: 0,
    }
}

/// A notebook on a VM that is stopped after an hour and a half without use, and was used just now.
fn used() -> Stage {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.idle = Some(WishedIdle { after_s: AFTER_S, then: IdleAction::Stop }));
    stage.seen.activity = Some(activity(&stage));
    stage.play();
    stage.script.clear();
    stage
}

fn is_stopped(stage: &Stage) -> bool {
    stage.status.phase == Some(Phase::Stopped)
}

#[test]
fn an_idle_notebook_is_stopped_and_woken() {
    let mut stage = used();
    stage.say("an hour later").pass(3600).play();
    stage.say("and half an hour").pass(1800).play();
    assert_eq!(stage.status.stopped.as_ref().unwrap().reason, StopReason::Idle);
    stage.resolution.requests.wake = Some("1".into());
    stage.say("wake").play();
    insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(stage.script);
    });
}

#[test]
fn what_works_or_is_not_known_is_not_idle() {
    type Edit = fn(&mut GuestActivity);
    let edits: [Edit; 2] = [|it| it.busy_kernels = 1, |it| it.busy_terminals = 1];
    for edit in edits {
        let mut stage = used();
        edit(stage.seen.activity.as_mut().unwrap());
        assert!(!is_stopped(stage.pass(10 * AFTER_S).play()), "something works");
    }
    let mut stage = used();
    stage.seen.activity = None;
    assert!(!is_stopped(stage.pass(10 * AFTER_S).play()), "nothing is known");
    let activity = stage.status.conditions.iter().find(|condition| condition.type_ == "Activity").unwrap();
    assert_eq!((activity.status.as_str(), activity.reason.as_str()), ("Unknown", "ActivityUnknown"));
}

/// The evidence is from before the stop; who wakes the notebook would lose it again at once.
#[test]
fn a_wake_is_not_followed_by_a_stale_stop() {
    let mut stage = used();
    stage.pass(AFTER_S).play();
    assert!(is_stopped(&stage));
    stage.resolution.requests.wake = Some("1".into());
    stage.pass(86_400).play();
    assert!(!is_stopped(&stage), "the last activity is a day old, and the wake is a moment old");
    assert!(!is_stopped(stage.pass(AFTER_S - 60).play()));
    assert!(is_stopped(stage.pass(120).play()), "and nobody has used it since");
}

#[test]
fn a_report_of_another_boot_is_no_evidence() {
    let mut stage = used();
    stage.status.host.as_mut().unwrap().boot_id = Some("another".into());
    assert!(!is_stopped(stage.pass(10 * AFTER_S).play()));
}

#[test]
fn evidence_of_an_earlier_look_stops_nothing() {
    let mut stage = used();
    stage.pass(AFTER_S);
    let mut observed = stage.observed();
    observed.fresh = false;
    let planned = plan(&stage.resolution, &observed, stage.now);
    assert!(planned.memory.transition.is_none() && planned.actions.is_empty(), "{planned:?}");
    // What was heard long ago is asked again first.
    let heard = observed.heard.as_mut().unwrap();
    heard.at = stage.status.host.as_ref().unwrap().serving_since.unwrap();
    assert!(plan(&stage.resolution, &observed, stage.now).wants_evidence);
}

/// It could not have been idle before, so nothing is asked until then.
#[test]
fn the_next_look_is_when_the_notebook_could_first_be_idle() {
    let mut stage = used();
    let now = stage.now;
    let wake_at = |stage: &Stage| plan(&stage.resolution, &stage.observed(), stage.now).wake_at.unwrap();
    assert_eq!(wake_at(&stage).duration_since(now).as_secs(), AFTER_S);
    stage.pass(600);
    assert_eq!(wake_at(&stage).duration_since(now).as_secs(), AFTER_S, "nothing has happened since");
    stage.seen.activity.as_mut().unwrap().busy_kernels = 1;
    assert_eq!(wake_at(&stage).duration_since(stage.now).as_secs(), AFTER_S, "a kernel is at work now");
}

#[test]
fn a_pod_and_who_asked_for_nothing_are_not_looked_at() {
    for mut stage in [Stage::running(vm("n1-standard-4")), Stage::running(pod(2000))] {
        stage.seen.activity = Some(activity(&stage));
        let planned = plan(&stage.resolution, &stage.observed(), stage.now);
        assert_eq!((planned.wake_at.is_some(), planned.wants_evidence), (false, false));
    }
}

#[test]
fn buckets_and_a_repository_are_told_to_the_running_vm() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let bucket =
        GuestBucket { path: "data".into(), name: "team-a-data".into(), prefix: Some("taxi/".into()), read_only: true };
    let source = GuestSource {
        repository: "https://github.com/org/course".into(),
        path: "course".into(),
        reference: None,
        secret: None,
    };
    stage.say("a bucket and a repository").wish(|it| {
        it.content.buckets = vec![bucket.clone()];
        it.content.source = Some(source);
    });
    stage.play();
    let host = stage.status.host.clone().unwrap().name;
    assert_eq!(stage.instances[&host].settings.as_ref().unwrap().offer.buckets, [bucket]);
    let seen = GuestBucketSeen {
        path: "data".into(),
        mounted: false,
        reason: Some("BucketNotFound".into()),
        message: "there is no such bucket".into(),
    };
    stage.seen.buckets = vec![seen];
    stage.seen.source = Some(GuestSourceSeen {
        revision: Some("abc".into()),
        dirty: Some(true),
        failure: None,
        message: String::new(),
    });
    stage.say("the bucket is not there").pass(30).play();
    stage.seen.buckets[0].mounted = true;
    stage.say("and now it is").pass(300).play();
    insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(stage.script);
    });
    assert_eq!(stage.status.source.as_ref().map(|source| source.revision.as_str()), Some("abc"));
}

#[test]
fn new_keys_of_access_are_told_to_the_running_vm() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.resolution.access = vec!["new".into(), "old".into()];
    stage.power(Power::Running).play();
    let host = stage.status.host.clone().unwrap().name;
    assert_eq!(stage.instances[&host].settings.as_ref().unwrap().offer.token_hashes, ["new", "old"]);
    assert!(!stage.script.contains("instances.stop"), "{}", stage.script);
}
