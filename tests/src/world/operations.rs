//! Operations: PENDING, RUNNING, DONE, and what they do to the world at each turn.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::agenda::Event;
use super::errors::{OperationFailure, Refusal};
use super::route::{Call, Scope};
use super::times::millis;
use super::wire::stamp;
use super::{Place, World};

/// How long an operation stays PENDING, in seconds: a moment, as recordings show (our estimate).
const PENDING_S: [f64; 2] = [0.05, 0.3];
/// How long it takes until an operation that meets a stockout, a quota or another refusal says so, in seconds (seven
/// seconds in a public recording of a stockout; our estimate around it).
const REFUSED_S: [f64; 2] = [3.0, 8.0];

/// The world's own number of an operation.
pub(super) type OperationId = u64;

/// Where an operation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OperationStatus {
    Pending,
    Running,
    Done,
}

impl OperationStatus {
    pub(super) fn word(self) -> &'static str {
        match self {
            OperationStatus::Pending => "PENDING",
            OperationStatus::Running => "RUNNING",
            OperationStatus::Done => "DONE",
        }
    }
}

/// What an operation does to the world. Its part at the start is in [`World::begin`], at the end in [`World::finish`].
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Effect {
    /// Nothing: a stop of what is stopped.
    Nothing,
    /// A new instance comes up.
    InstanceInsert { place: Place },
    /// A stopped instance comes up.
    InstanceStart { place: Place },
    /// A suspended instance comes back.
    InstanceResume { place: Place },
    /// An instance goes down; `hard` gives the guest no time.
    InstanceStop { place: Place, hard: bool },
    /// An instance goes down for ever.
    InstanceDelete { place: Place, hard: bool },
    /// An instance is put to sleep.
    InstanceSuspend { place: Place },
    /// An instance's power is cut and given back.
    InstanceReset { place: Place },
    /// A member of the instance is replaced.
    InstanceSet { place: Place, change: Change },
    /// A disk is attached.
    Attach { place: Place, attachment: super::attach::Attachment },
    /// A disk is detached.
    Detach { place: Place, device: String },
    /// A new disk becomes ready.
    DiskInsert { place: Place },
    /// A disk grows.
    DiskResize { place: Place, size_gb: i64 },
    /// A disk goes.
    DiskDelete { place: Place },
    /// A disk's labels are replaced.
    DiskLabels { place: Place, labels: Value, fingerprint: String },
    /// A disk's resource policies are replaced.
    DiskPolicies { place: Place, add: Vec<String>, remove: Vec<String> },
    /// A snapshot becomes ready.
    SnapshotInsert { name: String, disk: Place },
    /// A snapshot goes.
    SnapshotDelete { name: String },
    /// A resource policy goes.
    PolicyDelete { place: Place },
}

/// One replacement of members of an instance.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    MachineType { link: String },
    Accelerators { list: Value },
    MinCpuPlatform { platform: String },
    Scheduling { scheduling: Value },
    Labels { labels: Value, fingerprint: String },
    Metadata { items: Value, fingerprint: String },
    Tags { items: Value, fingerprint: String },
    ServiceAccount { accounts: Value },
    AutoDelete { device: String, auto_delete: bool },
}

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    number: u64,
    pub(super) scope: Scope,
    kind: String,
    target: String,
    target_id: u64,
    client_operation_id: Option<String>,
    user: String,
    pub(super) status: OperationStatus,
    inserted_at: Timestamp,
    /// The same, as it is shown.
    pub(super) insert_time: String,
    started_at: Option<Timestamp>,
    ended_at: Option<Timestamp>,
    takes: SignedDuration,
    pub(super) effect: Effect,
    pub(super) failure: Option<OperationFailure>,
}

/// What a mutation wants to have started.
pub(super) struct Start {
    /// `operationType`.
    pub(super) kind: &'static str,
    /// Where the operation lives.
    pub(super) scope: Scope,
    /// The path of the resource from `projects/` on.
    pub(super) target: String,
    /// The resource's numeric id.
    pub(super) target_id: u64,
    /// The figure in `cloud-times.json`.
    pub(super) figure: &'static str,
    /// What it does.
    pub(super) effect: Effect,
    /// Known at once to fail, though it is told only in the operation.
    pub(super) failure: Option<OperationFailure>,
}

impl World {
    /// Starts the operation of a request.
    pub(super) fn start(&mut self, call: &Call, start: Start) -> OperationId {
        let request_id = call.parameter("requestId").map(str::to_owned);
        let user = format!("rehost@{}.iam.gserviceaccount.com", self.settings.project);
        self.start_as(start, user, request_id)
    }

    /// Starts an operation of the cloud's own: preemption, host error, automatic restart.
    pub(super) fn start_by_system(&mut self, start: Start) -> OperationId {
        self.start_as(start, "system".to_owned(), None)
    }

