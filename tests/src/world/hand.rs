//! The test's own hand: what happens to the world without a request, and what an oracle may look at.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::faults::Fault;
use super::guest::{GuestFault, GuestView};
use super::home::{Content, Filesystem, HomeContent};
use super::instances::InstanceStatus;
use super::operations::Effect;
use super::quota::QuotaRefusal;
use super::route::Sort;
use super::wire::{Request, Response, fingerprint, stamp, text};
use super::{Place, World};

pub use super::attach::ReadWriteAttachment;
pub use super::instances::InstanceStatus as Status;

impl World {
    /// At most `most` machines whose shape fits `pattern` run in `zone` at once; `None` lifts the rule. A shape is
    /// written `n1-standard-4`, with GPUs `n1-standard-4+nvidia-tesla-t4:1`; `*` stands for anything. What runs already
    /// goes on.
    pub fn capacity_set(&mut self, zone: &str, pattern: &str, most: Option<u32>) {
        let key = (zone.to_owned(), pattern.to_owned());
        match most {
            Some(most) => {
                self.capacity.insert(key, most);
            }
            None => {
                self.capacity.remove(&key);
            }
        }
    }

    /// Sets a quota's limit in a region, or in `global` for the project's own metrics.
    pub fn quota_set(&mut self, region: &str, metric: &str, limit: f64) {
        self.quota_limits.insert((region.to_owned(), metric.to_owned()), limit);
    }

    /// Where a missing quota is told; inside the operation, unless this says otherwise.
    pub fn quota_refusal_set(&mut self, refusal: QuotaRefusal) {
        self.quota_refusal = refusal;
    }

    /// How many requests of a sort may come in a minute of the world; `None` for no bound. 1,500 unless set.
    pub fn rate_set(&mut self, sort: Sort, a_minute: Option<u32>) {
        self.rates.limits.insert(super::faults::group_of(sort), a_minute);
    }

    /// How many operations may be in flight; no bound unless set.
    pub fn concurrent_operations_set(&mut self, most: Option<u32>) {
        self.rates.concurrent_operations_max = most;
    }

    /// How long lists lag behind inserts and deletes. `get` does not lag.
    pub fn list_lag_set(&mut self, lag: SignedDuration) {
        self.list_lag = lag;
    }

    /// Makes a zone unreachable for lists, or reachable again.
    pub fn zone_unreachable_set(&mut self, zone: &str, unreachable: bool) {
        self.unreachable.retain(|other| other != zone);
        if unreachable {
            self.unreachable.push(zone.to_owned());
        }
    }

    /// Lays a fault in wait. Of several that fit one request, the oldest befalls it.
    pub fn fault_add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Takes all faults back that still wait.
    pub fn faults_clear(&mut self) {
        self.faults.clear();
        self.guest_faults.clear();
    }

    /// Faults that still wait.
    pub fn faults_waiting(&self) -> usize {
        self.faults.len() + self.guest_faults.len()
    }

    /// The next `times` boots of instances whose name fits `pattern` have a guest that fails so.
    pub fn fail_guest(&mut self, pattern: &str, fault: GuestFault, times: u32) {
        self.guest_faults.push((pattern.to_owned(), fault, times));
    }

    /// The guest of an instance does nothing any more until its next boot.
    pub fn hang_guest(&mut self, zone: &str, instance: &str) {
        self.guest_hangs(&Place::new(zone, instance));
    }

    /// What the present boot of an instance has not flushed is torn by a person or by failing hardware: its loss counts as nobody's.
    pub fn forgive_losses(&mut self, zone: &str, instance: &str) {
        self.with_guest(&Place::new(zone, instance), |_, guest| guest.forgiven = true);
    }

    /// A process on the instance powers it off, as a person may from a terminal.
    pub fn guest_power_off(&mut self, zone: &str, instance: &str) {
        let place = Place::new(zone, instance);
        if self.is_running(&place) {
            let effect = Effect::InstanceStop { place: place.clone(), hard: false };
            self.system_operation(&place, "compute.instances.guestTerminate", "instances.stop", effect);
        }
    }

    /// A serving guest writes something to its home; false when none serves there.
    pub fn guest_write(&mut self, zone: &str, instance: &str, bytes: &[u8]) -> bool {
        self.guest_writes(&Place::new(zone, instance), bytes)
    }

    /// Sets a guest attribute, as a process on a real machine does; needs them enabled on the instance.
    pub fn guest_attribute_set(&mut self, zone: &str, instance: &str, namespace: &str, key: &str, value: &str) -> bool {
        let there = self.instances.get_mut(&Place::new(zone, instance));
        match there.filter(|instance| instance.guest_attributes_enabled()) {
            Some(instance) => {
                instance.guest_attributes.insert((namespace.to_owned(), key.to_owned()), value.to_owned());
                true
            }
            None => false,
        }
    }

    /// The cloud takes a Spot machine back: thirty seconds, then it is gone.
    pub fn preempt(&mut self, zone: &str, instance: &str) {
        let place = Place::new(zone, instance);
        if self.is_running(&place) {
            self.terminate(&place, "compute.instances.preempted");
        }
    }

    /// The machine under an instance fails.
    pub fn host_error(&mut self, zone: &str, instance: &str) {
        self.host_fails(&Place::new(zone, instance));
    }

    /// The machine under an instance is maintained: it moves on live, or is stopped and started again.
    pub fn maintenance(&mut self, zone: &str, instance: &str) {
        let place = Place::new(zone, instance);
        if !self.is_running(&place) {
            return;
        }
        let Some(instance) = self.instances.get_mut(&place) else { return };
        if text(instance.scheduling(), "onHostMaintenance") == "MIGRATE" {
            let kind = "compute.instances.migrateOnHostMaintenance";
            self.system_operation(&place, kind, "instances.setLabels", Effect::Nothing);
            return;
        }
        instance.restarts = super::wire::flag(instance.scheduling(), "automaticRestart");
        let kind = "compute.instances.terminateOnHostMaintenance";
        let effect = Effect::InstanceStop { place: place.clone(), hard: false };
        self.system_operation(&place, kind, "instances.stop", effect);
    }

