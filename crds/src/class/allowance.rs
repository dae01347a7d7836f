//! What a class allows.

use super::patterns_schema;
use crate::{
    notebook::host::{image_form, subnetwork_form, tags_schema},
    pattern,
    validation::{self, form},
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Namespaces by their labels, as Kubernetes' own label selectors: all of `matchLabels` and `matchExpressions` must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Labels that the namespace has. At most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "match_labels_schema")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements on labels. At most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Vec<SelectorRequirement>,
}

impl NamespaceSelector {
    /// Whether a namespace with these labels is selected.
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.holds(labels))
    }
}

/// A requirement on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [validation::rule(
    "self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",
    "values are needed with In and NotIn, and must be left out with Exists and DoesNotExist"
)]))]
pub struct SelectorRequirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How it is compared.
    pub operator: SelectorOperator,
    /// The values to compare with. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "values_schema")]
    pub values: Vec<String>,
}

impl SelectorRequirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            SelectorOperator::In => listed,
            SelectorOperator::NotIn => !listed,
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        }
    }
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SelectorOperator {
    /// It has one of the values.
    In,
    /// It has none of the values, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

/// The network of virtual machines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassNetwork {
    /// The subnetwork of a machine that names none, for example `regions/us-central1/subnetworks/notebooks`.
    /// Absent: the project's `default` network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 192), extend("x-kubernetes-validations" = [subnetwork_form()]))]
    pub subnetwork: Option<String>,
    /// Other subnetworks that may be named, with `*`. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns_schema")]
    pub allowed_subnetworks: Vec<String>,
    /// Network tags of every machine. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "tags_schema")]
    pub tags: Vec<String>,
    /// Other tags that may be added, with `*`. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns_schema")]
    pub allowed_tags: Vec<String>,
    /// Whether a machine may have an address on the internet.
    #[serde(default)]
    pub external_addresses: bool,
}

/// A default, and what else may be named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allowance {
    /// What may be named, with `*`, for example `[n1-*, g2-standard-8]`. At most 64. Absent: the default only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns_schema")]
    pub allowed: Vec<String>,
    /// What is taken where a notebook names nothing; it is always allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub default: Option<String>,
}

impl Allowance {
    /// Whether `name` may be used: it is the default, or matched by the list.
    pub fn allows(&self, name: &str) -> bool {
        self.default.as_deref() == Some(name) || pattern::any_matches(&self.allowed, name)
    }
}

/// GPUs that may be attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassGpus {
    /// The types, with `*`, for example `[nvidia-tesla-t4]`. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns_schema")]
    pub allowed: Vec<String>,
    /// The most that one notebook may have. Absent: as many as the machine takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub max_count: Option<u32>,
}

/// Images of machines and containers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassImages {
    /// Images that virtual machines boot from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm: Option<VmImages>,
    /// Container images of pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodImages>,
}

/// Images that virtual machines boot from: a default for each kind of machine, and what else may be named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VmImages {
    /// The family for x86 machines without a GPU, for example `projects/P/global/images/family/notebook-cpu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [image_form()]))]
    pub cpu: Option<String>,
    /// The family for x86 machines with a GPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [image_form()]))]
    pub gpu: Option<String>,
    /// The family for Arm machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [image_form()]))]
    pub arm: Option<String>,
    /// What else may be named, with `*`. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns_schema")]
    pub allowed: Vec<String>,
}

impl VmImages {
    /// Whether `image` may be used: it is one of the defaults, or matched by the list.
    pub fn allows(&self, image: &str) -> bool {
        let defaults = [&self.cpu, &self.gpu, &self.arm];
        defaults.iter().any(|default| default.as_deref() == Some(image)) || pattern::any_matches(&self.allowed, image)
    }
}

/// Container images of pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodImages {
    /// The image of a pod that names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub default: Option<String>,
    /// What else may be named, with `*`, for example `[quay.io/jupyter/*]`. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns_schema")]
    pub allowed: Vec<String>,
}

impl PodImages {
    /// Whether `image` may be used: it is the default, or matched by the list.
    pub fn allows(&self, image: &str) -> bool {
        self.default.as_deref() == Some(image) || pattern::any_matches(&self.allowed, image)
    }
}

/// Limits for each namespace, over all its notebooks of this class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassLimits {
    /// How many notebooks may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub running_notebooks: Option<u32>,
    /// How many GPUs running notebooks may have together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000))]
    pub gpus: Option<u32>,
    /// How large home disks may be together, in GiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100_000_000))]
    pub disk_gi: Option<u64>,
}

/// How people reach notebooks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassAccess {
    /// The domain below which each notebook has a host of its own, for example `notebooks.example.org`.
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = [form(
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$", "a domain", "notebooks.example.org"
    )]))]
    pub domain: String,
}

/// Prices for the cost estimate. Amounts are decimal texts, because a price is no floating-point number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// The currency, for example `USD`.
    #[schemars(length(min = 3, max = 3), extend("x-kubernetes-validations" = [form("^[A-Z]{3}$", "a currency", "USD")]))]
    pub currency: String,
    /// The price of an hour for each machine type, for example `{n1-standard-4: "0.19"}`. At most 256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "prices_schema")]
    pub machine_types: BTreeMap<String, String>,
    /// The price of an hour for one GPU of each type, for example `{nvidia-tesla-t4: "0.35"}`. At most 256.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "prices_schema")]
    pub gpus: BTreeMap<String, String>,
}

fn match_labels_schema(_: &mut SchemaGenerator) -> Schema {
    validation::map(16, &schemars::json_schema!({"type": "string", "maxLength": 63}), Vec::new())
}

fn values_schema(_: &mut SchemaGenerator) -> Schema {
    validation::list(32, &schemars::json_schema!({"type": "string", "maxLength": 63}), Vec::new())
}

fn prices_schema(_: &mut SchemaGenerator) -> Schema {
    let price = form(r"^[0-9]{1,6}(\.[0-9]{1,6})?$", "a price of an hour", "0.19");
    validation::map(256, &validation::text(13, vec![price]), Vec::new())
}
