//! Machines that Compute Engine takes back or ends.

use rehost_api::labels;
use rehost_api::status::{HostKind, StopReason};
use rehost_tests::sim::{
    Act, Condition, Failed, NAME, Run, Settings, ZONE, is_stopped_for, manifest, runs_on, simulate,
};
use serde_json::{Value, json};

fn told(vm: &Value, story: impl AsyncFnOnce(&Run) -> Result<(), Failed>) {
    let outcome = simulate(Settings { check_shapes: true, ..Settings::default() }, |run| async move {
        run.start_controller();
        let mut host = json!({"machineType": "n1-standard-4"});
        host.as_object_mut().unwrap().extend(vm.as_object().unwrap().clone());
        run.act(NAME, &Act::Apply(manifest(NAME, &json!({"vm": host}), "Running"))).unwrap();
        run.until(NAME, "created", 600.0, &runs(), None).await?;
        run.quiet("created").await?;
        story(&run).await
    });
    assert!(outcome.is_fine(), "{}", outcome.report("this test"));
}

fn runs() -> Condition {
    runs_on(HostKind::Vm, "n1-standard-4")
}

fn preempt(run: &Run) {
    let host = run.shared().scene().cluster.notebooks[0].status.host.clone().unwrap().name;
    run.with_world(|world| world.preempt(ZONE, &host));
}

#[test]
fn a_spot_machine_that_is_taken_back_is_started_again() {
    told(&json!({"provisioning": "Spot"}), async |run| {
        preempt(run);
        run.until(NAME, "started again", 300.0, &runs(), None).await
    });
}

#[test]
fn a_spot_machine_that_is_taken_back_stays_stopped_where_its_policy_says_so() {
    told(&json!({"provisioning": "Spot", "onPreemption": "Stop"}), async |run| {
        preempt(run);
        run.until(NAME, "stays stopped", 300.0, &is_stopped_for(StopReason::Preempted), None).await?;
        run.quiet("stays stopped").await?;
        run.act(NAME, &Act::Annotate(labels::WAKE, "1".to_owned())).unwrap();
        run.until(NAME, "woken", 300.0, &runs(), None).await
    });
}

#[test]
fn a_machine_whose_time_is_over_is_stopped_and_comes_back_when_it_is_woken() {
    told(&json!({"maxRunDuration": "20m"}), async |run| {
        run.until(NAME, "its time is over", 1500.0, &is_stopped_for(StopReason::Lifetime), None).await?;
        run.act(NAME, &Act::Annotate(labels::WAKE, "1".to_owned())).unwrap();
        run.until(NAME, "woken", 300.0, &runs(), None).await
    });
}
