//! Conditions: what a machine may rely on, and the sentence that a person reads.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The longest message that Kubernetes takes in a condition.
pub const MESSAGE_LENGTH_MAX: usize = 32_768;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionType {
    /// Everything is as declared, policy included.
    Ready,
    /// The controller is at work on a change.
    Reconciling,
    /// A person must act before the controller can go on.
    Stalled,
    /// Jupyter answers.
    Serving,
    /// The home disk is there and is the right one.
    Home,
    /// The git repository is checked out as declared.
    Source,
    /// The buckets are mounted as declared.
    Buckets,
    /// Whether somebody uses the notebook is known.
    Activity,
}

impl ConditionType {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 8] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::Serving,
        Self::Home,
        Self::Source,
        Self::Buckets,
        Self::Activity,
    ];

    /// The type as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Serving => "Serving",
            Self::Home => "Home",
            Self::Source => "Source",
            Self::Buckets => "Buckets",
            Self::Activity => "Activity",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not.
    False,
    /// That is not known at the moment.
    Unknown,
}

impl ConditionStatus {
    /// The status as Kubernetes writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Why a condition is as it is: one word that machines may compare. The sentence beside it is for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The reason as it is written in a condition.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

reasons! {
    // Of transitions.
    /// The person wishes for something else by now.
    Superseded,
    /// A running pod could not be given its new resources where it is.
    LiveResizeRefused,
    // As it should be.
    /// Everything is as declared.
    AsDeclared,
    /// Stopped, as `spec.state` says.
    Stopped,
    /// Suspended: memory is kept.
    Suspended,
    /// Stopped or suspended because nobody used it.
    Idle,
    /// Stopped by its schedule.
    Schedule,
    /// Stopped because its time was over.
    Lifetime,
    /// Stopped because somebody asked for it with an annotation.
    Asked,
    /// Its time was over, and host and disk were given up.
    Expired,
    /// Runs as before; a change waits for idle, the next stop or a window.
    ChangePending,
    /// Nothing of this kind is declared.
    NotDeclared,
    /// Somebody uses the notebook.
    InUse,

    // Under way.
    /// A host or a disk is being made.
    Creating,
    /// A host starts.
    Starting,
    /// A host stops.
    Stopping,
    /// A host is being suspended.
    Suspending,
    /// A suspended host resumes.
    Resuming,
    /// A host gets another shape.
    Resizing,
    /// The running host is told what else it is to offer.
    Configuring,
    /// The home moves to another host.
    Moving,
    /// A move failed, and the home goes back to the host that it came from.
    GivingBack,
    /// The notebook is being deleted.
    Deleting,
    /// The repository is being cloned or fetched.
    Syncing,

    // Waits for the cloud, and will be tried again.
    /// There is no capacity for the host in any listed zone.
    Stockout,
    /// A quota of the project is used up.
    QuotaExceeded,
    /// The controller or the host may not do what is needed.
    PermissionDenied,
    /// The cloud asks for fewer requests.
    RateLimited,
    /// The subnetwork has no address left.
    IpSpaceExhausted,
    /// The host was taken back by the cloud.
    Preempted,
    /// What the cloud holds cannot be seen at the moment: nothing is made or deleted until it can.
    CloudUnknown,
    /// The host does not say how it is.
    HostUnknown,
    /// The host was made and does not serve.
    HostFailed,
    /// Whether somebody uses the notebook cannot be seen; it is not stopped for that.
    ActivityUnknown,
    /// A host could not be suspended or resumed: the home is as it was, kernels begin anew.
    KernelsLost,

    // A person must act.
    /// The change cannot work; nothing was stopped.
    Refused,
    /// The class does not allow what is declared.
    NotAllowedByClass,
    /// The class's limit for this namespace is reached.
    LimitReached,
    /// There is no class of this name, or it does not admit this namespace.
    ClassNotFound,
    /// There is no such zone in the class's project.
    UnknownZone,
    /// The zone has no such machine type.
    UnknownMachineType,
    /// There is no such image, or it is of another architecture.
    ImageMismatch,
    /// The machine family cannot attach the home disk, and no path leads there.
    DiskTypeMismatch,
    /// The disk's content is not this notebook's.
    ContentMismatch,
    /// The home's file system is damaged or does not take writes: what was saved before is as it was.
    HomeDamaged,
    /// The home has no room left: nothing that was saved is lost.
    HomeFull,
    /// The home disk that status names is gone.
    HomeMissing,
    /// A disk of a former notebook of this name was kept: say `from.disk` or `from.blank`.
    KeptDiskFound,
    /// The declared size is smaller than the disk.
    HomeShrink,
    /// Something in the cloud or the cluster has the name that is needed and belongs to somebody else.
    NotOurs,
    /// Somebody changed or deleted the host by hand.
    ChangedByHand,
    /// The repository cannot be fetched.
    FetchFailed,
    /// The repository's tree has changes of its own, so it is left alone.
    DirtyTree,
    /// A bucket cannot be mounted.
    MountFailed,
    /// The cluster lacks the driver by which pods mount buckets.
    DriverMissing,

    // Not in this version.
    /// The field is accepted and has no effect in this version.
    NotActedOnYet,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that is no reason of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a reason that this version knows")]
pub struct UnknownReason(pub String);

impl std::str::FromStr for Reason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|reason| reason.as_str() == text);
        found.copied().ok_or_else(|| UnknownReason(text.to_owned()))
    }
}

