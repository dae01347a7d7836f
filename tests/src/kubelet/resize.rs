//! A kubelet's answer to `pods/resize`.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::StandIn;
use super::lifecycle::Stage;
use super::scheduler::{allocatable, free, requests, short};
use super::settings::ResizeAnswer;
use super::statuses::{condition, container_statuses, resources_of};

const PENDING: &str = "PodResizePending";
const IN_PROGRESS: &str = "PodResizeInProgress";

enum Verdict {
    Granted,
    Deferred(String),
    Infeasible(String),
}

impl StandIn {
    /// Compares what the pod asks for with what its containers have, and answers.
    pub(super) async fn tend_resize(&mut self, pod: &Arc<Pod>, node: &str, uid: &str) {
        let wanted = resources_of(pod);
        let Some(life) = self.lives.get(uid).cloned() else { return };
        if let Some(due) = life.resizing {
            if due > self.clock.now() {
                self.due(due);
            } else {
                self.finish_resize(pod, uid, wanted).await;
            }
            return;
        }
        if wanted == life.resources {
            if !life.resize_told.is_empty() {
                // It was asked back before it was granted.
                self.tell_resize(pod, uid, "", gone()).await;
            }
            return;
        }
        match self.judge(pod, node) {
            Verdict::Granted => {
                let wait = std::time::Duration::from_secs_f64(self.settings.times.resize_s);
                let due = self.clock.now() + SignedDuration::try_from(wait).unwrap_or_default();
                let time = self.time();
                let mut conditions = vec![json!({"type": PENDING, "$patch": "delete"})];
                conditions.push(observed(pod, condition(IN_PROGRESS, true, "", "", &time)));
                if let Some(life) = self.lives.get_mut(uid) {
                    life.resizing = Some(due);
                }
                self.tell_resize(pod, uid, "in progress", Value::Array(conditions)).await;
                self.due(due);
            }
            Verdict::Deferred(why) => self.put_off(pod, uid, "Deferred", &why).await,
            Verdict::Infeasible(why) => self.put_off(pod, uid, "Infeasible", &why).await,
        }
    }

    fn judge(&self, pod: &Pod, node: &str) -> Verdict {
        let Some(node) = self.cache.nodes.get("", node) else {
            return Verdict::Deferred("Node is not known".to_owned());
        };
        let wanted = requests(pod);
        let too_much = short(&wanted, &allocatable(node));
        let too_much_now = short(&wanted, &free(&self.cache, &self.assumed, node, pod.uid().as_deref()));
        match self.control.resize_answer() {
            ResizeAnswer::Infeasible => Verdict::Infeasible("Node didn't have enough capacity".to_owned()),
            ResizeAnswer::Deferred => Verdict::Deferred("Node didn't have enough resource".to_owned()),
            ResizeAnswer::ByCapacity if !too_much.is_empty() => {
                Verdict::Infeasible(format!("Node didn't have enough capacity: {}", too_much.join(", ")))
            }
            ResizeAnswer::ByCapacity if !too_much_now.is_empty() => {
                Verdict::Deferred(format!("Node didn't have enough resource: {}", too_much_now.join(", ")))
            }
            ResizeAnswer::ByCapacity => Verdict::Granted,
        }
    }

    async fn put_off(&mut self, pod: &Arc<Pod>, uid: &str, reason: &str, why: &str) {
        let pending = observed(pod, condition(PENDING, true, reason, why, &self.time()));
        let told = format!("{:?} {reason} {why}", pod.metadata.generation);
        self.tell_resize(pod, uid, &told, json!([pending])).await;
    }

    /// Says a thing once.
    async fn tell_resize(&mut self, pod: &Arc<Pod>, uid: &str, told: &str, conditions: Value) {
        let Some(life) = self.lives.get_mut(uid).filter(|life| life.resize_told != told) else { return };
        told.clone_into(&mut life.resize_told);
        self.say(pod, json!({"conditions": conditions})).await;
    }

    async fn finish_resize(&mut self, pod: &Arc<Pod>, uid: &str, resources: Vec<Value>) {
        let Some(life) = self.lives.get_mut(uid) else { return };
        life.resizing = None;
        life.resources = resources;
        life.resize_told.clear();
        let ready = life.stage == Stage::Ready;
        let statuses = container_statuses(pod, life, ready);
        self.say(pod, json!({"conditions": gone(), "containerStatuses": statuses})).await;
    }
}

fn observed(pod: &Pod, mut condition: Value) -> Value {
    condition["observedGeneration"] = json!(pod.metadata.generation);
    condition
}

fn gone() -> Value {
    json!([{"type": PENDING, "$patch": "delete"}, {"type": IN_PROGRESS, "$patch": "delete"}])
}
