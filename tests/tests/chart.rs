//! The chart and the kustomize base: the real Helm and kubectl render them, and a real API server takes them.
#![allow(clippy::expect_used, reason = "a test ends where its world is not as it must be")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rehost_tests::control_plane::helm::{Helm, chart};
use rehost_tests::control_plane::{ControlPlane, Kubectl, Settings};
use rehost_tests::manifests::{FOLDERS, NAMESPACE, generate, root};
use serde_json::{Value, json};

/// A Helm without a cluster, and the folder that it keeps its files in.
fn helm() -> (Helm, tempfile::TempDir) {
    let scratch = tempfile::tempdir().expect("a folder");
    (Helm::find(scratch.path()).expect("it is found or built"), scratch)
}

/// `helm template` with the values that every installation needs, and more.
async fn render(more: &[&str]) -> Result<String, String> {
    let (helm, _scratch) = helm();
    let chart = chart().display().to_string();
    let arguments = [&["template", "rehost", &chart, "--namespace", NAMESPACE][..], more].concat();
    helm.output(&arguments).await.map_err(|error| error.to_string())
}

fn documents(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).expect("it is YAML");
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// Documents by kind and name.
fn by_name(yaml: &str) -> BTreeMap<String, Value> {
    let name = |document: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{}/{}", text(&document["kind"]), text(&document["metadata"]["name"]))
    };
    documents(yaml).into_iter().map(|document| (name(&document), document)).collect()
}

fn rendered_deployment(yaml: &str) -> Value {
    by_name(yaml).remove("Deployment/rehost").expect("there is a Deployment")
}

#[tokio::test]
async fn generated_files_are_what_is_in_the_tree() {
    let (helm, _scratch) = helm();
    let files = generate(&helm).await.expect("it renders");
    assert!(files.contains_key(Path::new("charts/rehost/templates/crds/notebooks.rehost.dev.yaml")), "{files:?}");
    for (path, text) in &files {
        let found = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        assert!(*text == found, "{} is not as generated: cargo run -p rehost-tests --bin manifests", path.display());
    }
    for folder in FOLDERS {
        for entry in std::fs::read_dir(root().join(folder)).expect("it is there") {
            let entry = entry.expect("it can be read");
            let path = Path::new(folder).join(entry.file_name());
            let is_file = entry.file_type().expect("it has a type").is_file();
            assert!(!is_file || files.contains_key(&path), "{} is a leftover", path.display());
        }
    }
}

#[tokio::test]
async fn the_chart_has_no_lint() {
    let (helm, _scratch) = helm();
    let chart = chart().display().to_string();
    let output = helm.run(&["lint", "--strict", &chart, "--set", "cluster=test"]).await.expect("helm runs");
    assert!(output.status.success(), "{}{}", output.stdout, output.stderr);
}

#[tokio::test]
async fn wrong_values_are_refused_by_the_schema_and_named() {
    for (value, named) in [
        ("replicas=many", "/replicas"),
        ("replicas=99", "/replicas"),
        ("logFormat=xml", "/logFormat"),
        ("image.pullPolicy=Sometimes", "/image/pullPolicy"),
        ("image.digest=latest", "/image/digest"),
        ("impersonate=not-an-address", "/impersonate"),
        ("computeEndpoint=localhost", "/computeEndpoint"),
        ("cluster=Prod_1", "/cluster"),
        ("replica=2", "replica"),
        ("serviceAccount.anotations.a=b", "anotations"),
    ] {
        let refusal = render(&["--set", "cluster=test", "--set", value]).await.expect_err(value);
        assert!(refusal.contains("schema"), "{value}: {refusal}");
        assert!(refusal.contains(named), "{value}: {refusal}");
    }
}

#[tokio::test]
async fn a_cluster_without_a_name_is_refused() {
    let refusal = render(&[]).await.expect_err("the name is needed");
    assert!(refusal.contains("what is this cluster called?"), "{refusal}");
}

#[tokio::test]
async fn values_reach_the_controller() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let image = format!("image.digest={digest}");
    let account = "rehost@my-project.iam.gserviceaccount.com";
    let impersonate = format!("impersonate={account}");
    let identity = format!("serviceAccount.googleServiceAccount={account}");
    let settings =
        ["cluster=prod", "logFormat=human", "computeEndpoint=http://world:8080", &image, &impersonate, &identity];
    let more: Vec<&str> = settings.iter().flat_map(|setting| ["--set", *setting]).collect();
    let yaml = render(&more).await.expect("it renders");
    let deployment = rendered_deployment(&yaml);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        container["args"],
        json!([
            "--cluster=prod",
            "--log-format=human",
            "--listen=0.0.0.0:8080",
            "--compute-endpoint=http://world:8080",
            format!("--impersonate={account}"),
        ])
    );
    assert_eq!(container["image"], format!("ghcr.io/rehost-dev/rehost@{digest}"));
    let service_account = &by_name(&yaml)["ServiceAccount/rehost"];
    assert_eq!(service_account["metadata"]["annotations"]["iam.gke.io/gcp-service-account"], account);
}

