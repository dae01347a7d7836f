//! The attach-detach controller and the CSI attacher: a `VolumeAttachment` for every volume on every node that needs it,
//! and the disk behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PostParams};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::StandIn;
use super::cache::{is_over, node_of};
use super::nodes::merge;

/// The attacher's hold on its attachments.
const FINALIZER: &str = "external-attacher/stand-in";

/// What the attacher remembers of an attachment, by its uid.
#[derive(Debug, Default)]
pub struct Attempt {
    running: bool,
    /// Done, though the cache may not show it yet: attached (false) or detached (true).
    done: Option<bool>,
    failures: u32,
    not_before: Option<Timestamp>,
}

/// An attach or detach that has ended.
pub struct Done {
    uid: String,
    name: String,
    detach: bool,
    result: Result<(), String>,
}

/// The real controller's name for an attachment.
fn attachment_name(handle: &str, driver: &str, node: &str) -> String {
    let digest = Sha256::digest(format!("{handle}{driver}{node}"));
    digest.iter().fold("csi-".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

impl StandIn {
    /// Makes and deletes attachments, and starts what is to be attached or detached.
    pub(super) async fn tend_attachments(&mut self) {
        let wanted = self.wanted_attachments();
        self.make_attachments(&wanted).await;
        for attachment in self.cache.attachments.all() {
            if attachment.spec.attacher != self.settings.driver {
                continue;
            }
            let volume = attachment.spec.source.persistent_volume_name.clone().unwrap_or_default();
            let needed = wanted.contains(&(volume, attachment.spec.node_name.clone()));
            let deleting = attachment.metadata.deletion_timestamp.is_some();
            if !needed && !deleting {
                let api: Api<VolumeAttachment> = Api::all(self.client.clone());
                let (name, params) = (attachment.name_any(), DeleteParams::default());
                self.call("let go of an attachment", api.delete(&name, &params)).await;
            } else if deleting || !is_attached(&attachment) {
                self.work_on(&attachment, deleting).await;
            }
        }
        let known: BTreeSet<String> = self.cache.attachments.iter().filter_map(|a| a.uid()).collect();
        self.attempts.retain(|uid, attempt| attempt.running || known.contains(uid));
    }

    /// Volume and node of every pod that is placed and still there.
    fn wanted_attachments(&self) -> BTreeSet<(String, String)> {
        let mut wanted = BTreeSet::new();
        for pod in self.cache.pods.iter().filter(|pod| !is_over(pod)) {
            let Some(node) = node_of(pod).filter(|node| self.node_settings(node).is_some()) else { continue };
            for volume in self.volumes_of(pod).into_iter().flatten() {
                wanted.insert((volume, node.to_owned()));
            }
        }
        wanted
    }

    /// One node at a time: while a volume is attached elsewhere there is no attachment for it.
    async fn make_attachments(&self, wanted: &BTreeSet<(String, String)>) {
        let mut taken: BTreeMap<String, String> = BTreeMap::new();
        for attachment in self.cache.attachments.iter() {
            let volume = attachment.spec.source.persistent_volume_name.clone().unwrap_or_default();
            taken.insert(volume, attachment.spec.node_name.clone());
        }
        for (volume, node) in wanted {
            let Some(handle) = self.handle_of(volume).filter(|_| !taken.contains_key(volume)) else { continue };
            let name = attachment_name(&handle, &self.settings.driver, node);
            let object = json!({
                "apiVersion": "storage.k8s.io/v1",
                "kind": "VolumeAttachment",
                "metadata": {"name": name, "finalizers": [FINALIZER]},
                "spec": {"attacher": self.settings.driver, "nodeName": node, "source": {"persistentVolumeName": volume}},
            });
            let Ok(attachment) = serde_json::from_value::<VolumeAttachment>(object) else { continue };
            let api: Api<VolumeAttachment> = Api::all(self.client.clone());
            self.call("make an attachment", api.create(&PostParams::default(), &attachment)).await;
            taken.insert(volume.clone(), node.clone());
        }
    }

    /// The disk of a volume of our driver.
    fn handle_of(&self, volume: &str) -> Option<String> {
        let volume = self.cache.volumes.get("", volume)?;
        let csi = volume.spec.as_ref()?.csi.as_ref().filter(|csi| csi.driver == self.settings.driver)?;
        Some(csi.volume_handle.clone())
    }

    /// Starts an attempt, unless one runs, or the last one failed a moment ago.
    async fn work_on(&mut self, attachment: &VolumeAttachment, detach: bool) {
        let uid = attachment.uid().unwrap_or_default();
        let now = self.clock.now();
        let attempt = self.attempts.entry(uid.clone()).or_default();
        if attempt.running || attempt.done == Some(detach) {
            return;
        }
        if let Some(due) = attempt.not_before.filter(|due| *due > now) {
            self.due(due);
            return;
        }
        let volume = attachment.spec.source.persistent_volume_name.clone().unwrap_or_default();
        let held = attachment.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
        let Some(handle) = self.handle_of(&volume).filter(|_| held) else {
            if detach && held {
                // Its volume is gone: there is nothing to detach.
                let done = Done { uid, name: attachment.name_any(), detach, result: Ok(()) };
                self.finish_attempt(done).await;
            }
            return;
        };
        if let Some(attempt) = self.attempts.get_mut(&uid) {
            attempt.running = true;
        }
        let (disks, node, name) =
            (self.settings.disks.clone(), attachment.spec.node_name.clone(), attachment.name_any());
        let work: BoxFuture<'static, Done> = async move {
            let result =
                if detach { disks.detach(&node, &handle).await } else { disks.attach(&node, &handle, false).await };
            Done { uid, name, detach, result }
        }
        .boxed();
        self.started.lock().unwrap_or_else(PoisonError::into_inner).push(work);
    }

    /// Tells what came of an attempt, and when to try again.
    pub(super) async fn finish_attempt(&mut self, done: Done) {
        let api: Api<VolumeAttachment> = Api::all(self.client.clone());
        let now = self.clock.now();
        let times = &self.settings.times;
        let attempt = self.attempts.entry(done.uid.clone()).or_default();
        attempt.running = false;
        let message = match done.result {
            Ok(()) => {
                *attempt = Attempt { done: Some(done.detach), ..Attempt::default() };
                None
            }
            Err(message) => {
                let doubled = times.attach_retry_s * 2_f64.powi(i32::try_from(attempt.failures).unwrap_or(16).min(16));
                let wait = Duration::from_secs_f64(doubled.min(times.attach_retry_most_s));
                attempt.failures += 1;
                attempt.not_before = Some(now + jiff::SignedDuration::try_from(wait).unwrap_or_default());
                Some(message)
            }
        };
        let (detach, name) = (done.detach, done.name);
        let time = self.time();
        let said = match message {
            None if detach => {
                let patch = Patch::Merge(json!({"metadata": {"uid": done.uid, "finalizers": null}}));
                self.call("end an attachment", api.patch(&name, &merge(), &patch)).await
            }
            None => {
                let status = Patch::Merge(json!({"status": {"attached": true, "attachError": null}}));
                self.call("say that it is attached", api.patch_status(&name, &merge(), &status)).await
            }
            Some(message) => {
                let field = if detach { "detachError" } else { "attachError" };
                let error = json!({"message": message, "time": time});
                let status = Patch::Merge(json!({"status": {"attached": detach, field: error}}));
                self.call("say why it failed", api.patch_status(&name, &merge(), &status)).await
            }
        };
        if said.is_none()
            && let Some(attempt) = self.attempts.get_mut(&done.uid)
        {
            // Nobody heard of it: it is done, and said, once more.
            attempt.done = None;
        }
    }

    /// Are all of a pod's volumes on its node?
    pub(super) fn volumes_attached(&self, volumes: &[String], node: &str) -> bool {
        volumes.iter().filter(|volume| self.handle_of(volume).is_some()).all(|volume| {
            self.cache.attachments.iter().any(|attachment| {
                attachment.spec.source.persistent_volume_name.as_ref() == Some(volume)
                    && attachment.spec.node_name == node
                    && attachment.metadata.deletion_timestamp.is_none()
                    && is_attached(attachment)
            })
        })
    }
}

fn is_attached(attachment: &VolumeAttachment) -> bool {
    attachment.status.as_ref().is_some_and(|status| status.attached)
}
