//! What a run must show, by name.

use std::fmt::Debug;
use std::sync::Arc;

use serde::Serialize;

/// One thing that must hold, and whether it does.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// A sentence that is true when it passes.
    pub name: String,
    /// Whether it does.
    pub passed: bool,
    /// What was found, where it does not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub found: String,
}

/// All of them, in order.
pub struct Checks {
    done: Vec<Check>,
    show: Arc<dyn Fn(&Check) + Send + Sync>,
}

impl Checks {
    /// None yet; each is shown as it is done.
    #[must_use]
    pub fn new(show: Arc<dyn Fn(&Check) + Send + Sync>) -> Self {
        Self { done: Vec::new(), show }
    }

    /// Notes whether `name` holds; `found` is looked at only when it does not.
    pub fn that(&mut self, name: impl Into<String>, passed: bool, found: impl Debug) {
        let found = if passed { String::new() } else { format!("{found:?}") };
        let check = Check { name: name.into(), passed, found };
        (self.show)(&check);
        self.done.push(check);
    }

    /// Notes whether two values are the same.
    pub fn same<T: PartialEq + Debug>(&mut self, name: impl Into<String>, found: &T, expected: &T) {
        self.that(name, found == expected, format_args!("found {found:?}, expected {expected:?}"));
    }

    /// Notes whether a text has all these parts.
    pub fn says(&mut self, name: impl Into<String>, text: &str, parts: &[&str]) {
        self.that(name, parts.iter().all(|part| text.contains(part)), format_args!("{text:?} lacks one of {parts:?}"));
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Check] {
        &self.done
    }

    /// How many passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.done.iter().filter(|check| check.passed).count()
    }

    /// How many failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.done.len() - self.passed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_counted_and_says_what_was_found() {
        let mut checks = Checks::new(Arc::new(|_| {}));
        checks.same("one is one", &1, &1);
        checks.same("one is two", &1, &2);
        checks.says("it is said", "a b", &["a", "c"]);
        assert_eq!((checks.passed(), checks.failed()), (1, 2));
        assert_eq!(checks.all()[1].found, "found 1, expected 2");
        assert!(checks.all()[2].found.contains("\"c\""));
    }
}
