//! Which replica acts: leader election over a Lease, after client-go's.
//!
//! # Expected flow
//! [`run`] takes the Lease when it is free, writes it again every [`RETRY`], and stops leading when it could not for
//! [`RENEW_DEADLINE`]. Everybody else asks [`Leadership`]; just before a mutation, whether time is left.
//!
//! # Guarantees
//! - A leader's time is counted from *before* it sent the write that gave it the Lease, a contender's wait from *after*
//!   it read that write, both on the monotonic clock. So the old leader has stopped by itself
//!   [`DURATION`]` - `[`RENEW_DEADLINE`] before the next one can start, whatever the network does. Times of day are
//!   written for people and never compared.
//! - Every write is a PUT with the resourceVersion that was read: of two contenders one gets the Lease.
//! - [`Leadership::time_left`] runs out by itself, also when nobody polls [`run`].
//! - A Lease under our own name that this life did not write is somebody else's. A restarted container waits like any
//!   contender, and two replicas that were given one name do not both lead.
//!
//! # Caveats
//! A machine that is frozen as a whole has a monotonic clock that may stand still with it: a request can then leave late.
//! What it may do by then is bounded by the preconditions of the requests themselves.

use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use rehost_api::labels::FIELD_MANAGER;
use std::sync::Arc;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::clock::SharedClock;

/// The name of the Lease.
pub const NAME: &str = "rehost";
/// How long the others leave a Lease alone after they last saw it change.
pub const DURATION: Duration = Duration::from_secs(15);
/// How long a leader acts after the write that made or kept it one.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two tries, to get the Lease or to keep it.
pub const RETRY: Duration = Duration::from_secs(2);
/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);
/// No change is begun with less than this left.
const MARGIN: Duration = Duration::from_secs(2);
/// How often a leader that goes tries to say so, when others write the Lease meanwhile.
const RELEASE_TRIES: u32 = 3;
/// The longest wait that a Lease written by somebody else can impose.
const DURATION_MAX_S: u64 = 3_600;

/// Whether this replica leads, and for how long yet. Clones tell of the same replica.
#[derive(Clone)]
pub struct Leadership {
    clock: SharedClock,
    /// Until when, in monotonic time, this replica leads.
    until: Arc<watch::Sender<Option<Duration>>>,
    /// Whether it was told to give the Lease up.
    released: Arc<watch::Sender<bool>>,
}

impl Leadership {
    /// A replica that does not lead yet.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, until: Arc::new(watch::Sender::new(None)), released: Arc::new(watch::Sender::new(false)) }
    }

    /// How long this replica may act yet without another write of the Lease; zero when it does not lead.
    pub fn time_left(&self) -> Duration {
        let until = *self.until.borrow();
        until.map_or(Duration::ZERO, |until| until.saturating_sub(self.clock.monotonic()))
    }

    /// Whether this replica leads.
    pub fn is_leading(&self) -> bool {
        !self.time_left().is_zero()
    }

    /// Whether a change may be begun: its request must have arrived before another may lead.
    pub fn may_act(&self) -> bool {
        self.time_left() > MARGIN
    }

    /// Waits until this replica leads, or until it does not.
    pub async fn wait_for(&self, leading: bool) {
        let mut until = self.until.subscribe();
        loop {
            let left = self.time_left();
            if left.is_zero() != leading {
                return;
            }
            // A leader's end comes by itself, so it is waited for as well as told.
            let end = if left.is_zero() { futures::future::pending().boxed() } else { self.clock.sleep(left) };
            tokio::select! {
                biased;
                _ = until.changed() => {}
                () = end => {}
            }
        }
    }

    /// Tells [`run`] to stop leading, to write that the Lease is free, and to return. Before this, whoever acts in this
    /// replica has to be done: another one may lead at once.
    pub fn release(&self) {
        self.released.send_replace(true);
    }

    fn lead_until(&self, until: Duration) {
        self.until.send_replace(Some(until));
    }

    fn step_down(&self) {
        self.until.send_replace(None);
    }
}

/// Where the Lease is, and who we are in it.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// The namespace of the Lease.
    pub namespace: String,
    /// Who we are. No two replicas may have the same.
    pub identity: String,
}

/// What a try came to.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// The Lease is ours.
    Ours,
    /// It is somebody else's.
    Theirs(String),
}

