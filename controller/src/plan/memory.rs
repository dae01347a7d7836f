//! What the planner remembers from one pass to the next: the part of status that is memory, not report.

use jiff::Timestamp;
use rehost_api::status::{
    FollowedSchedule, FormerHome, FormerHost, Handled, HomeRecord, HostRecord, Kernels, NotebookStatus, Resolved,
    Retry, Stopped, Transition,
};

/// The planner's memory, as status keeps it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The wished host as it was resolved.
    pub resolved: Option<Resolved>,
    /// The host that has the home, or had it last.
    pub host: Option<HostRecord>,
    /// The host before the last handover.
    pub former: Option<FormerHost>,
    /// The home disk.
    pub home: Option<HomeRecord>,
    /// The disk that was the home before.
    pub former_home: Option<FormerHome>,
    /// The change under way.
    pub transition: Option<Transition>,
    /// The number of the latest transition.
    pub last_transition: i64,
    /// What could not be had.
    pub retry: Option<Retry>,
    /// When and why the notebook was stopped.
    pub stopped: Option<Stopped>,
    /// Since when the notebook runs.
    pub started: Option<Timestamp>,
    /// How far the schedule was followed.
    pub schedule: Option<FollowedSchedule>,
    /// What became of the kernels when the notebook was last to be suspended.
    pub kernels: Option<Kernels>,
    /// The requests that were carried out.
    pub handled: Handled,
}

impl Memory {
    /// What a status remembers.
    #[must_use]
    pub fn of(status: &NotebookStatus) -> Self {
        Self {
            resolved: status.resolved.clone(),
            host: status.host.clone(),
            former: status.former.clone(),
            home: status.home.clone(),
            former_home: status.former_home.clone(),
            transition: status.transition.clone(),
            last_transition: status.last_transition.unwrap_or(0),
            retry: status.retry.clone(),
            stopped: status.stopped.clone(),
            started: status.started,
            schedule: status.schedule.clone(),
            kernels: status.kernels.clone(),
            handled: status.handled.clone().unwrap_or_default(),
        }
    }

    /// Writes the memory into a status.
    pub fn write(&self, status: &mut NotebookStatus) {
        let Self {
            resolved,
            host,
            former,
            home,
            former_home,
            transition,
            last_transition,
            retry,
            stopped,
            started,
            schedule,
            kernels,
            handled,
        } = self.clone();
        status.resolved = resolved;
        status.host = host;
        status.former = former;
        status.home = home;
        status.former_home = former_home;
        status.transition = transition;
        status.last_transition = (last_transition > 0).then_some(last_transition);
        status.retry = retry;
        status.stopped = stopped;
        status.started = started;
        status.schedule = schedule;
        status.kernels = kernels;
        status.handled = (handled != Handled::default()).then_some(handled);
    }
}
