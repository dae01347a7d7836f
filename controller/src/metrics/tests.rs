//! The page as a scraper reads it.

use super::*;

fn lines(metrics: &Metrics) -> Vec<String> {
    metrics.encode().lines().filter(|line| !line.starts_with("# HELP")).map(str::to_owned).collect()
}

#[track_caller]
fn says(metrics: &Metrics, line: &str) {
    let lines = lines(metrics);
    assert!(lines.iter().any(|said| said == line), "no {line:?} in {lines:#?}");
}

#[test]
fn what_happened_is_counted() {
    let metrics = Metrics::new();
    metrics.reconciled(Look::Settled, 0.003);
    metrics.clone().reconciled(Look::Settled, 0.2);
    metrics.called("instances.insert", Ok(()));
    metrics.called("instances.insert", Err("stockout"));
    metrics.transition_ended(TransitionKind::Handover, End::TurnedBack, 75.0);
    metrics.became_ready(HostKind::Vm, 41.0);
    metrics.ran_out("europe-west4-a", "n2-standard-4");
    metrics.watch_failed("Pod");
    metrics.hinted("dropped");
    for line in [
        r#"rehost_reconciles_total{outcome="settled"} 2"#,
        r#"rehost_reconcile_duration_seconds_bucket{le="0.005"} 1"#,
        "rehost_reconcile_duration_seconds_count 2",
        r#"rehost_cloud_calls_total{verb="instances.insert",result="ok"} 1"#,
        r#"rehost_cloud_calls_total{verb="instances.insert",result="stockout"} 1"#,
        r#"rehost_transitions_total{kind="Handover",result="turned_back"} 1"#,
        r#"rehost_transition_duration_seconds_sum{kind="Handover",result="turned_back"} 75.0"#,
        r#"rehost_transition_duration_seconds_bucket{le="60.0",kind="Handover",result="turned_back"} 0"#,
        r#"rehost_transition_duration_seconds_bucket{le="90.0",kind="Handover",result="turned_back"} 1"#,
        r#"rehost_time_to_ready_seconds_count{host="VM"} 1"#,
        r#"rehost_stockouts_total{zone="europe-west4-a",machine_type="n2-standard-4"} 1"#,
        r#"rehost_watch_errors_total{kind="Pod"} 1"#,
        r#"rehost_hints_total{result="dropped"} 1"#,
    ] {
        says(&metrics, line);
    }
}

#[test]
fn levels_are_asked_for_when_they_are_read() {
    let metrics = Metrics::new();
    assert!(!metrics.encode().contains("rehost_leader"), "nobody to ask");
    let leading = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = leading.clone();
    metrics.leading_by(move || told.load(std::sync::atomic::Ordering::Relaxed));
    metrics.queued_by(|| vec![("edit", 3), ("sweep", 0)]);
    metrics.notebooks_by(|| BTreeMap::from([(Phase::Running, 7)]));
    metrics.in_flight_by(|| 2);
    metrics.orphans_by(|| 1);
    for line in [
        "# TYPE rehost_leader gauge",
        "rehost_leader 0",
        r#"rehost_queue_depth{lane="edit"} 3"#,
        r#"rehost_queue_depth{lane="sweep"} 0"#,
        r#"rehost_notebooks{phase="Running"} 7"#,
        r#"rehost_notebooks{phase="Moving"} 0"#,
        "rehost_operations_in_flight 2",
        "rehost_orphans 1",
    ] {
        says(&metrics, line);
    }
    leading.store(true, std::sync::atomic::Ordering::Relaxed);
    says(&metrics, "rehost_leader 1");
}

#[test]
fn the_page_has_its_end_and_every_phase() {
    let metrics = Metrics::new();
    metrics.notebooks_by(BTreeMap::new);
    let lines = lines(&metrics);
    assert_eq!(lines.last().map(String::as_str), Some("# EOF"));
    assert_eq!(lines.iter().filter(|line| line.starts_with("rehost_notebooks{")).count(), PHASES.len());
}
