//! Zones, regions and their quotas.

/// Every zone of the simulated cloud, in alphabetical order, as lists answer them.
pub const ZONES: &[&str] = &[
    "europe-west4-a",
    "europe-west4-b",
    "europe-west4-c",
    "us-central1-a",
    "us-central1-b",
    "us-central1-c",
    "us-central1-f",
    "us-east1-b",
    "us-east1-c",
    "us-east1-d",
];

/// Every region.
pub const REGIONS: &[&str] = &["europe-west4", "us-central1", "us-east1"];

/// Whether there is such a zone.
pub fn has_zone(zone: &str) -> bool {
    ZONES.contains(&zone)
}

/// Whether there is such a region.
pub fn has_region(region: &str) -> bool {
    REGIONS.contains(&region)
}

/// The region that a zone's name says; the name itself where it has no dash.
pub fn region_of(zone: &str) -> &str {
    zone.rsplit_once('-').map_or(zone, |(region, _)| region)
}

/// The zones of a region.
pub fn zones_of(region: &str) -> impl Iterator<Item = &'static str> {
    ZONES.iter().copied().filter(move |zone| region_of(zone) == region)
}

/// A quota's metric, as in the API's `Quota.metric`, and its limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quota {
    /// For example `NVIDIA_T4_GPUS`.
    pub metric: &'static str,
    /// How much may be used at a time.
    pub limit: f64,
}

const fn quota(metric: &'static str, limit: f64) -> Quota {
    Quota { metric, limit }
}

/// What a region lists by default.
pub fn region_quotas() -> Vec<Quota> {
    vec![
        quota("CPUS", 2400.0),
        quota("N2_CPUS", 500.0),
        quota("N2D_CPUS", 500.0),
        quota("C2_CPUS", 300.0),
        quota("C2D_CPUS", 300.0),
        quota("C3_CPUS", 500.0),
        quota("T2D_CPUS", 500.0),
        quota("T2A_CPUS", 300.0),
        quota("A2_CPUS", 96.0),
        quota("DISKS_TOTAL_GB", 409_600.0),
        quota("SSD_TOTAL_GB", 81_920.0),
        quota("HDB_TOTAL_GB", 409_600.0),
        quota("LOCAL_SSD_TOTAL_GB", 100_000.0),
        quota("INSTANCES", 6000.0),
        quota("IN_USE_ADDRESSES", 575.0),
        quota("STATIC_ADDRESSES", 175.0),
        quota("PREEMPTIBLE_CPUS", 0.0),
        quota("NVIDIA_T4_GPUS", 16.0),
        quota("NVIDIA_P4_GPUS", 8.0),
        quota("NVIDIA_P100_GPUS", 4.0),
        quota("NVIDIA_V100_GPUS", 8.0),
        quota("NVIDIA_L4_GPUS", 16.0),
        quota("NVIDIA_A100_GPUS", 16.0),
        quota("NVIDIA_A100_80GB_GPUS", 8.0),
        quota("PREEMPTIBLE_NVIDIA_T4_GPUS", 16.0),
        quota("PREEMPTIBLE_NVIDIA_L4_GPUS", 16.0),
    ]
}

/// What the project lists for all regions together.
pub fn project_quotas() -> Vec<Quota> {
    vec![
        quota("SNAPSHOTS", 75_000.0),
        quota("NETWORKS", 50.0),
        quota("SUBNETWORKS", 275.0),
        quota("IMAGES", 15_000.0),
        quota("CPUS_ALL_REGIONS", 4800.0),
        quota("GPUS_ALL_REGIONS", 64.0),
    ]
}
