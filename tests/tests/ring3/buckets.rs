//! Buckets in a pod: none where the cluster lacks the driver, and volumes that the real API server takes where it has it.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::storage::v1::CSIDriver;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use rehost_api::Notebook;
use rehost_api::conditions::{self, ConditionType};
use rehost_tests::quickstart::NAMESPACE;
use rehost_tests::quickstart::board;
use serde_json::json;

use super::{Ring, host, pod_notebook};

const NAME: &str = "bucket-pod";
const DRIVER: &str = "gcsfuse.csi.storage.gke.io";

pub async fn come_with_the_driver(ring: &Ring) {
    let mut manifest = pod_notebook(NAME);
    manifest["spec"]["buckets"] = json!([{"path": "data", "name": "team-a-data", "prefix": "taxi/", "readOnly": true}]);
    ring.person.apply(&manifest).await.expect("it is right");
    let serves = |notebook: Option<&Notebook>| {
        let status = notebook.map(board::status);
        status.is_some_and(|status| {
            let buckets = conditions::find(&status.conditions, ConditionType::Buckets);
            conditions::holds(&status.conditions, ConditionType::Serving)
                && buckets
                    .is_some_and(|it| it.reason == "DriverMissing" && it.message.contains("an administrator enables"))
        })
    };
    let before = ring.until("serves without buckets", NAME, serves).await.expect("it is there");
    assert_eq!(volumes(ring, &host(&before).0).await, 0, "no pod with such a volume would start");

    let drivers: Api<CSIDriver> = Api::all(ring.client.clone());
    let driver = serde_json::from_value(json!({"metadata": {"name": DRIVER}, "spec": {}})).expect("a driver");
    drivers.create(&PostParams::default(), &driver).await.expect("it is taken");
    let restart = Patch::Merge(json!({"metadata": {"annotations": {"rehost.dev/restart": "1"}}}));
    ring.person.notebooks().patch(NAME, &PatchParams::default(), &restart).await.expect("it is taken");
    let moved = |notebook: Option<&Notebook>| {
        notebook.is_some_and(|notebook| board::is_ready(notebook) && host(notebook).0 != host(&before).0)
    };
    let after = ring.until("is ready in another pod", NAME, moved).await.expect("it is there");
    assert_eq!(volumes(ring, &host(&after).0).await, 1);
    ring.delete(&[NAME.to_owned()]).await;
    drivers.delete(DRIVER, &DeleteParams::default()).await.expect("it can be deleted");
}

/// How many volumes of the driver the pod has.
async fn volumes(ring: &Ring, name: &str) -> usize {
    let pods: Api<Pod> = Api::namespaced(ring.client.clone(), NAMESPACE);
    let all = pods.list(&ListParams::default()).await.expect("a list").items;
    let pod = all.into_iter().find(|pod| pod.metadata.name.as_deref() == Some(name)).expect("the host's pod");
    let volumes = pod.spec.and_then(|spec| spec.volumes).unwrap_or_default();
    volumes.iter().filter(|volume| volume.csi.as_ref().is_some_and(|csi| csi.driver == DRIVER)).count()
}
