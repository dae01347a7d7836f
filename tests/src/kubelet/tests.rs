use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Clock, Control, DiskAttacher, NodeSettings, Quiet, ResizeAnswer, Settings, StandIn, Times, TokioClock, USER,
};
use crate::kube::{ApiServer, Verb};

/// Disks that are each on one node at most, and that can refuse.
#[derive(Default)]
struct Disks {
    on: Mutex<BTreeMap<String, String>>,
    failures: Mutex<u32>,
    log: Mutex<Vec<String>>,
    clock: Mutex<Option<Arc<TokioClock>>>,
}

impl Disks {
    fn note(&self, text: String) {
        let clock = self.clock.lock().unwrap().clone().unwrap();
        let second = clock.now().duration_since(start()).as_secs();
        self.log.lock().unwrap().push(format!("{second} {text}"));
    }
}

impl DiskAttacher for Disks {
    fn attach<'a>(&'a self, node: &'a str, handle: &'a str, _: bool) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let mut failures = self.failures.lock().unwrap();
            if *failures > 0 {
                *failures -= 1;
                self.note(format!("{handle} refused"));
                return Err("RESOURCE_IN_USE_BY_ANOTHER_RESOURCE".to_owned());
            }
            let before = self.on.lock().unwrap().insert(handle.to_owned(), node.to_owned());
            assert_eq!(before, None, "a disk is on one node at a time");
            self.note(format!("{handle} on {node}"));
            Ok(())
        })
    }

    fn detach<'a>(&'a self, node: &'a str, handle: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            self.on.lock().unwrap().remove(handle);
            self.note(format!("{handle} off {node}"));
            Ok(())
        })
    }
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

struct Scene {
    server: ApiServer,
    control: Control,
    disks: Arc<Disks>,
}

impl Scene {
    fn new() -> Scene {
        let clock = TokioClock::new(start());
        let now = clock.clone();
        let server = ApiServer::new(crate::kube::Settings { now: Arc::new(move || now.now()), ..Default::default() });
        let disks = Arc::new(Disks::default());
        *disks.clock.lock().unwrap() = Some(clock.clone());
        let settings = Settings {
            nodes: vec![
                NodeSettings::new("node-1", "zone-a", "e2-standard-4", "4", "16Gi"),
                NodeSettings::new("node-2", "zone-a", "n1-standard-8", "8", "30Gi").with_gpus("nvidia-tesla-t4", 1),
                NodeSettings::new("node-3", "zone-b", "e2-standard-4", "4", "16Gi"),
            ],
            times: Times::default(),
            driver: "pd.csi.storage.gke.io".to_owned(),
            disks: disks.clone(),
            containers: Arc::new(Quiet),
        };
        let control = Control::default();
        tokio::spawn(StandIn::new(server.client(USER), settings, clock, control.clone()).run());
        Scene { server, control, disks }
    }

