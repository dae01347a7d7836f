//! Pods from their scheduling to their end.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PostParams, Preconditions};
use serde_json::{Value, json};

use super::StandIn;
use super::binder::SELECTED_NODE;
use super::cache::{Cache, is_over, node_of};
use super::nodes::merge;
use super::scheduler::{place, waits_for_consumer};
use super::statuses::{condition, container_statuses, resources_of};

/// Where a pod is in its life on a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Its volumes are not attached yet.
    Waiting,
    /// Volumes are mounted at this time.
    Mounting(Timestamp),
    /// Images are there at this time.
    Pulling(Timestamp),
    /// Containers run at this time.
    Starting(Timestamp),
    /// Containers run; readiness is asked for at this time.
    Running(Timestamp),
    /// Ready.
    Ready,
    /// Containers end at this time.
    Ending(Timestamp),
    /// Nothing is left but the object.
    Ended,
}

/// What the kubelet knows of a pod, by its uid.
#[derive(Clone, Debug)]
pub struct Life {
    /// The pod as last seen.
    pub pod: Arc<Pod>,
    /// Where it is.
    pub stage: Stage,
    /// Its address.
    pub address: String,
    /// When its containers started.
    pub started: Option<String>,
    /// The resources that its containers really have.
    pub resources: Vec<Value>,
    /// When a resize in progress is done.
    pub resizing: Option<Timestamp>,
    /// What was last said of a resize.
    pub resize_told: String,
}

impl Life {
    /// Do containers run, with volumes mounted?
    pub fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(_) | Stage::Ready | Stage::Ending(_)) && self.started.is_some()
    }
}

impl StandIn {
    fn after(&self, seconds: f64) -> Timestamp {
        let wait = Duration::from_secs_f64(seconds.max(0.0));
        self.clock.now() + SignedDuration::try_from(wait).unwrap_or_default()
    }

