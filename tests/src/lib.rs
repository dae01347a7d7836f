//! Everything that stands in for the world: simulated clouds and clusters, oracles, and the tests that need them.

pub mod kube;
