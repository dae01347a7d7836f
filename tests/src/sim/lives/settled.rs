//! Where a notebook should have come to, judged by what its people last said and by the worlds, not by what the controller thinks.

use jiff::{SignedDuration, Timestamp};
use rehost_api::labels;
use rehost_api::shape::HostShape;
use rehost_api::status::{NotebookStatus, StopReason};
use serde_json::Value;

use super::drawn::IMPOSSIBLE_TYPES;
use super::people::{Wish, size_gb};
use crate::sim::NAMESPACE;
use crate::sim::scene::{NotebookScene, Scene};

/// How far a notebook has come.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Standing {
    /// It is as its people wish, or refused for a reason that is true.
    Settled,
    /// It is under way; a wait of its own ends then, if it has one.
    Underway { lacking: String, until: Option<Timestamp> },
}

impl Standing {
    pub(super) fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Settled => None,
            Self::Underway { until, .. } => *until,
        }
    }

    pub(super) fn words(&self, name: &str) -> Option<String> {
        match self {
            Self::Settled => None,
            Self::Underway { lacking, until } => Some(format!("{name}: {lacking} (waits until {until:?})")),
        }
    }
}

/// Reasons for which a person must act, whatever the people of a life did: those that follow from the words of the spec are held
/// against these words below.
const OF_PEOPLE: [&str; 5] = ["NotOurs", "HomeMissing", "ContentMismatch", "KeptDiskFound", "HomeShrink"];

/// Where the notebook of this wish stands.
pub(super) fn standing(scene: &Scene, wish: &Wish, now: Timestamp) -> Standing {
    let found = scene.cluster.notebooks.iter().find(|one| one.name == wish.name && one.namespace == NAMESPACE);
    let Some(notebook) = found else {
        return if wish.there { underway("it is not there", None) } else { Standing::Settled };
    };
    let waits = waits_until(&notebook.status, now);
    if !wish.there || notebook.deleting {
        return underway("it is still there", waits);
    }
    match lacking(scene, wish, notebook) {
        None => Standing::Settled,
        Some(lacking) => underway(&lacking, waits),
    }
}

fn underway(lacking: &str, until: Option<Timestamp>) -> Standing {
    Standing::Underway { lacking: lacking.to_owned(), until }
}

/// Until when something that is on record is waited for.
fn waits_until(status: &NotebookStatus, now: Timestamp) -> Option<Timestamp> {
    let transition = status.transition.as_ref();
    let pause = transition.and_then(|it| it.not_before);
    // A host that does not answer is given up when its time is over.
    let bound = transition.map(|it| it.step_started_at + SignedDuration::from_secs(900));
    let round = status.retry.as_ref().and_then(|retry| retry.next_try);
    let former = status.former.as_ref().map(|former| former.keep_until);
    let former_home = status.former_home.as_ref().map(|former| former.keep_until);
    [pause, bound, round, former, former_home].into_iter().flatten().filter(|at| *at > now).max()
}

fn lacking(scene: &Scene, wish: &Wish, notebook: &NotebookScene) -> Option<String> {
    let status = &notebook.status;
    if status.observed_generation != Some(notebook.generation) {
        return Some("the last word of the spec is not heard yet".to_owned());
    }
    if let Some(transition) = &status.transition {
        return Some(format!("{:?}/{:?} is under way, {:?}", transition.kind, transition.step, transition.reason));
    }
    if status.former_home.is_some() {
        return Some("the disk that was the home is still there".to_owned());
    }
    if status.former.is_some() {
        return Some("the former host is still there".to_owned());
    }
    let condition = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind);
    let Some(ready) = condition("Ready") else { return Some("it has no condition Ready".to_owned()) };
    let stalled = condition("Stalled").is_some_and(|condition| condition.status == "True");
    let words = format!("Ready is {} {}: {}", ready.status, ready.reason, ready.message);
    if stalled {
        return (!is_excused(wish, notebook, &ready.reason)).then_some(words);
    }
    if ready.status != "True" {
        return if is_good_enough(wish, notebook, &ready.reason) { None } else { Some(words) };
    }
    as_wished(scene, wish, notebook).map(|lacking| format!("{lacking}, and {words}"))
}

/// Whether it is true that a person must act.
fn is_excused(wish: &Wish, notebook: &NotebookScene, reason: &str) -> bool {
    if reason == "KeptDiskFound" {
        return wish.anew;
    }
    if OF_PEOPLE.contains(&reason) {
        return wish.excuses.contains(&reason) || (reason == "HomeShrink" && is_smaller(wish, notebook));
    }
    refusals(&notebook.spec, wish).contains(&reason)
}

