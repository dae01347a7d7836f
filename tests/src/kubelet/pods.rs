//! The life of a pod: placed, started, ready, resized, ended.

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::scheduler::Amounts;
use super::{Kubelet, names_of, text};

impl Kubelet {
    pub(super) async fn pod_step(&mut self, key: &str) {
        let Some(pod) = self.store.pods.get(key).cloned() else { return };
        let uid = text(&pod["metadata"]["uid"]);
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if self.is_due(&format!("end/{uid}"), self.times.end_s) {
                self.end(&pod).await;
            }
            return;
        }
        if pod["spec"]["nodeName"].is_null() {
            return self.place(key, &pod).await;
        }
        match pod["status"]["phase"].as_str() {
            Some("Running") if is_ready(&pod) => self.resize(key, &pod).await,
            Some("Running") => {
                if self.is_due(&format!("ready/{uid}"), self.times.ready_s) {
                    self.tell_running(&pod, true).await;
                }
            }
            Some("Failed" | "Succeeded") => {}
            _ => {
                if self.volume_is_there(&pod) && self.is_due(&format!("start/{uid}"), self.times.start_s) {
                    self.tell_running(&pod, false).await;
                }
            }
        }
    }

    /// Whether so many seconds have passed since this was first asked.
    fn is_due(&mut self, what: &str, after_s: f64) -> bool {
        let now = self.clock.now();
        let at = *self.due.entry(what.to_owned()).or_insert(now + jiff::SignedDuration::from_secs_f64(after_s));
        if now >= at {
            return true;
        }
        self.wake_by(at);
        false
    }

    fn api(&self, pod: &Value) -> (Api<Pod>, String) {
        let (namespace, name) = names_of(pod);
        (Api::namespaced(self.client.clone(), &namespace), name)
    }

    async fn end(&mut self, pod: &Value) {
        let (api, name) = self.api(pod);
        let _gone = api.delete(&name, &DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() }).await;
    }

    /// Binds the pod to a node, or says why none takes it.
    async fn place(&mut self, key: &str, pod: &Value) {
        let (api, name) = self.api(pod);
        let placed = if self.claim_is_anothers(key, pod) {
            let nodes = self.store.nodes.len();
            let why = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
            Err(format!("0/{nodes} nodes are available: {nodes} {why}."))
        } else if pod["spec"]["volumes"].as_array().is_some_and(|all| mounts_claim(all)) && self.claim_of(pod).is_none()
        {
            Err("waiting for the claim".to_owned())
        } else {
            self.node_for(key, pod)
        };
        match placed {
            Ok(node) => {
                let (namespace, name) = names_of(pod);
                let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": {"kind": "Node", "name": node}});
                let request = http::Request::post(format!("/api/v1/namespaces/{namespace}/pods/{name}/binding"))
                    .header("content-type", "application/json")
                    .body(binding.to_string().into_bytes());
                if let Ok(request) = request {
                    let _bound = self.client.request_text(request).await;
                }
            }
            Err(message) => {
                let told = condition(pod, "PodScheduled");
                if told.is_some_and(|it| it["status"] == "False" && it["message"] == message) {
                    return;
                }
                let mut conditions = without(pod, &["PodScheduled"]);
                conditions.push(
                    json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
                    "lastTransitionTime": self.stamp()}),
                );
                let patch = Patch::Merge(json!({"status": {"phase": "Pending", "conditions": conditions}}));
                let _told = api.patch_status(&name, &PatchParams::default(), &patch).await;
            }
        }
    }

    /// Whether another pod has the claim, which is one pod's alone.
    fn claim_is_anothers(&self, key: &str, pod: &Value) -> bool {
        let Some(claim) = self.claim_of(pod).map(super::key) else { return false };
        self.store.pods.iter().any(|(other, it)| {
            let over = matches!(it["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
            other != key
                && !over
                && !it["spec"]["nodeName"].is_null()
                && self.claim_of(it).map(super::key).as_ref() == Some(&claim)
        })
    }

    fn volume_is_there(&self, pod: &Value) -> bool {
        let Some(claim) = self.claim_of(pod) else { return true };
        let volume = text(&claim["spec"]["volumeName"]);
        self.store.attachments.values().any(|it| {
            it["spec"]["source"]["persistentVolumeName"] == volume
                && it["spec"]["nodeName"] == pod["spec"]["nodeName"]
                && it["status"]["attached"] == true
        })
    }

    /// Writes that the container runs, and whether it is ready.
    async fn tell_running(&mut self, pod: &Value, ready: bool) {
        let (api, name) = self.api(pod);
        let address = match pod["status"]["podIP"].as_str() {
            Some(address) => address.to_owned(),
            None => {
                self.addresses += 1;
                format!("10.8.{}.{}", self.addresses / 250, self.addresses % 250 + 2)
            }
        };
        let word = if ready { "True" } else { "False" };
        let mut conditions = without(pod, &["Ready", "ContainersReady", "PodScheduled", "Initialized"]);
        for (kind, status) in
            [("Initialized", "True"), ("Ready", word), ("ContainersReady", word), ("PodScheduled", "True")]
        {
            conditions.push(json!({"type": kind, "status": status, "lastTransitionTime": self.stamp()}));
        }
        let containers: Vec<Value> = pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|container| {
                json!({
                    "name": container["name"], "image": container["image"], "imageID": "", "ready": ready, "started": true,
                    "restartCount": 0, "resources": container["resources"],
                    "state": {"running": {"startedAt": self.stamp()}},
                })
            })
            .collect();
        let status = json!({"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions,
            "containerStatuses": containers, "startTime": self.stamp()});
        let _told = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await;
    }

    /// Answers a live resize as a kubelet does, by the room of the node.
    async fn resize(&mut self, key: &str, pod: &Value) {
        let wanted = &pod["spec"]["containers"][0]["resources"];
        let has = &pod["status"]["containerStatuses"][0]["resources"];
        let pending = condition(pod, "PodResizePending").map(|it| it["reason"].clone());
        if wanted == has {
            return;
        }
        let node = text(&pod["spec"]["nodeName"]);
        let (all, free) = self.room(&node, key);
        let asked = Amounts::asked_by(pod);
        let refusal = match (all.lacks(&asked), free.lacks(&asked)) {
            (Some(resource), _) => Some(("Infeasible", format!("Node didn't have enough capacity: {resource}"))),
            (None, Some(resource)) => Some(("Deferred", format!("Node didn't have enough resource: {resource}"))),
            (None, None) => None,
        };
        let mut conditions = without(pod, &["PodResizePending", "PodResizeInProgress"]);
        let status = match refusal {
            Some((reason, _)) if pending.as_ref().is_some_and(|told| told == reason) => return self.wake_in(5.0),
            Some((reason, message)) => {
                conditions
                    .push(json!({"type": "PodResizePending", "status": "True", "reason": reason, "message": message,
                    "lastTransitionTime": self.stamp()}));
                json!({"conditions": conditions})
            }
            None => {
                let mut containers = pod["status"]["containerStatuses"].clone();
                containers[0]["resources"] = wanted.clone();
                json!({"conditions": conditions, "containerStatuses": containers})
            }
        };
        let (api, name) = self.api(pod);
        let _told = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await;
    }

    fn stamp(&self) -> String {
        self.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

fn mounts_claim(volumes: &[Value]) -> bool {
    volumes.iter().any(|volume| !volume["persistentVolumeClaim"].is_null())
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    pod["status"]["conditions"].as_array()?.iter().find(|it| it["type"] == kind)
}

fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|it| it["status"] == "True")
}

fn without(pod: &Value, kinds: &[&str]) -> Vec<Value> {
    let all = pod["status"]["conditions"].as_array().into_iter().flatten();
    all.filter(|it| !kinds.iter().any(|kind| it["type"] == *kind)).cloned().collect()
}
