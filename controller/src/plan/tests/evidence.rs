//! What a serving host says: idleness is decided from it, and what it offers follows the spec.

use rehost_api::guest::{
    GuestActivity, GuestBucket, GuestBucketSeen, GuestFailure, GuestHomeTrouble, GuestSource, GuestSourceSeen,
    GuestState,
};
use rehost_api::notebook::IdleAction;
use rehost_api::shape::{HostShape, PodShape};
use rehost_api::status::{Phase, StopReason};

use super::stage::{Stage, pod, vm};
use crate::desired::{Power, WishedIdle};
use crate::observe::Observed;
use crate::plan::plan;
use crate::seen::Seen;

const AFTER_S: i64 = 5400;
/// Less than the hour after which every host is asked how its home is.
const SOON_S: i64 = 1800;

/// A notebook on a VM that is stopped after an hour and a half without use, and was used just now.
fn used() -> Stage {
    used_on(Stage::running(vm("n1-standard-4")))
}

/// The same in a pod that can be asked.
fn used_pod() -> Stage {
    let mut stage = Stage::new(pod(2000));
    stage.resolution.access.status = Some("hash".into());
    stage.play();
    used_on(stage)
}

fn used_on(mut stage: Stage) -> Stage {
    stage.wish(|it| it.idle = Some(WishedIdle { after_s: AFTER_S, then: IdleAction::Stop }));
    stage.seen.activity = Some(stage.used_now());
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
    stage.wish(|it| it.idle = Some(WishedIdle { after_s: SOON_S, then: IdleAction::Stop }));
    let now = stage.now;
    let wake_at = |stage: &Stage| plan(&stage.resolution, &stage.observed(), stage.now).wake_at.unwrap();
    assert_eq!(wake_at(&stage).duration_since(now).as_secs(), SOON_S);
    stage.pass(600);
    assert_eq!(wake_at(&stage).duration_since(now).as_secs(), SOON_S, "nothing has happened since");
    stage.seen.activity.as_mut().unwrap().busy_kernels = 1;
    assert_eq!(wake_at(&stage).duration_since(stage.now).as_secs(), SOON_S, "a kernel is at work now");
}

#[test]
fn who_asked_for_nothing_is_asked_once_an_hour_whether_the_home_is_well() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.seen.activity = Some(stage.used_now());
    let looks = |stage: &Stage| plan(&stage.resolution, &stage.observed(), stage.now).wake_at.unwrap();
    assert_eq!(looks(&stage).duration_since(stage.now).as_secs(), 3600);
    let mut unheard = stage.observed();
    unheard.heard = None;
    let first = plan(&stage.resolution, &unheard, stage.now);
    assert!(!first.wants_evidence && first.wake_at.unwrap().duration_since(stage.now).as_secs() <= 3600);
    let mut silent = stage.observed();
    silent.heard.as_mut().unwrap().report = Seen::Unknown("guest attributes are forbidden".into());
    let again = plan(&stage.resolution, &silent, stage.now).wake_at.unwrap();
    assert_eq!(again.duration_since(stage.now).as_secs(), 3600, "whoever cannot say it is not asked on and on");
}

