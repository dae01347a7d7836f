//! Compute Engine behind a narrow surface: reads that say Absent, Present or Unknown, changes as plain data, operations
//! that nobody waits for, and errors by consequence.

pub mod errors;
pub mod model;
pub mod mutation;
