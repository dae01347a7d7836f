//! What the operator counts, and how it is read: `OpenMetrics` text.
//!
//! Events are counted when they happen, by methods that are named after them. Levels (how many wait, how many run) are not
//! kept here: their owner is asked when the metrics are read, so that no number can drift from what it counts.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rehost_api::status::{HostKind, Phase, TransitionKind};

/// The media type of [`Metrics::encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds of one look at a notebook.
const LOOK_S: &[f64] = &[0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Seconds of what a cloud does.
const CLOUD_S: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0, 1_800.0, 3_600.0];

/// What a look at a notebook came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// Everything is as declared: nothing was done.
    Settled,
    /// Something was started or written.
    Acted,
    /// A change is under way, and there was nothing to do but wait.
    Waited,
    /// Something went wrong that another try can mend.
    Retried,
    /// A person must act.
    Stalled,
    /// This replica may not act any more.
    NotLeading,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// As it was meant.
    Done,
    /// With the notebook where it was before.
    TurnedBack,
    /// It was given up, for another wish or because it cannot be.
    GivenUp,
}

type Label = [(&'static str, &'static str); 1];
type Labels = [(&'static str, &'static str); 2];
type OwnedLabels = [(&'static str, String); 2];
type Count<L> = Family<L, Counter>;
type Spread<L> = Family<L, Histogram, fn() -> Histogram>;

/// All that is counted. Clones count into the same numbers.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Registry>,
    levels: Levels,
    looks: Count<Label>,
    look_seconds: Histogram,
    calls: Count<Labels>,
    transitions: Count<Labels>,
    transition_seconds: Spread<Labels>,
    ready_seconds: Spread<Label>,
    stockouts: Count<OwnedLabels>,
    watch_errors: Count<Label>,
    hints: Count<Label>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet, and nobody to ask for levels.
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Arc::default(),
            levels: Levels::default(),
            looks: Family::default(),
            look_seconds: Histogram::new(LOOK_S.iter().copied()),
            calls: Family::default(),
            transitions: Family::default(),
            transition_seconds: Family::new_with_constructor(cloud_seconds),
            ready_seconds: Family::new_with_constructor(cloud_seconds),
            stockouts: Family::default(),
            watch_errors: Family::default(),
            hints: Family::default(),
        };
        metrics.registry = Arc::new(metrics.register());
        metrics
    }

    fn register(&self) -> Registry {
        let mut registry = Registry::with_prefix("rehost");
        registry.register("reconciles", "Looks at notebooks, by what they came to", self.looks.clone());
        let help = "How long a look at a notebook took";
        registry.register_with_unit("reconcile_duration", help, Unit::Seconds, self.look_seconds.clone());
        registry.register("cloud_calls", "Calls to Compute Engine, by method and result", self.calls.clone());
        registry.register("transitions", "Changes that ended, by kind and result", self.transitions.clone());
        let help = "How long changes took, from the intent to the end";
        registry.register_with_unit("transition_duration", help, Unit::Seconds, self.transition_seconds.clone());
        let help = "From the wish to run a notebook to Jupyter's answer";
        registry.register_with_unit("time_to_ready", help, Unit::Seconds, self.ready_seconds.clone());
        registry.register(
            "stockouts",
            "Refusals for want of capacity, by zone and machine type",
            self.stockouts.clone(),
        );
        registry.register("watch_errors", "Watches that broke, by what was watched", self.watch_errors.clone());
        registry.register("hints", "Events of the cloud that came in, by what became of them", self.hints.clone());
        registry.register_collector(Box::new(self.levels.clone()));
        registry
    }

    /// A notebook was looked at.
    pub fn reconciled(&self, look: Look, seconds: f64) {
        self.looks.get_or_create(&[("outcome", look.as_str())]).inc();
        self.look_seconds.observe(seconds);
    }

    /// Compute Engine was called; a failure has a fixed word, see [`crate::gce::GceError::label`].
    pub fn called(&self, verb: &'static str, result: Result<(), &'static str>) {
        let result = result.err().unwrap_or("ok");
        self.calls.get_or_create(&[("verb", verb), ("result", result)]).inc();
    }

    /// A change ended, after so many seconds of the cloud's time.
    pub fn transition_ended(&self, kind: TransitionKind, end: End, seconds: f64) {
        let labels = [("kind", transition_word(kind)), ("result", end.as_str())];
        self.transitions.get_or_create(&labels).inc();
        self.transition_seconds.get_or_create(&labels).observe(seconds);
    }

    /// A notebook that was wished to run came to serve, after so many seconds of the cloud's time.
    pub fn became_ready(&self, host: HostKind, seconds: f64) {
        self.ready_seconds.get_or_create(&[("host", host_word(host))]).observe(seconds);
    }

    /// There was no capacity for a machine of this type in this zone.
    pub fn ran_out(&self, zone: &str, machine_type: &str) {
        self.stockouts.get_or_create(&[("zone", zone.to_owned()), ("machine_type", machine_type.to_owned())]).inc();
    }

    /// A watch of these objects broke.
    pub fn watch_failed(&self, kind: &'static str) {
        self.watch_errors.get_or_create(&[("kind", kind)]).inc();
    }

    /// An event of the cloud came in; `fate` is a fixed word for what became of it.
    pub fn hinted(&self, fate: &'static str) {
        self.hints.get_or_create(&[("result", fate)]).inc();
    }

    /// Who says how many notebooks wait in each lane of the queue. Of each level the first teller stays.
    pub fn queued_by(&self, count: impl Fn() -> Vec<(&'static str, usize)> + Send + Sync + 'static) {
        let _ = self.levels.0.queued.set(Box::new(count));
    }

    /// Who says how many notebooks are in each phase.
    pub fn notebooks_by(&self, count: impl Fn() -> BTreeMap<Phase, usize> + Send + Sync + 'static) {
        let _ = self.levels.0.notebooks.set(Box::new(count));
    }

    /// Who says whether this replica leads.
    pub fn leading_by(&self, leading: impl Fn() -> bool + Send + Sync + 'static) {
        let _ = self.levels.0.leading.set(Box::new(leading));
    }

    /// Who says how many operations of Compute Engine are in flight.
    pub fn in_flight_by(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        let _ = self.levels.0.in_flight.set(Box::new(count));
    }

    /// Who says how many objects of this cluster in the cloud belong to no notebook that there is.
    pub fn orphans_by(&self, count: impl Fn() -> usize + Send + Sync + 'static) {
        let _ = self.levels.0.orphans.set(Box::new(count));
    }

    /// All of it, as `OpenMetrics` text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // A string takes whatever is written to it; were it not so, half a page would still end without its mark.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}

type Teller<T> = OnceLock<Box<dyn Fn() -> T + Send + Sync>>;

/// Who is asked for the levels when the metrics are read.
#[derive(Clone, Default)]
struct Levels(Arc<Tellers>);

#[derive(Default)]
struct Tellers {
    queued: Teller<Vec<(&'static str, usize)>>,
    notebooks: Teller<BTreeMap<Phase, usize>>,
    leading: Teller<bool>,
    in_flight: Teller<usize>,
    orphans: Teller<usize>,
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Levels")
    }
}

impl Collector for Levels {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tellers = &*self.0;
        if let Some(queued) = tellers.queued.get() {
            let values = queued().into_iter().map(|(lane, count)| ([("lane", lane)], count));
            gauges(&mut encoder, "queue_depth", "Notebooks that wait for a look, by lane", values)?;
        }
        if let Some(notebooks) = tellers.notebooks.get() {
            let counts = notebooks();
            let values =
                PHASES.map(|phase| ([("phase", phase_word(phase))], counts.get(&phase).copied().unwrap_or_default()));
            gauges(&mut encoder, "notebooks", "Notebooks, by phase", values)?;
        }
        if let Some(leading) = tellers.leading.get() {
            gauge(&mut encoder, "leader", "Whether this replica leads", usize::from(leading()))?;
        }
        if let Some(count) = tellers.in_flight.get() {
            gauge(&mut encoder, "operations_in_flight", "Operations of Compute Engine under way", count())?;
        }
        if let Some(count) = tellers.orphans.get() {
            let help = "Objects of this cluster in the cloud that belong to no notebook";
            gauge(&mut encoder, "orphans", help, count())?;
        }
        Ok(())
    }
}

