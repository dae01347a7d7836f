//! When a change of host that interrupts may be made.

use jiff::{SignedDuration, Timestamp};
use rehost_api::Notebook;
use rehost_api::conditions::Reason;
use rehost_api::notebook::{ResizeWhen, ResizeWindow};

use super::words::ClassWord;
use super::{Calendar, Refusal, content, defaults, resolve};

/// When a change of host may be made.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// At once.
    Now,
    /// Once nothing has been going on for so many seconds.
    Idle {
        /// How long.
        after_s: i64,
    },
    /// When the notebook is next stopped.
    NextStop,
    /// In a window.
    Window(Window),
}

/// A time window that comes again.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// When it opens.
    pub opens: Calendar,
    /// How long it is open, in seconds.
    pub duration_s: i64,
}

impl Window {
    /// Whether it is open at this moment: from the second in which it opens to the one before it closes.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        let since = self.opens.last(now).map(|opened| now.duration_since(opened));
        since.is_some_and(|since| since < SignedDuration::from_secs(self.duration_s))
    }
}

/// The notebook's own word, else the class's, else at once.
pub(super) fn when(notebook: &Notebook, class: &ClassWord<'_>) -> Result<When, Refusal> {
    let own = notebook.spec.resize.as_ref();
    let given = || class.spec.defaults.as_ref()?.resize.as_ref()?.when;
    match own.and_then(|resize| resize.when).or_else(given).unwrap_or_default() {
        ResizeWhen::Now => Ok(When::Now),
        ResizeWhen::NextStop => Ok(When::NextStop),
        ResizeWhen::Idle => Ok(When::Idle { after_s: idle_after_s(notebook, class)? }),
        ResizeWhen::Window => match own.and_then(|resize| resize.window.as_ref()) {
            Some(window) => read(window).map(When::Window),
            // The API server refuses this; a resource stored under an older definition may still hold it.
            None => Err(Refusal::new(
                Reason::Refused,
                "spec.resize.window",
                "when is Window, and window is missing: write for example window: {schedule: 0 2 * * *, duration: 2h}",
            )),
        },
    }
}

/// A pause in which people would not mind a move: some minutes, or less where even the stop comes after less.
fn idle_after_s(notebook: &Notebook, class: &ClassWord<'_>) -> Result<i64, Refusal> {
    let stop = content::idle(notebook, class)?.map(|idle| idle.after_s);
    Ok(stop.map_or(defaults::RESIZE_IDLE_S, |after_s| after_s.min(defaults::RESIZE_IDLE_S)))
}

fn read(window: &ResizeWindow) -> Result<Window, Refusal> {
    let zone = window.time_zone.as_deref();
    let field = "spec.resize.window";
    let opens = Calendar::read(&format!("{field}.schedule"), &window.schedule, &format!("{field}.timeZone"), zone)?;
    Ok(Window { opens, duration_s: resolve::seconds(&format!("{field}.duration"), &window.duration)? })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn window(schedule: &str, duration: &str) -> Window {
        let time_zone = Some("Europe/Lisbon".to_owned());
        read(&ResizeWindow { schedule: schedule.into(), duration: duration.into(), time_zone }).unwrap()
    }

    #[test]
    fn a_window_is_open_from_its_time_for_its_duration() {
        let nights = window("0 2 * * *", "2h");
        for (at, open) in [
            ("2026-07-01T00:59:59Z", false),
            ("2026-07-01T01:00:00Z", true),
            ("2026-07-01T02:59:59Z", true),
            ("2026-07-01T03:00:00Z", false),
            // In the night in which the clocks go back the window lasts as long as in any other.
            ("2026-10-25T02:00:00Z", true),
            ("2026-10-25T03:59:59Z", true),
            ("2026-10-25T04:00:00Z", false),
        ] {
            assert_eq!(nights.is_open(at.parse().unwrap()), open, "{at}");
        }
    }

    #[test]
    fn a_window_that_opens_in_the_skipped_hour_opens_after_it() {
        let window = window("30 1 * * *", "30m");
        assert!(window.is_open("2026-03-29T01:00:00Z".parse().unwrap()));
        assert!(!window.is_open("2026-03-29T01:30:00Z".parse().unwrap()));
    }
}
