//! The simulated Compute Engine.

pub mod catalogue;
