//! What of ours there is in the cloud, by lists of all of it: the cost is in pages of 500 objects, not in notebooks.
//!
//! # Guarantees
//! - A sweep that fails anywhere gives no [`Inventory`] at all.
//! - A zone that could not be reached is named in [`Completeness`]; absence from it is `Unknown`, never `Absent`.
//!
//! # Caveats
//! Lists lag behind inserts and deletes: an object that was made a moment ago may be missing, and one that was deleted
//! may still be there. An inventory says *which notebooks to look at*, and serves a notebook at rest; whoever is in the
//! middle of a change gets the object itself ([`super::Gce::instance`], [`super::Gce::disk`]).

mod http;
mod wire;

use rehost_api::labels::{GCE_CLUSTER, GCE_UID};
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;

pub use http::HttpSweep;

use super::Gce;
use super::errors::GceError;
use super::model::{Disk, Instance, short};
use super::mutation::Place;
use crate::seen::Seen;

/// Objects a page: the API's most.
const PAGE_OBJECTS: u32 = 500;
/// Pages a list: 100,000 objects.
const PAGES_MAX: usize = 200;

/// One GET of Compute Engine's REST API, with credentials and within bounds. The SDK cannot cut a list to the fields
/// that are read, so the lists are ours; this trait is what a simulation stands in for.
pub trait Sweep: Send + Sync {
    /// Gets `path` (such as `/compute/v1/projects/p/aggregated/disks`) and gives back the body of a success.
    fn get(&self, path: &str, query: Vec<(String, String)>) -> BoxFuture<'_, Result<Bytes, GceError>>;
}

/// What a sweep could not see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Short names of the zones (or whole regions) that did not answer.
    pub unreachable: BTreeSet<String>,
    /// Why nothing can be said of any zone, when the list as a whole was partial.
    pub partial: Option<String>,
}

impl Completeness {
    /// Whether absence from `zone` means anything.
    pub fn covers(&self, zone: &str) -> bool {
        let region = zone.rsplit_once('-').map_or(zone, |(region, _)| region);
        self.partial.is_none() && !self.unreachable.contains(zone) && !self.unreachable.contains(region)
    }
}

/// All of one cluster's objects in one project, as one sweep found them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// When the sweep began: what changed later may or may not be in it.
    pub at: Timestamp,
    /// Instances by the notebook's uid, in the order of (zone, name); those without a uid are under the empty one.
    /// Their metadata and settings are not read.
    pub instances: BTreeMap<String, Vec<Instance>>,
    /// Disks by the notebook's uid, in the order of (zone, name); those without a uid are under the empty one.
    pub disks: BTreeMap<String, Vec<Disk>>,
    /// What could not be seen.
    pub completeness: Completeness,
}

impl Inventory {
    /// The instances of one notebook.
    pub fn instances_of(&self, uid: &str) -> &[Instance] {
        self.instances.get(uid).map(Vec::as_slice).unwrap_or_default()
    }

    /// The disks of one notebook.
    pub fn disks_of(&self, uid: &str) -> &[Disk] {
        self.disks.get(uid).map(Vec::as_slice).unwrap_or_default()
    }

    /// An instance of a notebook, by this sweep. `Absent` may be the list's lag: see the module's caveats.
    pub fn instance(&self, uid: &str, zone: &str, name: &str) -> Seen<&Instance> {
        self.found(zone, self.instances_of(uid).iter().find(|it| it.zone == zone && it.name == name))
    }

    /// A disk of a notebook, by this sweep. `Absent` may be the list's lag: see the module's caveats.
    pub fn disk(&self, uid: &str, zone: &str, name: &str) -> Seen<&Disk> {
        self.found(zone, self.disks_of(uid).iter().find(|it| it.zone == zone && it.name == name))
    }

    fn found<'a, T>(&self, zone: &str, thing: Option<&'a T>) -> Seen<&'a T> {
        match (thing, &self.completeness.partial) {
            (Some(thing), _) => Seen::Present(thing),
            (None, Some(why)) => Seen::Unknown(format!("the list was partial: {why}")),
            (None, None) if !self.completeness.covers(zone) => Seen::Unknown(format!("{zone} could not be reached")),
            (None, None) => Seen::Absent,
        }
    }
}

/// The notebooks whose objects are not as they were: made, gone, or different in anything that we read.
///
/// An object that is missing from a zone which could not be reached is not gone, and wakes nobody.
pub fn changes(old: &Inventory, new: &Inventory) -> BTreeSet<String> {
    let instances =
        changed(&old.instances, &new.instances, |it| new.completeness.covers(&it.zone), |it| (&it.zone, it.id));
    let disks = changed(&old.disks, &new.disks, |it| new.completeness.covers(&it.zone), |it| (&it.zone, it.id));
    instances.into_iter().chain(disks).collect()
}

