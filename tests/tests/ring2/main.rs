//! Ring 2: the whole controller over both simulated worlds, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod clock;
mod crashes;
mod determinism;
mod lives;
mod ownership;
mod planted;
mod pods;
mod room;
mod spot;
mod when;

use rehost_tests::sim::{Extent, Length, Plan, Rates, Settings};

const EXTENT: Extent = Extent::Whole;

fn plan(settings: Settings) -> Plan {
    Plan { extent: EXTENT, length: Length::Whole, settings }
}

fn passes(plan: &Plan) {
    let outcome = plan.run();
    assert!(outcome.is_fine(), "{}", outcome.report(&plan.replay()));
    println!("{} requests, {} virtual seconds", outcome.requests(), outcome.seconds);
}

#[test]
fn the_story_without_faults() {
    passes(&plan(Settings { check_shapes: true, ..Settings::default() }));
}

#[test]
fn the_story_of_a_notebook_that_sleeps() {
    for seed in 1..4 {
        let settings = Settings { seed, check_shapes: true, ..Settings::default() };
        passes(&Plan { extent: Extent::Asleep, length: Length::Whole, settings });
    }
}

#[test]
fn the_story_of_a_notebook_that_sleeps_with_random_faults() {
    for seed in 100..104 {
        let settings = Settings { seed, faults: Some(Rates::default()), ..Settings::default() };
        passes(&Plan { extent: Extent::Asleep, length: Length::Whole, settings });
    }
}

#[test]
fn the_story_of_a_home_that_goes_from_disk_to_disk() {
    for seed in 1..3 {
        let settings = Settings { seed, check_shapes: true, ..Settings::default() };
        passes(&Plan { extent: Extent::Rehomed, length: Length::Whole, settings });
    }
}

#[test]
fn the_story_of_a_home_that_goes_from_disk_to_disk_with_random_faults() {
    for seed in 100..102 {
        let settings = Settings { seed, faults: Some(Rates::default()), ..Settings::default() };
        passes(&Plan { extent: Extent::Rehomed, length: Length::Whole, settings });
    }
}

#[test]
fn the_story_with_other_durations() {
    for seed in 2..5 {
        passes(&plan(Settings { seed, ..Settings::default() }));
    }
}

#[test]
fn the_story_with_random_faults() {
    for seed in 100..104 {
        passes(&plan(Settings { seed, faults: Some(Rates::default()), ..Settings::default() }));
    }
}
