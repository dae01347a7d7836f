//! Machine types: predefined shapes from the ratios of their series, and custom ones.

use super::places::has_zone;
use super::series::{SERIES, Series, series_of};
use super::{ALWAYS, Links, put, stable_id};
use serde_json::{Value, json};

/// A machine type in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineType {
    /// Canonical: a custom shape that equals a predefined one has that one's name.
    pub name: String,
    /// The zone that was asked for.
    pub zone: String,
    /// Virtual processors.
    pub guest_cpus: u32,
    /// Memory.
    pub memory_mb: u32,
    /// `X86_64` or `ARM64`.
    pub architecture: &'static str,
    /// Built-in GPUs: type and count.
    pub accelerators: Vec<(String, u32)>,
    /// How many disks it takes, the boot disk included.
    pub maximum_persistent_disks: u32,
    /// A part of a processor only.
    pub shared_cpu: bool,
}

impl MachineType {
    /// Its series. Every machine type has one, as both come from one table.
    pub fn series(&self) -> &'static Series {
        series_of(&self.name).unwrap_or(&SERIES[0])
    }

    /// As `machineTypes.get` answers it.
    pub fn to_json(&self, links: Links<'_>) -> Value {
        let Self {
            name,
            zone,
            guest_cpus,
            memory_mb,
            architecture,
            accelerators,
            maximum_persistent_disks,
            shared_cpu,
        } = self;
        let mut machine = json!({
            "kind": "compute#machineType",
            "id": stable_id(name).to_string(),
            "creationTimestamp": ALWAYS,
            "name": name,
            "description": self.description(),
            "guestCpus": guest_cpus,
            "memoryMb": memory_mb,
            "imageSpaceGb": 0,
            "maximumPersistentDisks": maximum_persistent_disks,
            "maximumPersistentDisksSizeGb": if *shared_cpu { "3072" } else { "263168" },
            "zone": zone,
            "selfLink": links.in_project(&format!("zones/{zone}/machineTypes/{name}")),
            "isSharedCpu": shared_cpu,
            "architecture": architecture,
        });
        if !accelerators.is_empty() {
            let list: Vec<Value> = accelerators
                .iter()
                .map(|(gpu, count)| json!({"guestAcceleratorType": gpu, "guestAcceleratorCount": count}))
                .collect();
            put(&mut machine, "accelerators", Value::Array(list));
        }
        machine
    }

    fn description(&self) -> String {
        let gb = f64::from(self.memory_mb) / 1024.0;
        let gpus: Vec<String> = self.accelerators.iter().map(|(gpu, count)| format!(", {count} {gpu}")).collect();
        let shared = if self.shared_cpu { " (shared physical core)" } else { "" };
        format!("{} vCPUs{shared}, {} GB RAM{}", self.guest_cpus, (gb * 100.0).round() / 100.0, gpus.concat())
    }
}

/// So many MB of memory a processor, for these numbers of processors.
struct Ratio {
    series: &'static str,
    kind: &'static str,
    mb_per_cpu: f64,
    cpus: &'static [u32],
}

const fn ratio(series: &'static str, kind: &'static str, gb_per_cpu: f64, cpus: &'static [u32]) -> Ratio {
    Ratio { series, kind, mb_per_cpu: gb_per_cpu * 1024.0, cpus }
}

const N1: &[u32] = &[2, 4, 8, 16, 32, 64, 96];
const N2: &[u32] = &[2, 4, 8, 16, 32, 48, 64, 80, 96];
const C2D: &[u32] = &[2, 4, 8, 16, 32, 56, 112];
const C3: &[u32] = &[4, 8, 22, 44, 88, 176];
const C3D: &[u32] = &[4, 8, 16, 30, 60, 90, 180, 360];
const C4: &[u32] = &[2, 4, 8, 16, 24, 32, 48, 96, 144, 192, 288];
const C4A: &[u32] = &[1, 2, 4, 8, 16, 32, 48, 64, 72];
const N4: &[u32] = &[2, 4, 8, 16, 32, 48, 64, 80];

