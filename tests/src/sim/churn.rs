//! What goes on beside a notebook at rest, and must not move the controller: probe results, foreign objects, the cloud's own
//! notes, Lease renewals.

use std::time::Duration;

use serde_json::json;

use super::shared::KUBELET;
use super::{NAMESPACE, Run};

/// Between two rounds of churn.
const EVERY: Duration = Duration::from_secs(5);

/// Churns for so long. Gives back how many looks at the notebook that may rightly cause.
pub async fn churn(run: &Run, name: &str, time: Duration) -> usize {
    let rounds = u32::try_from(time.as_secs() / EVERY.as_secs()).unwrap_or(u32::MAX);
    let mut causes = 0;
    for round in 0..rounds {
        lease(run, round);
        foreign(run, round);
        causes += probes(run, name, round);
        resource_status(run, round);
        run.shared().stepped();
        run.wait(EVERY).await;
    }
    causes
}

#[allow(clippy::expect_used, reason = "the hand is refused nothing that is right")]
fn lease(run: &Run, round: u32) {
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "rehost", "namespace": "default"},
        "spec": {"holderIdentity": "rehost-0", "leaseTransitions": 1, "leaseDurationSeconds": 15,
            "renewTime": format!("2026-03-02T12:{:02}:{:02}.000000Z", round / 60 % 60, round % 60)},
    });
    run.hand("leader").apply(&lease).expect("a Lease");
}

#[allow(clippy::expect_used, reason = "the hand is refused nothing that is right")]
fn foreign(run: &Run, round: u32) {
    let somebody = run.hand("somebody");
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "foreign", "namespace": NAMESPACE, "annotations": {"round": round.to_string()}},
        "spec": {"ports": [{"port": 80}], "selector": {"app": "foreign"}},
    });
    somebody.apply(&service).expect("a Service");
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": format!("foreign-{}", round % 2), "namespace": NAMESPACE, "annotations": {"round": round.to_string()}},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "standard",
            "resources": {"requests": {"storage": "1Gi"}}},
    });
    somebody.apply(&claim).expect("a claim");
}

/// A probe's result that changes nothing that we read.
fn probes(run: &Run, name: &str, round: u32) -> usize {
    let mut causes = 0;
    for pod in run.shared().server.all("Pod") {
        let ours = pod["metadata"]["labels"][rehost_api::labels::NOTEBOOK] == json!(name);
        let (Some(pod_name), true) = (pod["metadata"]["name"].as_str(), ours) else { continue };
        let mut conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        for condition in &mut conditions {
            condition["lastProbeTime"] = json!(format!("2026-03-02T12:{:02}:{:02}Z", round / 60 % 60, round % 60));
        }
        let patch = json!({"status": {"conditions": conditions}});
        if run.hand(KUBELET).patch("Pod", NAMESPACE, pod_name, "status", &patch).is_ok() {
            causes += 1;
        }
    }
    causes
}

/// The cloud notes something on the machine that nobody asked for.
fn resource_status(run: &Run, round: u32) {
    run.with_world(|world| {
        let places: Vec<_> = world.instance_statuses().into_keys().collect();
        for place in places {
            world.resource_status_note(&place.at, &place.name, &format!("host-{round}"));
        }
    });
}
