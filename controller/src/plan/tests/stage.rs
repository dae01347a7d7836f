//! A stage: what the planner sees, and what becomes of what it asks for.

mod effects;
mod script;

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use rehost_api::guest::{
    GuestActivity, GuestFailure, GuestHome, GuestReport, GuestRole, GuestSeen, GuestSettings, GuestState,
};
use rehost_api::labels;
use rehost_api::shape::{Gpu, HostShape, PodShape, VmShape};
use rehost_api::status::{HostKind, NotebookStatus};
use uuid::Uuid;

use crate::access::AccessHashes;
use crate::desired::{
    Clock, Deletion, Desired, HomePolicy, Power, Requests, Resolution, Room, Subject, When, WishedContent, WishedHome,
    WishedHost,
};
use crate::gce::GceError;
use crate::gce::errors::Cause;
use crate::gce::model::{Disk, Instance, Snapshot};
use crate::gce::operations::OperationState;
use crate::observe::{Beside, Heard, Observed};
use crate::plan::{Plan, Situation, plan, returned_name};
use crate::seen::Seen;
use crate::status;
use crate::watch::slim::{ClaimSeen, PodSeen, ServiceSeen, SettingsSeen, SliceSeen, VolumeSeen};

/// Plans after which a story that has not come to rest is stuck.
const PLANS_MAX: usize = 600;

pub(super) fn vm(machine_type: &str) -> HostShape {
    HostShape::Vm(VmShape {
        machine_type: machine_type.into(),
        boot_image: "projects/p/global/images/notebook-1".into(),
        boot_size_gb: 50,
        boot_type: "pd-balanced".into(),
        subnetwork: "regions/us-central1/subnetworks/default".into(),
        ..VmShape::default()
    })
}

pub(super) fn vm_with_gpu(machine_type: &str, gpu: &str) -> HostShape {
    let HostShape::Vm(shape) = vm(machine_type) else { unreachable!("it is a VM") };
    HostShape::Vm(VmShape { gpu: Some(Gpu { kind: gpu.into(), count: 1 }), ..shape })
}

pub(super) fn pod(cpu_milli: i64) -> HostShape {
    HostShape::Pod(PodShape {
        image: "jupyter:1".into(),
        cpu_milli,
        memory_bytes: 8 << 30,
        shared_memory_bytes: 4 << 30,
        ..PodShape::default()
    })
}

/// How the cloud refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denial {
    Stockout,
    Quota,
    Forbidden,
    Hiccup,
    NotFound,
    InUse,
    Unsupported,
    TooOften,
}

impl Denial {
    fn error(self) -> GceError {
        match self {
            Self::Stockout => GceError::new(
                Cause::Stockout { zones_available: vec!["us-central1-b".into()] },
                "the zone does not have enough resources",
            ),
            Self::Quota => GceError::new(
                Cause::Quota { metric: Some("CPUS".into()), limit: Some(8.0) },
                "Quota 'CPUS' exceeded. Limit: 8.0",
            ),
            Self::Forbidden => GceError::new(Cause::PermissionDenied, "Required 'compute.instances.create' permission"),
            Self::NotFound => GceError::new(Cause::NotFound, "The resource was not found"),
            Self::Hiccup => GceError::new(Cause::Server, "Internal error"),
            Self::Unsupported => GceError::new(Cause::Invalid, "This is not supported for the instance"),
            Self::TooOften => GceError::new(Cause::RateLimited, "Operation rate exceeded for resource"),
            Self::InUse => GceError::new(Cause::ResourceInUse, "The disk is being used"),
        }
    }
}

/// What is to go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The next call of this verb is refused.
    Refuse(&'static str, Denial),
    /// The next guest that should serve fails in this way.
    Guest(GuestFailure),
    /// Guests do not let go when asked.
    Deaf,
    /// Guests that serve say nothing more in this boot.
    Silent,
    /// The kubelet cannot give a live resize.
    ResizeInfeasible,
    /// The next pod's check refuses the disk in this way.
    Check(GuestFailure),
    /// No node takes a pod.
    Unschedulable,
}

/// Where in a look the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// Nothing of the plan was done.
    BeforeActing,
    /// All of it was done, and nothing of it stored.
    BeforeStoring,
}

