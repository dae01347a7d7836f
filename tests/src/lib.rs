//! Everything that stands in for the world around the controller, and what runs the real thing where it can be had.

pub mod control_plane;
pub mod hosts;
pub mod kernel;
pub mod kube;
pub mod kubelet;
pub mod manifests;
pub mod node;
pub mod oracles;
pub mod quickstart;
pub mod sim;
pub mod stand;
pub mod world;
