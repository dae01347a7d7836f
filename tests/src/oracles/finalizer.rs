//! (f) The finalizer leaves when the last host is truly gone, neither sooner nor much later.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Oracle;
use crate::sim::scene::Scene;

/// How long the finalizer may stay once there is no host: the disk is labelled or deleted, volume and claim go, and one
/// sweep may lie between.
const GRACE: SignedDuration = SignedDuration::from_secs(120);

/// Oracle (f).
#[derive(Debug, Default)]
pub struct Finalizer {
    /// Notebooks that had our finalizer, with their names.
    held: BTreeMap<String, String>,
    /// Since when a notebook that is being deleted has had no host.
    hostless: BTreeMap<String, Timestamp>,
}

impl Oracle for Finalizer {
    fn name(&self) -> &'static str {
        "finalizer"
    }

    fn sentence(&self) -> &'static str {
        "The finalizer neither leaves before the true absence of the notebook's hosts nor outlives it."
    }

    fn step(&mut self, scene: &Scene) -> Vec<String> {
        let mut found = Vec::new();
        let holds = |uid: &str| scene.cluster.notebook(uid).is_some_and(|notebook| notebook.finalizer);
        for (uid, name) in self.held.extract_if(.., |uid, _| !holds(uid)) {
            self.hostless.remove(&uid);
            let there = hosts(scene, &uid).into_iter();
            found.extend(there.map(|host| format!("{host} was there when it left {name}")));
        }
        for notebook in scene.cluster.notebooks.iter().filter(|notebook| notebook.finalizer) {
            self.held.entry(notebook.uid.clone()).or_insert_with(|| notebook.name.clone());
            if !notebook.deleting || !hosts(scene, &notebook.uid).is_empty() {
                self.hostless.remove(&notebook.uid);
                continue;
            }
            let since = *self.hostless.entry(notebook.uid.clone()).or_insert(scene.now);
            if scene.now.duration_since(since) > GRACE {
                found.push(format!(
                    "it still held {} {} s after its last host was gone",
                    notebook.name,
                    GRACE.as_secs()
                ));
            }
        }
        found
    }
}

fn hosts(scene: &Scene, uid: &str) -> Vec<String> {
    let vms = scene.vms_of(uid).map(|(place, _)| format!("the VM {}", place.name));
    let pods =
        scene.cluster.pods.iter().filter(|pod| pod.notebook_uid == uid).map(|pod| format!("the pod {}", pod.name));
    vms.chain(pods).collect()
}
