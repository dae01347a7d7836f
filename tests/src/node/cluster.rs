//! What a cluster has beside its API server and its nodes: the scheduler, the controllers, and the objects of its drivers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::storage::v1::CSIDriver;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::NodeError;
use super::needs::{CONTROLLER_MANAGER, SCHEDULER};
use crate::control_plane::binaries::{Program, find_or_build};
use crate::control_plane::kubeconfig::kubeconfig;
use crate::control_plane::process::{Process, Start};
use crate::control_plane::{ADMIN, ControlPlane, User};
use crate::hosts::{HostsError, Network};

/// The scheduler and the controllers of a cluster, and the way of its nodes to the API server. All end with this.
#[derive(Debug)]
pub struct Cluster {
    server: SocketAddr,
    network: Arc<Network>,
    _managers: [Process; 2],
}

impl Cluster {
    /// Starts them. The control plane must have been started with [`super::control_plane`].
    pub async fn start(plane: &ControlPlane, network: &Arc<Network>) -> Result<Self, NodeError> {
        let programs = find_or_build(&[Program::KubeControllerManager, Program::KubeScheduler])?;
        let file = |name: &str| plane.directory().join(name).display().to_string();
        let scheduler = start(plane, &programs[&Program::KubeScheduler], SCHEDULER, Vec::new())?;
        let arguments = vec![
            // Each controller speaks as itself, with its own rights, as in a cluster.
            "--use-service-account-credentials".to_owned(),
            format!("--service-account-private-key-file={}", file("token-key.pem")),
            format!("--root-ca-file={}", file("authority.pem")),
        ];
        let controllers = start(plane, &programs[&Program::KubeControllerManager], CONTROLLER_MANAGER, arguments)?;
        let server = plane.url().trim_start_matches("https://").parse().map_err(|_| HostsError::Program {
            program: "kube-apiserver".to_owned(),
            said: format!("{} is no address of the loopback", plane.url()),
        })?;
        let drivers: Api<CSIDriver> = Api::all(plane.client(ADMIN).await?);
        for (name, spec) in drivers_of_gke() {
            let driver = json!({
                "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": name}, "spec": spec,
            });
            drivers.patch(name, &PatchParams::apply("cluster"), &Patch::Apply(&driver)).await?;
        }
        let server = network.publish(0, server)?;
        Ok(Self { server, network: Arc::clone(network), _managers: [controllers, scheduler] })
    }

    /// The API server as nodes and machines reach it.
    pub fn server(&self) -> SocketAddr {
        self.server
    }

    pub(super) fn network(&self) -> &Arc<Network> {
        &self.network
    }
}

/// The drivers as GKE declares them.
fn drivers_of_gke() -> [(&'static str, Value); 2] {
    [
        (
            "pd.csi.storage.gke.io",
            json!({
                "attachRequired": true, "podInfoOnMount": false, "volumeLifecycleModes": ["Persistent"],
                "fsGroupPolicy": "ReadWriteOnceWithFSType",
            }),
        ),
        (
            "gcsfuse.csi.storage.gke.io",
            json!({"attachRequired": false, "podInfoOnMount": true, "volumeLifecycleModes": ["Ephemeral"]}),
        ),
    ]
}

/// Starts one of the two on this machine's loopback. Neither has anything worth a slow end.
fn start(plane: &ControlPlane, program: &Path, user: &str, mut arguments: Vec<String>) -> Result<Process, NodeError> {
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let identity = User::new(user, &[]);
    let token = (identity.name.clone(), identity.token());
    let config = kubeconfig(plane.url(), &plane.directory().join("authority.pem"), &[token]);
    let path = plane.directory().join(format!("{name}.kubeconfig"));
    std::fs::write(&path, format!("{config:#}\n")).map_err(HostsError::io(format!("writing {}", path.display())))?;
    for flag in ["kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig"] {
        arguments.push(format!("--{flag}={}", path.display()));
    }
    arguments.extend(["--leader-elect=false", "--secure-port=0"].map(str::to_owned));
    let process = Process::start(Start {
        name: &name,
        program,
        arguments,
        environment: Vec::new(),
        log: plane.directory().join(format!("{name}.log")),
        grace: Duration::ZERO,
        remove: None,
    });
    Ok(process.map_err(HostsError::io(format!("starting {name}")))?)
}
