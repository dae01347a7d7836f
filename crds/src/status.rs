//! What the controller says of a notebook, and what it must not forget.
//!
//! Status is the controller's only memory: what is in here is enough to go on after a crash. Conditions are for machines,
//! `phase` and the sentences for people.

mod home;
mod kernels;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use home::{FormerHome, HomeRecord};
pub use kernels::{KernelState, Kernels};

use crate::shape::{Gpu, HostShape};

/// What is true of the notebook now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotebookStatus {
    /// The generation of the spec that this status speaks of; -1 until the controller has looked for the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled, Serving, Home, Source, Buckets and Activity, each with a typed reason and a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]), length(max = 16))]
    pub conditions: Vec<Condition>,
    /// The situation in one word, for people. Machines read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Where the notebook is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
    /// The host as it was resolved from the spec and the class's defaults. It is resolved again only when the spec's host changes,
    /// so a change of the class or of an image moves nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<Resolved>,
    /// The host that has the home, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostRecord>,
    /// The host before the last handover: kept, stopped, until the time given, then deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<FormerHost>,
    /// The home disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<HomeRecord>,
    /// The disk that was the home before the last change of its zone or type: kept until the time given, then deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_home: Option<FormerHome>,
    /// The change that is under way. Written before the first call of the change, and of each of its steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transition: Option<Transition>,
    /// The number of the latest transition: the next one is numbered one higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition: Option<i64>,
    /// What could not be had, and when it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The difference between what is asked for and what runs, in words, and what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub pending: Option<String>,
    /// The state of the git checkout, as the host last reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceState>,
    /// When and why the notebook was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// Since when the notebook runs: its last start after it was stopped, whatever hosts it has had since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// How far the schedule was followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<FollowedSchedule>,
    /// What became of the kernels when the notebook was last to be suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<Kernels>,
    /// What the running host costs by the class's prices. Absent while none runs: a suspended host still costs its kept memory and
    /// its disks, for which a class has no prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The values of the request annotations that were carried out: any other value is a new request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handled: Option<Handled>,
    /// Fields of the spec that are valid but that this version does not act on yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 256)), extend("x-kubernetes-list-type" = "atomic"))]
    pub not_acted_on_yet: Vec<String>,
}

/// The situation in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing runs yet: something is missing or waited for.
    Pending,
    /// A host is being made or started.
    Starting,
    /// Jupyter answers.
    Running,
    /// The same host changes its shape.
    Resizing,
    /// The home is on its way to another host.
    Moving,
    /// The host is being stopped.
    Stopping,
    /// The host's memory is kept, and it does not run.
    Suspended,
    /// No host runs.
    Stopped,
    /// The notebook is being deleted.
    Deleting,
}

/// Where a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HostKind {
    /// A Compute Engine VM.
    #[serde(rename = "VM")]
    Vm,
    /// A Kubernetes pod.
    Pod,
}

/// The host as resolved, and from which words of the spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resolved {
    /// A digest of the spec's host, fallbacks and class: while it is the same, nothing is resolved again.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// The wished host.
    pub host: HostShape,
    /// The hosts that are tried, in this order, where there is no capacity for the wished one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub fallbacks: Vec<HostShape>,
    /// The type of disk that the home is to have; empty for a claim.
    #[serde(default, rename = "homeType", skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub home_type: String,
}

/// A host that exists, existed, or is to exist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostRecord {
    /// VM or Pod.
    pub kind: HostKind,
    /// The name of the VM or pod.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The Google Cloud project of a VM.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub project: String,
    /// The zone of a VM, or of the pod's disk.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub zone: String,
    /// The shape in a few words, as `kubectl get nb` shows it.
    #[schemars(length(max = 256))]
    pub shape: String,
    /// The machine type of a VM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub machine_type: Option<String>,
    /// The GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
    /// The address at which Jupyter listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub address: Option<String>,
    /// The cluster node of a pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub node: Option<String>,
    /// When the host was last started, as the cloud says: another time means that it was started by somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The nonce of the settings that the host was last given: a report that names another is not about them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 64))]
    pub nonce: String,
    /// The boot in which the host last proved that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub boot_id: Option<String>,
    /// A digest of what the host was last told to offer beside the home: buckets, the repository, who may open it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub told: Option<String>,
    /// Since when the host serves; absent when it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving_since: Option<Timestamp>,
    /// The whole shape that this host was last given.
    pub last_shape: HostShape,
}

/// A host that was left by a handover.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FormerHost {
    /// The host.
    pub host: HostRecord,
    /// When it is deleted.
    pub keep_until: Timestamp,
    /// Which try of stopping or deleting it.
    pub attempt: i64,
    /// No further try is made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

