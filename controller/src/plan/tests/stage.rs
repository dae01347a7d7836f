//! A stage: what the planner sees, and what becomes of what it asks for.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rehost_api::guest::{GuestFailure, GuestReport, GuestRole, GuestSettings, GuestState, HOME_DEVICE};
use rehost_api::shape::{Gpu, HostShape, PodShape, VmShape};
use rehost_api::status::{HostKind, NotebookStatus};
use uuid::Uuid;

use crate::desired::{
    Deletion, Desired, HomePolicy, Power, Requests, Resolution, Subject, When, WishedHome, WishedHost,
};
use crate::gce::GceError;
use crate::gce::errors::Cause;
use crate::gce::model::{AttachedDisk, Disk, Instance, InstanceStatus, OnHostMaintenance};
use crate::gce::mutation::{Mutation, NewInstance};
use crate::gce::operations::OperationState;
use crate::observe::Observed;
use crate::plan::action::{Action, KubeChange, PodPlan};
use crate::plan::{Memory, Situation, plan};
use crate::seen::Seen;
use crate::status;
use crate::watch::slim::{
    ClaimSeen, PodPhase, PodRole, PodSeen, Resize, Resources, Scheduled, ServiceSeen, SliceSeen, VolumeSeen,
};

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
    InUse,
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
            Self::Hiccup => GceError::new(Cause::Server, "Internal error"),
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
    /// The kubelet cannot give a live resize.
    ResizeInfeasible,
    /// No node takes a pod.
    Unschedulable,
}

