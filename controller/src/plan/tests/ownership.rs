//! What is not the notebook's own is never touched, and is named to people.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::stage::{Stage, pod, vm};
use crate::desired::{HomePolicy, Power};
use crate::plan::{Action, KubeChange, plan};
use crate::seen::Seen;
use crate::watch::slim::{ClaimSeen, ServiceSeen, SettingsSeen, SliceSeen, VolumeSeen};

fn service(notebook_uid: &str, owned: bool) -> Seen<ServiceSeen> {
    Seen::Present(ServiceSeen {
        metadata: ObjectMeta::default(),
        name: "taxi".into(),
        namespace: "team-a".into(),
        notebook_uid: notebook_uid.into(),
        owned,
        ports: vec![("web".into(), 80, 8080)],
        has_selector: true,
    })
}

fn slice() -> Seen<SliceSeen> {
    Seen::Present(SliceSeen {
        metadata: ObjectMeta::default(),
        name: "taxi".into(),
        namespace: "team-a".into(),
        notebook_uid: String::new(),
        owned: false,
        service: "taxi".into(),
        endpoints: vec![("10.9.9.9".parse().unwrap(), true)],
        ports: vec![80],
    })
}

fn uid(uid: &str) -> ObjectMeta {
    ObjectMeta { uid: Some(uid.into()), ..ObjectMeta::default() }
}

fn volume(name: &str, notebook_uid: &str, claim: &str) -> Seen<VolumeSeen> {
    Seen::Present(VolumeSeen {
        metadata: uid("volume-uid"),
        name: name.into(),
        notebook_uid: notebook_uid.into(),
        handle: "elsewhere".into(),
        claim: Some(("team-a".into(), claim.into())),
        reclaim_policy: "Delete".into(),
        phase: "Bound".into(),
        capacity_gb: 100,
        deleting: false,
    })
}

fn claim(name: &str, notebook_uid: &str) -> Seen<ClaimSeen> {
    Seen::Present(ClaimSeen {
        metadata: uid("claim-uid"),
        name: name.into(),
        namespace: "team-a".into(),
        notebook_uid: notebook_uid.into(),
        volume: Some("pvc-1".into()),
        phase: "Bound".into(),
        requested_gb: 100,
        capacity_gb: Some(100),
        deleting: false,
    })
}

fn disk(stage: &Stage) -> String {
    stage.status.home.as_ref().unwrap().disk.clone()
}

/// Type, status, reason and message of a condition.
fn condition(stage: &Stage, kind: &str) -> (String, String, String) {
    let found = stage.status.conditions.iter().find(|one| one.type_ == kind).unwrap();
    (found.status.clone(), found.reason.clone(), found.message.clone())
}

#[track_caller]
fn is_stalled_by(stage: &Stage, named: &str) {
    for (kind, expected) in [("Ready", "False"), ("Stalled", "True"), ("Reconciling", "False")] {
        assert_eq!(condition(stage, kind).0, expected, "{kind}: {}", stage.script);
    }
    let (_, reason, message) = condition(stage, "Stalled");
    assert_eq!(reason, "NotOurs", "{message}");
    assert!(message.contains(named) && message.contains("delete it"), "{message}");
}

fn changes(stage: &Stage) -> Vec<KubeChange> {
    let planned = plan(&stage.resolution, &stage.observed(), stage.now);
    let change = |action| match action {
        Action::Kube(change) => Some(change),
        Action::Cloud { .. } => None,
    };
    planned.actions.into_iter().filter_map(change).collect()
}

#[test]
fn a_foreign_service_holds_a_new_notebook_up_and_is_named() {
    let mut stage = Stage::new(vm("n1-standard-4"));
    stage.service = service("", false);
    stage.play();
    is_stalled_by(&stage, "the Service team-a/taxi");
    assert!(stage.instances.is_empty() && stage.disk.is_none() && stage.status.home.is_none(), "{}", stage.script);
    assert_eq!(stage.service, service("", false), "it is not touched");
    let planned = plan(&stage.resolution, &stage.observed(), stage.now);
    assert!(planned.wake_at.is_some(), "nobody tells of what is not ours: it is looked at again");

    stage.service = Seen::Absent;
    stage.play();
    assert_eq!(condition(&stage, "Ready").0, "True", "{}", stage.script);
}

#[test]
fn a_foreign_slice_stalls_a_notebook_that_runs_on() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.slice = slice();
    stage.say("n1-standard-8").wish_for(vm("n1-standard-8")).play();
    is_stalled_by(&stage, "the EndpointSlice team-a/taxi");
    assert_eq!(condition(&stage, "Serving").0, "True");
    assert_eq!((stage.instances.len(), stage.status.host.as_ref().unwrap().shape.as_str()), (1, "n1-standard-4"));
    assert_eq!(stage.slice, slice(), "it is not touched");
    stage.say("Stopped").power(Power::Stopped).play();
    assert!(stage.script.ends_with("delete it, or give the notebook another name\n"), "{}", stage.script);
    assert!(stage.script.contains("instances.stop"), "who wants it stopped gets it stopped: {}", stage.script);
}

