//! Disks that an earlier notebook of the same name left: a new home is never made in ignorance of one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rehost_api::labels;

use super::Observer;
use crate::desired::Subject;
use crate::gce::inventory::Inventory;
use crate::gce::model::Disk;
use crate::gce::mutation::Place;

/// The roles of disks that hold a home: that of a living notebook, or of one that is gone. Where the notebook went without
/// us, its disk still has the first.
const HOMES: [&str; 2] = ["kept", "home"];

/// New notebooks that wait for a sweep, by uid, and since when.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    since: Mutex<BTreeMap<String, Timestamp>>,
}

impl Observer {
    /// Whether a sweep of the place has begun after this was first asked of a new notebook. The former sweep may be from before the
    /// earlier notebook of its name was deleted. Asks for a sweep where there was none yet.
    ///
    /// Both times are of our own clock: the API server's would say nothing beside it.
    #[must_use]
    pub fn has_looked_for_kept(&self, uid: &str, place: &Place, now: Timestamp) -> bool {
        let mut waiting = self.waiting.since.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.contains_key(uid) {
            waiting.retain(|other, _| self.sources.caches.key_of(other).is_some());
        }
        let since = *waiting.entry(uid.to_owned()).or_insert(now);
        let seen = self.sources.inventories.of(&place.project);
        let looked = seen.is_some_and(|seen| seen.at > since && seen.completeness.covers(&place.zone));
        if looked {
            waiting.remove(uid);
        } else {
            self.sources.inventories.hint();
        }
        looked
    }
}

/// Disks that an earlier notebook of the same namespace and name left in this cluster.
pub(super) fn kept(inventory: &Inventory, subject: &Subject) -> Vec<Disk> {
    let wanted = [
        (labels::GCE_CLUSTER, labels::gce_label_value(&subject.cluster)),
        (labels::GCE_NAMESPACE, labels::gce_label_value(&subject.namespace)),
        (labels::GCE_NAME, labels::gce_label_value(&subject.name)),
    ];
    let holds_a_home =
        |disk: &Disk| disk.labels.get(labels::GCE_ROLE).is_some_and(|role| HOMES.contains(&role.as_str()));
    inventory
        .disks
        .iter()
        .filter(|(uid, _)| **uid != subject.uid)
        .flat_map(|(_, disks)| disks)
        .filter(|disk| holds_a_home(disk) && wanted.iter().all(|(key, value)| disk.labels.get(*key) == Some(value)))
        .cloned()
        .collect()
}
