//! Stories of changes that wait: for a pause, for a window, for the next stop; and of the way back from a fallback.

use jiff::SignedDuration;
use rehost_api::guest::GuestActivity;

use super::stage::{Denial, Fault, Stage, pod, vm};
use crate::desired::{Calendar, Power, When, Window};
use crate::plan::plan;

macro_rules! told {
    ($stage:expr) => {
        insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($stage.script)
        })
    };
}

const PAUSE_S: i64 = 300;

/// A notebook whose changes wait, with a kernel at work.
fn at_work(when: When) -> Stage {
    let mut stage = Stage::running(vm("n1-standard-4"));
    stage.wish(|it| it.when = when);
    works(&mut stage, 1);
    stage.play();
    stage.script.clear();
    stage
}

fn works(stage: &mut Stage, busy_kernels: u32) {
    stage.seen.activity = Some(GuestActivity { busy_kernels, ..stage.used_now() });
}

fn shape(stage: &Stage) -> &str {
    &stage.status.host.as_ref().unwrap().shape
}

fn pending(stage: &Stage) -> &str {
    stage.status.pending.as_deref().unwrap_or_default()
}

fn nights() -> When {
    let opens = Calendar::read("schedule", "0 2 * * *", "timeZone", Some("Europe/Lisbon")).unwrap();
    When::Window(Window { opens, duration_s: 7200 })
}

#[test]
fn a_change_waits_until_nothing_goes_on() {
    let mut stage = at_work(When::Idle { after_s: PAUSE_S });
    stage.say("n1-standard-8, while a kernel works").wish_for(vm("n1-standard-8")).play();
    works(&mut stage, 0);
    stage.say("the kernel has ended").play();
    stage.say("four minutes later").pass(240).play();
    assert!(pending(&stage).contains("nothing has been going on for 5 min"), "{}", pending(&stage));
    told!(stage.say("and one more").pass(60).play());
}

#[test]
fn a_host_that_does_not_speak_of_use_is_not_idle() {
    let mut stage = at_work(When::Idle { after_s: PAUSE_S });
    stage.seen.activity = None;
    stage.wish_for(vm("n1-standard-8")).play();
    stage.pass(86_400).play();
    assert_eq!(shape(&stage), "n1-standard-4");
    assert!(pending(&stage).contains("of which the host does not speak"), "{}", pending(&stage));
    stage.power(Power::Stopped).play();
    stage.power(Power::Running).play();
    assert_eq!(shape(&stage), "n1-standard-8", "with a stop it comes all the same");
}

/// What was heard is from an earlier look: it is asked again, and nothing is begun on it.
#[test]
fn the_host_is_asked_only_while_something_waits() {
    let mut stage = at_work(When::Idle { after_s: PAUSE_S });
    let rest = plan(&stage.resolution, &stage.observed(), stage.now);
    let hourly = stage.now + SignedDuration::from_hours(1);
    assert_eq!((rest.wake_at, rest.wants_evidence), (Some(hourly), false), "no more often than anybody");
    stage.wish_for(vm("n1-standard-8"));
    works(&mut stage, 0);
    stage.pass(PAUSE_S);
    let mut observed = stage.observed();
    observed.fresh = false;
    let stale = plan(&stage.resolution, &observed, stage.now);
    assert!(stale.wants_evidence || stale.wake_at.is_some(), "{stale:?}");
    assert!(stale.memory.transition.is_none(), "{stale:?}");
    observed.heard = None;
    assert!(plan(&stage.resolution, &observed, stage.now).wants_evidence);
}

#[test]
fn a_change_waits_for_its_window() {
    let mut stage = at_work(nights());
    stage.say("n1-standard-8, at midnight").wish_for(vm("n1-standard-8")).play();
    let opens = "2026-01-01T02:00:00Z".parse().unwrap();
    while stage.now < opens {
        stage.now = plan(&stage.resolution, &stage.observed(), stage.now).wake_at.unwrap();
    }
    assert_eq!(stage.now, opens);
    told!(stage.say("at two").play());
}

/// A try in the window failed; the next one is not made outside of it.
#[test]
fn what_cannot_be_had_in_a_window_waits_for_the_next() {
    let mut stage = at_work(nights());
    stage.now = "2026-01-01T03:59:30Z".parse().unwrap();
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Stockout));
    stage.say("n1-standard-8, half a minute before the window closes").wish_for(vm("n1-standard-8")).play();
    assert_eq!(stage.status.retry.as_ref().unwrap().next_try, Some("2026-01-02T02:00:00Z".parse().unwrap()));
    stage.say("a minute later").pass(60).play();
    stage.now = "2026-01-02T02:00:00Z".parse().unwrap();
    told!(stage.say("in the next night").play());
}

#[test]
fn a_live_resize_interrupts_nothing_and_waits_for_nothing() {
    let mut stage = Stage::running(pod(2000));
    stage.wish(|it| it.when = When::NextStop).wish_for(pod(4000)).play();
    assert_eq!(shape(&stage), "4 cpu, 8Gi");
}

#[test]
fn a_live_resize_that_would_be_a_move_waits_like_one() {
    let mut stage = Stage::running(pod(2000));
    stage.faults.push(Fault::ResizeInfeasible);
    stage.wish(|it| it.when = When::NextStop).wish_for(pod(64_000)).play();
    assert_eq!((shape(&stage), pending(&stage)), ("2 cpu, 8Gi", "2 cpu, 8Gi -> 64 cpu, 8Gi, waits for the next stop"));
}

/// On a fallback because of a stockout; a kernel works.
fn on_a_fallback() -> Stage {
    let mut stage = Stage::new(vm("n1-standard-4"));
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Stockout));
    stage.wish(|it| it.host.fallbacks = vec![vm("n2-standard-4"), vm("e2-standard-4")]);
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Stockout));
    stage.play();
    works(&mut stage, 1);
    stage.play();
    stage.script.clear();
    stage
}

#[test]
fn the_way_back_from_a_fallback_waits_for_capacity_and_for_a_pause() {
    let mut stage = on_a_fallback();
    assert_eq!(shape(&stage), "e2-standard-4");
    stage.say("a kernel works when it is time for the next try").pass(3600).play();
    works(&mut stage, 0);
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Stockout));
    stage.say("a pause, and the better fallback can be had").pass(PAUSE_S).play();
    assert_eq!(shape(&stage), "n2-standard-4");
    works(&mut stage, 0);
    stage.faults.push(Fault::Refuse("instances.insert", Denial::Stockout));
    stage.say("a pause, and there is none of the wished yet").pass(3600).play();
    assert_eq!(shape(&stage), "n2-standard-4");
    told!(stage.say("and later there is").pass(3600).play());
    assert!(stage.status.retry.is_none() && stage.status.pending.is_none());
}

#[test]
fn the_way_back_from_a_fallback_follows_the_policy() {
    let mut stage = on_a_fallback();
    works(&mut stage, 0);
    stage.wish(|it| it.when = When::NextStop).pass(86_400).play();
    assert_eq!(shape(&stage), "e2-standard-4");
    assert!(pending(&stage).contains("Stockout, waits for the next stop"), "{}", pending(&stage));
    stage.wish(|it| it.when = nights()).play();
    assert!(pending(&stage).contains("opens at 2026-01-02T02:00:00Z"), "{}", pending(&stage));
    stage.now = "2026-01-02T02:00:00Z".parse().unwrap();
    stage.play();
    assert_eq!(shape(&stage), "n1-standard-4");
}