#[test]
fn a_service_of_an_earlier_notebook_is_waited_for() {
    let mut stage = Stage::new(vm("n1-standard-4"));
    stage.service = service("uid-0", true);
    stage.play();
    assert_eq!(condition(&stage, "Stalled").0, "False", "{}", stage.script);
    let (status, reason, message) = condition(&stage, "Reconciling");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Deleting"));
    assert!(message.contains("the Service team-a/taxi of an earlier notebook"), "{message}");
    stage.service = service("uid-0", false);
    stage.play();
    is_stalled_by(&stage, "the Service team-a/taxi");
}

#[test]
fn a_foreign_volume_or_claim_is_found_before_anything_is_begun() {
    for foreign_claim in [false, true] {
        let mut stage = Stage::running(vm("n1-standard-4"));
        let name = disk(&stage);
        let named = if foreign_claim {
            stage.claim = claim(&name, "");
            format!("the PersistentVolumeClaim team-a/{name}")
        } else {
            stage.volume = volume(&name, "uid-9", &name);
            format!("the PersistentVolume {name}")
        };
        stage.say("into a pod").wish_for(pod(2000)).play();
        is_stalled_by(&stage, &named);
        assert!(stage.pods.is_empty(), "{}", stage.script);
        assert_eq!(condition(&stage, "Serving").0, "True");
    }
}

#[test]
fn a_foreign_claim_that_comes_between_gives_the_home_back() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let name = disk(&stage);
    stage.wish_for(pod(2000));
    // The change has begun, and then somebody makes a claim of that name.
    let planned = plan(&stage.resolution, &stage.observed(), stage.now);
    assert!(planned.memory.transition.is_some());
    planned.memory.write(&mut stage.status);
    stage.claim = claim(&name, "");
    stage.play();
    is_stalled_by(&stage, &format!("the PersistentVolumeClaim team-a/{name}"));
    assert_eq!(condition(&stage, "Serving").0, "True", "{}", stage.script);
    assert_eq!(stage.claim, claim(&name, ""), "it is not touched");
}

#[test]
fn deletion_leaves_what_is_not_ours() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let name = disk(&stage);
    stage.volume = volume(&name, "uid-9", &name);
    stage.claim = claim(&name, "");
    stage.say("deleted").delete(HomePolicy::Retain).play();
    assert!(stage.script.ends_with("(the notebook is gone)\n"), "{}", stage.script);
    assert!(stage.volume.is_present() && stage.claim.is_present());
}

#[test]
fn claim_and_volume_are_deleted_by_the_uid_that_was_seen() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let name = disk(&stage);
    stage.claim = claim(&name, "uid-1");
    stage.volume = volume(&name, "uid-1", &name);
    stage.say("deleted").delete(HomePolicy::Retain).play();
    // The stage lets no other uid pass.
    assert!(stage.claim.is_absent() && stage.volume.is_absent(), "{}", stage.script);
}

#[test]
fn only_the_volume_of_our_claim_is_retained() {
    let mut stage = Stage::running(pod(2000));
    let home = stage.status.home.as_mut().unwrap();
    home.claim = true;
    let name = home.disk.clone();
    stage.wish(|it| it.home.claim = true);
    stage.claim = claim(&name, "uid-1");
    stage.volume = volume("pvc-1", "", &name);
    let retain = KubeChange::RetainVolume { name: "pvc-1".into(), uid: "volume-uid".into() };
    assert!(changes(&stage).contains(&retain), "{:?}", changes(&stage));
    stage.volume = volume("pvc-1", "", "another-claim");
    assert!(!changes(&stage).contains(&retain));
    stage.volume = volume("pvc-1", "", &name);
    stage.claim = claim(&name, "uid-9");
    assert!(!changes(&stage).contains(&retain), "nor that of a claim that only has the name");
    stage.claim = Seen::Absent;
    assert!(changes(&stage).contains(&retain), "it is ours also when the claim has just gone");
}

#[test]
fn a_foreign_config_map_is_left_and_the_old_host_serves_on() {
    let mut stage = Stage::running(vm("n1-standard-4"));
    let foreign = SettingsSeen {
        name: "taxi-t2-a1".into(),
        namespace: "team-a".into(),
        uid: "theirs".into(),
        notebook_uid: String::new(),
        told: None,
    };
    let told = stage.told_nothing();
    stage.settings.insert(foreign.name.clone(), (foreign.clone(), told));
    stage.wish_for(pod(2000)).play();
    assert_eq!(stage.settings["taxi-t2-a1"].0, foreign, "it is not touched");
    assert_eq!(stage.status.host.as_ref().unwrap().shape, "n1-standard-4");
    let (status, reason, message) = condition(&stage, "Ready");
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NotOurs"));
    assert!(message.contains("the ConfigMap team-a/taxi-t2-a1"), "{message}");
}

#[test]
fn what_a_pod_was_told_goes_with_it_also_when_somebody_else_removed_the_pod() {
    let mut stage = Stage::running(pod(2000));
    stage.pods.clear();
    stage.play();
    let host = stage.status.host.clone().unwrap().name;
    assert_eq!(stage.settings.keys().collect::<Vec<_>>(), [&host]);
    stage.delete(HomePolicy::Retain).play();
    assert!(stage.settings.is_empty());
}
