//! Many runs of one story: cut down at every request, in every place, and again while it recovers.
//!
//! # Why a run may end soon after its last cut
//! Up to its first cut a run is the uncut run to the byte, and what happens there is judged in every run. What a crash can spoil
//! is what is under way when it comes, and what the next process makes of it. So a run of [`Length::Recovery`] tells
//! the chapter in which its last cut fell to its end, until everything is at rest and all oracles agree that it is as status
//! says. From there on the controller has nothing but what both worlds remember, and that is what a chapter that
//! begins at rest begins with, whoever came there by which way: one further chapter shows that it can be acted on. Then the
//! notebook is deleted, which walks over everything that the record names and asks the oracles whether anything else is
//! there, and whether the disk that is kept is the one that there was from the beginning. Each chapter that is told is
//! told with all of its checks, the ending too. What is left out are chapters that begin at rest, with everything on record:
//! [`Length::Whole`] tells them as well.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::moment::different;
use super::shared::lock;
use super::{Cut, CutPlace, Extent, NAME, Outcome, Settings, chapters, simulate, tell, tell_recovery};

/// How much of a story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// All of it.
    Whole,
    /// Until the controller has recovered from its last cut, one chapter more, and the ending.
    Recovery,
}

/// How a run is made: the story's extent and length, and the settings.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How much of the story there is.
    pub extent: Extent,
    /// How much of it is told after the last cut.
    pub length: Length,
    /// Everything else.
    pub settings: Settings,
}

impl Plan {
    /// The command that does this run again.
    pub fn replay(&self) -> String {
        let Settings { seed, cuts, faults, .. } = &self.settings;
        let cuts: Vec<String> = cuts.iter().map(ToString::to_string).collect();
        let length = match self.length {
            Length::Whole if !cuts.is_empty() => " --whole",
            Length::Whole | Length::Recovery => "",
        };
        let cuts = if cuts.is_empty() { String::new() } else { format!(" --cut {}", cuts.join(",")) };
        let faults = if faults.is_some() { " --faults" } else { "" };
        let extent = match self.extent {
            Extent::Machines => " --machines",
            Extent::Asleep => " --asleep",
            Extent::Rehomed => " --rehomed",
            Extent::Whole => "",
        };
        format!("cargo run --release -p rehost-tests --bin sim -- --seed {seed}{extent}{faults}{cuts}{length} --story")
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        let (extent, length) = (self.extent, self.length);
        simulate(self.settings.clone(), |run| async move {
            run.start_controller();
            match length {
                Length::Whole => tell(&run, NAME, &chapters(extent)).await,
                Length::Recovery => tell_recovery(&run, NAME, &chapters(extent)).await,
            }
        })
    }
}

/// The cuts of a campaign.
pub struct Cuts {
    /// What each run is cut at.
    pub runs: Vec<Vec<Cut>>,
    /// How many single cuts these runs stand for.
    pub single: usize,
    /// In how many different states these leave the worlds: as many runs have one cut.
    pub different: usize,
}

impl Cuts {
    /// A cut at every so-manieth request of this run, from one number to another, in all three places, but only one for each state
    /// in which it leaves the worlds; and for every one of these requests a second cut in the recovery.
    pub fn of(told: &Outcome, every: usize, from: u64, to: u64) -> Self {
        let numbers = || (from..=to).step_by(every.max(1));
        let single = numbers().flat_map(|number| CutPlace::ALL.map(|place| Cut { number, place }));
        let different = different(&told.exchanges, single);
        let stand_for = different.iter().map(|(_, count)| count).sum();
        let count = different.len();
        let once = different.into_iter().map(|(cut, _)| vec![cut]);
        Self { runs: once.chain(cuts_again(numbers())).collect(), single: stand_for, different: count }
    }
}

impl fmt::Display for Cuts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let twice = self.runs.len() - self.different;
        write!(
            formatter,
            "{} cuts, which leave {} different states; {twice} runs with two cuts",
            self.single, self.different
        )
    }
}

/// The same, and a second one during the recovery: after the new process has listed and swept, somewhere in the look at
/// what the former one left, or soon after.
fn cuts_again(numbers: impl IntoIterator<Item = u64>) -> Vec<Vec<Cut>> {
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

/// How far a campaign is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many runs are over.
    pub done: usize,
    /// In how many of them something was wrong.
    pub failed: usize,
    /// How many cuts never came, because they lay beyond the end of the story. That is no failure, but nothing was tried there.
    pub beyond: usize,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        self.done += 1;
        self.failed += usize::from(!outcome.is_fine());
        self.beyond += outcome.cuts_left;
    }

    /// Which cuts were not tried, where there are any.
    pub fn beyond_words(&self) -> Option<String> {
        (self.beyond > 0).then(|| format!("{} cuts lay beyond the end", self.beyond))
    }

    /// The closing line.
    pub fn closing_words(&self) -> String {
        format!("{} passed, {} failed", self.done - self.failed, self.failed)
    }
}

/// Runs them all, on so many threads. `told` hears of each run as it ends, with the tally so far, one at a time.
pub fn campaign(plans: &[Plan], jobs: usize, told: impl FnMut(&Plan, &Outcome, Tally) + Send) -> Tally {
    let next = AtomicUsize::new(0);
    let state = Mutex::new((Tally::default(), told));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = plan.run();
                    let (tally, told) = &mut *lock(&state);
                    tally.count(&outcome);
                    told(plan, &outcome, *tally);
                }
            });
        }
    });
    state.into_inner().unwrap_or_else(PoisonError::into_inner).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_beyond_the_end_is_counted_and_is_no_failure() {
        let cuts = vec![Cut { number: 1_000_000, place: CutPlace::BeforeSending }];
        let settings = Settings { cuts, ..Settings::default() };
        let plan = Plan { extent: Extent::Machines, length: Length::Recovery, settings };
        let tally = campaign(&[plan], 1, |_, _, _| ());
        assert_eq!(tally, Tally { done: 1, failed: 0, beyond: 1 });
        assert_eq!(tally.closing_words(), "1 passed, 0 failed");
        assert_eq!(tally.beyond_words().as_deref(), Some("1 cuts lay beyond the end"));
    }
}
