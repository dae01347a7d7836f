//! What becomes of what a plan asks for: the cloud, its guests and the cluster, at their simplest.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rehost_api::guest::{GuestRefusal, GuestReport, GuestRole, GuestSeen, GuestState, HOME_DEVICE};

use super::{Fault, Stage};
use crate::gce::model::{AttachedDisk, Disk, Instance, InstanceStatus, Snapshot};
use crate::gce::mutation::{Mutation, NewInstance};
use crate::gce::operations::OperationState;
use crate::plan::action::{Action, KubeChange, PodPlan};
use crate::seen::Seen;
use crate::watch::slim::{
    ClaimSeen, PodPhase, PodRole, PodSeen, Resize, Resources, Scheduled, ServiceSeen, SettingsSeen, SliceSeen,
    VolumeSeen,
};

impl Stage {
    /// What happens by itself: guests boot and look at their disks, pods start and end, operations are forgotten.
    pub fn settle(&mut self) -> bool {
        let before = (self.reports.clone(), self.pods.clone());
        let instances: Vec<Instance> = self.instances.values().cloned().collect();
        for instance in instances {
            self.guest(&instance);
        }
        self.pods.retain(|_, pod| !pod.deleting);
        let stuck = self.faults.contains(&Fault::Unschedulable);
        let refuses = self.faults.iter().find_map(|fault| match fault {
            Fault::Check(failure) => Some(*failure),
            _ => None,
        });
        for pod in self.pods.values_mut() {
            if let (Some(failure), PodRole::Host, false) = (refuses, pod.role, pod.ready) {
                let message = "the disk carries content x".to_owned();
                pod.refusal = Some(GuestRefusal { failure, message, content_id: Some("x".into()) });
                self.faults.retain(|fault| !matches!(fault, Fault::Check(_)));
            } else if pod.refusal.is_some() {
            } else if stuck {
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
        self.pods_report();
        before != (self.reports.clone(), self.pods.clone())
    }

    /// A pod that was told of a status port says there how it is.
    fn pods_report(&mut self) {
        for pod in self.pods.values().filter(|pod| pod.ready && pod.role == PodRole::Host) {
            let Some((_, settings)) = self.settings.get(&pod.name).filter(|(_, told)| told.offer.status.is_some())
            else {
                continue;
            };
            let (state, failure) = self.pods_say.unwrap_or((GuestState::Serving, None));
            let wrong = self.pods_say.map(|_| "another".to_owned());
            self.reports.entry(pod.name.clone()).or_insert_with(|| GuestReport {
                boot_id: format!("container-{}", pod.name),
                nonce: settings.nonce.clone(),
                state,
                content_id: Some(wrong.unwrap_or_else(|| settings.home.content_id.clone())),
                failure,
                message: String::new(),
                seen: GuestSeen::default(),
            });
        }
    }

    fn guest(&mut self, instance: &Instance) {
        let Some(settings) = instance.settings.as_ref().filter(|_| instance.status == InstanceStatus::Running) else {
            return;
        };
        let has_home = instance.disks.iter().any(|disk| disk.device_name == HOME_DEVICE);
        let boot_id = format!("boot-{:?}", instance.last_start.unwrap().as_second());
        let deaf = self.faults.contains(&Fault::Deaf);
        let told = self.reports.get(&instance.name).filter(|report| report.boot_id == boot_id);
        let serves = told.is_some_and(|report| report.state == GuestState::Serving);
        let silent = serves && self.faults.contains(&Fault::Silent);
        let failure = self.faults.iter().filter(|_| !serves).find_map(|fault| match fault {
            Fault::Guest(failure) => Some(*failure),
            _ => None,
        });
        let state = match (settings.role, has_home, failure) {
            (GuestRole::Release, ..) if deaf => return,
            (GuestRole::Serve, true, _) if silent => return,
            (GuestRole::Release, ..) => GuestState::Released,
            (GuestRole::Serve, false, _) => GuestState::Standby,
            (GuestRole::Serve, true, Some(_)) => GuestState::Failed,
            (GuestRole::Serve, true, None) => GuestState::Serving,
        };
        if state == GuestState::Failed {
            self.faults.retain(|fault| !matches!(fault, Fault::Guest(_)));
        }
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
            seen: GuestSeen::default(),
        };
        self.reports.insert(instance.name.clone(), report);
    }

    pub(super) fn come_true(&mut self, action: &Action) {
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
            Mutation::InsertDisk { place, disk } => {
                self.objects += 1;
                let from = disk.snapshot.as_ref().map(|name| self.snapshots.get(name).expect("a snapshot"));
                assert!(from.is_none_or(|snapshot| snapshot.ready && snapshot.disk_size_gb <= disk.size_gb));
                let made = Some(Disk {
                    name: disk.name.clone(),
                    id: self.objects,
                    zone: place.zone.clone(),
                    size_gb: disk.size_gb,
                    disk_type: disk.disk_type.clone(),
                    ready: true,
                    labels: disk.labels.clone(),
                    label_fingerprint: Some("AAAA".into()),
                    users: Vec::new(),
                });
                if self.disk.is_none() {
                    self.disk = made;
                } else {
                    self.others.entry(disk.name.clone()).or_default().disk = made;
                }
            }
            Mutation::ResizeDisk { name, size_gb, .. } => self.disk_named(name).size_gb = *size_gb,
            Mutation::DeleteDisk { name, id, .. } => {
                let disk = self.disk_named(name);
                assert!(disk.users.is_empty() && disk.id == *id, "it is another disk, or in use");
                match self.others.get_mut(name) {
                    Some(other) => other.disk = None,
                    None => self.disk = None,
                }
            }
            Mutation::LabelDisk { name, labels, .. } => self.disk_named(name).labels.clone_from(labels),
            Mutation::CreateSnapshot { disk, snapshot, .. } => {
                self.objects += 1;
                let made = Snapshot {
                    name: snapshot.name.clone(),
                    id: self.objects,
                    ready: true,
                    failed: false,
                    disk_size_gb: self.disk_named(disk).size_gb,
                    labels: snapshot.labels.clone(),
                };
                self.snapshots.insert(snapshot.name.clone(), made);
            }
            Mutation::DeleteSnapshot { name, id, .. } => {
                assert_eq!(self.snapshots.remove(name).expect("a snapshot that is there").id, *id);
            }
            Mutation::InsertInstance { place, instance } => self.insert(&place.zone, instance),
            Mutation::DeleteInstance { name, .. } => {
                self.instances.remove(name);
                let others = self.others.values_mut().filter_map(|it| it.disk.as_mut());
                for disk in self.disk.iter_mut().chain(others) {
                    disk.users.retain(|user| user != name);
                }
            }
            Mutation::StopInstance { name, .. } => self.instance(name).status = InstanceStatus::Stopped,
            Mutation::StartInstance { name, .. } => {
                self.boots += 1;
                let at = self.now;
                let instance = self.instance(name);
                assert_eq!(instance.status, InstanceStatus::Stopped, "only what is stopped can be started");
                instance.status = InstanceStatus::Running;
                instance.last_start = Some(at);
            }
            Mutation::ResumeInstance { name, .. } | Mutation::ResetInstance { name, .. } => {
                self.instance(name).status = InstanceStatus::Running;
            }
            Mutation::SuspendInstance { name, .. } => {
                assert_eq!(self.instance(name).status, InstanceStatus::Running, "only what runs can be suspended");
                self.instance(name).status = InstanceStatus::Suspended;
            }
            Mutation::SetMachineType { name, machine_type, .. } => {
                assert_eq!(self.instance(name).status, InstanceStatus::Stopped, "only what is stopped can be set");
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
                assert!(self.disk_named(disk).users.is_empty(), "the home is attached twice");
                self.disk_named(disk).users.push(instance.clone());
                let zone = self.disk_named(disk).zone.clone();
                assert_eq!(zone, self.instance(instance).zone, "a disk does not leave its zone");
                self.instance(instance).disks.push(home_disk(disk));
            }
            Mutation::DetachDisk { instance, .. } => {
                let told = self.reports.get(instance).map(|report| report.state);
                assert_ne!(
                    self.instance(instance).status,
                    InstanceStatus::Suspended,
                    "the home is torn from a sleeper"
                );
                let stopped = self.instance(instance).status == InstanceStatus::Stopped;
                assert!(stopped || told != Some(GuestState::Serving), "the home is torn from a serving guest");
                let attached = self.instance(instance).disks.iter().find(|disk| disk.device_name == HOME_DEVICE);
                let name = attached.expect("it is attached").disk.clone();
                self.disk_named(&name).users.clear();
                self.instance(instance).disks.retain(|disk| disk.device_name != HOME_DEVICE);
            }
            Mutation::SetDiskAutoDelete { .. } => unreachable!("the home never has autoDelete on this stage"),
        }
    }