/// Another disk than the first.
#[derive(Clone, Default)]
pub(super) struct Other {
    pub disk: Option<Disk>,
    pub volume: Option<VolumeSeen>,
    pub claim: Option<ClaimSeen>,
}

pub(super) struct Stage {
    pub resolution: Resolution,
    pub status: NotebookStatus,
    pub now: Timestamp,
    pub instances: BTreeMap<String, Instance>,
    pub reports: BTreeMap<String, GuestReport>,
    /// What a serving host sees of itself.
    pub seen: GuestSeen,
    pub disk: Option<Disk>,
    /// Disks beside the first one, and what shows them to pods.
    pub others: BTreeMap<String, Other>,
    pub snapshots: BTreeMap<String, Snapshot>,
    pub pods: BTreeMap<String, PodSeen>,
    pub settings: BTreeMap<String, (SettingsSeen, GuestSettings)>,
    pub bucket_driver: Seen<()>,
    /// What pods say of themselves instead of what is right.
    pub pods_say: Option<(GuestState, Option<GuestFailure>)>,
    pub service: Seen<ServiceSeen>,
    pub slice: Seen<SliceSeen>,
    pub volume: Seen<VolumeSeen>,
    pub claim: Seen<ClaimSeen>,
    pub operations: BTreeMap<Uuid, OperationState>,
    pub faults: Vec<Fault>,
    pub script: String,
    boots: u32,
    objects: u64,
}

