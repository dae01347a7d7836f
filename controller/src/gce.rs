//! Compute Engine behind a narrow surface: reads that say Absent, Present or Unknown, changes as plain data, operations
//! that nobody waits for, and errors by consequence.
//!
//! The official SDK does the work, but for one thing: its lists cannot be cut to the fields that are read, so the
//! [`inventory`] does its own. The SDK's retries and pollers are off: who retries, and when, is decided by the plan
//! alone.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed"))]

pub mod catalogue;
pub mod connect;
pub mod errors;
pub mod inventory;
pub mod model;
pub mod mutation;
pub mod operations;

mod body;
mod convert;
#[cfg(test)]
mod over_http;
mod read;
mod refusal;
mod send;
#[cfg(test)]
mod stubs;

use std::sync::Arc;
use std::time::Duration;

use google_cloud_compute_v1::client;
use google_cloud_gax::Result as SdkResult;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::guest_files::GuestFiles;

pub use connect::{ConnectError, GceSettings, install_crypto};
pub use errors::{Cause, Consequence, GceError};
pub use inventory::Sweep;
pub use mutation::{Mutation, Place};

/// How long the cloud may take to answer one request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How much longer we wait than the SDK is told to, so that its own, better sentence comes first.
const REQUEST_GRACE: Duration = Duration::from_secs(5);
/// How long a request may wait for its turn before it is given up unsent.
const TURN_WAIT: Duration = Duration::from_secs(5);
/// How many reads are under way at once.
const READS_IN_FLIGHT_MAX: usize = 32;
/// How many changes are under way at once (as requests: operations are many more).
const CHANGES_IN_FLIGHT_MAX: usize = 32;

/// The SDK's clients that the controller uses, one for each kind of object.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "each is the SDK's client of that name")]
pub struct Clients {
    pub instances: client::Instances,
    pub disks: client::Disks,
    pub images: client::Images,
    pub snapshots: client::Snapshots,
    pub zone_operations: client::ZoneOperations,
    pub region_operations: client::RegionOperations,
    pub global_operations: client::GlobalOperations,
    pub machine_types: client::MachineTypes,
    pub accelerator_types: client::AcceleratorTypes,
    pub regions: client::Regions,
    pub projects: client::Projects,
}

/// Compute Engine. A clone is the same connection.
///
/// # Guarantees
/// - No method waits for an operation, and none retries.
/// - A read says `Absent` only when the API said in its own words that there is no such thing; an HTTP 404 of somebody
///   on the way is `Unknown`.
/// - Requests under way are bounded, reads and changes apart, and so is the time of each.
#[derive(Clone)]
pub struct Gce {
    inner: Arc<Inner>,
}

struct Inner {
    clients: Clients,
    sweep: Arc<dyn Sweep>,
    guest: GuestFiles,
    reads: Semaphore,
    changes: Semaphore,
}

impl Gce {
    /// Compute Engine by its parts, which is how a simulation hands in its own. `guest` is what every host gets to run.
    pub fn from_parts(clients: Clients, sweep: Arc<dyn Sweep>, guest: GuestFiles) -> Self {
        let reads = Semaphore::new(READS_IN_FLIGHT_MAX);
        let changes = Semaphore::new(CHANGES_IN_FLIGHT_MAX);
        Self { inner: Arc::new(Inner { clients, sweep, guest, reads, changes }) }
    }

    /// What every host gets to run.
    pub(crate) fn guest(&self) -> &GuestFiles {
        &self.inner.guest
    }

    fn clients(&self) -> &Clients {
        &self.inner.clients
    }

    /// Sends one reading request, in its turn and within its time.
    async fn ask<T>(&self, what: &str, request: impl Future<Output = SdkResult<T>>) -> Result<T, GceError> {
        let _turn = turn(&self.inner.reads, what, REQUEST_TIMEOUT).await?;
        answer(what, request).await
    }

    /// Sends one changing request. It waits for its turn only briefly: the caller has just seen that it may still lead.
    async fn change<T>(&self, what: &str, request: impl Future<Output = SdkResult<T>>) -> Result<T, GceError> {
        let _turn = turn(&self.inner.changes, what, TURN_WAIT).await?;
        answer(what, request).await
    }
}

/// Waits for a turn among the requests under way; nothing has been sent when this fails.
async fn turn<'a>(turns: &'a Semaphore, what: &str, wait: Duration) -> Result<SemaphorePermit<'a>, GceError> {
    let crowded = || GceError::new(Cause::RateLimited, format!("{what} was not sent: too many requests are under way"));
    tokio::time::timeout(wait, turns.acquire()).await.map_err(|_| crowded())?.map_err(|_| crowded())
}

async fn answer<T>(what: &str, request: impl Future<Output = SdkResult<T>>) -> Result<T, GceError> {
    match tokio::time::timeout(REQUEST_TIMEOUT + REQUEST_GRACE, request).await {
        Ok(answer) => answer.map_err(|error| GceError::from_sdk(&error)),
        Err(_) => Err(GceError::timed_out(what, (REQUEST_TIMEOUT + REQUEST_GRACE).as_secs())),
    }
}
