//! Stories of the clock: schedules and lifetimes.

use rehost_api::conditions::Reason;
use rehost_api::notebook::LifetimeAction;
use rehost_api::status::{Phase, StopReason};

use super::stage::{Stage, pod, vm};
use crate::desired::{Calendar, Clock, HomePolicy, Lifetime, Power, Refusal, Schedule};
use crate::plan::plan;

macro_rules! told {
    ($stage:expr) => {
        insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($stage.script)
        })
    };
}

fn schedule(start: &str, stop: &str) -> Schedule {
    let read = |line: &str| Calendar::read("schedule", line, "timeZone", Some("Europe/Lisbon")).ok();
    Schedule { digest: format!("{start} {stop}"), start: read(start), stop: read(stop) }
}

/// Created at midnight before a Thursday, to run from eight to eight on workdays.
fn on_workdays() -> Stage {
    let mut stage = Stage::new(vm("n1-standard-4"));
    stage.resolution.clock.schedule = Some(schedule("0 8 * * 1-5", "0 20 * * 1-5"));
    stage.play();
    stage.script.clear();
    stage
}

fn at<'a>(stage: &'a mut Stage, time: &str) -> &'a mut Stage {
    stage.now = time.parse().unwrap();
    stage.play()
}

fn runs(stage: &Stage) -> bool {
    stage.status.phase == Some(Phase::Running)
}

fn wake(stage: &mut Stage) -> &mut Stage {
    let count = stage.resolution.requests.wake.as_ref().map_or(0, String::len);
    stage.resolution.requests.wake = Some("x".repeat(count + 1));
    stage.play()
}

#[test]
fn a_notebook_stops_and_starts_by_its_schedule() {
    let mut stage = on_workdays();
    assert!(runs(&stage), "who creates it at night has it until the next stop");
    stage.now = "2026-01-01T07:30:00Z".parse().unwrap();
    assert_eq!(stage.observed_wake_at(), "2026-01-01T08:00:00Z");
    stage.script.clear();
    at(stage.say("eight in the morning"), "2026-01-01T08:00:00Z");
    at(stage.say("eight in the evening"), "2026-01-01T20:00:00Z");
    assert_eq!(stage.status.stopped.as_ref().unwrap().reason, StopReason::Schedule);
    assert_eq!(stage.observed_wake_at(), "2026-01-02T08:00:00Z");
    told!(at(stage.say("eight in the morning"), "2026-01-02T08:00:00Z"));
}

#[test]
fn who_wakes_it_in_the_evening_has_it_until_the_next_stop() {
    let mut stage = on_workdays();
    assert!(!runs(at(&mut stage, "2026-01-01T20:00:00Z")));
    stage.now = "2026-01-01T22:00:00Z".parse().unwrap();
    assert!(runs(wake(&mut stage)));
    assert!(runs(at(&mut stage, "2026-01-02T07:00:00Z")));
    assert!(runs(at(&mut stage, "2026-01-02T08:00:01Z")));
    assert!(!runs(at(&mut stage, "2026-01-02T20:00:00Z")));
}

#[test]
fn who_stops_it_by_hand_has_it_stopped_until_the_next_start() {
    let mut stage = on_workdays();
    at(&mut stage, "2026-01-01T10:00:00Z");
    stage.resolution.requests.stop = Some("1".into());
    assert!(!runs(stage.play()));
    assert!(!runs(at(&mut stage, "2026-01-01T20:00:00Z")));
    assert_eq!(stage.status.stopped.as_ref().unwrap().reason, StopReason::Asked, "the first reason stands");
    assert!(runs(at(&mut stage, "2026-01-02T08:00:00Z")));
}

#[test]
fn what_spec_state_says_is_stronger_than_the_clock() {
    let mut stage = on_workdays();
    assert!(!runs(stage.power(Power::Stopped).play()));
    assert!(!runs(at(&mut stage, "2026-01-01T08:00:00Z")));
    assert!(runs(stage.power(Power::Running).play()));
}

/// Nobody looked for a night and a morning: what counts is the last that the clock said.
#[test]
fn a_controller_that_was_away_follows_the_last_word_only() {
    let mut stage = on_workdays();
    at(&mut stage, "2026-01-01T12:00:00Z");
    stage.script.clear();
    assert!(runs(at(&mut stage, "2026-01-02T09:00:00Z")));
    assert!(!stage.script.contains("instances.stop"), "{}", stage.script);
    assert!(!runs(at(&mut stage, "2026-01-03T12:00:00Z")), "on a Saturday it has been stopped since Friday");
}