    fn start_as(&mut self, start: Start, user: String, client_operation_id: Option<String>) -> OperationId {
        let Start { kind, scope, target, target_id, figure, effect, failure } = start;
        let purpose = format!("{kind} {target}");
        let mut takes = self.dice.duration(&purpose, self.times.of(figure));
        if let Some(longer) = self.tamper.latency.take() {
            takes = takes.saturating_add(longer);
        }
        takes = self.stretch_for_guest(&effect, takes);
        let failure = failure.or_else(|| self.tamper.failure.take());
        let id = self.next_operation;
        self.next_operation += 1;
        let name = self.operation_name(&user);
        let operation = Operation {
            name: name.clone(),
            number: self.new_number("operation"),
            scope: scope.clone(),
            kind: kind.to_owned(),
            target,
            target_id,
            client_operation_id,
            user,
            status: OperationStatus::Pending,
            inserted_at: self.now,
            insert_time: stamp(self.now),
            started_at: None,
            ended_at: None,
            takes,
            effect,
            failure,
        };
        self.operation_names.insert((scope, name), id);
        self.operations.insert(id, operation);
        let pending = self.dice.duration("pending", PENDING_S);
        self.agenda.add(self.now + pending, Event::OperationRuns(id));
        id
    }

    fn operation_name(&mut self, user: &str) -> String {
        let (high, low) = (self.dice.bits("operation name"), self.dice.bits("operation name"));
        let prefix = if user == "system" { "systemevent" } else { "operation" };
        format!(
            "{prefix}-{}-{:013x}-{:08x}-{:08x}",
            self.now.as_millisecond(),
            high >> 12,
            low >> 32,
            low & 0xffff_ffff
        )
    }

    /// The operation leaves PENDING; what it changes at its start becomes visible.
    pub(super) fn operation_runs(&mut self, id: OperationId) {
        let now = self.now;
        let Some(operation) = self.operations.get_mut(&id) else { return };
        operation.status = OperationStatus::Running;
        operation.started_at = Some(now);
        let effect = operation.effect.clone();
        let mut ends_at = operation.inserted_at + operation.takes;
        let failed_already = operation.failure.is_some();
        let begun = if failed_already { Ok(()) } else { self.begin(&effect) };
        let failed = failed_already || begun.is_err();
        if failed {
            // A refusal is told sooner than the work would have taken, but never before it would be done.
            let soon = now + self.dice.duration("refused", REFUSED_S);
            ends_at = ends_at.min(soon);
        }
        if let (Err(failure), Some(operation)) = (begun, self.operations.get_mut(&id)) {
            operation.failure = Some(failure);
        }
        self.agenda.add(ends_at.max(now), Event::OperationEnds(id));
    }

    /// The operation is DONE; what it changes becomes visible, or what it began is taken back.
    pub(super) fn operation_ends(&mut self, id: OperationId) {
        let Some(operation) = self.operations.get(&id) else { return };
        let effect = operation.effect.clone();
        let failure = operation.failure.clone();
        let outcome = match failure {
            Some(failure) => {
                self.undo(&effect);
                Err(failure)
            }
            None => self.finish(&effect),
        };
        self.release_busy(id);
        let now = self.now;
        if let Some(operation) = self.operations.get_mut(&id) {
            operation.status = OperationStatus::Done;
            operation.ended_at = Some(now);
            operation.failure = outcome.err();
        }
    }

    /// How many operations are not DONE.
    pub(super) fn operations_in_flight(&self) -> usize {
        // The newest operations are the ones in flight: a look at them is enough.
        self.operations.values().rev().take(5_000).filter(|operation| operation.status != OperationStatus::Done).count()
    }

    /// The operation of a `get` or `wait`. A wait answers at once here; who drives the clock holds it back.
    pub(super) fn operation_read(&self, call: &Call) -> Result<Value, Refusal> {
        self.check_scope(call)?;
        if let Some(id) = self.operation_names.get(&(call.scope.clone(), call.name.clone())) {
            return Ok(self.operation_json(*id));
        }
        let path = format!("projects/{}/{}/operations/{}", self.settings.project, call.scope.path(), call.name);
        Err(Refusal::not_found(&path))
    }

    /// An operation as the API shows it.
    pub(super) fn operation_json(&self, id: OperationId) -> Value {
        let Some(operation) = self.operations.get(&id) else { return Value::Null };
        let project = &self.settings.project;
        let scope = operation.scope.path();
        let done = operation.status == OperationStatus::Done;
        let progress = if done { 100 } else { 0 };
        let mut shown = json!({
            "kind": "compute#operation",
            "id": operation.number.to_string(),
            "name": operation.name,
            "operationType": operation.kind,
            "targetLink": self.links.link(&operation.target),
            "targetId": operation.target_id.to_string(),
            "status": operation.status.word(),
            "user": operation.user,
            "progress": progress,
            "insertTime": operation.insert_time,
            "selfLink": self.links.link(&format!("projects/{project}/{scope}/operations/{}", operation.name)),
        });
        match &operation.scope {
            Scope::Zone(_) => shown["zone"] = self.links.link(&format!("projects/{project}/{scope}")).into(),
            Scope::Region(_) => shown["region"] = self.links.link(&format!("projects/{project}/{scope}")).into(),
            Scope::Global => {}
        }
        if let Some(client_operation_id) = &operation.client_operation_id {
            shown["clientOperationId"] = client_operation_id.as_str().into();
        }
        if let Some(started_at) = operation.started_at {
            shown["startTime"] = stamp(started_at).into();
        }
        if let Some(ended_at) = operation.ended_at {
            shown["endTime"] = stamp(ended_at).into();
        }
        if let (true, Some(failure)) = (done, &operation.failure) {
            shown["error"] = failure.json();
            shown["httpErrorStatusCode"] = failure.http_status.into();
            shown["httpErrorMessage"] = failure.http_message().into();
        }
        shown
    }