#[test]
fn a_full_home_is_said_and_that_it_has_room_again_too() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let of = |stage: &Stage, kind: &str| {
        let found = stage.status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        (found.status.clone(), found.reason.clone())
    };
    let word = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    stage.seen.home_trouble = Some(GuestHomeTrouble { reason: "Full".into(), message: "the home is full".into() });
    stage.pass(3600).play();
    assert_eq!(of(&stage, "Home"), word("False", "HomeFull"));
    assert_eq!((of(&stage, "Ready"), of(&stage, "Stalled")), (word("False", "HomeFull"), word("True", "HomeFull")));
    assert_eq!(of(&stage, "Serving").0, "True");
    let observed = stage.observed();
    let soon = plan(&stage.resolution, &observed, stage.now).wake_at.unwrap();
    assert!(soon.duration_since(stage.now).as_secs() <= 300, "it is asked again soon");
    let unheard = Observed { heard: None, ..observed };
    let planned = plan(&stage.resolution, &unheard, stage.now);
    let status = crate::status::status(&stage.resolution, &unheard, &planned, stage.now);
    assert_eq!(status.conditions, stage.status.conditions, "a new leader has not heard of it, and takes nothing back");
    stage.seen.home_trouble = None;
    stage.seen.filesystem_fills_disk = Some(false);
    stage.pass(300).play();
    assert_eq!((of(&stage, "Home"), of(&stage, "Ready").0), (word("True", "ChangePending"), "True".to_owned()));
    stage.seen.filesystem_fills_disk = Some(true);
    stage.pass(3600).play();
    assert_eq!((of(&stage, "Home").0, of(&stage, "Ready").0), ("True".to_owned(), "True".to_owned()));
    assert_eq!(of(&stage, "Stalled").0, "False");
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
fn an_idle_pod_is_stopped_and_woken() {
    let mut stage = used_pod();
    stage.say("an hour later").pass(3600).play();
    assert!(!is_stopped(&stage));
    stage.say("and half an hour").pass(1800).play();
    assert_eq!(stage.status.stopped.as_ref().unwrap().reason, StopReason::Idle);
    stage.resolution.requests.wake = Some("1".into());
    stage.say("wake").play();
    insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(stage.script);
    });
}

#[test]
fn without_a_key_a_pod_is_not_asked_and_nothing_is_known_of_it() {
    let mut stage = Stage::running(pod(2000));
    stage.wish(|it| it.idle = Some(WishedIdle { after_s: AFTER_S, then: IdleAction::Stop })).play();
    let planned = plan(&stage.resolution, &stage.observed(), stage.now);
    assert_eq!((planned.wake_at, planned.wants_evidence), (None, false));
    let activity = stage.status.conditions.iter().find(|condition| condition.type_ == "Activity").unwrap();
    assert_eq!((activity.status.as_str(), activity.reason.as_str()), ("Unknown", "HostUnknown"));
    assert!(activity.message.contains("accessKeysSecret"), "{}", activity.message);
}

#[test]
fn a_report_with_another_nonce_is_nobodys() {
    let mut stage = used_pod();
    let name = stage.status.host.clone().unwrap().name;
    stage.reports.get_mut(&name).unwrap().nonce = "forged".into();
    let before = stage.status.clone();
    assert!(!is_stopped(stage.pass(10 * AFTER_S).play()));
    assert_eq!(stage.status.host, before.host, "nothing of it is taken");
}

/// The container was started again in the same pod, and says so; its kernels are gone, its word counts.
#[test]
fn a_restarted_container_is_another_boot_whose_word_counts() {
    let mut stage = used_pod();
    let name = stage.status.host.clone().unwrap().name;
    stage.reports.get_mut(&name).unwrap().boot_id = "second".into();
    stage.pass(600);
    stage.seen.activity = Some(stage.used_now());
    stage.play();
    assert_eq!(stage.status.host.as_ref().unwrap().boot_id.as_deref(), Some("second"));
    assert!(!is_stopped(stage.pass(AFTER_S - 60).play()));
    assert!(is_stopped(stage.pass(120).play()));
}

#[test]
fn a_pod_that_says_it_failed_or_serves_other_content_is_not_proven() {
    for (state, failure, reason) in [
        (GuestState::Failed, Some(GuestFailure::JupyterFailed), "HostFailed"),
        (GuestState::Failed, Some(GuestFailure::ContentMismatch), "ContentMismatch"),
        (GuestState::Serving, None, "ContentMismatch"),
    ] {
        let mut stage = Stage::new(pod(2000));
        stage.resolution.access.status = Some("hash".into());
        stage.pods_say = Some((state, failure));
        stage.play();
        let ready = stage.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", reason), "{}", ready.message);
        assert!(stage.pods.is_empty() && stage.settings.is_empty(), "{}", stage.script);
    }
}

