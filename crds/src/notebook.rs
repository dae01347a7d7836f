//! The `Notebook`: what a person declares.
//!
//! A field that a class can default is an `Option` and has no default in the schema: `None` means "as the class says".
//! A default that is the same everywhere is in the schema.

pub mod host;
pub mod resize;
pub mod schedule;
pub mod source;
pub mod storage;

pub use host::{BootDisk, ExternalAddress, HostSpec, OnPreemption, PodHost, PodResources, Shielded, VmHost};
pub use resize::{OnStockout, ResizeHow, ResizePolicy, ResizeWhen, ResizeWindow};
pub use schedule::{IdleAction, IdlePolicy, LifetimeAction, LifetimePolicy, SchedulePolicy};
pub use source::{SourceCredentials, SourceSpec};
pub use storage::{Backups, BucketMount, DeletionPolicy, HomeFrom, StorageSpec};

use crate::{
    status::NotebookStatus,
    validation::{self, rule_saying},
};
use kube::{
    CustomResource,
    core::cel::{Message, Rule},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The class of a notebook that names none.
pub const DEFAULT_CLASS: &str = "default";
/// The longest name of a notebook: it becomes a label, a Service and, with the namespace, a host name.
pub const NAME_LENGTH_MAX: usize = 52;

/// A notebook as it is declared: a Jupyter server on a virtual machine or in a pod, and the home disk that outlives both.
///
/// Change any field at any time. What a change interrupts is said at the field; a change that cannot work is refused
/// before anything is stopped.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "rehost.dev",
    version = "v1alpha1",
    kind = "Notebook",
    plural = "notebooks",
    shortname = "nb",
    category = "rehost",
    namespaced,
    status = "NotebookStatus",
    derive = "PartialEq",
    doc = "A Jupyter notebook server that can be re-hosted: on a Compute Engine VM or in a pod, with a home disk that outlives every machine.",
    validation = name_rule(),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state", description = "What is asked for: Running or Stopped."),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "What is going on, in one word."),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.host.kind", description = "Where it runs: VM or Pod."),
    printcolumn(name = "Shape", type_ = "string", json_path = ".status.host.shape", description = "The machine type, or the pod's processor and memory, and the GPU."),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether everything is as declared."),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason", description = "Why it is ready, or is not."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "How long ago it was created."),
    printcolumn(name = "Zone", type_ = "string", json_path = ".status.host.zone", description = "The zone of the host.", priority = 1),
    printcolumn(name = "Disk", type_ = "string", json_path = ".status.home.disk", description = "The home disk.", priority = 1),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", description = "Where people open it.", priority = 1),
    printcolumn(name = "Pending", type_ = "string", json_path = ".status.pending", description = "A change that waits, and what for.", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = spec_rules()), transform = validation::kubernetes_shape)]
pub struct NotebookSpec {
    /// The `NotebookClass`: what the administrator allows, and the default of most fields here. Absent: `default`.
    /// A change of the class re-hosts nobody: what runs is pinned in `status.resolved`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub class: Option<String>,

    /// Whether the notebook should run. `Stopped` gives up the host and keeps the home disk.
    #[serde(default)]
    pub state: PowerState,

    /// Zones for the home disk and the host, in order of preference and all of one region, for example
    /// `[us-central1-a, us-central1-b]`. Reordering moves nothing; a home whose zone has left the list moves.
    /// Absent: the zones of the class.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "zones_schema")]
    pub zones: Vec<String>,

    /// The machine around the home: exactly one of `vm` and `pod`. Change it at any time: the new host is obtained and
    /// booted while the old one still serves, then the home disk changes hands. Absent: the host of the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostSpec>,

    /// Other hosts to take when there is no capacity for `host`, tried in order. The return to `host` follows
    /// `resize.when`, and waits for capacity and for five minutes in which nothing goes on where that is `Now`. At most 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5), extend("x-kubernetes-list-type" = "atomic"))]
    pub fallbacks: Vec<HostSpec>,

