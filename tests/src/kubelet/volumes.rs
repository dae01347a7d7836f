//! Claims bound, volumes attached and detached, disks grown.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use rehost::watch::slim::bytes;
use serde_json::{Value, json};

use super::{Came, Kubelet, Parts, key, names_of, text};

/// What keeps a claim until no pod uses it.
const CLAIM_PROTECTION: &str = "kubernetes.io/pvc-protection";
/// What keeps a volume until no claim is bound to it.
const VOLUME_PROTECTION: &str = "kubernetes.io/pv-protection";

pub(super) fn is_ending(object: &Value, finalizer: &str) -> bool {
    let held = object["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|one| one == finalizer));
    held && !object["metadata"]["deletionTimestamp"].is_null()
}

pub(super) fn without_finalizer(object: &Value, finalizer: &str) -> Patch<Value> {
    let all = object["metadata"]["finalizers"].as_array().into_iter().flatten();
    let left: Vec<&Value> = all.filter(|one| *one != finalizer).collect();
    Patch::Merge(json!({"metadata": {"uid": object["metadata"]["uid"], "finalizers": left}}))
}

fn gigabytes(value: &Value) -> u64 {
    value.as_str().and_then(bytes).map_or(0, |bytes| bytes >> 30)
}

impl Kubelet {
    /// The claim that a pod mounts.
    pub(super) fn claim_of(&self, pod: &Value) -> Option<&Value> {
        let namespace = pod["metadata"]["namespace"].as_str()?;
        let volumes = pod["spec"]["volumes"].as_array()?;
        let name = volumes.iter().find_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())?;
        self.store.claims.get(&format!("{namespace}/{name}"))
    }

    /// Binds each claim to the volume that it names, or to one made for it, and lets it grow where it asks for more.
    pub(super) async fn bind_claims(&mut self) {
        let claims: Vec<Value> = self.store.claims.values().cloned().collect();
        for claim in claims {
            if claim["status"]["phase"] == "Bound" {
                self.grow(&claim, &claim["status"]["capacity"]["storage"]);
            } else {
                self.bind(&claim).await;
            }
        }
    }

    /// Lets go of claims and volumes that are to be deleted, once nothing uses them.
    pub(super) async fn release(&mut self) {
        let claims: Vec<Value> =
            self.store.claims.values().filter(|claim| is_ending(claim, CLAIM_PROTECTION)).cloned().collect();
        for claim in claims {
            let used = self.store.pods.values().any(|pod| self.claim_of(pod).map(key).as_ref() == Some(&key(&claim)));
            if !used {
                let (namespace, name) = names_of(&claim);
                let api: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
                let _told =
                    api.patch(&name, &PatchParams::default(), &without_finalizer(&claim, CLAIM_PROTECTION)).await;
            }
        }
        let volumes: Vec<Value> =
            self.store.volumes.values().filter(|volume| is_ending(volume, VOLUME_PROTECTION)).cloned().collect();
        for volume in volumes {
            let name = text(&volume["metadata"]["name"]);
            let bound = self.store.claims.values().any(|claim| claim["spec"]["volumeName"] == name);
            if !bound {
                let api: Api<PersistentVolume> = Api::all(self.client.clone());
                let _told =
                    api.patch(&name, &PatchParams::default(), &without_finalizer(&volume, VOLUME_PROTECTION)).await;
            }
        }
    }

    async fn bind(&mut self, claim: &Value) {
        let (namespace, name) = names_of(claim);
        let wanted = text(&claim["spec"]["volumeName"]);
        let volume =
            if wanted.is_empty() { format!("pvc-{}", text(&claim["metadata"]["uid"])) } else { wanted.clone() };
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        if wanted.is_empty() {
            if !self.store.volumes.contains_key(&volume) {
                return self.provision(claim, &volume).await;
            }
            let bound = Patch::Merge(json!({"spec": {"volumeName": volume}}));
            let _told = claims.patch(&name, &PatchParams::default(), &bound).await;
        }
        let Some(found) = self.store.volumes.get(&volume).cloned() else { return };
        let capacity = found["spec"]["capacity"]["storage"].clone();
        let status = Patch::Merge(json!({"status": {
            "phase": "Bound",
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": capacity},
        }}));
        let _told = claims.patch_status(&name, &PatchParams::default(), &status).await;
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let phase = Patch::Merge(json!({"status": {"phase": "Bound"}}));
        let _told = volumes.patch_status(&volume, &PatchParams::default(), &phase).await;
    }

    /// The volume that a provisioner makes for a claim of a dynamic class.
    async fn provision(&self, claim: &Value, volume: &str) {
        let (namespace, name) = names_of(claim);
        let made = json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": volume},
            "spec": {
                "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
                "accessModes": claim["spec"]["accessModes"],
                "persistentVolumeReclaimPolicy": "Delete",
                "storageClassName": claim["spec"]["storageClassName"],
                "claimRef": {"namespace": namespace, "name": name, "uid": claim["metadata"]["uid"]},
                "csi": {"driver": "dynamic.example.org", "volumeHandle": volume},
            },
        });
        let Ok(made) = serde_json::from_value::<PersistentVolume>(made) else { return };
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let _made = volumes.create(&PostParams::default(), &made).await;
    }

    /// Lets the disk of a claim grow where it asks for more than it `has`.
    pub(super) fn grow(&mut self, claim: &Value, has: &Value) {
        let wanted = gigabytes(&claim["spec"]["resources"]["requests"]["storage"]);
        let has = gigabytes(has);
        let what = format!("grow/{}", key(claim));
        if wanted <= has || !self.may_try(&what) {
            return;
        }
        let handle = self
            .store
            .volumes
            .get(&text(&claim["spec"]["volumeName"]))
            .map(|volume| text(&volume["spec"]["csi"]["volumeHandle"]));
        let Some(handle) = handle else { return };
        self.busy.insert(what);
        let (grown, sender, claim) = (self.disks.grow(handle, wanted), self.sender.clone(), key(claim));
        tokio::spawn(async move {
            let result = grown.await;
            // Nobody listens any more only when the stand-in is gone.
            let _heard = sender.send(Came::Grown { claim, size_gb: wanted, result });
        });
    }

    /// Attaches what a placed pod needs, and detaches what no pod of its node needs any more.
    pub(super) async fn attachments_step(&mut self, pods: &[String]) {
        let mut needed: Vec<(String, String, String)> = Vec::new();
        for name in pods {
            let Some(pod) = self.store.pods.get(name) else { continue };
            let (Some(node), Some(claim)) = (pod["spec"]["nodeName"].as_str(), self.claim_of(pod)) else { continue };
            let volume = text(&claim["spec"]["volumeName"]);
            let over = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
            if !volume.is_empty() && claim["status"]["phase"] == "Bound" && !over {
                needed.push((attachment_name(&volume, node), volume, node.to_owned()));
            }
        }
        for (name, volume, node) in &needed {
            if !self.store.attachments.contains_key(name) {
                self.create_attachment(name, volume, node).await;
            }
        }
        let attachments: Vec<(String, Value)> =
            self.store.attachments.iter().map(|(name, it)| (name.clone(), it.clone())).collect();
        for (name, attachment) in attachments {
            let wanted = needed.iter().any(|(needed, ..)| *needed == name);
            let attached = attachment["status"]["attached"] == true;
            if wanted && !attached && self.only_one(&name, &attachment) {
                self.call(&name, &attachment, true);
            } else if !wanted {
                self.call(&name, &attachment, false);
            }
        }
    }

    /// Whether no other node has the volume.
    fn only_one(&self, name: &str, attachment: &Value) -> bool {
        let volume = &attachment["spec"]["source"]["persistentVolumeName"];
        !self
            .store
            .attachments
            .iter()
            .any(|(other, it)| other != name && it["spec"]["source"]["persistentVolumeName"] == *volume)
    }

    async fn create_attachment(&self, name: &str, volume: &str, node: &str) {
        let driver =
            self.store.volumes.get(volume).map(|volume| text(&volume["spec"]["csi"]["driver"])).unwrap_or_default();
        let made = json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "VolumeAttachment",
            "metadata": {"name": name},
            "spec": {"attacher": driver, "nodeName": node, "source": {"persistentVolumeName": volume}},
        });
        let Ok(made) = serde_json::from_value::<VolumeAttachment>(made) else { return };
        let api: Api<VolumeAttachment> = Api::all(self.client.clone());
        let _made = api.create(&PostParams::default(), &made).await;
    }

    pub(super) fn call(&mut self, name: &str, attachment: &Value, attach: bool) {
        let what = format!("{}/{name}", if attach { "attach" } else { "detach" });
        let other = format!("{}/{name}", if attach { "detach" } else { "attach" });
        if self.busy.contains(&other) || !self.may_try(&what) {
            return;
        }
        let volume = text(&attachment["spec"]["source"]["persistentVolumeName"]);
        let handle = self.store.volumes.get(&volume).map(|volume| text(&volume["spec"]["csi"]["volumeHandle"]));
        let Some(handle) = handle else { return };
        self.busy.insert(what);
        let node = text(&attachment["spec"]["nodeName"]);
        let (sender, attachment) = (self.sender.clone(), name.to_owned());
        let call = if attach { self.disks.attach(node, handle) } else { self.disks.detach(node, handle) };
        tokio::spawn(async move {
            let result = call.await;
            let came =
                if attach { Came::Attached { attachment, result } } else { Came::Detached { attachment, result } };
            let _heard = sender.send(came);
        });
    }

    pub(super) async fn take(&mut self, came: Came) {
        let attachments: Api<VolumeAttachment> = Api::all(self.client.clone());
        match came {
            Came::Attached { attachment, result } => {
                self.note(&format!("attach/{attachment}"), &result);
                let status = match result {
                    Ok(()) => json!({"attached": true, "attachError": null}),
                    Err(message) => json!({"attached": false, "attachError": {"message": message}}),
                };
                let patch = Patch::Merge(json!({"status": status}));
                // What was written counts from now on, not from when the watch tells of it: or it would be attached again.
                if let Ok(told) = attachments.patch_status(&attachment, &PatchParams::default(), &patch).await {
                    self.store.attachments.insert(attachment, serde_json::to_value(&told).unwrap_or_default());
                }
            }
            Came::Detached { attachment, result } => {
                self.note(&format!("detach/{attachment}"), &result);
                if self.parts == Parts::Attacher {
                    return self.tell_detached(&attachment, result).await;
                }
                if result.is_ok() {
                    let _gone = attachments.delete(&attachment, &DeleteParams::default()).await;
                    self.store.attachments.remove(&attachment);
                }
            }
            Came::Grown { claim, size_gb, result } => {
                self.note(&format!("grow/{claim}"), &result);
                if result.is_ok() {
                    self.grown(&claim, size_gb).await;
                }
            }
        }
    }

    async fn grown(&self, claim: &str, size_gb: u64) {
        let Some(found) = self.store.claims.get(claim) else { return };
        let (namespace, name) = names_of(found);
        let storage = format!("{size_gb}Gi");
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        let capacity = Patch::Merge(json!({"spec": {"capacity": {"storage": storage}}}));
        let _told = volumes.patch(&text(&found["spec"]["volumeName"]), &PatchParams::default(), &capacity).await;
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
        if self.parts == Parts::Attacher {
            return self.leave_growth_to_node(&claims, &name, &storage).await;
        }
        let status = Patch::Merge(json!({"status": {"capacity": {"storage": storage}}}));
        let _told = claims.patch_status(&name, &PatchParams::default(), &status).await;
    }
}

fn attachment_name(volume: &str, node: &str) -> String {
    format!("csi-{volume}-{node}")
}
