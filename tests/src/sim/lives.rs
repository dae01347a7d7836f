//! Lives: whole runs with everything drawn from the seed.
//!
//! A life has at least 3 notebooks, 4 edits, 3 faults and 1 crash. People declare notebooks and change them, also while another
//! change is in flight; others meddle in the cloud and in the cluster; the cloud, the guests, the watches, the clock and the lease
//! fail. Then it is calm: everything must converge within the cloud's own times and a minute, where a wait with a name and a time is
//! waited for; then nothing may be written; and the accounts of both worlds are made up. The oracles look after every step.
//! What is drawn, and how often, is in [`drawn`].

mod batch;
mod coverage;
mod deeds;
mod dice;
mod drawn;
mod meddlers;
mod people;
mod settled;
mod telling;
mod weather;

use std::time::Duration;

pub use batch::{Batch, batch};
pub use coverage::{NEVER_WRITTEN, Reached};
pub use drawn::IMPOSSIBLE_TYPES;

use super::line::{Cut, CutPlace};
use super::{Outcome, Rates, Settings, simulate};
use dice::Dice;

/// One life.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// All chance follows from it.
    pub seed: u64,
    /// Whether its story tells of reads too.
    pub tell_reads: bool,
}

/// What became of a life.
#[derive(Clone, Debug)]
pub struct LifeOutcome {
    /// The run.
    pub outcome: Outcome,
    /// How many requests the controller sent in all of it.
    pub requests: u64,
    /// How many edits people made.
    pub edits: usize,
    /// How many faults there were.
    pub faults: usize,
    /// How often the controller died.
    pub crashes: usize,
    /// What was reached.
    pub reached: Reached,
}

impl Life {
    /// A life by its seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, tell_reads: false }
    }

    /// The command that does this life again.
    pub fn replay(&self) -> String {
        format!("cargo run --release -p rehost-tests --bin sim -- --seeds 1 --from {} --story", self.seed)
    }

    /// Lives it.
    pub fn run(&self) -> LifeOutcome {
        let mut dice = Dice::new(self.seed);
        let settings = self.settings(&mut dice);
        let mut told = None;
        let mut counts = (0, 0, 0);
        let outcome = simulate(settings, |run| {
            let (told, counts) = (&mut told, &mut counts);
            async move {
                let mut tale = telling::tell(&run, dice).await;
                let shared = run.shared();
                *counts = (shared.requests(), shared.crashes(), shared.faults());
                tale.reached.add(&shared.reached());
                let ended = std::mem::replace(&mut tale.ended, Ok(()));
                *told = Some(tale);
                ended
            }
        });
        let (edits, faults, reached) = told.map(|tale| (tale.edits, tale.faults, tale.reached)).unwrap_or_default();
        let (requests, crashes, by_the_way) = counts;
        LifeOutcome { outcome, requests, edits, faults: faults + by_the_way, crashes, reached }
    }

    fn settings(&self, dice: &mut Dice) -> Settings {
        let cuts = dice.between(1, 2);
        let mut at = Vec::new();
        for cut in 0..cuts {
            // The first somewhere in the beginning, which every life reaches; what follows, in the recovery or after it.
            let number = if cut == 0 { dice.between(10, 160) } else { dice.between(1, 120) };
            at.push(Cut { number, place: dice.one(&CutPlace::ALL) });
        }
        let stormy = dice.percent(60);
        Settings {
            seed: self.seed,
            cuts: at,
            faults: Some(Rates {
                refused_per_mille: if stormy { 15 } else { 0 },
                lost_per_mille: if stormy { 15 } else { 0 },
                latency_ms_max: dice.one(&[0, 50, 300]),
                cloud_faults_a_minute: 0,
                watch_faults_a_minute: 1,
            }),
            sweep_interval_s: dice.one(&[15, 15, 30]),
            absence: Duration::from_secs(dice.between(1, 20)),
            check_shapes: true,
            tell_reads: self.tell_reads,
            has_key: dice.percent(50),
            replicas: if dice.percent(25) { 2 } else { 1 },
        }
    }
}