#[test]
fn an_edited_schedule_says_nothing_of_the_past() {
    let mut stage = on_workdays();
    at(&mut stage, "2026-01-01T19:00:00Z");
    stage.resolution.clock.schedule = Some(schedule("0 8 * * 1-5", "0 18 * * 1-5"));
    assert!(runs(stage.play()), "its person is at work at this very moment");
    assert!(!runs(at(&mut stage, "2026-01-02T18:00:00Z")));
    stage.resolution.clock.schedule = None;
    stage.play();
    assert!(
        stage.status.schedule.is_none() && stage.observed_wake_at().contains("2026-01-09"),
        "only its host's end is due"
    );
}

#[test]
fn a_notebook_whose_wish_is_refused_is_stopped_by_the_clock_all_the_same() {
    let mut stage = on_workdays();
    stage.resolution.wish = Err(Refusal {
        reason: Reason::UnknownMachineType,
        field: "spec.host.vm.machineType".into(),
        message: "'n1-standard-5' is no machine type".into(),
    });
    at(&mut stage, "2026-01-01T20:00:00Z");
    assert!(stage.instances.values().all(|vm| vm.status == crate::gce::model::InstanceStatus::Stopped));
}

fn mortal(shape: rehost_api::shape::HostShape, then: LifetimeAction, home: HomePolicy) -> Stage {
    let mut stage = Stage::new(shape);
    stage.resolution.clock = Clock { schedule: None, lifetime: Some(Lifetime { after_s: 14_400, then, home }) };
    stage.play();
    stage.script.clear();
    stage
}

#[test]
fn a_notebook_is_stopped_when_its_lifetime_has_passed() {
    let mut stage = mortal(vm("n1-standard-4"), LifetimeAction::Stop, HomePolicy::Retain);
    stage.say("in the meantime a larger one").pass(7200).wish_for(vm("n1-standard-8")).play();
    stage.say("four hours after its start").pass(7200).play();
    assert_eq!(stage.status.stopped.as_ref().unwrap().reason, StopReason::Lifetime);
    stage.say("woken");
    wake(&mut stage);
    assert!(runs(stage.pass(14_000).play()));
    assert!(!runs(stage.pass(400).play()));
    told!(stage);
}

#[test]
fn who_wakes_a_notebook_that_runs_begins_its_time_anew() {
    let mut stage = mortal(vm("n1-standard-4"), LifetimeAction::Stop, HomePolicy::Retain);
    stage.pass(14_000);
    wake(&mut stage);
    assert!(runs(stage.pass(14_000).play()));
    assert!(!runs(stage.pass(400).play()));
}

#[test]
fn a_released_notebook_keeps_its_home_by_default() {
    let mut stage = mortal(vm("n1-standard-4"), LifetimeAction::Release, HomePolicy::Retain);
    let disk = stage.disk.as_ref().unwrap().id;
    stage.say("its time is over").pass(14_400).play();
    assert!(stage.instances.is_empty() && stage.status.host.is_none());
    stage.say("woken");
    wake(&mut stage);
    told!(stage);
    assert_eq!(stage.disk.as_ref().map(|disk| disk.id), Some(disk));
}

#[test]
fn a_released_notebook_gives_up_its_home_where_its_policy_says_so() {
    for shape in [vm("n1-standard-4"), pod(2000)] {
        let mut stage = mortal(shape.clone(), LifetimeAction::Release, HomePolicy::Delete);
        stage.say("its time is over").pass(14_400).play();
        assert!(stage.instances.is_empty() && stage.disk.is_none(), "{}", stage.script);
        assert!(stage.pass(86_400).plan_once().1, "and nothing is made again by itself: {}", stage.script);
        let ready = stage.status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
        assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "Expired"), "{}", ready.message);
        stage.say("woken");
        wake(&mut stage);
        assert!(runs(&stage), "with a new home");
        if shape == vm("n1-standard-4") {
            told!(stage);
        }
    }
}

/// Between two looks the policy was changed: what is not deleted yet is kept.
#[test]
fn a_home_whose_policy_changes_in_the_last_moment_is_kept() {
    let mut stage = mortal(vm("n1-standard-4"), LifetimeAction::Release, HomePolicy::Delete);
    stage.pass(14_400);
    while stage.status.transition.as_ref().is_none_or(|it| it.step != rehost_api::status::Step::Dispose) {
        stage.plan_once();
        stage.pass(1);
    }
    if let Some(lifetime) = &mut stage.resolution.clock.lifetime {
        lifetime.home = HomePolicy::Retain;
    }
    stage.play();
    assert!(stage.disk.is_some() && stage.status.home.is_some(), "{}", stage.script);
    let quiet = plan(&stage.resolution, &stage.observed(), stage.now);
    assert!(quiet.actions.is_empty());
}
