//! How long things take: the real cloud's durations, drawn by the seed.
//!
//! Every figure comes from `cloud-times.json`, a copy of the reference that the project does not change. A duration is
//! drawn from the triangular distribution that has its mode at p50 and falls to nothing at p95: never shorter than the
//! real cloud's median, mostly near it.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// The reference, word for word.
pub const CLOUD_TIMES: &str = include_str!("cloud-times.json");

#[derive(Deserialize)]
struct Figure {
    s: [f64; 2],
}

/// The published figures by name.
#[derive(Clone, Debug)]
pub(super) struct CloudTimes {
    figures: BTreeMap<String, [f64; 2]>,
}

impl CloudTimes {
    /// Reads the copy that is built in.
    pub(super) fn read() -> Self {
        let entries: BTreeMap<String, serde_json::Value> = serde_json::from_str(CLOUD_TIMES).unwrap_or_default();
        let figures = entries
            .into_iter()
            .filter_map(|(name, entry)| Some((name, serde_json::from_value::<Figure>(entry).ok()?.s)))
            .collect();
        Self { figures }
    }

    /// The p50 and p95 of a step, in seconds. A name that the reference does not have is a fault of ours.
    pub(super) fn of(&self, name: &str) -> [f64; 2] {
        match self.figures.get(name) {
            Some(figure) => *figure,
            None => panic!("cloud-times.json has no figure for {name}"),
        }
    }
}

/// The only source of chance. A draw depends on the seed, on what it is drawn for, and on how often that was drawn
/// before; not on what other notebooks do meanwhile. So a story keeps its durations when something is put before it.
#[derive(Clone, Debug)]
pub(super) struct Dice {
    seed: u64,
    drawn: BTreeMap<String, u64>,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, drawn: BTreeMap::new() }
    }

    /// 64 bits for `purpose`.
    pub(super) fn bits(&mut self, purpose: &str) -> u64 {
        // Looked up before it is inserted: most purposes were drawn for already, and need no new key then.
        let nth = if let Some(count) = self.drawn.get_mut(purpose) {
            *count += 1;
            *count
        } else {
            self.drawn.insert(purpose.to_owned(), 0);
            0
        };
        let mut hash = Sha256::new();
        hash.update(self.seed.to_le_bytes());
        hash.update(nth.to_le_bytes());
        hash.update(purpose.as_bytes());
        let digest = hash.finalize();
        digest.iter().take(8).fold(0, |bits, byte| (bits << 8) | u64::from(*byte))
    }

    /// A number between 0 and 1.
    #[allow(clippy::cast_precision_loss, reason = "53 bits are kept, which a double holds")]
    fn fraction(&mut self, purpose: &str) -> f64 {
        (self.bits(purpose) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A duration between two figures in seconds: triangular, the lower one the likeliest.
    pub(super) fn duration(&mut self, purpose: &str, [low_s, high_s]: [f64; 2]) -> SignedDuration {
        let fraction = self.fraction(purpose);
        let seconds = high_s - (high_s - low_s) * (1.0 - fraction).sqrt();
        millis(seconds)
    }
}

/// Seconds as a duration of whole milliseconds, the unit in which the API tells times.
#[allow(clippy::cast_possible_truncation, reason = "minutes at most")]
pub(super) fn millis(seconds: f64) -> SignedDuration {
    SignedDuration::from_millis((seconds * 1000.0).round() as i64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn draws_lie_between_the_figures_and_near_the_median() {
        let times = CloudTimes::read();
        let mut dice = Dice::new(7);
        let [p50, p95] = times.of("instances.stop");
        let mut sum_s = 0.0;
        for _ in 0..1000 {
            let drawn = dice.duration("stop", [p50, p95]).as_secs_f64();
            assert!((p50..=p95).contains(&drawn));
            sum_s += drawn;
        }
        let mean = sum_s / 1000.0;
        assert!((mean - (p50 + (p95 - p50) / 3.0)).abs() < 1.0, "{mean}");
    }

    #[test]
    fn a_draw_depends_on_its_own_purpose_only() {
        let mut alone = Dice::new(1);
        let mut crowd = Dice::new(1);
        crowd.bits("else");
        assert_eq!(alone.bits("x"), crowd.bits("x"));
        assert_ne!(alone.bits("x"), Dice::new(1).bits("x"));
        assert_ne!(Dice::new(2).bits("x"), Dice::new(1).bits("x"));
    }
}
