//! Lives drawn by chance: a few in each run of the tests, and the same seed is the same life wherever it is lived.

use std::process::Command;

use rehost_tests::sim::lives::{Life, batch};

/// How many lives are lived with the tests; `.ci/run` lives more.
const LIVES: u64 = 24;

#[test]
fn lives_come_to_rest_whatever_happens_in_them() {
    let mut stories = Vec::new();
    let batch = batch(1, LIVES, 2, |life, lived, _| {
        if !lived.outcome.is_fine() {
            stories.push(lived.outcome.report(&life.replay()));
        }
    });
    assert_eq!(batch.failed, 0, "{}", stories.join("\n"));
    for (count, least, what) in [
        (batch.requests, 60, "requests"),
        (batch.edits, 4, "edits"),
        (batch.faults, 3, "faults"),
        (batch.crashes, 1, "crashes"),
    ] {
        assert!(count >= least * LIVES, "{count} {what} in {LIVES} lives: {}", batch.averages());
    }
}

#[test]
fn the_same_seed_is_the_same_life_wherever_it_is_lived() {
    let seeds = [3, 5, 8];
    let alone = seeds.map(|seed| Life::new(seed).run().outcome.hash);
    // In a batch, on two threads, beside others.
    let mut beside = Vec::new();
    batch(1, 8, 2, |life, lived, _| beside.push((life.seed, lived.outcome.hash.clone())));
    for (seed, hash) in seeds.into_iter().zip(&alone) {
        let found = beside.iter().find(|(other, _)| *other == seed).map(|(_, hash)| hash);
        assert_eq!(found, Some(hash), "in a batch: {}", Life::new(seed).replay());
        assert_eq!(in_another_process(seed), *hash, "in another process: {}", Life::new(seed).replay());
    }
}

fn in_another_process(seed: u64) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(["--seeds", "1", "--from", &seed.to_string(), "--hash"]);
    let output = command.output().expect("the sim binary runs");
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    text.rsplit(' ').next().unwrap_or_default().to_owned()
}
