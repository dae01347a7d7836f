//! The cluster's nodes, which are machines of the simulated cloud, and the disks that its attacher moves between them.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use rehost_api::labels;
use serde_json::{Value, json};

use super::shared::{KUBELET, Shared, lock};
use super::{PROJECT, ZONE};
use crate::kubelet::{Disks, Kubelet, Times};
use crate::world::{Method, Request};

/// Name, machine type, cores and memory in GiB of each node.
const NODES: [(&str, &str, u32, u32); 2] = [("node-1", "n2-standard-8", 8, 32), ("node-2", "n2-standard-8", 8, 32)];
/// How often the attacher asks for an operation.
const POLL: Duration = Duration::from_millis(500);

/// Makes the machines, and registers the nodes as kubelets of GKE do. Gives back what stands in for the rest of the cluster.
#[allow(clippy::expect_used, reason = "the hand is refused nothing that is right")]
pub fn start(shared: &Arc<Shared>) -> Kubelet {
    let administrator = shared.server.hand("administrator");
    for (name, machine_type, cpus, memory_gi) in NODES {
        let image = "projects/debian-cloud/global/images/family/debian-12";
        let body = json!({
            "name": name,
            "machineType": format!("zones/{ZONE}/machineTypes/{machine_type}"),
            "disks": [{"boot": true, "autoDelete": true, "initializeParams": {"sourceImage": image, "diskSizeGb": "20"}}],
            "networkInterfaces": [{"network": "global/networks/default"}],
        });
        let made = send(shared, Method::Post, "instances", &[], Some(body));
        assert_eq!(made["error"], Value::Null, "a node's machine: {made}");
        administrator.apply(&node(name, machine_type)).expect("a node");
        let amounts = json!({"cpu": cpus.to_string(), "memory": format!("{memory_gi}Gi"), "ephemeral-storage": "50Gi", "pods": "110"});
        let status = json!({"status": {"capacity": amounts, "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}]}});
        administrator.patch("Node", "", name, "status", &status).expect("a node's status");
    }
    let disks = Arc::new(DisksOf(shared.clone()));
    Kubelet::new(shared.server.client(KUBELET), disks, shared.clock.clone(), Times::default())
}

fn node(name: &str, machine_type: &str) -> Value {
    let family = machine_type.split('-').next().unwrap_or_default();
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "node.kubernetes.io/instance-type": machine_type,
                "cloud.google.com/machine-family": family,
                "topology.kubernetes.io/region": "us-central1",
                "topology.kubernetes.io/zone": ZONE,
                "topology.gke.io/zone": ZONE,
            },
        },
        "spec": {"providerID": format!("gce://{PROJECT}/{ZONE}/{name}")},
    })
}

/// Sends one request of the cluster's own to the cloud.
fn send(shared: &Arc<Shared>, method: Method, path: &str, query: &[(&str, &str)], body: Option<Value>) -> Value {
    let query = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let request = Request { method, path: format!("projects/{PROJECT}/zones/{ZONE}/{path}"), query, body };
    shared.world_catches_up();
    shared.speaks(KUBELET);
    let answer = lock(&shared.world).handle(shared.clock.now(), &request);
    shared.stepped();
    answer.body
}

/// Sends a change, and waits for its operation.
async fn change(shared: &Arc<Shared>, path: &str, query: &[(&str, &str)], body: Option<Value>) -> Result<(), String> {
    let mut operation = send(shared, Method::Post, path, query, body);
    loop {
        if let Some(words) = operation["error"]["message"].as_str() {
            return Err(words.to_owned());
        }
        if operation["status"] == "DONE" {
            let failure = operation["error"]["errors"][0]["message"].as_str();
            return failure.map_or(Ok(()), |words| Err(words.to_owned()));
        }
        let name = operation["name"].as_str().unwrap_or_default().to_owned();
        tokio::time::sleep(POLL).await;
        let path = format!("projects/{PROJECT}/zones/{ZONE}/operations/{name}");
        let request = Request { method: Method::Get, path, query: Vec::new(), body: None };
        shared.world_catches_up();
        operation = lock(&shared.world).peek(&request).body;
    }
}

/// The cloud's disks as the CSI driver uses them.
struct DisksOf(Arc<Shared>);

impl Disks for DisksOf {
    fn attach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>> {
        let shared = self.0.clone();
        async move {
            let disk = disk_of(&handle);
            let source = format!("projects/{PROJECT}/zones/{ZONE}/disks/{disk}");
            let body = json!({"source": source, "deviceName": disk, "mode": "READ_WRITE"});
            change(&shared, &format!("instances/{node}/attachDisk"), &[], Some(body)).await?;
            format_blank(&shared, disk);
            Ok(())
        }
        .boxed()
    }

    fn detach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>> {
        let shared = self.0.clone();
        async move {
            let disk = disk_of(&handle);
            change(&shared, &format!("instances/{node}/detachDisk"), &[("deviceName", disk)], None).await
        }
        .boxed()
    }

    fn grow(&self, handle: String, size_gb: u64) -> BoxFuture<'static, Result<(), String>> {
        let shared = self.0.clone();
        async move {
            let path = format!("disks/{}/resize", disk_of(&handle));
            change(&shared, &path, &[], Some(json!({"sizeGb": size_gb.to_string()}))).await
        }
        .boxed()
    }
}

/// What the driver and the pod's start do with a blank disk: a file system, with the content id that its label says.
fn format_blank(shared: &Arc<Shared>, disk: &str) {
    let mut world = lock(&shared.world);
    let blank = world.home_content(ZONE, disk).is_some_and(|content| content.content_id.is_none() && !content.foreign);
    if let Some(content_id) = world.disk_labels(ZONE, disk).get(labels::GCE_CONTENT).filter(|_| blank) {
        world.disk_set_content(ZONE, disk, content_id);
    }
}

fn disk_of(handle: &str) -> &str {
    handle.rsplit('/').next().unwrap_or(handle)
}
