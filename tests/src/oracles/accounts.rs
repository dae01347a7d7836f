//! (b) At rest, everything in the cloud is on record.

use std::collections::BTreeMap;

use rehost_api::labels;
use rehost_api::status::HostKind;

use super::Oracle;
use crate::sim::scene::{NotebookScene, Scene};
use crate::world::World;

/// Oracle (b).
#[derive(Debug, Default)]
pub struct Accounts {
    /// Notebooks that were there once, and whether their disk was last to be kept.
    known: BTreeMap<String, bool>,
}

impl Oracle for Accounts {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn sentence(&self) -> &'static str {
        "At rest there is no VM, disk or snapshot of a living or properly deleted notebook that its record does not account for."
    }

    fn step(&mut self, scene: &Scene) -> Vec<String> {
        for notebook in scene.cluster.notebooks.iter() {
            let is_kept = notebook.spec["storage"]["deletionPolicy"].as_str() != Some("Delete");
            self.known.insert(notebook.uid.clone(), is_kept);
        }
        Vec::new()
    }

    fn rest(&mut self, scene: &Scene, _world: &World) -> Vec<String> {
        let mut found = Vec::new();
        for (uid, is_kept) in &self.known {
            match scene.cluster.notebook(uid) {
                Some(notebook) => found.extend(unrecorded(scene, notebook)),
                None => found.extend(left_over(scene, uid, *is_kept)),
            }
        }
        found
    }
}

fn unrecorded(scene: &Scene, notebook: &NotebookScene) -> Vec<String> {
    let mut found = Vec::new();
    for (place, _) in scene.vms_of(&notebook.uid) {
        if !notebook.names_host(HostKind::Vm, &place.name) {
            found.push(format!("the VM {} is on no record of {}", place.name, notebook.name));
        }
    }
    let home = notebook.status.home.as_ref();
    for (place, _) in scene.disks_of(&notebook.uid) {
        let is_home = home.is_some_and(|home| home.disk == place.name && home.zone == place.at);
        let former = notebook.status.former_home.as_ref().map(|former| &former.home);
        let was_home = former.is_some_and(|home| home.disk == place.name && home.zone == place.at);
        // A boot disk has its machine's name, and goes with it.
        let boots = scene.cloud.vms.contains_key(place);
        if !is_home && !was_home && !boots {
            found.push(format!("the disk {} is on no record of {}", place.name, notebook.name));
        }
    }
    // While it is on record that they go, they may be there: a try that failed has its pause.
    if notebook.status.former_home.as_ref().is_none_or(|former| former.cleared) {
        found.extend(copies(scene, &notebook.uid));
    }
    for pod in scene.cluster.pods.iter().filter(|pod| pod.notebook_uid == notebook.uid) {
        if !notebook.names_host(HostKind::Pod, &pod.name) {
            found.push(format!("the pod {} is on no record of {}", pod.name, notebook.name));
        }
    }
    found
}

/// Snapshots that a disk was made from outlive the making by nothing.
fn copies(scene: &Scene, uid: &str) -> Vec<String> {
    let snapshots = scene.cloud.snapshots.iter().filter(|(_, all)| scene.belongs(all, uid));
    let copies = snapshots.filter(|(_, all)| all.get(labels::GCE_ROLE).is_none_or(|role| role == "copy"));
    copies.map(|(name, _)| format!("the snapshot {name} is left of a copy")).collect()
}

fn left_over(scene: &Scene, uid: &str, is_kept: bool) -> Vec<String> {
    let mut found: Vec<String> =
        scene.vms_of(uid).map(|(place, _)| format!("the VM {} outlived its notebook", place.name)).collect();
    for (place, disk) in scene.disks_of(uid) {
        let role = disk.labels.get(labels::GCE_ROLE).map(String::as_str);
        if !is_kept || role != Some("kept") {
            let role = role.unwrap_or("no role");
            found.push(format!("the disk {} ({role}) outlived its notebook", place.name));
        }
    }
    found.extend(copies(scene, uid));
    let objects = scene.cluster.pods.iter().filter(|pod| pod.notebook_uid == uid).map(|pod| &pod.name);
    let volumes = scene.cluster.volumes.iter().filter(|volume| volume.notebook_uid == uid).map(|volume| &volume.name);
    let claims = scene.cluster.claims.iter().filter(|claim| claim.notebook_uid == uid).map(|claim| &claim.name);
    found.extend(objects.chain(volumes).chain(claims).map(|name| format!("{name} outlived its notebook")));
    found
}
