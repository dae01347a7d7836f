//! What a class gives to notebooks that say nothing.

use super::project_form;
use crate::{
    duration::{DurationText, between},
    notebook::{
        Backups, DeletionPolicy, HostSpec, IdlePolicy, LifetimePolicy, ResizeHow, ResizeWhen, host::disk_type_form,
    },
    size::DiskSize,
    validation::{form, rule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a notebook gets where it says nothing. A change here re-hosts nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassDefaults {
    /// What happens when nobody uses a notebook. Absent: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<IdlePolicy>,
    /// How long a notebook may run. Absent: without end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime: Option<LifetimePolicy>,
    /// Snapshots of home disks. Absent: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backups: Option<Backups>,
    /// What happens to the content of a notebook that is deleted. Absent: `Retain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// When and how a change of host happens. Absent: `Now`, by `Handover`, and the old host is kept for `15m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<ClassResize>,
    /// The home disk. Absent: `100Gi` of the best type that every listed host can attach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<ClassStorage>,
    /// The host of a notebook that names none. Absent: a virtual machine of the class's default machine type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<HostSpec>,
}

/// When and how a change of host happens. A time window is a notebook's own, so `when: Window` cannot be a default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "!has(self.when) || self.when != 'Window'",
        "when: Window cannot be a default, because the window is a notebook's own: write Now, Idle or NextStop"
    ),
    between("keepOld", "0s", 1),
]))]
pub struct ClassResize {
    /// When a change that interrupts is made. Absent: `Now`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<ResizeWhen>,
    /// How the host is changed. Absent: `Handover`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<ResizeHow>,
    /// How long the old host is kept, stopped, after a handover, from `0s` to `24h`. Absent: `15m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_old: Option<DurationText>,
}

/// The home disk of a notebook that says nothing of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassStorage {
    /// The size, for example `100Gi`. A change is for new notebooks only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<DiskSize>,
    /// The disk type, for example `pd-balanced`. Absent: the best type that every listed host can attach.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [disk_type_form()]))]
    pub disk_type: Option<String>,
}

/// Notebooks in pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClassPods {
    /// How a pod gets its home.
    pub homes: PodHomes,
    /// The `StorageClass` of the claims. Absent: `rehost-home` with `Disk`, the cluster's default with `Claim`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), extend("x-kubernetes-validations" = [form(
        "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", "the name of a StorageClass", "rehost-home"
    )]))]
    pub storage_class_name: Option<String>,
    /// The project of the cluster's nodes, which attach the disks. Absent: the class's project.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [project_form()]))]
    pub project: Option<String>,
}

/// How a pod gets its home.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PodHomes {
    /// The same Compute Engine disk as a VM has, through `pd.csi.storage.gke.io`: a notebook moves between VMs and
    /// pods. The class's project must be the cluster's.
    #[default]
    Disk,
    /// A claim that the cluster provides, for a cluster that is not on Google Cloud: moves to VMs are refused.
    Claim,
}
