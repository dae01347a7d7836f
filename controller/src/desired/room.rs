//! Whether the quotas have room for a second host beside the one that runs: what is not known is tried.
//!
//! Unlike a refusal, this looks at what is in use. It is asked for only while another host is wished for than the one that
//! runs, and is up to half a minute old; the cloud has the last word.

use rehost_api::Notebook;
use rehost_api::shape::{HostShape, Provisioning, VmShape};

use super::{Facts, quota};
use crate::gce::mutation::Place;

/// Whether there is room for a second host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// As far as is known there is.
    Enough,
    /// Only for one host at a time; the sentence says which quota.
    ForOne(String),
    /// Not even for the wished host alone; the sentence says what it needs and what is left.
    None(String),
}

/// Whether the wished host has room beside the host on record.
pub(super) fn room(notebook: &Notebook, zone: &str, wished: &HostShape, facts: &Facts) -> Room {
    let present = notebook.status.as_ref().and_then(|status| status.host.as_ref()).map(|host| &host.last_shape);
    let (Some(HostShape::Vm(present)), HostShape::Vm(wished)) = (present, wished) else { return Room::Enough };
    beside(present, wished, Place::new("", zone).region(), facts)
}

fn beside(present: &VmShape, wished: &VmShape, region: &str, facts: &Facts) -> Room {
    // Spot and Flex-start count against metrics of their own in some projects and not in others.
    let standard = present.provisioning == Provisioning::Standard && wished.provisioning == Provisioning::Standard;
    let machine = |shape: &VmShape| facts.machine_type(&shape.machine_type).into_present();
    let (true, Some(old), Some(new)) = (standard, machine(present), machine(wished)) else { return Room::Enough };
    let freed: Vec<_> =
        quota::demands(present, old).into_iter().map(|(_, _, metric, amount)| (metric, amount)).collect();
    let mut room = Room::Enough;
    for (_, _, metric, needed) in quota::demands(wished, new) {
        let Some(quota) = facts.quota(&metric) else { continue };
        let left = (quota.limit - quota.usage).max(0.0);
        let freed: u32 = freed.iter().filter(|(other, _)| *other == metric).map(|(_, amount)| amount).sum();
        if f64::from(needed) <= left {
            continue;
        }
        if f64::from(needed) > left + f64::from(freed) {
            let left = left + f64::from(freed);
            let own = if freed > 0 { ", those of the present host among them" } else { "" };
            return Room::None(format!("the quota {metric} in {region} needs {needed}, {left} left{own}"));
        }
        room = Room::ForOne(format!(
            "the quota {metric} in {region} has no room for two hosts: the new one needs {needed}, {left} left beside the present one"
        ));
    }
    room
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rehost_api::shape::Gpu;

    use super::*;
    use crate::gce::model::{Architecture, MachineType, Quota};
    use crate::seen::Seen;

    fn vm(machine_type: &str, gpus: i32) -> VmShape {
        let gpu = (gpus > 0).then(|| Gpu { kind: "nvidia-tesla-t4".into(), count: gpus });
        VmShape { machine_type: machine_type.into(), gpu, ..VmShape::default() }
    }

    fn facts(region: &[(&str, f64, f64)], project: &[(&str, f64, f64)]) -> Facts {
        let quotas = |all: &[(&str, f64, f64)]| {
            let quota = |(metric, limit, usage): &(&str, f64, f64)| Quota {
                metric: (*metric).to_owned(),
                limit: *limit,
                usage: *usage,
            };
            Some(Seen::Present(all.iter().map(quota).collect()))
        };
        let machine = |name: &str, guest_cpus: u32| {
            let machine = MachineType {
                name: name.into(),
                zone: "us-central1-a".into(),
                guest_cpus,
                memory_mb: 4096,
                architecture: Architecture::X86,
                accelerators: Vec::new(),
                maximum_persistent_disks: 128,
                shared_cpu: false,
            };
            (name.to_owned(), Seen::Present(machine))
        };
        let machine_types = BTreeMap::from([machine("n1-standard-4", 4), machine("n1-standard-8", 8)]);
        Facts { machine_types, quotas: quotas(region), project_quotas: quotas(project), ..Facts::default() }
    }

    #[test]
    fn a_quota_is_for_two_for_one_or_for_none() {
        type Quotas = &'static [(&'static str, f64, f64)];
        for (region, project, old, new, says) in [
            (&[("CPUS", 24.0, 4.0)][..] as Quotas, &[] as Quotas, vm("n1-standard-4", 0), vm("n1-standard-8", 0), ""),
            (&[("CPUS", 8.0, 4.0)], &[], vm("n1-standard-4", 0), vm("n1-standard-8", 0), "one: needs 8, 4 left beside"),
            (
                &[("CPUS", 16.0, 12.0)],
                &[],
                vm("n1-standard-4", 0),
                vm("n1-standard-8", 0),
                "one: needs 8, 4 left beside",
            ),
            (&[("CPUS", 16.0, 16.0)], &[], vm("n1-standard-4", 0), vm("n1-standard-8", 0), "none: needs 8, 4 left"),
            (
                &[("NVIDIA_T4_GPUS", 1.0, 1.0)],
                &[],
                vm("n1-standard-4", 1),
                vm("n1-standard-8", 1),
                "one: needs 1, 0 left beside",
            ),
            (
                &[("NVIDIA_T4_GPUS", 1.0, 1.0)],
                &[],
                vm("n1-standard-4", 0),
                vm("n1-standard-4", 1),
                "none: needs 1, 0 left",
            ),
            (
                &[],
                &[("GPUS_ALL_REGIONS", 1.0, 1.0)],
                vm("n1-standard-4", 1),
                vm("n1-standard-8", 1),
                "one: needs 1, 0 left",
            ),
            (&[], &[("CPUS_ALL_REGIONS", 12.0, 4.0)], vm("n1-standard-4", 0), vm("n1-standard-8", 0), ""),
            (&[("CPUS", 8.0, 8.0)], &[], vm("q9-standard-4", 0), vm("n1-standard-8", 0), ""),
        ] {
            let found = match beside(&old, &new, "us-central1", &facts(region, project)) {
                Room::Enough => String::new(),
                Room::ForOne(words) => format!("one: {words}"),
                Room::None(words) => format!("none: {words}"),
            };
            let (kind, words) = says.split_once(": ").unwrap_or_default();
            assert!(found.starts_with(kind) && found.contains(words) && found.is_empty() == says.is_empty(), "{found}");
        }
    }

    #[test]
    fn a_quota_that_is_not_known_means_try() {
        let unknown = Facts { quotas: Some(Seen::Unknown("503".into())), ..facts(&[], &[]) };
        for facts in [unknown, facts(&[], &[]), Facts::default()] {
            assert_eq!(beside(&vm("n1-standard-4", 1), &vm("n1-standard-8", 1), "us-central1", &facts), Room::Enough);
        }
    }
}
