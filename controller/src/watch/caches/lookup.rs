//! How a notebook's objects are found.

use std::sync::Arc;

use kube::ResourceExt;
use rehost_api::status::HomeRecord;
use rehost_api::{Notebook, labels};

use super::kinds::{Handle, Kind};
use super::store::Entry;
use super::waking::key_of;
use super::{KindHealth, Stores};
use crate::seen::Seen;
use crate::watch::queue::Key;
use crate::watch::slim::{AttachmentSeen, ClaimSeen, PodSeen, VolumeSeen};

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
    fn labelled<K: Kind>(&self, uid: &str) -> Seen<Vec<Arc<K>>> {
        self.found_by(&Handle::Notebook(uid.to_owned()))
    }

    /// The notebook's pods. Whoever may make a pod may put our label on it, so one in another namespace is not the notebook's.
    pub(super) fn pods_of(&self, uid: &str) -> Seen<Vec<PodSeen>> {
        let home = self.key(uid);
        let pods =
            self.labelled::<PodSeen>(uid).map(|pods| pods.iter().map(|pod| pod.as_ref().clone()).collect::<Vec<_>>());
        home.and_then(|key| pods.map(|pods| pods.into_iter().filter(|pod| pod.namespace == key.namespace).collect()))
    }

    /// What people reach the notebook by: its Service, or its `EndpointSlice`. They are known by their name, not by the label
    /// alone: a Service's labels are copied to every slice that the cluster makes for it, and anybody can write a label.
    pub(super) fn exposing<K: Kind>(&self, uid: &str) -> Seen<Arc<K>> {
        self.key(uid).and_then(|key| {
            self.named::<K>(&key.namespace, &labels::service_name(&key.name)).and_then(|found| {
                let ours = found.handles().contains(&Handle::Notebook(uid.to_owned()));
                if ours { Seen::Present(found) } else { Seen::Absent }
            })
        })
    }

    /// Where the notebook with this uid is.
    fn key(&self, uid: &str) -> Seen<Key> {
        match key_of(self, uid) {
            Some(key) => Seen::Present(key),
            None if self.notebooks.synced() => Seen::Unknown("the notebook is not in the cache".to_owned()),
            None => not_yet::<Notebook, _>(),
        }
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
        (K::NAME, KindHealth { synced: store.synced(), objects: store.len(), broken, broken_ever })
    }
}

/// Of several the one made last: our names end in a number that only grows, so a longer name is a later one.
fn latest<K: Kind>(all: Vec<Arc<K>>) -> Seen<Arc<K>> {
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use jiff::Timestamp;
    use kube::core::DeserializeGuard;
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use crate::clock::TokioClock;
    use crate::watch::caches::Caches;
    use crate::watch::caches::waking::Concerns;
    use crate::watch::queue::{Queue, QueueSettings};
    use crate::watch::slim::{NamespaceSeen, ServiceSeen, SliceSeen};

    use super::*;

    fn list<K: Concerns>(caches: &Caches, queue: &Queue, objects: &[Value]) {
        caches.take::<K>(Event::Init, queue);
        for object in objects {
            let object: DeserializeGuard<K> = serde_json::from_value(object.clone()).unwrap();
            caches.take::<K>(Event::InitApply(object), queue);
        }
        caches.take::<K>(Event::InitDone, queue);
    }

    fn labelled(namespace: &str, name: &str) -> Value {
        json!({"metadata": {"namespace": namespace, "name": name, "uid": name, "labels": {"rehost.dev/uid": "u-a"}}})
    }

    #[tokio::test]
    async fn a_label_alone_makes_nothing_a_notebooks() {
        let queue = Queue::new(Arc::new(TokioClock::new(Timestamp::UNIX_EPOCH)), QueueSettings::default());
        let caches = Caches::new();
        let notebook = json!({
            "apiVersion": "rehost.dev/v1alpha1", "kind": "Notebook", "spec": {},
            "metadata": {"namespace": "team", "name": "a", "uid": "u-a"},
        });
        list::<Notebook>(&caches, &queue, std::slice::from_ref(&notebook));
        assert!(queue.next().now_or_never().is_some());
        let strange = [labelled("other", "a"), labelled("team", "a-made-by-the-cluster")];
        for (ours, pods) in [(false, &[][..]), (true, &["mine"])] {
            let mut exposing = strange.to_vec();
            exposing.extend(ours.then(|| labelled("team", "a")));
            let mut all = vec![labelled("other", "mine")];
            all.extend(pods.iter().map(|name| labelled("team", name)));
            list::<ServiceSeen>(&caches, &queue, &exposing);
            list::<SliceSeen>(&caches, &queue, &exposing);
            list::<PodSeen>(&caches, &queue, &all);
            let seen = caches.objects_of("u-a");
            assert_eq!(
                seen.service.map(|it| (it.namespace, it.name)).into_present(),
                ours.then(|| ("team".into(), "a".into()))
            );
            assert_eq!(
                seen.slice.map(|it| (it.namespace, it.name)).into_present(),
                ours.then(|| ("team".into(), "a".into()))
            );
            let found: Vec<_> =
                seen.pods.into_present().unwrap().into_iter().map(|pod| (pod.namespace, pod.name)).collect();
            assert_eq!(found, pods.iter().map(|name| ("team".to_owned(), (*name).to_owned())).collect::<Vec<_>>());
        }
        while queue.next().now_or_never().is_some() {}
        list::<NamespaceSeen>(&caches, &queue, &[]);
        list::<PodSeen>(&caches, &queue, &[labelled("team", "mine")]);
        assert!(queue.next().now_or_never().is_none(), "what went was another namespace's");
        list::<PodSeen>(&caches, &queue, &[]);
        assert!(queue.next().now_or_never().is_some(), "and this was ours");
    }

    #[tokio::test]
    async fn while_its_notebook_is_not_in_the_cache_nothing_of_it_is_absent() {
        let queue = Queue::new(Arc::new(TokioClock::new(Timestamp::UNIX_EPOCH)), QueueSettings::default());
        let caches = Caches::new();
        list::<ServiceSeen>(&caches, &queue, &[]);
        list::<SliceSeen>(&caches, &queue, &[]);
        list::<PodSeen>(&caches, &queue, &[]);
        for _ in 0..2 {
            let seen = caches.objects_of("u-a");
            assert!(
                seen.service.unknown().is_some() && seen.slice.unknown().is_some() && seen.pods.unknown().is_some()
            );
            list::<Notebook>(&caches, &queue, &[]);
        }
    }
}
