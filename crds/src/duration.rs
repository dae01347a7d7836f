//! Lengths of time as people write them: `15m`, `1h30m`, `7d`.

use crate::validation::{form, rule_saying, text};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt};

/// What a duration looks like: whole days, or hours, minutes and seconds in this order.
///
/// The second half is what CEL's `duration()` reads; days alone are added, because people count a week in days.
pub(crate) const PATTERN: &str = "^([0-9]{1,4}d|([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,7}s)?)$";
const LENGTH_MAX: u32 = 24;

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// A length of time as it was written, for example `90m`, `1h30m`, `7d`, `0s`.
///
/// The text is kept as it is, so that what is read is also what is written back; [`DurationText::seconds`] gives the
/// length. A text that the API server let through under an older definition still decodes, and fails only there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(pub String);

impl Default for DurationText {
    /// No time at all.
    fn default() -> Self {
        Self("0s".to_owned())
    }
}

/// A text that is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a duration: write whole days (7d), or hours, minutes and seconds (1h30m, 90m, 45s)")]
pub struct DurationError(pub String);

impl DurationText {
    /// The length in seconds.
    pub fn seconds(&self) -> Result<u64, DurationError> {
        let refuse = || DurationError(self.0.clone());
        let mut rest = self.0.as_str();
        let mut total_s = 0_u64;
        let mut last_unit_s = u64::MAX;
        if rest.is_empty() || self.0.len() > LENGTH_MAX as usize {
            return Err(refuse());
        }
        while !rest.is_empty() {
            let digits = rest.find(|letter: char| !letter.is_ascii_digit()).ok_or_else(refuse)?;
            let number: u64 = rest[..digits].parse().map_err(|_| refuse())?;
            let unit_s = match rest.as_bytes()[digits] {
                b'd' if last_unit_s == u64::MAX && rest.len() == digits + 1 => DAY,
                b'h' => HOUR,
                b'm' => MINUTE,
                b's' => SECOND,
                _ => return Err(refuse()),
            };
            if unit_s >= last_unit_s {
                return Err(refuse());
            }
            last_unit_s = unit_s;
            total_s = number.checked_mul(unit_s).and_then(|part_s| total_s.checked_add(part_s)).ok_or_else(refuse)?;
            rest = &rest[digits + 1..];
        }
        Ok(total_s)
    }
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Display for DurationText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        text(LENGTH_MAX, vec![form(PATTERN, "a duration", "90m, 1h30m or 7d")])
    }
}

/// A rule that a duration lies between `min` (below a day, as CEL's `duration()` reads it) and `max_days` whole days.
///
/// It holds for a text that is no duration at all: [`DurationText`]'s own rule already says so. Days are compared as if
/// they were hours, because a number that CEL turns back into text has no bound that the API server would accept.
pub(crate) fn between(field: &str, min: &str, max_days: u32) -> serde_json::Value {
    let max_hours = max_days * 24;
    let day_min = if min == "0s" { "0h" } else { "1h" };
    let days = format!("duration(self.{field}.substring(0, size(self.{field}) - 1) + 'h')");
    let rest = format!("duration(self.{field})");
    rule_saying(
        &format!(
            "!has(self.{field}) || !self.{field}.matches(r'{PATTERN}') || (self.{field}.endsWith('d') \
             ? {days} >= duration('{day_min}') && {days} <= duration('{max_days}h') \
             : {rest} >= duration('{min}') && {rest} <= duration('{max_hours}h'))"
        ),
        &format!("\"{field} '\" + self.{field} + \"' must be from {min} to {max_days}d\""),
        &format!("{field} must be from {min} to {max_days}d"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in [
            ("0s", 0),
            ("45s", 45),
            ("15m", 900),
            ("90m", 5400),
            ("2h", 7200),
            ("1h30m", 5400),
            ("1h0m5s", 3605),
            ("7d", 604_800),
        ] {
            assert_eq!(DurationText::from(text).seconds(), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn refuses_what_has_no_one_meaning() {
        for text in [
            "",
            "15",
            "m",
            "15 m",
            "-15m",
            "1.5h",
            "30m1h",
            "1h1h",
            "1d12h",
            "1h2d",
            "15M",
            "99999999999999999999s",
            "ümlaut",
        ] {
            assert_eq!(DurationText::from(text).seconds(), Err(DurationError(text.to_owned())), "{text}");
        }
    }
}