    pub(super) fn pods_of(&self, pod: &Pod) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &pod.namespace().unwrap_or_default())
    }

    /// Patches a pod's status; conditions and containers are matched by type and name.
    pub(super) async fn say(&self, pod: &Pod, status: Value) {
        let patch = Patch::Strategic(json!({"metadata": {"uid": pod.uid()}, "status": status}));
        let write = self.pods_of(pod);
        self.call("set a pod's status", write.patch_status(&pod.name_any(), &merge(), &patch)).await;
    }

    /// Moves every pod as far as it can go now.
    pub(super) async fn tend_pods(&mut self) {
        let pods = self.cache.pods.all();
        for pod in &pods {
            let node = node_of(pod).map(str::to_owned);
            match node {
                _ if is_over(pod) => {}
                None if pod.metadata.deletion_timestamp.is_none() => self.schedule(pod).await,
                None => {}
                Some(node) => {
                    self.assumed.remove(&pod.uid().unwrap_or_default());
                    if self.node_settings(&node).is_some() && !self.control.is_down(&node) {
                        self.advance(pod, &node).await;
                    }
                }
            }
        }
        self.bury(&pods).await;
    }

    /// Forgets pods that are gone; those that were removed by force end here.
    async fn bury(&mut self, pods: &[Arc<Pod>]) {
        let known: Vec<String> = pods.iter().filter_map(|pod| pod.uid()).collect();
        let gone: Vec<String> = self.lives.keys().filter(|uid| !known.contains(uid)).cloned().collect();
        for uid in gone {
            if let Some(life) = self.lives.remove(&uid)
                && life.is_running()
            {
                self.settings.containers.clone().stopped(&life.pod).await;
            }
        }
        self.told.retain(|uid, _| known.contains(uid));
        self.assumed.retain(|uid, _| known.contains(uid));
    }

    async fn schedule(&mut self, pod: &Arc<Pod>) {
        let spec = pod.spec.clone().unwrap_or_default();
        let uid = pod.uid().unwrap_or_default();
        let ours = spec.scheduler_name.as_deref().is_none_or(|name| name == "default-scheduler");
        let gated = spec.scheduling_gates.is_some_and(|gates| !gates.is_empty());
        if !ours || gated || self.assumed.contains_key(&uid) {
            return;
        }
        match place(pod, &self.cache, &self.assumed) {
            Ok(node) => {
                if self.bind_consumers(pod, &node).await {
                    self.bind_pod(pod, node).await;
                }
            }
            Err(why) => self.tell_unschedulable(pod, &why.0).await,
        }
    }

    /// Claims that wait for a node learn it. True once all are bound.
    async fn bind_consumers(&self, pod: &Pod, node: &str) -> bool {
        let namespace = pod.namespace().unwrap_or_default();
        let mut bound = true;
        for name in Cache::claims_of(pod) {
            let Some(claim) = self.cache.claims.get(&namespace, name) else { return false };
            let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
            if phase == Some("Bound") || !waits_for_consumer(claim, &self.cache) {
                continue;
            }
            bound = false;
            if claim.annotations().get(SELECTED_NODE).map(String::as_str) != Some(node) {
                let claims: Api<PersistentVolumeClaim> = Api::namespaced(self.client.clone(), &namespace);
                let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
                self.call("choose a claim's node", claims.patch(name, &merge(), &Patch::Merge(patch))).await;
            }
        }
        bound
    }

    async fn bind_pod(&mut self, pod: &Pod, node: String) {
        let name = pod.name_any();
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": name, "namespace": pod.namespace(), "uid": pod.uid()},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        let api = self.pods_of(pod);
        let params = PostParams::default();
        let bind = api.create_subresource::<Value, Value>("binding", &name, &params, &binding);
        if self.call("bind a pod", bind).await.is_some() {
            self.assumed.insert(pod.uid().unwrap_or_default(), node);
        }
    }

    async fn tell_unschedulable(&mut self, pod: &Pod, why: &str) {
        let uid = pod.uid().unwrap_or_default();
        if self.told.get(&uid).map(String::as_str) == Some(why) {
            return;
        }
        self.told.insert(uid, why.to_owned());
        let scheduled = condition("PodScheduled", false, "Unschedulable", why, &self.time());
        self.say(pod, json!({"conditions": [scheduled]})).await;
    }

    /// Moves a placed pod on.
    async fn advance(&mut self, pod: &Arc<Pod>, node: &str) {
        let uid = pod.uid().unwrap_or_default();
        if !self.lives.contains_key(&uid) {
            if pod.metadata.deletion_timestamp.is_some() {
                self.remove(pod).await;
                return;
            }
            self.begin(pod, node).await;
        }
        loop {
            let Some(life) = self.lives.get_mut(&uid) else { return };
            life.pod = pod.clone();
            let before = life.stage.clone();
            let stage = match before {
                _ if pod.metadata.deletion_timestamp.is_some()
                    && !matches!(before, Stage::Ending(_) | Stage::Ended) =>
                {
                    self.stop(pod, &uid)
                }
                _ => self.step(pod, node, &uid, before.clone()).await,
            };
            let moved = stage != before;
            if let Some(life) = self.lives.get_mut(&uid) {
                life.stage = stage;
            }
            if !moved {
                break;
            }
        }
        if matches!(self.lives.get(&uid).map(|life| &life.stage), Some(Stage::Running(_) | Stage::Ready)) {
            self.tend_resize(pod, node, &uid).await;
        }
    }

    /// The kubelet sees a pod for the first time. One that already runs was seen by an earlier stand-in.
    async fn begin(&mut self, pod: &Arc<Pod>, node: &str) {
        let index = self.node_settings(node).map_or(0, |(index, _)| index);
        self.addresses += 1;
        let address = format!("10.{}.{}.{}", 8 + index, self.addresses / 250, self.addresses % 250 + 2);
        let status = pod.status.clone().unwrap_or_default();
        let running = status.phase.as_deref() == Some("Running");
        let life = Life {
            pod: pod.clone(),
            stage: if running { Stage::Running(self.clock.now()) } else { Stage::Waiting },
            address: status.pod_ip.unwrap_or(address),
            started: running.then(|| self.time()),
            resources: resources_of(pod),
            resizing: None,
            resize_told: String::new(),
        };
        self.lives.insert(pod.uid().unwrap_or_default(), life);
        if running {
            return;
        }
        let time = self.time();
        let why = "containers with unready status";
        let status = json!({
            "phase": "Pending",
            "startTime": time,
            "hostIP": format!("10.128.0.{}", index + 2),
            "conditions": [
                condition("PodScheduled", true, "", "", &time),
                condition("Initialized", true, "", "", &time),
                condition("ContainersReady", false, "ContainersNotReady", why, &time),
                condition("Ready", false, "ContainersNotReady", why, &time),
            ],
        });
        self.say(pod, status).await;
    }

    async fn step(&mut self, pod: &Arc<Pod>, node: &str, uid: &str, stage: Stage) -> Stage {
        let now = self.clock.now();
        let due = match stage {
            Stage::Waiting | Stage::Ready | Stage::Ended => now,
            Stage::Mounting(due)
            | Stage::Pulling(due)
            | Stage::Starting(due)
            | Stage::Running(due)
            | Stage::Ending(due) => due,
        };
        if due > now {
            self.due(due);
            return stage;
        }
        let times = self.settings.times.clone();
        match stage {
            Stage::Waiting => {
                let Some(volumes) = self.volumes_of(pod) else { return stage };
                if !self.volumes_attached(&volumes, node) || self.is_claimed(pod) {
                    return stage;
                }
                let mount_s = if volumes.is_empty() { 0.0 } else { times.mount_s };
                Stage::Mounting(self.after(mount_s))
            }
            Stage::Mounting(_) => {
                let missing = images(pod).any(|image| !self.images.contains(&(node.to_owned(), image)));
                Stage::Pulling(self.after(if missing { times.pull_s } else { 0.0 }))
            }
            Stage::Pulling(_) => {
                self.images.extend(images(pod).map(|image| (node.to_owned(), image)));
                Stage::Starting(self.after(times.start_s))
            }
            Stage::Starting(_) => {
                self.settings.containers.clone().started(pod).await;
                let time = self.time();
                if let Some(life) = self.lives.get_mut(uid) {
                    life.started = Some(time);
                    life.resources = resources_of(pod);
                }
                self.say_running(pod, uid, false).await;
                Stage::Running(self.after(times.ready_s))
            }
            Stage::Running(_) => {
                if self.settings.containers.clone().is_ready(pod).await {
                    self.say_running(pod, uid, true).await;
                    Stage::Ready
                } else {
                    Stage::Running(self.after(1.0))
                }
            }
            Stage::Ending(_) => {
                if self.lives.get(uid).is_some_and(|life| life.started.is_some()) {
                    self.settings.containers.clone().stopped(pod).await;
                }
                self.remove(pod).await;
                Stage::Ended
            }
            Stage::Ready | Stage::Ended => stage,
        }
    }

    /// Another pod has a claim that only one may have.
    fn is_claimed(&self, pod: &Pod) -> bool {
        let namespace = pod.namespace().unwrap_or_default();
        Cache::claims_of(pod).any(|name| {
            let claim = self.cache.claims.get(&namespace, name);
            let modes = claim.and_then(|claim| claim.spec.as_ref()?.access_modes.as_ref());
            let one_pod = modes.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"));
            one_pod
                && self.cache.users(&namespace, name).any(|other| {
                    let life = other.uid().and_then(|uid| self.lives.get(&uid));
                    other.uid() != pod.uid() && life.is_some_and(|life| life.stage != Stage::Waiting)
                })
        })
    }

    fn stop(&self, pod: &Pod, uid: &str) -> Stage {
        let started = self.lives.get(uid).is_some_and(|life| life.started.is_some());
        #[expect(clippy::cast_precision_loss, reason = "graces are minutes at most")]
        let grace_s = pod.metadata.deletion_grace_period_seconds.unwrap_or(30) as f64;
        Stage::Ending(self.after(if started { self.settings.times.stop_s.min(grace_s) } else { 0.0 }))
    }

    /// The containers have ended: the object can go.
    async fn remove(&self, pod: &Pod) {
        if !pod.finalizers().is_empty() {
            self.say(pod, json!({"phase": "Succeeded"})).await;
        }
        let preconditions = Preconditions { uid: pod.uid(), resource_version: None };
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(preconditions),
            ..DeleteParams::default()
        };
        self.call("remove a pod", self.pods_of(pod).delete(&pod.name_any(), &params)).await;
    }

    async fn say_running(&self, pod: &Pod, uid: &str, ready: bool) {
        let Some(life) = self.lives.get(uid) else { return };
        let time = self.time();
        let (reason, why) = if ready { ("", "") } else { ("ContainersNotReady", "containers with unready status") };
        let status = json!({
            "phase": "Running",
            "podIP": life.address,
            "podIPs": [{"ip": life.address}],
            "conditions": [
                condition("ContainersReady", ready, reason, why, &time),
                condition("Ready", ready, reason, why, &time),
            ],
            "containerStatuses": container_statuses(pod, life, ready),
        });
        self.say(pod, status).await;
    }
}

fn images(pod: &Pod) -> impl Iterator<Item = String> {
    let containers = pod.spec.iter().flat_map(|spec| spec.containers.iter());
    containers.filter_map(|container| container.image.clone())
}