    /// The cloud writes down on which of its machines an instance is: something that changes by itself and concerns nobody.
    pub fn resource_status_note(&mut self, zone: &str, instance: &str, physical_host: &str) {
        if let Some(instance) = self.instances.get_mut(&Place::new(zone, instance)) {
            instance.shown.insert("resourceStatus".to_owned(), json!({ "physicalHost": physical_host }));
        }
    }

    fn is_running(&self, place: &Place) -> bool {
        let there = self.instances.get(place);
        there.is_some_and(|instance| instance.status == InstanceStatus::Running && instance.busy.is_none())
    }

    /// Adds an image of the project's own; a disk from it boots on that architecture (`X86_64` or `ARM64`).
    pub fn image_add(&mut self, name: &str, family: &str, architecture: &str, size_gb: u32) {
        let path = format!("projects/{}/global/images/{name}", self.settings.project);
        let shown = json!({
            "kind": "compute#image",
            "id": self.new_number("image").to_string(),
            "creationTimestamp": stamp(self.now),
            "name": name,
            "family": family,
            "architecture": architecture,
            "diskSizeGb": size_gb.to_string(),
            "archiveSizeBytes": "1000000000",
            "sourceType": "RAW",
            "status": "READY",
            "labelFingerprint": fingerprint(&json!({})),
            "selfLink": self.links.link(&path),
        });
        self.own_images.insert(name.to_owned(), shown);
    }

    /// Adds a subnetwork of the network `default` to a region.
    pub fn subnetwork_add(&mut self, region: &str, name: &str, cidr: &str) {
        let link = self.links.link(&format!("projects/{}/global/networks/default", self.settings.project));
        self.subnetwork_put(region, name, &link, cidr);
    }

    /// Puts somebody else's file system on a disk.
    pub fn disk_make_foreign(&mut self, zone: &str, disk: &str) {
        if let Some(disk) = self.disks.get_mut(&Place::new(zone, disk)) {
            disk.content = Content::foreign("put there by hand");
        }
    }

    /// Puts a content id on a disk, as an earlier life of it would have.
    pub fn disk_set_content(&mut self, zone: &str, disk: &str, content_id: &str) {
        if let Some(disk) = self.disks.get_mut(&Place::new(zone, disk)) {
            disk.content.filesystem = Filesystem::Ours { content_id: content_id.to_owned() };
        }
    }

    /// What is on a disk, flushed and not, as of now.
    pub fn home_content(&mut self, zone: &str, disk: &str) -> Option<HomeContent> {
        self.content_view(&Place::new(zone, disk))
    }

    /// Records that guests wrote and that never reached a disk: torn out, or the power gone.
    pub fn lost_records(&self) -> u64 {
        self.lost_records
    }

    /// Records missing when a host mounted a disk: another disk with the same content id had more of them.
    pub fn left_behind_records(&self) -> u64 {
        self.left_behind_records
    }

    /// What runs on an instance; `None` when it is off or guests are not simulated.
    pub fn guest(&self, zone: &str, instance: &str) -> Option<GuestView> {
        self.guest_view_of(&Place::new(zone, instance))
    }

    /// Every instance with its status and numeric id, by place.
    pub fn instance_statuses(&self) -> BTreeMap<Place, (InstanceStatus, u64)> {
        self.instances.iter().map(|(place, one)| (place.clone(), (one.status, one.id))).collect()
    }

    /// Every disk with its numeric id, by place.
    pub fn disk_ids(&self) -> BTreeMap<Place, u64> {
        self.disks.iter().map(|(place, one)| (place.clone(), one.id)).collect()
    }

    /// The labels of an instance.
    pub fn instance_labels(&self, zone: &str, instance: &str) -> BTreeMap<String, String> {
        let there = self.instances.get(&Place::new(zone, instance));
        labels(there.and_then(|instance| instance.shown.get("labels")))
    }

    /// The labels of a disk.
    pub fn disk_labels(&self, zone: &str, disk: &str) -> BTreeMap<String, String> {
        let there = self.disks.get(&Place::new(zone, disk));
        labels(there.and_then(|disk| disk.shown.get("labels")))
    }

    /// The labels of every snapshot, by name.
    pub fn snapshot_labels(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        self.snapshots.iter().map(|(name, snapshot)| (name.clone(), labels(snapshot.shown.get("labels")))).collect()
    }

    /// Every read-write attachment, by instance.
    pub fn read_write_attachments(&self) -> Vec<ReadWriteAttachment> {
        self.read_write_attachments_now()
    }

    /// How often each method was called, by id (`instances.insert`); refused calls count too.
    pub fn call_counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// How many calls changed something, or tried to.
    pub fn mutations(&self) -> u64 {
        let mutating = super::Api::ALL.iter().filter(|api| api.sort() == Sort::Mutate);
        mutating.filter_map(|api| self.counts.get(api.id())).sum()
    }

    /// How many operations are not DONE.
    pub fn in_flight(&self) -> usize {
        self.operations_in_flight()
    }

    /// Sees every request with its answer from now on, in order, under the world's time.
    pub fn observe(&mut self, observer: impl FnMut(Timestamp, &Request, &Response) + Send + 'static) {
        self.observers.push(Box::new(observer));
    }
}

fn labels(shown: Option<&Value>) -> BTreeMap<String, String> {
    let members = shown.and_then(Value::as_object);
    members.into_iter().flatten().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
