//! The process around the operator: it takes part in the election, operates while it leads, and answers probes all the time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Client;
use rehost_api::status::{NotebookStatus, Phase};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::access::AccessKeys;
use crate::clock::{SharedClock, SystemClock};
use crate::cloud_events::{Events, Uptake};
use crate::gce::{ConnectError, Gce, install_crypto};
use crate::http::{self, Service};
use crate::lease::{self, Leadership};
use crate::metrics::{End, Look, Metrics};
use crate::run::{self, Operator, Wiring};
use crate::seen::Seen;
use crate::settings::{Settings, SettingsError};
use crate::status_ports::HttpStatusPorts;
use crate::telemetry::{self, TelemetryError};

/// Why the process ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The log cannot be written as asked.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// A setting cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// There is no way to the cluster.
    #[error("no way to the cluster: {0}")]
    Cluster(Box<kube::Error>),
    /// There is no way to Compute Engine.
    #[error("no way to Compute Engine: {0}")]
    Cloud(#[from] ConnectError),
    /// There is no way to pods.
    #[error("no way to the status ports of pods: {0}")]
    StatusPorts(reqwest::Error),
    /// A socket or a signal.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Runs until it is asked to stop.
pub async fn run(settings: Settings) -> Result<(), ProcessError> {
    install_crypto();
    telemetry::start(settings.log_format, &settings.log)?;
    let client = Client::try_default().await.map_err(|error| ProcessError::Cluster(Box::new(error)))?;
    let access = settings.access_keys()?;
    let gce = Gce::connect(settings.gce()).await?;
    let clock: SharedClock = Arc::new(SystemClock::new());
    let leadership = Leadership::new(clock.clone());
    let metrics = Metrics::new();
    let current = Current::default();
    current.tell(&metrics, &leadership);
    let (stop, stopped) = watch::channel(false);
    let listener = TcpListener::bind(settings.listen).await?;
    tracing::info!(cluster = settings.cluster, identity = settings.identity, listen = %settings.listen, "started");
    let service = service(&settings, &clock, &metrics, &current)?;
    let serving = tokio::spawn(http::serve(listener, service, until(stopped.clone())));
    let electing = tokio::spawn(lease::run(client.clone(), settings.lease(), clock.clone(), leadership.clone()));
    let status_ports = Arc::new(HttpStatusPorts::new().map_err(ProcessError::StatusPorts)?);
    let outside = Outside { client, gce, clock, access, status_ports };
    let leading = lead(&settings, outside, leadership.clone(), metrics, current);
    tokio::select! {
        biased;
        asked = asked_to_stop() => asked?,
        () = leading => {}
    }
    // Nothing acts any more, so another replica may lead at once.
    leadership.release();
    stop.send_replace(true);
    let _ended = electing.await;
    if let Ok(served) = serving.await {
        served?;
    }
    tracing::info!("ended");
    Ok(())
}

/// What the operator reaches, and what opens notebooks.
#[derive(Clone)]
struct Outside {
    client: Client,
    gce: Gce,
    clock: SharedClock,
    access: AccessKeys,
    status_ports: Arc<HttpStatusPorts>,
}

/// Operates in every term of ours.
async fn lead(settings: &Settings, outside: Outside, leadership: Leadership, metrics: Metrics, current: Current) {
    let begin = || {
        let operator = Operator::new(wiring(settings, &outside, &leadership, &metrics));
        current.set(Some(operator.clone()));
        operator
    };
    run::in_terms(&leadership, begin, || current.set(None)).await;
}

fn wiring(settings: &Settings, outside: &Outside, leadership: &Leadership, metrics: &Metrics) -> Wiring {
    let Outside { client, gce, clock, access, status_ports } = outside.clone();
    let (leadership, calls, looks, changes) = (leadership.clone(), metrics.clone(), metrics.clone(), metrics.clone());
    let watches = metrics.clone();
    Wiring {
        cluster: settings.cluster.clone(),
        identity: settings.identity.clone(),
        client,
        gce,
        clock,
        access,
        status_ports,
        concurrency: usize::from(settings.concurrency),
        sweep_interval_s: settings.sweep_interval().as_secs(),
        may_act: Arc::new(move || leadership.may_act()),
        on_call: Arc::new(move |verb, result| calls.called(verb, result)),
        on_reconcile: Arc::new(move |outcome, seconds| looks.reconciled(look(outcome), seconds)),
        on_status: Arc::new(move |before, after| count_change(&changes, before, after)),
        on_watch_failure: Arc::new(move |kind| watches.watch_failed(kind)),
    }
}

fn look(outcome: &str) -> Look {
    match outcome {
        "settled" => Look::Settled,
        "waits" => Look::Waited,
        _ => Look::Retried,
    }
}

/// Counts a change that has ended, and a notebook that has come to serve.
fn count_change(metrics: &Metrics, before: &NotebookStatus, after: &NotebookStatus) {
    let (Some(ended), None) = (&before.transition, &after.transition) else { return };
    let now = after.host.as_ref().and_then(|host| host.serving_since).unwrap_or(ended.step_started_at);
    let seconds = now.duration_since(ended.started_at).as_secs_f64().max(0.0);
    let end = match (&ended.reason, &after.retry) {
        (Some(_), _) => End::TurnedBack,
        (None, Some(_)) => End::GivenUp,
        (None, None) => End::Done,
    };
    metrics.transition_ended(ended.kind, end, seconds);
    let served = |status: &NotebookStatus| status.host.as_ref().is_some_and(|host| host.serving_since.is_some());
    if let Some(host) = after.host.as_ref().filter(|_| served(after) && !served(before)) {
        metrics.became_ready(host.kind, seconds);
    }
    if let Some(retry) = after.retry.as_ref().filter(|retry| retry.reason == "Stockout") {
        let wished = after.resolved.as_ref().map(|resolved| resolved.host.text()).unwrap_or_default();
        let zone = after.home.as_ref().map(|home| home.zone.clone()).unwrap_or_default();
        tracing::info!(zone, wished, since = %retry.since, "out of stock");
        metrics.ran_out(&zone, &wished);
    }
}

fn service(
    settings: &Settings,
    clock: &SharedClock,
    metrics: &Metrics,
    current: &Current,
) -> Result<Service, SettingsError> {
    let (ready, hints) = (current.clone(), current.clone());
    let events = settings
        .events_token()?
        .map(|token| Events::new(token, clock.clone(), metrics.clone(), move |_hint| hints.take_hint()));
    Ok(Service {
        live: Box::new(|| true),
        // A replica that waits for its turn is as ready as one can be.
        ready: Box::new(move || ready.get().as_ref().is_none_or(|operator| operator.caches.synced())),
        metrics: metrics.clone(),
        events,
        clock: clock.clone(),
    })
}

async fn asked_to_stop() -> Result<(), std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // The sender lives as long as the process works; its end means the same.
    let _ended = stopped.wait_for(|stopped| *stopped).await;
}

