//! At rest nothing is written, whatever goes on beside.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use rehost_tests::quickstart::NAMESPACE;
use rehost_tests::stand::{NODES, OPERATOR_USER, ZONE};
use rehost_tests::world::Method;
use serde_json::json;

use super::{Ring, pod_notebook, vm_notebook};

/// How many notebooks rest on VMs, and how many in pods.
const ON_VMS: usize = 16;
const IN_PODS: usize = 4;
/// How long they rest, in the cloud's seconds.
const REST_S: f64 = 60.0;
/// How long everything may take to come to rest before, in the cloud's seconds: events, and the last sweep that sees a change.
const SETTLE_S: f64 = 40.0;

pub async fn nothing_is_written(ring: &Ring) {
    let names = twenty(ring).await;
    let scale = ring.stand.cloud.world.clock().scale();
    tokio::time::sleep(Duration::from_secs_f64(SETTLE_S / scale)).await;

    let mark = ring.stand.plane.audit().mark().expect("there is a log");
    let operations = ring.ledger.count();
    let until = ring.stand.clock.monotonic() + Duration::from_secs_f64(REST_S);
    let mut rounds = 0_u32;
    let mut churned = 0;
    while ring.stand.clock.monotonic() < until {
        churned += churn(ring, rounds).await;
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(rounds >= 5, "there was churn beside them: {rounds} rounds");

    let traffic = ring.stand.plane.audit().since(mark).expect("it reads").by(OPERATOR_USER);
    assert_eq!(traffic.writes_total(), 0, "the controller wrote at rest:\n{traffic}");
    // Reads are in proportion to the looks that the churn caused, and a sweep's pages: not one for each notebook and look.
    assert_eq!(traffic.reads.values().sum::<u64>(), 0, "the controller read from the API server at rest:\n{traffic}");
    let asked = ring.ledger.count() - operations;
    assert_eq!(asked, churned, "the cloud was asked for changes at rest, beside {churned} of ours");
    ring.delete(&names).await;
}

async fn twenty(ring: &Ring) -> Vec<String> {
    let vms = (0..ON_VMS).map(|index| vm_notebook(&format!("rest-vm-{index}")));
    let pods = (0..IN_PODS).map(|index| pod_notebook(&format!("rest-pod-{index}")));
    let mut names = Vec::new();
    for manifest in vms.chain(pods) {
        ring.person.apply(&manifest).await.expect("it is right");
        names.push(manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned());
    }
    for name in &names {
        ring.ready(name).await;
    }
    names
}

/// What goes on in a cluster and a project that is none of a resting notebook's business. Gives how many changes were asked of
/// the cloud.
async fn churn(ring: &Ring, round: u32) -> usize {
    probe_results(ring, round).await;
    foreign_objects(ring, round).await;
    foreign_machine(ring, round).await
}

/// The kubelet writes down when it last probed.
async fn probe_results(ring: &Ring, round: u32) {
    let pods: Api<Pod> = Api::namespaced(ring.client.clone(), NAMESPACE);
    let ours = kube::api::ListParams::default().labels(rehost_api::labels::UID);
    let probed = json!({"status": {"conditions": [
        {"type": "ContainersReady", "status": "True", "lastProbeTime": format!("2026-03-01T08:{:02}:{:02}Z", round / 60 % 60, round % 60)},
    ]}});
    let found = pods.list(&ours).await.expect("a list").items;
    assert!(found.len() >= IN_PODS, "there are pods to probe");
    for pod in found {
        let name = pod.metadata.name.unwrap_or_default();
        pods.patch_status(&name, &PatchParams::default(), &Patch::Strategic(&probed))
            .await
            .expect("a status is patched");
    }
}

/// Objects of others come, change and go.
async fn foreign_objects(ring: &Ring, round: u32) {
    let maps: Api<ConfigMap> = Api::namespaced(ring.client.clone(), NAMESPACE);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "foreign"}, "data": {"round": round.to_string()}});
    maps.patch("foreign", &PatchParams::apply("others").force(), &Patch::Apply(&map)).await.expect("a map");
    let pods: Api<Pod> = Api::namespaced(ring.client.clone(), NAMESPACE);
    let name = format!("foreign-{}", round % 3);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        // A node of nobody's, so that no scheduler of ours has to find one.
        "spec": {"nodeName": "elsewhere", "containers": [{"name": "main", "image": "example.com/foreign:1"}]},
    });
    let pod: Pod = serde_json::from_value(pod).expect("a pod");
    // The last round's may still be there.
    let _ = pods.create(&PostParams::default(), &pod).await;
    let _ = pods.delete(&name, &DeleteParams::default().grace_period(0)).await;
}

/// A machine of the project that is not ours changes its labels.
async fn foreign_machine(ring: &Ring, round: u32) -> usize {
    let node = NODES[0].0;
    let fingerprint = ring.look.instance(node)["labelFingerprint"].clone();
    let body = json!({"labels": {"round": round.to_string()}, "labelFingerprint": fingerprint});
    let path = format!("zones/{ZONE}/instances/{node}/setLabels");
    let answer = ring.stand.cloud.call(Method::Post, &path, &[], Some(body)).await;
    usize::from(answer.status == 200)
}
