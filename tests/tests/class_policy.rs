//! What a class does not allow is refused at admission: the chart's policy, on a real API server with the real
//! definitions.
#![allow(clippy::expect_used, reason = "a test ends where its world is not as it must be")]

use rehost_tests::control_plane::helm::chart;
use rehost_tests::control_plane::{ControlPlane, Kubectl, Settings};
use rehost_tests::manifests::NAMESPACE;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// One control plane with the chart, the classes and a namespace that `strict` is for.
async fn plane() -> &'static ControlPlane {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    PLANE
        .get_or_init(|| async {
            let plane = ControlPlane::start(Settings::default()).await.expect("it starts");
            let chart = chart().display().to_string();
            let arguments =
                ["install", "rehost", &chart, "-n", NAMESPACE, "--create-namespace", "--set", "cluster=test"];
            plane.helm().expect("it is found or built").output(&arguments).await.expect("it installs");
            let kubectl = plane.kubectl();
            kubectl.apply(&classes()).await.expect("the classes are right");
            for arguments in [
                &["create", "namespace", "team-a"][..],
                &["label", "namespace", "team-a", "team=a", "stage=prod"],
                &["create", "namespace", "team-b"],
                &["label", "namespace", "team-b", "team=b"],
            ] {
                kubectl.output(arguments).await.expect("a namespace");
            }
            wait_until_it_holds(&kubectl).await;
            plane
        })
        .await
}

