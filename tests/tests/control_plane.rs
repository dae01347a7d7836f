//! The control plane itself: it starts, it refuses, it counts, and it leaves nothing behind.
#![allow(clippy::expect_used, reason = "a test ends where its world is not as it must be")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use rehost_tests::control_plane::audit::Key;
use rehost_tests::control_plane::rbac::{self, Right};
use rehost_tests::control_plane::{ControlPlane, Kubectl, Settings};
use serde_json::json;
use tokio::sync::OnceCell;

/// One for all tests of this file; each keeps to its own namespace and user.
async fn plane() -> &'static ControlPlane {
    static PLANE: OnceCell<ControlPlane> = OnceCell::const_new();
    PLANE.get_or_init(|| async { ControlPlane::start(Settings::default()).await.expect("it starts") }).await
}

const CLOCKS: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: clocks.test.rehost.dev}
spec:
  group: test.rehost.dev
  scope: Namespaced
  names: {plural: clocks, singular: clock, kind: Clock}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              hours:
                type: integer
                x-kubernetes-validations: [{rule: "self in [12, 24]", message: "a clock has 12 or 24 hours"}]
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"#;

#[tokio::test]
async fn custom_resources_are_validated_by_their_own_rules() {
    let kubectl = plane().await.kubectl();
    kubectl.apply(CLOCKS).await.expect("the definition is accepted");
    kubectl
        .output(&["wait", "--for=condition=Established", "--timeout=30s", "crd/clocks.test.rehost.dev"])
        .await
        .expect("it is served");

    let clock = |hours: u8| {
        let clock = json!({"apiVersion": "test.rehost.dev/v1", "kind": "Clock",
            "metadata": {"name": "wall", "namespace": "default"}, "spec": {"hours": hours}});
        clock.to_string()
    };
    kubectl.apply(&clock(24)).await.expect("a right one is accepted");
    let refusal = kubectl.apply(&clock(13)).await.expect_err("a wrong one is refused").to_string();
    assert!(refusal.contains("a clock has 12 or 24 hours"), "{refusal}");

    let kept = kubectl.json(&["get", "clock", "wall"]).await.expect("it is there");
    assert_eq!(kept["spec"]["hours"], 24, "the refused edit changed nothing");
}

#[tokio::test]
async fn a_user_without_rights_is_refused_and_one_with_rights_is_not() {
    let plane = plane().await;
    let refused = plane.kubectl_as("scientist").run(&["get", "configmaps"]).await.expect("kubectl runs");
    assert!(!refused.status.success());
    assert!(refused.stderr.contains(r#"User "scientist" cannot list resource "configmaps""#), "{}", refused.stderr);

    let admin = plane.kubectl();
    admin.output(&["create", "namespace", "team-rights"]).await.expect("a namespace");
    grant(&admin, "team-rights", "services", "--group=platform-administrators").await;
    let platform = plane.kubectl_as("platform");
    let mut last = String::new();
    // The authorizer learns of a binding from a watch of its own.
    for _ in 0..100 {
        let answer = platform.run(&["get", "services", "-n", "team-rights"]).await.expect("kubectl runs");
        if answer.status.success() {
            return;
        }
        last = answer.stderr;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the group's right never held: {last}");
}

#[tokio::test]
async fn an_unknown_user_is_an_error_at_once() {
    let error = plane().await.client("nobody").await.map(|_| ()).expect_err("there is no such user");
    assert!(error.to_string().contains("kubeconfig"), "{error}");
}

#[tokio::test]
async fn requests_are_counted_by_user_verb_and_resource() {
    let plane = plane().await;
    let namespace = "team-counts";
    plane.kubectl().output(&["create", "namespace", namespace]).await.expect("a namespace");
    grant(&plane.kubectl(), namespace, "configmaps", "--user=gitops").await;
    let maps: Api<ConfigMap> = Api::namespaced(plane.client("gitops").await.expect("a client"), namespace);
    wait_until_allowed(|| async { maps.list(&ListParams::default()).await.map(|_| ()) }).await;

    let audit = plane.audit();
    let mark = audit.mark().expect("there is a log");
    let map = ConfigMap { metadata: named("shape"), ..ConfigMap::default() };
    maps.create(&PostParams::default(), &map).await.expect("it is made");
    for size in ["1", "2"] {
        let patch = json!({"data": {"size": size}});
        maps.patch("shape", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("it is changed");
    }
    maps.get("shape").await.expect("it is there");
    await_condition(maps.clone(), "shape", |map: Option<&ConfigMap>| map.is_some()).await.expect("a watch sees it");
    let everything = maps.list(&ListParams::default()).await.expect("a list");
    assert_eq!(everything.items.len(), 1, "without a controller-manager there is no kube-root-ca.crt");

    let key = |verb: &str| Key { user: "gitops".to_owned(), verb: verb.to_owned(), resource: "configmaps".to_owned() };
    // The last answer can reach us before it reaches the log.
    let mut traffic = audit.since(mark).expect("it reads").by("gitops");
    for _ in 0..100 {
        if traffic.writes_total() == 3 && traffic.reads.contains_key(&key("get")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        traffic = audit.since(mark).expect("it reads").by("gitops");
    }
    assert_eq!(traffic.writes, BTreeMap::from([(key("create"), 1), (key("patch"), 2)]), "{traffic}");
    assert_eq!(traffic.reads.get(&key("get")), Some(&1), "{traffic}");
    assert!(traffic.reads.contains_key(&key("list")), "{traffic}");
}

#[tokio::test]
async fn a_service_account_speaks_by_its_own_token_and_its_rights_can_be_compared() {
    let plane = plane().await;
    let namespace = "team-accounts";
    let admin = plane.client("admin").await.expect("a client");
    plane.kubectl().output(&["create", "namespace", namespace]).await.expect("a namespace");
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), namespace);
    let account = ServiceAccount { metadata: named("worker"), ..ServiceAccount::default() };
    accounts.create(&PostParams::default(), &account).await.expect("an account");
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "worker"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "delete"]}],
    }))
    .expect("a role");
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "worker"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "worker"},
        "subjects": [{"kind": "ServiceAccount", "name": "worker", "namespace": namespace}],
    }))
    .expect("a binding");
    Api::namespaced(admin.clone(), namespace).create(&PostParams::default(), &role).await.expect("it is made");
    Api::namespaced(admin.clone(), namespace).create(&PostParams::default(), &binding).await.expect("it is made");

    let worker = plane.service_account_client(namespace, "worker").await.expect("a token");
    let maps: Api<ConfigMap> = Api::namespaced(worker, namespace);
    wait_until_allowed(|| async { maps.list(&ListParams::default()).await.map(|_| ()) }).await;
    let mark = plane.audit().mark().expect("there is a log");
    maps.list(&ListParams::default()).await.expect("it may");
    let refused = maps.get("shape").await.expect_err("it may not");
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 403), "{refused}");

    let user = format!("system:serviceaccount:{namespace}:worker");
    let granted = rbac::granted_to_service_account(&admin, namespace, "worker").await.expect("it can be read");
    let requests = plane.audit().requests_since(mark).expect("it reads");
    let comparison = rbac::compare(&granted, &requests, &user);
    let right = |verb: &str| Right {
        namespace: Some(namespace.to_owned()),
        group: String::new(),
        resource: "configmaps".to_owned(),
        name: None,
        verb: verb.to_owned(),
    };
    assert_eq!(comparison.missing, [right("get")].into(), "{comparison}");
    assert_eq!(comparison.surplus, [right("delete")].into(), "{comparison}");
}