/// Why a try came to nothing.
#[derive(Debug, thiserror::Error)]
enum LeaseError {
    /// The API server refused, or was not reached.
    #[error(transparent)]
    Api(#[from] kube::Error),
    /// It did not answer in time.
    #[error("the API server did not answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Takes part in the election until [`Leadership::release`] is called.
pub async fn run(client: kube::Client, settings: LeaseSettings, clock: SharedClock, leadership: Leadership) {
    let mut released = leadership.released.subscribe();
    let mut elector = Elector {
        leases: Api::namespaced(client, &settings.namespace),
        identity: settings.identity,
        clock,
        leadership,
        held: None,
        observed: None,
        acquired: None,
        told: String::new(),
    };
    loop {
        tokio::select! {
            biased;
            _ = released.wait_for(|released| *released) => break,
            () = elector.round() => {}
        }
    }
    elector.give_up().await;
}

struct Elector {
    leases: Api<Lease>,
    identity: String,
    clock: SharedClock,
    leadership: Leadership,
    /// The Lease as our last write left it: it is written again without being read.
    held: Option<Lease>,
    /// The version of the Lease that was last seen, and when it was first seen, in monotonic time.
    observed: Option<(Option<String>, Duration)>,
    /// When this life took the Lease: what tells our writes from those of another by our name.
    acquired: Option<MicroTime>,
    /// What was last written to the log: a leader, or an error.
    told: String,
}

impl Elector {
    /// One try, what follows from it, and the pause after it.
    async fn round(&mut self) {
        let started = self.clock.monotonic();
        let leading = self.leadership.is_leading();
        let limit = if leading { TRY_TIMEOUT.min(self.leadership.time_left()) } else { TRY_TIMEOUT };
        let pause = self.clock.sleep(limit);
        let turn = tokio::select! {
            biased;
            turn = self.attempt() => turn,
            () = pause => Err(LeaseError::TimedOut(limit)),
        };
        match turn {
            Ok(Turn::Ours) => self.lead(started),
            Ok(Turn::Theirs(holder)) => self.follow(holder),
            Err(error) => {
                // What we have in hand may be stale now, whether or not the write took place.
                self.held = None;
                self.tell(&error, leading);
                self.mind_the_deadline();
            }
        }
        let left = self.leadership.time_left();
        self.clock.sleep(if left.is_zero() { RETRY } else { RETRY.min(left) }).await;
        self.mind_the_deadline();
    }

    /// Writes the Lease if it is ours or free.
    async fn attempt(&mut self) -> Result<Turn, LeaseError> {
        if self.leadership.is_leading()
            && let Some(lease) = self.held.take()
        {
            match self.write(lease).await {
                // Another wrote or deleted it meanwhile. Who, is read below.
                Err(error) if is_code(&error, 409) || is_code(&error, 404) => {}
                other => return Ok(other.map(|()| Turn::Ours)?),
            }
        }
        let Some(lease) = self.leases.get_opt(NAME).await? else {
            self.create().await?;
            return Ok(Turn::Ours);
        };
        match self.holder(&lease) {
            Some(holder) => Ok(Turn::Theirs(holder)),
            None => Ok(self.write(lease).await.map(|()| Turn::Ours)?),
        }
    }

    /// Whose the Lease is, if it is neither ours nor free.
    fn holder(&mut self, lease: &Lease) -> Option<String> {
        let now = self.clock.monotonic();
        let version = &lease.metadata.resource_version;
        let since = match &self.observed {
            Some((seen, since)) if seen == version => *since,
            Some(_) | None => {
                self.observed = Some((version.clone(), now));
                now
            }
        };
        let spec = lease.spec.as_ref()?;
        let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty())?;
        if self.wrote(spec) {
            return None;
        }
        let duration = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let duration = duration.map_or(DURATION, |seconds| Duration::from_secs(seconds.clamp(1, DURATION_MAX_S)));
        (now < since.saturating_add(duration)).then_some(holder)
    }

    /// Whether this life wrote `spec`, its answer come or not.
    fn wrote(&self, spec: &LeaseSpec) -> bool {
        spec.holder_identity.as_deref() == Some(self.identity.as_str())
            && self.acquired.is_some()
            && spec.acquire_time == self.acquired
    }

    async fn create(&mut self) -> kube::Result<()> {
        let spec = self.claim(&LeaseSpec::default());
        let lease =
            Lease { metadata: ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() }, spec: Some(spec) };
        let created = self.leases.create(&parameters(), &lease).await?;
        self.keep(created);
        Ok(())
    }

