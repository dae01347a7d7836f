//! Accelerators: where they are, how many a machine takes.

use super::series::{Gpus, series_of};
use super::shapes::MachineType;
use super::{ALWAYS, Links, stable_id};
use serde_json::{Value, json};
use thiserror::Error;

/// An accelerator type in a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceleratorType {
    /// For example `nvidia-tesla-t4`.
    pub name: &'static str,
    /// The zone that was asked for.
    pub zone: String,
    /// As shown to people.
    pub description: &'static str,
    /// At most so many on one machine.
    pub maximum_cards: u32,
    /// The quota that it counts against, where a region's quotas list one.
    pub metric: Option<&'static str>,
}

impl AcceleratorType {
    /// As `acceleratorTypes.get` answers it.
    pub fn to_json(&self, links: Links<'_>) -> Value {
        json!({
            "kind": "compute#acceleratorType",
            "id": stable_id(self.name).to_string(),
            "creationTimestamp": ALWAYS,
            "name": self.name,
            "description": self.description,
            "zone": links.in_project(&format!("zones/{}", self.zone)),
            "selfLink": links.in_project(&format!("zones/{}/acceleratorTypes/{}", self.zone, self.name)),
            "maximumCardsPerInstance": self.maximum_cards,
        })
    }
}

/// Why a machine cannot have these GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GpuRefusal {
    /// The zone has no such accelerator.
    #[error("accelerator type {gpu} does not exist in zone {zone}")]
    NotInZone {
        /// What was asked for.
        gpu: String,
        /// Where.
        zone: String,
    },
    /// The machine type takes no GPU, or other ones only.
    #[error("machine type {machine_type} does not take accelerator type {gpu}")]
    NotForMachine {
        /// What was asked for.
        gpu: String,
        /// For which machine type.
        machine_type: String,
    },
    /// The count is none that this accelerator is offered in.
    #[error("accelerator type {gpu} cannot be attached {count} times; allowed are {allowed:?}")]
    BadCount {
        /// What was asked for.
        gpu: String,
        /// How many were asked for.
        count: u32,
        /// The counts that are offered.
        allowed: Vec<u32>,
    },
    /// The machine has more processors than this many cards may serve.
    #[error("with {count} {gpu} a machine has at most {guest_cpus_max} vCPUs")]
    TooManyProcessors {
        /// What was asked for.
        gpu: String,
        /// How many were asked for.
        count: u32,
        /// The bound.
        guest_cpus_max: u32,
    },
}

struct Row {
    name: &'static str,
    description: &'static str,
    maximum_cards: u32,
    metric: Option<&'static str>,
    /// For N1: (cards, processors at most). Empty for those that only come built in.
    attachable: &'static [(u32, u32)],
    zones: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        name: "nvidia-a100-80gb",
        description: "NVIDIA A100 80GB",
        maximum_cards: 8,
        metric: Some("NVIDIA_A100_80GB_GPUS"),
        attachable: &[],
        zones: &["europe-west4-a", "us-central1-a", "us-central1-c"],
    },
    Row {
        name: "nvidia-h100-80gb",
        description: "NVIDIA H100 80GB",
        maximum_cards: 8,
        metric: None,
        attachable: &[],
        zones: &["europe-west4-b", "europe-west4-c", "us-central1-a", "us-central1-c"],
    },
    Row {
        name: "nvidia-l4",
        description: "NVIDIA L4",
        maximum_cards: 8,
        metric: Some("NVIDIA_L4_GPUS"),
        attachable: &[],
        zones: &[
            "europe-west4-a",
            "europe-west4-b",
            "europe-west4-c",
            "us-central1-a",
            "us-central1-b",
            "us-central1-c",
            "us-east1-b",
            "us-east1-c",
            "us-east1-d",
        ],
    },
    Row {
        name: "nvidia-tesla-a100",
        description: "NVIDIA A100 40GB",
        maximum_cards: 16,
        metric: Some("NVIDIA_A100_GPUS"),
        attachable: &[],
        zones: &[
            "europe-west4-a",
            "europe-west4-b",
            "us-central1-a",
            "us-central1-b",
            "us-central1-c",
            "us-central1-f",
            "us-east1-b",
        ],
    },
    Row {
        name: "nvidia-tesla-p100",
        description: "NVIDIA Tesla P100",
        maximum_cards: 4,
        metric: Some("NVIDIA_P100_GPUS"),
        attachable: &[(1, 16), (2, 32), (4, 96)],
        zones: &["europe-west4-a", "us-central1-c", "us-central1-f", "us-east1-b", "us-east1-c"],
    },
    Row {
        name: "nvidia-tesla-p4",
        description: "NVIDIA Tesla P4",
        maximum_cards: 4,
        metric: Some("NVIDIA_P4_GPUS"),
        attachable: &[(1, 24), (2, 48), (4, 96)],
        zones: &["europe-west4-b", "europe-west4-c", "us-central1-a", "us-central1-c"],
    },
    Row {
        name: "nvidia-tesla-t4",
        description: "NVIDIA T4",
        maximum_cards: 4,
        metric: Some("NVIDIA_T4_GPUS"),
        attachable: &[(1, 48), (2, 48), (4, 96)],
        zones: &[
            "europe-west4-a",
            "europe-west4-b",
            "europe-west4-c",
            "us-central1-a",
            "us-central1-b",
            "us-central1-c",
            "us-central1-f",
            "us-east1-c",
            "us-east1-d",
        ],
    },
    Row {
        name: "nvidia-tesla-v100",
        description: "NVIDIA V100",
        maximum_cards: 8,
        metric: Some("NVIDIA_V100_GPUS"),
        attachable: &[(1, 12), (2, 24), (4, 48), (8, 96)],
        zones: &[
            "europe-west4-a",
            "europe-west4-b",
            "europe-west4-c",
            "us-central1-a",
            "us-central1-b",
            "us-central1-c",
            "us-central1-f",
            "us-east1-c",
        ],
    },
];

