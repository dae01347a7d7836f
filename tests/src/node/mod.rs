//! A real Kubernetes node, or several: kubelet, containerd, kube-proxy and CSI drivers beside a real control plane.
//!
//! # What is real
//! Pods are scheduled, bound to their volumes, attached, mounted, run, resized and ended by Kubernetes' own programs, in
//! control groups and namespaces of this machine. A notebook's image is the root file system of the real machines (see
//! [`crate::hosts`]), so JupyterLab and its kernels are real; disks are ext4 on loop devices, made and mounted by the
//! library of the real driver; buckets are mounted by the real gcsfuse.
//!
//! # What is not there
//! - A registry: there are the images `localhost/pause:1` and [`NOTEBOOK_IMAGE`], and no other.
//! - The cloud's side of the CSI driver: attaching, and growing a disk, are [`crate::kubelet::Kubelet::attacher`]'s part,
//!   with [`LoopDisks`] behind it or whatever a test makes. Where this machine lacks `CAP_SYS_RESOURCE`, the file system
//!   on a grown disk follows only when it is mounted the next time, though the claim says so at once.
//! - Names of Services: there is no DNS server. Their addresses answer.
//! - Logs and commands through the API server, which is on the loopback of this machine and does not reach nodes.
//! - A size of its own: a node has the processors and the memory of this machine, whatever machine type it says.
//!
//! # Guarantees
//! A node is a machine of a [`Network`]: pods reach machines, machines and [`Network::connect`] reach pods and Services.
//! Nothing outlives the run, however it ends (see [`crate::control_plane::process`]): processes, mounts and addresses are
//! in namespaces that end with the node's first process, and the control groups are removed by the script that made them.

mod cluster;
mod configuration;
mod disks;
mod needs;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1;
use kube::Api;

pub use cluster::Cluster;
pub use disks::LoopDisks;
pub use needs::{control_plane, missing};

use crate::control_plane::binaries::{BinariesError, Program, find_or_build};
use crate::control_plane::process::{Process, Start};
use crate::control_plane::{ADMIN, ControlPlane, ControlPlaneError};
use crate::hosts::{HostsError, Image, Network};

/// The image of notebooks: JupyterLab in `/opt/jupyter`, as on machines; it runs as uid 1000, at home in `/home/jupyter`.
pub const NOTEBOOK_IMAGE: &str = "localhost/notebook:1";
const READY_WITHIN: Duration = Duration::from_mins(3);
const LOOK: Duration = Duration::from_millis(100);
/// For the end of all processes, and then of their control groups.
const GRACE: Duration = Duration::from_secs(20);
/// The addresses of Services, as the control plane has them.
const SERVICES: &str = "10.96.0.0/12";

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A program could not be found or built.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// What a node has of a machine.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// The control plane that it belongs to.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// The API server refused.
    #[error("the API server: {0}")]
    Kube(#[source] Box<kube::Error>),
    /// It ended, or was not ready in time.
    #[error("the node {name} {happening}; the end of its logs:\n{tail}")]
    NotReady {
        /// Which node.
        name: String,
        /// What it did instead of being ready.
        happening: String,
        /// The last lines of its programs.
        tail: String,
    },
}

impl From<kube::Error> for NodeError {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// What a node is started with.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Its name; the control plane must have been started with [`control_plane`] for it.
    pub name: String,
    /// The machine type that its labels say.
    pub machine_type: String,
    /// Its address in the network, as 10.128.0.2.
    pub address: Ipv4Addr,
    /// The addresses of its pods, as 10.4.0.0/24, apart from those of all other nodes.
    pub pod_subnet: String,
    /// A folder of its own for its state, which goes with it.
    pub folder: PathBuf,
    /// Names under which pods may ask for the image of notebooks, beside [`NOTEBOOK_IMAGE`].
    pub image_names: Vec<String>,
    /// How gcsfuse is led to a server of the test's, as flags with spaces between.
    pub gcsfuse_flags: String,
}

