//! (h) Nothing is stopped without a recorded reason.

use rehost_api::status::{HostKind, NotebookStatus, Step, TransitionKind};

use super::{Change, Oracle};
use crate::kube::{Call, Verb};
use crate::sim::scene::{NotebookScene, Scene};
use crate::world::{Method, Place, Request};

/// Oracle (h).
#[derive(Debug, Default)]
pub struct Reasons;

impl Oracle for Reasons {
    fn name(&self) -> &'static str {
        "reasons"
    }

    fn sentence(&self) -> &'static str {
        "A running notebook's host is never stopped, suspended, reset or deleted without a reason that is on record."
    }

    fn change(&mut self, scene: &Scene, change: Change<'_>) -> Vec<String> {
        let ended = match change {
            Change::Cloud(request) => ended_vm(scene, request),
            Change::Cluster(call) => ended_pod(scene, call),
        };
        let Some((notebook, kind, name)) = ended else { return Vec::new() };
        if has_reason(&notebook.status, kind, &name) {
            return Vec::new();
        }
        let transition = notebook.status.transition.as_ref().map(|it| format!("{:?}/{:?}", it.kind, it.step));
        vec![format!("{name} of {} was to end; its transition is {transition:?}", notebook.name)]
    }
}

fn ended_vm<'a>(scene: &'a Scene, request: &Request) -> Option<(&'a NotebookScene, HostKind, String)> {
    let parts: Vec<&str> = request.path.split('/').collect();
    let ["projects", _, "zones", zone, "instances", name, rest @ ..] = parts.as_slice() else { return None };
    let ends = match (request.method, rest) {
        (Method::Delete, []) => true,
        (Method::Post, [verb]) => matches!(*verb, "stop" | "suspend" | "reset"),
        _ => false,
    };
    let vm = scene.cloud.vms.get(&Place::new(*zone, *name)).filter(|_| ends)?;
    let notebook = scene.cluster.notebooks.iter().find(|notebook| scene.belongs(&vm.labels, &notebook.uid))?;
    Some((notebook, HostKind::Vm, (*name).to_owned()))
}

fn ended_pod<'a>(scene: &'a Scene, call: &Call) -> Option<(&'a NotebookScene, HostKind, String)> {
    if call.resource != "pods" || call.verb != Verb::Delete {
        return None;
    }
    let pod = scene.cluster.pods.iter().find(|pod| pod.namespace == call.namespace && pod.name == call.name)?;
    // A placeholder hosts nothing.
    if pod.role == rehost::watch::slim::PodRole::Placeholder {
        return None;
    }
    let notebook = scene.cluster.notebook(&pod.notebook_uid)?;
    Some((notebook, HostKind::Pod, call.name.clone()))
}

/// Whether the record says why this host may end now.
fn has_reason(status: &NotebookStatus, kind: HostKind, name: &str) -> bool {
    let is = |host: &rehost_api::status::HostRecord| host.kind == kind && host.name == name;
    let transition = status.transition.as_ref();
    if transition.is_some_and(|it| it.kind == TransitionKind::Delete) {
        return true;
    }
    let leaves = transition.is_some_and(|it| {
        it.from.as_ref().is_some_and(is)
            && match it.kind {
                TransitionKind::Stop | TransitionKind::InPlace => true,
                TransitionKind::Handover => !matches!(it.step, Step::Obtain | Step::Abandon | Step::ProveBack),
                TransitionKind::Create
                | TransitionKind::Start
                | TransitionKind::LiveResize
                | TransitionKind::Grow
                | TransitionKind::Follow
                | TransitionKind::Delete => false,
            }
    });
    let is_given_up = transition.is_some_and(|it| {
        it.to.as_ref().is_some_and(is)
            && matches!(it.step, Step::Abandon | Step::TakeBack | Step::Halt)
            && it.reason.is_some()
    });
    let serves = status.host.as_ref().is_some_and(is);
    let is_former = status.former.as_ref().is_some_and(|former| is(&former.host));
    // A pod of a change that is over is nobody's host any more.
    let is_nobodys = !serves && !is_former && !transition.is_some_and(|it| it.from.iter().chain(&it.to).any(is));
    leaves || is_given_up || (is_former && !serves) || is_nobodys
}