#[tokio::test]
async fn nothing_is_left_when_it_is_dropped() {
    let plane = ControlPlane::start(Settings::default()).await.expect("a second one beside the first");
    let (directory, url) = (plane.directory().to_owned(), plane.url().to_owned());
    assert!(directory.join("audit.log").exists(), "it has written something");
    let client = plane.client("admin").await.expect("a client");
    drop(plane);
    assert!(!directory.exists(), "its folder went with it");
    client.apiserver_version().await.expect_err("nobody answers any more");
    let address = url.trim_start_matches("https://");
    std::net::TcpListener::bind(address).expect("its port is free again");
}

#[tokio::test]
async fn an_api_server_that_cannot_start_says_why() {
    let settings = Settings { arguments: vec!["--no-such-flag".to_owned()], ..Settings::default() };
    let error = ControlPlane::start(settings).await.expect_err("the flag does not exist").to_string();
    assert!(error.contains("kube-apiserver ended with"), "{error}");
    assert!(error.contains("no-such-flag"), "the end of the log is in the message: {error}");
}

/// Grants everything that the tests do with one resource. The `view` and `edit` of a cluster are empty here, since a
/// controller aggregates them.
async fn grant(kubectl: &Kubectl, namespace: &str, resource: &str, subject: &str) {
    let resource = format!("--resource={resource}");
    let verbs = "--verb=get,list,watch,create,patch";
    kubectl.output(&["create", "role", "tester", verbs, &resource, "-n", namespace]).await.expect("a role");
    let bind = ["create", "rolebinding", "tester", "--role=tester", subject, "-n", namespace];
    kubectl.output(&bind).await.expect("a binding");
}

fn named(name: &str) -> kube::api::ObjectMeta {
    kube::api::ObjectMeta { name: Some(name.to_owned()), ..kube::api::ObjectMeta::default() }
}

/// The authorizer learns of a binding from a watch of its own, a moment after the binding is made.
async fn wait_until_allowed<F, T>(ask: F)
where
    F: Fn() -> T,
    T: Future<Output = Result<(), kube::Error>>,
{
    for _ in 0..100 {
        match ask().await {
            Ok(()) => return,
            Err(kube::Error::Api(status)) if status.code == 403 => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("still forbidden after 5 s");
}
