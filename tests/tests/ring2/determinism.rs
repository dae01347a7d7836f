//! One seed, one run: in the same process, in another place of a batch, in another process.

use std::process::Command;
use std::sync::Mutex;

use rehost_tests::sim::{Cut, CutPlace, Extent, Plan, Rates, Settings, campaign};

use super::plan;

/// Several seeds, each without anything, with faults, with a cut, with both.
fn plans() -> Vec<Plan> {
    let cut = |number, place| vec![Cut { number, place }];
    let row = |seed, faults: bool, cuts| {
        let faults = faults.then(Rates::default);
        plan(Settings { seed, faults, cuts, tell_reads: true, ..Settings::default() })
    };
    vec![
        row(1, false, Vec::new()),
        row(2, false, cut(400, CutPlace::BeforeStatus)),
        row(3, true, Vec::new()),
        row(7, true, cut(200, CutPlace::BeforeAnswer)),
        row(11, false, cut(1_500, CutPlace::BeforeSending)),
    ]
}

#[test]
fn the_same_seed_is_the_same_run_wherever_it_runs() {
    let plans = plans();
    let alone: Vec<_> = plans.iter().map(Plan::run).collect();
    for (plan, first) in plans.iter().zip(&alone) {
        // The stories first: where they differ, they say where.
        let again = plan.run();
        let lines = first.story.lines().zip(again.story.lines());
        for (line, other) in lines {
            assert_eq!(line, other, "twice in one process: {}", plan.replay());
        }
        assert_eq!(first.hash, again.hash, "twice in one process: {}", plan.replay());
        assert_eq!(in_another_process(plan), first.hash, "in another process: {}", plan.replay());
    }

    // In a batch, on two threads, after others and beside them.
    let batch: Vec<Plan> = plans.iter().chain(plans.iter().rev()).cloned().collect();
    let hashes = Mutex::new(Vec::new());
    campaign(&batch, 2, |plan, outcome, _| hashes.lock().unwrap().push((plan.settings.seed, outcome.hash.clone())));
    for (seed, hash) in hashes.into_inner().unwrap() {
        let place = plans.iter().position(|plan| plan.settings.seed == seed).unwrap();
        assert_eq!(hash, alone[place].hash, "in a batch: {}", plans[place].replay());
    }
}

fn in_another_process(plan: &Plan) -> String {
    let Settings { seed, cuts, faults, .. } = &plan.settings;
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    command.args(["--seed", &seed.to_string(), "--whole", "--hash"]);
    command.args(cuts.iter().flat_map(|cut| ["--cut".to_owned(), cut.to_string()]));
    if faults.is_some() {
        command.arg("--faults");
    }
    if plan.extent == Extent::Machines {
        command.arg("--machines");
    }
    let output = command.output().expect("the sim binary runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn another_seed_is_another_run() {
    let one = plan(Settings::default()).run();
    let other = plan(Settings { seed: 2, ..Settings::default() }).run();
    assert_ne!(one.hash, other.hash);
}
