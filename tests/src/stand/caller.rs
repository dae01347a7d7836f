//! A client that asks a notebook `GET /api` all the time, and knows when it was answered.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rehost::clock::SharedClock;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

/// How often it asks, in real time.
const EVERY: Duration = Duration::from_millis(100);
/// How long it waits for one answer. The next one is asked for meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks until it is dropped.
pub struct Caller {
    answered: Arc<Mutex<Vec<Timestamp>>>,
    asking: JoinHandle<()>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

impl Caller {
    /// Asks at an address; times are that clock's.
    #[must_use]
    pub fn start(address: SocketAddr, clock: SharedClock) -> Self {
        let answered = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&answered);
        let asking = tokio::spawn(async move {
            // A connection of its own for every question: what is kept open would hide a change of host.
            let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(PATIENCE).build();
            let Ok(client) = client else { return };
            let mut ticks = tokio::time::interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                ticks.tick().await;
                let (asked, clock, noted) = (client.get(format!("http://{address}/api")), clock.clone(), noted.clone());
                tokio::spawn(async move {
                    if asked.send().await.is_ok_and(|answer| answer.status().is_success()) {
                        noted.lock().unwrap_or_else(PoisonError::into_inner).push(clock.now());
                    }
                });
            }
        });
        Self { answered, asking }
    }

    /// The longest time between two answers from `from` to `to`, in seconds; these two count as answers.
    #[must_use]
    pub fn longest_gap_s(&self, from: Timestamp, to: Timestamp) -> f64 {
        let mut times: Vec<Timestamp> = self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        times.extend([from, to]);
        times.retain(|at| (from..=to).contains(at));
        times.sort_unstable();
        times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs_f64()).fold(0.0, f64::max)
    }
}