/// A node that runs until this is dropped.
#[derive(Debug)]
pub struct Node {
    settings: NodeSettings,
    process: Process,
    // A node goes before the network that it is in.
    _network: Arc<Network>,
}

impl Node {
    /// Starts a node, and returns when it is ready: some seconds, and on the first run of a machine the minutes that
    /// building takes.
    pub async fn start(cluster: &Cluster, plane: &ControlPlane, settings: NodeSettings) -> Result<Self, NodeError> {
        let programs = find_or_build(&[Program::Kubelet, Program::KubeProxy, Program::NodePlugin])?;
        let image = Image::find_or_build()?;
        configuration::write(&settings, plane, cluster.server())?;
        let mut environment: Vec<(String, String)> = [
            ("NODE_NAME", settings.name.clone()),
            ("NODE_ADDRESS", settings.address.to_string()),
            ("NODE_LABELS", configuration::labels(&settings)),
            ("POD_SUBNET", settings.pod_subnet.clone()),
            ("IMAGE_ROOT", image.root.display().to_string()),
            ("GCSFUSE", Image::program("gcsfuse")?.display().to_string()),
            ("GCSFUSE_FLAGS", settings.gcsfuse_flags.clone()),
            ("IMAGE_NAMES", settings.image_names.join(" ")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        for (variable, program) in
            [("KUBELET", Program::Kubelet), ("KUBE_PROXY", Program::KubeProxy), ("NODE_PLUGIN", Program::NodePlugin)]
        {
            environment.push((variable.to_owned(), programs[&program].display().to_string()));
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/node/node");
        let process = Process::start(Start {
            name: &settings.name,
            program: Path::new("unshare"),
            arguments: ["--net", script, "outside", &settings.folder.to_string_lossy()].map(str::to_owned).to_vec(),
            environment,
            log: settings.folder.join("node.log"),
            grace: GRACE,
            remove: std::env::var_os("REHOST_KEEP").is_none().then(|| settings.folder.clone()),
        })
        .map_err(HostsError::io(format!("starting {}", settings.name)))?;
        cluster.network().plug_node(&process, settings.address, &[&settings.pod_subnet, SERVICES])?;
        let go = settings.folder.join("go");
        std::fs::write(go, "").map_err(HostsError::io("letting the node go on"))?;
        let mut node = Self { settings, process, _network: Arc::clone(cluster.network()) };
        node.await_ready(plane).await?;
        Ok(node)
    }

    async fn await_ready(&mut self, plane: &ControlPlane) -> Result<(), NodeError> {
        let nodes: Api<v1::Node> = Api::all(plane.client(ADMIN).await?);
        for _ in 0..READY_WITHIN.as_millis() / LOOK.as_millis() {
            if self.process.ended().map_err(HostsError::io("looking at the node"))?.is_some() {
                return Err(self.not_ready("ended"));
            }
            if nodes.get_opt(self.name()).await?.is_some_and(|node| is_ready(&node)) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(self.not_ready("was not ready in time"))
    }

    fn not_ready(&self, happening: &str) -> NodeError {
        NodeError::NotReady { name: self.settings.name.clone(), happening: happening.to_owned(), tail: self.logs(15) }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Where the node finds the links to the disks that are attached to it: named by disk, leading to block devices.
    pub fn devices(&self) -> PathBuf {
        self.settings.folder.join("devices")
    }

    /// The last lines of what each of its programs said, for messages about a failure.
    pub fn logs(&self, lines: usize) -> String {
        let programs = ["containerd", "node-plugin", "kubelet", "kube-proxy"].map(|name| {
            let log = std::fs::read(self.settings.folder.join(format!("log/{name}.log"))).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let all: Vec<&str> = log.lines().collect();
            format!("-- {name}\n{}", all[all.len().saturating_sub(lines)..].join("\n"))
        });
        format!("{}\n{}", self.process.log_tail(lines), programs.join("\n"))
    }
}

fn is_ready(node: &v1::Node) -> bool {
    let conditions = node.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
