//! The volume controllers: binding claims and volumes, making and growing volumes, protecting what is in use.

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PostParams, Preconditions};
use serde_json::{Value, json};

use super::StandIn;
use super::cache::{Cache, node_of};
use super::nodes::merge;
use super::scheduler::waits_for_consumer;
use super::settings::VolumeOrder;
use crate::kube::Quantity;

const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";
/// Set by the scheduler on claims that wait for a pod's node.
pub(super) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

fn phase_of(claim: &PersistentVolumeClaim) -> &str {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending")
}

fn asked(claim: &PersistentVolumeClaim) -> i128 {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let size = requests.and_then(|requests| requests.get("storage"));
    size.and_then(|size| Quantity::parse(&size.0)).map_or(0, |size| size.whole())
}

/// The size as the claim words it.
fn asked_text(claim: &PersistentVolumeClaim) -> String {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    requests.and_then(|requests| requests.get("storage")).map(|size| size.0.clone()).unwrap_or_default()
}

fn size_of(volume: &PersistentVolume) -> i128 {
    let capacity = volume.spec.as_ref().and_then(|spec| spec.capacity.as_ref()?.get("storage"));
    capacity.and_then(|size| Quantity::parse(&size.0)).map_or(0, |size| size.whole())
}

/// Does the volume's reference mean this claim?
fn refers(reference: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    let named = reference.namespace == claim.namespace() && reference.name.as_deref() == Some(&claim.name_any());
    named && reference.uid.as_ref().is_none_or(|uid| uid.is_empty() || Some(uid) == claim.uid().as_ref())
}

impl StandIn {
    /// Everything that claims and volumes wait for.
    pub(super) async fn tend_volumes(&mut self) {
        for claim in self.cache.claims.all() {
            if claim.metadata.deletion_timestamp.is_some() {
                self.release_claim(&claim).await;
            } else if phase_of(&claim) == "Bound" {
                self.keep_bound(&claim).await;
            } else if phase_of(&claim) != "Lost" {
                self.bind_claim(&claim).await;
            }
        }
        for volume in self.cache.volumes.all() {
            self.tend_volume(&volume).await;
        }
    }

    /// A claim finds the volume that it names, one that is kept for it, one that fits, or has one made.
    async fn bind_claim(&mut self, claim: &PersistentVolumeClaim) {
        let Some(spec) = &claim.spec else { return };
        let named = spec.volume_name.as_deref().filter(|name| !name.is_empty());
        let volume = match named {
            Some(name) => self.cache.volumes.get("", name).cloned(),
            None => self.volume_for(claim),
        };
        if let Some(volume) = volume {
            let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
            let free = reference.is_none_or(|reference| refers(reference, claim));
            if free && size_of(&volume) >= asked(claim) && volume.metadata.deletion_timestamp.is_none() {
                self.bind(claim, &volume).await;
            }
        } else if named.is_none() {
            self.provision(claim).await;
        }
    }

    fn volume_for(&self, claim: &PersistentVolumeClaim) -> Option<std::sync::Arc<PersistentVolume>> {
        let wanted = claim.spec.as_ref()?;
        let class = |name: Option<&String>| name.cloned().unwrap_or_default();
        let fits = |volume: &&std::sync::Arc<PersistentVolume>| {
            let Some(spec) = &volume.spec else { return false };
            let reserved = spec.claim_ref.as_ref();
            let modes = wanted.access_modes.iter().flatten();
            class(spec.storage_class_name.as_ref()) == class(wanted.storage_class_name.as_ref())
                && size_of(volume) >= asked(claim)
                && modes.clone().all(|mode| spec.access_modes.iter().flatten().any(|other| other == mode))
                && reserved.is_none_or(|reference| refers(reference, claim))
                && volume.metadata.deletion_timestamp.is_none()
                && (reserved.is_some() || !waits_for_consumer(claim, &self.cache))
        };
        let mut all: Vec<_> = self.cache.volumes.iter().filter(fits).collect();
        // One that is kept for the claim comes first, then the smallest.
        all.sort_by_key(|volume| {
            let reserved = volume.spec.as_ref().is_some_and(|spec| spec.claim_ref.is_some());
            (!reserved, size_of(volume))
        });
        all.first().map(|volume| (*volume).clone())
    }

