//! Everything that stands in for the world around the controller, and what runs the real thing where it can be had.

pub mod control_plane;
pub mod kube;
pub mod kubelet;
pub mod manifests;
