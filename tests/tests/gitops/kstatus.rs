//! How kstatus (sigs.k8s.io/cli-utils) judges a custom resource: `checkGenericProperties`, then `checkReadyCondition`, then what
//! is said of objects without any condition that it knows.

use serde_json::{Value, json};

use super::Verdict;

/// What kstatus makes of an object.
pub fn compute(object: &Value) -> Verdict {
    let (metadata, status) = (&object["metadata"], &object["status"]);
    if metadata["deletionTimestamp"].as_str().is_some_and(|time| !time.is_empty()) {
        return Verdict::Terminating;
    }
    let (generation, observed) = (metadata["generation"].as_i64(), status["observedGeneration"].as_i64());
    if generation.is_some() && observed.is_some() && generation != observed {
        return Verdict::InProgress;
    }
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    for condition in conditions.iter().filter(|condition| condition["status"] == "True") {
        match condition["type"].as_str() {
            Some("Reconciling") => return Verdict::InProgress,
            Some("Stalled") => return Verdict::Failed,
            _ => {}
        }
    }
    match conditions.iter().find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] != "True" => Verdict::InProgress,
        // Without a Ready condition an object is taken for one that is as it should be.
        Some(_) | None => Verdict::Current,
    }
}

fn object(generation: i64, observed: Option<i64>, conditions: &[(&str, &str)]) -> Value {
    let conditions: Vec<Value> =
        conditions.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
    let mut status = json!({"conditions": conditions});
    if let Some(observed) = observed {
        status["observedGeneration"] = observed.into();
    }
    json!({"metadata": {"generation": generation}, "status": status})
}

#[test]
fn it_computes_as_kstatus_does() {
    let ready = [("Ready", "True")];
    for (case, expected) in [
        (object(2, Some(2), &ready), Verdict::Current),
        (object(2, Some(1), &ready), Verdict::InProgress),
        (object(2, None, &ready), Verdict::Current),
        (object(1, Some(1), &[("Ready", "False")]), Verdict::InProgress),
        (object(1, Some(1), &[("Ready", "Unknown")]), Verdict::InProgress),
        (object(1, Some(1), &[("Ready", "False"), ("Stalled", "True")]), Verdict::Failed),
        (object(1, Some(1), &[("Ready", "False"), ("Stalled", "False")]), Verdict::InProgress),
        (object(1, Some(1), &[("Ready", "True"), ("Reconciling", "True")]), Verdict::InProgress),
        (object(1, Some(1), &[("Reconciling", "True"), ("Stalled", "True")]), Verdict::InProgress),
        (object(1, Some(1), &[("Stalled", "True"), ("Reconciling", "True")]), Verdict::Failed),
        (json!({"metadata": {"generation": 1}}), Verdict::Current),
        (json!({"metadata": {"generation": 1}, "status": {"observedGeneration": -1}}), Verdict::InProgress),
        (json!({"metadata": {"generation": 1, "deletionTimestamp": "2026-03-02T12:00:00Z"}}), Verdict::Terminating),
    ] {
        assert_eq!(compute(&case), expected, "{case}");
    }
}
