//! When and how a change of host happens.

use super::schedule::{cron_form, time_zone_form};
use crate::{
    duration::{DurationText, between},
    validation::rule,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// When and how a change of host happens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule(
        "!has(self.when) || self.when != 'Window' || has(self.window)",
        "when is Window, and window is missing: write for example window: {schedule: 0 2 * * *, duration: 2h}"
    ),
    between("keepOld", "0s", 1),
]))]
pub struct ResizePolicy {
    /// When a change that interrupts is made; what interrupts nothing, such as more processor for a running pod, is made at once. Absent:
    /// the class's, and `Now` where that says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<ResizeWhen>,
    /// The time window of `when: Window`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<ResizeWindow>,
    /// How the host is changed. Absent: the class's, and `Handover` where that says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub how: Option<ResizeHow>,
    /// What happens where a stop came first and there is no capacity then. Absent: `Return`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_stockout: Option<OnStockout>,
    /// How long the old host is kept, stopped, after a handover, from `0s` to `24h`. Absent: the class's, and `15m`
    /// where that says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_old: Option<DurationText>,
}

/// When a change that interrupts is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ResizeWhen {
    /// At once.
    #[default]
    Now,
    /// Once nothing has been going on in the notebook for five minutes, or for `idle.after` where that is shorter. What its host does not
    /// say of its use is not taken for idle.
    Idle,
    /// With the next stop, whoever asks for it.
    NextStop,
    /// In the time window.
    Window,
}

/// A time window that comes again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [between("duration", "1m", 7)]))]
pub struct ResizeWindow {
    /// When it opens, as a cron line of five fields, for example `0 2 * * *`.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = [cron_form()]))]
    pub schedule: String,
    /// How long it is open, from `1m` to `7d`, for example `2h`.
    pub duration: DurationText,
    /// The time zone of `schedule`, for example `Europe/Lisbon`. Absent: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-validations" = [time_zone_form()]))]
    pub time_zone: Option<String>,
}

/// How a host is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ResizeHow {
    /// The new host first, then the disk, then the old one goes: seconds of interruption.
    #[default]
    Handover,
    /// Stop, set, start: minutes, but the boot disk is kept and no second quota is needed.
    InPlace,
}

/// What happens where a stop came first and there is no capacity then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnStockout {
    /// Go back to the last shape that ran, say so, and try again later.
    #[default]
    Return,
    /// Stay stopped until there is capacity.
    Wait,
}
