//! What zones offer and images are, remembered for a while: ten thousand notebooks use a handful of shapes.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Gce;
use super::model::{AcceleratorType, ImageFacts, MachineType, Quota};
use super::mutation::Place;
use crate::clock::SharedClock;
use crate::seen::Seen;

/// How long something that is there is remembered.
const PRESENT_LIFETIME: Duration = Duration::from_hours(1);
/// How long it is remembered that something is not there: people correct a misspelt name and expect to be heard.
const ABSENT_LIFETIME: Duration = Duration::from_mins(1);
/// How long a failure to find out is remembered: just so that those who waited for the same answer do not all ask again.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(5);
/// How long quotas are remembered: their usage changes with everything that is made.
const QUOTA_LIFETIME: Duration = Duration::from_secs(30);
/// How many answers of one kind are remembered: names come from people, who could think of any number.
const ANSWERS_MAX: usize = 2_000;

/// The catalogue, as far as it was asked for. Of any number that ask for the same at once, one asks the cloud.
///
/// An image family's newest image is remembered like all else; a notebook that runs pins the exact image in its
/// status, so that a new image re-hosts nobody.
pub struct Catalogue {
    gce: Gce,
    clock: SharedClock,
    machine_types: Answers<(Place, String), MachineType>,
    accelerator_types: Answers<(Place, String), AcceleratorType>,
    images: Answers<(String, String), ImageFacts>,
    region_quotas: Answers<(String, String), Vec<Quota>>,
    project_quotas: Answers<String, Vec<Quota>>,
}

impl Catalogue {
    /// An empty catalogue over `gce`, whose memory fades by `clock`.
    pub fn new(gce: Gce, clock: SharedClock) -> Self {
        Self {
            gce,
            clock,
            machine_types: Answers::new(PRESENT_LIFETIME),
            accelerator_types: Answers::new(PRESENT_LIFETIME),
            images: Answers::new(PRESENT_LIFETIME),
            region_quotas: Answers::new(QUOTA_LIFETIME),
            project_quotas: Answers::new(QUOTA_LIFETIME),
        }
    }

    /// A machine type as the zone offers it.
    pub async fn machine_type(&self, place: &Place, name: &str) -> Seen<MachineType> {
        let key = (place.clone(), name.to_owned());
        self.machine_types.get(&self.clock, key, || self.gce.machine_type(place, name)).await
    }

    /// A GPU as the zone offers it for attaching.
    pub async fn accelerator_type(&self, place: &Place, name: &str) -> Seen<AcceleratorType> {
        let key = (place.clone(), name.to_owned());
        self.accelerator_types.get(&self.clock, key, || self.gce.accelerator_type(place, name)).await
    }

    /// The image that a reference means, as [`Gce::image`] has it.
    pub async fn image(&self, project: &str, reference: &str) -> Seen<ImageFacts> {
        let key = (project.to_owned(), reference.to_owned());
        self.images.get(&self.clock, key, || self.gce.image(project, reference)).await
    }

    /// The quotas of a region, up to half a minute old.
    pub async fn region_quota(&self, project: &str, region: &str) -> Seen<Vec<Quota>> {
        let key = (project.to_owned(), region.to_owned());
        self.region_quotas.get(&self.clock, key, || self.gce.region_quota(project, region)).await
    }

    /// The quotas of a whole project, up to half a minute old.
    pub async fn project_quota(&self, project: &str) -> Seen<Vec<Quota>> {
        self.project_quotas.get(&self.clock, project.to_owned(), || self.gce.project_quota(project)).await
    }
}

/// An answer, and until when it holds, in the clock's monotonic time.
struct Answer<T> {
    seen: Seen<T>,
    until: Duration,
}

/// One place for an answer; whoever holds it asks, and the others wait for what they hear.
type Slot<T> = Arc<tokio::sync::Mutex<Option<Answer<T>>>>;

struct Answers<K, T> {
    present_lifetime: Duration,
    slots: Mutex<BTreeMap<K, Slot<T>>>,
}

impl<K: Ord, T: Clone> Answers<K, T> {
    fn new(present_lifetime: Duration) -> Self {
        Self { present_lifetime, slots: Mutex::new(BTreeMap::new()) }
    }

    fn slot(&self, key: K) -> Slot<T> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= ANSWERS_MAX && !slots.contains_key(&key) {
            // Those who wait in a slot keep it alive by themselves; a full memory starts anew.
            slots.clear();
        }
        slots.entry(key).or_default().clone()
    }

    async fn get<F: Future<Output = Seen<T>>>(&self, clock: &SharedClock, key: K, ask: impl FnOnce() -> F) -> Seen<T> {
        let slot = self.slot(key);
        let mut held = slot.lock().await;
        if let Some(answer) = held.as_ref().filter(|answer| clock.monotonic() < answer.until) {
            return answer.seen.clone();
        }
        let seen = ask().await;
        let lifetime = match &seen {
            Seen::Present(_) => self.present_lifetime,
            Seen::Absent => ABSENT_LIFETIME,
            Seen::Unknown(_) => UNKNOWN_LIFETIME,
        };
        *held = Some(Answer { seen: seen.clone(), until: clock.monotonic() + lifetime });
        seen
    }
}

#[cfg(test)]
mod tests;
