//! Changes that wait: until nothing goes on in the notebook, and for a window.

use std::time::Duration;

use rehost_api::status::HostKind;
use rehost_tests::sim::{Act, Condition, Failed, NAME, Run, Settings, manifest, runs_on, simulate};
use serde_json::{Value, json};

fn told(story: impl AsyncFnOnce(&Run) -> Result<(), Failed>) {
    let outcome = simulate(Settings { check_shapes: true, ..Settings::default() }, |run| async move {
        run.start_controller();
        story(&run).await
    });
    assert!(outcome.is_fine(), "{}", outcome.report("this test"));
}

fn applied(machine_type: &str, resize: &Value) -> Act {
    let mut notebook = manifest(NAME, &json!({"vm": {"machineType": machine_type}}), "Running");
    notebook["spec"]["resize"] = resize.clone();
    Act::Apply(notebook)
}

/// Ready, with a change that waits for something of which the words speak.
fn waits_for(words: &'static str) -> Condition {
    Box::new(move |view| match view.condition("Ready")? {
        (status, reason, message) if status == "True" && reason == "ChangePending" && message.contains(words) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

fn asked(run: &Run) -> u64 {
    run.with_world(|world| world.call_counts().get("instances.getGuestAttributes").copied().unwrap_or(0))
}

#[test]
fn a_change_waits_until_nothing_goes_on_and_only_then_the_host_is_asked() {
    told(async |run| {
        let resize = json!({"when": "Idle", "keepOld": "30s"});
        run.act(NAME, &applied("n1-standard-4", &resize)).unwrap();
        run.until(NAME, "created", 600.0, &runs_on(HostKind::Vm, "n1-standard-4"), None).await?;
        run.quiet("created").await?;
        let before = asked(run);
        run.wait(Duration::from_hours(1)).await;
        let at_rest = asked(run);
        assert!(at_rest <= before + 1, "nothing waits, so it is asked only how its home is, once an hour");

        run.act(NAME, &applied("n1-standard-8", &resize)).unwrap();
        run.until(NAME, "it waits", 60.0, &waits_for("until nothing has been going on for 5 min"), None).await?;
        run.wait(Duration::from_mins(30)).await;
        assert!(asked(run) >= at_rest + 5, "every five minutes");
        assert_eq!(run.shared().scene().cluster.notebooks[0].status.host.as_ref().unwrap().shape, "n1-standard-4");

        run.act(NAME, &Act::LeaveAlone).unwrap();
        run.until(NAME, "moved in a pause", 600.0, &runs_on(HostKind::Vm, "n1-standard-8"), None).await
    });
}

#[test]
fn a_change_waits_for_its_window() {
    told(async |run| {
        // The story begins at noon in UTC, which is one o'clock in Madrid in March.
        let window = json!({"schedule": "0 15 * * *", "duration": "1h", "timeZone": "Europe/Madrid"});
        let resize = json!({"when": "Window", "window": window, "keepOld": "30s"});
        run.act(NAME, &applied("n1-standard-4", &resize)).unwrap();
        run.until(NAME, "created", 600.0, &runs_on(HostKind::Vm, "n1-standard-4"), None).await?;
        run.act(NAME, &applied("n1-standard-8", &resize)).unwrap();
        run.until(NAME, "it waits", 60.0, &waits_for("the window that opens at 2026-03-02T14:00:00Z"), None).await?;
        run.wait(Duration::from_hours(1)).await;
        assert_eq!(run.shared().scene().cluster.notebooks[0].status.host.as_ref().unwrap().shape, "n1-standard-4");
        run.until(NAME, "moved in the window", 3700.0, &runs_on(HostKind::Vm, "n1-standard-8"), None).await
    });
}