pub(super) struct Stage {
    pub resolution: Resolution,
    pub status: NotebookStatus,
    pub now: Timestamp,
    pub instances: BTreeMap<String, Instance>,
    pub reports: BTreeMap<String, GuestReport>,
    pub disk: Option<Disk>,
    pub pods: BTreeMap<String, PodSeen>,
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
            host: WishedHost { digest: String::new(), shape, fallbacks: Vec::new() },
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
            when: When::Now,
            keep_old_s: 900,
            keep_stopped_s: 7 * 86_400,
            url: None,
            prices: None,
            not_acted_on_yet: Vec::new(),
        };
        let mut stage = Self {
            resolution: Resolution {
                subject,
                generation: 1,
                finalizer: false,
                power: Power::Running,
                requests: Requests::default(),
                deletion: None,
                wish: Ok(desired),
            },
            status: NotebookStatus::default(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            instances: BTreeMap::new(),
            reports: BTreeMap::new(),
            disk: None,
            pods: BTreeMap::new(),
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
        Observed {
            previous: self.status.clone(),
            fresh: true,
            guest_only: false,
            operations: self.operations.clone(),
            instances,
            reports: self.reports.iter().map(|(name, report)| (name.clone(), Seen::Present(report.clone()))).collect(),
            home: self.disk.clone().map_or(Seen::Absent, Seen::Present),
            own_disks: self.disk.iter().cloned().collect(),
            kept_disks: Vec::new(),
            pods: Seen::Present(there(&self.pods)),
            service: self.service.clone(),
            slice: self.slice.clone(),
            volume: self.volume.clone(),
            claim: self.claim.clone(),
            attachments: Seen::Present(Vec::new()),
        }
    }

    /// Plans and lets come true until nothing is wanted; then plans once more, which must want nothing.
    pub fn play(&mut self) -> &mut Self {
        for _ in 0..PLANS_MAX {
            let observed = self.observed();
            let planned = plan(&self.resolution, &observed, self.now);
            let new_status = status::status(&self.resolution, &observed, &planned, self.now);
            self.tell(&planned.situation, &planned.memory, &planned.actions);
            let quiet = planned.is_quiet(&observed);
            self.status = new_status;
            for action in &planned.actions {
                self.come_true(action);
            }
            if quiet && !self.settle() {
                match planned.wake_at {
                    // A wait within a change: time passes.
                    Some(at) if matches!(planned.situation, Situation::Changing { .. }) && at > self.now => {
                        self.now = at;
                    }
                    _ => {
                        self.tell_end();
                        return self;
                    }
                }
            }
            if self.resolution.deletion.is_some() && !self.resolution.finalizer {
                writeln!(self.script, "   (the notebook is gone)").unwrap();
                return self;
            }
        }
        panic!("the story does not come to rest:\n{}", self.script);
    }

    fn tell(&mut self, situation: &Situation, memory: &Memory, actions: &[Action]) {
        let before = Memory::of(&self.status);
        if let Some(transition) = &memory.transition
            && before.transition.as_ref() != Some(transition)
        {
            let back = transition.reason.as_ref().map_or(String::new(), |reason| format!(", back: {}", reason.reason));
            writeln!(
                self.script,
                "record {} {:?}: {:?}, attempt {}{back}",
                transition.id, transition.kind, transition.step, transition.attempt
            )
            .unwrap();
        } else if memory != &before {
            let host = memory.host.as_ref().map_or("no host", |host| host.shape.as_str());
            let serving = memory.host.as_ref().is_some_and(|host| host.serving_since.is_some());
            let retry = memory.retry.as_ref().map_or(String::new(), |retry| format!(", short of {}", retry.reason));
            writeln!(self.script, "record {host}, serving: {serving}{retry}").unwrap();
        }
        if let Situation::Refused(refusal) = situation {
            writeln!(self.script, "refused {}: {}", refusal.field, refusal.message).unwrap();
        }
        for action in actions {
            writeln!(self.script, "  {}", line(action)).unwrap();
        }
    }

    fn tell_end(&mut self) {
        let ready = self.status.conditions.iter().find(|condition| condition.type_ == "Ready").expect("it is written");
        let phase = self.status.phase.expect("it is written");
        writeln!(self.script, "   {phase:?}, Ready={} {}: {}", ready.status, ready.reason, ready.message).unwrap();
    }

    /// What happens by itself: guests boot and look at their disks, pods start and end, operations are forgotten.
    fn settle(&mut self) -> bool {
        let before = (self.reports.clone(), self.pods.clone());
        let instances: Vec<Instance> = self.instances.values().cloned().collect();
        for instance in instances {
            self.guest(&instance);
        }
        self.pods.retain(|_, pod| !pod.deleting);
        let stuck = self.faults.contains(&Fault::Unschedulable);
        for pod in self.pods.values_mut() {
            if stuck {
                let message = "0/3 nodes are available".to_owned();
                pod.scheduled = Scheduled::No { reason: "Unschedulable".into(), message };
            } else {
                pod.phase = PodPhase::Running;
                pod.ready = true;
                pod.scheduled = Scheduled::Yes;
                pod.node = Some("node-1".into());
                pod.address = Some("10.8.0.7".parse().unwrap());
            }
        }
        before != (self.reports.clone(), self.pods.clone())
    }

    fn guest(&mut self, instance: &Instance) {
        let Some(settings) = instance.settings.as_ref().filter(|_| instance.status == InstanceStatus::Running) else {
            return;
        };
        let has_home = instance.disks.iter().any(|disk| disk.device_name == HOME_DEVICE);
        let boot_id = format!("boot-{:?}", instance.last_start.unwrap().as_second());
        let deaf = self.faults.contains(&Fault::Deaf);
        let serves = self.reports.get(&instance.name).is_some_and(|report| report.state == GuestState::Serving);
        let failure = self.faults.iter().filter(|_| !serves).find_map(|fault| match fault {
            Fault::Guest(failure) => Some(*failure),
            _ => None,
        });
        let state = match (settings.role, has_home, failure) {
            (GuestRole::Release, ..) if deaf => return,
            (GuestRole::Release, ..) => GuestState::Released,
            (GuestRole::Serve, false, _) => GuestState::Standby,
            (GuestRole::Serve, true, Some(_)) => GuestState::Failed,
            (GuestRole::Serve, true, None) => GuestState::Serving,
        };
        if state == GuestState::Failed {
            self.faults.retain(|fault| !matches!(fault, Fault::Guest(_)));
        }
        let told = self.reports.get(&instance.name);
        if told.is_some_and(|report| report.state == GuestState::Failed && report.nonce == settings.nonce) {
            return;
        }
        let report = GuestReport {
            boot_id,
            nonce: settings.nonce.clone(),
            state,
            content_id: (state == GuestState::Serving).then(|| settings.home.content_id.clone()),
            failure: failure.filter(|_| state == GuestState::Failed),
            message: String::new(),
        };
        self.reports.insert(instance.name.clone(), report);
    }

    fn come_true(&mut self, action: &Action) {
        match action {
            Action::Cloud { request_id, mutation } => {
                let refused = self.faults.iter().position(|fault| match fault {
                    Fault::Refuse(verb, _) => *verb == mutation.verb(),
                    _ => false,
                });
                let state = match refused {
                    Some(index) => {
                        let Fault::Refuse(_, error) = self.faults.remove(index) else { unreachable!("just found") };
                        OperationState::Failed(error.error(), Some(self.now))
                    }
                    None => {
                        self.mutate(mutation);
                        OperationState::Succeeded { ended_at: Some(self.now) }
                    }
                };
                self.operations.insert(*request_id, state);
                self.pass(1);
            }
            Action::Kube(change) => self.change(change),
        }
    }

    fn mutate(&mut self, mutation: &Mutation) {
        match mutation {
            Mutation::InsertDisk { disk, .. } => {
                self.objects += 1;
                self.disk = Some(Disk {
                    name: disk.name.clone(),
                    id: self.objects,
                    zone: "us-central1-a".into(),
                    size_gb: disk.size_gb,
                    disk_type: disk.disk_type.clone(),
                    ready: true,
                    labels: disk.labels.clone(),
                    label_fingerprint: Some("AAAA".into()),
                    users: Vec::new(),
                });
            }
            Mutation::ResizeDisk { size_gb, .. } => self.disk.as_mut().unwrap().size_gb = *size_gb,
            Mutation::DeleteDisk { .. } => self.disk = None,
            Mutation::LabelDisk { labels, .. } => self.disk.as_mut().unwrap().labels.clone_from(labels),
            Mutation::InsertInstance { instance, .. } => self.insert(instance),
            Mutation::DeleteInstance { name, .. } => {
                self.instances.remove(name);
                if let Some(disk) = &mut self.disk {
                    disk.users.retain(|user| user != name);
                }
            }
            Mutation::StopInstance { name, .. } => self.instance(name).status = InstanceStatus::Stopped,
            Mutation::StartInstance { name, .. } => {
                self.boots += 1;
                let at = self.now;
                let instance = self.instance(name);
                instance.status = InstanceStatus::Running;
                instance.last_start = Some(at);
            }
            Mutation::ResumeInstance { name, .. } | Mutation::ResetInstance { name, .. } => {
                self.instance(name).status = InstanceStatus::Running;
            }
            Mutation::SuspendInstance { name, .. } => self.instance(name).status = InstanceStatus::Suspended,
            Mutation::SetMachineType { name, machine_type, .. } => {
                self.instance(name).machine_type.clone_from(machine_type);
            }
            Mutation::SetAccelerators { name, accelerators, .. } => {
                self.instance(name).accelerators.clone_from(accelerators);
            }
            Mutation::SetScheduling { name, scheduling, .. } => {
                self.instance(name).on_host_maintenance = Some(scheduling.on_host_maintenance);
            }
            Mutation::SetSettings { name, settings, .. } => self.instance(name).settings = Some(settings.clone()),
            Mutation::LabelInstance { name, labels, .. } => self.instance(name).labels.clone_from(labels),
            Mutation::AttachDisk { instance, disk, .. } => {
                assert!(self.disk.as_ref().unwrap().users.is_empty(), "the home is attached twice");
                self.disk.as_mut().unwrap().users.push(instance.clone());
                self.instance(instance).disks.push(home_disk(disk));
            }
            Mutation::DetachDisk { instance, .. } => {
                let told = self.reports.get(instance).map(|report| report.state);
                let stopped = self.instance(instance).status == InstanceStatus::Stopped;
                assert!(stopped || told != Some(GuestState::Serving), "the home is torn from a serving guest");
                self.disk.as_mut().unwrap().users.clear();
                self.instance(instance).disks.retain(|disk| disk.device_name != HOME_DEVICE);
            }
            Mutation::SetDiskAutoDelete { .. } => unreachable!("the home never has autoDelete on this stage"),
        }
    }

    pub fn instance(&mut self, name: &str) -> &mut Instance {
        self.instances.get_mut(name).expect("a VM that is there")
    }

    fn insert(&mut self, new: &NewInstance) {
        assert!(self.instances.len() < 2, "never more than two hosts");
        self.objects += 1;
        let mut disks = Vec::new();
        if let Some(home) = &new.home {
            assert!(self.disk.as_ref().unwrap().users.is_empty(), "the home is attached twice");
            self.disk.as_mut().unwrap().users.push(new.name.clone());
            disks.push(home_disk(home));
        }
        let instance = Instance {
            name: new.name.clone(),
            id: self.objects,
            zone: "us-central1-a".into(),
            status: InstanceStatus::Running,
            machine_type: new.machine_type.clone(),
            accelerators: new.accelerators.clone(),
            on_host_maintenance: Some(new.scheduling.on_host_maintenance),
            labels: new.labels.clone(),
            label_fingerprint: Some("AAAA".into()),
            metadata_fingerprint: Some("AAAA".into()),
            settings: Some(new.settings.clone()),
            metadata: new.metadata.clone(),
            disks,
            address: Some(format!("10.128.0.{}", self.objects % 250).parse().unwrap()),
            last_start: Some(self.now),
            last_stop: None,
            created: Some(self.now),
        };
        self.instances.insert(new.name.clone(), instance);
    }

    fn change(&mut self, change: &KubeChange) {
        match change {
            KubeChange::AddFinalizer => self.resolution.finalizer = true,
            KubeChange::RemoveFinalizer => self.resolution.finalizer = false,
            KubeChange::ApplyService(plan) => {
                self.service = Seen::Present(ServiceSeen {
                    metadata: ObjectMeta::default(),
                    name: plan.name.clone(),
                    namespace: "team-a".into(),
                    notebook_uid: "uid-1".into(),
                    owned: true,
                    ports: vec![("http".into(), plan.port, plan.port)],
                    has_selector: false,
                });
            }
            KubeChange::ApplySlice(plan) => {
                self.slice = Seen::Present(SliceSeen {
                    metadata: ObjectMeta::default(),
                    name: plan.name.clone(),
                    namespace: "team-a".into(),
                    notebook_uid: "uid-1".into(),
                    owned: true,
                    service: plan.service.clone(),
                    endpoints: plan.endpoint.iter().copied().collect(),
                    ports: vec![plan.port],
                });
            }
            KubeChange::CreatePod(plan) => self.create_pod(plan),
            KubeChange::DeletePod { name, .. } => self.pods.get_mut(name).expect("a pod that is there").deleting = true,
            KubeChange::ResizePod { name, cpu_milli, memory_bytes } => {
                let wanted = resources(*cpu_milli, *memory_bytes);
                let infeasible = self.faults.contains(&Fault::ResizeInfeasible);
                let pod = self.pods.get_mut(name).expect("a pod that is there");
                pod.requests = wanted;
                if infeasible {
                    pod.resize = Resize::Infeasible { message: "Node didn't have enough capacity".into() };
                } else {
                    pod.granted = Some(wanted);
                }
            }
            KubeChange::ApplyVolume(plan) => {
                self.volume = Seen::Present(VolumeSeen {
                    metadata: ObjectMeta { uid: Some("volume-uid".into()), ..ObjectMeta::default() },
                    name: plan.name.clone(),
                    notebook_uid: "uid-1".into(),
                    handle: plan.handle.clone(),
                    claim: Some(("team-a".into(), plan.claim.clone())),
                    reclaim_policy: "Retain".into(),
                    phase: "Bound".into(),
                    capacity_gb: u64::try_from(plan.size_gb).unwrap(),
                    deleting: false,
                });
            }
            KubeChange::RetainVolume { uid, .. } => assert_eq!(uid, "volume-uid"),
            KubeChange::DeleteVolume { uid, .. } => {
                assert_eq!(uid, "volume-uid");
                self.volume = Seen::Absent;
            }
            KubeChange::ApplyClaim(plan) => {
                let size = u64::try_from(plan.size_gb).unwrap();
                self.claim = Seen::Present(ClaimSeen {
                    metadata: ObjectMeta { uid: Some("claim-uid".into()), ..ObjectMeta::default() },
                    name: plan.name.clone(),
                    namespace: "team-a".into(),
                    notebook_uid: "uid-1".into(),
                    volume: plan.volume.clone(),
                    phase: "Bound".into(),
                    requested_gb: size,
                    capacity_gb: Some(size),
                    deleting: false,
                });
                if let Some(disk) = &mut self.disk {
                    disk.size_gb = disk.size_gb.max(size);
                }
            }
            KubeChange::DeleteClaim { uid, .. } => {
                assert_eq!(uid, "claim-uid");
                self.claim = Seen::Absent;
            }
        }
    }

    fn create_pod(&mut self, plan: &PodPlan) {
        if plan.role == PodRole::Host {
            assert!(self.disk.as_ref().is_none_or(|disk| disk.users.is_empty()), "the home is attached twice");
        }
        let requests = resources(plan.shape.cpu_milli, plan.shape.memory_bytes);
        let seen = PodSeen {
            metadata: ObjectMeta::default(),
            name: plan.name.clone(),
            namespace: "team-a".into(),
            uid: format!("pod-{}", plan.name),
            notebook_uid: "uid-1".into(),
            owned: true,
            role: plan.role,
            transition: plan.labels.get(rehost_api::labels::TRANSITION).cloned().unwrap_or_default(),
            phase: PodPhase::Pending,
            ready: false,
            deleting: false,
            node: None,
            address: None,
            scheduled: Scheduled::Unknown,
            requests,
            granted: Some(requests),
            resize: Resize::None,
            waiting: None,
            restarts: 0,
            created_at: Some(self.now),
        };
        self.pods.entry(plan.name.clone()).or_insert(seen);
    }
}