/// What kind of change is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TransitionKind {
    /// A host is made where there is none.
    Create,
    /// The stopped host is started, or the suspended one is resumed.
    Start,
    /// A new host is made first, then the home changes hands.
    Handover,
    /// The host is stopped, set and started.
    InPlace,
    /// The pod's cpu and memory are changed while it runs.
    LiveResize,
    /// The home disk grows.
    Grow,
    /// The running host is told what else it is to offer: buckets, a repository, who may open it.
    Follow,
    /// The host is stopped or suspended.
    Stop,
    /// Everything is given up, the home by its deletion policy.
    Delete,
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Step {
    /// The home disk is made.
    Home,
    /// A first snapshot of the home is taken while it is served, so that the second one is small.
    Snapshot,
    /// The new host is obtained, without the home.
    Obtain,
    /// The old host lets go of the home.
    LetGo,
    /// The home, which nobody writes to now, is copied to a new disk through a snapshot.
    Copy,
    /// The disk is detached and attached.
    Move,
    /// The host with the home is started.
    Boot,
    /// The host proves that it serves the right content.
    Prove,
    /// The new host, which failed, gives the home back.
    TakeBack,
    /// The disk returns to the old host.
    Return,
    /// The old host proves that it serves again.
    ProveBack,
    /// The new host, which failed or is not wanted any more, is deleted.
    Abandon,
    /// The host is stopped.
    Halt,
    /// The host is suspended.
    Suspend,
    /// The suspended host is resumed, and told to serve again.
    Resume,
    /// The stopped host is given its new shape.
    Set,
    /// The running pod is given its new resources.
    Resize,
    /// The disk grows.
    Grow,
    /// The hosts are deleted.
    Release,
    /// The disk is kept or deleted, as the deletion policy says.
    Dispose,
}

/// A change under way: the intent, recorded before anything is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// `t` and a number; part of the names and labels of everything that the change makes.
    #[schemars(length(max = 16))]
    pub id: String,
    /// What kind of change.
    pub kind: TransitionKind,
    /// How far it has come.
    pub step: Step,
    /// Which try of this step: raised only after the former one is seen to have failed.
    pub attempt: i64,
    /// When the change began.
    pub started_at: Timestamp,
    /// When the present step began.
    pub step_started_at: Timestamp,
    /// The host at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<HostRecord>,
    /// The host that is to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<HostRecord>,
    /// Which of the wished host (0) and its fallbacks (1, 2, …) this is.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub candidate: i64,
    /// The reason why the change goes back, or why the notebook is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<TransitionReason>,
    /// No call of this step is made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The new disk that the home is copied to, where its zone or type changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<HomeRecord>,
    /// The disk size aimed at, in GiB, when the home grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_gb: Option<i64>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Why a change goes the way it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TransitionReason {
    /// A condition reason.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// A sentence for people.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// What could not be had, and when it is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// The digest of the wished host that could not be had: another wish is tried at once.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// A condition reason.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// A sentence for people.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// How many of the wished host and its fallbacks were tried in this round.
    pub tried: i64,
    /// How many rounds have failed.
    pub rounds: i64,
    /// When the first round failed.
    pub since: Timestamp,
    /// When the next round begins; absent when a person must change something first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Timestamp>,
}

/// The git checkout as last reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceState {
    /// The commit that is checked out.
    #[schemars(length(max = 64))]
    pub revision: String,
    /// Whether the tree has changes that are not committed.
    pub dirty: bool,
}

/// Why a notebook was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StopReason {
    /// Nothing was going on in it for `idle.after`.
    Idle,
    /// Its schedule said so.
    Schedule,
    /// Its lifetime had passed.
    Lifetime,
    /// Its lifetime had passed, and host and, by the deletion policy, disk were given up.
    Expired,
    /// A person asked for it, by `spec.state` or by annotation.
    Asked,
    /// The cloud took the machine away.
    Preempted,
}

/// How far a schedule was followed: what it said up to then was done, or a person has said otherwise since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FollowedSchedule {
    /// A digest of the schedule's words: another schedule is followed from the moment in which it was first seen.
    #[schemars(length(max = 64))]
    pub digest: String,
    /// The last start or stop that was followed.
    pub until: Timestamp,
}

/// When and why the notebook was stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: StopReason,
    /// Whether `spec.state` said so: then it is `spec.state` that starts the notebook again; otherwise `rehost.dev/wake`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub declared: bool,
}

/// What the host costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cost {
    /// The price of one hour, as the class's prices say, in `currency`.
    #[schemars(length(max = 32))]
    pub hourly: String,
    /// The currency of the class's prices.
    #[schemars(length(max = 8))]
    pub currency: String,
    /// Since when the host costs that much.
    pub since: Timestamp,
}

/// The request annotations that were carried out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Handled {
    /// The value of `rehost.dev/wake`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub wake: Option<String>,
    /// The value of `rehost.dev/stop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub stop: Option<String>,
    /// The value of `rehost.dev/restart`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub restart: Option<String>,
}
