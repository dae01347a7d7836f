//! What the clock says: when the notebook starts and stops, and how long it may run. Known, and followed, even where the
//! rest of the wish is refused.

use std::sync::Arc;

use jiff::Timestamp;
use rehost_api::notebook::{DeletionPolicy, LifetimeAction, SchedulePolicy};
use rehost_api::shape::digest_of;
use rehost_api::{Notebook, NotebookClass};

use super::words::ClassWord;
use super::{Calendar, HomePolicy, Refusal, resolve};
use crate::seen::Seen;

/// What the clock says of a notebook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Clock {
    /// When it starts and stops.
    pub schedule: Option<Schedule>,
    /// How long it may run.
    pub lifetime: Option<Lifetime>,
}

/// When a notebook starts and stops by the clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// A digest of the words: other words are another schedule.
    pub digest: String,
    /// When it starts.
    pub start: Option<Calendar>,
    /// When it stops.
    pub stop: Option<Calendar>,
}

/// What a schedule says at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The notebook starts.
    Start,
    /// The notebook stops.
    Stop,
}

impl Schedule {
    /// The last thing that it said after `after`, up to `now`. Where it said both at one moment, the notebook starts.
    #[must_use]
    pub fn last(&self, after: Timestamp, now: Timestamp) -> Option<(Timestamp, Turn)> {
        let last = |calendar: &Option<Calendar>| calendar.as_ref().and_then(|calendar| calendar.last(now));
        let said = [(last(&self.stop), Turn::Stop), (last(&self.start), Turn::Start)];
        let said = said.into_iter().filter_map(|(at, turn)| at.filter(|at| *at > after).map(|at| (at, turn)));
        said.max_by_key(|(at, _)| *at)
    }

    /// When it next says anything.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        [&self.start, &self.stop].into_iter().flatten().filter_map(|calendar| calendar.next(now)).min()
    }
}

/// How long a notebook may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// So many seconds after its start.
    pub after_s: i64,
    /// What happens then.
    pub then: LifetimeAction,
    /// What becomes of the home where it is released.
    pub home: HomePolicy,
}

/// What can be read of it; the wish says what cannot.
pub(super) fn clock(notebook: &Notebook, class: &Seen<Arc<NotebookClass>>) -> Clock {
    let class = ClassWord::of(notebook, class).ok();
    Clock {
        schedule: schedule(notebook).ok().flatten(),
        lifetime: class.and_then(|class| lifetime(notebook, &class).ok().flatten()),
    }
}

pub(super) fn schedule(notebook: &Notebook) -> Result<Option<Schedule>, Refusal> {
    let Some(words) = &notebook.spec.schedule else { return Ok(None) };
    let SchedulePolicy { start, stop, time_zone } = words;
    let read = |field: &str, line: &Option<String>| {
        let field = format!("spec.schedule.{field}");
        let line = line.as_deref();
        line.map(|line| Calendar::read(&field, line, "spec.schedule.timeZone", time_zone.as_deref())).transpose()
    };
    Ok(Some(Schedule { digest: digest_of(words), start: read("start", start)?, stop: read("stop", stop)? }))
}

pub(super) fn lifetime(notebook: &Notebook, class: &ClassWord<'_>) -> Result<Option<Lifetime>, Refusal> {
    let own = notebook.spec.lifetime.as_ref();
    let given = class.spec.defaults.as_ref().and_then(|given| given.lifetime.as_ref());
    let after_s = match (own.and_then(|it| it.after.as_ref()), given.and_then(|it| it.after.as_ref())) {
        (Some(own), _) => resolve::seconds("spec.lifetime.after", own)?,
        (None, Some(given)) => resolve::of_class(class, "defaults.lifetime.after", given)?,
        (None, None) => return Ok(None),
    };
    let then = own.and_then(|it| it.then).or_else(|| given.and_then(|it| it.then)).unwrap_or_default();
    Ok(Some(Lifetime { after_s, then, home: home_policy(notebook, Some(class)) }))
}

/// What becomes of the home that is given up. A class that cannot be read has no say in it: then the disk is kept, which can be put
/// right later.
pub(super) fn home_policy(notebook: &Notebook, class: Option<&ClassWord<'_>>) -> HomePolicy {
    let own = notebook.spec.storage.as_ref().and_then(|storage| storage.deletion_policy);
    let given = || class.and_then(|class| class.spec.defaults.as_ref()?.deletion_policy);
    match own.or_else(given).unwrap_or_default() {
        DeletionPolicy::Delete => HomePolicy::Delete,
        // Snapshots come later; until then what was to be kept as one is kept as it is.
        DeletionPolicy::Retain | DeletionPolicy::Snapshot => HomePolicy::Retain,
    }
}