fn resources(cpu_milli: i64, memory_bytes: i64) -> Resources {
    Resources { cpu_milli: u64::try_from(cpu_milli).unwrap(), memory_bytes: u64::try_from(memory_bytes).unwrap() }
}

fn home_disk(name: &str) -> AttachedDisk {
    AttachedDisk {
        device_name: HOME_DEVICE.into(),
        disk: name.into(),
        boot: false,
        auto_delete: false,
        read_write: true,
    }
}

fn settings(settings: &GuestSettings) -> String {
    format!("{:?} {}{}", settings.role, settings.nonce, if settings.home.format { ", may format" } else { "" })
}

/// One call in one line.
fn line(action: &Action) -> String {
    let mutation = match action {
        Action::Kube(change) => return kube_line(change),
        Action::Cloud { mutation, .. } => mutation,
    };
    let more = match mutation {
        Mutation::InsertDisk { disk, .. } => format!(": {} GiB {}", disk.size_gb, disk.disk_type),
        Mutation::ResizeDisk { size_gb, .. } => format!(": {size_gb} GiB"),
        Mutation::InsertInstance { instance, .. } => {
            let gpus: Vec<_> = instance.accelerators.iter().map(|it| format!(" + {} {}", it.count, it.kind)).collect();
            let gpus = gpus.concat();
            let maintenance = match instance.scheduling.on_host_maintenance {
                OnHostMaintenance::Migrate => "migrates",
                OnHostMaintenance::Terminate => "terminates",
            };
            let home = instance.home.as_ref().map_or("no home", |_| "with the home");
            format!(": {}{gpus}, {maintenance}, {home}, {}", instance.machine_type, settings(&instance.settings))
        }
        Mutation::SetMachineType { machine_type, .. } => format!(": {machine_type}"),
        Mutation::SetAccelerators { accelerators, .. } => {
            format!(": {:?}", accelerators.iter().map(|it| it.kind.as_str()).collect::<Vec<_>>())
        }
        Mutation::SetScheduling { scheduling, .. } => format!(": {:?}", scheduling.on_host_maintenance),
        Mutation::SetSettings { settings: new, .. } => format!(": {}", settings(new)),
        Mutation::LabelDisk { labels, .. } => format!(": {}", labels.get("rehost-role").map_or("", String::as_str)),
        Mutation::AttachDisk { disk, .. } => format!(": {disk}"),
        Mutation::DetachDisk { device_name, .. } => format!(": {device_name}"),
        Mutation::DeleteDisk { .. }
        | Mutation::DeleteInstance { .. }
        | Mutation::StopInstance { .. }
        | Mutation::StartInstance { .. }
        | Mutation::SuspendInstance { .. }
        | Mutation::ResumeInstance { .. }
        | Mutation::ResetInstance { .. }
        | Mutation::LabelInstance { .. }
        | Mutation::SetDiskAutoDelete { .. } => String::new(),
    };
    format!("{} {}{more}", mutation.verb(), mutation.target())
}

