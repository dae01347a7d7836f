//! What the clock says: schedules and lifetimes, in a controller that sleeps until it says something.

use rehost_api::labels;
use rehost_api::status::{HostKind, StopReason};
use rehost_tests::sim::{Act, Condition, Failed, NAME, Run, Settings, is_stopped_for, manifest, runs_on, simulate};
use serde_json::{Value, json};

fn told(story: impl AsyncFnOnce(&Run) -> Result<(), Failed>) {
    let outcome = simulate(Settings { check_shapes: true, ..Settings::default() }, |run| async move {
        run.start_controller();
        story(&run).await
    });
    assert!(outcome.is_fine(), "{}", outcome.report("this test"));
}

fn applied(more: &Value) -> Act {
    let mut notebook = manifest(NAME, &json!({"vm": {"machineType": "n1-standard-4"}}), "Running");
    notebook["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Act::Apply(notebook)
}

fn runs() -> Condition {
    runs_on(HostKind::Vm, "n1-standard-4")
}

/// The story begins at noon in UTC, which is one o'clock in Madrid in March.
#[test]
fn a_notebook_stops_and_starts_by_its_schedule_and_a_wake_between_them_wins() {
    told(async |run| {
        let schedule = json!({"start": "0 16 * * *", "stop": "0,30 14 * * *", "timeZone": "Europe/Madrid"});
        run.act(NAME, &applied(&json!({"schedule": schedule}))).unwrap();
        run.until(NAME, "created", 600.0, &runs(), None).await?;
        run.until(NAME, "stopped at two", 3600.0, &is_stopped_for(StopReason::Schedule), None).await?;
        run.act(NAME, &Act::Annotate(labels::WAKE, "1".to_owned())).unwrap();
        run.until(NAME, "woken", 600.0, &runs(), None).await?;
        run.until(NAME, "stopped at half past two", 1900.0, &is_stopped_for(StopReason::Schedule), None).await?;
        run.until(NAME, "started at four", 5600.0, &runs(), None).await
    });
}

#[test]
fn a_notebook_whose_time_is_over_gives_its_host_up_and_comes_back_when_it_is_woken() {
    told(async |run| {
        run.act(NAME, &applied(&json!({"lifetime": {"after": "30m", "then": "Release"}}))).unwrap();
        run.until(NAME, "created", 600.0, &runs(), None).await?;
        run.until(NAME, "expired", 1900.0, &is_stopped_for(StopReason::Expired), None).await?;
        run.quiet("expired").await?;
        let scene = run.shared().scene();
        let notebook = &scene.cluster.notebooks[0];
        assert_eq!(scene.vms_of(&notebook.uid).count(), 0);
        assert!(notebook.status.home.is_some());
        run.act(NAME, &Act::Annotate(labels::WAKE, "1".to_owned())).unwrap();
        run.until(NAME, "woken", 600.0, &runs(), None).await
    });
}