    /// The home disk: one disk for the notebook's whole life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageSpec>,

    /// Cloud Storage buckets to mount, the same on a VM and in a pod. One entry for each `path`; at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend(
        "x-kubernetes-list-type" = "map",
        "x-kubernetes-list-map-keys" = ["path"],
        "x-kubernetes-validations" = storage::bucket_list_rules()
    ))]
    pub buckets: Vec<BucketMount>,

    /// A git repository to check out. It is cloned when absent and fast-forwarded only when its tree is clean: never
    /// over somebody's work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceSpec>,

    /// When and how a change of host happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<ResizePolicy>,

    /// What happens when nobody uses the notebook. Absent: as the class says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdlePolicy>,

    /// When the notebook starts and stops by the clock. Absent: it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<SchedulePolicy>,

    /// How long the notebook may run before it is stopped or released. Absent: as the class says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<LifetimePolicy>,
}

impl NotebookSpec {
    /// The name of the class, the default one's included.
    pub fn class_name(&self) -> &str {
        self.class.as_deref().unwrap_or(DEFAULT_CLASS)
    }
}

/// Whether a notebook should run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PowerState {
    /// The notebook runs, or starts when something asks for it after a stop by idle, schedule or lifetime.
    #[default]
    Running,
    /// The notebook is stopped; the home disk is kept.
    Stopped,
}

fn name_rule() -> Rule {
    Rule::new(format!(
        "self.metadata.name.matches(r'^[a-z]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= {NAME_LENGTH_MAX}"
    ))
    .message(Message::Expression(format!(
        "\"metadata.name '\" + self.metadata.name + \"' must be at most {NAME_LENGTH_MAX} lower-case letters, digits and '-', begin with a letter and have no dot: it becomes a label, a Service and a host name\""
    )))
}

fn spec_rules() -> Vec<Value> {
    vec![
        rule_saying(
            "!has(oldSelf.storage) || !has(oldSelf.storage.size) || (has(self.storage) && has(self.storage.size))",
            "\"storage.size '\" + oldSelf.storage.size + \"' cannot be removed: the disk keeps its size, so keep the line, or write a larger size\"",
            "storage.size was set and cannot be removed: the disk keeps its size, so keep the line, or write a larger size",
        ),
        rule_saying(
            "!has(self.source) || !has(self.source.path) || !has(self.buckets) || self.buckets.all(b, b.path != self.source.path && !b.path.startsWith(self.source.path + '/') && !self.source.path.startsWith(b.path + '/'))",
            "\"source.path '\" + self.source.path + \"' and the path of a bucket are the same, or one lies in the other: give them folders of their own\"",
            "source.path and the path of a bucket are the same, or one lies in the other: give them folders of their own",
        ),
    ]
}

/// The schema of a list of zones, of a notebook or of a class.
pub(crate) fn zones_schema(_: &mut SchemaGenerator) -> Schema {
    const ZONE: &str = "^[a-z]+-[a-z]+[0-9]+-[a-z]$";
    let zone = validation::text(32, vec![validation::form(ZONE, "a zone", "us-central1-a")]);
    let rules = vec![
        rule_saying(
            &format!(
                "!self.all(z, z.matches(r'{ZONE}')) || self.all(z, z.substring(0, z.lastIndexOf('-')) == self[0].substring(0, self[0].lastIndexOf('-')))"
            ),
            "\"zones \" + self.join(', ') + \" are not all of one region: a home disk cannot leave its region\"",
            "zones are not all of one region: a home disk cannot leave its region",
        ),
        rule_saying(
            "self.all(z, self.exists_one(other, other == z))",
            "\"zones \" + self.join(', ') + \" name one zone twice: name each once\"",
            "zones name one zone twice: name each once",
        ),
    ];
    validation::list(16, &zone, rules)
}
