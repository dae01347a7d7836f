//! The resources of Rehost: `Notebook` and `NotebookClass`, and what their fields mean.

pub mod guest;
pub mod shape;
pub mod status;
