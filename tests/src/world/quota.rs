//! What may run at once: quota by region and metric, and capacity by zone and shape.

use std::collections::BTreeMap;

use serde_json::json;

use super::catalogue::{self, gpu_metric};
use super::errors::{OperationFailure, Refusal};
use super::instances::Instance;
use super::route::Call;
use super::wire::glob;
use super::{Place, World};

/// Where a missing quota is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaRefusal {
    /// Inside the operation, with `quotaInfo`.
    InOperation,
    /// At once: HTTP 403 `quotaExceeded`.
    AtOnce,
}

/// What is missing of a quota.
struct Shortage {
    metric: String,
    limit: f64,
    place: String,
}

impl Shortage {
    fn message(&self) -> String {
        let Shortage { metric, limit, place } = self;
        let place = if place == "global" { "globally".to_owned() } else { format!("in region {place}") };
        format!("Quota '{metric}' exceeded.  Limit: {limit:.1} {place}.")
    }

    fn failure(&self) -> OperationFailure {
        let dimension =
            if self.place == "global" { json!({ "global": "global" }) } else { json!({ "region": self.place }) };
        let limit_name = format!("{}-per-project-region", self.metric.replace('_', "-"));
        let mut failure = OperationFailure::new("QUOTA_EXCEEDED", 403, self.message());
        failure.details = vec![json!({ "quotaInfo": {
            "metricName": format!("compute.googleapis.com/{}", self.metric.to_lowercase()),
            "limitName": limit_name,
            "dimensions": dimension,
            "limit": self.limit,
        }})];
        failure
    }
}

impl Instance {
    /// Works out what the instance counts for while it holds a machine.
    pub(super) fn work_out_needs(&mut self) {
        let mut needs = Vec::new();
        let cpus = f64::from(self.machine.guest_cpus);
        if let Some(metric) = self.series().cpu_metric {
            needs.push((metric, cpus));
        }
        needs.push(("CPUS_ALL_REGIONS", cpus));
        for (kind, count) in &self.accelerators {
            if let Some(metric) = gpu_metric(kind) {
                needs.push((preemptible(metric, self.is_spot()), f64::from(*count)));
            }
            needs.push(("GPUS_ALL_REGIONS", f64::from(*count)));
        }
        if self.has_external_address() {
            needs.push(("IN_USE_ADDRESSES", 1.0));
        }
        let gpus = self.accelerators.iter().map(|(kind, count)| format!("{kind}:{count}"));
        self.shape = [self.machine.name.clone()].into_iter().chain(gpus).collect::<Vec<_>>().join("+");
        self.needs = needs;
    }
}

