//! What became of the kernels of a host that was to be suspended.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of the kernels when the notebook was last to be suspended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Kernels {
    /// Kept or Lost.
    pub state: KernelState,
    /// Since when.
    pub at: Timestamp,
    /// Why they are lost, for people; empty while they are kept.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// Whether kernels are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum KernelState {
    /// The host is suspended, and its memory is kept: kernels go on where they were when it is resumed.
    Kept,
    /// The host could not be suspended or resumed: the home is as it was, and kernels begin anew.
    Lost,
}