fn changed<'a, T: PartialEq>(
    old: &'a BTreeMap<String, Vec<T>>,
    new: &'a BTreeMap<String, Vec<T>>,
    covered: impl Fn(&T) -> bool,
    key: impl Fn(&'a T) -> (&'a String, u64),
) -> BTreeSet<String> {
    let mut uids: BTreeSet<&String> = old.keys().collect();
    uids.extend(new.keys());
    let differs = |uid: &&String| {
        let of =
            |all: &'a BTreeMap<String, Vec<T>>| -> &'a [T] { all.get(*uid).map(Vec::as_slice).unwrap_or_default() };
        let before: BTreeMap<_, _> = of(old).iter().map(|it| (key(it), it)).collect();
        let after: BTreeMap<_, _> = of(new).iter().map(|it| (key(it), it)).collect();
        let gone = before.iter().any(|(key, it)| !after.contains_key(key) && covered(it));
        gone || after.iter().any(|(key, it)| before.get(key) != Some(it))
    };
    uids.into_iter().filter(differs).cloned().collect()
}

impl Gce {
    /// Lists all objects of `cluster` in `project`: two lists, of all zones at once. `at` is the time now.
    pub async fn inventory(&self, project: &str, cluster: &str, at: Timestamp) -> Result<Inventory, GceError> {
        let mut inventory =
            Inventory { at, instances: BTreeMap::new(), disks: BTreeMap::new(), completeness: Completeness::default() };
        let Inventory { instances, disks, completeness, .. } = &mut inventory;
        let list = List {
            project,
            cluster,
            kind: "instances",
            wire_kind: "compute#instanceAggregatedList",
            fields: wire::INSTANCE_FIELDS,
        };
        self.list(&list, completeness, |scope, place| {
            for raw in std::mem::take(&mut scope.instances) {
                let instance = raw.read(place)?;
                let uid = instance.labels.get(GCE_UID).cloned().unwrap_or_default();
                instances.entry(uid).or_default().push(instance);
            }
            Ok(())
        })
        .await?;
        let list = List {
            project,
            cluster,
            kind: "disks",
            wire_kind: "compute#diskAggregatedList",
            fields: wire::DISK_FIELDS,
        };
        self.list(&list, completeness, |scope, place| {
            for raw in std::mem::take(&mut scope.disks) {
                let disk = raw.read(place)?;
                let uid = disk.labels.get(GCE_UID).cloned().unwrap_or_default();
                disks.entry(uid).or_default().push(disk);
            }
            Ok(())
        })
        .await?;
        for found in inventory.instances.values_mut() {
            found.sort_by(|a, b| (&a.zone, &a.name).cmp(&(&b.zone, &b.name)));
        }
        for found in inventory.disks.values_mut() {
            found.sort_by(|a, b| (&a.zone, &a.name).cmp(&(&b.zone, &b.name)));
        }
        Ok(inventory)
    }

    /// Gets all pages of one list.
    async fn list(
        &self,
        list: &List<'_>,
        completeness: &mut Completeness,
        mut take: impl FnMut(&mut wire::Scope, &Place) -> Result<(), GceError>,
    ) -> Result<(), GceError> {
        let mut token = None;
        for _ in 0..PAGES_MAX {
            let body = {
                let _turn = super::turn(&self.inner.reads, list.kind, super::REQUEST_TIMEOUT).await?;
                self.inner.sweep.get(&list.path(), list.query(token.as_deref())).await?
            };
            let mut page: wire::Page =
                serde_json::from_slice(&body).map_err(|why| GceError::unreadable(list.kind, why))?;
            if page.kind != list.wire_kind {
                return Err(GceError::unreadable(list.kind, format!("it is of kind {}", page.kind)));
            }
            completeness.unreachable.extend(page.unreachables.iter().map(|scope| short(scope).to_owned()));
            if let Some(code) = page.warning.and_then(wire::Warning::missing) {
                completeness.partial.get_or_insert(code);
            }
            for (scope, content) in &mut page.items {
                if content.warning.take().and_then(wire::Warning::missing).is_some() {
                    completeness.unreachable.insert(short(scope).to_owned());
                }
                // A regional disk is none of ours, and its scope is a region.
                if let Some(zone) = scope.strip_prefix("zones/") {
                    take(content, &Place::new(list.project, zone))?;
                }
            }
            match page.next_page_token.filter(|next| !next.is_empty()) {
                Some(next) if Some(&next) == token.as_ref() => {
                    return Err(GceError::unreadable(list.kind, "a page names itself as the next one"));
                }
                Some(next) => token = Some(next),
                None => return Ok(()),
            }
        }
        Err(GceError::unreadable(list.kind, format!("there are more than {PAGES_MAX} pages")))
    }
}

/// One list of objects in all zones.
struct List<'a> {
    project: &'a str,
    cluster: &'a str,
    kind: &'static str,
    wire_kind: &'static str,
    fields: &'static str,
}

impl List<'_> {
    fn path(&self) -> String {
        format!("/compute/v1/projects/{}/aggregated/{}", self.project, self.kind)
    }

    fn query(&self, token: Option<&str>) -> Vec<(String, String)> {
        let fields = format!("items/*/{}({}),{}", self.kind, self.fields, wire::PAGE_FIELDS);
        let mut query = vec![
            ("filter".to_owned(), format!("labels.{GCE_CLUSTER}={}", self.cluster)),
            ("maxResults".to_owned(), PAGE_OBJECTS.to_string()),
            ("returnPartialSuccess".to_owned(), "true".to_owned()),
            ("fields".to_owned(), fields),
        ];
        query.extend(token.map(|token| ("pageToken".to_owned(), token.to_owned())));
        query
    }
}

#[cfg(test)]
mod tests;