impl Stage {
    pub fn new(shape: HostShape) -> Self {
        let subject =
            Subject { cluster: "c".into(), namespace: "team-a".into(), name: "taxi".into(), uid: "uid-1".into() };
        let desired = Desired {
            host: WishedHost { digest: String::new(), shape, fallbacks: Vec::new(), stay_preempted: Vec::new() },
            home: WishedHome {
                claim: false,
                project: "p".into(),
                zone: "us-central1-a".into(),
                size_gb: 100,
                disk_type: "pd-balanced".into(),
                families: vec!["n1".into(), "e2".into()],
                storage_class: "rehost-home".into(),
                start_blank: false,
            },
            in_place: false,
            return_on_stockout: true,
            room: Room::Enough,
            when: When::Now,
            keep_old_s: 900,
            keep_stopped_s: 7 * 86_400,
            url: None,
            prices: None,
            not_acted_on_yet: Vec::new(),
            content: WishedContent::default(),
            idle: None,
        };
        let mut stage = Self {
            resolution: Resolution {
                subject,
                generation: 1,
                finalizer: false,
                power: Power::Running,
                clock: Clock::default(),
                requests: Requests::default(),
                access: AccessHashes::default(),
                deletion: None,
                wish: Ok(desired),
            },
            status: NotebookStatus::default(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            instances: BTreeMap::new(),
            reports: BTreeMap::new(),
            seen: GuestSeen::default(),
            disk: None,
            others: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            pods: BTreeMap::new(),
            settings: BTreeMap::new(),
            bucket_driver: Seen::Present(()),
            pods_say: None,
            service: Seen::Absent,
            slice: Seen::Absent,
            volume: Seen::Absent,
            claim: Seen::Absent,
            operations: BTreeMap::new(),
            faults: Vec::new(),
            script: String::new(),
            boots: 0,
            objects: 100,
        };
        stage.wish(|_| {});
        stage
    }

    /// A notebook that already runs, with nothing told of how it came there.
    pub fn running(shape: HostShape) -> Self {
        let mut stage = Self::new(shape);
        stage.play();
        stage.script.clear();
        stage
    }

    /// The person edits the spec.
    pub fn wish(&mut self, edit: impl FnOnce(&mut Desired)) -> &mut Self {
        let desired = self.resolution.wish.as_mut().expect("it is resolved");
        edit(desired);
        desired.host.digest = rehost_api::shape::digest_of(&(&desired.host.shape, &desired.host.fallbacks));
        self.resolution.generation += 1;
        self
    }

    pub fn power(&mut self, power: Power) -> &mut Self {
        self.resolution.power = power;
        self
    }

    pub fn wish_for(&mut self, shape: HostShape) -> &mut Self {
        self.wish(|desired| desired.host.shape = shape)
    }

    pub fn delete(&mut self, policy: HomePolicy) -> &mut Self {
        self.resolution.deletion = Some(Deletion { since: self.now, policy });
        self
    }

    pub fn say(&mut self, words: &str) -> &mut Self {
        writeln!(self.script, "== {words}").unwrap();
        self
    }

    pub fn pass(&mut self, seconds: i64) -> &mut Self {
        self.now += SignedDuration::from_secs(seconds);
        self
    }

    pub fn observed(&self) -> Observed {
        let there = |pods: &BTreeMap<String, PodSeen>| pods.values().cloned().collect::<Vec<_>>();
        let mut instances: BTreeMap<String, Seen<Instance>> =
            self.instances.iter().map(|(name, instance)| (name.clone(), Seen::Present(instance.clone()))).collect();
        let transition = self.status.transition.as_ref();
        let named = [
            self.status.host.as_ref(),
            self.status.former.as_ref().map(|former| &former.host),
            transition.and_then(|it| it.from.as_ref()),
            transition.and_then(|it| it.to.as_ref()),
        ];
        for host in named.into_iter().flatten().filter(|host| host.kind == HostKind::Vm) {
            instances.entry(host.name.clone()).or_insert(Seen::Absent);
        }
        let around = |name: Option<&str>| match name.map(|name| self.around(name)) {
            Some((disk, volume, claim)) => (disk, volume, claim),
            None => (self.disk.clone().map_or(Seen::Absent, Seen::Present), self.volume.clone(), self.claim.clone()),
        };
        let (home, volume, claim) = around(self.status.home.as_ref().map(|home| home.disk.as_str()));
        Observed {
            previous: self.status.clone(),
            fresh: true,
            guest_only: false,
            operations: self.operations.clone(),
            instances,
            reports: self.reports.iter().map(|(name, report)| (name.clone(), Seen::Present(report.clone()))).collect(),
            known_since: self.now,
            heard: self.heard(),
            home,
            beside: self.beside(),
            own_disks: self
                .disk
                .iter()
                .chain(self.others.values().filter_map(|it| it.disk.as_ref()))
                .cloned()
                .collect(),
            kept_disks: Vec::new(),
            pods: Seen::Present(there(&self.pods)),
            settings: self.seen_settings(),
            bucket_driver: self.bucket_driver.clone(),
            service: self.service.clone(),
            slice: self.slice.clone(),
            volume,
            claim,
            attachments: Seen::Present(Vec::new()),
        }
    }

    /// A disk by its name, and what shows it to pods.
    fn around(&self, name: &str) -> (Seen<Disk>, Seen<VolumeSeen>, Seen<ClaimSeen>) {
        if let Some(other) = self.others.get(name) {
            let Other { disk, volume, claim } = other.clone();
            let seen = |volume: Option<VolumeSeen>| volume.map_or(Seen::Absent, Seen::Present);
            return (disk.map_or(Seen::Absent, Seen::Present), seen(volume), claim.map_or(Seen::Absent, Seen::Present));
        }
        let is_first = self.disk.as_ref().is_none_or(|disk| disk.name == name);
        if is_first {
            (self.disk.clone().map_or(Seen::Absent, Seen::Present), self.volume.clone(), self.claim.clone())
        } else {
            (Seen::Absent, Seen::Absent, Seen::Absent)
        }
    }

    fn beside(&self) -> Beside {
        let next = self.status.transition.as_ref().and_then(|it| it.home.as_ref()).map(|it| it.disk.clone());
        let former = self.status.former_home.as_ref().map(|it| it.home.disk.clone());
        let newer = next.clone().or_else(|| self.status.home.as_ref().map(|it| it.disk.clone()));
        let Some(name) = next.or(former) else { return Beside::nothing() };
        let (disk, volume, claim) = self.around(&name);
        let names = [1, 2].map(|number| labels::snapshot_name(newer.as_deref().unwrap_or_default(), number));
        let snapshots = names.map(|name| {
            let seen = self.snapshots.get(&name).cloned().map_or(Seen::Absent, Seen::Present);
            (name, seen)
        });
        Beside { disk, volume, claim, snapshots: snapshots.into(), ..Beside::nothing() }
    }

    /// A disk that is there.
    pub fn disk_named(&mut self, name: &str) -> &mut Disk {
        let first = self.disk.as_mut().filter(|disk| disk.name == name);
        first.or_else(|| self.others.get_mut(name)?.disk.as_mut()).expect("a disk that is there")
    }

    /// What a ConfigMap of somebody else's says, which nobody reads.
    pub fn told_nothing(&self) -> GuestSettings {
        GuestSettings {
            notebook: String::new(),
            uid: String::new(),
            role: GuestRole::Serve,
            nonce: String::new(),
            home: GuestHome { device: String::new(), content_id: String::new(), format: false, copied_from: None },
            port: 0,
            offer: Box::default(),
        }
    }

    /// What is looked for beside the pods that the status names.
    fn seen_settings(&self) -> BTreeMap<String, Seen<SettingsSeen>> {
        let transition = self.status.transition.as_ref();
        let from = transition.and_then(|transition| transition.from.as_ref());
        let back = from.map(|from| returned_name(from, transition.unwrap()));
        let to = transition.and_then(|transition| transition.to.as_ref());
        let named = self.status.host.iter().chain(from).chain(to).map(|host| host.name.clone()).chain(back);
        let looked = named.map(|name| (name, Seen::Absent));
        let there = self.settings.iter().map(|(name, (seen, _))| (name.clone(), Seen::Present(seen.clone())));
        looked.chain(there).collect()
    }

    /// What the serving host says of itself, which is asked in every look of the stage.
    fn heard(&self) -> Option<Heard> {
        let host = self.status.host.as_ref().filter(|_| self.status.transition.is_none())?;
        let report = self.reports.get(&host.name)?.clone();
        let report = GuestReport { seen: self.seen.clone(), ..report };
        Some(Heard { host: host.name.clone(), at: self.now, report: Seen::Present(report) })
    }

    /// When a plan that is made now wants to look again.
    pub fn observed_wake_at(&self) -> String {
        let planned = plan(&self.resolution, &self.observed(), self.now);
        planned.wake_at.map_or_else(|| "never".to_owned(), |at| at.to_string())
    }

    /// Plans once and lets it come true. Returns the plan, and whether it wanted nothing.
    pub fn plan_once(&mut self) -> (Plan, bool) {
        let observed = self.observed();
        let planned = plan(&self.resolution, &observed, self.now);
        let new_status = status::status(&self.resolution, &observed, &planned, self.now);
        self.tell(&planned.situation, &planned.memory, &planned.actions);
        let quiet = planned.is_quiet(&observed);
        self.status = new_status;
        for action in &planned.actions {
            self.come_true(action);
        }
        (planned, quiet)
    }

    /// Evidence of a person who has used the notebook just now, and of nothing that is at work.
    pub fn used_now(&self) -> GuestActivity {
        GuestActivity {
            last_activity: self.now,
            kernels: 1,
            busy_kernels: 0,
            connections: 0,
            terminals: 0,
            busy_terminals: 0,
        }
    }

    /// One plan, and what follows from it. False once nothing is wanted.
    pub fn step(&mut self) -> bool {
        let (planned, quiet) = self.plan_once();
        if !quiet || self.settle() {
            return true;
        }
        match planned.wake_at {
            // A wait within a change: time passes.
            Some(at) if matches!(planned.situation, Situation::Changing { .. }) && at > self.now => {
                self.now = at;
                true
            }
            _ => false,
        }
    }

    /// The notebook is deleted, and nothing holds it any more.
    pub fn is_gone(&self) -> bool {
        self.resolution.deletion.is_some() && !self.resolution.finalizer
    }

    /// Plans and lets come true until nothing is wanted; then plans once more, which must want nothing.
    pub fn play(&mut self) -> &mut Self {
        for _ in 0..PLANS_MAX {
            if !self.step() {
                self.tell_end();
                return self;
            }
            if self.is_gone() {
                writeln!(self.script, "   (the notebook is gone)").unwrap();
                return self;
            }
        }
        panic!("the story does not come to rest:\n{}", self.script);
    }

    /// The process ends during this look, and another one, which knows nothing of operations, goes on.
    pub fn crash(&mut self, when: Crash) {
        let planned = plan(&self.resolution, &self.observed(), self.now);
        self.tell(&planned.situation, &planned.memory, &planned.actions);
        match when {
            Crash::BeforeActing => {}
            Crash::BeforeStoring => planned.actions.iter().for_each(|action| self.come_true(action)),
        }
        self.operations.clear();
        writeln!(self.script, "   (the process ends, {when:?})").unwrap();
    }
}
