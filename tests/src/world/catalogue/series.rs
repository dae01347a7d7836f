//! Machine series: what each takes and where it is.

/// How a series has GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gpus {
    /// It takes none.
    None,
    /// They are attached by the person (N1, its shared-core shapes apart).
    Attachable,
    /// Its shapes come with theirs.
    BuiltIn,
}

/// One machine series.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// For example `n1`. The shared-core shapes `f1-micro` and `g1-small` belong to `n1`.
    pub name: &'static str,
    /// `X86_64` or `ARM64`.
    pub architecture: &'static str,
    /// How it has GPUs.
    pub gpus: Gpus,
    /// Disk types that its machines can attach.
    pub disk_types: &'static [&'static str],
    /// The disk type that the API takes when none is asked for.
    pub default_disk_type: &'static str,
    /// The metric that its processors count against, where a region's quotas list one.
    pub cpu_metric: Option<&'static str>,
    /// Series with the same group change into each other in place; with `None`, only within the series.
    pub in_place_group: Option<&'static str>,
    /// Whether its machines can live-migrate (without an attached GPU).
    pub live_migration: bool,
    /// Whether its machines can be suspended.
    pub suspend: bool,
    /// The zones that have it.
    pub zones: &'static [&'static str],
}

impl Series {
    /// Whether a stopped machine of this series may become one of `other` without being made anew.
    pub fn changes_in_place_to(&self, other: &Series) -> bool {
        self.name == other.name || (self.in_place_group.is_some() && self.in_place_group == other.in_place_group)
    }

    /// Whether its machines can attach a disk of this type.
    pub fn takes_disk(&self, disk_type: &str) -> bool {
        self.disk_types.contains(&disk_type)
    }
}

const PD4: &[&str] = &["pd-standard", "pd-balanced", "pd-ssd", "pd-extreme"];
const EARLY: Option<&str> = Some("first and second generation");

use super::places::ZONES;

const T2A_ZONES: &[&str] =
    &["europe-west4-a", "europe-west4-b", "europe-west4-c", "us-central1-a", "us-central1-b", "us-central1-f"];
