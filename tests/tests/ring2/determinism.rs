//! One seed, one run: in the same process, in another place of a batch, in another process.

use std::process::Command;

use rehost_tests::sim::{Cut, CutPlace, Extent, Rates, Settings, campaign};

use super::plan;

fn settings() -> Settings {
    let cuts = vec![Cut { number: 200, place: CutPlace::BeforeAnswer }];
    Settings { seed: 7, cuts, faults: Some(Rates::default()), ..Settings::default() }
}

#[test]
fn the_same_seed_is_the_same_run_wherever_it_runs() {
    let alone = plan(settings()).run();
    let again = plan(settings()).run();
    assert_eq!(alone.hash, again.hash, "twice in one process");

    // In a batch, after others and beside one on another thread.
    let batch = [plan(Settings { seed: 8, ..settings() }), plan(settings()), plan(settings())];
    let hashes = std::sync::Mutex::new(Vec::new());
    campaign(&batch, 2, |ran, outcome| {
        if ran.settings.seed == 7 {
            hashes.lock().unwrap().push(outcome.hash.clone());
        }
    });
    assert_eq!(*hashes.lock().unwrap(), [alone.hash.clone(), alone.hash.clone()], "in a batch");

    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(["--seed", "7", "--faults", "--cut", "200:before-answer", "--hash"]);
    if super::EXTENT == Extent::Machines {
        command.arg("--machines");
    }
    let output = command.output().expect("the sim binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), alone.hash, "in another process");
}

#[test]
fn another_seed_is_another_run() {
    let one = plan(Settings::default()).run();
    let other = plan(Settings { seed: 2, ..Settings::default() }).run();
    assert_ne!(one.hash, other.hash);
}
