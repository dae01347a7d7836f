//! The resources of Rehost: `Notebook` and `NotebookClass`, and what their fields mean.
//!
//! What is written here is what a person sees: the field docs become `kubectl explain`, and the rules beside them
//! (CEL, `x-kubernetes-validations`) become the refusals of the API server. `crdgen` turns both into `crds/yaml`.

#![allow(
    clippy::duplicated_attributes,
    reason = "each print column has a type and a name of its own; the lint takes them for one attribute"
)]

pub mod class;
pub mod conditions;
pub mod definitions;
pub mod duration;
pub mod guest;
pub mod labels;
pub mod notebook;
pub mod pattern;
pub mod shape;
pub mod size;
pub mod status;
mod validation;

pub use class::{NotebookClass, NotebookClassSpec, NotebookClassStatus};
pub use notebook::{Notebook, NotebookSpec};
pub use status::NotebookStatus;
