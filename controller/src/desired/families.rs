//! What machine families can attach, by a table: the one thing about machine types that the catalogue does not say.
//!
//! Sources: <https://cloud.google.com/compute/docs/disks/persistent-disks#machine_series_support>,
//! <https://cloud.google.com/compute/docs/disks/hyperdisks#machine-type-support>,
//! <https://cloud.google.com/compute/docs/gpus> and <https://cloud.google.com/compute/docs/disks/local-ssd>. Where they
//! disagree (C4A, N4), Hyperdisk is taken. A family that is not in the table is newer than it: what is not known is
//! tried, never refused.

use std::collections::BTreeSet;

/// How a family comes by GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gpus {
    /// Not at all.
    No,
    /// They are attached.
    Attached,
    /// They come with the machine type.
    BuiltIn,
}

/// One machine family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// The first part of its machine types' names, and the value of a node's machine-family label.
    pub(super) name: &'static str,
    /// Types of Persistent Disk that it attaches.
    persistent: &'static [&'static str],
    /// Types of Hyperdisk that it attaches.
    hyperdisk: &'static [&'static str],
    /// How it comes by GPUs.
    pub(super) gpus: Gpus,
    /// How many local SSDs can be asked for, beside those that a machine type brings; `None` where that is not known.
    pub(super) local_ssds_max: Option<u32>,
    /// The metric of a region's quotas that its processors count against, where there is one.
    pub(super) cpu_metric: Option<&'static str>,
    /// Why none of its machines can be suspended, where that is so
    /// (<https://cloud.google.com/compute/docs/instances/suspend-resume-instance#limitations>).
    pub(super) cannot_suspend: Option<&'static str>,
}

impl Family {
    fn takes(&self, disk_type: &str) -> bool {
        self.persistent.contains(&disk_type) || self.hyperdisk.contains(&disk_type)
    }
}

const PD4: &[&str] = &["pd-balanced", "pd-ssd", "pd-standard", "pd-extreme"];
const PD3: &[&str] = &["pd-balanced", "pd-ssd", "pd-standard"];
const PD2: &[&str] = &["pd-balanced", "pd-ssd"];
const PD1: &[&str] = &["pd-balanced"];
const NONE: &[&str] = &[];

const B: &str = "hyperdisk-balanced";
const HA: &str = "hyperdisk-balanced-high-availability";
const X: &str = "hyperdisk-extreme";
const T: &str = "hyperdisk-throughput";
const ML: &str = "hyperdisk-ml";

/// A general-purpose family of the first generations: Persistent Disk only, nothing attached.
const PLAIN: Family = Family {
    name: "",
    persistent: PD4,
    hyperdisk: NONE,
    gpus: Gpus::No,
    local_ssds_max: Some(0),
    cpu_metric: Some("CPUS"),
    cannot_suspend: None,
};
/// A family of the fourth generation: Hyperdisk only, local SSDs only with machine types that bring them.
const FOURTH: Family = Family { persistent: NONE, hyperdisk: &[B, HA, X, T], cpu_metric: None, ..PLAIN };
/// A family with GPUs of its own.
const ACCELERATED: Family = Family {
    gpus: Gpus::BuiltIn,
    cpu_metric: None,
    cannot_suspend: Some("a machine type that brings GPUs cannot be suspended"),
    ..PLAIN
};

