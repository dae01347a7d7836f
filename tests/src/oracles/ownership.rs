//! (c) Nothing of others is touched.

use std::collections::BTreeMap;

use rehost_api::labels;

use super::{Change, Oracle};
use crate::kube::Call;
use crate::sim::scene::Scene;
use crate::world::{Method, Place, Request};

/// Oracle (c).
#[derive(Debug, Default)]
pub struct Ownership;

impl Oracle for Ownership {
    fn name(&self) -> &'static str {
        "ownership"
    }

    fn sentence(&self) -> &'static str {
        "Nothing is changed or deleted whose uid and cluster labels are not those of a notebook of ours."
    }

    fn change(&mut self, scene: &Scene, change: Change<'_>) -> Vec<String> {
        match change {
            Change::Cloud(request) => in_the_cloud(scene, request),
            Change::Cluster(call) => in_the_cluster(scene, call).into_iter().collect(),
        }
    }
}

fn in_the_cloud(scene: &Scene, request: &Request) -> Vec<String> {
    if request.method == Method::Get {
        return Vec::new();
    }
    let parts: Vec<&str> = request.path.split('/').collect();
    if let ["projects", _, "global", "snapshots", name] = parts.as_slice() {
        let others = scene.cloud.snapshots.get(*name).filter(|all| !ours(scene, all));
        return others
            .map(|all| format!("deletion of the snapshot {name}, whose labels are {all:?}"))
            .into_iter()
            .collect();
    }
    let ["projects", _, "zones", zone, kind, name, rest @ ..] = parts.as_slice() else { return Vec::new() };
    let verb = rest.first().copied().unwrap_or("delete");
    let target = Place::new(*zone, *name);
    let mut found = Vec::new();
    let all = match *kind {
        "instances" => scene.cloud.vms.get(&target).map(|vm| &vm.labels),
        "disks" => scene.cloud.disks.get(&target).map(|disk| &disk.labels),
        _ => None,
    };
    if let Some(all) = all
        && !ours(scene, all)
    {
        found.push(format!("{verb} of {kind} {name}, whose labels are {all:?}"));
    }
    // What is attached must be ours as well as what it is attached to.
    let source = request.body.as_ref().and_then(|body| body["source"].as_str()).filter(|_| verb == "attachDisk");
    if let Some(disk) = source.and_then(|source| source.rsplit('/').next())
        && let Some(disk) = scene.cloud.disks.get(&Place::new(*zone, disk))
        && !ours(scene, &disk.labels)
    {
        found.push(format!("attachDisk of a disk whose labels are {:?}", disk.labels));
    }
    found
}

fn ours(scene: &Scene, all: &BTreeMap<String, String>) -> bool {
    let uid = all.get(labels::GCE_UID);
    let known = uid.is_some_and(|uid| scene.cluster.notebooks.iter().any(|notebook| notebook.uid == *uid));
    known && all.get(labels::GCE_CLUSTER) == Some(&scene.cluster_label)
}

/// Kinds that we write, and others may have objects of.
fn in_the_cluster(scene: &Scene, call: &Call) -> Option<String> {
    if !call.verb.is_write() || call.name.is_empty() || call.resource == "notebooks" {
        return None;
    }
    // An object that is not there yet is made, not changed.
    let there = scene.cluster.owner(&call.resource, &call.namespace, &call.name)?;
    let known = there.is_some_and(|uid| scene.cluster.notebook(uid).is_some());
    // A dynamic volume carries no label of ours: that it is bound to our claim makes it ours.
    let by_claim = call.resource == "persistentvolumes"
        && scene.cluster.claims.iter().any(|claim| claim.volume.as_ref() == Some(&call.name));
    (!known && !by_claim).then(|| {
        format!(
            "{} of {} {}/{}, which belongs to {there:?}",
            call.verb.as_str(),
            call.resource,
            call.namespace,
            call.name
        )
    })
}
