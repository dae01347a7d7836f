//! What stands in for the world in Rehost's tests.

pub mod world;
