//! The whole of a small world, where chance would only see a part of it: every pair of two edits, the second at every plan of the
//! first; and every change with every fault and a crash at every plan. After each the last word of the spec holds, and nothing is
//! left over.

use rehost_api::status::{HomeRecord, HostKind, Phase};

use super::stage::{Crash, Denial, Fault, Stage, pod, vm, vm_with_gpu};
use crate::desired::{HomePolicy, Power};
use crate::gce::model::{Disk, InstanceStatus};

/// More plans than any change takes.
const PLANS_MAX: usize = 400;
/// More waits than any story has.
const WAITS_MAX: usize = 40;
/// Longer than the pause between two tries, and than a former host is kept.
const WAIT_S: i64 = 1000;

/// What a person does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edit {
    Larger,
    Gpu,
    InPlace,
    Pod,
    LargerPod,
    Grow,
    OtherZone,
    OtherType,
    Stop,
    Start,
    AskStop,
    AskWake,
    AskRestart,
    Delete(HomePolicy),
}

const EDITS: [Edit; 15] = [
    Edit::Larger,
    Edit::Gpu,
    Edit::InPlace,
    Edit::Pod,
    Edit::LargerPod,
    Edit::Grow,
    Edit::OtherZone,
    Edit::OtherType,
    Edit::Stop,
    Edit::Start,
    Edit::AskStop,
    Edit::AskWake,
    Edit::AskRestart,
    Edit::Delete(HomePolicy::Retain),
    Edit::Delete(HomePolicy::Delete),
];

impl Edit {
    fn make(self, stage: &mut Stage) {
        stage.say(&format!("{self:?}"));
        let asked = Some(format!("{self:?} {}", stage.resolution.generation));
        match self {
            Self::Larger => stage.wish_for(vm("n1-standard-8")),
            Self::Gpu => stage.wish_for(vm_with_gpu("n1-standard-4", "nvidia-tesla-t4")),
            Self::InPlace => stage.wish(|it| it.in_place = true).wish_for(vm("n1-standard-16")),
            Self::Pod => stage.wish_for(pod(2000)),
            Self::LargerPod => stage.wish_for(pod(4000)),
            Self::Grow => stage.wish(|it| it.home.size_gb = 200),
            Self::OtherZone => stage.wish(|it| it.home.zone = "us-central1-b".into()),
            Self::OtherType => stage.wish(|it| it.home.disk_type = "pd-ssd".into()),
            Self::Stop => stage.power(Power::Stopped),
            Self::Start => stage.power(Power::Running),
            Self::AskStop => {
                stage.resolution.requests.stop = asked;
                stage.wish(|_| {})
            }
            Self::AskWake => {
                stage.resolution.requests.wake = asked;
                stage.wish(|_| {})
            }
            Self::AskRestart => {
                stage.resolution.requests.restart = asked;
                stage.wish(|_| {})
            }
            Self::Delete(policy) => stage.delete(policy),
        };
    }
}

/// Plans until nothing is wanted and no wait is left that would bring something.
fn rest(stage: &mut Stage) {
    for _ in 0..WAITS_MAX {
        stage.play();
        let kept = stage.status.former.is_some() || stage.status.former_home.is_some();
        if stage.is_gone() || (is_settled(stage) && !kept) {
            return;
        }
        stage.pass(WAIT_S);
    }
    panic!("it is not as wished after all waits: {:?}\n{}", stage.status, stage.script);
}

fn is_settled(stage: &Stage) -> bool {
    let desired = stage.resolution.wish.as_ref().unwrap();
    let has_size = |home: &HomeRecord| home.size_gb >= desired.home.size_gb;
    let suits = |home: &HomeRecord| home.zone == desired.home.zone && home.disk_type == desired.home.disk_type;
    let stopped = stage.status.stopped.is_some() && stage.status.phase == Some(Phase::Stopped);
    // A home is copied when somebody wants to see it again.
    let home = stage.status.home.as_ref().is_some_and(|home| has_size(home) && (stopped || suits(home)));
    let host = stage.status.host.as_ref();
    let serves = host.is_some_and(|host| host.serving_since.is_some() && host.last_shape == desired.host.shape);
    stage.status.transition.is_none() && home && (stopped || serves)
}

