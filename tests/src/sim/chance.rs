//! Faults drawn from the seed: latency, refusals, lost answers, broken and lagging watches, partial lists.

use std::time::Duration;

use jiff::SignedDuration;
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use super::chronicle::Weight;
use super::shared::{CONTROLLER, Shared, lock};
use crate::kube::{ApiServer, Call, Cut, Refusal, Verdict, Which};
use crate::world::{Fault, FaultKind, World};

/// The kinds whose watches break and lag.
const DISTURBED: [&str; 5] = ["notebooks", "pods", "endpointslices", "services", "persistentvolumeclaims"];

/// How often things go wrong: of a thousand requests, or in a minute.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Of a thousand requests to the API server, so many are refused before their effect.
    pub refused_per_mille: u32,
    /// So many lose their answer after their effect.
    pub lost_per_mille: u32,
    /// The most that a request is on its way, in milliseconds.
    pub latency_ms_max: u64,
    /// Faults that are laid in wait in the cloud, in a minute.
    pub cloud_faults_a_minute: u32,
    /// Disturbances of the watches, in a minute.
    pub watch_faults_a_minute: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            refused_per_mille: 20,
            lost_per_mille: 20,
            latency_ms_max: 300,
            cloud_faults_a_minute: 4,
            watch_faults_a_minute: 1,
        }
    }
}

/// The chance of one run.
#[derive(Debug)]
pub struct Chance {
    random: SmallRng,
    rates: Rates,
    calm: bool,
}

impl Chance {
    /// Everything follows from the seed.
    pub fn new(seed: u64, rates: Rates) -> Self {
        Self { random: SmallRng::seed_from_u64(seed), rates, calm: false }
    }

    /// No faults for a while, or faults again.
    pub fn calm(&mut self, calm: bool) {
        self.calm = calm;
    }

    /// How often something is laid in wait.
    pub fn interval(&mut self) -> Duration {
        let a_minute = (self.rates.cloud_faults_a_minute + self.rates.watch_faults_a_minute).max(1);
        let mean_ms = 60_000 / u64::from(a_minute);
        Duration::from_millis(self.random.random_range(mean_ms / 2..=mean_ms * 3 / 2))
    }

    /// How long a request is on its way.
    pub fn latency(&mut self) -> Option<Duration> {
        if self.calm || self.rates.latency_ms_max == 0 {
            return None;
        }
        Some(Duration::from_millis(self.random.random_range(0..=self.rates.latency_ms_max)))
    }

    /// What becomes of a request to the API server. Reads lose answers like writes, watches only break when cut.
    pub fn fate(&mut self, call: &Call, before: bool) -> Verdict {
        if self.calm || call.verb == crate::kube::Verb::Watch {
            return Verdict::Pass;
        }
        let drawn = self.random.random_range(0..1000_u32);
        let rate = if before { self.rates.refused_per_mille } else { self.rates.lost_per_mille };
        if drawn >= rate {
            return Verdict::Pass;
        }
        if !before {
            return Verdict::Break("the connection was reset before the answer".to_owned());
        }
        match self.random.random_range(0..3_u32) {
            0 => Verdict::Break("the connection was reset".to_owned()),
            1 => refused(503, "ServiceUnavailable", "the server is currently unable to handle the request"),
            _ => refused(429, "TooManyRequests", "too many requests, please try again later"),
        }
    }

    /// Lays one disturbance, and says which.
    pub fn disturb(&mut self, world: &mut World, server: &ApiServer, controller: &str) -> Option<String> {
        if self.calm {
            return None;
        }
        let all = self.rates.cloud_faults_a_minute + self.rates.watch_faults_a_minute;
        if self.random.random_range(0..all.max(1)) < self.rates.cloud_faults_a_minute {
            let fault = self.cloud_fault();
            let told = format!("{fault:?}");
            world.fault_add(fault);
            return Some(told);
        }
        Some(self.disturb_watches(server, controller))
    }

