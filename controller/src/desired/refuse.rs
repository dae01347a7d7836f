//! How refusals are worded: the value first, then what is wrong with it, then what would be right. Status writes the
//! field before them.

use rehost_api::conditions::Reason;

use super::Refusal;

/// How many allowed values a message lists.
const LISTED_MAX: usize = 16;

impl Refusal {
    pub(super) fn new(reason: Reason, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason, field: field.into(), message: message.into() }
    }

    /// The class does not allow the value; `allowed` are its defaults and patterns.
    pub(super) fn not_allowed(class: &str, field: impl Into<String>, value: &str, allowed: &[String]) -> Self {
        let instead =
            if allowed.is_empty() { "it allows none".to_owned() } else { format!("it allows {}", list(allowed)) };
        let message = format!("'{value}' is not allowed by class '{class}': {instead}");
        Self::new(Reason::NotAllowedByClass, field, message)
    }

    /// It could not be found out whether the value is right. Nobody needs to act.
    pub(super) fn unknown(field: impl Into<String>, what: &str, why: &str) -> Self {
        let message = format!("{what} is not known at the moment, so nothing is changed until it is: {why}");
        Self::new(Reason::CloudUnknown, field, message)
    }

    /// The value is valid, and this version cannot do what it asks for.
    pub(super) fn not_yet(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Reason::NotActedOnYet, field, message)
    }

    /// Whether a person must act: otherwise it passes by itself, and the notebook is not stalled.
    #[must_use]
    pub fn needs_a_person(&self) -> bool {
        !matches!(self.reason, Reason::CloudUnknown | Reason::Deleting)
    }
}

/// Values in a sentence, so many that a person still reads them.
pub(super) fn list<T: AsRef<str>>(values: &[T]) -> String {
    let shown: Vec<&str> = values.iter().take(LISTED_MAX).map(AsRef::as_ref).collect();
    let more = values.len().saturating_sub(LISTED_MAX);
    let tail = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{}{tail}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut() {
        let values: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        assert_eq!(list(&values), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 and 4 more");
        assert_eq!(list(&["one"]), "one");
    }
}
