//! How a notebook's objects are found.

use std::sync::Arc;

use kube::ResourceExt;
use rehost_api::Notebook;
use rehost_api::status::HomeRecord;

use super::kinds::{Handle, Kind};
use super::store::Entry;
use super::{KindHealth, Stores};
use crate::seen::Seen;
use crate::watch::slim::{AttachmentSeen, ClaimSeen, VolumeSeen};

/// The home that a notebook's memory names, and the namespace of its claim.
pub(super) struct Home {
    namespace: String,
    record: HomeRecord,
}

impl Stores {
    pub(super) fn named<K: Kind>(&self, namespace: &str, name: &str) -> Seen<Arc<K>> {
        match K::store(self).get(namespace, name) {
            Some(entry) => seen(entry),
            None if K::store(self).synced() => Seen::Absent,
            None => not_yet::<K, _>(),
        }
    }

    /// All that hang on `handle`, as far as they are known whole.
    fn found_by<K: Kind>(&self, handle: &Handle) -> Seen<Vec<Arc<K>>> {
        let store = K::store(self);
        if !store.synced() {
            return not_yet::<K, _>();
        }
        let mut found = Vec::new();
        for (_, entry) in store.found_by(handle) {
            match seen(entry) {
                Seen::Present(object) => found.push(object),
                Seen::Absent => {}
                Seen::Unknown(why) => return Seen::Unknown(why),
            }
        }
        Seen::Present(found)
    }

    /// All that are labelled with the notebook's uid, by name.
    pub(super) fn labelled<K: Kind>(&self, uid: &str) -> Seen<Vec<Arc<K>>> {
        self.found_by(&Handle::Notebook(uid.to_owned()))
    }

    pub(super) fn attachments_of(&self, volume: &str) -> Seen<Vec<AttachmentSeen>> {
        // One that cannot be read may be of this volume.
        if let Some(broken) = self.attachments.any_broken() {
            return Seen::Unknown(format!("a VolumeAttachment does not decode: {}", broken.why));
        }
        let found = self.found_by::<AttachmentSeen>(&Handle::Volume(volume.to_owned()));
        found.map(|all| all.iter().map(|attachment| attachment.as_ref().clone()).collect())
    }

    /// The home in the notebook's memory, if it has any.
    pub(super) fn home_of(&self, uid: &str) -> Seen<Option<Home>> {
        self.labelled::<Notebook>(uid).map(|found| {
            let notebook = found.first()?;
            let record = notebook.status.as_ref()?.home.clone()?;
            Some(Home { namespace: notebook.namespace().unwrap_or_default(), record })
        })
    }

    pub(super) fn claim_of(&self, uid: &str, home: Option<&Home>) -> Seen<Arc<ClaimSeen>> {
        match home {
            Some(home) => self.named(&home.namespace, &home.record.disk),
            None => self.labelled::<ClaimSeen>(uid).and_then(latest),
        }
    }

    /// A volume of ours has the disk's name. A dynamic one is named by its claim, and when that is gone it names the claim.
    pub(super) fn volume_of(
        &self,
        uid: &str,
        home: Option<&Home>,
        claim: &Seen<Arc<ClaimSeen>>,
    ) -> Seen<Arc<VolumeSeen>> {
        match home {
            Some(home) if !home.record.claim => return self.named("", &home.record.disk),
            Some(_) | None => {}
        }
        let bound = claim.as_ref().map(|claim| claim.volume.clone());
        match (bound, home) {
            (Seen::Unknown(why), _) => Seen::Unknown(why),
            (Seen::Present(Some(volume)), _) => self.named("", &volume),
            (Seen::Present(None) | Seen::Absent, Some(home)) => {
                let handle = Handle::Claim(home.namespace.clone(), home.record.disk.clone());
                self.found_by::<VolumeSeen>(&handle).and_then(latest)
            }
            (Seen::Present(None) | Seen::Absent, None) => self.labelled::<VolumeSeen>(uid).and_then(latest),
        }
    }

    pub(super) fn health_of<K: Kind>(&self) -> (&'static str, KindHealth) {
        let store = K::store(self);
        let (broken, broken_ever) = store.broken();
        let watch_errors = self.watch_errors.get(K::NAME).copied().unwrap_or_default();
        (K::NAME, KindHealth { synced: store.synced(), objects: store.len(), broken, broken_ever, watch_errors })
    }
}

/// Of several the one made last: our names end in a number that only grows, so a longer name is a later one.
pub(super) fn latest<K: Kind>(all: Vec<Arc<K>>) -> Seen<Arc<K>> {
    let made = |object: &Arc<K>| (object.meta().name.as_ref().map(String::len), object.meta().name.clone());
    all.into_iter().max_by_key(made).map_or(Seen::Absent, Seen::Present)
}

fn seen<K>(entry: &Entry<K>) -> Seen<Arc<K>> {
    match entry {
        Ok(object) => Seen::Present(Arc::clone(object)),
        Err(broken) => Seen::Unknown(format!("it does not decode: {}", broken.why)),
    }
}

fn not_yet<K: Kind, T>() -> Seen<T> {
    Seen::Unknown(format!("the first list of kind {} has not ended yet", K::NAME))
}