const RATIOS: &[Ratio] = &[
    ratio("c2", "standard", 4.0, &[4, 8, 16, 30, 60]),
    ratio("c2d", "highcpu", 2.0, C2D),
    ratio("c2d", "highmem", 8.0, C2D),
    ratio("c2d", "standard", 4.0, C2D),
    ratio("c3", "highcpu", 2.0, C3),
    ratio("c3", "highmem", 8.0, C3),
    ratio("c3", "standard", 4.0, C3),
    ratio("c3d", "highmem", 8.0, C3D),
    ratio("c3d", "standard", 4.0, C3D),
    ratio("c4", "highcpu", 2.0, &[2, 4, 8, 16, 24, 32, 48, 96, 144, 192]),
    ratio("c4", "highmem", 7.75, C4),
    ratio("c4", "standard", 3.75, C4),
    ratio("c4a", "highcpu", 2.0, C4A),
    ratio("c4a", "highmem", 8.0, C4A),
    ratio("c4a", "standard", 4.0, C4A),
    ratio("e2", "highcpu", 1.0, &[2, 4, 8, 16, 32]),
    ratio("e2", "highmem", 8.0, &[2, 4, 8, 16]),
    ratio("e2", "standard", 4.0, &[2, 4, 8, 16, 32]),
    ratio("n1", "highcpu", 0.9, N1),
    ratio("n1", "highmem", 6.5, N1),
    ratio("n1", "standard", 3.75, &[1, 2, 4, 8, 16, 32, 64, 96]),
    ratio("n2", "highcpu", 1.0, N2),
    ratio("n2", "highmem", 8.0, N2),
    ratio("n2", "standard", 4.0, &[2, 4, 8, 16, 32, 48, 64, 80, 96, 128]),
    ratio("n2d", "highcpu", 1.0, &[2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224]),
    ratio("n2d", "highmem", 8.0, N2),
    ratio("n2d", "standard", 4.0, &[2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 224]),
    ratio("n4", "highcpu", 2.0, N4),
    ratio("n4", "highmem", 8.0, N4),
    ratio("n4", "standard", 4.0, N4),
    ratio("t2a", "standard", 4.0, &[1, 2, 4, 8, 16, 32, 48]),
    ratio("t2d", "standard", 4.0, &[1, 2, 4, 8, 16, 32, 48, 60]),
];

/// A shape that no ratio gives: name, processors, memory in MB, built-in GPUs.
struct Single(&'static str, u32, u32, Option<(&'static str, u32)>);

const A100: &str = "nvidia-tesla-a100";
const A100_80: &str = "nvidia-a100-80gb";
const H100: &str = "nvidia-h100-80gb";
const L4: &str = "nvidia-l4";

const SINGLES: &[Single] = &[
    Single("a2-highgpu-1g", 12, 87_040, Some((A100, 1))),
    Single("a2-highgpu-2g", 24, 174_080, Some((A100, 2))),
    Single("a2-highgpu-4g", 48, 348_160, Some((A100, 4))),
    Single("a2-highgpu-8g", 96, 696_320, Some((A100, 8))),
    Single("a2-megagpu-16g", 96, 1_392_640, Some((A100, 16))),
    Single("a2-ultragpu-1g", 12, 174_080, Some((A100_80, 1))),
    Single("a2-ultragpu-2g", 24, 348_160, Some((A100_80, 2))),
    Single("a2-ultragpu-4g", 48, 696_320, Some((A100_80, 4))),
    Single("a2-ultragpu-8g", 96, 1_392_640, Some((A100_80, 8))),
    Single("a3-highgpu-1g", 26, 239_616, Some((H100, 1))),
    Single("a3-highgpu-2g", 52, 479_232, Some((H100, 2))),
    Single("a3-highgpu-4g", 104, 958_464, Some((H100, 4))),
    Single("a3-highgpu-8g", 208, 1_916_928, Some((H100, 8))),
    Single("e2-medium", 2, 4096, None),
    Single("e2-micro", 2, 1024, None),
    Single("e2-small", 2, 2048, None),
    Single("f1-micro", 1, 614, None),
    Single("g1-small", 1, 1740, None),
    Single("g2-standard-12", 12, 49_152, Some((L4, 1))),
    Single("g2-standard-16", 16, 65_536, Some((L4, 1))),
    Single("g2-standard-24", 24, 98_304, Some((L4, 2))),
    Single("g2-standard-32", 32, 131_072, Some((L4, 1))),
    Single("g2-standard-4", 4, 16_384, Some((L4, 1))),
    Single("g2-standard-48", 48, 196_608, Some((L4, 4))),
    Single("g2-standard-8", 8, 32_768, Some((L4, 1))),
    Single("g2-standard-96", 96, 393_216, Some((L4, 8))),
    Single("n2-highmem-128", 128, 884_736, None),
];

/// The shapes whose processors are shared.
const SHARED: &[&str] = &["e2-medium", "e2-micro", "e2-small", "f1-micro", "g1-small"];

/// The zones that have the A100 with 80 GB or the H100: shapes with a GPU are only where that GPU is.
fn has_gpus(zone: &str, gpus: Option<(&str, u32)>) -> bool {
    gpus.is_none_or(|(gpu, _)| super::accelerator_type(zone, gpu).is_some())
}

fn build(zone: &str, name: String, guest_cpus: u32, memory_mb: u32, gpus: Option<(&str, u32)>) -> Option<MachineType> {
    let series = series_of(&name)?;
    if !has_zone(zone) || !series.zones.contains(&zone) || !has_gpus(zone, gpus) {
        return None;
    }
    let shared_cpu = SHARED.contains(&name.as_str());
    Some(MachineType {
        zone: zone.to_owned(),
        guest_cpus,
        memory_mb,
        architecture: series.architecture,
        accelerators: gpus.map(|(gpu, count)| (gpu.to_owned(), count)).into_iter().collect(),
        maximum_persistent_disks: disks_max(series.name, guest_cpus, shared_cpu),
        shared_cpu,
        name,
    })
}

