//! The simulated Compute Engine: one state machine that speaks the REST JSON, on a clock that it is given.
//!
//! [`World::handle`] answers one request; [`World::advance`] lets time pass; [`World::next_event_at`] says until when
//! nothing happens by itself. There is no clock, no thread and no chance in here but the seed's: the same requests at
//! the same times give the same answers. The faces (HTTP, the SDK's stubs) and the test's own hand ([`hand`]) all stand
//! on these three.
//!
//! # Where it is faithful
//! Routes and parameters, wire shapes, fingerprints, request ids, operations with the real cloud's durations, what is
//! refused at once and what inside an operation, statuses and their order, quota, stockouts, lagging lists, partial
//! answers, guests that can hang and disks that remember what was flushed to them and what was not.
//!
//! # What is simplified
//! - Times are told with Pacific standard time's offset, all year.
//! - `operations.wait` answers at once with the state of now (the real one may return early as well). A face that
//!   drives the clock holds the answer back until the operation is DONE or two minutes have passed.
//! - While an instance goes up, down or to sleep, every other change of it is refused as `resourceNotReady`, deletion
//!   included; the real one queues some of them. Changes of an instance that is up may overlap.
//! - A change from one series to another that does not work in place is refused at once with `invalidResourceUsage`; what
//!   the real one's words are is not known to us.
//! - A request id is remembered for ever, for the same method and target. Refusals at once are not remembered.
//! - Operations are kept for ever; the real ones go after some days.
//! - Only zonal disks. Quota is counted for processors, GPUs, disk space, instances and external addresses; the
//!   preemptible metrics are counted for GPUs alone. There are no reservations, placement or sole-tenant nodes.
//! - Snapshots by schedule are not made: a schedule is only recorded on the disk.
//! - Guest attributes outlive a reboot, so that a stale report stays readable until the next one replaces it.
//! - A suspended instance stays so for ever, not sixty days. `FLEX_START` gets its capacity at once or not at all.
//! - Maintenance that migrates live takes no time; local SSDs have no content.
//! - Filters with `eq` and `ne` may not be mixed with the other operators, as documented; ordering by anything but
//!   `name` and `creationTimestamp desc` is refused, as documented.

mod agenda;
mod attach;
pub mod catalogue;
mod compatibility;
mod disk_orders;
mod disks;
mod errors;
pub mod exchange;
mod faults;
mod filter;
mod guest;
pub mod hand;
mod home;
mod insert;
mod instances;
mod lifecycle;
mod listing;
mod machines;
mod mask;
mod members;
mod metadata;
mod naming;
mod operations;
mod pages;
mod policies;
mod quota;
mod reads;
pub mod rest;
mod route;
pub mod schema;
pub mod sdk;
mod serve;
mod sets;
mod snapshots;
#[cfg(test)]
mod tests;
mod times;
mod wire;

use std::collections::BTreeMap;
use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

pub use errors::{OperationFailure, Refusal};
pub use faults::{Fault, FaultKind};
pub use guest::{GuestFault, GuestView};
pub use home::HomeContent;
pub use machines::{MachineState, MachineWish};
pub use quota::QuotaRefusal;
pub use route::{Api, Scope, Sort};
pub use times::CLOUD_TIMES;
pub use wire::{Method, NO_ANSWER_STATUS, Request, Response};

use agenda::{Agenda, Event};
use disks::Disk;
use faults::Tamper;
use instances::Instance;
use listing::Ghost;
use operations::{Operation, OperationId};
use snapshots::Snapshot;
use times::{CloudTimes, Dice};
use wire::Links;

/// What a world is made with.
#[derive(Clone, Debug)]
pub struct WorldSettings {
    /// The one project that has resources.
    pub project: String,
    /// The project's number.
    pub project_number: u64,
    /// All durations, ids and names come from it.
    pub seed: u64,
    /// The time at which the world begins.
    pub start: Timestamp,
    /// What stands before `projects/` in links, such as `https://www.googleapis.com/compute/v1`.
    pub base_url: String,
    /// Whether guests are simulated too; without, real machines stand behind the instances and report for themselves.
    pub guests: bool,
}

/// The name of something that lives in a zone or a region.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The zone, or for resource policies and subnetworks the region.
    pub at: String,
    /// The name.
    pub name: String,
}

impl Place {
    /// The place of `name` in the zone or region `at`.
    pub fn new(at: impl Into<String>, name: impl Into<String>) -> Self {
        Self { at: at.into(), name: name.into() }
    }
}

/// Sees every request with its answer, in order.
type Observer = Box<dyn FnMut(Timestamp, &Request, &Response) + Send>;

