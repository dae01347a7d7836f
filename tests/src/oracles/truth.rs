//! What status says at rest is so.

use rehost_api::conditions::ConditionType;
use rehost_api::status::{HostKind, HostRecord, Phase};

use super::Oracle;
use crate::sim::scene::{NotebookScene, Scene, shown_disk, shown_instance};
use crate::world::hand::Status;
use crate::world::{Place, World};

/// At rest status bears out the world.
#[derive(Debug, Default)]
pub struct Truth;

impl Oracle for Truth {
    fn name(&self) -> &'static str {
        "truth"
    }

    fn sentence(&self) -> &'static str {
        "At rest the world is as status says: host, shape, home, address, and whether Jupyter answers."
    }

    fn rest(&mut self, scene: &Scene, world: &World) -> Vec<String> {
        scene.cluster.notebooks.iter().flat_map(|notebook| lies(scene, world, notebook)).collect()
    }
}

fn lies(scene: &Scene, world: &World, notebook: &NotebookScene) -> Vec<String> {
    let mut found = Vec::new();
    let status = &notebook.status;
    let name = &notebook.name;
    if status.observed_generation != Some(notebook.generation) {
        found.push(format!("{name}: status speaks of generation {:?}", status.observed_generation));
    }
    if let Some(transition) = &status.transition {
        found.push(format!("{name}: {:?} is under way at rest", transition.kind));
    }
    let serves = status.host.as_ref().is_some_and(|host| scene.serves(host));
    if condition(notebook, ConditionType::Serving) != serves {
        found.push(format!("{name}: Serving is not {serves}, which it is"));
    }
    if let Some(host) = &status.host {
        found.extend(host_lies(scene, world, name, host));
    }
    found.extend(home_lies(world, notebook));
    found.extend(slice_lies(scene, notebook, serves));
    let runs = scene.vms_of(&notebook.uid).any(|(place, vm)| {
        let former = status.former.as_ref().is_some_and(|former| former.host.name == place.name);
        vm.status == Status::Running && !former
    });
    if status.phase == Some(Phase::Stopped) && (runs || serves) {
        found.push(format!("{name}: it is Stopped, and a host runs"));
    }
    let sleeps = scene.vms_of(&notebook.uid).any(|(_, vm)| vm.status == Status::Suspended);
    let says_so = match status.phase {
        Some(Phase::Suspended) => Some(true),
        Some(Phase::Stopped | Phase::Running) => Some(false),
        // What the cloud does not say at the moment, status does not say either.
        Some(
            Phase::Pending | Phase::Starting | Phase::Resizing | Phase::Moving | Phase::Stopping | Phase::Deleting,
        )
        | None => None,
    };
    if says_so.is_some_and(|says_so| says_so != sleeps) {
        found.push(format!("{name}: its phase is {:?}; that a host is suspended is {sleeps}", status.phase));
    }
    found
}

fn host_lies(scene: &Scene, world: &World, name: &str, host: &HostRecord) -> Vec<String> {
    let mut found = Vec::new();
    match host.kind {
        HostKind::Vm => {
            let place = Place::new(&host.zone, &host.name);
            let Some(shown) = shown_instance(world, &place) else {
                // A stopped notebook's host is the one that it had last, whatever became of it.
                let serves = host.serving_since.is_some();
                return serves.then(|| format!("{name}: its VM {} is not there", host.name)).into_iter().collect();
            };
            let last = |value: &serde_json::Value| {
                value.as_str().and_then(|link| link.rsplit('/').next()).unwrap_or_default().to_owned()
            };
            if host.machine_type.as_deref() != Some(last(&shown["machineType"]).as_str()) {
                found.push(format!("{name}: machine type {:?}, in truth {}", host.machine_type, shown["machineType"]));
            }
            let gpus = shown["guestAccelerators"].as_array().cloned().unwrap_or_default();
            let gpu = gpus.first().map(|gpu| (last(&gpu["acceleratorType"]), gpu["acceleratorCount"].as_i64()));
            let said = host.gpu.as_ref().map(|gpu| (gpu.kind.clone(), Some(i64::from(gpu.count))));
            if gpu != said {
                found.push(format!("{name}: GPUs {said:?}, in truth {gpu:?}"));
            }
            let address = shown["networkInterfaces"][0]["networkIP"].as_str();
            if host.serving_since.is_some() && host.address.as_deref() != address {
                found.push(format!("{name}: address {:?}, in truth {address:?}", host.address));
            }
        }
        HostKind::Pod => {
            let pod = scene.cluster.pods.iter().find(|pod| pod.name == host.name);
            if host.serving_since.is_some() && pod.is_none() {
                found.push(format!("{name}: its pod {} is not there", host.name));
            }
            let address = pod.and_then(|pod| pod.address).map(|address| address.to_string());
            if host.serving_since.is_some() && host.address != address {
                found.push(format!("{name}: address {:?}, in truth {address:?}", host.address));
            }
        }
    }
    found
}

fn home_lies(world: &World, notebook: &NotebookScene) -> Vec<String> {
    let Some(home) = notebook.status.home.as_ref().filter(|home| !home.claim && home.id.is_some()) else {
        return Vec::new();
    };
    let Some(shown) = shown_disk(world, &Place::new(&home.zone, &home.disk)) else {
        return vec![format!("{}: its home {} is not there", notebook.name, home.disk)];
    };
    let mut found = Vec::new();
    if shown["id"].as_str() != home.id.as_deref() {
        found.push(format!("{}: home id {:?}, in truth {}", notebook.name, home.id, shown["id"]));
    }
    if shown["type"].as_str().and_then(|link| link.rsplit('/').next()) != Some(home.disk_type.as_str()) {
        found.push(format!("{}: home of type {}, in truth {}", notebook.name, home.disk_type, shown["type"]));
    }
    if shown["sizeGb"].as_str() != Some(home.size_gb.to_string().as_str()) {
        found.push(format!("{}: home of {} GiB, in truth {}", notebook.name, home.size_gb, shown["sizeGb"]));
    }
    found
}

/// Where people are sent is where Jupyter answers.
fn slice_lies(scene: &Scene, notebook: &NotebookScene, serves: bool) -> Option<String> {
    let slices: Vec<_> = scene.cluster.slices.iter().filter(|slice| slice.notebook_uid == notebook.uid).collect();
    let ready: Vec<String> = slices
        .iter()
        .flat_map(|slice| &slice.endpoints)
        .filter(|(_, ready)| *ready)
        .map(|(address, _)| address.to_string())
        .collect();
    let address = notebook.status.host.as_ref().and_then(|host| host.address.clone()).filter(|_| serves);
    let expected: Vec<String> = address.into_iter().collect();
    (ready != expected).then(|| format!("{}: people are sent to {ready:?}, and {expected:?} answers", notebook.name))
}

fn condition(notebook: &NotebookScene, kind: ConditionType) -> bool {
    let wanted = kind.to_string();
    notebook.status.conditions.iter().any(|condition| condition.type_ == wanted && condition.status == "True")
}
