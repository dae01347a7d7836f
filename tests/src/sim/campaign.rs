//! Many runs of one story: cut down at every request, in every place, and again while it recovers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Cut, CutPlace, Extent, NAME, Outcome, Settings, chapters, simulate, tell};

/// How a run is made: the story's extent and the settings.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How much of the story.
    pub extent: Extent,
    /// Everything else.
    pub settings: Settings,
}

impl Plan {
    /// The command that does this run again.
    pub fn replay(&self) -> String {
        let Settings { seed, cuts, faults, .. } = &self.settings;
        let cuts: Vec<String> = cuts.iter().map(ToString::to_string).collect();
        let cuts = if cuts.is_empty() { String::new() } else { format!(" --cut {}", cuts.join(",")) };
        let faults = if faults.is_some() { " --faults" } else { "" };
        let extent = match self.extent {
            Extent::Machines => " --machines",
            Extent::Whole => "",
        };
        format!("cargo run --release -p rehost-tests --bin sim -- --seed {seed}{extent}{faults}{cuts} --story")
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        let extent = self.extent;
        let outcome = simulate(self.settings.clone(), |run| async move {
            run.start_controller();
            tell(&run, NAME, &chapters(extent)).await
        });
        settle_cuts(outcome)
    }
}

/// A cut that never came means that less was tried than was asked for.
fn settle_cuts(mut outcome: Outcome) -> Outcome {
    if outcome.failed.is_none() && outcome.cuts_left > 0 {
        outcome.failed = Some(format!("{} cuts never came: the story has fewer requests", outcome.cuts_left));
    }
    outcome
}

/// A cut at each of these requests, in all three places.
pub fn cuts_at(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<Cut>> {
    let places = |number| CutPlace::ALL.map(|place| vec![Cut { number, place }]);
    numbers.into_iter().flat_map(places).collect()
}

/// The same, and a second one during the recovery: after the new process has listed and swept, somewhere in the look at
/// what the former one left, or soon after.
pub fn cuts_again(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<Cut>> {
    let twice = |number: u64| {
        // Spread over the first sixty requests of the new process and over the places; no chance is needed for that.
        let again = 1 + number.wrapping_mul(7) % 60;
        let place = |shift: u64| match (number + shift) % 3 {
            0 => CutPlace::BeforeSending,
            1 => CutPlace::BeforeAnswer,
            _ => CutPlace::BeforeStatus,
        };
        vec![Cut { number, place: place(0) }, Cut { number: again, place: place(again) }]
    };
    numbers.into_iter().map(twice).collect()
}

/// What became of one run of a campaign.
pub struct Result {
    /// Which run.
    pub plan: Plan,
    /// How it went.
    pub outcome: Outcome,
}

/// Runs them all, on so many threads, and gives back those that went wrong, in order. `told` hears of each.
pub fn campaign(plans: &[Plan], jobs: usize, told: impl Fn(&Plan, &Outcome) + Sync) -> Vec<Result> {
    let next = AtomicUsize::new(0);
    let wrong: Mutex<Vec<(usize, Result)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some((index, plan)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    plans.get(index).map(|plan| (index, plan))
                } {
                    let outcome = plan.run();
                    told(plan, &outcome);
                    if !outcome.is_fine() {
                        let result = Result { plan: plan.clone(), outcome };
                        wrong.lock().unwrap_or_else(PoisonError::into_inner).push((index, result));
                    }
                }
            });
        }
    });
    let mut wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    wrong.sort_by_key(|(index, _)| *index);
    wrong.into_iter().map(|(_, result)| result).collect()
}
