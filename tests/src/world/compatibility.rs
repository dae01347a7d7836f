//! What goes with what: disk types and GPUs with machine series, live migration with GPUs, shapes with shapes.
//!
//! The tables are the catalogue's; here are the API's words when something does not fit.

use serde_json::Value;

use super::catalogue::{GpuRefusal, Gpus, MachineType, check_gpus};
use super::errors::Refusal;
use super::wire::{integer, last_part, text};

/// A disk type that the series cannot attach.
pub(super) fn check_disk_type(machine: &MachineType, disk_type: &str) -> Result<(), Refusal> {
    if machine.series().takes_disk(disk_type) {
        return Ok(());
    }
    Err(Refusal::bad_request(format!("{disk_type} disk type cannot be used by {} machine type.", machine.name)))
}

/// Series whose machines take local SSDs that are asked for; the others have none, or theirs come with the shape.
const LOCAL_SSD: [&str; 7] = ["a2", "c2", "c2d", "g2", "n1", "n2", "n2d"];

/// A local SSD on a machine that has no place for one.
pub(super) fn check_local_ssd(machine: &MachineType) -> Result<(), Refusal> {
    if LOCAL_SSD.contains(&machine.series().name) && !machine.shared_cpu {
        return Ok(());
    }
    let message = format!("[local-ssd, {}] features are not compatible for creating instance.", machine.name);
    Err(Refusal::bad_request(message))
}

/// GPUs that the machine type cannot have, or not so many of.
pub(super) fn check_accelerators(machine: &MachineType, attached: &Value) -> Result<(), Refusal> {
    let list = attached.as_array().map(Vec::as_slice).unwrap_or_default();
    if list.len() > 1 {
        let why = "At most one type of accelerator can be attached.";
        return Err(Refusal::invalid("resource.guestAccelerators", &list.len().to_string(), why));
    }
    for wanted in list {
        let kind = last_part(text(wanted, "acceleratorType"));
        let count = integer(wanted, "acceleratorCount").and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        let built_in = machine.accelerators.iter().any(|(own, cards)| own == kind && *cards == count);
        if built_in {
            continue;
        }
        check_gpus(machine, kind, count).map_err(|refusal| match refusal {
            GpuRefusal::NotInZone { .. } | GpuRefusal::NotForMachine { .. } => Refusal::bad_request(format!(
                "[{kind}, {}] features are not compatible for creating instance.",
                machine.name
            )),
            GpuRefusal::BadCount { count, .. } => Refusal::invalid(
                "resource.guestAccelerators[0].acceleratorCount",
                &count.to_string(),
                &format!("Invalid number of accelerator cards of type '{kind}'."),
            ),
            GpuRefusal::TooManyProcessors { count, guest_cpus_max, .. } => Refusal::invalid(
                "resource.guestAccelerators[0].acceleratorCount",
                &count.to_string(),
                &format!(
                    "At most {guest_cpus_max} vCPUs can be used along with {count} accelerator cards in an instance."
                ),
            ),
        })?;
    }
    Ok(())
}

/// A machine with a GPU cannot be migrated live.
pub(super) fn check_maintenance(
    machine: &MachineType,
    accelerators: &[(String, u32)],
    scheduling: &Value,
) -> Result<(), Refusal> {
    let migrates = text(scheduling, "onHostMaintenance") == "MIGRATE";
    let gpu = !accelerators.is_empty() || machine.series().gpus == Gpus::BuiltIn;
    if migrates && gpu {
        return Err(Refusal::bad_request("Instances with guest accelerators do not support live migration."));
    }
    Ok(())
}

/// Whether a stopped machine can take another shape without being made anew.
pub(super) fn check_in_place(old: &MachineType, new: &MachineType) -> Result<(), Refusal> {
    if old.series().changes_in_place_to(new.series()) {
        return Ok(());
    }
    let message = format!(
        "Invalid resource usage: 'Machine type {} cannot be changed to {}: the series are not compatible.'.",
        old.name, new.name
    );
    Err(Refusal::new(400, "invalidResourceUsage", message))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::super::catalogue::machine_type;
    use super::*;
    use serde_json::json;

    fn machine(name: &str) -> MachineType {
        machine_type("us-central1-a", name).unwrap()
    }

    #[test]
    fn disk_types_and_series() {
        for (shape, disk_type, fits) in [
            ("n1-standard-4", "pd-standard", true),
            ("n1-standard-4", "hyperdisk-balanced", false),
            ("c4-standard-2", "pd-balanced", false),
            ("c4-standard-2", "hyperdisk-balanced", true),
            ("n4-standard-2", "hyperdisk-extreme", false),
            ("c3-standard-4", "pd-standard", false),
            ("c3-standard-4", "pd-ssd", true),
            ("g2-standard-4", "pd-extreme", false),
            ("t2d-standard-4", "pd-extreme", false),
        ] {
            assert_eq!(check_disk_type(&machine(shape), disk_type).is_ok(), fits, "{shape} {disk_type}");
        }
    }

    #[test]
    fn accelerators_and_shapes() {
        let one = |kind: &str, count: u32| json!([{ "acceleratorType": kind, "acceleratorCount": count }]);
        assert!(check_accelerators(&machine("n1-standard-4"), &one("nvidia-tesla-t4", 1)).is_ok());
        assert!(check_accelerators(&machine("g2-standard-4"), &one("nvidia-l4", 1)).is_ok());
        assert!(check_accelerators(&machine("g2-standard-4"), &one("nvidia-tesla-t4", 1)).is_err());
        let refused = check_accelerators(&machine("e2-standard-4"), &one("nvidia-tesla-t4", 1)).unwrap_err();
        assert_eq!(
            refused.message,
            "[nvidia-tesla-t4, e2-standard-4] features are not compatible for creating instance."
        );
        assert!(check_accelerators(&machine("n1-standard-4"), &one("nvidia-tesla-t4", 3)).is_err());
    }

    #[test]
    fn series_that_change_in_place() {
        assert!(check_in_place(&machine("n1-standard-4"), &machine("e2-standard-4")).is_ok());
        assert!(check_in_place(&machine("n1-standard-4"), &machine("n1-standard-8")).is_ok());
        assert!(check_in_place(&machine("n1-standard-4"), &machine("c4-standard-4")).is_err());
        assert!(check_in_place(&machine("n1-standard-4"), &machine("g2-standard-4")).is_err());
    }
}