/// Every family that is known, in the order in which people think of them.
const FAMILIES: &[Family] = &[
    Family { name: "e2", ..PLAIN },
    Family { name: "n1", gpus: Gpus::Attached, local_ssds_max: Some(24), ..PLAIN },
    // The shared-core machine types of the first generation: they take no GPU.
    Family { name: "f1", ..PLAIN },
    Family { name: "g1", ..PLAIN },
    Family { name: "n2", hyperdisk: &[X, T], local_ssds_max: Some(24), cpu_metric: Some("N2_CPUS"), ..PLAIN },
    Family { name: "n2d", hyperdisk: &[T], local_ssds_max: Some(24), cpu_metric: Some("N2D_CPUS"), ..PLAIN },
    Family { name: "c2", local_ssds_max: Some(8), cpu_metric: Some("C2_CPUS"), ..PLAIN },
    Family { name: "c2d", local_ssds_max: Some(8), cpu_metric: Some("C2D_CPUS"), ..PLAIN },
    Family { name: "t2d", persistent: PD3, hyperdisk: &[T], cpu_metric: Some("T2D_CPUS"), ..PLAIN },
    Family { name: "t2a", cpu_metric: Some("T2A_CPUS"), ..PLAIN },
    Family { name: "c3", persistent: PD2, hyperdisk: &[B, HA, X, T, ML], cpu_metric: Some("C3_CPUS"), ..PLAIN },
    Family { name: "c3d", persistent: PD2, hyperdisk: &[B, HA, X, T, ML], cpu_metric: None, ..PLAIN },
    Family { name: "c4", ..FOURTH },
    Family { name: "c4d", hyperdisk: &[B, HA, X], ..FOURTH },
    Family { name: "c4a", hyperdisk: &[B, HA, X, T, ML], ..FOURTH },
    Family { name: "n4", hyperdisk: &[B, HA, T], ..FOURTH },
    Family { name: "n4d", hyperdisk: &[B, HA, T], local_ssds_max: None, ..FOURTH },
    Family { name: "n4a", hyperdisk: &[B, HA, T, ML], local_ssds_max: None, ..FOURTH },
    Family { name: "m1", hyperdisk: &[B, X], local_ssds_max: Some(8), cpu_metric: Some("M1_CPUS"), ..PLAIN },
    Family { name: "m2", hyperdisk: &[B, X], cpu_metric: Some("M2_CPUS"), ..PLAIN },
    Family { name: "m3", hyperdisk: &[B, HA, X, T], local_ssds_max: Some(8), cpu_metric: Some("M3_CPUS"), ..PLAIN },
    Family { name: "m4", hyperdisk: &[X, B], ..FOURTH },
    Family { name: "h3", persistent: PD1, hyperdisk: &[B, T], cpu_metric: None, ..PLAIN },
    Family { name: "z3", cannot_suspend: Some("a machine type that brings local SSDs is not suspended"), ..FOURTH },
    Family { name: "a2", hyperdisk: &[ML], local_ssds_max: Some(8), cpu_metric: Some("A2_CPUS"), ..ACCELERATED },
    Family { name: "a3", persistent: PD2, hyperdisk: &[B, HA, X, T, ML], ..ACCELERATED },
    Family { name: "a4", persistent: NONE, hyperdisk: &[B, X, ML], local_ssds_max: None, ..ACCELERATED },
    Family { name: "a4x", persistent: NONE, hyperdisk: &[B, X, ML], local_ssds_max: None, ..ACCELERATED },
    Family { name: "g2", persistent: PD3, hyperdisk: &[T, ML], local_ssds_max: Some(8), ..ACCELERATED },
    Family { name: "g4", persistent: NONE, hyperdisk: &[B, HA, X, T, ML], local_ssds_max: None, ..ACCELERATED },
];

/// The name of the family that a machine type is of: `n1` of `n1-standard-4` and of `custom-4-8192`.
pub(super) fn name_of(machine_type: &str) -> &str {
    match machine_type.split('-').next().unwrap_or(machine_type) {
        "custom" => "n1",
        name => name,
    }
}

/// The family that a machine type is of, where the table has it.
pub(super) fn of(machine_type: &str) -> Option<&'static Family> {
    let name = name_of(machine_type);
    FAMILIES.iter().find(|family| family.name == name)
}

/// Whether a machine type can attach a disk type, as far as is known: what is not known is tried.
pub(super) fn attaches(machine_type: &str, disk_type: &str) -> bool {
    of(machine_type).is_none_or(|family| family.takes(disk_type))
}

