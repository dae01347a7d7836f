//! The machine around the home: a virtual machine or a pod.

use crate::{
    duration::{DurationText, between},
    shape::{Gpu, Provisioning, Toleration},
    size::{CpuQuantity, DiskSize, MemoryQuantity},
    validation::{self, form, rule, rule_saying},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One host: exactly one of `vm` and `pod`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = host_rules()))]
pub struct HostSpec {
    /// A Compute Engine virtual machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmHost>,
    /// A pod in this cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodHost>,
}

impl HostSpec {
    /// A host that is a virtual machine.
    pub fn of_vm(vm: VmHost) -> Self {
        Self { vm: Some(vm), pod: None }
    }

    /// A host that is a pod.
    pub fn of_pod(pod: PodHost) -> Self {
        Self { vm: None, pod: Some(pod) }
    }
}

/// A virtual machine. Its boot disk is throw-away: what is to be kept belongs in the home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = vm_rules()))]
pub struct VmHost {
    /// The machine type, for example `n1-standard-4`, `c4-highmem-8`, `g2-standard-8`, `custom-4-8192`.
    /// A change is a handover: seconds of interruption, kernels stop. Absent: the machine type of the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [machine_type_form()]))]
    pub machine_type: Option<String>,

    /// GPUs to attach, for n1 machine types. Accelerator-optimised families (a2, a3, a4, g2, g4) bring theirs with the
    /// machine type: leave this out there. Absent: none attached.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [gpu_form()]))]
    pub gpu: Option<Gpu>,

    /// How the machine is provided. Absent: `Standard`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provisioning: Option<Provisioning>,

    /// What happens after Compute Engine has taken a Spot machine back. Only with `provisioning: Spot`. Absent: `Restart`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_preemption: Option<OnPreemption>,

    /// The longest time that the machine may run before Compute Engine ends it, from `30s` to `120d`, for example `8h`.
    /// Needed with `provisioning: FlexStart`. The home is kept. Absent: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_run_duration: Option<DurationText>,

    /// A reservation to take the machine from, by name or as `projects/P/reservations/R`. Absent: any that fits, as
    /// Compute Engine does by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = [form(
        "^(projects/[a-z0-9:.-]+/reservations/)?[a-z]([-a-z0-9]*[a-z0-9])?$", "a reservation", "team-a-t4 or projects/P/reservations/team-a-t4"
    )]))]
    pub reservation: Option<String>,

    /// The disk that the machine boots from. Absent: as the class says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_disk: Option<BootDisk>,

    /// The service account whose rights the notebook has, as an e-mail address, for example
    /// `notebooks@my-project.iam.gserviceaccount.com`. Absent: the class's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 128), extend("x-kubernetes-validations" = [form(
        "^[a-zA-Z0-9._-]+@[a-zA-Z0-9.-]+$", "the e-mail address of a service account", "notebooks@my-project.iam.gserviceaccount.com"
    )]))]
    pub service_account: Option<String>,

    /// The subnetwork, for example `regions/us-central1/subnetworks/notebooks`. Absent: the class's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 192), extend("x-kubernetes-validations" = [subnetwork_form()]))]
    pub subnetwork: Option<String>,

    /// Network tags, added to those of the class. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "tags_schema")]
    pub tags: Vec<String>,

    /// Labels for the machine and its boot disk, for billing reports. Keys that begin with `rehost-` or `goog-` are
    /// taken. At most 32.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "labels_schema")]
    pub labels: BTreeMap<String, String>,

    /// Whether the machine has an address on the internet. Absent: `None`; `Ephemeral` must be allowed by the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_address: Option<ExternalAddress>,

    /// Options of a Shielded VM. Absent: those of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shielded: Option<Shielded>,

    /// The oldest processor that will do, for example `Intel Skylake`. Absent: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub min_cpu_platform: Option<String>,

    /// How many local SSDs to attach, 375 GiB each, for scratch: their content is lost with every stop. Absent: none
    /// but what the machine type brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 32))]
    pub local_ssds: Option<u32>,
}

/// What happens after a preemption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnPreemption {
    /// Try to start again, fallbacks included.
    #[default]
    Restart,
    /// Stay stopped until somebody asks.
    Stop,
}

/// Whether a machine has an address on the internet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ExternalAddress {
    /// No address: reached and reaching out through the VPC only.
    #[default]
    None,
    /// One for as long as the machine runs.
    Ephemeral,
}

