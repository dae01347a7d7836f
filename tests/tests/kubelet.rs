//! The stand-in for scheduler, kubelets and attacher serves the real API server as it serves the simulated one.
#![allow(clippy::expect_used, reason = "a test ends where its world is not as it must be")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use rehost_tests::control_plane::{self, ADMIN, ControlPlane};
use rehost_tests::kubelet::{Control, DiskAttacher, NodeSettings, Quiet, Settings, StandIn, Times, TokioClock};
use serde_json::{Value, json};

/// How much faster than life this is.
const SCALE: f64 = 20.0;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Disks(Mutex<Vec<String>>);

impl Disks {
    fn note(&self, text: String) {
        self.0.lock().expect("nobody panics while writing").push(text);
    }
}

impl DiskAttacher for Disks {
    fn attach<'a>(&'a self, node: &'a str, handle: &'a str, _: bool) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.note(format!("{handle} on {node}"));
            Ok(())
        })
    }

    fn detach<'a>(&'a self, node: &'a str, handle: &'a str) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            self.note(format!("{handle} off {node}"));
            Ok(())
        })
    }
}

async fn apply<K>(api: Api<K>, name: &str, object: Value)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(object)).await.expect("it is accepted");
}

async fn until(client: &Client, what: &str, wanted: impl Fn(Option<&Value>) -> bool) {
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let looking = async {
        loop {
            let pod = pods.get_opt("a").await.expect("the server answers");
            let pod = pod.map(|pod| serde_json::to_value(pod).expect("a pod is JSON"));
            if wanted(pod.as_ref()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, looking).await.is_ok(), "never: {what}");
}

fn condition(pod: &Value, kind: &str) -> Option<String> {
    let conditions = pod["status"]["conditions"].as_array()?;
    conditions.iter().find(|one| one["type"] == kind)?["status"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_pod_lives_and_dies_on_a_real_control_plane() {
    let plane = ControlPlane::start(control_plane::Settings::default()).await.expect("the control plane starts");
    let client = plane.client(ADMIN).await.expect("a client");
    let disks = Arc::new(Disks::default());
    let settings = Settings {
        nodes: vec![NodeSettings::new("node-1", "zone-a", "e2-standard-4", "4", "16Gi")],
        times: Times::default(),
        driver: "pd.csi.storage.gke.io".to_owned(),
        disks: disks.clone(),
        containers: Arc::new(Quiet),
    };
    let clock = TokioClock::scaled("2026-01-01T00:00:00Z".parse().expect("a time"), SCALE);
    tokio::spawn(StandIn::new(client.clone(), settings, clock, Control::default()).run());

    let volume = json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv"},
        "spec": {
            "capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOncePod"], "storageClassName": "rehost-home",
            "csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": "disk", "fsType": "ext4"},
        },
    });
    apply(Api::<PersistentVolume>::all(client.clone()), "pv", volume).await;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "home"},
        "spec": {
            "accessModes": ["ReadWriteOncePod"], "storageClassName": "rehost-home", "volumeName": "pv",
            "resources": {"requests": {"storage": "10Gi"}},
        },
    });
    apply(Api::<PersistentVolumeClaim>::default_namespaced(client.clone()), "home", claim).await;
    let amounts =
        |cpu: &str| json!({"limits": {"cpu": cpu, "memory": "1Gi"}, "requests": {"cpu": cpu, "memory": "1Gi"}});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"},
        "spec": {
            "containers": [{
                "name": "main", "image": "jupyter:1", "resources": amounts("1"),
                "volumeMounts": [{"name": "home", "mountPath": "/home/jupyter"}],
            }],
            "volumes": [{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}],
        },
    });
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    apply(pods.clone(), "a", pod).await;
    until(&client, "it is ready", |pod| pod.and_then(|pod| condition(pod, "Ready")).as_deref() == Some("True")).await;
    assert_eq!(*disks.0.lock().expect("nobody panics while writing"), ["disk on node-1"]);

    let resize = json!({"spec": {"containers": [{"name": "main", "resources": amounts("2")}]}});
    pods.patch_subresource("resize", "a", &PatchParams::default(), &Patch::Strategic(resize))
        .await
        .expect("the resize is accepted");
    until(&client, "it is resized", |pod| {
        pod.is_some_and(|pod| pod["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"] == "2")
    })
    .await;

    pods.delete("a", &DeleteParams::default()).await.expect("the deletion is accepted");
    until(&client, "it is gone", |pod| pod.is_none()).await;
    let detached = async {
        while disks.0.lock().expect("nobody panics while writing").len() < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, detached).await.expect("the disk is detached");
    assert_eq!(disks.0.lock().expect("nobody panics while writing")[1], "disk off node-1");
}
