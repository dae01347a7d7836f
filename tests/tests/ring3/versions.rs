//! The definitions and the admission policy hold on every Kubernetes that we support.
//!
//! One kube-apiserver, of the newest of them, emulates the older ones: it then has the features, the APIs and the CEL library
//! of the version that it emulates, as upstream's own upgrade tests have it.

use http::Request;
use rehost_tests::control_plane::helm::chart;
use rehost_tests::control_plane::{ADMIN, ControlPlane, Settings};
use rehost_tests::manifests::root;
use rehost_tests::quickstart::NAMESPACE;
use rehost_tests::stand::OPERATOR_NAMESPACE;
use serde_json::{Value, json};

use super::person::Person;
use super::refusals;

/// The minor versions beside the newest, on which everything else here runs.
const OLDER: [&str; 3] = ["33", "34", "35"];

pub async fn hold() {
    for minor in OLDER {
        eprintln!("as Kubernetes 1.{minor}");
        on(minor).await;
    }
}

async fn on(minor: &str) {
    let settings = Settings { arguments: vec![format!("--emulated-version=1.{minor}")], ..Settings::default() };
    let plane = ControlPlane::start(settings).await.expect("it starts");
    let client = plane.client(ADMIN).await.expect("a client");
    let version: Value =
        client.request(Request::get("/version").body(Vec::new()).expect("a request")).await.expect("it says");
    assert_eq!(version["emulationMinor"], minor, "{version}");

    let (helm, kubectl) = (plane.helm().expect("it is found or built"), plane.kubectl());
    let chart = chart().display().to_string();
    let install =
        ["install", "rehost", &chart, "-n", OPERATOR_NAMESPACE, "--create-namespace", "--set", "cluster=test"];
    helm.output(&install).await.expect("it installs");
    let definitions = ["crd/notebooks.rehost.dev", "crd/notebookclasses.rehost.dev"];
    let established = [&["wait", "--for=condition=Established", "--timeout=30s"][..], &definitions].concat();
    kubectl.output(&established).await.expect("the definitions are taken");
    let samples = root().join("config/samples").display().to_string();
    kubectl.output(&["apply", "-k", &samples]).await.expect("what is right is taken");

    let person = Person::new(client);
    let wrong = refusals::what_admission_lets_pass(&person).await;
    assert!(wrong.is_empty(), "1.{minor}: {wrong:#?}");
    policy_holds(&person, minor).await;
}

/// What the class does not allow is refused by the chart's policy, once the server has learned of it from its own watch.
async fn policy_holds(person: &Person, minor: &str) {
    let forbidden = json!({
        "apiVersion": "rehost.dev/v1alpha1", "kind": "Notebook", "metadata": {"name": "forbidden", "namespace": NAMESPACE},
        "spec": {"host": {"vm": {"machineType": "m1-ultramem-40"}}},
    });
    for _ in 0..300 {
        match person.apply(&forbidden).await {
            Ok(_) => person.delete("forbidden").await,
            Err(refusal) if refusal.contains("is not allowed by class") => {
                assert!(refusal.contains("m1-ultramem-40") && refusal.contains("n1-*"), "1.{minor}: {refusal}");
                return;
            }
            Err(other) => panic!("1.{minor}: {other}"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("1.{minor}: the policy never held");
}
