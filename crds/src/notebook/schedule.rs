//! What stops and starts a notebook without anybody's asking: idleness, the clock, and age.

use crate::{
    duration::{DurationText, between},
    validation::{form, rule},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happens when nobody uses the notebook.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [between("after", "1m", 365)]))]
pub struct IdlePolicy {
    /// How long no kernel and no terminal must have worked, at least `1m`, for example `90m`. Absent: the class's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<DurationText>,
    /// What happens then. Absent: the class's, and `Stop` where that says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<IdleAction>,
}

/// What happens to an idle notebook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum IdleAction {
    /// The host is suspended: its memory is kept, so that kernels go on where they were once it is woken. A pod, and a machine with a
    /// GPU or local SSDs, cannot be suspended and is stopped. Whoever changes a suspended notebook wakes it first. Compute Engine keeps
    /// the memory for 60 days, and bills its storage.
    Suspend,
    /// The host is given up, the home is kept.
    #[default]
    Stop,
}

/// When a notebook starts and stops by the clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "has(self.start) || has(self.stop)",
    "schedule has neither start nor stop: write at least one, for example stop: 0 20 * * 1-5"
)]))]
pub struct SchedulePolicy {
    /// When it starts, as a cron line of five fields, for example `0 8 * * 1-5`. Absent: never by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = [cron_form()]))]
    pub start: Option<String>,
    /// When it stops, as a cron line of five fields, for example `0 20 * * 1-5`. Absent: never by the clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = [cron_form()]))]
    pub stop: Option<String>,
    /// The time zone of both, for example `Europe/Lisbon`. Absent: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = [time_zone_form()]))]
    pub time_zone: Option<String>,
}

/// How long a notebook may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [between("after", "1m", 365)]))]
pub struct LifetimePolicy {
    /// How long after its start, at least `1m`, for example `4h`. Absent: the class's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<DurationText>,
    /// What happens then. Absent: the class's, and `Stop` where that says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<LifetimeAction>,
}

/// What happens to a notebook whose time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum LifetimeAction {
    /// The host is given up, the home is kept; the notebook can be started again.
    #[default]
    Stop,
    /// The host and, by `storage.deletionPolicy`, the disk are given up. The resource stays, with reason Expired.
    Release,
}

/// The form of a cron line. Five fields of the plain kind: names such as `@daily` and seconds are not among them.
pub(crate) fn cron_form() -> Value {
    form(
        r"^[0-9*][0-9*,/-]*( +[0-9*][0-9A-Za-z*,/-]*){2}( +[0-9A-Za-z*][0-9A-Za-z*,/-]*){2}$",
        "a cron line of five fields",
        "0 8 * * 1-5",
    )
}

/// The form of a time zone's name in the IANA database. Whether there is such a zone, the controller looks up.
pub(crate) fn time_zone_form() -> Value {
    form("^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$", "a time zone", "Europe/Lisbon")
}
