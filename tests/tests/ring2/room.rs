//! Quotas that have no room for two hosts, or for none.

use rehost_api::status::HostKind;
use rehost_tests::sim::{Act, Condition, Failed, NAME, Run, Settings, manifest, runs_on, serves, simulate};
use serde_json::json;

const REGION: &str = "us-central1";

fn told(story: impl AsyncFnOnce(&Run) -> Result<(), Failed>) {
    let outcome = simulate(Settings { check_shapes: true, ..Settings::default() }, |run| async move {
        run.start_controller();
        story(&run).await
    });
    assert!(outcome.is_fine(), "{}", outcome.report("this test"));
}

fn applied(machine_type: &str, gpus: u32, more: &serde_json::Value) -> Act {
    let mut vm = json!({"machineType": machine_type, "gpu": {"type": "nvidia-tesla-t4", "count": gpus}});
    if gpus == 0 {
        vm = json!({"machineType": machine_type});
    }
    vm.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Act::Apply(manifest(NAME, &json!({"vm": vm}), "Running"))
}

fn says(status: &'static str, reason: &'static str, words: &'static str) -> Condition {
    Box::new(move |view| match view.condition("Ready")? {
        (found, why, message) if found == status && why == reason && message.contains(words) => Ok(()),
        other => Err(format!("{other:?}")),
    })
}

#[test]
fn a_gpu_quota_of_one_moves_the_only_gpu_to_a_larger_machine_and_to_one_made_anew() {
    told(async |run| {
        run.with_world(|world| world.quota_set(REGION, "NVIDIA_T4_GPUS", 1.0));
        let none = json!({});
        run.act(NAME, &applied("n1-standard-4", 1, &none)).unwrap();
        run.until(NAME, "created", 900.0, &runs_on(HostKind::Vm, "n1-standard-4 + 1 nvidia-tesla-t4"), None).await?;
        let first = run.shared().scene().cluster.notebooks[0].status.host.clone().unwrap().name;
        run.act(NAME, &applied("n1-standard-8", 1, &none)).unwrap();
        let larger = runs_on(HostKind::Vm, "n1-standard-8 + 1 nvidia-tesla-t4");
        run.until(NAME, "in place", 900.0, &larger, None).await?;
        assert_eq!(run.shared().scene().cluster.notebooks[0].status.host.clone().unwrap().name, first);
        // No VM is given other labels in place.
        run.act(NAME, &applied("n1-standard-8", 1, &json!({"labels": {"team": "a"}}))).unwrap();
        run.until(NAME, "stopped first", 300.0, &says("False", "Moving", "have no room for two hosts"), None).await?;
        run.until(NAME, "made anew", 900.0, &larger, None).await?;
        assert_ne!(run.shared().scene().cluster.notebooks[0].status.host.clone().unwrap().name, first);
        Ok(())
    });
}

#[test]
fn what_no_quota_allows_interrupts_nothing_and_is_tried_again() {
    told(async |run| {
        let none = json!({});
        run.act(NAME, &applied("n1-standard-4", 0, &none)).unwrap();
        run.until(NAME, "created", 600.0, &runs_on(HostKind::Vm, "n1-standard-4"), None).await?;
        // Somebody else has most of the rest.
        let other = manifest("other", &json!({"vm": {"machineType": "n1-standard-4"}}), "Running");
        run.act("other", &Act::Apply(other)).unwrap();
        run.until("other", "another", 600.0, &runs_on(HostKind::Vm, "n1-standard-4"), None).await?;
        run.with_world(|world| world.quota_set(REGION, "CPUS", 10.0));
        run.act(NAME, &applied("n1-standard-8", 0, &none)).unwrap();
        let refused = says("False", "QuotaExceeded", "needs 8, 6 left");
        run.until(NAME, "it says what is left", 120.0, &refused, Some(&serves())).await?;
        run.with_world(|world| world.quota_set(REGION, "CPUS", 2400.0));
        run.until(NAME, "tried again", 900.0, &runs_on(HostKind::Vm, "n1-standard-8"), None).await
    });
}
