//! The disk that holds the home, and the one that held it before.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The home disk, as it was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HomeRecord {
    /// The disk's name; for a dynamic claim, the claim's.
    #[schemars(length(max = 253))]
    pub disk: String,
    /// The cloud's own number of this very disk, set once it was seen: a disk of the same name with another number is another disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub id: Option<String>,
    /// The identity of the content, which every host checks before it serves.
    #[schemars(length(max = 64))]
    pub content_id: String,
    /// Whether the content was seen on the disk: from then on a disk without it is refused.
    #[serde(default)]
    pub formatted: bool,
    /// The size in GiB.
    pub size_gb: i64,
    /// The disk type; empty for a dynamic claim.
    #[serde(default, rename = "type", skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub disk_type: String,
    /// The Google Cloud project; empty for a dynamic claim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub project: String,
    /// The zone; empty for a dynamic claim.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub zone: String,
    /// Whether the home is a dynamic claim of the cluster instead of a Compute Engine disk of ours.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub claim: bool,
}

/// A disk that was the home until its content was proven on another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FormerHome {
    /// The disk.
    pub home: HomeRecord,
    /// When it is deleted, if its labels still say that it is this notebook's.
    pub keep_until: Timestamp,
    /// Whether only the disk is left of the change: its snapshots are gone, and what showed the disk to pods.
    #[serde(default)]
    pub cleared: bool,
    /// Which try of clearing up.
    pub attempt: i64,
    /// No further try is made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}
