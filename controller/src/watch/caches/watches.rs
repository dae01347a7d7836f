//! One watch for each kind, all in one future.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use rehost_api::{Notebook, NotebookClass};

use super::Caches;
use super::waking::Concerns;
use crate::clock::{Clock, SharedClock};
use crate::watch::queue::Queue;
use crate::watch::slim::{AttachmentSeen, ClaimSeen, NamespaceSeen, PodSeen, ServiceSeen, SliceSeen, VolumeSeen};

/// Objects a page of a list.
const PAGE_OBJECTS: u32 = 500;
/// The first wait after an error of a watch.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// The longest.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// An error after as long a time without one is a first error again. Longer than the longest wait, so that a watch which
/// fails whenever it is tried is not tried more often.
const QUIET: Duration = Duration::from_mins(1);

/// Told of every failure of a watch: the kind that was watched.
pub type OnWatchFailure = Arc<dyn Fn(&'static str) + Send + Sync>;

/// Watches everything that the controller reads of the cluster, keeps `caches`, and wakes those notebooks whose part of the
/// world changed. It never ends; to stop it, drop it.
///
/// Nodes are not watched: nothing is read of them.
pub async fn run_watches(
    client: Client,
    caches: Arc<Caches>,
    queue: Arc<Queue>,
    clock: SharedClock,
    on_failure: OnWatchFailure,
) {
    let keeper = Keeper { caches: caches.as_ref(), queue: queue.as_ref(), clock: clock.as_ref(), on_failure };
    futures::join!(
        // In this order their turns come: what wakes a notebook comes after what it will be looked at with.
        keeper.watch::<NotebookClass>(&client),
        keeper.watch::<NamespaceSeen>(&client),
        keeper.watch::<VolumeSeen>(&client),
        keeper.watch::<ClaimSeen>(&client),
        keeper.watch::<AttachmentSeen>(&client),
        keeper.watch::<ServiceSeen>(&client),
        keeper.watch::<SliceSeen>(&client),
        keeper.watch::<PodSeen>(&client),
        keeper.watch::<Notebook>(&client),
    );
}

/// What every watch feeds.
struct Keeper<'a> {
    caches: &'a Caches,
    queue: &'a Queue,
    clock: &'a dyn Clock,
    on_failure: OnWatchFailure,
}

impl Keeper<'_> {
    async fn watch<K: Concerns>(&self, client: &Client) {
        let api: Api<DeserializeGuard<K>> = Api::all(client.clone());
        let config = watcher::Config::default().page_size(PAGE_OBJECTS);
        let config = K::LABEL.into_iter().fold(config, watcher::Config::labels);
        let mut events = pin!(watcher(api, config));
        let mut backoff = Backoff::default();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.caches.take::<K>(event, self.queue),
                Err(error) => {
                    let wait = backoff.next(self.clock.monotonic());
                    (self.on_failure)(K::NAME);
                    tracing::warn!(kind = K::NAME, %error, wait_s = wait.as_secs_f64(), "a watch failed");
                    self.clock.sleep(wait).await;
                }
            }
        }
    }
}

/// How long to wait after an error: the same errors at the same times give the same waits.
#[derive(Debug, Default)]
struct Backoff {
    wait: Option<Duration>,
    last: Duration,
}

impl Backoff {
    fn next(&mut self, now: Duration) -> Duration {
        let quiet = now.saturating_sub(self.last) > QUIET;
        let former = self.wait.filter(|_| !quiet);
        let wait = former.map_or(BACKOFF_FIRST, |former| former.saturating_mul(2).min(BACKOFF_MAX));
        (self.wait, self.last) = (Some(wait), now);
        wait
    }
}

#[cfg(test)]
mod api;
#[cfg(test)]
mod tests;
