//! Everything that stands in for the world, and every test that needs it.

pub mod world;
