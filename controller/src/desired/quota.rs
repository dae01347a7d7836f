//! Whether a quota is too small for the wished host alone: then no amount of waiting helps.
//!
//! Only limits are compared. What is in use changes by the minute, and what other hosts free is not foreseen: that is
//! the cloud's to say when it is asked. A quota that is not listed or not known means try.

use rehost_api::conditions::Reason;
use rehost_api::shape::{Provisioning, VmShape};

use super::{Facts, Refusal, families};
use crate::gce::model::MachineType;

/// Refuses a machine that is larger than a quota of the region or of the project.
pub(super) fn enough(
    path: &str,
    shape: &VmShape,
    machine: &MachineType,
    region: &str,
    facts: &Facts,
) -> Result<(), Refusal> {
    for (field, what, metric, needed) in demands(shape, machine) {
        let Some(limit) = limit(facts, &metric, shape.provisioning) else { continue };
        if limit < f64::from(needed) {
            let message = format!(
                "'{what}' needs {needed} of the quota {metric} in {region}, and its limit is {limit}: choose a smaller one, or ask for more quota"
            );
            return Err(Refusal::new(Reason::QuotaExceeded, format!("{path}.{field}"), message));
        }
    }
    Ok(())
}

/// What the machine counts for: field, value, metric and amount.
pub(super) fn demands(shape: &VmShape, machine: &MachineType) -> Vec<(&'static str, String, String, u32)> {
    let metric = families::of(&machine.name).and_then(|family| family.cpu_metric);
    let processors = metric.map(|metric| ("machineType", machine.name.clone(), metric.to_owned(), machine.guest_cpus));
    let attached = shape
        .gpu
        .iter()
        .map(|gpu| ("gpu.count", gpu.count.to_string(), gpu_metric(&gpu.kind), u32::try_from(gpu.count).unwrap_or(0)));
    let built_in =
        machine.accelerators.iter().map(|own| ("machineType", machine.name.clone(), gpu_metric(&own.kind), own.count));
    let of_all_regions = [("machineType", machine.name.clone(), "CPUS_ALL_REGIONS".to_owned(), machine.guest_cpus)];
    let own: Vec<_> = processors.into_iter().chain(attached).chain(built_in).collect();
    let gpus = own.iter().filter(|(_, _, metric, _)| metric.ends_with("_GPUS"));
    let gpus: Vec<_> =
        gpus.map(|(field, what, _, amount)| (*field, what.clone(), "GPUS_ALL_REGIONS".to_owned(), *amount)).collect();
    own.into_iter().chain(of_all_regions).chain(gpus).collect()
}

/// The metric of a GPU: `NVIDIA_T4_GPUS` of `nvidia-tesla-t4`, `NVIDIA_A100_80GB_GPUS` of `nvidia-a100-80gb`. A GPU whose
/// metric is called otherwise is simply not found among the quotas.
fn gpu_metric(kind: &str) -> String {
    format!("{}_GPUS", kind.replace("nvidia-tesla-", "nvidia-").replace('-', "_").to_uppercase())
}

/// Spot machines count against metrics of their own where the project has been given any, else against the same.
fn limit(facts: &Facts, metric: &str, provisioning: Provisioning) -> Option<f64> {
    let standard = facts.quota(metric)?.limit;
    match provisioning {
        Provisioning::Standard => Some(standard),
        Provisioning::Spot | Provisioning::FlexStart => {
            let own =
                if metric.ends_with("CPUS") { "PREEMPTIBLE_CPUS".to_owned() } else { format!("PREEMPTIBLE_{metric}") };
            Some(facts.quota(&own).map_or(standard, |own| standard.max(own.limit)))
        }
    }
}
