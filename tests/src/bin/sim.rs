//! Ring 2 from the command line: lives, in which everything is drawn from the seed; or the fixed story with the controller cut down
//! at its requests, or with random faults.
//!
//! ```text
//! sim --seeds 10000                      ten thousand lives, and what they reached
//! sim --seeds 1 --from 123 --story       one life again, with its story
//! sim                                    the story once
//! sim --cut 123:before-answer --story    one run again, with its story
//! sim --every 1                          a cut at every request, in all three places, and once again in the recovery
//! sim --every 29 --whole                 at every 29th, with the story told to its end after each
//! sim --runs 50 --faults                 the story with fifty seeds and random faults
//! sim --asleep --every 1                 the same of the story of a notebook that is suspended and woken
//! sim --rehomed --every 1                the same of the story of a home that goes from disk to disk
//! sim --hash                             only the hash of the run: equal runs have equal ones
//! ```

use std::process::ExitCode;

use clap::Parser;
use rehost_tests::sim::lives::{Batch, batch};
use rehost_tests::sim::{Cut, CutPlace, Cuts, Extent, Length, Plan, Rates, Settings, campaign};

/// After how many runs a campaign says how far it is.
const PROGRESS_EVERY: usize = 50;
/// The same, for lives.
const PROGRESS_EVERY_LIVES: u64 = 1_000;
/// How many stories of failed lives are printed; of the others, the command that tells them.
const STORIES_MAX: usize = 2;

/// Runs the whole controller over both simulated worlds, in virtual time.
#[derive(Parser)]
struct Arguments {
    /// How many lives; without, the story is told instead.
    #[arg(long)]
    seeds: Option<u64>,
    /// With --seeds: the first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// The story's seed; with --runs, the first.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds the story is told with.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Only the part of the story that plays on virtual machines.
    #[arg(long)]
    machines: bool,
    /// The story of a notebook that is suspended and woken instead.
    #[arg(long, conflicts_with = "machines")]
    asleep: bool,
    /// The story of a home that goes from disk to disk instead.
    #[arg(long, conflicts_with_all = ["machines", "asleep"])]
    rehomed: bool,
    /// Tell the story to its end, however early the last cut comes.
    #[arg(long)]
    whole: bool,
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
    first: u64,
    /// With --every: the last request; without, the story's last.
    #[arg(long)]
    last: Option<u64>,
    /// How many runs at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Print the story of each run.
    #[arg(long)]
    story: bool,
    /// In the story, tell of reads too.
    #[arg(long)]
    reads: bool,
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
    let extent = match (arguments.machines, arguments.asleep, arguments.rehomed) {
        (true, ..) => Extent::Machines,
        (false, true, _) => Extent::Asleep,
        (false, false, true) => Extent::Rehomed,
        (false, false, false) => Extent::Whole,
    };
    let faults = arguments.faults.then(Rates::default);
    let length = if arguments.whole { Length::Whole } else { Length::Recovery };
    let mut plans = Vec::new();
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.runs) {
        let settings =
            Settings { seed, faults, cuts: arguments.cut.clone(), tell_reads: arguments.reads, ..Settings::default() };
        let plan = Plan { extent, length, settings };
        let Some(step) = arguments.every else {
            plans.push(plan);
            continue;
        };
        let told = plan.run();
        let last = arguments.last.unwrap_or_else(|| told.requests());
        let cuts = Cuts::of(&told, usize::try_from(step).unwrap_or(usize::MAX), arguments.first, last);
        eprintln!("seed {seed}: {cuts}");
        let cuts = cuts.runs.into_iter();
        plans.extend(cuts.map(|cuts| Plan { extent, length, settings: Settings { cuts, ..plan.settings.clone() } }));
    }
    plans
}

/// From so many lives on, a reason that none of them reached is a gap.
const ENOUGH: u64 = 1_000;

/// Lives so many lives, and says what they reached.
fn lives(arguments: &Arguments, seeds: u64) -> ExitCode {
    let mut wrong = Vec::new();
    let began = processor_s();
    let batch = batch(arguments.from, seeds, arguments.jobs, |life, lived, batch| {
        let outcome = &lived.outcome;
        if arguments.hash {
            println!("{} {}", life.seed, outcome.hash);
            return;
        }
        if arguments.story || (!outcome.is_fine() && wrong.len() < STORIES_MAX) {
            println!("{}", outcome.report(&life.replay()));
        }
        if !outcome.is_fine() {
            let why = outcome.violations.first().map(ToString::to_string).or(outcome.failed.clone());
            wrong.push(format!("  {}\n    {}", life.replay(), why.unwrap_or_default()));
        }
        if batch.done.is_multiple_of(PROGRESS_EVERY_LIVES) {
            eprintln!("{} of {seeds}, {} failed", batch.done, batch.failed);
        }
    });
    if arguments.hash {
        return ExitCode::SUCCESS;
    }
    if !wrong.is_empty() {
        println!("wrong:\n{}", wrong.join("\n"));
    }
    println!("{}", batch.reached.words());
    println!("{}; {:.0} lives a CPU second", batch.averages(), rate(&batch, processor_s() - began));
    let missing = batch.missing();
    if !missing.is_empty() {
        println!("never reached: {}", missing.join(", "));
    }
    println!("{}", batch.closing_words());
    let is_covered = missing.is_empty() || batch.done < ENOUGH;
    if batch.failed == 0 && is_covered { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::cast_precision_loss, reason = "shown without digits")]
fn rate(batch: &Batch, processor_s: f64) -> f64 {
    batch.done as f64 / processor_s.max(0.001)
}

/// The processor time of this process so far, in seconds.
fn processor_s() -> f64 {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "seconds of a process")]
    let seconds = spent.tv_sec as f64;
    #[allow(clippy::cast_precision_loss, reason = "below a thousand million")]
    let rest = spent.tv_nsec as f64 / 1e9;
    seconds + rest
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(seeds) = arguments.seeds {
        return lives(&arguments, seeds);
    }
    let plans = plans(&arguments);
    let mut wrong = Vec::new();
    let tally = campaign(&plans, arguments.jobs, |plan, outcome, tally| {
        if arguments.hash {
            println!("{}", outcome.hash);
            return;
        }
        if arguments.story || !outcome.is_fine() {
            println!("{}", outcome.report(&plan.replay()));
        }
        if !outcome.is_fine() {
            let why = outcome.violations.first().map(ToString::to_string).or(outcome.failed.clone());
            wrong.push(format!("  {}\n    {}", plan.replay(), why.unwrap_or_default()));
        }
        if tally.done.is_multiple_of(PROGRESS_EVERY) || !outcome.is_fine() {
            eprintln!("{} of {}, {} failed", tally.done, plans.len(), tally.failed);
        }
    });
    if arguments.hash {
        return ExitCode::SUCCESS;
    }
    if !wrong.is_empty() {
        println!("wrong:\n{}", wrong.join("\n"));
    }
    if let Some(beyond) = tally.beyond_words() {
        println!("{beyond}");
    }
    println!("{}", tally.closing_words());
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
