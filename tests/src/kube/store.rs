//! What the server remembers: objects, and the history that watches and paged lists read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

/// Namespace (empty for cluster-scoped kinds) and name.
pub type Key = (String, String);

/// One change of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// The resourceVersion that it made.
    pub version: u64,
    /// When it happened, on tokio's clock, for watches that lag.
    pub at: Instant,
    /// Which object.
    pub key: Key,
    /// The object before, unless it was created.
    pub before: Option<Arc<Value>>,
    /// The object after; a deleted one keeps its last content, with the resourceVersion of the deletion.
    pub after: Arc<Value>,
    /// The object is gone.
    pub deleted: bool,
}

/// All objects of all kinds.
#[derive(Debug, Default)]
pub struct Store {
    objects: BTreeMap<usize, BTreeMap<Key, Arc<Value>>>,
    history: BTreeMap<usize, Vec<Change>>,
    version: u64,
    /// The kinds that were written since somebody last asked.
    changed: BTreeSet<usize>,
    /// By kind, the newest version of which nothing is known any more.
    forgotten: BTreeMap<usize, u64>,
    fresh: BTreeSet<(usize, Key)>,
    /// Versions below this one are no longer known.
    pub compacted: u64,
}

impl Store {
    /// The newest resourceVersion.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// An object.
    pub fn get(&self, kind: usize, key: &Key) -> Option<Arc<Value>> {
        self.objects.get(&kind)?.get(key).cloned()
    }

    /// The objects of a kind, in order of namespace and name.
    pub fn all(&self, kind: usize) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        self.objects.get(&kind).into_iter().flatten()
    }

    /// The objects of a kind as they were at a version that is still known.
    pub fn all_at(&self, kind: usize, version: u64) -> BTreeMap<Key, Arc<Value>> {
        let mut objects = self.objects.get(&kind).cloned().unwrap_or_default();
        for change in self.changes(kind).iter().rev().take_while(|change| change.version > version) {
            match &change.before {
                Some(before) => objects.insert(change.key.clone(), before.clone()),
                None => objects.remove(&change.key),
            };
        }
        objects
    }

    /// The changes of a kind since the last compaction, oldest first.
    pub fn changes(&self, kind: usize) -> &[Change] {
        self.history.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// The first change of a kind after a version.
    pub fn next_change(&self, kind: usize, version: u64) -> Option<&Change> {
        let changes = self.changes(kind);
        changes.get(changes.partition_point(|change| change.version <= version))
    }

    /// The version that the last change of any object of a kind made; 0 if there was none.
    pub fn version_of(&self, kind: usize) -> u64 {
        self.changes(kind).last().map_or(self.forgotten(kind), |last| last.version)
    }

    /// The kinds that were written since this was last asked.
    pub fn take_changed(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.changed)
    }

    /// The newest change of a kind that is forgotten; 0 if none is.
    pub fn forgotten(&self, kind: usize) -> u64 {
        self.forgotten.get(&kind).copied().unwrap_or(0)
    }

    fn record(&mut self, kind: usize, change: Change) {
        self.changed.insert(kind);
        self.history.entry(kind).or_default().push(change);
    }

    /// Objects whose first update is written even if it changes nothing.
    ///
    /// The real server stores a new claim in another form than an updated one, and a new custom object without the default of
    /// its status, so that their bytes differ.
    pub fn mark_fresh(&mut self, kind: usize, key: Key) {
        self.fresh.insert((kind, key));
    }

    /// Has nothing been written since [`Store::mark_fresh`]?
    pub fn is_fresh(&self, kind: usize, key: &Key) -> bool {
        !self.fresh.is_empty() && self.fresh.contains(&(kind, key.clone()))
    }

    /// Stores an object, with a new resourceVersion, and returns it as stored.
    pub fn put(&mut self, kind: usize, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        if !self.fresh.is_empty() {
            self.fresh.remove(&(kind, key.clone()));
        }
        stamp(&mut object, self.version);
        let after = Arc::new(object);
        let before = self.objects.entry(kind).or_default().insert(key.clone(), after.clone());
        let change =
            Change { version: self.version, at: Instant::now(), key, before, after: after.clone(), deleted: false };
        self.record(kind, change);
        after
    }

    /// Removes an object and returns its last content.
    pub fn remove(&mut self, kind: usize, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.get_mut(&kind)?.remove(key)?;
        self.version += 1;
        let mut last = (*before).clone();
        stamp(&mut last, self.version);
        let change = Change {
            version: self.version,
            at: Instant::now(),
            key: key.clone(),
            before: Some(before),
            after: Arc::new(last),
            deleted: true,
        };
        let after = change.after.clone();
        self.record(kind, change);
        Some(after)
    }

    /// Forgets everything older than now.
    pub fn compact(&mut self) {
        self.compacted = self.version;
        for (kind, changes) in std::mem::take(&mut self.history) {
            self.forgotten.extend(changes.last().map(|last| (kind, last.version)));
        }
    }
}

fn stamp(object: &mut Value, version: u64) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
    }
}