/// Writes one gauge with a value for each label.
fn gauges(
    encoder: &mut DescriptorEncoder<'_>,
    name: &'static str,
    help: &str,
    values: impl IntoIterator<Item = (Label, usize)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (label, value) in values {
        constant(value).encode(family.encode_family(&label)?)?;
    }
    Ok(())
}

/// Writes one gauge.
fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &'static str, help: &str, value: usize) -> fmt::Result {
    constant(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn constant(value: usize) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

fn cloud_seconds() -> Histogram {
    Histogram::new(CLOUD_S.iter().copied())
}

impl Look {
    fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Acted => "acted",
            Self::Waited => "waited",
            Self::Retried => "retried",
            Self::Stalled => "stalled",
            Self::NotLeading => "not_leading",
        }
    }
}

impl End {
    fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::TurnedBack => "turned_back",
            Self::GivenUp => "given_up",
        }
    }
}

/// Every phase: one that has no notebook is told as 0, so that a graph falls instead of ending.
const PHASES: [Phase; 9] = [
    Phase::Pending,
    Phase::Starting,
    Phase::Running,
    Phase::Resizing,
    Phase::Moving,
    Phase::Stopping,
    Phase::Suspended,
    Phase::Stopped,
    Phase::Deleting,
];

fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Starting => "Starting",
        Phase::Running => "Running",
        Phase::Resizing => "Resizing",
        Phase::Moving => "Moving",
        Phase::Stopping => "Stopping",
        Phase::Suspended => "Suspended",
        Phase::Stopped => "Stopped",
        Phase::Deleting => "Deleting",
    }
}

fn host_word(host: HostKind) -> &'static str {
    match host {
        HostKind::Vm => "VM",
        HostKind::Pod => "Pod",
    }
}

fn transition_word(kind: TransitionKind) -> &'static str {
    match kind {
        TransitionKind::Create => "Create",
        TransitionKind::Start => "Start",
        TransitionKind::Handover => "Handover",
        TransitionKind::InPlace => "InPlace",
        TransitionKind::LiveResize => "LiveResize",
        TransitionKind::Grow => "Grow",
        TransitionKind::Follow => "Follow",
        TransitionKind::Stop => "Stop",
        TransitionKind::Delete => "Delete",
    }
}

#[cfg(test)]
mod tests;
