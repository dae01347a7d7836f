//! The cluster of an installation: what the chart brings, nodes that are machines of the simulated cloud, and the parts of a
//! cluster that kube-apiserver alone is not.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, ResourceExt};
use rehost::clock::SharedClock;
use rehost_api::{Notebook, labels};
use serde_json::json;
use tokio::task::JoinHandle;

use super::disks::Imagined;
use super::{CLUSTER, Cloud, Install, OPERATOR_NAMESPACE, PROJECT, StandError};
use crate::control_plane::helm::chart;
use crate::control_plane::{ADMIN, ControlPlane};
use crate::kubelet::{Kubelet, Times};
use crate::manifests::root;

/// Where the nodes are.
pub const ZONE: &str = "us-central1-a";

/// The nodes: name, machine type, processors, GiB of memory.
pub const NODES: [(&str, &str, u32, u32); 2] =
    [("node-a", "n1-standard-8", 8, 30), ("node-b", "n1-standard-16", 16, 60)];

/// A placeholder has brought the image to the node before: what is left is the sandbox, the mount and Jupyter's start, together
/// what the guests of the simulated cloud take for the same.
const TIMES: Times = Times { start_s: 1.0, ready_s: 2.0, end_s: 2.0 };

/// How long the API server may take to learn of a role from its own watch.
const RIGHTS_WITHIN: Duration = Duration::from_secs(30);

/// Installs the chart with the real Helm.
pub(super) async fn install_chart(plane: &ControlPlane, cloud: &Cloud, install: &Install) -> Result<(), StandError> {
    match install {
        Install::Chart => {
            let chart = chart().display().to_string();
            let settings = [format!("cluster={CLUSTER}"), format!("computeEndpoint=http://{}", cloud.address)];
            let mut arguments =
                vec!["install", "rehost", &chart, "--namespace", OPERATOR_NAMESPACE, "--create-namespace"];
            for setting in &settings {
                arguments.extend(["--set", setting]);
            }
            plane.helm()?.output(&arguments).await?;
        }
        Install::Typed(line) => drop(plane.shell(&root())?.output(line).await?),
    }
    let definitions = ["crd/notebooks.rehost.dev", "crd/notebookclasses.rehost.dev"];
    let waits = [&["wait", "--for=condition=Established", "--timeout=30s"][..], &definitions].concat();
    plane.kubectl().output(&waits).await?;
    Ok(())
}

/// Waits until the API server knows what the chart grants: without that, the first requests would be refused.
pub(super) async fn wait_for_rights(client: &Client) -> Result<(), StandError> {
    let asked = [("rehost.dev", "notebooks", None), ("coordination.k8s.io", "leases", Some(OPERATOR_NAMESPACE))];
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let allowed = async {
        for (group, resource, namespace) in asked {
            let attributes = ResourceAttributes {
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                namespace: namespace.map(str::to_owned),
                verb: Some("get".to_owned()),
                ..ResourceAttributes::default()
            };
            let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
            let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
            while !reviews.create(&PostParams::default(), &review).await?.status.is_some_and(|answer| answer.allowed) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok::<(), kube::Error>(())
    };
    tokio::time::timeout(RIGHTS_WITHIN, allowed)
        .await
        .map_err(|_| StandError::TooLate("the chart's grant of rights"))??;
    Ok(())
}

/// What stands in for the rest of the cluster. It ends when it is dropped.
pub(super) struct Cluster {
    parts: Vec<JoinHandle<()>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.parts.iter().for_each(JoinHandle::abort);
    }
}

/// Brings up what plays the cluster's parts where its nodes are imagined.
pub(super) async fn start(plane: &ControlPlane, cloud: &Cloud, clock: SharedClock) -> Result<Cluster, StandError> {
    let client = plane.client(ADMIN).await?;
    let nodes = NODES.iter().map(|(name, machine_type, _, _)| cloud.make_node(ZONE, name, machine_type));
    for made in futures::future::join_all(nodes).await {
        made.map_err(|why| StandError::World { what: "the machine of a node".to_owned(), why })?;
    }
    for (name, machine_type, cpus, memory_gi) in NODES {
        register(&client, name, machine_type, cpus, memory_gi).await?;
    }
    let kubelet = Kubelet::new(client.clone(), Arc::new(Imagined(cloud.clone())), clock, TIMES);
    let parts = vec![tokio::spawn(collect_garbage(client)), tokio::spawn(kubelet.run())];
    Ok(Cluster { parts })
}

/// The node as a kubelet of GKE registers it.
async fn register(
    client: &Client,
    name: &str,
    machine_type: &str,
    cpus: u32,
    memory_gi: u32,
) -> Result<(), StandError> {
    let family = machine_type.split('-').next().unwrap_or_default();
    let amounts = json!({"cpu": cpus.to_string(), "memory": format!("{memory_gi}Gi"), "ephemeral-storage": "50Gi", "pods": "110"});
    let node = json!({
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
    });
    let status = json!({"status": {
        "capacity": amounts,
        "allocatable": amounts,
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "stands in for a kubelet"}],
    }});
    let api: Api<Node> = Api::all(client.clone());
    api.patch(name, &PatchParams::apply("stand"), &Patch::Apply(&node)).await?;
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await?;
    Ok(())
}

/// What the garbage collector of a cluster does for us: the objects of a notebook that is gone go too.
async fn collect_garbage(client: Client) {
    let notebooks: Api<Notebook> = Api::all(client.clone());
    let mut living: BTreeMap<String, String> = BTreeMap::new();
    let mut events = pin!(watcher(notebooks, Config::default()));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(notebook) | Event::InitApply(notebook)) => {
                living.insert(notebook.uid().unwrap_or_default(), notebook.namespace().unwrap_or_default());
            }
            Ok(Event::Delete(notebook)) => {
                let uid = notebook.uid().unwrap_or_default();
                if let Some(namespace) = living.remove(&uid) {
                    collect(&client, &namespace, &uid).await;
                }
            }
            Ok(Event::Init | Event::InitDone) => {}
            Err(error) => {
                tracing::debug!(%error, "the collector's watch failed");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn collect(client: &Client, namespace: &str, uid: &str) {
    let ours = ListParams::default().labels(&format!("{}={uid}", labels::UID));
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    for service in services.list(&ours).await.into_iter().flatten() {
        // Gone already is as good.
        let _ = services.delete(&service.name_any(), &DeleteParams::default()).await;
    }
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
    let _ = slices.delete_collection(&DeleteParams::default(), &ours).await;
}
