//! Time, as the controller is given it. Nothing else reads a clock, so that a simulation can own time.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

/// A clock that all parts of one controller share.
pub type SharedClock = Arc<dyn Clock>;

/// What time it is, and how to wait.
pub trait Clock: Send + Sync {
    /// The time of day, for what people and other systems read. It may jump.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment; it never goes back. Deadlines and leases are judged by this one.
    fn monotonic(&self) -> Duration;
    /// A future that is done after `duration` of this clock's time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's own clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[allow(clippy::disallowed_methods, reason = "the one place that may read the machine's clocks")]
    pub fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that may read the machine's clocks")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

/// A clock that runs `factor` times faster than the machine's, beside a simulated cloud that does the same.
#[derive(Clone, Copy, Debug)]
pub struct ScaledClock {
    base: SystemClock,
    start: Timestamp,
    factor: u32,
}

impl ScaledClock {
    /// A clock that starts at the machine's time and runs `factor` times faster (a factor of 0 counts as 1).
    pub fn new(factor: u32) -> Self {
        let base = SystemClock::new();
        Self { base, start: base.now(), factor: factor.max(1) }
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Timestamp {
        later(self.start, self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.base.monotonic().saturating_mul(self.factor)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.base.sleep(duration / self.factor)
    }
}

/// Tokio's clock, which a paused runtime moves by itself: virtual time in simulations.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock {
    start: Timestamp,
    origin: tokio::time::Instant,
}

impl TokioClock {
    /// A clock that says `start` now. To be made inside the runtime whose time it tells.
    #[allow(clippy::disallowed_methods, reason = "tokio's clock, which the simulation owns")]
    pub fn new(start: Timestamp) -> Self {
        Self { start, origin: tokio::time::Instant::now() }
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        later(self.start, self.monotonic())
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

/// `start + elapsed`, held at the end of time rather than overflowing.
fn later(start: Timestamp, elapsed: Duration) -> Timestamp {
    SignedDuration::try_from(elapsed).ok().and_then(|elapsed| start.checked_add(elapsed).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scaled_clock_waits_less_and_says_more() {
        let clock = ScaledClock::new(1_000);
        let (before, monotonic) = (clock.now(), clock.monotonic());
        let real = SystemClock::new();
        clock.sleep(Duration::from_secs(20)).await;
        assert!(real.monotonic() < Duration::from_secs(10), "20 s of its time are 20 ms of ours");
        assert!(clock.monotonic() - monotonic >= Duration::from_secs(20));
        assert!(clock.now().duration_since(before) >= SignedDuration::from_secs(19));
    }

    #[test]
    fn time_ends_instead_of_overflowing() {
        assert_eq!(later(Timestamp::MAX, Duration::from_secs(1)), Timestamp::MAX);
        assert_eq!(later(Timestamp::UNIX_EPOCH, Duration::MAX), Timestamp::MAX);
        assert_eq!(later(Timestamp::UNIX_EPOCH, Duration::from_secs(1)).as_second(), 1);
    }
}