/// The condition of this type in `conditions`.
pub fn find(conditions: &[Condition], condition_type: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == condition_type.as_str())
}

/// Whether the condition of this type is there and holds.
pub fn holds(conditions: &[Condition], condition_type: ConditionType) -> bool {
    find(conditions, condition_type).is_some_and(|condition| condition.status == ConditionStatus::True.as_str())
}

/// Builds a condition.
///
/// `previous` are the conditions of the last status: where the one of this type has the same `status`, its transition
/// time is kept, as Kubernetes asks for, so that the same state gives the same bytes and nothing is written.
/// A message longer than Kubernetes takes is cut at a character.
pub fn condition(
    previous: &[Condition],
    condition_type: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    message: impl Into<String>,
    observed_generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let unchanged = find(previous, condition_type).filter(|before| before.status == status.as_str());
    let mut message = message.into();
    if message.len() > MESSAGE_LENGTH_MAX {
        message.truncate(message.floor_char_boundary(MESSAGE_LENGTH_MAX));
    }
    Condition {
        type_: condition_type.as_str().to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation,
        last_transition_time: unchanged.map_or_else(|| Time(now), |before| before.last_transition_time.clone()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(previous: &[Condition], status: ConditionStatus, reason: Reason, second: i64) -> Condition {
        condition(previous, ConditionType::Ready, status, reason, "a sentence", Some(3), at(second))
    }

    #[test]
    fn the_transition_time_changes_with_the_status_alone() {
        let first = ready(&[], ConditionStatus::False, Reason::Creating, 100);
        let other_reason = ready(std::slice::from_ref(&first), ConditionStatus::False, Reason::Stockout, 200);
        let turned = ready(std::slice::from_ref(&other_reason), ConditionStatus::True, Reason::AsDeclared, 300);
        assert_eq!(first.last_transition_time, Time(at(100)));
        assert_eq!(other_reason.last_transition_time, Time(at(100)));
        assert_eq!(other_reason.reason, "Stockout");
        assert_eq!(turned.last_transition_time, Time(at(300)));
    }

    #[test]
    fn another_type_of_the_same_status_lends_no_time() {
        let serving =
            condition(&[], ConditionType::Serving, ConditionStatus::True, Reason::AsDeclared, "", None, at(100));
        let ready = ready(std::slice::from_ref(&serving), ConditionStatus::True, Reason::AsDeclared, 200);
        assert_eq!(ready.last_transition_time, Time(at(200)));
        assert!(
            holds(std::slice::from_ref(&serving), ConditionType::Serving)
                && !holds(std::slice::from_ref(&serving), ConditionType::Ready)
        );
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let message = "é".repeat(MESSAGE_LENGTH_MAX);
        let cut =
            condition(&[], ConditionType::Home, ConditionStatus::Unknown, Reason::CloudUnknown, message, None, at(1));
        assert_eq!(cut.message.len(), MESSAGE_LENGTH_MAX);
        assert!(cut.message.chars().all(|letter| letter == 'é'));
    }

    #[test]
    fn a_reason_is_read_back_and_is_what_serde_writes() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
            assert!(
                reason.as_str().len() <= 128 && reason.as_str().chars().all(|letter| letter.is_ascii_alphanumeric())
            );
        }
        assert_eq!("Nonsense".parse::<Reason>(), Err(UnknownReason("Nonsense".to_owned())));
        for condition_type in ConditionType::ALL {
            assert_eq!(serde_json::to_value(condition_type).unwrap(), condition_type.as_str());
        }
    }
}
