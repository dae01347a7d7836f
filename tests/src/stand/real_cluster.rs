//! A real cluster: Kubernetes' own controllers and scheduler, and a node whose machine is an instance of the simulated cloud, so
//! that pods get the same disks as VMs, under the same rules.

use std::net::Ipv4Addr;
use std::sync::Arc;

use rehost::clock::SharedClock;
use tokio::task::JoinHandle;

use super::disks::Linked;
use super::real::gcsfuse_flags;
use super::{Cloud, NODES, Real, StandError, ZONE};
use crate::control_plane::{ADMIN, ControlPlane};
use crate::kubelet::Kubelet;
use crate::node::{Cluster, Node, NodeSettings};

/// The node: name, machine type, processors, GiB of memory.
pub(super) const NODE: (&str, &str, u32, u32) = NODES[0];
/// Where GKE has its pods too, outside of what machines have.
const POD_SUBNET: &str = "10.4.0.0/24";
/// What the class of the samples lets pods run: here it is the machines' own root file system.
const SAMPLE_IMAGE: &str = "quay.io/jupyter/scipy-notebook:2025-03-14";

/// The cluster beside its API server. It ends when it is dropped.
pub(super) struct RealCluster {
    // In this order: the driver's side of the cloud needs the node's folder.
    attaching: JoinHandle<()>,
    _node: Node,
    _cluster: Cluster,
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        self.attaching.abort();
    }
}

impl RealCluster {
    pub(super) async fn start(
        plane: &ControlPlane,
        cloud: &Cloud,
        real: &Real,
        clock: SharedClock,
    ) -> Result<Self, StandError> {
        let cluster = Cluster::start(plane, &real.network).await?;
        let (name, machine_type, ..) = NODE;
        let failed = |why| StandError::World { what: "the machine of a node".to_owned(), why };
        cloud.make_node(ZONE, name, machine_type).await.map_err(failed)?;
        let settings = NodeSettings {
            name: name.to_owned(),
            machine_type: machine_type.to_owned(),
            address: address_of(cloud, name).ok_or_else(|| failed("it has no address".to_owned()))?,
            pod_subnet: POD_SUBNET.to_owned(),
            // The node removes it, also when this run is killed.
            folder: tempfile::tempdir()?.keep(),
            image_names: vec![SAMPLE_IMAGE.to_owned()],
            gcsfuse_flags: gcsfuse_flags(),
        };
        let node = Node::start(&cluster, plane, settings).await?;
        let disks = Linked { cloud: cloud.clone(), fleet: real.fleet.clone(), devices: node.devices() };
        let attacher = Kubelet::attacher(plane.client(ADMIN).await?, Arc::new(disks), clock);
        Ok(Self { attaching: tokio::spawn(attacher.run()), _node: node, _cluster: cluster })
    }
}

fn address_of(cloud: &Cloud, instance: &str) -> Option<Ipv4Addr> {
    let shown = cloud.peek(&format!("zones/{ZONE}/instances/{instance}"));
    shown["networkInterfaces"][0]["networkIP"].as_str()?.parse().ok()
}
