//! A notebook's life in ring 2, with every row of the product's table of conditions: each version of it that the API server had.

use std::sync::{Arc, Mutex};

use rehost_api::status::HostKind;
use rehost_tests::sim::{
    Act, Condition, NAME, Run, Settings, is_gone_with_its_disk_kept, is_stopped, manifest, runs_on,
    short_of_capacity_on, simulate,
};
use serde_json::{Value, json};

/// The rows of the table of conditions, and what is before and after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    /// No controller has seen it yet.
    BrandNew,
    /// The status speaks of an earlier spec.
    NotObserved,
    Running,
    Stopped,
    ChangePending,
    /// It serves on as it is, for want of capacity.
    Stockout,
    /// A change is under way.
    Changing,
    /// A person must act.
    Refused,
    Deleting,
}

impl Row {
    pub const ALL: [Self; 9] = [
        Self::BrandNew,
        Self::NotObserved,
        Self::Running,
        Self::Stopped,
        Self::ChangePending,
        Self::Stockout,
        Self::Changing,
        Self::Refused,
        Self::Deleting,
    ];

    /// The row that a notebook is in, from its phase, its spec and its transition rather than from what the tools look at.
    pub fn of(notebook: &Value) -> Self {
        let (metadata, status) = (&notebook["metadata"], &notebook["status"]);
        let ready = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
        let Some(ready) = ready else { return Self::BrandNew };
        if !metadata["deletionTimestamp"].is_null() {
            return Self::Deleting;
        }
        if status["observedGeneration"] != metadata["generation"] {
            return Self::NotObserved;
        }
        match (status["phase"].as_str(), ready["reason"].as_str()) {
            _ if !status["transition"].is_null() => Self::Changing,
            (Some("Stopped"), Some("Asked")) => Self::Stopped,
            (Some("Running"), Some("AsDeclared")) => Self::Running,
            (Some("Running"), Some("ChangePending")) => Self::ChangePending,
            (Some("Running"), Some("Stockout")) => Self::Stockout,
            (Some("Running"), Some("NotAllowedByClass")) => Self::Refused,
            _ => Self::Changing,
        }
    }
}

/// Every version of the notebook, oldest first.
pub fn every_status() -> Vec<Value> {
    let seen = Arc::<Mutex<Vec<Value>>>::default();
    let written = seen.clone();
    let outcome = simulate(Settings::default(), |run| async move {
        let (server, mut steps) = (run.shared().server.clone(), run.shared().steps());
        tokio::spawn(async move {
            while steps.changed().await.is_ok() {
                let mut written = written.lock().unwrap();
                let fresh = server.all("Notebook").into_iter().filter(|one| !written.contains(one));
                let fresh: Vec<Value> = fresh.collect();
                written.extend(fresh);
            }
        });
        live(&run).await
    });
    assert!(outcome.is_fine(), "{}", outcome.report("cargo test --release -p rehost-tests --test gitops"));
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert!(seen.len() > 20, "a life has many versions: {}", seen.len());
    seen
}

async fn live(run: &Run) -> Result<(), rehost_tests::sim::Failed> {
    let vm = |machine_type: &str| json!({"vm": {"machineType": machine_type}});
    let gpu = json!({"vm": {"machineType": "n1-standard-8", "gpu": {"type": "nvidia-tesla-t4", "count": 1}}});
    let apply = |host: &Value, state: &str| Act::Apply(manifest(NAME, host, state));
    let mut later = manifest(NAME, &vm("n1-standard-8"), "Running");
    later["spec"]["resize"]["when"] = "NextStop".into();
    let chapters: [(&str, Vec<Act>, Condition); 8] = [
        ("created", vec![apply(&vm("n1-standard-4"), "Running")], runs_on(HostKind::Vm, "n1-standard-4")),
        ("asked for later", vec![Act::Apply(later)], has_reason("ChangePending")),
        ("asked for now", vec![apply(&vm("n1-standard-8"), "Running")], runs_on(HostKind::Vm, "n1-standard-8")),
        (
            "out of stock",
            vec![Act::Capacity("*nvidia-tesla-t4*", Some(0)), apply(&gpu, "Running")],
            short_of_capacity_on("n1-standard-8"),
        ),
        ("not allowed", vec![apply(&vm("m1-ultramem-40"), "Running")], has_reason("NotAllowedByClass")),
        ("allowed again", vec![apply(&vm("n1-standard-8"), "Running")], runs_on(HostKind::Vm, "n1-standard-8")),
        ("stopped", vec![apply(&vm("n1-standard-8"), "Stopped")], is_stopped()),
        ("deleted", vec![Act::Delete], is_gone_with_its_disk_kept(rehost_api::labels::GCE_CONTENT)),
    ];
    for (index, (name, acts, until)) in chapters.into_iter().enumerate() {
        for act in &acts {
            run.act(NAME, act).unwrap();
        }
        if index == 0 {
            // The notebook is there before its controller.
            run.start_controller();
        }
        run.until(NAME, name, 1_800.0, &until, None).await?;
        run.quiet(name).await?;
    }
    Ok(())
}

fn has_reason(reason: &'static str) -> Condition {
    Box::new(move |view| match view.condition("Ready")? {
        (_, found, _) if found == reason => Ok(()),
        other => Err(format!("{other:?}")),
    })
}
