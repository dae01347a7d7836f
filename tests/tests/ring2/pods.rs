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
