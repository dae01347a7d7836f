//! Many lives, on some threads, and what they come to together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Life, LifeOutcome, Reached};
use crate::sim::shared::lock;

/// Many lives together.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// How many lives are over.
    pub done: u64,
    /// In how many of them something was wrong.
    pub failed: u64,
    /// All requests of the controller.
    pub requests: u64,
    /// All edits of people.
    pub edits: u64,
    /// All faults.
    pub faults: u64,
    /// All crashes.
    pub crashes: u64,
    /// What was reached.
    pub reached: Reached,
}

impl Batch {
    fn count(&mut self, life: &LifeOutcome) {
        self.done += 1;
        self.failed += u64::from(!life.outcome.is_fine());
        self.requests += life.requests;
        self.edits += life.edits as u64;
        self.faults += life.faults as u64;
        self.crashes += life.crashes as u64;
        self.reached.add(&life.reached);
    }

    /// What a life had on average.
    #[allow(clippy::cast_precision_loss, reason = "counts, shown to one digit")]
    pub fn averages(&self) -> String {
        let mean = |sum: u64| sum as f64 / self.done.max(1) as f64;
        format!(
            "a life has on average {:.1} requests, {:.1} edits, {:.1} faults, {:.1} crashes",
            mean(self.requests),
            mean(self.edits),
            mean(self.faults),
            mean(self.crashes)
        )
    }

    /// What was never reached and should have been.
    pub fn missing(&self) -> Vec<String> {
        self.reached.missing_reasons().into_iter().map(str::to_owned).collect()
    }

    /// The closing line.
    pub fn closing_words(&self) -> String {
        format!("{} passed, {} failed", self.done - self.failed, self.failed)
    }
}

/// Lives all seeds from one to another, on so many threads. `told` hears of each life as it ends, one at a time.
pub fn batch(from: u64, count: u64, jobs: usize, told: impl FnMut(&Life, &LifeOutcome, &Batch) + Send) -> Batch {
    let next = AtomicU64::new(0);
    let state = Mutex::new((Batch::default(), told));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let life = Life::new(from.saturating_add(number));
                    let outcome = life.run();
                    let (batch, told) = &mut *lock(&state);
                    batch.count(&outcome);
                    told(&life, &outcome, batch);
                }
            });
        }
    });
    state.into_inner().unwrap_or_else(PoisonError::into_inner).0
}