fn is_smaller(wish: &Wish, notebook: &NotebookScene) -> bool {
    let has_gb = notebook.status.home.as_ref().map_or(0, |home| home.size_gb);
    i64::try_from(size_gb(&wish.spec)).is_ok_and(|wished_gb| wished_gb < has_gb)
}

/// The reasons for which the words of this spec are refused.
fn refusals(spec: &Value, wish: &Wish) -> Vec<&'static str> {
    let mut all = Vec::new();
    let hosts = std::iter::once(&spec["host"]).chain(spec["fallbacks"].as_array().into_iter().flatten());
    for host in hosts {
        let machine_type = host["vm"]["machineType"].as_str().unwrap_or_default();
        all.extend(IMPOSSIBLE_TYPES.iter().filter(|(name, _)| *name == machine_type).map(|(_, reason)| *reason));
    }
    if spec["class"] != "default" {
        all.push("ClassNotFound");
    }
    // The home stays where it is in this version.
    all.push(if wish.spec["zones"].as_array().is_some_and(|zones| zones.len() == 1) { "NotActedOnYet" } else { "" });
    all
}

/// Not as declared, and yet all that can be done was done.
fn is_good_enough(wish: &Wish, notebook: &NotebookScene, reason: &str) -> bool {
    let status = &notebook.status;
    let serves = status.host.as_ref().is_some_and(|host| host.serving_since.is_some());
    let on_fallback = serves
        && status.retry.as_ref().is_some_and(|retry| retry.next_try.is_none())
        && status
            .resolved
            .as_ref()
            .zip(status.host.as_ref())
            .is_some_and(|(resolved, host)| resolved.fallbacks.contains(&host.last_shape));
    // Whether a content is declared that a cluster without the driver cannot mount.
    let no_driver = reason == "DriverMissing" && !wish.spec["buckets"].is_null() && serves;
    on_fallback || no_driver || (reason == "Deleting")
}

/// It says that it is as declared: is it?
fn as_wished(scene: &Scene, wish: &Wish, notebook: &NotebookScene) -> Option<String> {
    let status = &notebook.status;
    let serves = status.host.as_ref().is_some_and(|host| scene.serves(host));
    let declared = wish.spec["state"] == "Stopped";
    let idle = status.stopped.as_ref().is_some_and(|stopped| stopped.reason == StopReason::Idle)
        && !wish.spec["idle"].is_null();
    if status.stopped.is_some() {
        if serves {
            return Some("it is stopped on record and serves".to_owned());
        }
        let asked = declared || wish.stopped != Some(false) || idle;
        return (!asked).then(|| "it is stopped, and nobody asked for that".to_owned());
    }
    if declared || wish.stopped == Some(true) {
        return Some("it was to be stopped".to_owned());
    }
    if !serves {
        return Some("it does not serve".to_owned());
    }
    let handled = status.handled.clone().unwrap_or_default();
    for (key, handled) in
        [(labels::STOP, &handled.stop), (labels::WAKE, &handled.wake), (labels::RESTART, &handled.restart)]
    {
        if notebook.annotations[key].as_str() != handled.as_deref() {
            return Some(format!("the request {key} {} was not carried out", notebook.annotations[key]));
        }
    }
    let pending =
        status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == "ChangePending");
    if pending { None } else { another_host(&notebook.spec, status) }
}

/// Whether the host is another than the last word of the spec.
fn another_host(spec: &Value, status: &NotebookStatus) -> Option<String> {
    let host = status.host.as_ref()?;
    let is = match &host.last_shape {
        HostShape::Vm(shape) => {
            let wished = &spec["host"]["vm"];
            let gpu = (wished["gpu"]["type"].as_str(), wished["gpu"]["count"].as_i64());
            let has =
                (shape.gpu.as_ref().map(|gpu| gpu.kind.as_str()), shape.gpu.as_ref().map(|gpu| i64::from(gpu.count)));
            wished["machineType"] == shape.machine_type.as_str() && gpu == has
        }
        HostShape::Pod(shape) => {
            let wished = &spec["host"]["pod"]["resources"];
            let cpu = wished["cpu"].as_str().and_then(|cpu| cpu.parse::<i64>().ok()).map(|cpu| cpu * 1000);
            let memory = wished["memory"].as_str().and_then(|memory| memory.strip_suffix("Gi")?.parse::<i64>().ok());
            cpu == Some(shape.cpu_milli) && memory.map(|gib| gib << 30) == Some(shape.memory_bytes)
        }
    };
    (!is).then(|| format!("it is on {}, and the spec says {}", host.shape, spec["host"]))
}
