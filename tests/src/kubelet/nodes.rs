//! Registering nodes as their kubelets would.

use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};

use super::settings::NodeSettings;
use super::{FIELD_MANAGER, StandIn};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::storage::v1::CSINode;

fn manifest(node: &NodeSettings) -> Value {
    let mut labels = node.labels.clone();
    for (name, value) in [
        ("kubernetes.io/hostname", &node.name),
        ("kubernetes.io/os", &"linux".to_owned()),
        ("kubernetes.io/arch", &"amd64".to_owned()),
        ("topology.kubernetes.io/zone", &node.zone),
        ("topology.gke.io/zone", &node.zone),
        ("node.kubernetes.io/instance-type", &node.instance_type),
        ("cloud.google.com/machine-family", &node.machine_family),
    ] {
        labels.entry(name.to_owned()).or_insert_with(|| value.clone());
    }
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": node.name, "labels": labels},
        "spec": {"providerID": node.provider_id},
    })
}

impl StandIn {
    /// Makes a node known, and says whether it is ready. A node that is there is left as it is but for that.
    pub(super) async fn register(&self, index: usize, node: &NodeSettings, ready: bool) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let params = PatchParams::apply(FIELD_MANAGER).force();
        if self.cache.nodes.get("", &node.name).is_none() {
            self.call("register a node", nodes.patch(&node.name, &params, &Patch::Apply(manifest(node)))).await;
            let csi: Api<CSINode> = Api::all(self.client.clone());
            let driver =
                json!({"name": self.settings.driver, "nodeID": node.name, "topologyKeys": ["topology.gke.io/zone"]});
            let object = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSINode", "metadata": {"name": node.name}, "spec": {"drivers": [driver]}});
            self.call("register a CSI node", csi.patch(&node.name, &params, &Patch::Apply(object))).await;
        }
        // The API server taints every new node, and the kubelet's readiness takes the taint away.
        let taints = if ready {
            json!(null)
        } else {
            json!([{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}])
        };
        let spec = json!({"spec": {"taints": taints}});
        self.call("set a node's taints", nodes.patch(&node.name, &merge(), &Patch::Merge(spec))).await;
        let now = self.time();
        let (status, reason) = if ready { ("True", "KubeletReady") } else { ("Unknown", "NodeStatusUnknown") };
        let status = json!({"status": {
            "capacity": node.allocatable,
            "allocatable": node.allocatable,
            "addresses": [
                {"type": "InternalIP", "address": format!("10.128.0.{}", index + 2)},
                {"type": "Hostname", "address": node.name},
            ],
            "conditions": [{
                "type": "Ready", "status": status, "reason": reason, "message": "",
                "lastHeartbeatTime": now, "lastTransitionTime": now,
            }],
        }});
        self.call("set a node's status", nodes.patch_status(&node.name, &merge(), &Patch::Merge(status))).await;
    }

    /// The settings of a node that this stand-in plays.
    pub(super) fn node_settings(&self, name: &str) -> Option<(usize, &NodeSettings)> {
        self.settings.nodes.iter().enumerate().find(|(_, node)| node.name == name)
    }
}

/// Merge patches of the stand-in.
pub(super) fn merge() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