    pub fn instance(&mut self, name: &str) -> &mut Instance {
        self.instances.get_mut(name).expect("a VM that is there")
    }

    fn insert(&mut self, zone: &str, new: &NewInstance) {
        assert!(self.instances.len() < 2, "never more than two hosts");
        self.objects += 1;
        let mut disks = Vec::new();
        if let Some(home) = &new.home {
            assert!(self.disk_named(home).users.is_empty(), "the home is attached twice");
            self.disk_named(home).users.push(new.name.clone());
            disks.push(home_disk(home));
        }
        let instance = Instance {
            name: new.name.clone(),
            id: self.objects,
            zone: zone.into(),
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
            KubeChange::ApplySettings(plan) => {
                let seen = SettingsSeen {
                    name: plan.name.clone(),
                    namespace: "team-a".into(),
                    uid: format!("settings-{}", plan.name),
                    notebook_uid: "uid-1".into(),
                    told: Some(rehost_api::shape::digest_of(&plan.settings.offer)),
                };
                self.settings.insert(plan.name.clone(), (seen, plan.settings.clone()));
            }
            KubeChange::DeleteSettings { name, uid } => {
                let (gone, _) = self.settings.remove(name).expect("a ConfigMap that is there");
                assert_eq!(*uid, gone.uid);
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
                let volume = VolumeSeen {
                    metadata: ObjectMeta { uid: Some("volume-uid".into()), ..ObjectMeta::default() },
                    name: plan.name.clone(),
                    notebook_uid: "uid-1".into(),
                    handle: plan.handle.clone(),
                    claim: Some(("team-a".into(), plan.claim.clone())),
                    reclaim_policy: "Retain".into(),
                    phase: "Bound".into(),
                    capacity_gb: u64::try_from(plan.size_gb).unwrap(),
                    deleting: false,
                };
                match self.others.get_mut(&plan.name) {
                    Some(other) => other.volume = Some(volume),
                    None => self.volume = Seen::Present(volume),
                }
            }
            KubeChange::RetainVolume { uid, .. } => assert_eq!(uid, "volume-uid"),
            KubeChange::DeleteVolume { name, uid } => {
                assert_eq!(uid, "volume-uid");
                match self.others.get_mut(name) {
                    Some(other) => other.volume = None,
                    None => self.volume = Seen::Absent,
                }
            }
            KubeChange::ApplyClaim(plan) => {
                let size = u64::try_from(plan.size_gb).unwrap();
                let claim = ClaimSeen {
                    metadata: ObjectMeta { uid: Some("claim-uid".into()), ..ObjectMeta::default() },
                    name: plan.name.clone(),
                    namespace: "team-a".into(),
                    notebook_uid: "uid-1".into(),
                    volume: plan.volume.clone(),
                    phase: "Bound".into(),
                    requested_gb: size,
                    capacity_gb: Some(size),
                    deleting: false,
                };
                if let Some(other) = self.others.get_mut(&plan.name) {
                    other.claim = Some(claim);
                    return;
                }
                self.claim = Seen::Present(claim);
                if let Some(disk) = &mut self.disk {
                    disk.size_gb = disk.size_gb.max(size);
                }
            }
            KubeChange::DeleteClaim { name, uid } => {
                assert_eq!(uid, "claim-uid");
                match self.others.get_mut(name) {
                    Some(other) => other.claim = None,
                    None => self.claim = Seen::Absent,
                }
            }
        }
    }

    fn create_pod(&mut self, plan: &PodPlan) {
        if plan.role == PodRole::Host {
            assert!(self.disk.as_ref().is_none_or(|disk| disk.users.is_empty()), "the home is attached twice");
            assert!(self.settings.contains_key(&plan.name), "the pod finds nothing that it is told");
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
            mounts_buckets: plan.mounts_buckets,
            refusal: None,
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