/// The disk types that a machine type takes, in words.
pub(super) fn disk_types(machine_type: &str) -> String {
    match of(machine_type) {
        Some(family) => {
            let types: Vec<&str> = family.persistent.iter().chain(family.hyperdisk).copied().collect();
            types.join(", ")
        }
        None => "types that are not known here".to_owned(),
    }
}

/// The best disk type that all of these machine types can attach, for a home or for a boot disk.
///
/// Only the two types that need nothing else to be said of them are chosen by themselves: `hyperdisk-extreme` and
/// `hyperdisk-throughput` have least sizes and least machines of their own, so a person must ask for them. A family that
/// is newer than the table takes Hyperdisk, as all of the last generations do.
pub(super) fn best_disk_type(machine_types: &[&str]) -> Option<&'static str> {
    let newer = machine_types.iter().any(|machine_type| of(machine_type).is_none());
    let order = if newer { ["hyperdisk-balanced", "pd-balanced"] } else { ["pd-balanced", "hyperdisk-balanced"] };
    order.into_iter().find(|disk_type| machine_types.iter().all(|machine_type| attaches(machine_type, disk_type)))
}

/// The names of the families that can attach a disk type: those of the table, and those of `listed` machine types that
/// are newer than it.
pub(super) fn that_attach<'a>(disk_type: &str, listed: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let known = FAMILIES.iter().filter(|family| family.takes(disk_type)).map(|family| family.name);
    let newer: BTreeSet<&str> =
        listed.into_iter().filter(|machine_type| of(machine_type).is_none()).map(name_of).collect();
    known.chain(newer).map(str::to_owned).collect()
}

/// The name under which Compute Engine answers for a machine type: some custom N1 shapes are predefined ones.
///
/// Of other families' custom shapes the catalogue's answer says the name; N1's are told apart here because their prefix
/// differs too, so that `custom-32-212992`, `n1-custom-32-212992` and `n1-highmem-32` are one wish.
pub(super) fn canonical(machine_type: &str) -> String {
    let custom = machine_type.strip_prefix("n1-").filter(|rest| rest.starts_with("custom-")).unwrap_or(machine_type);
    predefined(custom).unwrap_or_else(|| custom.to_owned())
}

fn predefined(custom: &str) -> Option<String> {
    const CPUS: [u32; 8] = [1, 2, 4, 8, 16, 32, 64, 96];
    // MB for each processor. The third kind, highcpu, has no whole multiple of 256 MB at any of these sizes.
    const KINDS: [(&str, u32); 2] = [("standard", 3840), ("highmem", 6656)];
    let (cpus, memory_mb) = custom.strip_prefix("custom-")?.split_once('-')?;
    let (cpus, memory_mb): (u32, u32) = (cpus.parse().ok()?, memory_mb.parse().ok()?);
    let (kind, _) = KINDS.iter().find(|(_, ratio)| cpus.checked_mul(*ratio) == Some(memory_mb))?;
    // There is no n1-highmem-1.
    let exists = CPUS.contains(&cpus) && (cpus > 1 || *kind == "standard");
    exists.then(|| format!("n1-{kind}-{cpus}"))
}

/// Machine types with a name like this one that a zone may rather have: the sizes next to it.
pub(super) fn like(machine_type: &str) -> Vec<String> {
    const SIZES: [u32; 18] = [1, 2, 4, 8, 12, 16, 22, 24, 30, 32, 44, 48, 60, 64, 80, 88, 96, 128];
    let Some((kind, Ok(size))) = machine_type.rsplit_once('-').map(|(kind, size)| (kind, size.parse::<u32>())) else {
        return Vec::new();
    };
    if kind.is_empty() || name_of(machine_type) == kind || kind.contains("custom") {
        return Vec::new();
    }
    let mut sizes: Vec<u32> = SIZES.into_iter().filter(|other| *other != size).collect();
    sizes.sort_by_key(|other| (other.abs_diff(size), *other));
    sizes.truncate(LIKE_MAX);
    sizes.iter().map(|other| format!("{kind}-{other}")).collect()
}