fn kube_line(change: &KubeChange) -> String {
    match change {
        KubeChange::AddFinalizer => "add the finalizer".into(),
        KubeChange::RemoveFinalizer => "remove the finalizer".into(),
        KubeChange::ApplyService(plan) => format!("Service {}", plan.name),
        KubeChange::ApplySlice(plan) => match plan.endpoint {
            Some((address, ready)) => format!("EndpointSlice: {address}, ready: {ready}"),
            None => "EndpointSlice: empty".into(),
        },
        KubeChange::CreatePod(plan) => {
            let node = plan.node.as_ref().map_or(String::new(), |node| format!(" on {node}"));
            let claim = plan.claim.as_ref().map_or("without the home", |_| "with the home");
            format!("create {:?} {}{node}, {} m, {claim}", plan.role, plan.name, plan.shape.cpu_milli)
        }
        KubeChange::DeletePod { name, .. } => format!("delete pod {name}"),
        KubeChange::ResizePod { name, cpu_milli, .. } => format!("resize pod {name}: {cpu_milli} m"),
        KubeChange::ApplyVolume(plan) => format!("PersistentVolume {}", plan.handle),
        KubeChange::RetainVolume { name, .. } => format!("retain volume {name}"),
        KubeChange::DeleteVolume { .. } => "delete the PersistentVolume".into(),
        KubeChange::ApplyClaim(plan) => format!("claim of {} GiB", plan.size_gb),
        KubeChange::DeleteClaim { .. } => "delete the claim".into(),
    }
}
