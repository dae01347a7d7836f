//! What a notebook costs, by the class's prices.

use jiff::Timestamp;
use rehost_api::status::{Cost, NotebookStatus};

use crate::desired::Resolution;
use crate::plan::Plan;

/// What the running host costs, where the class has a price for every part of it.
///
/// Nothing is assumed of a suspended host: Compute Engine bills its kept memory as storage, for which a class has no price, and no
/// figure is better than that of the running machine
/// (<https://cloud.google.com/compute/docs/instances/suspend-stop-reset-instances-overview>).
pub(super) fn cost(resolution: &Resolution, previous: &NotebookStatus, plan: &Plan, now: Timestamp) -> Option<Cost> {
    let host = plan.memory.host.as_ref().filter(|host| host.serving_since.is_some())?;
    let Ok(desired) = &resolution.wish else { return previous.cost.clone() };
    let prices = desired.prices.as_ref()?;
    let machine: f64 = prices.machine_types.get(host.machine_type.as_ref()?)?.parse().ok()?;
    let gpus = match &host.gpu {
        Some(gpu) => f64::from(gpu.count) * prices.gpus.get(&gpu.kind)?.parse::<f64>().ok()?,
        None => 0.0,
    };
    let hourly = format!("{:.4}", machine + gpus).trim_end_matches('0').trim_end_matches('.').to_owned();
    let same = previous.cost.as_ref().filter(|cost| cost.hourly == hourly && cost.currency == prices.currency);
    Some(same.cloned().unwrap_or(Cost {
        hourly,
        currency: prices.currency.clone(),
        since: host.serving_since.unwrap_or(now),
    }))
}