fn disks_max(series: &str, guest_cpus: u32, shared_cpu: bool) -> u32 {
    if shared_cpu {
        return 16;
    }
    match (series, guest_cpus) {
        ("c4" | "c4a", ..=2) => 8,
        ("n4" | "c4" | "c4a", ..=8) => 16,
        ("n4", _) | ("c4" | "c4a", ..=48) => 32,
        ("c4" | "c4a", ..=96) => 64,
        _ => 128,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most a few million, never negative")]
fn memory_mb(ratio: &Ratio, cpus: u32) -> u32 {
    let mb = ratio.mb_per_cpu * f64::from(cpus);
    // C4's standard and highmem shapes have whole GB.
    if ratio.series == "c4" { (mb / 1024.0).floor() as u32 * 1024 } else { mb.round() as u32 }
}

/// Every predefined machine type of a zone, by name.
pub fn machine_types(zone: &str) -> Vec<MachineType> {
    let from_ratios = RATIOS.iter().flat_map(|ratio| {
        ratio.cpus.iter().filter_map(|cpus| {
            build(zone, format!("{}-{}-{cpus}", ratio.series, ratio.kind), *cpus, memory_mb(ratio, *cpus), None)
        })
    });
    let singles =
        SINGLES.iter().filter_map(|Single(name, cpus, mb, gpus)| build(zone, (*name).to_owned(), *cpus, *mb, *gpus));
    let mut all: Vec<MachineType> = from_ratios.chain(singles).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

fn predefined(zone: &str, name: &str) -> Option<MachineType> {
    if let Some(Single(_, cpus, mb, gpus)) = SINGLES.iter().find(|single| single.0 == name) {
        return build(zone, name.to_owned(), *cpus, *mb, *gpus);
    }
    let (prefix, cpus) = name.rsplit_once('-')?;
    let (series, kind) = prefix.split_once('-')?;
    let ratio = RATIOS.iter().find(|ratio| ratio.series == series && ratio.kind == kind)?;
    let cpus = ratio.cpus.iter().copied().find(|count| count.to_string() == cpus)?;
    build(zone, name.to_owned(), cpus, memory_mb(ratio, cpus), None)
}

/// What a series allows in a custom shape: processors at most, MB a processor at least and at most without `-ext`,
/// MB in all.
struct Custom(&'static str, u32, u32, u32, u32);

const CUSTOMS: &[Custom] = &[
    Custom("e2", 32, 512, 8192, 131_072),
    Custom("n1", 96, 922, 6656, 638_976),
    Custom("n2", 128, 512, 8192, 884_736),
    Custom("n2d", 96, 512, 8192, 786_432),
    Custom("n4", 80, 2048, 8192, 655_360),
];

/// A custom shape: `custom-4-8192` (N1), `n2-custom-4-8192`, with `-ext` for more memory than the series' ratio.
fn custom(zone: &str, name: &str) -> Option<MachineType> {
    let (series, shape) = match name.strip_prefix("custom-") {
        Some(shape) => ("n1", shape),
        None => name.split_once("-custom-")?,
    };
    let (shape, extended) = shape.strip_suffix("-ext").map_or((shape, false), |shape| (shape, true));
    let (cpus, mb) = shape.split_once('-')?;
    let (cpus, mb): (u32, u32) = (cpus.parse().ok()?, mb.parse().ok()?);
    let Custom(_, cpus_max, mb_per_cpu_min, mb_per_cpu_max, mb_max) = CUSTOMS.iter().find(|row| row.0 == series)?;
    let odd = cpus % 2 == 1 && !(cpus == 1 && series == "n1");
    let too_much = (mb > mb_per_cpu_max * cpus && !extended) || mb > *mb_max || (extended && series == "e2");
    if cpus == 0 || odd || cpus > *cpus_max || !mb.is_multiple_of(256) || mb < mb_per_cpu_min * cpus || too_much {
        return None;
    }
    let same = |ratio: &&Ratio| ratio.series == series && ratio.cpus.contains(&cpus) && memory_mb(ratio, cpus) == mb;
    if let Some(ratio) = RATIOS.iter().find(same) {
        return predefined(zone, &format!("{series}-{}-{cpus}", ratio.kind));
    }
    let prefix = if series == "n1" { String::new() } else { format!("{series}-") };
    let suffix = if extended { "-ext" } else { "" };
    build(zone, format!("{prefix}custom-{cpus}-{mb}{suffix}"), cpus, mb, None)
}

/// A machine type, predefined or custom, where the zone has it; its name is the canonical one.
pub fn machine_type(zone: &str, name: &str) -> Option<MachineType> {
    predefined(zone, name).or_else(|| custom(zone, name))
}