/// The simulated Compute Engine.
pub struct World {
    settings: WorldSettings,
    now: Timestamp,
    /// Counts what may have changed something.
    version: u64,
    agenda: Agenda,
    dice: Dice,
    times: CloudTimes,
    links: Links,
    instances: BTreeMap<Place, Instance>,
    disks: BTreeMap<Place, Disk>,
    snapshots: BTreeMap<String, Snapshot>,
    /// Whether a disk (by its id) has ever had a snapshot: the next one is incremental.
    snapshot_chains: BTreeMap<u64, Vec<Timestamp>>,
    policies: BTreeMap<Place, Value>,
    networks: BTreeMap<String, Value>,
    subnetworks: BTreeMap<Place, Value>,
    /// Images of the project itself, by name.
    own_images: BTreeMap<String, Value>,
    operations: BTreeMap<OperationId, Operation>,
    operation_names: BTreeMap<(Scope, String), OperationId>,
    next_operation: OperationId,
    request_ids: BTreeMap<(Api, String, String), OperationId>,
    /// What is gone, and still shows in lists that lag.
    ghosts: Vec<Ghost>,
    list_lag: SignedDuration,
    unreachable: Vec<String>,
    quota_limits: BTreeMap<(String, String), f64>,
    quota_refusal: QuotaRefusal,
    capacity: BTreeMap<(String, String), u32>,
    rates: faults::Rates,
    faults: Vec<Fault>,
    guest_faults: Vec<(String, GuestFault, u32)>,
    /// What the faults do to the request that is being answered.
    tamper: Tamper,
    counts: BTreeMap<&'static str, u64>,
    observers: Vec<Observer>,
    /// Records that were written and never reached a disk.
    lost_records: u64,
    /// Records that a host did not find on the disk that it mounted, though another disk with that content had them.
    left_behind_records: u64,
    /// The most records that were ever flushed under a content id.
    high_water: BTreeMap<String, u64>,
    next_address: BTreeMap<String, u32>,
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("World")
            .field("project", &self.settings.project)
            .field("now", &self.now)
            .field("instances", &self.instances.keys())
            .field("disks", &self.disks.keys())
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world without instances and disks, with a network `default` in every region.
    pub fn new(settings: WorldSettings) -> World {
        let mut world = World {
            now: settings.start,
            version: 0,
            agenda: Agenda::default(),
            dice: Dice::new(settings.seed),
            times: CloudTimes::read(),
            links: Links::new(&settings.base_url),
            instances: BTreeMap::new(),
            disks: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            snapshot_chains: BTreeMap::new(),
            policies: BTreeMap::new(),
            networks: BTreeMap::new(),
            subnetworks: BTreeMap::new(),
            own_images: BTreeMap::new(),
            operations: BTreeMap::new(),
            operation_names: BTreeMap::new(),
            next_operation: 1,
            request_ids: BTreeMap::new(),
            ghosts: Vec::new(),
            list_lag: SignedDuration::ZERO,
            unreachable: Vec::new(),
            quota_limits: BTreeMap::new(),
            quota_refusal: QuotaRefusal::InOperation,
            capacity: BTreeMap::new(),
            rates: faults::Rates::default(),
            faults: Vec::new(),
            guest_faults: Vec::new(),
            tamper: Tamper::default(),
            counts: BTreeMap::new(),
            observers: Vec::new(),
            lost_records: 0,
            left_behind_records: 0,
            high_water: BTreeMap::new(),
            next_address: BTreeMap::new(),
            settings,
        };
        world.network_add("default");
        world
    }

    /// Answers a request. Whatever is due by `at` happens first. Time never runs backwards: an earlier `at` is the
    /// world's own now.
    pub fn handle(&mut self, at: Timestamp, request: &Request) -> Response {
        self.advance(at);
        self.version += u64::from(request.method != Method::Get);
        let response = match self.answer(request) {
            Ok(body) => Response { status: 200, body },
            Err(refusal) => refusal.response(),
        };
        self.tamper = Tamper::default();
        let mut observers = std::mem::take(&mut self.observers);
        for observer in &mut observers {
            observer(self.now, request, &response);
        }
        self.observers = observers;
        response
    }

    /// Lets time pass until `to`, with everything that is due on the way, in order.
    pub fn advance(&mut self, to: Timestamp) {
        while let Some((at, event)) = self.agenda.take(to) {
            self.now = self.now.max(at);
            self.version += 1;
            self.happen(event);
        }
        self.now = self.now.max(to);
    }

    /// When something next happens by itself; `None` in a world at rest.
    pub fn next_event_at(&self) -> Option<Timestamp> {
        self.agenda.next_at()
    }

    /// A number that changes whenever a request or an event may have changed something. What is on a disk changes without:
    /// it is worked out when somebody looks. What the test's own hand does is for the test to know.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The world's time.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What the world was made with.
    pub fn settings(&self) -> &WorldSettings {
        &self.settings
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::OperationRuns(id) => self.operation_runs(id),
            Event::OperationEnds(id) => self.operation_ends(id),
            Event::Stages(place, power) => self.stages(&place, power),
            Event::RunEnds(place, power) => self.run_ends(&place, power),
            Event::Restarts(place, id) => self.restarts(&place, id),
            Event::Guest(place, power, step) => self.guest_step(&place, power, step),
        }
    }

    /// A number of 19 digits, as the ids of resources have; never the same twice but by a chance of the hash.
    fn new_number(&mut self, purpose: &str) -> u64 {
        1_000_000_000_000_000_000 + self.dice.bits(purpose) % 8_000_000_000_000_000_000
    }

    /// Records which operation has an instance in its hands, until that operation is DONE.
    fn release_busy(&mut self, id: OperationId) {
        let place = match self.operations.get(&id).map(|operation| &operation.effect) {
            Some(
                operations::Effect::InstanceInsert { place }
                | operations::Effect::InstanceStart { place }
                | operations::Effect::InstanceResume { place }
                | operations::Effect::InstanceStop { place, .. }
                | operations::Effect::InstanceDelete { place, .. }
                | operations::Effect::InstanceSuspend { place }
                | operations::Effect::InstanceReset { place }
                | operations::Effect::InstanceSet { place, .. },
            ) => place.clone(),
            Some(_) | None => return,
        };
        if let Some(instance) = self.instances.get_mut(&place)
            && instance.busy == Some(id)
        {
            instance.busy = None;
        }
    }
}
