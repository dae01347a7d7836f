//! The story that the product is told by: created, raised, short of a GPU, given one, moved into a pod and back, stopped,
//! deleted.

use rehost_api::labels;
use rehost_api::status::HostKind;
use serde_json::{Value, json};

use super::NAMESPACE;
use super::conditions::{has_one_host, is_gone_with_its_disk_kept, is_stopped, runs_on, serves, short_of_capacity_on};
use super::story::{Act, Chapter, Condition};
use crate::world::CLOUD_TIMES;

/// How much of the story is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Only on virtual machines.
    Machines,
    /// In pods too.
    Whole,
    /// Another story: of a notebook that is suspended and woken ([`super::asleep`]).
    Asleep,
    /// A third story: of a home that goes from disk to disk ([`super::rehomed`]).
    Rehomed,
}

/// The guest's own times that the reference does not have, in seconds at most: to see the disk, format and mount it and
/// serve; to let go.
pub(super) const GUEST_SERVES_S: f64 = 6.5;
const GUEST_LETS_GO_S: f64 = 3.0;
/// The pause before the first round after a stockout, which is the product's and not the cloud's.
pub(super) const ROUND_S: f64 = 120.0;
/// How long a former host is kept in the story.
pub(super) const KEEP_OLD_S: f64 = 30.0;

/// The name of the story's notebook.
pub const NAME: &str = "taxi-fares";

/// The longest that the cloud takes for these, in seconds: the sum of their p95.
pub fn cloud_s(steps: &[&str]) -> f64 {
    let figures: Value = serde_json::from_str(CLOUD_TIMES).unwrap_or_default();
    steps
        .iter()
        .map(|step| {
            let figure = figures[*step]["s"][1].as_f64();
            assert!(figure.is_some(), "cloud-times.json has no figure for {step}");
            figure.unwrap_or_default()
        })
        .sum()
}

fn move_s() -> f64 {
    GUEST_SERVES_S
        + GUEST_LETS_GO_S
        + cloud_s(&[
            "instances.setMetadata",
            "metadata.wait_for_change",
            "instances.detachDisk",
            "instances.attachDisk",
        ])
}

/// The longest that the cloud and the guests take for a handover to a machine without a GPU, in seconds.
pub(super) fn handover_s() -> f64 {
    move_s() + cloud_s(&["instances.insert", "guest.boot"])
}

/// The manifest, with that host and state.
pub fn manifest(name: &str, host: &Value, state: &str) -> Value {
    json!({
        "apiVersion": "rehost.dev/v1alpha1",
        "kind": "Notebook",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "class": "default",
            "state": state,
            "zones": ["us-central1-a", "us-central1-b"],
            "host": host,
            "storage": {"size": "100Gi", "type": "pd-balanced", "deletionPolicy": "Retain"},
            "resize": {"when": "Now", "how": "Handover", "keepOld": "30s"},
        },
    })
}

pub(super) fn chapter(name: &'static str, acts: Vec<Act>, until: Condition, cloud_s: f64) -> Chapter {
    Chapter { name, acts, until, meanwhile: None, cloud_s, rests: true, still: false }
}

/// The story, or that of its sleep.
pub fn chapters(extent: Extent) -> Vec<Chapter> {
    match extent {
        Extent::Asleep => return super::asleep::chapters(),
        Extent::Rehomed => return super::rehomed::chapters(),
        Extent::Machines | Extent::Whole => {}
    }
    let apply = |host: Value, state: &str| Act::Apply(manifest(NAME, &host, state));
    let small = json!({"vm": {"machineType": "n1-standard-4"}});
    let large = json!({"vm": {"machineType": "n1-standard-8"}});
    let gpu = json!({"vm": {"machineType": "n1-standard-8", "gpu": {"type": "nvidia-tesla-t4", "count": 1}}});
    let created_s = GUEST_SERVES_S + cloud_s(&["disks.insert", "instances.insert", "guest.boot"]);
    let handover_s = handover_s();
    let gpu_s = move_s() + cloud_s(&["instances.insert.gpu", "guest.boot.gpu"]);
    let retired_s = KEEP_OLD_S + cloud_s(&["instances.stop", "instances.delete"]);
    let mut told = vec![
        chapter("created", vec![apply(small.clone(), "Running")], runs_on(HostKind::Vm, "n1-standard-4"), created_s),
        chapter(
            "machine type raised",
            vec![apply(large, "Running")],
            runs_on(HostKind::Vm, "n1-standard-8"),
            handover_s,
        ),
        Chapter {
            rests: true,
            still: true,
            ..chapter("the former host is let go", Vec::new(), has_one_host(), retired_s)
        },
        Chapter {
            meanwhile: Some(serves()),
            ..chapter(
                "the wished GPU is out of stock, and it serves on",
                vec![Act::Capacity("*nvidia-tesla-t4*", Some(0)), apply(gpu.clone(), "Running")],
                short_of_capacity_on("n1-standard-8"),
                cloud_s(&["instances.insert.gpu"]),
            )
        },
        chapter(
            "GPU added",
            vec![Act::Capacity("*nvidia-tesla-t4*", None)],
            runs_on(HostKind::Vm, "n1-standard-8 + 1 nvidia-tesla-t4"),
            ROUND_S + gpu_s,
        ),
    ];
    if extent == Extent::Whole {
        told.extend(pod_chapters(handover_s, retired_s));
    }
    told.extend([
        chapter(
            "moved back",
            vec![apply(small.clone(), "Running")],
            runs_on(HostKind::Vm, "n1-standard-4"),
            retired_s + handover_s,
        ),
        Chapter { still: true, ..chapter("the former host is let go again", Vec::new(), has_one_host(), retired_s) },
        Chapter {
            still: true,
            ..chapter("Stopped", vec![apply(small, "Stopped")], is_stopped(), cloud_s(&["instances.stop"]))
        },
        chapter(
            "deleted, the disk retained",
            vec![Act::Delete],
            is_gone_with_its_disk_kept(labels::GCE_CONTENT),
            cloud_s(&["instances.stop", "instances.delete", "disks.delete"]),
        ),
    ]);
    told
}

fn pod_chapters(handover_s: f64, retired_s: f64) -> Vec<Chapter> {
    let pod = |cpu: &str| {
        Act::Apply(manifest(NAME, &json!({"pod": {"resources": {"cpu": cpu, "memory": "8Gi"}}}), "Running"))
    };
    vec![
        chapter("moved into a pod", vec![pod("2")], runs_on(HostKind::Pod, "2 cpu, 8Gi"), retired_s + handover_s),
        Chapter {
            still: true,
            ..chapter("the former host is let go, in the pod", Vec::new(), has_one_host(), retired_s)
        },
        Chapter {
            meanwhile: Some(serves()),
            ..chapter("cpu raised live", vec![pod("4")], runs_on(HostKind::Pod, "4 cpu, 8Gi"), 30.0)
        },
    ]
}