/// How many names are tried before a machine type is called unknown.
const LIKE_MAX: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_attach_what_the_table_says() {
        for (machine_type, disk_type, fits) in [
            ("n1-standard-4", "pd-standard", true),
            ("custom-4-8192", "pd-standard", true),
            ("n1-standard-4", "hyperdisk-balanced", false),
            ("c4-standard-2", "pd-balanced", false),
            ("c4-standard-2", "hyperdisk-balanced", true),
            ("n4-standard-2", "hyperdisk-extreme", false),
            ("c3-standard-4", "pd-standard", false),
            ("g2-standard-4", "pd-extreme", false),
            ("a4x-highgpu-4g", "hyperdisk-ml", true),
            ("z9-standard-4", "pd-anything", true),
        ] {
            assert_eq!(attaches(machine_type, disk_type), fits, "{machine_type} {disk_type}");
        }
    }

    #[test]
    fn the_best_type_is_one_that_all_can_attach() {
        for (machine_types, best) in [
            (&["n1-standard-4"][..], Some("pd-balanced")),
            (&["c4-standard-4"], Some("hyperdisk-balanced")),
            (&["c3-standard-4", "c4-standard-4"], Some("hyperdisk-balanced")),
            (&["n1-standard-4", "g2-standard-8"], Some("pd-balanced")),
            (&["n1-standard-4", "c4-standard-4"], None),
            // They share hyperdisk-throughput, which nobody should get without asking.
            (&["n2-standard-4", "n4-standard-4"], None),
            (&["z9-standard-4"], Some("hyperdisk-balanced")),
            (&["z9-standard-4", "n1-standard-4"], Some("pd-balanced")),
            (&[], Some("pd-balanced")),
        ] {
            assert_eq!(best_disk_type(machine_types), best, "{machine_types:?}");
        }
    }

    #[test]
    fn every_family_attaches_something_and_is_there_once() {
        let names: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        for family in FAMILIES {
            let machine_type = format!("{}-x", family.name);
            assert!(best_disk_type(&[machine_type.as_str()]).is_some(), "{}", family.name);
        }
    }

    #[test]
    fn newer_families_reach_what_they_are_listed_for() {
        let reach = that_attach("hyperdisk-balanced", ["z9-standard-4", "n1-standard-4"]);
        assert!(reach.contains(&"c4".to_owned()) && reach.contains(&"z9".to_owned()));
        assert!(!reach.contains(&"n1".to_owned()));
        assert!(that_attach("hyperdisk-none", ["n1-standard-4"]).is_empty());
    }

    #[test]
    fn one_machine_has_one_name() {
        for (written, canonical_name) in [
            ("custom-32-212992", "n1-highmem-32"),
            ("n1-custom-32-212992", "n1-highmem-32"),
            ("custom-4-15360", "n1-standard-4"),
            ("custom-1-6656", "custom-1-6656"),
            ("custom-4-8192", "custom-4-8192"),
            ("n1-custom-4-8192", "custom-4-8192"),
            ("custom-2-65536-ext", "custom-2-65536-ext"),
            ("custom-6-23040", "custom-6-23040"),
            ("n2-custom-4-8192", "n2-custom-4-8192"),
            ("n1-standard-4", "n1-standard-4"),
            ("custom-4294967295-3840", "custom-4294967295-3840"),
        ] {
            assert_eq!(canonical(written), canonical_name, "{written}");
        }
    }

    #[test]
    fn the_sizes_next_to_a_name_come_first() {
        assert_eq!(like("n1-standard-5")[..3], ["n1-standard-4", "n1-standard-2", "n1-standard-8"]);
        assert_eq!(like("custom-5-1024"), Vec::<String>::new());
        assert_eq!(like("e2-medium"), Vec::<String>::new());
        assert_eq!(like("f1-4"), Vec::<String>::new());
    }
}