/// The operator of the present term.
#[derive(Clone, Default)]
struct Current(Arc<Mutex<Option<Operator>>>);

impl Current {
    fn get(&self) -> MutexGuard<'_, Option<Operator>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the cloud soon, where this replica operates.
    fn take_hint(&self) -> Uptake {
        match &*self.get() {
            Some(operator) => {
                operator.inventories.hint();
                Uptake::Taken
            }
            None => Uptake::NotOperating,
        }
    }

    fn set(&self, operator: Option<Operator>) {
        *self.get() = operator;
    }

    /// Where the metrics' levels are read.
    fn tell(&self, metrics: &Metrics, leadership: &Leadership) {
        let leadership = leadership.clone();
        metrics.leading_by(move || leadership.is_leading());
        let (queue, notebooks, operations, strangers) = (self.clone(), self.clone(), self.clone(), self.clone());
        metrics.queued_by(move || match &*queue.get() {
            Some(operator) => {
                operator.queue.len_by_lane().into_iter().map(|(lane, count)| (lane.as_str(), count)).collect()
            }
            None => Vec::new(),
        });
        metrics.notebooks_by(move || notebooks.get().as_ref().map(phases).unwrap_or_default());
        metrics.in_flight_by(move || operations.get().as_ref().map_or(0, |operator| operator.operations.in_flight()));
        metrics.orphans_by(move || {
            let count = |operator: &Operator| {
                operator.inventories.strangers().values().map(|it| it.instances + it.disks).sum::<usize>()
            };
            strangers.get().as_ref().map_or(0, count)
        });
    }
}

fn phases(operator: &Operator) -> BTreeMap<Phase, usize> {
    let mut phases = BTreeMap::new();
    for key in operator.caches.notebooks() {
        if let Seen::Present(notebook) = operator.caches.notebook(&key.namespace, &key.name)
            && let Some(phase) = notebook.status.as_ref().and_then(|status| status.phase)
        {
            *phases.entry(phase).or_insert(0) += 1;
        }
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_waits_for_its_turn_takes_no_hint() {
        assert_eq!(Current::default().take_hint(), Uptake::NotOperating);
    }
}