/// The disk that a machine boots from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BootDisk {
    /// The image or, better, an image family, for example `projects/P/global/images/family/F`. The exact image is
    /// pinned in `status.resolved` until the next new host. Absent: the class's family for the machine's kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [image_form()]))]
    pub image: Option<String>,
    /// The size, for example `50Gi`. Absent: as large as the image asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<DiskSize>,
    /// The disk type, for example `pd-balanced`. Absent: the best that the machine type takes.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [disk_type_form()]))]
    pub disk_type: Option<String>,
}

/// Options of a Shielded VM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shielded {
    /// Boot only signed software. GPU drivers that are built on the machine need it off. Absent: off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secure_boot: Option<bool>,
    /// A virtual trusted platform module. Absent: on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vtpm: Option<bool>,
    /// Report changes of the boot sequence. Needs `vtpm`. Absent: on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrity_monitoring: Option<bool>,
}

/// A pod. Its container is throw-away: what is to be kept belongs in the home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = pod_rules()))]
pub struct PodHost {
    /// The container image, for example `quay.io/jupyter/scipy-notebook:2025-01-06`. Absent: the class's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [form(
        "^[a-z0-9]([a-zA-Z0-9._:/@-]*[a-zA-Z0-9])?$", "a container image", "quay.io/jupyter/scipy-notebook:2025-01-06"
    )]))]
    pub image: Option<String>,

    /// Processor, memory and scratch space: requests and limits are the same. A change of `cpu` or `memory` is made in
    /// the running pod, without interruption where its node has room. Absent: as the class says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<PodResources>,

    /// The machine type of the node, for example `n2-standard-8`. Absent: any that the home disk can be attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [machine_type_form()]))]
    pub machine_type: Option<String>,

    /// GPUs of the node that the pod asks for. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = [gpu_form()]))]
    pub gpu: Option<Gpu>,

    /// The Kubernetes service account, whose workload identity gives the notebook its rights. Absent: the class's, or
    /// the namespace's `default`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [form(
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "the name of a service account", "notebooks"
    )]))]
    pub service_account_name: Option<String>,

    /// The size of `/dev/shm`, which is memory of the pod, for example `2Gi`. Absent: a quarter of the memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_memory: Option<MemoryQuantity>,

    /// Labels that the node must have. At most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "node_selector_schema")]
    pub node_selector: BTreeMap<String, String>,

    /// Taints of nodes that the pod tolerates. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend(
        "x-kubernetes-list-type" = "atomic",
        "x-kubernetes-validations" = toleration_rules()
    ))]
    pub tolerations: Vec<Toleration>,
}

/// What a pod gets, as request and limit in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodResources {
    /// Processor in cores or millicores, for example `4`, `0.5` or `500m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuQuantity>,
    /// Memory in bytes with a unit, for example `16Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryQuantity>,
    /// Scratch space on the node's disk, lost with the pod, for example `20Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<MemoryQuantity>,
}

fn host_rules() -> Vec<Value> {
    vec![rule_saying(
        "has(self.vm) != has(self.pod)",
        "has(self.vm) ? 'a host has vm and pod both: keep exactly one of them' : 'a host has neither vm nor pod: write exactly one of them'",
        "a host must have exactly one of vm and pod",
    )]
}

fn vm_rules() -> Vec<Value> {
    vec![
        rule_saying(
            "!has(self.gpu) || !has(self.machineType) || self.machineType.matches(r'^(n1|custom|a2|a3|a4|a4x|g2|g4)-')",
            "\"gpu '\" + self.gpu.type + \"' cannot be attached to machineType '\" + self.machineType + \"': only n1 machine types take a gpu; accelerator-optimised families (a2, a3, a4, g2, g4) bring theirs\"",
            "gpu cannot be attached to this machineType: only n1 machine types take a gpu; accelerator-optimised families (a2, a3, a4, g2, g4) bring theirs",
        ),
        rule_saying(
            "!has(self.gpu) || !has(self.machineType) || !self.machineType.matches(r'^(a2|a3|a4|a4x|g2|g4)-')",
            "\"machineType '\" + self.machineType + \"' brings its own GPUs: leave gpu '\" + self.gpu.type + \"' out, or choose an n1 machine type\"",
            "this machineType brings its own GPUs: leave gpu out, or choose an n1 machine type",
        ),
        rule(
            "!has(self.provisioning) || self.provisioning != 'FlexStart' || has(self.maxRunDuration)",
            "provisioning FlexStart needs maxRunDuration: write for example maxRunDuration: 8h",
        ),
        rule_saying(
            "!has(self.onPreemption) || (has(self.provisioning) && self.provisioning == 'Spot')",
            "\"onPreemption '\" + self.onPreemption + \"' has a meaning only with provisioning: Spot: add that, or leave it out\"",
            "onPreemption has a meaning only with provisioning: Spot",
        ),
        between("maxRunDuration", "30s", 120),
    ]
}