const G2_ZONES: &[&str] = &[
    "europe-west4-a",
    "europe-west4-b",
    "europe-west4-c",
    "us-central1-a",
    "us-central1-b",
    "us-central1-c",
    "us-east1-b",
    "us-east1-c",
    "us-east1-d",
];
const A2_ZONES: &[&str] = &[
    "europe-west4-a",
    "europe-west4-b",
    "us-central1-a",
    "us-central1-b",
    "us-central1-c",
    "us-central1-f",
    "us-east1-b",
];
const A3_ZONES: &[&str] = &["europe-west4-b", "europe-west4-c", "us-central1-a", "us-central1-c"];
const C4_ZONES: &[&str] = &[
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
const C4A_ZONES: &[&str] = &[
    "europe-west4-a",
    "europe-west4-b",
    "europe-west4-c",
    "us-central1-a",
    "us-central1-b",
    "us-central1-c",
    "us-east1-b",
    "us-east1-c",
    "us-east1-d",
];

/// A series of the first two generations on x86 that takes no GPU; the others are written as what differs from it.
const PLAIN: Series = Series {
    name: "",
    architecture: "X86_64",
    gpus: Gpus::None,
    disk_types: PD4,
    default_disk_type: "pd-standard",
    cpu_metric: Some("CPUS"),
    in_place_group: EARLY,
    live_migration: true,
    suspend: true,
    zones: ZONES,
};

/// A series with Hyperdisk only, whose processors no metric of a region counts.
const NEWER: Series = Series {
    disk_types: &[
        "hyperdisk-balanced",
        "hyperdisk-balanced-high-availability",
        "hyperdisk-extreme",
        "hyperdisk-throughput",
    ],
    default_disk_type: "hyperdisk-balanced",
    cpu_metric: None,
    in_place_group: None,
    zones: C4_ZONES,
    ..PLAIN
};

const C3_DISKS: &[&str] = &[
    "pd-balanced",
    "pd-ssd",
    "hyperdisk-balanced",
    "hyperdisk-balanced-high-availability",
    "hyperdisk-extreme",
    "hyperdisk-throughput",
    "hyperdisk-ml",
];

/// Every series, in alphabetical order.
pub const SERIES: &[Series] = &[
    Series {
        name: "a2",
        gpus: Gpus::BuiltIn,
        disk_types: &["pd-standard", "pd-balanced", "pd-ssd", "pd-extreme", "hyperdisk-ml"],
        cpu_metric: Some("A2_CPUS"),
        in_place_group: None,
        live_migration: false,
        suspend: false,
        zones: A2_ZONES,
        ..PLAIN
    },
    Series {
        name: "a3",
        gpus: Gpus::BuiltIn,
        disk_types: C3_DISKS,
        live_migration: false,
        suspend: false,
        zones: A3_ZONES,
        ..NEWER
    },
    Series { name: "c2", cpu_metric: Some("C2_CPUS"), ..PLAIN },
    Series { name: "c2d", cpu_metric: Some("C2D_CPUS"), ..PLAIN },
    Series {
        name: "c3",
        disk_types: C3_DISKS,
        default_disk_type: "pd-balanced",
        cpu_metric: Some("C3_CPUS"),
        in_place_group: None,
        ..PLAIN
    },
    Series { name: "c3d", disk_types: C3_DISKS, default_disk_type: "pd-balanced", ..NEWER },
    Series { name: "c4", ..NEWER },
    Series {
        name: "c4a",
        architecture: "ARM64",
        disk_types: &[
            "hyperdisk-balanced",
            "hyperdisk-balanced-high-availability",
            "hyperdisk-extreme",
            "hyperdisk-throughput",
            "hyperdisk-ml",
        ],
        zones: C4A_ZONES,
        ..NEWER
    },
    Series { name: "e2", ..PLAIN },
    Series {
        name: "g2",
        gpus: Gpus::BuiltIn,
        disk_types: &["pd-standard", "pd-balanced", "pd-ssd", "hyperdisk-throughput", "hyperdisk-ml"],
        default_disk_type: "pd-balanced",
        cpu_metric: Some("CPUS"),
        in_place_group: None,
        live_migration: false,
        suspend: false,
        zones: G2_ZONES,
        ..PLAIN
    },
    Series { name: "n1", gpus: Gpus::Attachable, ..PLAIN },
    Series {
        name: "n2",
        disk_types: &[
            "pd-standard",
            "pd-balanced",
            "pd-ssd",
            "pd-extreme",
            "hyperdisk-extreme",
            "hyperdisk-throughput",
        ],
        cpu_metric: Some("N2_CPUS"),
        ..PLAIN
    },
    Series {
        name: "n2d",
        disk_types: &["pd-standard", "pd-balanced", "pd-ssd", "pd-extreme", "hyperdisk-throughput"],
        cpu_metric: Some("N2D_CPUS"),
        ..PLAIN
    },
    Series {
        name: "n4",
        disk_types: &["hyperdisk-balanced", "hyperdisk-balanced-high-availability", "hyperdisk-throughput"],
        ..NEWER
    },
    Series {
        name: "t2a",
        architecture: "ARM64",
        cpu_metric: Some("T2A_CPUS"),
        in_place_group: None,
        live_migration: false,
        suspend: false,
        zones: T2A_ZONES,
        ..PLAIN
    },
    Series {
        name: "t2d",
        disk_types: &["pd-standard", "pd-balanced", "pd-ssd", "hyperdisk-throughput"],
        cpu_metric: Some("T2D_CPUS"),
        ..PLAIN
    },
];

/// The series of a machine type's name, custom ones included; none for a series that is not here.
pub fn series_of(machine_type: &str) -> Option<&'static Series> {
    let prefix = machine_type.split('-').next()?;
    let name = match prefix {
        "custom" | "f1" | "g1" => "n1",
        other => other,
    };
    SERIES.iter().find(|series| series.name == name)
}
