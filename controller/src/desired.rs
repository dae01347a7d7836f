//! What is wanted: the notebook, its class and the cloud's catalogue, resolved into one thing with no defaults left open,
//! or a refusal that names the field, the value and what would be right.

mod allowed;
mod calendar;
mod clock;
mod content;
mod defaults;
mod facts;
mod families;
mod home;
mod host;
mod pod;
mod quota;
mod refuse;
mod resolve;
mod room;
mod suspension;
#[cfg(test)]
mod tests;
mod unacted;
mod when;
mod words;

use jiff::Timestamp;
use rehost_api::class::Prices;
use rehost_api::conditions::Reason;
use rehost_api::guest::{GuestBucket, GuestSource};
use rehost_api::notebook::IdleAction;
use rehost_api::shape::HostShape;

use crate::access::AccessHashes;

pub use calendar::Calendar;
pub use clock::{Clock, Lifetime, Schedule, Turn};
pub use facts::{Facts, NamespaceFacts, Needs, needs};
pub use resolve::resolve;
pub use room::Room;
pub use suspension::obstacle as obstacle_to_suspension;
pub use when::{When, Window};

/// Whose resources these are. Every name and label derives from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The cluster's name, as the operator was told.
    pub cluster: String,
    /// The notebook's namespace.
    pub namespace: String,
    /// The notebook's name.
    pub name: String,
    /// The notebook's uid.
    pub uid: String,
}

/// The notebook, resolved as far as it can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// Whose it is.
    pub subject: Subject,
    /// The generation of the spec.
    pub generation: i64,
    /// Whether our finalizer is on it.
    pub finalizer: bool,
    /// Whether it is to run: known, and followed, even where the rest of the wish is refused.
    pub power: Power,
    /// What the clock says: known, and followed, even where the rest of the wish is refused.
    pub clock: Clock,
    /// The values of the request annotations.
    pub requests: Requests,
    /// The hashes of the tokens that open the notebook, and its host's status port.
    pub access: AccessHashes,
    /// Set once it is being deleted.
    pub deletion: Option<Deletion>,
    /// What is wished for, or why it cannot be.
    pub wish: Result<Desired, Refusal>,
}

/// A deletion in progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// Since when.
    pub since: Timestamp,
    /// What becomes of the home.
    pub policy: HomePolicy,
}

/// What becomes of the home when the notebook is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HomePolicy {
    /// The disk is kept, and its labels say whose it was.
    Retain,
    /// The disk is deleted.
    Delete,
}

/// A wish that cannot be fulfilled as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The condition reason.
    pub reason: Reason,
    /// The field, as a path: `spec.host.vm.machineType`.
    pub field: String,
    /// What is wrong with which value, and what would be right.
    pub message: String,
}

/// What is wanted, with no default left open.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// The wished host, and what is tried in its place.
    pub host: WishedHost,
    /// The home.
    pub home: WishedHome,
    /// Whether the same host is stopped and set instead of a handover.
    pub in_place: bool,
    /// Whether a change that had to stop the host first goes back to the last shape when there is no capacity.
    pub return_on_stockout: bool,
    /// Whether the quotas have room for the wished host beside the present one.
    pub room: Room,
    /// When a change of host may be made.
    pub when: When,
    /// How long the old host is kept, stopped, after a handover.
    pub keep_old_s: i64,
    /// How long a stopped host is kept before only the disk is left.
    pub keep_stopped_s: i64,
    /// What the host offers beside the home.
    pub content: WishedContent,
    /// When the notebook is stopped because nobody uses it; never where this is not there.
    pub idle: Option<WishedIdle>,
    /// The address for people.
    pub url: Option<String>,
    /// What an hour costs, where the class says so.
    pub prices: Option<Prices>,
    /// Valid fields that this version does not act on yet.
    pub not_acted_on_yet: Vec<String>,
}

/// What a host offers beside the home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WishedContent {
    /// The buckets under the home.
    pub buckets: Vec<GuestBucket>,
    /// The repository in the home.
    pub source: Option<GuestSource>,
}

/// When a notebook counts as unused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WishedIdle {
    /// After so many seconds in which nothing went on.
    pub after_s: i64,
    /// What happens then.
    pub then: IdleAction,
}

/// Whether the notebook is to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// `spec.state` is Running.
    Running,
    /// `spec.state` is Stopped.
    Stopped,
}

/// The values of the request annotations, where they are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    /// `rehost.dev/wake`.
    pub wake: Option<String>,
    /// `rehost.dev/stop`.
    pub stop: Option<String>,
    /// `rehost.dev/restart`.
    pub restart: Option<String>,
}

/// The wished host and its fallbacks, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct WishedHost {
    /// A digest of the words of the spec that were resolved.
    pub digest: String,
    /// The wished host.
    pub shape: HostShape,
    /// What is tried in its place, in order.
    pub fallbacks: Vec<HostShape>,
    /// Those of them that stay stopped when Compute Engine takes them back.
    pub stay_preempted: Vec<HostShape>,
}

impl WishedHost {
    /// The wished host (0) or a fallback (1, 2, …).
    #[must_use]
    pub fn candidate(&self, index: i64) -> Option<&HostShape> {
        match usize::try_from(index) {
            Ok(0) => Some(&self.shape),
            Ok(index) => self.fallbacks.get(index - 1),
            Err(_) => None,
        }
    }

    /// How many candidates there are.
    #[must_use]
    pub fn candidates(&self) -> i64 {
        i64::try_from(self.fallbacks.len()).map_or(i64::MAX, |count| count.saturating_add(1))
    }
}

/// The wished home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WishedHome {
    /// Whether it is a dynamic claim of the cluster instead of a Compute Engine disk.
    pub claim: bool,
    /// The Google Cloud project.
    pub project: String,
    /// The zone.
    pub zone: String,
    /// The size in GiB.
    pub size_gb: i64,
    /// The disk type.
    pub disk_type: String,
    /// The machine families that can attach the type.
    pub families: Vec<String>,
    /// The `StorageClass` of claims; empty for the cluster's default.
    pub storage_class: String,
    /// Whether a new home is to be made although one of a former notebook of this name was kept.
    pub start_blank: bool,
}
