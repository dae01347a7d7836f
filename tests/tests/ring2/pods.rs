//! What a pod offers beside its home: told to it, heard from it, and followed.

use std::time::Duration;

use rehost_api::guest::{GuestSettings, SETTINGS_FILE};
use rehost_api::status::{HostKind, StopReason};
use rehost_tests::sim::{
    Act, Condition, Failed, NAME, NAMESPACE, REVISION, Run, Settings, manifest, runs_on, simulate,
};
use serde_json::{Value, json};

const REPOSITORY: &str = "https://github.com/org/course";
const SHAPE: &str = "1 cpu, 2Gi";

fn told(story: impl AsyncFnOnce(&Run) -> Result<(), Failed>) {
    let outcome = simulate(Settings { has_key: true, ..Settings::default() }, |run| async move {
        run.start_controller();
        story(&run).await
    });
    assert!(outcome.is_fine(), "{}", outcome.report("this test"));
}

fn applied(more: &Value) -> Act {
    let host = json!({"pod": {"resources": {"cpu": "1", "memory": "2Gi"}}});
    let mut notebook = manifest(NAME, &host, "Running");
    notebook["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Act::Apply(notebook)
}

fn says(kind: &'static str, status: &'static str, word: &'static str) -> Condition {
    Box::new(move |view| match view.condition(kind)? {
        (found, _, message) if found == status && message.contains(word) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

/// The settings of the pod that is the host now.
fn settings(run: &Run) -> GuestSettings {
    let scene = run.shared().scene();
    let host = scene.cluster.notebooks[0].status.host.clone().unwrap();
    let map = run.shared().server.get("ConfigMap", NAMESPACE, &host.name).unwrap();
    serde_json::from_str(map["data"][SETTINGS_FILE].as_str().unwrap()).unwrap()
}

#[test]
fn a_repository_is_told_to_the_pod_and_its_revision_is_heard() {
    told(async |run| {
        let source = json!({"source": {"repository": REPOSITORY, "ref": "main"}});
        run.act(NAME, &applied(&source)).unwrap();
        run.until(NAME, "made", 600.0, &runs_on(HostKind::Pod, SHAPE), None).await?;
        run.until(NAME, "heard", 60.0, &says("Source", "True", REVISION), None).await?;
        let revision = run.shared().scene().cluster.notebooks[0].status.source.clone().unwrap().revision;
        assert_eq!(revision, REVISION);

        let before =
            run.shared().server.all("Pod").iter().find(|pod| pod["metadata"]["namespace"] == NAMESPACE).cloned();
        run.act(NAME, &applied(&json!({"source": {"repository": REPOSITORY, "ref": "week-2"}}))).unwrap();
        run.until(NAME, "followed", 60.0, &says("Ready", "True", ""), None).await?;
        assert_eq!(settings(run).offer.source.unwrap().reference.as_deref(), Some("week-2"));
        let after =
            run.shared().server.all("Pod").iter().find(|pod| pod["metadata"]["namespace"] == NAMESPACE).cloned();
        assert_eq!(before.map(|pod| pod["metadata"]["uid"].clone()), after.map(|pod| pod["metadata"]["uid"].clone()));
        Ok(())
    });
}

#[test]
fn an_idle_pod_is_stopped_by_its_own_evidence_and_leaves_nothing() {
    told(async |run| {
        run.act(NAME, &applied(&json!({"idle": {"after": "30m", "then": "Stop"}}))).unwrap();
        run.until(NAME, "made", 600.0, &runs_on(HostKind::Pod, SHAPE), None).await?;
        run.wait(Duration::from_mins(25)).await;
        assert!(run.shared().scene().cluster.notebooks[0].status.stopped.is_none(), "it is not idle for so long yet");
        run.wait(Duration::from_mins(10)).await;
        let status = run.shared().scene().cluster.notebooks[0].status.clone();
        assert_eq!(status.stopped.map(|stopped| stopped.reason), Some(StopReason::Idle));
        assert!(run.shared().server.all("ConfigMap").is_empty(), "what it was told went with it");
        Ok(())
    });
}

fn with_bucket(path: &str) -> Act {
    applied(&json!({"buckets": [{"path": path, "name": "team-a-data", "prefix": "taxi/"}]}))
}

/// The folders below the home at which the pods that are hosts mount buckets, by the pod's name.
fn mounted(run: &Run) -> Vec<(String, String)> {
    let pods = run.shared().server.all("Pod");
    let mounts = |pod: &Value| pod["spec"]["containers"][0]["volumeMounts"].as_array().cloned().unwrap_or_default();
    let place =
        |mount: &Value| mount["mountPath"].as_str().and_then(|it| it.strip_prefix("/home/jupyter/")).map(str::to_owned);
    let of = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        mounts(pod).iter().filter_map(place).map(|place| (name.clone(), place)).collect::<Vec<_>>()
    };
    pods.iter().flat_map(of).collect()
}

#[test]
fn buckets_are_volumes_once_the_cluster_has_the_driver_and_others_are_another_pod() {
    told(async |run| {
        run.act(NAME, &with_bucket("data")).unwrap();
        run.until(NAME, "lacking", 600.0, &says("Buckets", "False", "enables the Cloud Storage FUSE"), None).await?;
        assert_eq!(mounted(run), [], "without the driver no pod with such a volume would start");

        let driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver",
            "metadata": {"name": "gcsfuse.csi.storage.gke.io"}, "spec": {}});
        run.hand("administrator").create(&driver).unwrap();
        run.act(NAME, &Act::Annotate("rehost.dev/restart", "1".to_owned())).unwrap();
        run.until(NAME, "mounted", 600.0, &says("Buckets", "True", "~/data"), None).await?;
        run.until(NAME, "settled", 60.0, &says("Ready", "True", ""), None).await?;
        let [(first, place)] = &mounted(run)[..] else { panic!("{:?}", mounted(run)) };
        assert_eq!(place, "data");

        run.act(NAME, &with_bucket("taxi")).unwrap();
        run.until(NAME, "moved", 600.0, &says("Buckets", "True", "~/taxi"), None).await?;
        run.until(NAME, "settled", 60.0, &says("Ready", "True", ""), None).await?;
        let [(second, place)] = &mounted(run)[..] else { panic!("{:?}", mounted(run)) };
        assert_eq!((place.as_str(), first == second), ("taxi", false));
        assert_eq!(settings(run).offer.buckets[0].path, "taxi");
        Ok(())
    });
}