/// Spot GPUs have metrics of their own, where the region lists one.
fn preemptible(metric: &'static str, spot: bool) -> &'static str {
    match (metric, spot) {
        ("NVIDIA_T4_GPUS", true) => "PREEMPTIBLE_NVIDIA_T4_GPUS",
        ("NVIDIA_L4_GPUS", true) => "PREEMPTIBLE_NVIDIA_L4_GPUS",
        (metric, _) => metric,
    }
}

impl World {
    /// How much of a metric is in use, in a region or (`global`) in all.
    fn usage(&self, region: &str, metric: &str) -> f64 {
        let here = |zone: &str| region == "global" || catalogue::region_of(zone) == region;
        match metric {
            "INSTANCES" => count(self.instances.keys().filter(|place| here(&place.at)).count()),
            "SNAPSHOTS" => count(self.snapshots.len()),
            "NETWORKS" => count(self.networks.len()),
            "SUBNETWORKS" => count(self.subnetworks.len()),
            "IMAGES" => count(self.own_images.len()),
            metric if metric.ends_with("_TOTAL_GB") => {
                let disks = self.disks.iter().filter(|(place, disk)| disk.metric == metric && here(&place.at));
                disks.map(|(_, disk)| gigabytes(disk.size_gb)).sum()
            }
            metric => {
                let powered = self.instances.iter().filter(|(place, one)| one.powered && here(&place.at));
                let needs = powered.flat_map(|(_, one)| &one.needs).filter(|(needed, _)| *needed == metric);
                needs.map(|(_, amount)| amount).sum()
            }
        }
    }

    fn usages(&self, region: &str, quotas: &[catalogue::Quota]) -> BTreeMap<String, f64> {
        quotas.iter().map(|quota| (quota.metric.to_owned(), self.usage(region, quota.metric))).collect()
    }

    /// Limits set by hand in a region (`global` for all), by metric.
    pub(super) fn limits_of(&self, region: &str) -> BTreeMap<String, f64> {
        let own = self.quota_limits.iter().filter(|((place, _), _)| place == region);
        own.map(|((_, metric), limit)| (metric.clone(), *limit)).collect()
    }

    fn limit(&self, region: &str, metric: &str) -> Option<f64> {
        let set = self.quota_limits.get(&(region.to_owned(), metric.to_owned())).copied();
        let listed = if region == "global" { catalogue::project_quotas() } else { catalogue::region_quotas() };
        set.or_else(|| listed.iter().find(|quota| quota.metric == metric).map(|quota| quota.limit))
    }

    fn shortage(&self, region: &str, wanted: &[(&str, f64)]) -> Option<Shortage> {
        wanted.iter().find_map(|(metric, amount)| {
            let place = if metric.ends_with("_ALL_REGIONS") { "global" } else { region };
            let limit = self.limit(place, metric)?;
            (self.usage(place, metric) + amount > limit).then(|| Shortage {
                metric: (*metric).to_owned(),
                limit,
                place: place.to_owned(),
            })
        })
    }

    fn instance_shortage(&self, place: &Place, instance: &Instance) -> Option<Shortage> {
        let mut wanted = instance.needs.clone();
        // The instance itself and its disks count already, if they are in the world.
        wanted.push(("INSTANCES", if self.instances.contains_key(place) { 0.0 } else { 1.0 }));
        for attachment in &instance.attachments {
            if let Some(disk) = attachment.disk.as_ref().and_then(|disk| self.disks.get(disk)) {
                wanted.push((disk.metric, 0.0));
            }
        }
        self.shortage(catalogue::region_of(&place.at), &wanted)
    }

    /// At once, where the world is set so.
    pub(super) fn check_quota_at_once(&self, place: &Place, instance: &Instance) -> Result<(), Refusal> {
        match self.quota_refusal {
            QuotaRefusal::InOperation => Ok(()),
            QuotaRefusal::AtOnce => match self.instance_shortage(place, instance) {
                Some(shortage) => Err(Refusal::quota(shortage.message())),
                None => Ok(()),
            },
        }
    }

    /// At once, for more disk space.
    pub(super) fn check_disk_quota_at_once(&self, place: &Place, disk_type: &str, more_gb: i64) -> Result<(), Refusal> {
        let metric = catalogue::disk_type(&place.at, disk_type).map(|kind| kind.metric);
        match (self.quota_refusal, metric) {
            (QuotaRefusal::AtOnce, Some(metric)) => {
                match self.shortage(catalogue::region_of(&place.at), &[(metric, gigabytes(more_gb))]) {
                    Some(shortage) => Err(Refusal::quota(shortage.message())),
                    None => Ok(()),
                }
            }
            (QuotaRefusal::AtOnce | QuotaRefusal::InOperation, _) => Ok(()),
        }
    }

    /// In the operation, for a disk that is counted already.
    pub(super) fn check_disk_quota(&self, place: &Place) -> Result<(), OperationFailure> {
        let Some(metric) = self.disks.get(place).map(|disk| disk.metric) else { return Ok(()) };
        match self.shortage(catalogue::region_of(&place.at), &[(metric, 0.0)]) {
            Some(shortage) => Err(shortage.failure()),
            None => Ok(()),
        }
    }

    /// In the operation: quota first, then whether the zone has such a machine left.
    pub(super) fn check_room(&self, place: &Place) -> Result<(), OperationFailure> {
        let Some(instance) = self.instances.get(place) else { return Ok(()) };
        if let Some(shortage) = self.instance_shortage(place, instance) {
            return Err(shortage.failure());
        }
        if self.has_capacity(&place.at, instance) { Ok(()) } else { Err(self.stockout(place, instance)) }
    }

    /// Whether every rule of a zone that the shape falls under leaves room for one more.
    fn has_capacity(&self, zone: &str, instance: &Instance) -> bool {
        self.capacity.iter().filter(|((at, pattern), _)| at == zone && glob(pattern, &instance.shape)).all(
            |((_, pattern), most)| {
                let running = self
                    .instances
                    .iter()
                    .filter(|(place, other)| place.at == zone && other.powered && glob(pattern, &other.shape))
                    .count();
                running < usize::try_from(*most).unwrap_or(usize::MAX)
            },
        )
    }

    fn stockout(&self, place: &Place, instance: &Instance) -> OperationFailure {
        let zone = &place.at;
        let region = catalogue::region_of(zone);
        let elsewhere: Vec<&str> = catalogue::zones_of(region)
            .filter(|other| other != zone)
            .filter(|other| catalogue::machine_type(other, &instance.machine.name).is_some())
            .filter(|other| {
                instance.accelerators.iter().all(|(kind, _)| catalogue::accelerator_type(other, kind).is_some())
            })
            .filter(|other| self.has_capacity(other, instance))
            .collect();
        let zones_available = elsewhere.join(",");
        let attachment: Vec<String> =
            instance.accelerators.iter().map(|(kind, count)| format!("{kind}:{count}")).collect();
        let machine = &instance.machine.name;
        let try_there = if elsewhere.is_empty() {
            String::new()
        } else {
            let list = elsewhere.join(", ");
            format!(
                " Consider trying your request in the {list} zone(s), which currently has capacity to accommodate your request."
            )
        };
        let message = format!(
            "The zone 'projects/{}/zones/{zone}' does not have enough resources available to fulfill the request.  '(resource type:compute)'.",
            self.settings.project
        );
        let mut failure = OperationFailure::new("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", 503, message);
        let said = format!(
            "A {machine} VM instance is currently unavailable in the {zone} zone.{try_there} Alternatively, you can try your request again with a different VM hardware configuration or at a later time. For more information, see the troubleshooting documentation."
        );
        failure.details = vec![
            json!({ "help": { "links": [{
                "description": "Troubleshooting documentation",
                "url": "https://cloud.google.com/compute/docs/resource-error",
            }] } }),
            json!({ "localizedMessage": { "locale": "en-US", "message": said } }),
            json!({ "errorInfo": {
                "domain": "compute.googleapis.com",
                "reason": "resource_availability",
                "metadatas": {
                    "zone": zone,
                    "zonesAvailable": zones_available,
                    "vmType": machine,
                    "attachment": attachment.join(","),
                },
            } }),
        ];
        failure
    }

    pub(super) fn check_concurrent_operations(&self) -> Result<(), Refusal> {
        match self.rates.concurrent_operations_max {
            Some(most) if self.operations_in_flight() >= usize::try_from(most).unwrap_or(usize::MAX) => {
                Err(Refusal::concurrent_operations())
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn regions_get(&self, call: &Call) -> Result<serde_json::Value, Refusal> {
        self.region_json(&call.name)
            .ok_or_else(|| Refusal::not_found(&format!("projects/{}/regions/{}", self.settings.project, call.name)))
    }

    /// A region with its quotas as they are used now.
    pub(super) fn region_json(&self, region: &str) -> Option<serde_json::Value> {
        let usage = self.usages(region, &catalogue::region_quotas());
        catalogue::region_json(self.catalogue_links(), region, &usage, &self.limits_of(region))
    }

    pub(super) fn projects_get(&self) -> serde_json::Value {
        let usage = self.usages("global", &catalogue::project_quotas());
        let limits = self.limits_of("global");
        catalogue::project_json(self.catalogue_links(), self.settings.project_number, &usage, &limits)
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[allow(clippy::cast_precision_loss, reason = "disk sizes are far below 2^53")]
fn gigabytes(size_gb: i64) -> f64 {
    size_gb as f64
}
