//! All objects of one kind, as a watch tells of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::Event;
use rehost_api::labels;

use super::kinds::{Handle, Kind, handles_of_broken};

/// Namespace (empty for what has none) and name.
pub(super) type ObjectName = (String, String);

/// An object whose JSON is not what its type says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// What does not decode.
    pub(super) why: String,
    /// Its own uid.
    pub(super) uid: String,
    /// The uid of the notebook that it is labelled with.
    pub(super) notebook_uid: String,
}

impl Broken {
    fn new(why: String, metadata: &ObjectMeta) -> Self {
        let label = metadata.labels.as_ref().and_then(|all| all.get(labels::UID));
        Self { why, uid: metadata.uid.clone().unwrap_or_default(), notebook_uid: label.cloned().unwrap_or_default() }
    }
}

/// An object as the store has it. One that does not decode is there all the same: it is not absent.
pub(super) type Entry<K> = Result<Arc<K>, Broken>;

/// An object that came, went or is not as it was.
#[derive(Debug)]
pub(super) struct Change<K> {
    pub(super) name: ObjectName,
    pub(super) old: Option<Entry<K>>,
    pub(super) new: Option<Entry<K>>,
    /// Whether this is the first list since the start: then everything is new to us, and little of it is news.
    pub(super) first: bool,
}

/// The objects of one kind, found by name and by what they hang on.
#[derive(Debug)]
pub(super) struct Store<K> {
    objects: BTreeMap<ObjectName, Entry<K>>,
    index: BTreeMap<Handle, BTreeSet<ObjectName>>,
    /// What a list that has begun has told so far. Until it ends, what was known before holds.
    arriving: Option<BTreeMap<ObjectName, Entry<K>>>,
    synced: bool,
    broken: BTreeSet<ObjectName>,
    broken_ever: u64,
}

impl<K> Default for Store<K> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            index: BTreeMap::new(),
            arriving: None,
            synced: false,
            broken: BTreeSet::new(),
            broken_ever: 0,
        }
    }
}

impl<K: Kind> Store<K> {
    /// Takes in what the watch says, and tells what is different now in anything that is read.
    pub(super) fn take(&mut self, event: Event<DeserializeGuard<K>>) -> Vec<Change<K>> {
        match event {
            Event::Apply(object) => {
                let (name, entry) = self.decoded(object);
                self.put(name, entry, false).into_iter().collect()
            }
            Event::Delete(object) => {
                let name = name_of(&object);
                let old = self.remove(&name);
                old.map(|old| Change { name, old: Some(old), new: None, first: false }).into_iter().collect()
            }
            Event::Init => {
                self.arriving = Some(BTreeMap::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                let (name, entry) = self.decoded(object);
                self.arriving.get_or_insert_default().insert(name, entry);
                Vec::new()
            }
            Event::InitDone => self.replace(),
        }
    }

    /// Whether a whole list has been seen.
    pub(super) fn synced(&self) -> bool {
        self.synced
    }

    pub(super) fn get(&self, namespace: &str, name: &str) -> Option<&Entry<K>> {
        self.objects.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// Everything that hangs on `handle`, in the order of names.
    pub(super) fn found_by(&self, handle: &Handle) -> impl Iterator<Item = (&ObjectName, &Entry<K>)> {
        self.index.get(handle).into_iter().flatten().filter_map(|name| self.objects.get_key_value(name))
    }

    /// Everything in a namespace, in the order of names.
    pub(super) fn in_namespace<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = (&'a ObjectName, &'a Entry<K>)> {
        let from = (namespace.to_owned(), String::new());
        self.objects.range(from..).take_while(move |((its, _), _)| its == namespace)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&ObjectName, &Entry<K>)> {
        self.objects.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    /// One object that does not decode, where there is any.
    pub(super) fn any_broken(&self) -> Option<&Broken> {
        self.broken.iter().find_map(|name| self.objects.get(name)?.as_ref().err())
    }

    /// How many do not decode now, and how many were met since the start.
    pub(super) fn broken(&self) -> (usize, u64) {
        (self.broken.len(), self.broken_ever)
    }

    /// Reads one object, cut to what is kept.
    fn decoded(&mut self, object: DeserializeGuard<K>) -> (ObjectName, Entry<K>) {
        let name = name_of(&object);
        let entry = match object.0 {
            Ok(mut object) => {
                object.slim();
                Ok(Arc::new(object))
            }
            Err(invalid) => {
                self.broken_ever += 1;
                let (namespace, object) = (&name.0, &name.1);
                tracing::warn!(
                    kind = K::NAME,
                    namespace,
                    name = object,
                    error = invalid.error,
                    "an object does not decode"
                );
                Err(Broken::new(invalid.error, &invalid.metadata))
            }
        };
        (name, entry)
    }

    /// The end of a list: what it did not tell of is gone.
    fn replace(&mut self) -> Vec<Change<K>> {
        let first = !self.synced;
        self.synced = true;
        let arrived = self.arriving.take().unwrap_or_default();
        let gone: Vec<ObjectName> = self.objects.keys().filter(|name| !arrived.contains_key(*name)).cloned().collect();
        let mut changes = Vec::new();
        for name in gone {
            let old = self.remove(&name);
            changes.push(Change { name, old, new: None, first });
        }
        changes.extend(arrived.into_iter().filter_map(|(name, entry)| self.put(name, entry, first)));
        changes
    }

    fn put(&mut self, name: ObjectName, entry: Entry<K>, first: bool) -> Option<Change<K>> {
        let old = self.remove(&name);
        if entry.is_err() {
            self.broken.insert(name.clone());
        }
        for handle in handles(&entry) {
            self.index.entry(handle).or_default().insert(name.clone());
        }
        self.objects.insert(name.clone(), entry.clone());
        let news = match (&old, &entry) {
            (Some(Ok(old)), Ok(new)) => K::news(old, new),
            (Some(Err(old)), Err(new)) => old != new,
            (Some(Ok(_)), Err(_)) | (Some(Err(_)), Ok(_)) | (None, _) => true,
        };
        news.then_some(Change { name, old, new: Some(entry), first })
    }

    fn remove(&mut self, name: &ObjectName) -> Option<Entry<K>> {
        let old = self.objects.remove(name)?;
        self.broken.remove(name);
        for handle in handles(&old) {
            if let Some(names) = self.index.get_mut(&handle) {
                names.remove(name);
                if names.is_empty() {
                    self.index.remove(&handle);
                }
            }
        }
        Some(old)
    }
}

/// What an object hangs on, as far as it can be read.
pub(super) fn handles<K: Kind>(entry: &Entry<K>) -> Vec<Handle> {
    match entry {
        Ok(object) => object.handles(),
        Err(broken) => handles_of_broken::<K>(broken),
    }
}

fn name_of<K: Kind>(object: &DeserializeGuard<K>) -> ObjectName {
    (object.namespace().unwrap_or_default(), object.name_any())
}