    async fn bind(&self, claim: &PersistentVolumeClaim, volume: &PersistentVolume) {
        let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let reference = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name,
            "uid": claim.uid(), "resourceVersion": claim.resource_version(),
        });
        let known = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()?.uid.clone());
        if known != claim.uid() {
            let patch = json!({"spec": {"claimRef": reference}});
            self.call("reserve a volume", volumes.patch(&volume.name_any(), &merge(), &Patch::Merge(patch))).await;
        }
        let phase = json!({"status": {"phase": "Bound"}});
        self.call("bind a volume", volumes.patch_status(&volume.name_any(), &merge(), &Patch::Merge(phase))).await;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        let patch = json!({
            "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
            "spec": {"volumeName": volume.name_any()},
        });
        self.call("bind a claim", claims.patch(&name, &merge(), &Patch::Merge(patch))).await;
        let spec = volume.spec.clone().unwrap_or_default();
        let status = json!({"status": {"phase": "Bound", "accessModes": spec.access_modes, "capacity": spec.capacity}});
        self.call("bind a claim", claims.patch_status(&name, &merge(), &Patch::Merge(status))).await;
    }

    /// Dynamic provisioning by the claim's class, if it is of our driver.
    async fn provision(&mut self, claim: &PersistentVolumeClaim) {
        let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()).unwrap_or_default();
        let Some(class) = self.cache.classes.get("", &class).cloned() else { return };
        let node = claim.annotations().get(SELECTED_NODE).cloned();
        let waits = waits_for_consumer(claim, &self.cache);
        let uid = claim.uid().unwrap_or_default();
        if class.provisioner != self.settings.driver || (waits && node.is_none()) || self.made.contains(&uid) {
            return;
        }
        let zone = node.and_then(|name| {
            let node = self.cache.nodes.get("", &name)?;
            node.labels().get("topology.gke.io/zone").cloned()
        });
        let order = VolumeOrder {
            name: format!("pvc-{uid}"),
            size_bytes: asked(claim),
            zone,
            parameters: class.parameters.clone().unwrap_or_default(),
        };
        // A driver that fails is asked again at the next opportunity.
        let Ok(handle) = self.settings.disks.clone().create(&order).await else { return };
        self.made.insert(uid);
        let object = self.provisioned(claim, &class, &order, &handle);
        let Ok(volume) = serde_json::from_value::<PersistentVolume>(object) else { return };
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        self.call("make a volume", volumes.create(&PostParams::default(), &volume)).await;
    }

    fn provisioned(
        &self,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
        order: &VolumeOrder,
        handle: &str,
    ) -> Value {
        let spec = claim.spec.clone().unwrap_or_default();
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {
                "name": order.name,
                "annotations": {"pv.kubernetes.io/provisioned-by": self.settings.driver},
            },
            "spec": {
                "accessModes": spec.access_modes,
                "capacity": {"storage": asked_text(claim)},
                "storageClassName": class.name_any(),
                "persistentVolumeReclaimPolicy": class.reclaim_policy.as_deref().unwrap_or("Delete"),
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim", "uid": claim.uid(),
                    "namespace": claim.namespace(), "name": claim.name_any(),
                },
                "csi": {"driver": self.settings.driver, "volumeHandle": handle, "fsType": "ext4"},
            },
        });
        if let Some(zone) = &order.zone {
            object["spec"]["nodeAffinity"] = json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "topology.gke.io/zone", "operator": "In", "values": [zone]},
            ]}]}});
        }
        object
    }

    /// A bound claim grows with its request, and is lost with its volume.
    async fn keep_bound(&mut self, claim: &PersistentVolumeClaim) {
        let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        let volume_name = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
        let Some(volume) = self.cache.volumes.get("", &volume_name).cloned() else {
            let status = json!({"status": {"phase": "Lost"}});
            self.call("lose a claim", claims.patch_status(&name, &merge(), &Patch::Merge(status))).await;
            return;
        };
        let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref()?.get("storage"));
        let capacity = capacity.and_then(|size| Quantity::parse(&size.0)).map_or(0, |size| size.whole());
        let wanted = asked(claim);
        let handle = volume.spec.as_ref().and_then(|spec| Some(spec.csi.as_ref()?.volume_handle.clone()));
        let Some(handle) = handle.filter(|_| wanted > capacity) else { return };
        if self.settings.disks.clone().expand(&handle, wanted).await.is_err() {
            return;
        }
        let size = json!({"storage": asked_text(claim)});
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let patch = json!({"spec": {"capacity": size}});
        self.call("grow a volume", volumes.patch(&volume_name, &merge(), &Patch::Merge(patch))).await;
        let status = json!({"status": {"capacity": size}});
        self.call("grow a claim", claims.patch_status(&name, &merge(), &Patch::Merge(status))).await;
    }

    /// A deleted claim goes when no pod uses it.
    async fn release_claim(&self, claim: &PersistentVolumeClaim) {
        let (namespace, name) = (claim.namespace().unwrap_or_default(), claim.name_any());
        let used = self.cache.users(&namespace, &name).any(|pod| node_of(pod).is_some());
        if used || !claim.finalizers().iter().any(|finalizer| finalizer == CLAIM_PROTECTION) {
            return;
        }
        let left: Vec<&String> = claim.finalizers().iter().filter(|finalizer| *finalizer != CLAIM_PROTECTION).collect();
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        let patch = json!({"metadata": {"uid": claim.uid(), "finalizers": left}});
        self.call("release a claim", claims.patch(&name, &merge(), &Patch::Merge(patch))).await;
    }

    /// A volume is available, bound or released; a released one is deleted if it says so.
    async fn tend_volume(&self, volume: &PersistentVolume) {
        let name = volume.name_any();
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let spec = volume.spec.clone().unwrap_or_default();
        let owner = spec.claim_ref.as_ref().and_then(|reference| {
            let claim = self.cache.claims.get(reference.namespace.as_deref()?, reference.name.as_deref()?)?;
            refers(reference, claim).then_some(claim)
        });
        let held =
            spec.claim_ref.as_ref().is_some_and(|reference| reference.uid.as_ref().is_some_and(|u| !u.is_empty()));
        let phase = match (owner, held) {
            (Some(claim), true) if Self::bound_to(claim, &name) => "Bound",
            (None, true) => "Released",
            (Some(_), true) => return,
            (_, false) => "Available",
        };
        if volume.metadata.deletion_timestamp.is_some() {
            if phase != "Bound" && volume.finalizers().iter().any(|finalizer| finalizer == VOLUME_PROTECTION) {
                let left: Vec<&String> =
                    volume.finalizers().iter().filter(|finalizer| *finalizer != VOLUME_PROTECTION).collect();
                let patch = json!({"metadata": {"uid": volume.uid(), "finalizers": left}});
                self.call("release a volume", volumes.patch(&name, &merge(), &Patch::Merge(patch))).await;
            }
            return;
        }
        if volume.status.as_ref().and_then(|status| status.phase.as_deref()) != Some(phase) {
            let status = json!({"status": {"phase": phase}});
            self.call("set a volume's phase", volumes.patch_status(&name, &merge(), &Patch::Merge(status))).await;
        }
        let reclaim = spec.persistent_volume_reclaim_policy.as_deref() == Some("Delete") && phase == "Released";
        let attached = self
            .cache
            .attachments
            .iter()
            .any(|attachment| attachment.spec.source.persistent_volume_name.as_deref() == Some(name.as_str()));
        if let Some(csi) = spec.csi.filter(|_| reclaim && !attached)
            && self.settings.disks.delete(&csi.volume_handle).await.is_ok()
        {
            let preconditions = Preconditions { uid: volume.uid(), resource_version: None };
            let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            self.call("delete a volume", volumes.delete(&name, &params)).await;
        }
    }

    fn bound_to(claim: &PersistentVolumeClaim, volume: &str) -> bool {
        claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) == Some(volume)
    }

    /// The volumes of a pod's claims, by name; none if one is not bound.
    pub(super) fn volumes_of(&self, pod: &k8s_openapi::api::core::v1::Pod) -> Option<Vec<String>> {
        let namespace = pod.namespace().unwrap_or_default();
        Cache::claims_of(pod)
            .map(|name| {
                let claim = self.cache.claims.get(&namespace, name).filter(|claim| phase_of(claim) == "Bound")?;
                claim.spec.as_ref()?.volume_name.clone()
            })
            .collect()
    }
}