#[test]
fn a_repository_and_keys_are_told_to_the_running_pod() {
    let mut stage = Stage::running(pod(2000));
    stage.resolution.access.people = vec!["new".into()];
    let source = GuestSource {
        repository: "https://github.com/org/course".into(),
        path: "course".into(),
        reference: Some("main".into()),
        secret: None,
    };
    stage.say("a repository and a key").wish(|it| it.content.source = Some(source.clone())).play();
    let host = stage.status.host.clone().unwrap().name;
    let told = &stage.settings[&host].1.offer;
    assert_eq!((&told.source, &told.token_hashes[..]), (&Some(source), &["new".to_owned()][..]));
    stage.say("another ref").wish(|it| it.content.source.as_mut().unwrap().reference = None).play();
    insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(stage.script);
    });
    stage.wish_for(vm("n1-standard-4")).play();
    assert_eq!(stage.status.host.as_ref().unwrap().shape, "n1-standard-4");
}

fn pod_with_bucket(path: &str) -> HostShape {
    let HostShape::Pod(shape) = pod(2000) else { unreachable!("it is a pod") };
    let bucket = GuestBucket { path: path.into(), name: "team-a-data".into(), prefix: None, read_only: false };
    HostShape::Pod(PodShape { buckets: vec![bucket], ..shape })
}

#[test]
fn other_buckets_are_another_pod() {
    let mut stage = Stage::running(pod_with_bucket("data"));
    stage.say("at another path").wish_for(pod_with_bucket("taxi")).play();
    insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(stage.script);
    });
    let host = stage.status.host.clone().unwrap();
    assert_eq!(stage.settings[&host.name].1.offer.buckets[0].path, "taxi");
}

#[test]
fn a_cluster_without_the_driver_runs_the_pod_without_its_buckets_and_says_what_to_install() {
    let mut stage = Stage::new(pod_with_bucket("data"));
    stage.bucket_driver = Seen::Absent;
    stage.play();
    let of = |stage: &Stage, kind: &str| {
        let found = stage.status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        (found.status.clone(), found.reason.clone(), found.message.clone())
    };
    assert_eq!(of(&stage, "Serving").0, "True");
    let (status, reason, message) = of(&stage, "Buckets");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "DriverMissing"));
    assert!(message.contains("enables the Cloud Storage FUSE CSI driver"), "{message}");
    stage.bucket_driver = Seen::Present(());
    stage.resolution.requests.restart = Some("1".into());
    stage.play();
    assert!(stage.pods.values().all(|pod| pod.mounts_buckets), "{}", stage.script);
    assert_ne!(of(&stage, "Buckets").1, "DriverMissing");
}

#[test]
fn while_it_is_not_known_whether_there_is_a_driver_no_pod_is_made() {
    let mut stage = Stage::new(pod_with_bucket("data"));
    stage.bucket_driver = Seen::Unknown("the API server does not answer".into());
    for _ in 0..20 {
        stage.plan_once();
    }
    assert!(stage.pods.is_empty(), "{}", stage.script);
}

#[test]
fn the_credentials_of_a_pod_are_where_it_mounts_them() {
    let HostShape::Pod(shape) = pod(2000) else { unreachable!("it is a pod") };
    let mut stage = Stage::new(HostShape::Pod(PodShape { source_secret: "deploy-key".into(), ..shape }));
    let source = GuestSource {
        repository: "https://github.com/org/course".into(),
        path: "course".into(),
        reference: None,
        secret: None,
    };
    stage.wish(|it| it.content.source = Some(source)).play();
    let host = stage.status.host.clone().unwrap().name;
    let told = stage.settings[&host].1.offer.source.clone().unwrap();
    assert_eq!(told.secret.as_deref(), Some("/etc/rehost-source"));
}

#[test]
fn new_keys_of_access_are_told_to_the_running_vm() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.resolution.access.people = vec!["new".into(), "old".into()];
    stage.power(Power::Running).play();
    let host = stage.status.host.clone().unwrap().name;
    assert_eq!(stage.instances[&host].settings.as_ref().unwrap().offer.token_hashes, ["new", "old"]);
    assert!(!stage.script.contains("instances.stop"), "{}", stage.script);
}