    /// Writes `lease`, which was read, as ours.
    async fn write(&mut self, mut lease: Lease) -> kube::Result<()> {
        lease.spec = Some(self.claim(&lease.spec.unwrap_or_default()));
        let written = self.leases.replace(NAME, &parameters(), &lease).await?;
        self.keep(written);
        Ok(())
    }

    /// The spec that makes the Lease ours, after `former`. From here on it counts as written: its answer may be lost.
    fn claim(&mut self, former: &LeaseSpec) -> LeaseSpec {
        let now = written_time(self.clock.now());
        let ours = self.wrote(former);
        if !ours {
            self.acquired = Some(now.clone());
        }
        let first = former.acquire_time.is_none();
        let transitions = former.lease_transitions.unwrap_or(0);
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: self.acquired.clone(),
            renew_time: Some(now),
            lease_transitions: Some(if ours || first { transitions } else { transitions.saturating_add(1) }),
            ..former.clone()
        }
    }

    fn keep(&mut self, lease: Lease) {
        self.observed = Some((lease.metadata.resource_version.clone(), self.clock.monotonic()));
        self.held = Some(lease);
    }

    fn lead(&mut self, started: Duration) {
        if !self.leadership.is_leading() {
            info!(identity = self.identity, "this replica leads");
        }
        self.told.clone_from(&self.identity);
        self.leadership.lead_until(started.saturating_add(RENEW_DEADLINE));
        self.mind_the_deadline();
    }

    fn follow(&mut self, holder: String) {
        self.held = None;
        if self.leadership.until.borrow().is_some() {
            warn!(holder, "the Lease is another's: this replica leads no more");
            self.leadership.step_down();
        } else if self.told != holder {
            info!(holder, "another replica leads");
        }
        self.told = holder;
    }

    /// Writes a failure to the log: each time while it may cost the leadership, else once.
    fn tell(&mut self, error: &LeaseError, leading: bool) {
        let words = error.to_string();
        if leading || self.told != words {
            warn!(error = words, leading, "the Lease could not be read or written");
        }
        if !leading {
            self.told = words;
        }
    }

    /// Steps down when the time is over.
    fn mind_the_deadline(&mut self) {
        if self.leadership.until.borrow().is_some() && !self.leadership.is_leading() {
            warn!("the Lease could not be renewed in time: this replica leads no more");
            self.held = None;
            self.told.clear();
            self.leadership.step_down();
        }
    }

    /// Stops leading, and says in the Lease that it is free, so that nobody has to wait for its end.
    async fn give_up(&mut self) {
        self.leadership.step_down();
        if self.acquired.is_none() {
            return;
        }
        let limit = self.clock.sleep(TRY_TIMEOUT);
        let freed = tokio::select! {
            biased;
            freed = self.free() => freed,
            () = limit => Err(LeaseError::TimedOut(TRY_TIMEOUT)),
        };
        match freed {
            Ok(()) => info!("the Lease is given up"),
            Err(error) => warn!(%error, "the Lease could not be given up: the others wait for its end"),
        }
    }

    /// Writes that the Lease is nobody's, if it is ours.
    async fn free(&mut self) -> Result<(), LeaseError> {
        for tries_left in (0..RELEASE_TRIES).rev() {
            let Some(mut lease) = self.leases.get_opt(NAME).await? else { return Ok(()) };
            let spec = lease.spec.clone().unwrap_or_default();
            if !self.wrote(&spec) {
                return Ok(());
            }
            let now = written_time(self.clock.now());
            let free = LeaseSpec {
                holder_identity: Some(String::new()),
                lease_duration_seconds: Some(1),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                ..spec
            };
            lease.spec = Some(free);
            match self.leases.replace(NAME, &parameters(), &lease).await {
                Err(error) if is_code(&error, 409) && tries_left > 0 => {}
                other => return Ok(other.map(drop)?),
            }
        }
        Ok(())
    }
}

fn parameters() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// A time as the API keeps it: to the microsecond. What was written is compared with what is read.
fn written_time(now: Timestamp) -> MicroTime {
    MicroTime(Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now))
}

fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

#[cfg(test)]
mod replica;
#[cfg(test)]
mod tests;
