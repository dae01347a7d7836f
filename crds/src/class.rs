//! The `NotebookClass`: the administrator's word.
//!
//! One rule holds for everything that a class lists: **what is a default of the class or is matched by its `allowed`
//! list may be used, and nothing else.** `["*"]` allows everything. In a pattern, `*` stands for any run of characters.

pub mod allowance;
pub mod defaults;

pub use allowance::{
    Allowance, ClassAccess, ClassGpus, ClassImages, ClassLimits, ClassNetwork, NamespaceSelector, PodImages, Prices,
    SelectorOperator, SelectorRequirement, VmImages,
};
pub use defaults::{ClassDefaults, ClassPods, ClassResize, ClassStorage, PodHomes};

use crate::{
    duration::{DurationText, between},
    notebook::zones_schema,
    validation::{self, form, rule, rule_saying},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a stopped host is kept when the class says nothing.
const STOPPED_HOST_KEEP: &str = "7d";

/// What an administrator allows to notebooks, and what they get when they do not say.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "rehost.dev",
    version = "v1alpha1",
    kind = "NotebookClass",
    plural = "notebookclasses",
    shortname = "nbc",
    category = "rehost",
    status = "NotebookClassStatus",
    derive = "PartialEq",
    doc = "What an administrator allows to notebooks, and what they get when they do not say. What is a default of the class or is matched by an `allowed` list may be used, and nothing else.",
    printcolumn(
        name = "Project",
        type_ = "string",
        json_path = ".spec.project",
        description = "The Google Cloud project."
    ),
    printcolumn(
        name = "Zones",
        type_ = "string",
        json_path = ".spec.zones",
        description = "The zones that may be used."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the installation has what the class needs."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "What it lacks."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "How long ago it was created."
    ),
    printcolumn(
        name = "Machine",
        type_ = "string",
        json_path = ".spec.machineTypes.default",
        description = "The default machine type.",
        priority = 1
    ),
    printcolumn(
        name = "Pods",
        type_ = "string",
        json_path = ".spec.pods.homes",
        description = "How pods get their home.",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = class_rules()), transform = validation::kubernetes_shape)]
pub struct NotebookClassSpec {
    /// The namespaces whose notebooks may use this class, by their labels. Absent: every namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<NamespaceSelector>,

    /// The Google Cloud project of disks and machines, for example `my-project`.
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [project_form(), rule_saying(
        "self == oldSelf",
        "\"project '\" + oldSelf + \"' cannot become '\" + self + \"': homes do not move between projects; make a new class\"",
        "project cannot change: homes do not move between projects; make a new class"
    )]))]
    pub project: String,

    /// The zones that may be used, in order of preference and all of one region; also the zones of a notebook that
    /// names none. At least one, at most 16.
    #[schemars(schema_with = "class_zones_schema")]
    pub zones: Vec<String>,

    /// The network of virtual machines. Absent: the project's `default` network and no external addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<ClassNetwork>,

    /// Machine types, for example `allowed: [n1-*, g2-standard-8]` and `default: n1-standard-4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_types: Option<Allowance>,

    /// GPU types. Absent: no attached GPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<ClassGpus>,

    /// Images of machines and containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<ClassImages>,

    /// Google service accounts of virtual machines, for example `default: notebooks@my-project.iam.gserviceaccount.com`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<Allowance>,

    /// Names of buckets that may be mounted, with `*`, for example `[team-a-*]`. At most 64. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns_schema")]
    pub buckets: Vec<String>,

    /// What the URL of a repository may begin with, for example `[https://github.com/my-org/]`; `*` at the end is
    /// implied. At most 64. Absent: every repository.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns_schema")]
    pub source_prefixes: Vec<String>,

    /// Limits for each namespace. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<ClassLimits>,

    /// What a notebook gets where it says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults: Option<ClassDefaults>,

    /// How long the host of a stopped notebook is kept, from `0s` to `365d`; then only the disk remains.
    #[serde(default = "default_stopped_host_keep")]
    pub stopped_host_keep: DurationText,

    /// Whether a disk that was kept from a former Notebook of the same namespace and name is taken without asking.
    #[serde(default)]
    pub adopt_by_name: bool,

    /// How people reach notebooks. Absent: by port-forward only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<ClassAccess>,

    /// Prices for the cost estimate in a notebook's status. Absent: no estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prices: Option<Prices>,

    /// Notebooks in pods. Absent: virtual machines only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<ClassPods>,
}

impl Default for NotebookClassSpec {
    fn default() -> Self {
        Self {
            namespace_selector: None,
            project: String::new(),
            zones: Vec::new(),
            network: None,
            machine_types: None,
            gpus: None,
            images: None,
            service_accounts: None,
            buckets: Vec::new(),
            source_prefixes: Vec::new(),
            limits: None,
            defaults: None,
            stopped_host_keep: default_stopped_host_keep(),
            adopt_by_name: false,
            access: None,
            prices: None,
            pods: None,
        }
    }
}

/// What the controller says of a class: mostly what the installation lacks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = validation::kubernetes_shape)]
pub struct NotebookClassStatus {
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions: `Ready`, and one for each thing that the installation must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]), length(max = 16))]
    pub conditions: Vec<Condition>,
}

fn default_stopped_host_keep() -> DurationText {
    DurationText::from(STOPPED_HOST_KEEP)
}

fn class_rules() -> Vec<Value> {
    vec![
        between("stoppedHostKeep", "0s", 365),
        rule_saying(
            "!has(self.pods) || self.pods.homes != 'Disk' || !has(self.pods.project) || self.pods.project == self.project",
            "\"pods.homes is Disk, and pods.project '\" + self.pods.project + \"' is not project '\" + self.project + \"': a node attaches disks of its own project only; use homes: Claim, or the cluster's project\"",
            "pods.homes is Disk, and pods.project is not project: a node attaches disks of its own project only",
        ),
        rule(
            "!has(self.defaults) || !has(self.defaults.host) || !has(self.defaults.host.pod) || has(self.pods)",
            "defaults.host is a pod, and the class has no pods: write for example pods: {homes: Disk}",
        ),
    ]
}

fn class_zones_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = zones_schema(generator);
    schema.insert("minItems".to_owned(), Value::from(1));
    schema
}

/// The schema of a list of patterns.
pub(crate) fn patterns_schema(_: &mut SchemaGenerator) -> Schema {
    validation::set(64, &validation::text(256, Vec::new()))
}

pub(crate) fn project_form() -> Value {
    form("^([a-z][a-z0-9.-]*:)?[a-z][-a-z0-9]{4,28}[a-z0-9]$", "the id of a project", "my-project")
}