fn pod_rules() -> Vec<Value> {
    vec![rule_saying(
        "!has(self.sharedMemory) || !has(self.resources) || !has(self.resources.memory) || !isQuantity(self.sharedMemory) || !isQuantity(self.resources.memory) || quantity(self.sharedMemory).compareTo(quantity(self.resources.memory)) <= 0",
        "\"sharedMemory '\" + self.sharedMemory + \"' is part of the pod's memory: it must not be larger than resources.memory '\" + self.resources.memory + \"'\"",
        "sharedMemory is part of the pod's memory: it must not be larger than resources.memory",
    )]
}

/// What Kubernetes asks of a toleration: said here, because otherwise the pod would be refused long after.
fn toleration_rules() -> Vec<Value> {
    vec![
        rule(
            "self.all(t, (has(t.key) && t.key != '') || (has(t.operator) && t.operator == 'Exists'))",
            "a toleration without a key needs operator: Exists",
        ),
        rule(
            "self.all(t, !has(t.operator) || t.operator in ['', 'Equal', 'Exists'])",
            "the operator of a toleration must be Equal or Exists",
        ),
        rule(
            "self.all(t, !has(t.operator) || t.operator != 'Exists' || !has(t.value) || t.value == '')",
            "a toleration with operator: Exists must have no value",
        ),
        rule(
            "self.all(t, !has(t.effect) || t.effect in ['', 'NoSchedule', 'PreferNoSchedule', 'NoExecute'])",
            "the effect of a toleration must be NoSchedule, PreferNoSchedule or NoExecute",
        ),
    ]
}

/// The pattern on the type itself is in the schema, for editors; this says it to people, who write `T4`.
fn gpu_form() -> Value {
    rule_saying(
        "self.type.matches(r'^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "\"type '\" + self.type + \"' is not a GPU type as Compute Engine names it: write for example nvidia-tesla-t4\"",
        "type is not a GPU type as Compute Engine names it: write for example nvidia-tesla-t4",
    )
}

pub(crate) fn machine_type_form() -> Value {
    form("^[a-z][a-z0-9]*(-[a-z0-9]+)+$", "a machine type", "n1-standard-4")
}

pub(crate) fn disk_type_form() -> Value {
    form("^(pd|hyperdisk)-[a-z]+(-[a-z]+)*$", "a disk type", "pd-balanced or hyperdisk-balanced")
}

pub(crate) fn image_form() -> Value {
    form(
        "^projects/[a-z0-9:.-]+/global/images/(family/)?[a-z]([-a-z0-9]*[a-z0-9])?$",
        "an image or image family",
        "projects/P/global/images/family/F",
    )
}

pub(crate) fn subnetwork_form() -> Value {
    form(
        "^(projects/[a-z0-9:.-]+/)?regions/[a-z0-9-]+/subnetworks/[a-z]([-a-z0-9]*[a-z0-9])?$",
        "a subnetwork",
        "regions/us-central1/subnetworks/notebooks",
    )
}

pub(crate) fn tags_schema(_: &mut SchemaGenerator) -> Schema {
    let tag = form("^[a-z]([-a-z0-9]*[a-z0-9])?$", "a network tag", "notebooks");
    validation::set(32, &validation::text(63, vec![tag]))
}

fn labels_schema(_: &mut SchemaGenerator) -> Schema {
    let value = schemars::json_schema!({"type": "string", "maxLength": 63});
    let rules = vec![
        rule_saying(
            "self.all(k, k.matches(r'^[a-z][a-z0-9_-]{0,62}$') && self[k].matches(r'^[a-z0-9_-]*$'))",
            "\"labels '\" + self.filter(k, !k.matches(r'^[a-z][a-z0-9_-]{0,62}$') || !self[k].matches(r'^[a-z0-9_-]*$'))[0] + \"': keys and values may have lower-case letters, digits, '_' and '-' only, and a key begins with a letter\"",
            "keys and values of labels may have lower-case letters, digits, '_' and '-' only, and a key begins with a letter",
        ),
        rule_saying(
            "self.all(k, !k.startsWith('rehost-') && !k.startsWith('goog-'))",
            "\"labels '\" + self.filter(k, k.startsWith('rehost-') || k.startsWith('goog-'))[0] + \"': keys that begin with rehost- or goog- are taken\"",
            "keys of labels that begin with rehost- or goog- are taken",
        ),
    ];
    validation::map(32, &value, rules)
}

fn node_selector_schema(_: &mut SchemaGenerator) -> Schema {
    validation::map(16, &schemars::json_schema!({"type": "string", "maxLength": 63}), Vec::new())
}
