//! The chance of one life: everything that is drawn for it is drawn here, in order, before it begins.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// A stream of draws that follows from the seed.
#[derive(Debug)]
pub(super) struct Dice(SmallRng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        // Another stream than that of the run's own chance, which has the seed itself.
        Self(SmallRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x006c_6976_6573))
    }

    /// A number from `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0.random_range(low..=high)
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, of_a_hundred: u32) -> bool {
        self.0.random_range(0..100) < of_a_hundred
    }

    /// An index below `length`, which must not be 0.
    pub(super) fn below(&mut self, length: usize) -> usize {
        self.0.random_range(0..length)
    }

    /// One of these.
    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        let index = self.below(of.len());
        #[allow(clippy::indexing_slicing, reason = "the index is below the length")]
        of[index].clone()
    }

    /// One of these, each as likely as its weight says.
    pub(super) fn weighted<T: Copy>(&mut self, of: &[(u32, T)]) -> T {
        let total: u32 = of.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.0.random_range(0..total.max(1));
        for (weight, one) in of {
            if drawn < *weight {
                return *one;
            }
            drawn -= weight;
        }
        self.one(of).1
    }
}