#[tokio::test]
async fn rights_have_no_wildcard_and_no_secret() {
    let yaml = render(&["--set", "cluster=test"]).await.expect("it renders");
    let roles: Vec<Value> = documents(&yaml)
        .into_iter()
        .filter(|document| matches!(document["kind"].as_str(), Some("Role" | "ClusterRole")))
        .collect();
    assert!(roles.len() >= 2, "there are roles to look at");
    for role in roles {
        let granted = role["rules"].to_string();
        assert!(!granted.contains('*'), "{role}");
        assert!(!granted.contains("secrets"), "{role}");
    }
}

#[tokio::test]
async fn the_keys_of_access_are_mounted_where_the_controller_reads_them() {
    let with = rendered_deployment(
        &render(&["--set", "cluster=test,accessKeysSecret=rehost-access"]).await.expect("it renders"),
    );
    let pod = &with["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let arguments = container["args"].as_array().expect("arguments");
    assert!(arguments.iter().any(|argument| argument == "--access-keys-file=/etc/rehost/access/keys"), "{arguments:?}");
    assert_eq!(container["volumeMounts"][0]["mountPath"], "/etc/rehost/access");
    assert_eq!(container["volumeMounts"][0]["readOnly"], true);
    let secret = &pod["volumes"][0]["secret"];
    assert_eq!((&secret["secretName"], &secret["items"][0]["path"]), (&"rehost-access".into(), &"keys".into()));
    let without = rendered_deployment(&render(&["--set", "cluster=test"]).await.expect("it renders"));
    assert_eq!(without["spec"]["template"]["spec"]["volumes"], Value::Null);
}

#[tokio::test]
async fn the_kustomize_base_is_the_chart() {
    let kubectl = ControlPlaneless::new();
    let base = by_name(&kubectl.kustomize("config/base").await);
    let chart = render(&["--set", "settingsConfigMap=rehost-settings"]).await.expect("it renders");
    let mut expected = by_name(&chart);
    for document in expected.values_mut() {
        strip_helm(document);
    }
    let mut found = base.clone();
    let namespace = found.remove(&format!("Namespace/{NAMESPACE}")).expect("the base makes its namespace");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, document) in &expected {
        assert_eq!(differences("", &found[name], document), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn the_example_completes_the_base() {
    let kubectl = ControlPlaneless::new();
    let built = kubectl.kustomize("config/example").await;
    let deployment = rendered_deployment(&built);
    let source = &deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"];
    let settings = by_name(&built)
        .remove(&format!("ConfigMap/{}", source.as_str().unwrap_or_default()))
        .expect("the settings that the Deployment names");
    assert_eq!(settings["data"]["REHOST_CLUSTER"], "my-cluster");
}

/// Where two documents differ, as paths: a definition is too long to be shown whole.
fn differences(path: &str, left: &Value, right: &Value) -> Vec<String> {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
            let of =
                |object: &serde_json::Map<String, Value>, key: &String| object.get(key).cloned().unwrap_or_default();
            keys.into_iter()
                .flat_map(|key| differences(&format!("{path}/{key}"), &of(left, key), &of(right, key)))
                .collect()
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            let pairs = left.iter().zip(right).enumerate();
            pairs.flat_map(|(index, (left, right))| differences(&format!("{path}/{index}"), left, right)).collect()
        }
        // kubectl writes 365.0 as 365.
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => Vec::new(),
        _ if left == right => Vec::new(),
        _ => vec![format!("{path}: {left} is not {right}")],
    }
}

/// What only Helm needs.
fn strip_helm(document: &mut Value) {
    fn strip(value: &mut Value) {
        if let Value::Object(object) = value {
            object.remove("helm.sh/chart");
            object.remove("app.kubernetes.io/managed-by");
            object.values_mut().for_each(strip);
        }
        if let Value::Array(values) = value {
            values.iter_mut().for_each(strip);
        }
    }
    strip(document);
    if document["kind"] == "CustomResourceDefinition"
        && let Some(metadata) = document["metadata"].as_object_mut()
    {
        metadata.remove("annotations");
    }
}

/// kubectl where no cluster is needed.
struct ControlPlaneless {
    scratch: tempfile::TempDir,
}

impl ControlPlaneless {
    fn new() -> Self {
        Self { scratch: tempfile::tempdir().expect("a folder") }
    }

    async fn kustomize(&self, folder: &str) -> String {
        let kubectl = Kubectl::without_cluster(self.scratch.path()).expect("it is found or built");
        kubectl.output(&["kustomize", &root().join(folder).display().to_string()]).await.expect("it builds")
    }
}

/// All that a release has in the cluster, with the version of each object.
async fn versions(kubectl: &Kubectl) -> BTreeMap<String, String> {
    let kinds = "customresourcedefinitions,clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,services,\
                 deployments,poddisruptionbudgets,storageclasses,validatingadmissionpolicies,\
                 validatingadmissionpolicybindings";
    let arguments = ["get", kinds, "-n", NAMESPACE, "-l", "app.kubernetes.io/instance=rehost"];
    let labelled = kubectl.json(&arguments).await.expect("they can be listed");
    let definitions = ["get", "customresourcedefinitions", "notebooks.rehost.dev", "notebookclasses.rehost.dev"];
    let definitions = kubectl.json(&definitions).await.expect("they are there");
    [&labelled, &definitions]
        .iter()
        .flat_map(|list| list["items"].as_array().expect("a list"))
        .map(|item| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let name = format!("{}/{}", text(&item["kind"]), text(&item["metadata"]["name"]));
            (name, text(&item["metadata"]["resourceVersion"]))
        })
        .collect()
}

