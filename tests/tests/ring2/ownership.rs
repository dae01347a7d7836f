//! What has the notebook's name and is somebody else's.

use std::time::Duration;

use rehost_api::status::HostKind;
use rehost_tests::sim::{Act, Condition, Failed, NAME, NAMESPACE, Run, Settings, manifest, runs_on, serves, simulate};
use serde_json::{Value, json};

const SOMEBODY: &str = "somebody";

fn their_service() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": NAME, "namespace": NAMESPACE},
        "spec": {"selector": {"app": "theirs"}, "ports": [{"name": "web", "port": 80}]},
    })
}

/// Stalled, for the Service's sake, and says what to do.
fn is_held_up() -> Condition {
    Box::new(|view| match view.condition("Stalled")? {
        (status, reason, message)
            if status == "True"
                && reason == "NotOurs"
                && message.contains("the Service team-a/taxi-fares")
                && message.contains("delete it") =>
        {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    })
}

fn told(story: impl AsyncFnOnce(&Run) -> Result<(), Failed>) {
    let outcome = simulate(Settings::default(), |run| async move { story(&run).await });
    assert!(outcome.is_fine(), "{}", outcome.report("this test"));
}

fn applied() -> Act {
    Act::Apply(manifest(NAME, &json!({"vm": {"machineType": "n1-standard-4"}}), "Running"))
}

#[test]
fn a_foreign_service_holds_a_new_notebook_up_until_it_goes() {
    told(async |run| {
        let theirs = run.hand(SOMEBODY).create(&their_service()).unwrap();
        run.start_controller();
        run.act(NAME, &applied()).unwrap();
        run.until(NAME, "held up", 60.0, &is_held_up(), None).await?;
        run.wait(Duration::from_mins(5)).await;
        assert_eq!(run.shared().server.get("Service", NAMESPACE, NAME).unwrap(), theirs, "it is not touched");
        let scene = run.shared().scene();
        let uid = &scene.cluster.notebooks[0].uid;
        assert_eq!((scene.vms_of(uid).count(), scene.disks_of(uid).count()), (0, 0), "nothing is begun");

        run.hand(SOMEBODY).delete("Service", NAMESPACE, NAME).unwrap();
        run.until(NAME, "made", 600.0, &runs_on(HostKind::Vm, "n1-standard-4"), None).await
    });
}

#[test]
fn a_service_that_takes_the_place_of_ours_stalls_a_notebook_that_serves_on() {
    told(async |run| {
        run.start_controller();
        run.act(NAME, &applied()).unwrap();
        run.until(NAME, "made", 600.0, &runs_on(HostKind::Vm, "n1-standard-4"), None).await?;
        let hand = run.hand(SOMEBODY);
        hand.delete("Service", NAMESPACE, NAME).unwrap();
        let theirs = hand.create(&their_service()).unwrap();
        run.until(NAME, "held up", 60.0, &is_held_up(), Some(&serves())).await?;
        run.wait(Duration::from_mins(5)).await;
        assert_eq!(run.shared().server.get("Service", NAMESPACE, NAME).unwrap(), theirs, "it is not touched");

        hand.delete("Service", NAMESPACE, NAME).unwrap();
        run.until(NAME, "its own again", 120.0, &runs_on(HostKind::Vm, "n1-standard-4"), Some(&serves())).await?;
        let ours = run.shared().server.get("Service", NAMESPACE, NAME).expect("a Service");
        assert!(
            ours["spec"]["selector"].is_null() && !ours["metadata"]["labels"]["rehost.dev/uid"].is_null(),
            "{ours}"
        );
        Ok(())
    });
}
