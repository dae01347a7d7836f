//! One world for many: its clock runs by itself, and who waits for a change hears of it.

use super::super::exchange::{Exchange, Observer};
use super::super::{Method, Request, Response, World};
use jiff::{SignedDuration, Timestamp};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// `zoneOperations.wait` answers after this much of the world's time at the latest.
const WAIT_S_MAX: i64 = 120;

/// The world's time: a real clock, sped up by one factor for everything.
#[derive(Debug, Clone, Copy)]
pub struct WorldClock {
    start: Timestamp,
    since: Instant,
    scale: f64,
}

impl WorldClock {
    /// It is `start` now, and `scale` seconds of the world pass in a real one.
    ///
    /// # Panics
    /// When `scale` is not a positive number.
    pub fn new(start: Timestamp, scale: f64) -> Self {
        assert!(scale.is_finite() && scale > 0.0, "time runs forward: {scale}");
        Self { start, since: Instant::now(), scale }
    }

    /// The world's time.
    pub fn now(&self) -> Timestamp {
        let passed = self.since.elapsed().mul_f64(self.scale);
        let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
        self.start.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// The real time until the world's clock shows `at`; nothing where it already does.
    pub fn until(&self, at: Timestamp) -> Duration {
        Duration::try_from(at.duration_since(self.now())).map_or(Duration::ZERO, |left| left.div_f64(self.scale))
    }

    /// How many seconds of the world pass in a real one.
    pub fn scale(&self) -> f64 {
        self.scale
    }
}

/// One world that the HTTP face, the driver and a test hold together.
#[derive(Clone)]
pub struct SharedWorld {
    inner: Arc<Inner>,
}

struct Inner {
    world: Mutex<World>,
    clock: WorldClock,
    observers: Vec<Observer>,
    /// Counts what may have changed the world: those that wait look again.
    changes: watch::Sender<u64>,
    /// Once true, nobody waits any more.
    closed: watch::Sender<bool>,
}

impl SharedWorld {
    /// Puts a world under a clock. Each observer sees every exchange in the order of the answers.
    pub fn new(world: World, clock: WorldClock, observers: Vec<Observer>) -> Self {
        let world = Mutex::new(world);
        let (changes, closed) = (watch::Sender::new(0), watch::Sender::new(false));
        Self { inner: Arc::new(Inner { world, clock, observers, changes, closed }) }
    }

    /// The world's clock.
    pub fn clock(&self) -> WorldClock {
        self.inner.clock
    }

    /// The test's own hand: what it does is seen at once by those that wait.
    pub fn with<R>(&self, act: impl FnOnce(&mut World, Timestamp) -> R) -> R {
        let result = {
            let mut world = self.lock();
            // The time is read under the lock, so that the world never sees it run backwards.
            let now = self.inner.clock.now();
            world.advance(now);
            act(&mut world, now)
        };
        self.inner.changes.send_modify(|count| *count = count.wrapping_add(1));
        result
    }

    /// A look that changes nothing, not even the time: who waits for changes is not woken by it.
    pub fn look<R>(&self, see: impl FnOnce(&World) -> R) -> R {
        see(&self.lock())
    }

    /// Counts up with whatever may have changed the world.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.inner.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers one request; a `wait` for an operation is held until it is done or two minutes have passed.
    pub async fn answer(&self, request: &Request) -> Response {
        if waits(request) {
            return self.wait(request).await;
        }
        let response = {
            let mut world = self.lock();
            let now = self.inner.clock.now();
            let response = world.handle(now, request);
            self.observe(now, request, &response);
            response
        };
        if request.method != Method::Get {
            self.inner.changes.send_modify(|count| *count = count.wrapping_add(1));
        }
        response
    }

    async fn wait(&self, request: &Request) -> Response {
        let mut changes = self.inner.changes.subscribe();
        let mut closed = self.inner.closed.subscribe();
        let (mut now, mut response) = {
            let mut world = self.lock();
            let now = self.inner.clock.now();
            (now, world.handle(now, request))
        };
        let deadline = now.checked_add(SignedDuration::from_secs(WAIT_S_MAX)).unwrap_or(Timestamp::MAX);
        while is_unfinished(&response) && now < deadline && !*closed.borrow_and_update() {
            tokio::select! {
                biased;
                _ = closed.changed() => {}
                _ = changes.changed() => {}
                () = sleep(self.inner.clock.until(deadline)) => {}
            }
            let mut world = self.lock();
            now = self.inner.clock.now();
            world.advance(now);
            response = world.peek(request);
        }
        let _order = self.lock();
        self.observe(self.inner.clock.now(), request, &response);
        response
    }

    /// Called under the world's lock, so that the log has the order of the answers.
    fn observe(&self, now: Timestamp, request: &Request, response: &Response) {
        if !self.inner.observers.is_empty() {
            let exchange = Exchange::new(now, request, response);
            self.inner.observers.iter().for_each(|observer| observer(&exchange));
        }
    }

    /// Moves the world on whenever something is due. Runs for ever.
    pub(super) async fn drive(&self) -> Infallible {
        let mut changes = self.inner.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let next = self.lock().next_event_at();
            let due = async {
                match next {
                    Some(at) => sleep(self.inner.clock.until(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                // The sender lives as long as `self`, so this never fails.
                _ = changes.changed() => {}
                () = due => self.with(|_, _| ()),
            }
        }
    }

    /// Lets go of those that wait, so that a shutdown does not last two minutes.
    pub(super) fn close(&self) {
        self.inner.closed.send_replace(true);
    }
}

/// Whether a request is a `wait` of zone, region or global operations.
fn waits(request: &Request) -> bool {
    let mut parts = request.path.rsplit('/');
    request.method == Method::Post && parts.next() == Some("wait") && parts.nth(1) == Some("operations")
}

fn is_unfinished(response: &Response) -> bool {
    response.status == 200 && response.body["status"].as_str().is_some_and(|status| status != "DONE")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_runs_at_its_factor() {
        let start: Timestamp = "2026-03-01T08:00:00Z".parse().unwrap();
        let clock = WorldClock::new(start, 60.0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(clock.now(), start + SignedDuration::from_secs(120));
        assert_eq!(clock.until(start + SignedDuration::from_secs(180)), Duration::from_secs(1));
        assert_eq!(clock.until(start), Duration::ZERO);
    }
}
