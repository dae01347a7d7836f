//! What the simulated cloud has on offer: zones, regions, machine types, accelerators, disk types, images.
//!
//! # What the figures rest on
//! - Shapes of machine types (processors, memory) follow the published ratios of each series (Compute Engine's
//!   machine-family pages): `standard`, `highmem` and `highcpu` are so many GB a processor, and the shapes that leave
//!   the ratio are written out. Local-SSD variants (`-lssd`), bare metal, M, H, X and Z series are absent.
//! - Which disk types and GPUs a series takes, its live migration and its in-place group follow the project's table of
//!   families; where its sources disagree, Hyperdisk is taken.
//! - Which accelerator is in which zone follows the GPU location page; the set is cut to the zones below.
//! - `maximumPersistentDisks` counts the boot disk: 128, 16 on shared-core, N4 16 or 32, C4 and C4A 8 to 128 with size.
//! - Quota limits are defaults of a well-used project, chosen by us: the real ones differ for each project. A metric
//!   that the API's `Quota.metric` enum lacks (C4, N4, A3 processors) has no limit here, as the real regions answer
//!   does not list it either.
//! - Ids are derived from the name, so that they are the same in every run. Image names and dates are plausible, not
//!   current.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

mod disk_types;
mod gpus;
mod images;
mod places;
mod series;
mod shapes;

pub use disk_types::{DiskType, disk_type, disk_types};
pub use gpus::{AcceleratorType, GpuRefusal, accelerator_type, accelerator_types, check_gpus, gpu_metric};
pub use images::{Image, image, image_from_family, images};
pub use places::{Quota, REGIONS, ZONES, has_region, has_zone, project_quotas, region_of, region_quotas, zones_of};
pub use series::{Gpus, SERIES, Series, series_of};
pub use shapes::{MachineType, machine_type, machine_types};

/// Creation time that the API answers for what was there before the project.
const ALWAYS: &str = "1969-12-31T16:00:00.000-08:00";

/// Where resources live: the prefix of every link, and the project.
#[derive(Debug, Clone, Copy)]
pub struct Links<'a> {
    /// For example `https://www.googleapis.com/compute/v1`, with or without the last slash.
    pub base_url: &'a str,
    /// The project's name.
    pub project: &'a str,
}

impl Links<'_> {
    /// The link of something in this project, for example `in_project("zones/z/instances/i")`.
    pub fn in_project(&self, tail: &str) -> String {
        self.elsewhere(self.project, tail)
    }

    /// The link of something in another project (public images).
    pub fn elsewhere(&self, project: &str, tail: &str) -> String {
        format!("{}/projects/{project}/{tail}", self.base_url.trim_end_matches('/'))
    }
}

/// A number that is the same for the same name in every run (FNV-1a, cut to the 19 digits that ids have).
pub fn stable_id(name: &str) -> u64 {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    1_000_000_000_000_000_000 + hash % 8_000_000_000_000_000_000
}

/// A zone as `zones.get` answers it.
pub fn zone_json(links: Links<'_>, zone: &str) -> Option<Value> {
    has_zone(zone).then(|| {
        json!({
            "kind": "compute#zone",
            "id": stable_id(zone).to_string(),
            "creationTimestamp": ALWAYS,
            "name": zone,
            "description": zone,
            "status": "UP",
            "region": links.in_project(&format!("regions/{}", region_of(zone))),
            "selfLink": links.in_project(&format!("zones/{zone}")),
            "availableCpuPlatforms": ["Intel Broadwell", "Intel Cascade Lake", "Intel Ice Lake", "Intel Skylake", "AMD Milan", "AMD Rome"],
            "supportsPzs": false,
        })
    })
}

/// A region as `regions.get` answers it; `usage` is by metric, what is absent is 0. `limits` overrides the defaults.
pub fn region_json(
    links: Links<'_>,
    region: &str,
    usage: &BTreeMap<String, f64>,
    limits: &BTreeMap<String, f64>,
) -> Option<Value> {
    has_region(region).then(|| {
        json!({
            "kind": "compute#region",
            "id": stable_id(region).to_string(),
            "creationTimestamp": ALWAYS,
            "name": region,
            "description": region,
            "status": "UP",
            "zones": zones_of(region).map(|zone| links.in_project(&format!("zones/{zone}"))).collect::<Vec<_>>(),
            "quotas": quotas_json(&region_quotas(), usage, limits),
            "selfLink": links.in_project(&format!("regions/{region}")),
            "supportsPzs": false,
        })
    })
}