    /// What an operation changes when it begins to run. An error makes it end as failed.
    fn begin(&mut self, effect: &Effect) -> Result<(), OperationFailure> {
        match effect {
            Effect::InstanceInsert { place } | Effect::InstanceStart { place } => self.begin_power_on(place),
            Effect::InstanceResume { place } => self.begin_resume(place),
            Effect::InstanceStop { place, hard } | Effect::InstanceDelete { place, hard } => {
                self.begin_power_off(place, *hard);
                Ok(())
            }
            Effect::InstanceSuspend { place } => {
                self.begin_suspend(place);
                Ok(())
            }
            Effect::DiskInsert { place } => self.begin_disk(place),
            Effect::DiskResize { place, size_gb } => self.begin_resize(place, *size_gb),
            Effect::DiskDelete { place } => self.begin_disk_delete(place),
            Effect::SnapshotInsert { name, disk } => {
                self.begin_snapshot(name, disk);
                Ok(())
            }
            Effect::Nothing
            | Effect::InstanceReset { .. }
            | Effect::InstanceSet { .. }
            | Effect::Attach { .. }
            | Effect::Detach { .. }
            | Effect::DiskLabels { .. }
            | Effect::DiskPolicies { .. }
            | Effect::SnapshotDelete { .. }
            | Effect::PolicyDelete { .. } => Ok(()),
        }
    }

    /// What an operation changes when it is DONE without a failure.
    fn finish(&mut self, effect: &Effect) -> Result<(), OperationFailure> {
        match effect {
            Effect::Nothing => {}
            Effect::InstanceInsert { place } | Effect::InstanceStart { place } => self.finish_power_on(place),
            Effect::InstanceResume { place } => self.finish_resume(place),
            Effect::InstanceStop { place, .. } => self.finish_power_off(place),
            Effect::InstanceDelete { place, .. } => self.finish_delete(place),
            Effect::InstanceSuspend { place } => self.finish_suspend(place),
            Effect::InstanceReset { place } => self.finish_reset(place),
            Effect::InstanceSet { place, change } => self.finish_set(place, change)?,
            Effect::Attach { place, attachment } => self.finish_attach(place, attachment)?,
            Effect::Detach { place, device } => self.finish_detach(place, device),
            Effect::DiskInsert { place } => self.finish_disk(place),
            Effect::DiskResize { place, size_gb } => self.finish_resize(place, *size_gb),
            Effect::DiskDelete { place } => self.finish_disk_delete(place),
            Effect::DiskLabels { place, labels, fingerprint } => self.finish_disk_labels(place, labels, fingerprint)?,
            Effect::DiskPolicies { place, add, remove } => self.finish_disk_policies(place, add, remove),
            Effect::SnapshotInsert { name, .. } => self.finish_snapshot(name),
            Effect::SnapshotDelete { name } => self.finish_snapshot_delete(name),
            Effect::PolicyDelete { place } => self.finish_policy_delete(place),
        }
        Ok(())
    }

    /// Takes back what a failed operation had made visible when it was asked for.
    fn undo(&mut self, effect: &Effect) {
        match effect {
            Effect::InstanceInsert { place } => self.remove_instance(place),
            Effect::InstanceStart { place } => self.undo_start(place),
            Effect::InstanceResume { place } => self.undo_resume(place),
            Effect::DiskInsert { place } => self.remove_disk(place),
            Effect::SnapshotInsert { name, .. } => {
                self.snapshots.remove(name);
            }
            Effect::Nothing
            | Effect::InstanceStop { .. }
            | Effect::InstanceDelete { .. }
            | Effect::InstanceSuspend { .. }
            | Effect::InstanceReset { .. }
            | Effect::InstanceSet { .. }
            | Effect::Attach { .. }
            | Effect::Detach { .. }
            | Effect::DiskResize { .. }
            | Effect::DiskDelete { .. }
            | Effect::DiskLabels { .. }
            | Effect::DiskPolicies { .. }
            | Effect::SnapshotDelete { .. }
            | Effect::PolicyDelete { .. } => {}
        }
    }

    /// A guest that does not answer makes a stop last as long as its grace, and a moment for the power.
    fn stretch_for_guest(&self, effect: &Effect, takes: SignedDuration) -> SignedDuration {
        let (Effect::InstanceStop { place, hard } | Effect::InstanceDelete { place, hard }) = effect else {
            return takes;
        };
        match self.instances.get(place) {
            Some(instance) if !hard && instance.ignores_shutdown() => takes.max(instance.grace() + millis(4.0)),
            Some(instance) if !hard => takes.min(instance.grace() + millis(4.0)),
            Some(_) | None => takes,
        }
    }
}
