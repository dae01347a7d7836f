//! Disk types, the same in every zone.

use super::places::has_zone;
use super::{ALWAYS, Links, stable_id};
use serde_json::{Value, json};

/// A disk type in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskType {
    /// For example `pd-balanced`.
    pub name: &'static str,
    /// The zone that was asked for.
    pub zone: String,
    /// As shown to people.
    pub description: &'static str,
    /// The smallest size of a blank disk.
    pub size_gb_min: u64,
    /// The largest size.
    pub size_gb_max: u64,
    /// The size when none is asked for.
    pub default_size_gb: u64,
    /// The quota that its size counts against.
    pub metric: &'static str,
}

impl DiskType {
    /// As `diskTypes.get` answers it.
    pub fn to_json(&self, links: Links<'_>) -> Value {
        json!({
            "kind": "compute#diskType",
            "id": stable_id(self.name).to_string(),
            "creationTimestamp": ALWAYS,
            "name": self.name,
            "description": self.description,
            "validDiskSize": format!("{}GB-{}GB", self.size_gb_min, self.size_gb_max),
            "defaultDiskSizeGb": self.default_size_gb.to_string(),
            "zone": links.in_project(&format!("zones/{}", self.zone)),
            "selfLink": links.in_project(&format!("zones/{}/diskTypes/{}", self.zone, self.name)),
        })
    }
}

struct Row(&'static str, &'static str, u64, u64, u64, &'static str);

/// Name, description, least, most and default size in GB, quota.
const ROWS: &[Row] = &[
    Row("hyperdisk-balanced", "Hyperdisk Balanced Persistent Disk", 4, 65_536, 100, "HDB_TOTAL_GB"),
    Row(
        "hyperdisk-balanced-high-availability",
        "Hyperdisk Balanced High Availability Persistent Disk",
        4,
        65_536,
        100,
        "HDB_TOTAL_GB",
    ),
    Row("hyperdisk-extreme", "Hyperdisk Extreme Persistent Disk", 64, 65_536, 1000, "SSD_TOTAL_GB"),
    Row("hyperdisk-ml", "Hyperdisk ML Persistent Disk", 4, 65_536, 100, "SSD_TOTAL_GB"),
    Row("hyperdisk-throughput", "Hyperdisk Throughput Persistent Disk", 2048, 32_768, 2048, "DISKS_TOTAL_GB"),
    Row("local-ssd", "Local SSD", 375, 375, 375, "LOCAL_SSD_TOTAL_GB"),
    Row("pd-balanced", "Balanced Persistent Disk", 10, 65_536, 100, "SSD_TOTAL_GB"),
    Row("pd-extreme", "Extreme Persistent Disk", 500, 65_536, 1000, "SSD_TOTAL_GB"),
    Row("pd-ssd", "SSD Persistent Disk", 10, 65_536, 100, "SSD_TOTAL_GB"),
    Row("pd-standard", "Standard Persistent Disk", 10, 65_536, 500, "DISKS_TOTAL_GB"),
];

fn offered(row: &Row, zone: &str) -> DiskType {
    let Row(name, description, size_gb_min, size_gb_max, default_size_gb, metric) = *row;
    DiskType { name, zone: zone.to_owned(), description, size_gb_min, size_gb_max, default_size_gb, metric }
}

/// A disk type, where zone and type exist.
pub fn disk_type(zone: &str, name: &str) -> Option<DiskType> {
    disk_types(zone).into_iter().find(|disk_type| disk_type.name == name)
}

/// Every disk type of a zone, by name.
pub fn disk_types(zone: &str) -> Vec<DiskType> {
    if has_zone(zone) { ROWS.iter().map(|row| offered(row, zone)).collect() } else { Vec::new() }
}
