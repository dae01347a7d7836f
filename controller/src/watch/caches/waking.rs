//! Which notebooks a change in the cluster concerns, and how urgent it is.

use std::collections::BTreeSet;

use rehost_api::{Notebook, NotebookClass};

use super::Stores;
use super::kinds::{Handle, Kind};
use super::store::{Change, Entry, ObjectName};
use crate::watch::queue::{Key, Lane, Queue};
use crate::watch::slim::{AttachmentSeen, ClaimSeen, NamespaceSeen, PodSeen, ServiceSeen, SliceSeen, VolumeSeen};

/// What a change asks of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    Wake(Key, Lane),
    /// The notebook is gone, and so is whatever waits for it.
    Forget(Key),
}

impl Call {
    fn namespace(&self) -> &str {
        match self {
            Self::Wake(key, _) | Self::Forget(key) => &key.namespace,
        }
    }

    pub(super) fn make(self, queue: &Queue) {
        match self {
            Self::Wake(key, lane) => queue.wake(key, lane),
            Self::Forget(key) => queue.forget(&key),
        }
    }
}

/// A kind whose changes concern notebooks.
pub(super) trait Concerns: Kind {
    /// What this change asks for. `stores` has it already.
    fn calls(stores: &Stores, change: &Change<Self>) -> Vec<Call>;
}

impl Concerns for Notebook {
    fn calls(_: &Stores, change: &Change<Self>) -> Vec<Call> {
        let old = change.old.as_ref().and_then(|entry| key(&change.name, entry));
        let new = change.new.as_ref().and_then(|entry| key(&change.name, entry));
        let mut calls = Vec::new();
        // One that does not decode is not woken: nothing can be done for it, and what it was is no longer true.
        if let (Some(key), Some(Ok(notebook))) = (&new, &change.new) {
            let lane = if change.first && !wants_something(notebook) { Lane::Sweep } else { Lane::People };
            calls.push(Call::Wake(key.clone(), lane));
        }
        if old != new {
            calls.extend(old.map(Call::Forget));
        }
        calls
    }
}

/// Whether a notebook, as it is found at the start, waits for us: then it goes before those that are at rest.
fn wants_something(notebook: &Notebook) -> bool {
    use rehost_api::labels::{RESTART, STOP, WAKE};
    let Some(status) = &notebook.status else { return true };
    let handled = status.handled.clone().unwrap_or_default();
    let asks = |key: &str, done: &Option<String>| {
        notebook.metadata.annotations.as_ref().and_then(|all| all.get(key)).is_some_and(|it| Some(it) != done.as_ref())
    };
    status.observed_generation != notebook.metadata.generation
        || notebook.metadata.deletion_timestamp.is_some()
        || [(WAKE, &handled.wake), (STOP, &handled.stop), (RESTART, &handled.restart)]
            .into_iter()
            .any(|(key, done)| asks(key, done))
}

impl Concerns for NotebookClass {
    fn calls(stores: &Stores, change: &Change<Self>) -> Vec<Call> {
        let handle = Handle::Class(change.name.1.clone());
        let keys = stores.notebooks.found_by(&handle).filter_map(|(name, entry)| key(name, entry));
        keys.map(|key| Call::Wake(key, Lane::Sweep)).collect()
    }
}

impl Concerns for NamespaceSeen {
    /// A class chooses its namespaces by their labels.
    fn calls(stores: &Stores, change: &Change<Self>) -> Vec<Call> {
        let keys = stores.notebooks.in_namespace(&change.name.1).filter_map(|(name, entry)| key(name, entry));
        keys.map(|key| Call::Wake(key, Lane::Sweep)).collect()
    }
}

impl Concerns for VolumeSeen {
    fn calls(stores: &Stores, change: &Change<Self>) -> Vec<Call> {
        let mut uids = uids(change);
        for volume in versions(change) {
            uids.extend(volume.claim.iter().filter_map(|(namespace, name)| claimant(stores, namespace, name)));
        }
        uids.extend(users_of_volume(stores, &change.name.1));
        wake(stores, &uids, change.first)
    }
}

