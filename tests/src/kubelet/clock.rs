//! The clock that the stand-in lives by: tokio's virtual one in the simulation, a scaled one over real servers.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

/// Tells the time and lets it pass.
pub trait Clock: Send + Sync {
    /// What time it is.
    fn now(&self) -> Timestamp;
    /// Returns after so long, by this clock.
    fn sleep(&self, how_long: Duration) -> BoxFuture<'static, ()>;
}

/// Tokio's clock from a start on, so many times faster.
pub struct TokioClock {
    start: Timestamp,
    from: Instant,
    scale: f64,
}

impl TokioClock {
    /// A clock that shows `start` now, and runs at tokio's speed. To be made within a tokio runtime.
    pub fn new(start: Timestamp) -> Arc<TokioClock> {
        TokioClock::scaled(start, 1.0)
    }

    /// A clock of which `scale` seconds pass in each second of tokio's.
    pub fn scaled(start: Timestamp, scale: f64) -> Arc<TokioClock> {
        Arc::new(TokioClock { start, from: Instant::now(), scale })
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        let elapsed = self.from.elapsed().mul_f64(self.scale);
        self.start + SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX)
    }

    fn sleep(&self, how_long: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(how_long.div_f64(self.scale)))
    }
}
