//! What happened in a run, in order: the story that a failing run prints, and the hash that two equal runs share.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// How much an entry matters to somebody who reads the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It changed nothing: a read, a poll.
    Minor,
    /// It changed something, or was meant to.
    Major,
    /// The test's own doing: a step of the story, a crash, a fault.
    Headline,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, in virtual time.
    pub at: Timestamp,
    /// How much it matters.
    pub weight: Weight,
    /// Who did it.
    pub who: String,
    /// What was done, and what came of it.
    pub what: String,
}

/// Text that is hashed as it is written, without a copy.
struct Hashed<'a> {
    hash: &'a mut Sha256,
    length: usize,
}

impl fmt::Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.hash.update(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

/// The record of one run.
#[derive(Debug)]
pub struct Chronicle {
    start: Timestamp,
    entries: Vec<Entry>,
    hash: Sha256,
}

impl Chronicle {
    /// An empty record of a run that begins at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self { start, entries: Vec::new(), hash: Sha256::new() }
    }

    /// Writes down what happened. `whole` is hashed and not kept: bodies belong there.
    pub fn note(&mut self, at: Timestamp, weight: Weight, who: &str, what: String, whole: impl fmt::Display) {
        self.hash.update(at.as_nanosecond().to_le_bytes());
        for part in [who, what.as_str()] {
            self.hash.update(part.len().to_le_bytes());
            self.hash.update(part.as_bytes());
        }
        let mut hashed = Hashed { hash: &mut self.hash, length: 0 };
        // Hashing cannot fail.
        let _ = write!(hashed, "{whole}");
        let length = hashed.length;
        self.hash.update(length.to_le_bytes());
        self.entries.push(Entry { at, weight, who: who.to_owned(), what });
    }

    /// A hash over everything, bodies included. Equal runs have equal hashes.
    pub fn hash(&self) -> String {
        self.hash.clone().finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// The story for people: one line an entry, the time in seconds since the start; runs of reads become one line.
    pub fn story(&self, least: Weight) -> String {
        let mut text = String::new();
        let mut passed_over = 0_usize;
        for entry in &self.entries {
            if entry.weight < least {
                passed_over += 1;
                continue;
            }
            if passed_over > 0 {
                let _ = writeln!(text, "            … {passed_over} that changed nothing");
                passed_over = 0;
            }
            let seconds = entry.at.duration_since(self.start).as_secs_f64();
            let mark = if entry.weight == Weight::Headline { "==" } else { "  " };
            let _ = writeln!(text, "{mark}{seconds:>9.3} {}: {}", entry.who, entry.what);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_runs_have_equal_hashes_and_bodies_count() {
        let start = Timestamp::UNIX_EPOCH;
        let told = |body: &str| {
            let mut chronicle = Chronicle::new(start);
            chronicle.note(start, Weight::Major, "controller", "POST instances -> 200".into(), body);
            chronicle.hash()
        };
        assert_eq!(told("{}"), told("{}"));
        assert_ne!(told("{}"), told("{ }"));
    }

    #[test]
    fn the_story_leaves_out_what_changed_nothing() {
        let start = Timestamp::UNIX_EPOCH;
        let mut chronicle = Chronicle::new(start);
        chronicle.note(start, Weight::Minor, "controller", "GET".into(), "");
        chronicle.note(start, Weight::Headline, "story", "created".into(), "");
        let story = chronicle.story(Weight::Major);
        assert!(story.contains("1 that changed nothing") && story.contains("story: created"), "{story}");
        assert!(!story.contains("GET"), "{story}");
    }
}
