//! The home disk and the buckets beside it.

use super::{host::disk_type_form, schedule::cron_form};
use crate::{
    size::{DiskSize, disk_size_form},
    validation::{form, rule, rule_saying},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The home disk. There is one for the notebook's whole life; hosts are only ever around it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StorageSpec {
    /// The size in whole GiB or TiB, for example `100Gi`. It only grows, online and without interruption; once set it
    /// cannot be removed. Absent: the class's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-validations" = size_rules()))]
    pub size: Option<DiskSize>,

    /// The disk type, for example `pd-balanced`. A change goes through a snapshot to a new disk: about a minute of
    /// interruption. Absent: the best type that every listed host can attach.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [disk_type_form()]))]
    pub disk_type: Option<String>,

    /// What happens to the content when the Notebook is deleted. Absent: the class's, and `Retain` where that says
    /// nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,

    /// A snapshot schedule on the disk, which the cloud runs. Absent: the class's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backups: Option<Backups>,

    /// What the home starts from. Looked at once, when there is no home yet. Absent: an empty disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<HomeFrom>,
}

/// What happens to the content when the notebook is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// The disk is kept; a Notebook of the same name is told of it.
    #[default]
    Retain,
    /// A snapshot is kept, the disk is deleted.
    Snapshot,
    /// Disk and content are deleted.
    Delete,
}

/// Snapshots at set times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backups {
    /// When, as a cron line of five fields in UTC, for example `0 3 * * *`. The cloud knows hourly, daily and weekly
    /// schedules that begin on the hour.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = [cron_form()]))]
    pub schedule: String,
    /// For how many days a snapshot is kept. Absent: 14.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 365))]
    pub keep: Option<u32>,
}

/// What a new home starts from: exactly one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = from_rules()))]
pub struct HomeFrom {
    /// A copy of this snapshot of the class's project.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [resource_name_form("a snapshot")]))]
    pub snapshot: Option<String>,
    /// This disk itself, adopted, for disaster recovery. It must not be in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), extend("x-kubernetes-validations" = [resource_name_form("a disk")]))]
    pub disk: Option<String>,
    /// A copy of the home of this Notebook in the same namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 52), extend("x-kubernetes-validations" = [resource_name_form("a Notebook")]))]
    pub notebook: Option<String>,
    /// `true`: an empty disk, although one of a former Notebook of this name was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blank: Option<bool>,
}

/// A Cloud Storage bucket, mounted below the home directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketMount {
    /// Where it is seen, relative to the home directory: `data` is `~/data`.
    #[schemars(length(min = 1, max = 128), extend("x-kubernetes-validations" = [path_form()]))]
    pub path: String,
    /// The bucket's name, without `gs://`.
    #[schemars(length(min = 3, max = 222), extend("x-kubernetes-validations" = [form(
        "^[a-z0-9][a-z0-9._-]*[a-z0-9]$", "the name of a bucket", "team-a-data, without gs://"
    )]))]
    pub name: String,
    /// Only the objects under this prefix, for example `taxi/`. Absent: the whole bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), extend("x-kubernetes-validations" = [rule_saying(
        "!self.startsWith('/') && !self.matches(r'(^|/)\\.\\.(/|$)')",
        "\"prefix '\" + self + \"' must not begin with / or contain ..: write for example taxi/\"",
        "prefix must not begin with / or contain ..: write for example taxi/"
    )]))]
    pub prefix: Option<String>,
    /// Whether writing is refused.
    #[serde(default)]
    pub read_only: bool,
}

fn size_rules() -> Vec<Value> {
    vec![
        disk_size_form(),
        rule_saying(
            "!isQuantity(self) || !isQuantity(oldSelf) || quantity(self).compareTo(quantity(oldSelf)) >= 0",
            "\"size '\" + self + \"' is smaller than '\" + oldSelf + \"': a disk only grows; keep \" + oldSelf + \" or write a larger size\"",
            "size is smaller than before: a disk only grows",
        ),
    ]
}

fn from_rules() -> Vec<Value> {
    vec![
        rule_saying(
            "[has(self.snapshot), has(self.disk), has(self.notebook), has(self.blank)].filter(x, x).size() == 1",
            "'from has [ ' + (has(self.snapshot) ? 'snapshot ' : '') + (has(self.disk) ? 'disk ' : '') + (has(self.notebook) ? 'notebook ' : '') + (has(self.blank) ? 'blank ' : '') + ']: write exactly one of snapshot, disk, notebook and blank'",
            "from must have exactly one of snapshot, disk, notebook and blank",
        ),
        rule("!has(self.blank) || self.blank", "blank is false: write blank: true, or leave from out"),
    ]
}

fn resource_name_form(what: &str) -> Value {
    form("^[a-z]([-a-z0-9]*[a-z0-9])?$", &format!("the name of {what}"), "taxi-fares-copy")
}

/// A folder below the home directory. A segment that begins with a dot is refused, `..` and `.ssh` alike: what is
/// mounted over `.ssh` or `.local` would lock a person out.
pub(crate) fn path_form() -> Value {
    form(
        r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$",
        "a folder below the home directory",
        "data or data/raw, without a leading / and without ..",
    )
}

pub(crate) fn bucket_list_rules() -> Vec<Value> {
    vec![rule_saying(
        "self.all(a, !self.exists(b, a.path.startsWith(b.path + '/')))",
        "\"path '\" + self.map(a, a.path).filter(p, self.exists(b, p.startsWith(b.path + '/')))[0] + \"' lies inside another bucket's path: give each a folder of its own\"",
        "one bucket's path lies inside another's: give each a folder of its own",
    )]
}
