//! Ring 2 from the command line: the story with the controller cut down at its requests, or with random faults.
//!
//! ```text
//! sim                                    the story once
//! sim --cut 123:before-answer --story    one run again, with its story
//! sim --every 1                          a cut at every request, in all three places, and once again in the recovery
//! sim --seeds 50 --faults                fifty seeds with random faults
//! sim --hash                             only the hash of the run: equal runs have equal ones
//! ```

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::Parser;
use rehost_tests::sim::{Cut, CutPlace, Extent, Plan, Rates, Settings, campaign, cuts_again, cuts_at};

/// Runs the whole controller over both simulated worlds, in virtual time.
#[derive(Parser)]
struct Arguments {
    /// The seed; with --seeds, the first.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Only the part of the story that plays on virtual machines.
    #[arg(long)]
    machines: bool,
    /// Random faults.
    #[arg(long)]
    faults: bool,
    /// Cuts, one after the other, each NUMBER:PLACE; places are before-sending, before-answer and before-status.
    #[arg(long, value_delimiter = ',', value_parser = cut)]
    cut: Vec<Cut>,
    /// A run for every so-manieth request of the story, in each place.
    #[arg(long)]
    every: Option<u64>,
    /// With --every: the first request.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// With --every: the last request; without, the story's last.
    #[arg(long)]
    to: Option<u64>,
    /// How many runs at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print the story of each run.
    #[arg(long)]
    story: bool,
    /// Print only the run's hash.
    #[arg(long)]
    hash: bool,
}

fn cut(text: &str) -> Result<Cut, String> {
    let (number, place) = text.split_once(':').ok_or("a cut is NUMBER:PLACE")?;
    let number = number.parse().map_err(|error| format!("{number}: {error}"))?;
    let place = CutPlace::named(place).ok_or_else(|| format!("{place} is no place"))?;
    Ok(Cut { number, place })
}

fn plans(arguments: &Arguments) -> Vec<Plan> {
    let extent = if arguments.machines { Extent::Machines } else { Extent::Whole };
    let faults = arguments.faults.then(Rates::default);
    let mut plans = Vec::new();
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let settings = Settings { seed, faults, cuts: arguments.cut.clone(), ..Settings::default() };
        let plan = Plan { extent, settings };
        let Some(step) = arguments.every else {
            plans.push(plan);
            continue;
        };
        let last = arguments.to.unwrap_or_else(|| plan.run().requests);
        let numbers = || (arguments.from..=last).step_by(usize::try_from(step.max(1)).unwrap_or(usize::MAX));
        let all = cuts_at(numbers()).into_iter().chain(cuts_again(numbers()));
        plans.extend(all.map(|cuts| Plan { extent, settings: Settings { cuts, ..plan.settings.clone() } }));
    }
    plans
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let plans = plans(&arguments);
    let done = AtomicUsize::new(0);
    let wrong = campaign(&plans, arguments.jobs, |plan, outcome| {
        let count = done.fetch_add(1, Ordering::Relaxed) + 1;
        if arguments.hash {
            println!("{}", outcome.hash);
        } else if arguments.story {
            println!("{}", outcome.report(&plan.replay()));
        } else if count.is_multiple_of(50) {
            eprintln!("{count} of {}", plans.len());
        }
    });
    for result in &wrong {
        if !arguments.story {
            println!("{}", result.outcome.report(&result.plan.replay()));
        }
    }
    if !wrong.is_empty() {
        println!("wrong:");
        for result in &wrong {
            let why = result.outcome.violations.first().map(ToString::to_string);
            println!("  {}\n    {}", result.plan.replay(), why.or(result.outcome.failed.clone()).unwrap_or_default());
        }
    }
    if !arguments.hash {
        println!("{} passed, {} failed", plans.len() - wrong.len(), wrong.len());
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
