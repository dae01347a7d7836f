//! The kinds of objects that are watched: what is kept of each, what each hangs on, and what about it is news.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use rehost_api::notebook::DEFAULT_CLASS;
use rehost_api::{Notebook, NotebookClass, labels};
use serde::de::DeserializeOwned;

use super::Stores;
use super::store::{Broken, Store};
use crate::watch::slim::{AttachmentSeen, ClaimSeen, NamespaceSeen, PodSeen, ServiceSeen, SliceSeen, VolumeSeen};

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What an object hangs on, and is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Handle {
    /// The notebook with this uid.
    Notebook(String),
    /// The class of this name.
    Class(String),
    /// The claim of this namespace and name.
    Claim(String, String),
    /// The PersistentVolume of this name.
    Volume(String),
}

/// A kind of objects that a store holds.
pub(super) trait Kind:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Its name in logs and metrics.
    const NAME: &'static str;
    /// The label that an object must have to be of interest; none: all are.
    const LABEL: Option<&'static str>;

    /// Where its objects are kept.
    fn store(stores: &Stores) -> &Store<Self>;
    /// As [`Kind::store`], to change it.
    fn store_mut(stores: &mut Stores) -> &mut Store<Self>;
    /// Drops what nobody reads.
    fn slim(&mut self) {}
    /// What this object hangs on.
    fn handles(&self) -> Vec<Handle>;
    /// Whether two versions differ in what is read.
    fn news(old: &Self, new: &Self) -> bool;
}

impl Kind for Notebook {
    const NAME: &'static str = "Notebook";
    const LABEL: Option<&'static str> = None;

    fn store(stores: &Stores) -> &Store<Self> {
        &stores.notebooks
    }

    fn store_mut(stores: &mut Stores) -> &mut Store<Self> {
        &mut stores.notebooks
    }

    fn slim(&mut self) {
        drop_bookkeeping(&mut self.metadata);
    }

    fn handles(&self) -> Vec<Handle> {
        let mut handles = labelled(self.metadata.uid.as_deref().unwrap_or_default());
        handles.push(Handle::Class(self.spec.class.clone().unwrap_or_else(|| DEFAULT_CLASS.to_owned())));
        // The volume of a dynamic claim is found through the claim.
        let home = self.status.as_ref().and_then(|status| status.home.as_ref()).filter(|home| !home.claim);
        handles.extend(home.map(|home| Handle::Volume(home.disk.clone())));
        handles
    }

    /// What a person or another controller says of it. Status is our own word, and no news to us.
    fn news(old: &Self, new: &Self) -> bool {
        let said = |it: &Self| {
            let ours = |(key, _): &(&String, &String)| key.starts_with("rehost.dev/");
            let annotations = it.metadata.annotations.iter().flatten().filter(ours);
            let annotations: Vec<_> = annotations.map(|(key, value)| (key.clone(), value.clone())).collect();
            let ObjectMeta { uid, generation, finalizers, deletion_timestamp, .. } = it.metadata.clone();
            (uid, generation, finalizers, deletion_timestamp, annotations)
        };
        said(old) != said(new) || old.spec != new.spec
    }
}

impl Kind for NotebookClass {
    const NAME: &'static str = "NotebookClass";
    const LABEL: Option<&'static str> = None;

    fn store(stores: &Stores) -> &Store<Self> {
        &stores.classes
    }

    fn store_mut(stores: &mut Stores) -> &mut Store<Self> {
        &mut stores.classes
    }

    fn slim(&mut self) {
        drop_bookkeeping(&mut self.metadata);
    }

    fn handles(&self) -> Vec<Handle> {
        Vec::new()
    }

    fn news(old: &Self, new: &Self) -> bool {
        let deleting = |it: &Self| it.metadata.deletion_timestamp.is_some();
        old.metadata.uid != new.metadata.uid
            || old.metadata.generation != new.metadata.generation
            || deleting(old) != deleting(new)
            || old.spec != new.spec
    }
}

/// Who wrote which field when, which is often longer than the object itself.
fn drop_bookkeeping(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

macro_rules! kinds {
    ($($seen:ty, $name:literal, $label:expr, $store:ident, |$it:ident| $handles:expr;)+) => {
        $(impl Kind for $seen {
            const NAME: &'static str = $name;
            const LABEL: Option<&'static str> = $label;

            fn store(stores: &Stores) -> &Store<Self> {
                &stores.$store
            }

            fn store_mut(stores: &mut Stores) -> &mut Store<Self> {
                &mut stores.$store
            }

            fn handles(&self) -> Vec<Handle> {
                let $it = self;
                $handles
            }

            fn news(old: &Self, new: &Self) -> bool {
                !old.same_as(new)
            }
        })+
    };
}

kinds! {
    NamespaceSeen, "Namespace", None, namespaces, |_it| Vec::new();
    PodSeen, "Pod", Some(labels::UID), pods, |it| labelled(&it.notebook_uid);
    ServiceSeen, "Service", Some(labels::UID), services, |it| labelled(&it.notebook_uid);
    SliceSeen, "EndpointSlice", Some(labels::UID), slices, |it| labelled(&it.notebook_uid);
    ClaimSeen, "PersistentVolumeClaim", Some(labels::UID), claims, |it| {
        let volume = it.volume.clone().map(Handle::Volume);
        volume.into_iter().chain(labelled(&it.notebook_uid)).collect()
    };
    // Those that a storage class makes for us have no label, and what the attacher writes has none either: all are watched.
    VolumeSeen, "PersistentVolume", None, volumes, |it| {
        let claim = it.claim.clone().map(|(namespace, name)| Handle::Claim(namespace, name));
        claim.into_iter().chain(labelled(&it.notebook_uid)).collect()
    };
    AttachmentSeen, "VolumeAttachment", None, attachments, |it| vec![Handle::Volume(it.volume.clone())];
}

/// The notebook that a label names; what has no label would only fill the index.
fn labelled(uid: &str) -> Vec<Handle> {
    if uid.is_empty() { Vec::new() } else { vec![Handle::Notebook(uid.to_owned())] }
}

/// What a broken object hangs on: all that its metadata tell.
pub(super) fn handles_of_broken<K: Kind>(broken: &Broken) -> Vec<Handle> {
    labelled(if K::NAME == Notebook::NAME { &broken.uid } else { &broken.notebook_uid })
}