fn offered(row: &Row, zone: &str) -> Option<AcceleratorType> {
    row.zones.contains(&zone).then(|| AcceleratorType {
        name: row.name,
        zone: zone.to_owned(),
        description: row.description,
        maximum_cards: row.maximum_cards,
        metric: row.metric,
    })
}

/// An accelerator type, where the zone has it.
pub fn accelerator_type(zone: &str, name: &str) -> Option<AcceleratorType> {
    ROWS.iter().find(|row| row.name == name).and_then(|row| offered(row, zone))
}

/// Every accelerator type of a zone, by name.
pub fn accelerator_types(zone: &str) -> Vec<AcceleratorType> {
    ROWS.iter().filter_map(|row| offered(row, zone)).collect()
}

/// The quota that a GPU counts against.
pub fn gpu_metric(name: &str) -> Option<&'static str> {
    ROWS.iter().find(|row| row.name == name).and_then(|row| row.metric)
}

/// Whether a machine may have `count` attached GPUs of a type (those that come built in are not attached).
pub fn check_gpus(machine: &MachineType, gpu: &str, count: u32) -> Result<(), GpuRefusal> {
    let not_for_machine = || GpuRefusal::NotForMachine { gpu: gpu.to_owned(), machine_type: machine.name.clone() };
    let row = ROWS
        .iter()
        .find(|row| row.name == gpu && row.zones.contains(&machine.zone.as_str()))
        .ok_or_else(|| GpuRefusal::NotInZone { gpu: gpu.to_owned(), zone: machine.zone.clone() })?;
    let attachable = series_of(&machine.name).is_some_and(|series| series.gpus == Gpus::Attachable);
    if !attachable || machine.shared_cpu || row.attachable.is_empty() {
        return Err(not_for_machine());
    }
    let (_, guest_cpus_max) =
        row.attachable.iter().find(|(cards, _)| *cards == count).copied().ok_or_else(|| GpuRefusal::BadCount {
            gpu: gpu.to_owned(),
            count,
            allowed: row.attachable.iter().map(|(cards, _)| *cards).collect(),
        })?;
    if machine.guest_cpus > guest_cpus_max {
        return Err(GpuRefusal::TooManyProcessors { gpu: gpu.to_owned(), count, guest_cpus_max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::machine_type;
    use super::*;

    #[test]
    fn only_n1_takes_gpus_and_only_so_many() {
        let check = |machine: &str, gpu: &str, count| {
            let machine = machine_type("us-central1-a", machine).unwrap_or_else(|| panic!("{machine} is missing"));
            check_gpus(&machine, gpu, count)
        };
        assert_eq!(check("n1-standard-4", "nvidia-tesla-t4", 1), Ok(()));
        assert!(matches!(check("n1-standard-4", "nvidia-tesla-t4", 3), Err(GpuRefusal::BadCount { .. })));
        assert!(matches!(check("n1-standard-96", "nvidia-tesla-t4", 1), Err(GpuRefusal::TooManyProcessors { .. })));
        assert!(matches!(check("e2-standard-4", "nvidia-tesla-t4", 1), Err(GpuRefusal::NotForMachine { .. })));
        assert!(matches!(check("g1-small", "nvidia-tesla-t4", 1), Err(GpuRefusal::NotForMachine { .. })));
        assert!(matches!(check("n1-standard-4", "nvidia-l4", 1), Err(GpuRefusal::NotForMachine { .. })));
        assert!(matches!(check("n1-standard-4", "nvidia-tesla-p100", 1), Err(GpuRefusal::NotInZone { .. })));
    }
}
