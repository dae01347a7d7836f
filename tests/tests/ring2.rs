//! Ring 2: the whole controller over both simulated worlds, in virtual time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use rehost_tests::sim::{Extent, NAME, Settings, chapters, simulate, tell};

#[test]
fn the_story_without_faults() {
    let settings = Settings { check_shapes: true, ..Settings::default() };
    let outcome = simulate(settings, |run| async move {
        run.start_controller();
        tell(&run, NAME, &chapters(Extent::Machines)).await
    });
    assert!(outcome.is_fine(), "{}", outcome.report("cargo test -p rehost-tests --test ring2 the_story_without_faults"));
    println!("{}", outcome.story);
    println!("{} requests, {} virtual seconds, hash {}", outcome.requests, outcome.seconds, outcome.hash);
}
