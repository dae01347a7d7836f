//! The files that a node's programs read. All are JSON, which is YAML too.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::needs::{PROXY, node_user};
use super::{NodeError, NodeSettings};
use crate::control_plane::kubeconfig::kubeconfig;
use crate::control_plane::{ControlPlane, User};
use crate::hosts::HostsError;
use crate::stand::{PROJECT, ZONE};

const REGION: &str = "us-central1";

/// Writes them into the node's folder. `server` is the API server as nodes reach it.
pub(super) fn write(settings: &NodeSettings, plane: &ControlPlane, server: SocketAddr) -> Result<(), NodeError> {
    let authority = plane.directory().join("authority.pem");
    let identity = |name: &str| {
        let user = User::new(name, &[]);
        kubeconfig(&format!("https://{server}"), &authority, &[(user.name.clone(), user.token())])
    };
    let network = settings.folder.join("cni");
    std::fs::create_dir_all(&network).map_err(HostsError::io("the node's folder"))?;
    write_one(&settings.folder.join("kubelet.kubeconfig"), &identity(&node_user(&settings.name)))?;
    write_one(&settings.folder.join("kube-proxy.kubeconfig"), &identity(PROXY))?;
    write_one(&settings.folder.join("kubelet.json"), &kubelet(settings))?;
    write_one(&network.join("10-pods.conflist"), &pod_network(settings))
}

fn write_one(path: &Path, value: &Value) -> Result<(), NodeError> {
    Ok(std::fs::write(path, format!("{value:#}\n")).map_err(HostsError::io(format!("writing {}", path.display())))?)
}

fn kubelet(settings: &NodeSettings) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        // Some machines have control groups of the first version alone; live resizing works with them too.
        "failCgroupV1": false,
        "cgroupDriver": "cgroupfs",
        "containerRuntimeEndpoint": "unix:///run/node/containerd.sock",
        "providerID": format!("gce://{PROJECT}/{ZONE}/{}", settings.name),
        "address": settings.address,
        "healthzPort": 0,
        // It listens in the node's own network namespace.
        "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
        "authorization": {"mode": "AlwaysAllow"},
        "failSwapOn": false,
        // More often than by default: a grown disk and a volume that is no longer used are noticed at these looks.
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "2s",
        // The disk is this machine's, with much else on it.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": "/run/node/pods",
        "volumePluginDir": "/run/node/volume-plugins",
        "resolvConf": "/run/node/resolv.conf",
    })
}

/// Each pod has a link of its own to the node, which forwards.
fn pod_network(settings: &NodeSettings) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "ipam": {
                "type": "host-local",
                "dataDir": "/run/node/addresses",
                "ranges": [[{"subnet": settings.pod_subnet}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// What a node of GKE says of itself, as the kubelet's flag.
pub(super) fn labels(settings: &NodeSettings) -> String {
    let machine_type = settings.machine_type.as_str();
    let family = machine_type.split('-').next().unwrap_or_default();
    let labels = [
        ("node.kubernetes.io/instance-type", machine_type),
        ("cloud.google.com/machine-family", family),
        ("topology.kubernetes.io/region", REGION),
        ("topology.kubernetes.io/zone", ZONE),
        ("topology.gke.io/zone", ZONE),
    ];
    labels.map(|(name, value)| format!("{name}={value}")).join(",")
}