impl Concerns for AttachmentSeen {
    fn calls(stores: &Stores, change: &Change<Self>) -> Vec<Call> {
        let volumes: BTreeSet<&String> = versions(change).map(|attachment| &attachment.volume).collect();
        let uids = volumes.into_iter().flat_map(|volume| users_of_volume(stores, volume)).collect();
        wake(stores, &uids, change.first)
    }
}

macro_rules! concern_their_notebook {
    ($($seen:ty),+) => {
        $(impl Concerns for $seen {
            fn calls(stores: &Stores, change: &Change<Self>) -> Vec<Call> {
                let mut calls = wake(stores, &uids(change), change.first);
                // Whoever may label something in one namespace is not to keep us busy with a notebook in another.
                calls.retain(|call| call.namespace() == change.name.0);
                calls
            }
        })+
    };
}

concern_their_notebook!(PodSeen, ServiceSeen, SliceSeen, ClaimSeen);

/// The notebook's key, if the object has a uid, which all have that come from an API server.
pub(super) fn key(name: &ObjectName, entry: &Entry<Notebook>) -> Option<Key> {
    let uid = match entry {
        Ok(notebook) => notebook.metadata.uid.clone()?,
        Err(broken) => broken.uid.clone(),
    };
    (!uid.is_empty()).then(|| Key { namespace: name.0.clone(), name: name.1.clone(), uid })
}

pub(super) fn key_of(stores: &Stores, uid: &str) -> Option<Key> {
    let found = stores.notebooks.found_by(&Handle::Notebook(uid.to_owned())).next();
    found.and_then(|(name, entry)| key(name, entry))
}

fn wake(stores: &Stores, uids: &BTreeSet<String>, first: bool) -> Vec<Call> {
    let lane = if first { Lane::Sweep } else { Lane::Transition };
    uids.iter().filter_map(|uid| key_of(stores, uid)).map(|key| Call::Wake(key, lane)).collect()
}

/// The old and the new version, as far as they are there and decode.
fn versions<K>(change: &Change<K>) -> impl Iterator<Item = &K> {
    [&change.old, &change.new].into_iter().flatten().filter_map(|entry| Some(entry.as_ref().ok()?.as_ref()))
}

/// The notebooks that the object is labelled with, or was.
fn uids<K: Kind>(change: &Change<K>) -> BTreeSet<String> {
    let entries = [&change.old, &change.new].into_iter().flatten();
    let handles = entries.flat_map(super::store::handles);
    let uid = |handle| match handle {
        Handle::Notebook(uid) => Some(uid),
        Handle::Class(_) | Handle::Claim(..) | Handle::Volume(_) => None,
    };
    handles.filter_map(uid).collect()
}

/// The notebook whose claim this is.
fn claimant(stores: &Stores, namespace: &str, name: &str) -> Option<String> {
    let claim = stores.claims.get(namespace, name)?.as_ref().ok()?;
    Some(claim.notebook_uid.clone())
}

/// The notebooks whose home this volume is: by the volume's own word, by their claims', and by their memory.
fn users_of_volume(stores: &Stores, volume: &str) -> BTreeSet<String> {
    let handle = Handle::Volume(volume.to_owned());
    let mut uids: BTreeSet<String> = BTreeSet::new();
    if let Some(Ok(volume)) = stores.volumes.get("", volume) {
        uids.extend(Some(volume.notebook_uid.clone()).filter(|uid| !uid.is_empty()));
        uids.extend(volume.claim.iter().filter_map(|(namespace, name)| claimant(stores, namespace, name)));
    }
    uids.extend(
        stores.claims.found_by(&handle).filter_map(|(_, claim)| Some(claim.as_ref().ok()?.notebook_uid.clone())),
    );
    uids.extend(stores.notebooks.found_by(&handle).filter_map(|(name, entry)| Some(key(name, entry)?.uid)));
    uids
}