/// The disks that are there.
fn disks(stage: &Stage) -> Vec<&Disk> {
    stage.disk.iter().chain(stage.others.values().filter_map(|other| other.disk.as_ref())).collect()
}

/// What must hold in the end, whatever came in between.
fn judge(stage: &Stage) {
    let why = |what: &str| format!("{what}: {:?}\n{}", stage.status, stage.script);
    let running = stage.instances.values().filter(|it| it.status != InstanceStatus::Stopped).count();
    if stage.is_gone() {
        assert!(stage.instances.is_empty() && stage.pods.is_empty(), "{}", why("a host is left behind"));
        let kept = usize::from(stage.resolution.deletion.as_ref().unwrap().policy != HomePolicy::Delete);
        assert_eq!((disks(stage).len(), stage.snapshots.len()), (kept, 0), "{}", why("not what was asked to be kept"));
        return;
    }
    let home = stage.status.home.as_ref().unwrap();
    let ids: Vec<String> = disks(stage).iter().map(|disk| disk.id.to_string()).collect();
    assert_eq!(
        (ids.iter().collect(), stage.snapshots.len()),
        (home.id.iter().collect::<Vec<_>>(), 0),
        "{}",
        why("not one home")
    );
    assert!(
        stage.disk.is_some() || home.zone != "us-central1-a" || home.disk_type != "pd-balanced",
        "{}",
        why("the disk is gone")
    );
    if stage.status.stopped.is_some() {
        assert!(running == 0 && stage.pods.is_empty(), "{}", why("something runs"));
        return;
    }
    assert_ne!(stage.resolution.power, Power::Stopped, "{}", why("it is to be stopped"));
    let host = stage.status.host.as_ref().unwrap();
    let (vms, pods) = match host.kind {
        HostKind::Vm => (1, 0),
        HostKind::Pod => (0, 1),
    };
    assert_eq!((stage.instances.len(), running, stage.pods.len()), (vms, vms, pods), "{}", why("not one host"));
}

/// How many plans it takes from an edit to rest.
fn plans_of(from: &dyn Fn() -> Stage, edit: Edit) -> usize {
    let mut stage = from();
    edit.make(&mut stage);
    (0..PLANS_MAX).take_while(|_| !stage.is_gone() && stage.step()).count()
}

fn on_a_vm() -> Stage {
    Stage::running(vm("n1-standard-4"))
}

fn in_a_pod() -> Stage {
    Stage::running(pod(1000))
}

#[test]
fn the_second_of_two_edits_holds_whenever_it_comes() {
    for from in [on_a_vm, in_a_pod] {
        for first in EDITS.into_iter().filter(|edit| !matches!(edit, Edit::Delete(_))) {
            for second in EDITS {
                for at in 0..=plans_of(&from, first) {
                    let mut stage = from();
                    first.make(&mut stage);
                    (0..at).for_each(|_| {
                        stage.step();
                    });
                    second.make(&mut stage);
                    rest(&mut stage);
                    judge(&stage);
                }
            }
        }
    }
}

#[test]
fn one_change_one_fault_and_a_crash_at_any_plan_leave_nothing_behind() {
    let refused = [
        "instances.insert",
        "instances.stop",
        "instances.start",
        "instances.setMetadata",
        "instances.attachDisk",
        "instances.detachDisk",
        "instances.delete",
        "disks.resize",
        "disks.createSnapshot",
        "disks.insert",
    ];
    let mut faults = vec![Fault::Deaf];
    for verb in refused {
        faults.extend([Denial::Hiccup, Denial::Stockout].map(|denial| Fault::Refuse(verb, denial)));
    }
    for from in [on_a_vm, in_a_pod] {
        for edit in EDITS {
            for at in 0..=plans_of(&from, edit) {
                for crash in [Crash::BeforeActing, Crash::BeforeStoring] {
                    for fault in &faults {
                        let mut stage = from();
                        stage.say(&format!("{fault:?}")).faults.push(*fault);
                        edit.make(&mut stage);
                        (0..at).for_each(|_| {
                            stage.step();
                        });
                        if stage.is_gone() {
                            continue;
                        }
                        stage.crash(crash);
                        rest(&mut stage);
                        judge(&stage);
                    }
                }
            }
        }
    }
}