    fn cloud_fault(&mut self) -> Fault {
        let method = match self.random.random_range(0..6_u32) {
            0 => "instances.*",
            1 => "disks.*",
            2 => "*.aggregatedList",
            3 => "zoneOperations.*",
            4 => "instances.setMetadata",
            _ => "*",
        };
        let kind = match (self.random.random_range(0..8_u32), method) {
            (0 | 1, _) => http(503, "backendError", "Internal error. Please try again or contact Google Support."),
            (2, "instances.setMetadata") => {
                http(412, "conditionNotMet", "Supplied fingerprint does not match current metadata fingerprint.")
            }
            (2 | 3, _) => FaultKind::RateLimit,
            (4, _) => FaultKind::TimeoutAfterEffect,
            (5, "*.aggregatedList") => FaultKind::PartialList(vec!["us-central1-a".to_owned()]),
            (6, "*.aggregatedList") => FaultKind::HiddenList,
            (5 | 6, _) => FaultKind::Latency(SignedDuration::from_secs(self.random.random_range(1..=8))),
            (_, _) => FaultKind::ConcurrentOperations,
        };
        Fault {
            method: method.to_owned(),
            target: "*".to_owned(),
            after: self.random.random_range(0..4),
            times: 1,
            kind,
        }
    }

    fn disturb_watches(&mut self, server: &ApiServer, controller: &str) -> String {
        let resource = DISTURBED.get(self.random.random_range(0..DISTURBED.len())).copied().unwrap_or("notebooks");
        let which = Which { user: Some(controller.to_owned()), resource: Some(resource.to_owned()) };
        if self.random.random_bool(0.5) {
            let cut = match self.random.random_range(0..3_u32) {
                0 => Cut::End,
                1 => Cut::Break,
                _ => Cut::Gone,
            };
            let count = server.cut_watches(&which, cut);
            return format!("{count} watches of {resource} are cut: {cut:?}");
        }
        let lag = Duration::from_millis(self.random.random_range(0..=8_000));
        server.set_watch_lag(which, lag);
        format!("watches of {resource} lag by {lag:?}")
    }
}

/// What chance does in a run that has any.
impl Shared {
    /// A request to the cloud is on its way for a while.
    pub async fn travels(&self) {
        let wait = lock(&self.chance).as_mut().and_then(Chance::latency);
        if let Some(wait) = wait {
            tokio::time::sleep(wait).await;
        }
    }

    /// What becomes of a request before its effect.
    pub async fn fate_before(&self, call: &Call) -> Verdict {
        if call.user != CONTROLLER {
            return Verdict::Pass;
        }
        self.travels().await;
        lock(&self.chance).as_mut().map_or(Verdict::Pass, |chance| chance.fate(call, true))
    }

    /// What becomes of it after its effect.
    pub async fn fate_after(&self, call: &Call) -> Verdict {
        if call.user != CONTROLLER {
            return Verdict::Pass;
        }
        self.travels().await;
        lock(&self.chance).as_mut().map_or(Verdict::Pass, |chance| chance.fate(call, false))
    }

    /// No faults for a while, those that wait among them; or faults again.
    pub fn calm(&self, calm: bool) {
        let Some(()) = self.draw(|chance| chance.calm(calm)) else { return };
        self.note(Weight::Headline, "chance", if calm { "rests" } else { "goes on" }, "");
        if calm {
            lock(&self.world).faults_clear();
            for resource in DISTURBED {
                let which = Which { user: Some(CONTROLLER.to_owned()), resource: Some(resource.to_owned()) };
                self.server.set_watch_lag(which, Duration::ZERO);
            }
        }
    }

    /// Draws from the run's chance, if it has any.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> Option<T> {
        lock(&self.chance).as_mut().map(draw)
    }
}

fn http(status: u16, reason: &str, message: &str) -> FaultKind {
    FaultKind::HttpError { status, reason: reason.to_owned(), message: message.to_owned() }
}

fn refused(code: u16, reason: &str, message: &str) -> Verdict {
    Verdict::Refuse(Refusal { code, reason: reason.to_owned(), message: message.to_owned(), details: None })
}