    /// A volume in zone a, and a claim on it.
    fn home(&self) {
        let hand = self.server.hand("rehost");
        hand.create(&json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"},
            "spec": {
                "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOncePod"], "storageClassName": "rehost-home",
                "csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": "disk", "fsType": "ext4"},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "topology.gke.io/zone", "operator": "In", "values": ["zone-a"]},
                ]}]}},
            },
        }))
        .unwrap();
        hand.create(&json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "home", "namespace": "default"},
            "spec": {
                "accessModes": ["ReadWriteOncePod"], "storageClassName": "rehost-home", "volumeName": "pv",
                "resources": {"requests": {"storage": "10Gi"}},
            },
        }))
        .unwrap();
    }

    fn pod(&self, name: &str, cpu: &str, claim: Option<&str>, more: Value) {
        let amounts = json!({"cpu": cpu, "memory": "1Gi"});
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {"containers": [{"name": "main", "image": "jupyter:1", "resources": {"limits": amounts, "requests": amounts}}]},
        });
        if let Some(claim) = claim {
            pod["spec"]["volumes"] = json!([{"name": "home", "persistentVolumeClaim": {"claimName": claim}}]);
        }
        for (field, value) in more.as_object().cloned().unwrap_or_default() {
            pod["spec"][field] = value;
        }
        self.server.hand("rehost").create(&pod).unwrap();
    }

    fn get(&self, name: &str) -> Value {
        self.server.get("Pod", "default", name).unwrap_or_default()
    }

    fn condition(&self, name: &str, kind: &str) -> Value {
        let pod = self.get(name);
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
    }

    fn is_ready(&self, name: &str) -> bool {
        self.condition(name, "Ready")["status"] == "True"
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_a_home_starts_where_its_disk_can_be() {
    let scene = Scene::new();
    pass(1).await;
    scene.home();
    scene.pod("a", "1", Some("home"), json!({"nodeSelector": {"cloud.google.com/machine-family": "e2"}}));
    // Attach 5 s, mount 2 s, pull 20 s, start 1 s, ready 5 s.
    pass(32).await;
    assert!(!scene.is_ready("a"));
    pass(3).await;
    assert!(scene.is_ready("a"), "{}", scene.get("a")["status"]);
    let pod = scene.get("a");
    assert_eq!(pod["spec"]["nodeName"], "node-1");
    assert_eq!(pod["status"]["phase"], "Running");
    assert!(pod["status"]["podIP"].is_string());
    assert_eq!(scene.server.get("PersistentVolumeClaim", "default", "home").unwrap()["status"]["phase"], "Bound");
    assert_eq!(scene.server.get("PersistentVolume", "", "pv").unwrap()["status"]["phase"], "Bound");
    assert_eq!(*scene.disks.log.lock().unwrap(), ["6 disk on node-1"]);
}

#[tokio::test(start_paused = true)]
async fn a_disk_changes_nodes_only_when_its_pod_is_gone() {
    let scene = Scene::new();
    pass(1).await;
    scene.home();
    scene.pod("a", "1", Some("home"), json!({"nodeName": "node-1"}));
    pass(60).await;
    scene.pod("b", "1", Some("home"), json!({"nodeSelector": {"kubernetes.io/hostname": "node-2"}}));
    pass(60).await;
    let told = scene.condition("b", "PodScheduled");
    assert_eq!(told["reason"], "Unschedulable");
    assert!(told["message"].as_str().unwrap().contains("ReadWriteOncePod"), "{told}");
    scene.server.hand("rehost").delete("Pod", "default", "a").unwrap();
    pass(60).await;
    assert!(scene.server.get("Pod", "default", "a").is_none());
    assert!(scene.is_ready("b"), "{}", scene.get("b")["status"]);
    let log = scene.disks.log.lock().unwrap().clone();
    // Deleted at 121 s: the containers take 3 s to end, detaching 3 s, attaching 5 s.
    assert_eq!(log, ["6 disk on node-1", "127 disk off node-1", "132 disk on node-2"]);
}

#[tokio::test(start_paused = true)]
async fn failed_attaches_are_tried_ever_more_slowly() {
    let scene = Scene::new();
    *scene.disks.failures.lock().unwrap() = 3;
    pass(1).await;
    scene.home();
    scene.pod("a", "1", Some("home"), json!({}));
    pass(16).await;
    let attachment = scene.server.all("VolumeAttachment").remove(0);
    assert_eq!(attachment["status"]["attachError"]["message"], "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE");
    pass(40).await;
    let log = scene.disks.log.lock().unwrap().clone();
    // 5 s each, with pauses of 1, 2 and 4 s.
    assert_eq!(log, ["6 disk refused", "12 disk refused", "19 disk refused", "28 disk on node-2"]);
    let attachment = scene.server.all("VolumeAttachment").remove(0);
    assert_eq!(attachment["status"], json!({"attached": true}));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_fit_says_why() {
    let scene = Scene::new();
    pass(1).await;
    scene.pod("big", "16", None, json!({}));
    scene.pod("picky", "1", None, json!({"nodeSelector": {"zone": "mars"}}));
    pass(5).await;
    let message = |name: &str| scene.condition(name, "PodScheduled")["message"].as_str().unwrap().to_owned();
    assert_eq!(message("big"), "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/0 nodes are available.");
    assert_eq!(
        message("picky"),
        "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector. preemption: 0/0 nodes are available."
    );
    let writes = scene.server.trace().count(USER, Verb::Patch);
    pass(600).await;
    assert_eq!(scene.server.trace().count(USER, Verb::Patch), writes, "and says it once");
}

#[tokio::test(start_paused = true)]
async fn resizes_are_granted_put_off_or_refused() {
    let scene = Scene::new();
    pass(1).await;
    scene.pod("a", "1", None, json!({"nodeName": "node-1"}));
    scene.pod("b", "2", None, json!({"nodeName": "node-1"}));
    pass(60).await;
    let resize = |cpu: &str| {
        let amounts = json!({"cpu": cpu, "memory": "1Gi"});
        let containers =
            json!([{"name": "main", "image": "jupyter:1", "resources": {"limits": amounts, "requests": amounts}}]);
        scene.server.hand("rehost").patch("Pod", "default", "a", "resize", &json!({"spec": {"containers": containers}}))
    };
    let has = || scene.get("a")["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"].clone();
    resize("2").unwrap();
    pass(1).await;
    assert_eq!(scene.condition("a", "PodResizeInProgress")["status"], "True");
    assert_eq!(has(), "1");
    pass(2).await;
    assert_eq!(has(), "2");
    assert_eq!(scene.condition("a", "PodResizeInProgress"), Value::Null);
    resize("3").unwrap();
    pass(1).await;
    assert_eq!(scene.condition("a", "PodResizePending")["reason"], "Deferred");
    scene.server.hand("rehost").delete("Pod", "default", "b").unwrap();
    pass(10).await;
    assert_eq!(has(), "3", "there is room now");
    assert_eq!(scene.condition("a", "PodResizePending"), Value::Null);
    let refusal = resize("5").unwrap_err();
    assert_eq!(refusal.code, 403, "more than the node has is refused at admission: {}", refusal.message);
    scene.control.set_resize_answer(ResizeAnswer::Infeasible);
    resize("1").unwrap();
    pass(1).await;
    assert_eq!(scene.condition("a", "PodResizePending")["reason"], "Infeasible");
}

#[tokio::test(start_paused = true)]
async fn a_claim_of_a_class_gets_a_volume_of_its_own() {
    let scene = Scene::new();
    let hand = scene.server.hand("rehost");
    hand.create(&json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "claims"},
        "provisioner": "pd.csi.storage.gke.io", "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": true,
    }))
    .unwrap();
    hand.create(&json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOncePod"], "storageClassName": "claims", "resources": {"requests": {"storage": "1Gi"}}},
    }))
    .unwrap();
    pass(10).await;
    assert!(scene.server.all("PersistentVolume").is_empty(), "it waits for its first pod");
    scene.pod("a", "1", Some("c"), json!({"nodeSelector": {"topology.gke.io/zone": "zone-b"}}));
    pass(60).await;
    assert!(scene.is_ready("a"), "{}", scene.get("a")["status"]);
    let volume = scene.server.all("PersistentVolume").remove(0);
    assert_eq!(volume["spec"]["capacity"]["storage"], "1Gi");
    let grow = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    hand.patch("PersistentVolumeClaim", "default", "c", "", &grow).unwrap();
    pass(5).await;
    let claim = scene.server.get("PersistentVolumeClaim", "default", "c").unwrap();
    assert_eq!(claim["status"]["capacity"]["storage"], "2Gi");
    // Everything goes, in the right order, once it is deleted in the wrong one.
    hand.delete("PersistentVolumeClaim", "default", "c").unwrap();
    pass(5).await;
    assert!(scene.server.get("PersistentVolumeClaim", "default", "c").is_some(), "a pod uses it");
    hand.delete("Pod", "default", "a").unwrap();
    pass(60).await;
    assert!(scene.server.get("PersistentVolumeClaim", "default", "c").is_none());
    assert!(scene.server.all("PersistentVolume").is_empty(), "its class says Delete");
    assert!(scene.server.all("VolumeAttachment").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_keeps_its_pods() {
    let scene = Scene::new();
    pass(1).await;
    scene.home();
    scene.pod("a", "1", Some("home"), json!({"nodeName": "node-1"}));
    pass(60).await;
    scene.control.set_node_down("node-1", true);
    scene.server.hand("rehost").delete("Pod", "default", "a").unwrap();
    pass(600).await;
    assert!(scene.get("a")["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(scene.disks.on.lock().unwrap().len(), 1);
    scene.control.set_node_down("node-1", false);
    pass(60).await;
    assert!(scene.server.get("Pod", "default", "a").is_none());
    assert!(scene.disks.on.lock().unwrap().is_empty());
}

async fn whole_run() -> String {
    let scene = Scene::new();
    pass(1).await;
    scene.home();
    scene.pod("a", "1", Some("home"), json!({}));
    for name in ["p1", "p2", "p3"] {
        scene.pod(name, "1", None, json!({}));
    }
    pass(50).await;
    scene.server.hand("rehost").delete("Pod", "default", "a").unwrap();
    pass(50).await;
    scene.server.trace().hash()
}

#[tokio::test(start_paused = true)]
async fn runs_are_equal() {
    assert_eq!(whole_run().await, whole_run().await);
}
