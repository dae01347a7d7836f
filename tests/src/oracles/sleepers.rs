//! (i) What sleeps is left as it is.

use super::{Change, Oracle};
use crate::sim::scene::Scene;
use crate::world::hand::Status;
use crate::world::{Method, Place, Request};

/// Oracle (i).
#[derive(Debug, Default)]
pub struct Sleepers;

impl Oracle for Sleepers {
    fn name(&self) -> &'static str {
        "sleepers"
    }

    fn sentence(&self) -> &'static str {
        "Nothing is attached to, detached from or set of a suspended machine: its file systems are mounted in its memory."
    }

    fn change(&mut self, scene: &Scene, change: Change<'_>) -> Vec<String> {
        let Change::Cloud(request) = change else { return Vec::new() };
        let Some((place, verb)) = changed_machine(request) else { return Vec::new() };
        let sleeps = scene.cloud.vms.get(&place).is_some_and(|vm| vm.status == Status::Suspended);
        // It may be resumed, stopped where it cannot be, and deleted; its disks may be told to outlive it.
        let allowed = matches!(verb, "resume" | "stop" | "setDiskAutoDelete");
        if sleeps && !allowed { vec![format!("{verb} of {}, which is suspended", place.name)] } else { Vec::new() }
    }
}

fn changed_machine(request: &Request) -> Option<(Place, &str)> {
    let parts: Vec<&str> = request.path.split('/').collect();
    match parts.as_slice() {
        ["projects", _, "zones", zone, "instances", name, verb] if request.method == Method::Post => {
            Some((Place::new(*zone, *name), verb))
        }
        _ => None,
    }
}
