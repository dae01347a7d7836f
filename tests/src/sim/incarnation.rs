//! The controller of a run: started as a new process would be, ended without a word, and started again.

use std::sync::{Arc, Mutex};

use rehost::access::AccessKeys;
use rehost::run::{Operator, Wiring};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::chronicle::Weight;
use super::line::Line;
use super::shared::{CLUSTER, Shared, lock};
use super::status_ports::Ports;
use super::{Settings, cloud, cluster};

/// The controller that lives just now.
#[derive(Default)]
pub(super) struct Incarnation {
    number: u64,
    line: Option<Arc<Line>>,
    pub(super) operator: Option<Operator>,
    pub(super) task: Option<JoinHandle<()>>,
}

/// Starts the next one.
pub(super) fn start(shared: &Arc<Shared>, incarnation: &Mutex<Incarnation>, settings: &Settings) {
    let mut incarnation = lock(incarnation);
    incarnation.number += 1;
    shared.note(Weight::Headline, "controller", format!("starts, for the {}. time", incarnation.number), "");
    let line = Line::new(shared.clone(), incarnation.number);
    let looked = shared.clone();
    let operator = Operator::new(Wiring {
        cluster: CLUSTER.to_owned(),
        identity: "rehost-0".to_owned(),
        client: cluster::client(&line),
        gce: cloud::gce(&line),
        clock: shared.clock.clone(),
        concurrency: 4,
        sweep_interval_s: settings.sweep_interval_s,
        may_act: Arc::new(|| true),
        access: if settings.has_key { key() } else { AccessKeys::default() },
        status_ports: Arc::new(Ports(shared.clone())),
        on_call: Arc::new(|_, _| {}),
        on_status: Arc::new(|_, _| {}),
        on_watch_failure: Arc::new(|_| {}),
        on_reconcile: Arc::new(move |_, _| looked.looked()),
    });
    incarnation.line = Some(line);
    incarnation.operator = Some(operator.clone());
    incarnation.task = Some(tokio::spawn(async move { operator.run().await }));
}

#[allow(clippy::expect_used, reason = "it is long enough")]
fn key() -> AccessKeys {
    AccessKeys::parse(&"simulated-".repeat(5)).expect("a key")
}

/// Ends the controller's tasks, all of them, before anything else happens.
pub(super) async fn kill(incarnation: &Mutex<Incarnation>) {
    let (line, task) = {
        let mut incarnation = lock(incarnation);
        incarnation.operator = None;
        (incarnation.line.take(), incarnation.task.take())
    };
    if let Some(line) = line {
        line.sever();
    }
    if let Some(task) = task {
        task.abort();
        // It says that it was cancelled, which is known.
        let _ = task.await;
    }
    // Its looks are tasks of their own, cancelled with it; each needs a turn to end.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// Starts a new controller after each crash.
pub(super) async fn supervise(
    shared: Arc<Shared>,
    incarnation: Arc<Mutex<Incarnation>>,
    settings: Settings,
    mut died: mpsc::UnboundedReceiver<u64>,
) {
    while let Some(number) = died.recv().await {
        if lock(&incarnation).number != number {
            continue;
        }
        kill(&incarnation).await;
        tokio::time::sleep(settings.absence).await;
        start(&shared, &incarnation, &settings);
    }
}