/// One story, since every step needs the one before it.
#[tokio::test]
async fn a_release_is_installed_upgraded_without_a_change_and_removed() {
    let plane = ControlPlane::start(Settings::default()).await.expect("it starts");
    let (helm, kubectl) = (plane.helm().expect("it is found or built"), plane.kubectl());
    let namespace = std::fs::read_to_string(root().join("config/base/namespace.yaml")).expect("it is generated");
    kubectl.apply(&namespace).await.expect("a namespace that holds pods to the restricted standard");

    let chart = chart().display().to_string();
    let values = plane.directory().join("values.yaml");
    let class = json!({
        "cluster": "test",
        "defaultClass": {"create": true, "spec": {"project": "my-project", "zones": ["us-central1-a"]}},
    });
    std::fs::write(&values, class.to_string()).expect("it can be written");
    let values = values.display().to_string();
    let release = ["rehost", &chart, "--namespace", NAMESPACE, "--values", &values];
    helm.output(&[&["install"][..], &release].concat()).await.expect("it installs");

    // A pod as the Deployment makes it meets the namespace's standard, as the server sees it.
    let deployment = kubectl.json(&["get", "deployment", "rehost", "-n", NAMESPACE]).await.expect("it is there");
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "like-its", "namespace": NAMESPACE}});
    pod["spec"] = deployment["spec"]["template"]["spec"].clone();
    let dry_run = ["create", "--dry-run=server", "-f", "-"];
    kubectl.output_with_input(&dry_run, &pod.to_string()).await.expect("the pod is admitted");

    // What the administrator changes in the class is theirs.
    let patch = r#"{"spec":{"zones":["us-central1-a","us-central1-b"]}}"#;
    kubectl.output(&["patch", "notebookclass", "default", "--type=merge", "-p", patch]).await.expect("it is there");
    let before = versions(&kubectl).await;
    assert!(before.len() >= 15, "{before:?}");
    helm.output(&[&["upgrade"][..], &release].concat()).await.expect("it upgrades");
    assert_eq!(versions(&kubectl).await, before, "an upgrade to the same changes nothing");
    let class = kubectl.json(&["get", "notebookclass", "default"]).await.expect("it is there");
    assert_eq!(class["spec"]["zones"], json!(["us-central1-a", "us-central1-b"]));

    helm.output(&["uninstall", "rehost", "--namespace", NAMESPACE]).await.expect("it goes");
    let after = versions(&kubectl).await;
    let kept: Vec<&str> = after.keys().map(String::as_str).collect();
    let definitions = ["notebookclasses.rehost.dev", "notebooks.rehost.dev"];
    assert_eq!(kept, definitions.map(|name| format!("CustomResourceDefinition/{name}")), "the definitions stay");
    kubectl.output(&["get", "notebookclass", "default"]).await.expect("the class stays with its notebooks");
    helm.output(&[&["install"][..], &release].concat()).await.expect("it installs again over what was kept");
}
