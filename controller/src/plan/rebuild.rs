//! A lost memory, made again from labels: the disk and the hosts say whose they are and which transition made them.

use std::collections::BTreeMap;

use rehost_api::labels::{self, Role};
use rehost_api::shape::HostShape;
use rehost_api::status::{FormerHost, HomeRecord, HostRecord};

use super::Planner;
use super::transition::number_of;
use crate::gce::model::{Disk, Instance};
use crate::seen::Seen;

impl Planner<'_> {
    /// Only where nothing at all is remembered, and the cloud has a disk that carries this notebook's uid.
    pub(super) fn rebuild_lost_memory(&mut self) {
        let blank = self.memory.home.is_none()
            && self.memory.host.is_none()
            && self.memory.transition.is_none()
            // A notebook that gave its home up remembers that it had one.
            && self.memory.last_transition == 0;
        if !blank {
            return;
        }
        let Some(disk) = self.home_among(&self.observed.own_disks) else { return };
        let project = self.wish().map(|desired| desired.home.project.clone()).unwrap_or_default();
        let instances: Vec<Instance> = self
            .observed
            .instances
            .values()
            .filter_map(Seen::present)
            .filter(|instance| self.is_ours(&instance.labels))
            .cloned()
            .collect();
        let numbers = instances.iter().map(|instance| number_of(&transition_label(&instance.labels)));
        self.memory.last_transition = numbers.chain([number_of(&transition_label(&disk.labels))]).max().unwrap_or(0);
        self.memory.home = Some(self.rebuilt_home(disk, &project, !instances.is_empty()));
        let template = self.wish().map(|desired| desired.host.shape.clone());
        for instance in &instances {
            let Some(record) = template.as_ref().map(|shape| self.record_of(instance, shape, &project)) else {
                continue;
            };
            if instance.attachment(&disk.name).is_some() {
                self.memory.host = Some(record);
            } else if self.memory.former.is_none() {
                self.memory.former =
                    Some(FormerHost { host: record, keep_until: self.now, attempt: 1, not_before: None });
            }
        }
    }

    /// Which of the disks is the home, where a change had made two: the one that a host has; then one that is labelled so, rather
    /// than an unproven copy or what was the home before; then the later one.
    fn home_among<'b>(&self, disks: &'b [Disk]) -> Option<&'b Disk> {
        let role = |disk: &Disk| disk.labels.get(labels::GCE_ROLE).cloned().unwrap_or_default();
        let beside = [Role::Next.as_str(), Role::Former.as_str()];
        let disks =
            disks.iter().filter(|disk| self.is_ours(&disk.labels) && !["", "boot"].contains(&role(disk).as_str()));
        disks.max_by_key(|disk| {
            let is_home = !beside.contains(&role(disk).as_str());
            (!disk.users.is_empty(), is_home, number_of(&transition_label(&disk.labels)))
        })
    }

    fn rebuilt_home(&self, disk: &Disk, project: &str, has_been_used: bool) -> HomeRecord {
        let derived = labels::content_id(&self.resolution.subject.uid).to_string();
        HomeRecord {
            disk: disk.name.clone(),
            id: Some(disk.id.to_string()),
            content_id: disk.labels.get(labels::GCE_CONTENT).cloned().unwrap_or(derived),
            // A disk that a host was ever made for may have content: it is not formatted again.
            formatted: has_been_used,
            size_gb: i64::try_from(disk.size_gb).unwrap_or(i64::MAX),
            disk_type: disk.disk_type.clone(),
            project: project.to_owned(),
            zone: disk.zone.clone(),
            claim: false,
        }
    }

    /// What can be told of a host from the machine itself; the rest is as wished for.
    fn record_of(&self, instance: &Instance, wished: &HostShape, project: &str) -> HostRecord {
        let mut shape = wished.clone();
        if let HostShape::Vm(vm) = &mut shape {
            vm.machine_type.clone_from(&instance.machine_type);
        }
        let transition = instance.labels.get(labels::GCE_TRANSITION).cloned().unwrap_or_default();
        let mut record = self.host_of_shape(&shape, &transition, 1);
        record.kind = rehost_api::status::HostKind::Vm;
        record.name.clone_from(&instance.name);
        record.zone.clone_from(&instance.zone);
        project.clone_into(&mut record.project);
        if let Some(settings) = &instance.settings {
            record.nonce.clone_from(&settings.nonce);
        }
        record
    }
}

fn transition_label(of: &BTreeMap<String, String>) -> String {
    of.get(labels::GCE_TRANSITION).cloned().unwrap_or_default()
}
