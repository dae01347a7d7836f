//! (a) One home, one writer, one server; never more than two hosts.

use std::collections::{BTreeMap, BTreeSet};

use rehost::watch::slim::PodRole;
use rehost_api::status::HostKind;

use super::Oracle;
use crate::sim::scene::{NotebookScene, Scene};

/// Oracle (a).
#[derive(Debug, Default)]
pub struct Hosts;

impl Oracle for Hosts {
    fn name(&self) -> &'static str {
        "hosts"
    }

    fn sentence(&self) -> &'static str {
        "At most one host has the home attached read-write and at most one serves; there are never more than two hosts \
         of a notebook, and each is one that its record names."
    }

    fn step(&mut self, scene: &Scene) -> Vec<String> {
        let mut found = Vec::new();
        for notebook in scene.cluster.notebooks.iter() {
            found.extend(writers(scene, notebook));
            found.extend(servers(scene, notebook));
            found.extend(numbers(scene, notebook));
        }
        found
    }
}

/// Attachments of disks in the role of the notebook's home, now or next, whichever disks these are.
fn writers(scene: &Scene, notebook: &NotebookScene) -> Option<String> {
    let homes: BTreeSet<_> = scene
        .disks_of(&notebook.uid)
        .filter(|(_, disk)| {
            disk.labels.get(rehost_api::labels::GCE_ROLE).is_some_and(|role| role == "home" || role == "next")
        })
        .map(|(place, _)| place)
        .collect();
    let users: BTreeMap<_, _> = scene
        .cloud
        .attachments
        .iter()
        .filter(|attachment| homes.contains(&attachment.disk))
        .map(|attachment| (&attachment.instance.name, &attachment.disk.name))
        .collect();
    (users.len() > 1).then(|| format!("{} is attached read-write to {users:?}", notebook.name))
}

fn servers(scene: &Scene, notebook: &NotebookScene) -> Option<String> {
    let guests = scene
        .cloud
        .vms
        .iter()
        .filter(|(_, vm)| {
            let guest = vm.guest.as_ref();
            guest.is_some_and(|guest| guest.serving && guest.uid.as_deref() == Some(notebook.uid.as_str()))
        })
        .map(|(place, _)| place.name.clone());
    let pods = scene
        .cluster
        .pods_of(&notebook.uid, PodRole::Host)
        .filter(|pod| pod.ready && !pod.deleting)
        .map(|pod| pod.name.clone());
    let serving: Vec<String> = guests.chain(pods).collect();
    (serving.len() > 1).then(|| format!("{} is served by {serving:?}", notebook.name))
}

/// A placeholder and the pod whose place it keeps are one host.
fn numbers(scene: &Scene, notebook: &NotebookScene) -> Vec<String> {
    let mut found = Vec::new();
    let mut hosts = BTreeSet::new();
    for (place, _) in scene.vms_of(&notebook.uid) {
        hosts.insert(place.name.clone());
        if !notebook.names_host(HostKind::Vm, &place.name) {
            found.push(format!("the VM {} of {} is in no record", place.name, notebook.name));
        }
    }
    for pod in scene.cluster.pods.iter().filter(|pod| pod.notebook_uid == notebook.uid) {
        let host = pod.name.strip_suffix("-place").unwrap_or(&pod.name).to_owned();
        // A pod on its way out is still there, but nobody's any more.
        if !pod.deleting && !notebook.names_host(HostKind::Pod, &host) && pod.role == PodRole::Host {
            found.push(format!("the pod {} of {} is in no record", pod.name, notebook.name));
        }
        // A returned pod takes the place of the one that it replaces.
        hosts.insert(host.split("-back-").next().unwrap_or_default().to_owned());
    }
    if hosts.len() > 2 {
        found.push(format!("{} has {} hosts: {hosts:?}", notebook.name, hosts.len()));
    }
    found
}
