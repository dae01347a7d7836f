//! The attacher and the resizer of a CSI driver, beside real controllers: those ask by objects, and these answer in them.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::volumes::{is_ending, without_finalizer};
use super::{Kubelet, text};

/// The driver whose side of the cloud this is.
const DRIVER: &str = "pd.csi.storage.gke.io";
/// What the real attacher keeps volumes and attachments by, until it has detached.
const ATTACHER: &str = "external-attacher/pd-csi-storage-gke-io";

impl Kubelet {
    /// Attaches and detaches what the controllers ask for, and grows what claims ask for.
    pub(super) async fn attach_as_asked(&mut self) {
        let attachments: Vec<(String, Value)> =
            self.store.attachments.iter().map(|(name, it)| (name.clone(), it.clone())).collect();
        for (name, attachment) in attachments {
            if attachment["spec"]["attacher"] != DRIVER {
                continue;
            }
            if !attachment["metadata"]["deletionTimestamp"].is_null() {
                if is_held(&attachment) {
                    self.call(&name, &attachment, false);
                }
            } else if attachment["status"]["attached"] != true && self.hold(&name, &attachment).await {
                self.call(&name, &attachment, true);
            }
        }
        self.let_volumes_go().await;
        let claims: Vec<Value> =
            self.store.claims.values().filter(|claim| claim["status"]["phase"] == "Bound").cloned().collect();
        for claim in claims {
            if self.volume_of(&claim)["spec"]["csi"]["driver"] == DRIVER {
                let has = self.volume_of(&claim)["spec"]["capacity"]["storage"].clone();
                self.grow(&claim, &has);
            }
        }
    }

    fn volume_of(&self, claim: &Value) -> &Value {
        self.store.volumes.get(&text(&claim["spec"]["volumeName"])).unwrap_or(&Value::Null)
    }

    /// Sees to it that neither the attachment nor its volume goes before it was detached; says whether that holds.
    async fn hold(&mut self, name: &str, attachment: &Value) -> bool {
        let volume = text(&attachment["spec"]["source"]["persistentVolumeName"]);
        let Some(found) = self.store.volumes.get(&volume).cloned() else { return false };
        if !is_held(&found) {
            let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
            let Ok(told) = volumes.patch(&volume, &PatchParams::default(), &with_finalizer(&found)).await else {
                return false;
            };
            self.store.volumes.insert(volume, serde_json::to_value(&told).unwrap_or_default());
        }
        if !is_held(attachment) {
            let attachments: Api<VolumeAttachment> = Api::all(self.client.clone());
            let Ok(told) = attachments.patch(name, &PatchParams::default(), &with_finalizer(attachment)).await else {
                return false;
            };
            self.store.attachments.insert(name.to_owned(), serde_json::to_value(&told).unwrap_or_default());
        }
        true
    }

    /// Lets go of volumes that are to be deleted, once they are attached to nothing.
    async fn let_volumes_go(&mut self) {
        let ending: Vec<(String, Value)> = self
            .store
            .volumes
            .iter()
            .filter(|(name, volume)| is_ending(volume, ATTACHER) && !self.is_asked_for(name))
            .map(|(name, volume)| (name.clone(), volume.clone()))
            .collect();
        let volumes: Api<PersistentVolume> = Api::all(self.client.clone());
        for (name, volume) in ending {
            let _told = volumes.patch(&name, &PatchParams::default(), &without_finalizer(&volume, ATTACHER)).await;
        }
    }

    fn is_asked_for(&self, volume: &str) -> bool {
        self.store.attachments.values().any(|it| it["spec"]["source"]["persistentVolumeName"] == volume)
    }

    /// Says in an attachment that is to go what came of detaching: it goes, or it names the reason why not yet.
    pub(super) async fn tell_detached(&mut self, name: &str, result: Result<(), String>) {
        let attachments: Api<VolumeAttachment> = Api::all(self.client.clone());
        match result {
            Ok(()) => {
                let Some(attachment) = self.store.attachments.get(name).cloned() else { return };
                let patch = without_finalizer(&attachment, ATTACHER);
                if attachments.patch(name, &PatchParams::default(), &patch).await.is_ok() {
                    self.store.attachments.remove(name);
                }
            }
            Err(message) => {
                let patch = Patch::Merge(json!({"status": {"detachError": {"message": message}}}));
                let _told = attachments.patch_status(name, &PatchParams::default(), &patch).await;
            }
        }
    }

    /// Leaves the file system of a grown disk to the kubelet, as the real resizer does.
    pub(super) async fn leave_growth_to_node(&self, claims: &Api<PersistentVolumeClaim>, name: &str, storage: &str) {
        let status = json!({
            "allocatedResources": {"storage": storage},
            "allocatedResourceStatuses": {"storage": "NodeResizePending"},
            "conditions": [{
                "type": "FileSystemResizePending", "status": "True",
                "lastTransitionTime": self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "message": "Waiting for user to (re-)start a pod to finish file system resize of volume on node.",
            }],
        });
        let _told = claims.patch_status(name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await;
    }
}

fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|all| all.iter().any(|one| one == ATTACHER))
}

fn with_finalizer(object: &Value) -> Patch<Value> {
    let mut all: Vec<Value> = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
    all.push(ATTACHER.into());
    // Whoever changed them meanwhile is not overwritten: then it is tried again.
    let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"], "finalizers": all});
    Patch::Merge(json!({"metadata": metadata}))
}
