//! Stories in which the quotas have no room for two hosts, or for none.

use rehost_api::shape::{HostShape, VmShape};

use super::stage::{Denial, Fault, Stage, vm, vm_with_gpu};
use crate::desired::{Room, When};

macro_rules! told {
    ($stage:expr) => {
        insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($stage.script)
        })
    };
}

const T4: &str = "nvidia-tesla-t4";

/// On a T4, of which the quota allows one.
fn on_the_only_gpu() -> Stage {
    let mut stage = Stage::running(vm_with_gpu("n1-standard-4", T4));
    let words = "the quota NVIDIA_T4_GPUS in us-central1 has no room for two hosts: the new one needs 1, 0 left beside the present one";
    stage.wish(|it| it.room = Room::ForOne(words.into()));
    stage
}

/// Another image: no VM can be given it.
fn with_another_image() -> HostShape {
    let HostShape::Vm(shape) = vm_with_gpu("n1-standard-8", T4) else { unreachable!("it is a VM") };
    HostShape::Vm(VmShape { boot_image: "projects/p/global/images/notebook-2".into(), ..shape })
}

fn shape(stage: &Stage) -> &str {
    &stage.status.host.as_ref().unwrap().shape
}

#[test]
fn a_gpu_quota_of_one_and_a_larger_machine_around_it() {
    let mut stage = on_the_only_gpu();
    stage.say("n1-standard-8, when it is next stopped").wish(|it| it.when = When::NextStop);
    stage.wish_for(vm_with_gpu("n1-standard-8", T4)).play();
    stage.say("now").wish(|it| it.when = When::Now).play();
    told!(stage);
}

#[test]
fn a_gpu_quota_of_one_and_a_machine_that_must_be_made_anew() {
    let mut stage = on_the_only_gpu();
    told!(stage.say("n1-standard-8 with another image").wish_for(with_another_image()).play());
}

#[test]
fn a_host_that_was_stopped_first_comes_back_when_the_new_one_cannot_be_had() {
    let mut stage = on_the_only_gpu();
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Stockout));
    stage.say("n1-standard-8 with another image, which is out of stock").wish_for(with_another_image()).play();
    assert_eq!(shape(&stage), "n1-standard-4 + 1 nvidia-tesla-t4");
    assert!(stage.status.retry.as_ref().unwrap().next_try.is_some());
    told!(stage.say("when it is tried again").pass(61).play());
}

#[test]
fn who_says_wait_has_it_stopped_until_there_is_capacity() {
    let mut stage = on_the_only_gpu();
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Stockout));
    stage.say("n1-standard-8 with another image, onStockout: Wait").wish(|it| it.return_on_stockout = false);
    stage.wish_for(with_another_image()).play();
    assert!(stage.status.host.as_ref().unwrap().serving_since.is_none());
    told!(stage.say("when it is tried again").pass(61).play());
}

#[test]
fn what_no_quota_allows_stops_nothing() {
    for in_place in [false, true] {
        let mut stage = Stage::running(vm("n1-standard-4"));
        let words = "the quota CPUS in us-central1 needs 8, 4 left, those of the present host among them";
        stage.wish(|it| (it.room, it.in_place) = (Room::None(words.into()), in_place));
        stage.wish_for(vm("n1-standard-8")).play();
        assert!(stage.instances.len() == 1 && !stage.script.contains("instances."), "{}", stage.script);
        let ready = stage.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "QuotaExceeded"));
        assert!(ready.message.contains("needs 8, 4 left") && ready.message.contains("next try"), "{}", ready.message);
        stage.wish(|it| it.room = Room::Enough).pass(61).play();
        assert_eq!(shape(&stage), "n1-standard-8");
    }
}
