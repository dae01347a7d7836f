//! The story of a home that goes from disk to disk: to another type under a machine, under a pod and at a start, to another zone, and
//! to the type that another family needs. Every time it is the same content, and the disk before is gone after its time.

use rehost_api::labels;
use rehost_api::status::HostKind;
use serde_json::{Value, json};

use super::chapters::{GUEST_SERVES_S, KEEP_OLD_S, NAME, chapter, cloud_s, handover_s, manifest};
use super::conditions::{has_its_home_on, has_one_disk, is_gone_with_its_disk_kept, is_stopped, runs_on};
use super::story::{Act, Chapter, Condition};

fn machine(machine_type: &str) -> Value {
    json!({"vm": {"machineType": machine_type}})
}

fn wish(host: &Value, state: &str, zones: &[&str], disk_type: Option<&str>) -> Act {
    let mut manifest = manifest(NAME, host, state);
    manifest["spec"]["zones"] = json!(zones);
    match disk_type {
        Some(disk_type) => manifest["spec"]["storage"]["type"] = json!(disk_type),
        None => {
            if let Some(storage) = manifest["spec"]["storage"].as_object_mut() {
                storage.remove("type");
            }
        }
    }
    Act::Apply(manifest)
}

/// Both hold.
fn both(one: Condition, other: Condition) -> Condition {
    Box::new(move |view| one(view).and_then(|()| other(view)))
}

/// The story.
pub fn chapters() -> Vec<Chapter> {
    let (a, b) = ("us-central1-a", "us-central1-b");
    let small = machine("n1-standard-4");
    let pod = json!({"pod": {"resources": {"cpu": "2", "memory": "8Gi"}}});
    let created_s = GUEST_SERVES_S + cloud_s(&["disks.insert", "instances.insert", "guest.boot"]);
    let copied_s = handover_s()
        + cloud_s(&["disks.createSnapshot.first", "disks.createSnapshot.incremental", "disks.insert.fromSnapshot"]);
    let retired_s =
        KEEP_OLD_S + cloud_s(&["instances.stop", "instances.delete", "disks.delete", "instances.setLabels"]);
    let on_vm = |shape, disk_type, zone| both(runs_on(HostKind::Vm, shape), has_its_home_on(disk_type, zone));
    let on_pod = |disk_type| both(runs_on(HostKind::Pod, "2 cpu, 8Gi"), has_its_home_on(disk_type, "us-central1-a"));
    let left = |name| Chapter { still: true, ..chapter(name, Vec::new(), has_one_disk(), retired_s) };
    vec![
        chapter(
            "created",
            vec![wish(&small, "Running", &[a, b], Some("pd-balanced"))],
            on_vm("n1-standard-4", "pd-balanced", a),
            created_s,
        ),
        chapter(
            "another disk type",
            vec![wish(&small, "Running", &[a, b], Some("pd-ssd"))],
            on_vm("n1-standard-4", "pd-ssd", a),
            copied_s,
        ),
        left("the disk before is gone"),
        chapter("into a pod", vec![wish(&pod, "Running", &[b, a], Some("pd-ssd"))], on_pod("pd-ssd"), copied_s),
        chapter(
            "another disk type in the pod",
            vec![wish(&pod, "Running", &[b, a], Some("pd-balanced"))],
            on_pod("pd-balanced"),
            retired_s + copied_s,
        ),
        left("the disk before is gone from under the pod"),
        chapter(
            "back on a machine, in another zone",
            vec![wish(&small, "Running", &[b], Some("pd-balanced"))],
            on_vm("n1-standard-4", "pd-balanced", b),
            copied_s,
        ),
        chapter(
            "stopped",
            vec![wish(&small, "Stopped", &[b], Some("pd-balanced"))],
            is_stopped(),
            retired_s + cloud_s(&["instances.stop"]),
        ),
        chapter(
            "started in a family that needs another disk type",
            vec![wish(&machine("c4-standard-4"), "Running", &[b], None)],
            on_vm("c4-standard-4", "hyperdisk-balanced", b),
            retired_s + copied_s,
        ),
        left("the disk before is gone again"),
        chapter(
            "deleted, the disk retained",
            vec![Act::Delete],
            is_gone_with_its_disk_kept(labels::GCE_CONTENT),
            cloud_s(&["instances.stop", "instances.delete", "disks.delete"]),
        ),
    ]
}