/// The server learns of a policy and its parameters from watches of its own, some moments after they are made.
async fn wait_until_it_holds(kubectl: &Kubectl) {
    let refused = notebook("early", "team-a", json!({"host": {"vm": {"machineType": "z9-none-1"}}})).to_string();
    for _ in 0..300 {
        let output = try_out(kubectl, &refused).await;
        if output.is_err_and(|refusal| refusal.contains("is not allowed by class")) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the policy never held");
}

async fn try_out(kubectl: &Kubectl, manifest: &str) -> Result<String, String> {
    let arguments = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
    kubectl.output_with_input(&arguments, manifest).await.map_err(|error| error.to_string())
}

fn classes() -> String {
    let open = json!({
        "apiVersion": "rehost.dev/v1alpha1", "kind": "NotebookClass", "metadata": {"name": "open"},
        "spec": {
            "project": "my-project", "zones": ["us-central1-a"],
            "machineTypes": {"allowed": ["*"]}, "pods": {"homes": "Disk"},
        },
    });
    let default = json!({
        "apiVersion": "rehost.dev/v1alpha1", "kind": "NotebookClass", "metadata": {"name": "default"},
        "spec": {
            "namespaceSelector": {
                "matchLabels": {"team": "a"},
                "matchExpressions": [
                    {"key": "stage", "operator": "In", "values": ["prod", "test"]},
                    {"key": "frozen", "operator": "DoesNotExist"},
                ],
            },
            "project": "my-project",
            "zones": ["us-central1-a", "us-central1-b"],
            "network": {
                "subnetwork": "regions/us-central1/subnetworks/notebooks",
                "allowedSubnetworks": ["regions/us-central1/subnetworks/lab-*"],
                "tags": ["notebooks"], "allowedTags": ["team-a-*"],
            },
            "machineTypes": {"allowed": ["n1-*", "g2-standard-8"], "default": "e2-standard-4"},
            "gpus": {"allowed": ["nvidia-tesla-t4"], "maxCount": 2},
            "images": {
                "vm": {"cpu": "projects/p/global/images/family/notebook-cpu", "allowed": ["projects/p/global/images/family/*-beta"]},
                "pod": {"default": "quay.io/jupyter/base-notebook:1", "allowed": ["quay.io/jupyter/*"]},
            },
            "serviceAccounts": {"default": "nb@my-project.iam.gserviceaccount.com"},
            "buckets": ["team-a-*"],
            "sourcePrefixes": ["https://github.com/my.org/"],
            "pods": {"homes": "Disk"},
        },
    });
    format!("{default}\n---\n{open}\n")
}

fn notebook(name: &str, namespace: &str, spec: Value) -> Value {
    json!({"apiVersion": "rehost.dev/v1alpha1", "kind": "Notebook", "metadata": {"name": name, "namespace": namespace}, "spec": spec})
}

fn vm(fields: Value) -> Value {
    json!({"host": {"vm": fields}})
}

fn pod(fields: Value) -> Value {
    json!({"host": {"pod": fields}})
}

#[tokio::test]
async fn what_the_class_allows_is_accepted() {
    let kubectl = plane().await.kubectl();
    for spec in [
        json!({}),
        vm(json!({})),
        vm(json!({"machineType": "e2-standard-4"})),
        vm(json!({"machineType": "g2-standard-8"})),
        vm(json!({"machineType": "n1-standard-4", "gpu": {"type": "nvidia-tesla-t4", "count": 2}})),
        vm(json!({"serviceAccount": "nb@my-project.iam.gserviceaccount.com", "externalAddress": "None"})),
        vm(json!({"bootDisk": {"image": "projects/p/global/images/family/notebook-cpu"}})),
        vm(json!({"bootDisk": {"image": "projects/p/global/images/family/notebook-beta"}})),
        vm(json!({"subnetwork": "regions/us-central1/subnetworks/notebooks", "tags": ["notebooks", "team-a-lab"]})),
        vm(json!({"subnetwork": "regions/us-central1/subnetworks/lab-1"})),
        pod(json!({"image": "quay.io/jupyter/scipy-notebook:2"})),
        json!({"zones": ["us-central1-b"], "buckets": [{"path": "data", "name": "team-a-data"}]}),
        json!({"source": {"repository": "https://github.com/my.org/course.git"}}),
    ] {
        let manifest = notebook("allowed", "team-a", spec.clone()).to_string();
        try_out(&kubectl, &manifest).await.unwrap_or_else(|refusal| panic!("{spec}: {refusal}"));
    }
}

#[tokio::test]
async fn what_the_class_does_not_allow_is_refused_and_named() {
    let kubectl = plane().await.kubectl();
    let image = "projects/p/global/images/family/other";
    let prefix = "https://github.com/myXorg/";
    for (spec, says) in [
        (
            vm(json!({"machineType": "n2-standard-4"})),
            "vm.machineType 'n2-standard-4' is not allowed by class 'default': it allows e2-standard-4, n1-*, g2-standard-8",
        ),
        (vm(json!({"machineType": "g2-standard-80"})), "vm.machineType 'g2-standard-80'"),
        (
            vm(json!({"machineType": "n1-standard-4", "gpu": {"type": "nvidia-tesla-v100", "count": 1}})),
            "vm.gpu.type 'nvidia-tesla-v100'",
        ),
        (vm(json!({"machineType": "n1-standard-4", "gpu": {"type": "nvidia-tesla-t4", "count": 4}})), "at most 2"),
        (vm(json!({"serviceAccount": "owner@my-project.iam.gserviceaccount.com"})), "vm.serviceAccount 'owner@"),
        (vm(json!({"bootDisk": {"image": image}})), "vm.bootDisk.image 'projects/p/global/images/family/other'"),
        (
            vm(json!({"subnetwork": "regions/us-central1/subnetworks/prod"})),
            "vm.subnetwork 'regions/us-central1/subnetworks/prod'",
        ),
        (vm(json!({"tags": ["notebooks", "open-to-all"]})), "vm.tags 'open-to-all'"),
        (vm(json!({"externalAddress": "Ephemeral"})), "vm.externalAddress is not allowed"),
        (pod(json!({"image": "docker.io/somebody/miner:latest"})), "pod.image 'docker.io/somebody/miner:latest'"),
        (
            json!({"zones": ["us-central1-a", "us-central1-f"]}),
            "zones 'us-central1-f' are not of class 'default': it has us-central1-a, us-central1-b",
        ),
        (json!({"buckets": [{"path": "data", "name": "team-b-data"}]}), "buckets 'team-b-data'"),
        (
            json!({"source": {"repository": format!("{prefix}course.git")}}),
            "source.repository 'https://github.com/myXorg/course.git'",
        ),
        (
            json!({"host": {"vm": {}}, "fallbacks": [{"vm": {"machineType": "n2-standard-4"}}]}),
            "vm.machineType 'n2-standard-4'",
        ),
    ] {
        let manifest = notebook("refused", "team-a", spec.clone()).to_string();
        let refusal = try_out(&kubectl, &manifest).await.expect_err(&spec.to_string());
        assert!(refusal.contains(says), "{spec}: {refusal}");
    }
}

#[tokio::test]
async fn a_class_is_for_its_namespaces_and_for_the_notebooks_that_name_it() {
    let kubectl = plane().await.kubectl();
    let refusal = try_out(&kubectl, &notebook("elsewhere", "team-b", json!({})).to_string()).await;
    let refusal = refusal.expect_err("the class is not for team-b");
    assert!(refusal.contains("class 'default' is not for namespace 'team-b'"), "{refusal}");

    let other = json!({"class": "open", "host": {"vm": {"machineType": "n2-standard-4"}}});
    try_out(&kubectl, &notebook("elsewhere", "team-b", other).to_string()).await.expect("this class is for everybody");
    let none = json!({"class": "not-there", "host": {"vm": {"machineType": "n2-standard-4"}}});
    let accepted = try_out(&kubectl, &notebook("elsewhere", "team-b", none).to_string()).await;
    accepted.expect("a class that is not there is the controller's to report");
}

#[tokio::test]
async fn a_class_without_gpus_and_pods_allows_none() {
    let kubectl = plane().await.kubectl();
    let bare = json!({"apiVersion": "rehost.dev/v1alpha1", "kind": "NotebookClass", "metadata": {"name": "bare"},
        "spec": {"project": "my-project", "zones": ["us-central1-a"]}});
    kubectl.apply(&bare.to_string()).await.expect("a class");
    for (host, says) in [
        (json!({"vm": {"machineType": "n1-standard-4"}}), "it allows none"),
        (json!({"vm": {"gpu": {"type": "nvidia-tesla-t4", "count": 1}}}), "it allows none"),
        (json!({"pod": {}}), "host.pod is not allowed by class 'bare'"),
    ] {
        let manifest = notebook("bare", "team-b", json!({"class": "bare", "host": host})).to_string();
        let mut refusal = String::new();
        // A class that is new reaches the server's policies a moment later.
        for _ in 0..100 {
            match try_out(&kubectl, &manifest).await {
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                Err(error) => {
                    refusal = error;
                    break;
                }
            }
        }
        assert!(refusal.contains(says), "{host}: {refusal}");
    }
}

/// An administrator takes away what a running notebook uses: it can be stopped and changed elsewhere, but nothing new
/// that is not allowed comes in.
#[tokio::test]
async fn a_class_that_becomes_stricter_locks_nobody_in() {
    let kubectl = plane().await.kubectl();
    let class = |machine_types: Value| {
        json!({"apiVersion": "rehost.dev/v1alpha1", "kind": "NotebookClass", "metadata": {"name": "shrinking"},
            "spec": {"project": "my-project", "zones": ["us-central1-a"], "machineTypes": {"allowed": machine_types}}})
    };
    kubectl.apply(&class(json!(["n1-*"])).to_string()).await.expect("a class");
    let host = json!({"vm": {"machineType": "n1-standard-4"}});
    let running = notebook("kept", "team-b", json!({"class": "shrinking", "host": host}));
    kubectl.apply(&running.to_string()).await.expect("it is allowed");

    kubectl.apply(&class(json!(["e2-*"])).to_string()).await.expect("the class becomes stricter");
    let new = notebook("new", "team-b", running["spec"].clone()).to_string();
    let mut refused = false;
    for _ in 0..100 {
        refused = try_out(&kubectl, &new).await.is_err();
        if refused {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(refused, "the stricter class holds for new notebooks");

    let stopped = notebook("kept", "team-b", json!({"class": "shrinking", "host": host, "state": "Stopped"}));
    kubectl.apply(&stopped.to_string()).await.expect("it can be stopped");
    let annotate = ["annotate", "notebook", "kept", "-n", "team-b", "rehost.dev/wake=1"];
    kubectl.output(&annotate).await.expect("it can be woken");
    let larger = json!({"class": "shrinking", "host": {"vm": {"machineType": "n1-standard-8"}}});
    let refusal = kubectl.apply(&notebook("kept", "team-b", larger).to_string()).await.expect_err("that is new");
    assert!(refusal.to_string().contains("it allows e2-*"), "{refusal}");
    kubectl.output(&["delete", "notebook", "kept", "-n", "team-b"]).await.expect("it can be deleted");
}