/// The project as `projects.get` answers it; `metadata` is the project-wide metadata's `items`.
pub fn project_json(
    links: Links<'_>,
    number: u64,
    usage: &BTreeMap<String, f64>,
    limits: &BTreeMap<String, f64>,
) -> Value {
    let project = links.project;
    json!({
        "kind": "compute#project",
        "id": stable_id(project).to_string(),
        "creationTimestamp": "2024-01-15T01:23:45.678-08:00",
        "name": project,
        "commonInstanceMetadata": {"kind": "compute#metadata", "fingerprint": "dnJpY2hvc3Rz"},
        "quotas": quotas_json(&project_quotas(), usage, limits),
        "selfLink": links.base_url.trim_end_matches('/').to_owned() + "/projects/" + project,
        "defaultServiceAccount": format!("{number}-compute@developer.gserviceaccount.com"),
        "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
        "defaultNetworkTier": "PREMIUM",
        "vmDnsSetting": "ZONAL_ONLY",
    })
}

fn quotas_json(quotas: &[Quota], usage: &BTreeMap<String, f64>, limits: &BTreeMap<String, f64>) -> Vec<Value> {
    quotas
        .iter()
        .map(|quota| {
            json!({
                "metric": quota.metric,
                "limit": limits.get(quota.metric).copied().unwrap_or(quota.limit),
                "usage": usage.get(quota.metric).copied().unwrap_or(0.0),
            })
        })
        .collect()
}

/// Puts a value under a key unless it is null: the API leaves out what is not set.
fn put(into: &mut Value, key: &str, value: Value) {
    if let (Some(map), false) = (into.as_object_mut(), value.is_null()) {
        let map: &mut Map<String, Value> = map;
        map.insert(key.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_shapes_are_as_published() {
        let shape = |name: &str| {
            let machine = machine_type("us-central1-a", name).unwrap_or_else(|| panic!("{name} is missing"));
            (machine.guest_cpus, machine.memory_mb)
        };
        assert_eq!(shape("n1-standard-4"), (4, 15360));
        assert_eq!(shape("n1-highcpu-2"), (2, 1843));
        assert_eq!(shape("n1-highmem-32"), (32, 212_992));
        assert_eq!(shape("f1-micro"), (1, 614));
        assert_eq!(shape("e2-medium"), (2, 4096));
        assert_eq!(shape("g2-standard-8"), (8, 32768));
        assert_eq!(shape("a2-highgpu-1g"), (12, 87040));
        assert_eq!(shape("c4-standard-2"), (2, 7168));
    }

    #[test]
    fn custom_shapes_are_canonicalised_and_bounded() {
        let name = |asked: &str| machine_type("us-central1-a", asked).map(|machine| machine.name);
        assert_eq!(name("custom-32-212992").as_deref(), Some("n1-highmem-32"));
        assert_eq!(name("n1-custom-4-8192").as_deref(), Some("custom-4-8192"));
        assert_eq!(name("n2-custom-4-16384").as_deref(), Some("n2-standard-4"));
        assert_eq!(name("e2-custom-4-8192").as_deref(), Some("e2-custom-4-8192"));
        assert_eq!(name("custom-3-8192"), None, "an odd number of processors above one");
        assert_eq!(name("custom-4-8000"), None, "memory is in steps of 256 MB");
        assert_eq!(name("custom-2-65536"), None, "more memory than a processor may have");
        assert_eq!(name("custom-2-65536-ext").as_deref(), Some("custom-2-65536-ext"));
        assert_eq!(name("g2-custom-4-8192"), None);
    }

    #[test]
    fn places_differ() {
        assert!(accelerator_type("us-central1-a", "nvidia-tesla-t4").is_some());
        assert!(accelerator_type("europe-west4-a", "nvidia-tesla-p4").is_none());
        assert!(machine_type("us-east1-b", "t2a-standard-4").is_none());
        assert_eq!(machine_type("us-central1-a", "t2a-standard-4").map(|m| m.architecture), Some("ARM64"));
        assert!(machine_type("mars-north1-a", "n1-standard-1").is_none());
    }

    #[test]
    fn built_in_gpus_exist_where_their_machine_does() {
        for zone in ZONES {
            for machine in machine_types(zone) {
                for (gpu, count) in &machine.accelerators {
                    let kind = accelerator_type(zone, gpu);
                    assert!(kind.is_some_and(|kind| *count <= kind.maximum_cards), "{zone} {} {gpu}", machine.name);
                }
            }
        }
    }
}
