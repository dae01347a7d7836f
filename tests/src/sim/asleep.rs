//! The story of a notebook that nobody uses for long: suspended and woken, moved in its sleep, suspended where it cannot be resumed,
//! deleted in its sleep.

use std::sync::{Arc, OnceLock};

use rehost_api::labels;
use rehost_api::status::HostKind;
use serde_json::{Value, json};

use super::chapters::{GUEST_SERVES_S, KEEP_OLD_S, NAME, ROUND_S, chapter, cloud_s, handover_s, manifest};
use super::conditions::{
    boots_as_before, has_lost_kernels, has_one_host, is_gone_with_its_disk_kept, is_suspended, runs_on,
};
use super::story::{Act, Chapter};

/// After how long it is suspended, and how long it takes at most until the controller asks the host once more.
const IDLE_S: f64 = 60.0;
const ASKED_AGAIN_S: f64 = 60.0;

fn idle_manifest(machine_type: &str) -> Value {
    let mut manifest = manifest(NAME, &json!({"vm": {"machineType": machine_type}}), "Running");
    manifest["spec"]["idle"] = json!({"after": "1m", "then": "Suspend"});
    manifest
}

fn wake(value: &str) -> Act {
    Act::Annotate(labels::WAKE, value.to_owned())
}

/// The story.
pub fn chapters() -> Vec<Chapter> {
    let boot: Arc<OnceLock<String>> = Arc::default();
    let resumed_s = cloud_s(&["instances.resume", "instances.setMetadata", "metadata.wait_for_change"]);
    let suspended_s = IDLE_S + ASKED_AGAIN_S + cloud_s(&["instances.suspend"]);
    let started_s = GUEST_SERVES_S + cloud_s(&["instances.setMetadata", "instances.start", "guest.boot"]);
    let created_s = GUEST_SERVES_S + cloud_s(&["disks.insert", "instances.insert", "guest.boot"]);
    let retired_s = KEEP_OLD_S + cloud_s(&["instances.stop", "instances.delete"]);
    let sleeps = |name| chapter(name, vec![Act::LeaveAlone], is_suspended(&boot), suspended_s);
    vec![
        chapter(
            "created",
            vec![Act::Apply(idle_manifest("n1-standard-4"))],
            runs_on(HostKind::Vm, "n1-standard-4"),
            created_s,
        ),
        Chapter { still: true, ..sleeps("nobody uses it") },
        chapter("woken", vec![wake("1")], boots_as_before(&boot), resumed_s),
        sleeps("nobody uses it again"),
        chapter(
            "woken in another shape",
            vec![Act::Apply(idle_manifest("n1-standard-8")), wake("2")],
            runs_on(HostKind::Vm, "n1-standard-8"),
            handover_s() + resumed_s,
        ),
        chapter("the former host is let go", Vec::new(), has_one_host(), retired_s),
        sleeps("nobody uses the larger one"),
        chapter(
            "woken, and there is no capacity",
            vec![Act::Capacity("n1-standard-8", Some(0)), wake("3")],
            has_lost_kernels(),
            cloud_s(&["instances.resume", "instances.stop", "instances.setMetadata", "instances.start"]),
        ),
        chapter(
            "there is capacity again",
            vec![Act::Capacity("n1-standard-8", None)],
            runs_on(HostKind::Vm, "n1-standard-8"),
            ROUND_S + started_s,
        ),
        sleeps("nobody uses it any more"),
        chapter(
            "deleted, the disk retained",
            vec![Act::Delete],
            is_gone_with_its_disk_kept(labels::GCE_CONTENT),
            resumed_s + cloud_s(&["instances.stop", "instances.delete", "disks.delete"]),
        ),
    ]
}
