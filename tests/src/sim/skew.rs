//! The time of day on the controller's machine, which may jump, and its monotonic clock, which does not.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use rehost::clock::Clock;

use super::chronicle::Weight;
use super::shared::Shared;

/// The clock of every replica.
pub(super) struct ControllerClock(pub(super) Arc<Shared>);

impl Clock for ControllerClock {
    fn now(&self) -> Timestamp {
        self.0.controller_now()
    }

    fn monotonic(&self) -> Duration {
        self.0.clock.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.0.clock.sleep(duration)
    }
}

impl Shared {
    /// The time of day as the controller reads it.
    pub fn controller_now(&self) -> Timestamp {
        self.clock.now() + SignedDuration::from_secs(self.skew_s.load(Ordering::Relaxed))
    }

    /// The controller's time of day jumps by so many seconds, forward or back.
    pub fn clock_jumps(&self, by_s: i64) {
        self.note(Weight::Headline, "clock", format!("the controller's clock jumps by {by_s} s"), "");
        self.skew_s.fetch_add(by_s, Ordering::Relaxed);
    }
}
