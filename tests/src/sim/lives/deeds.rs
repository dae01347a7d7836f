//! The deeds that a life can be made of, by name: how each is done is in `people`, `meddlers` and `weather`.

/// What kind of deed it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// A person changes a notebook.
    Edit,
    /// The cloud, a guest or the way to them fails.
    Weather,
    /// A person acts in the cloud.
    Cloud,
    /// A person acts in the cluster.
    Cluster,
    /// The controller's clock jumps.
    Clock,
    /// The lease moves, where there are two replicas.
    Lease,
}

/// What a person changes in a notebook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum Edit {
    Host,
    Gpu,
    Impossible,
    Fallbacks,
    Grow,
    Shrink,
    State,
    How,
    When,
    DeletionPolicy,
    Idle,
    Source,
    Buckets,
    Zones,
    Class,
    Stop,
    Wake,
    Restart,
    LeaveAlone,
    Delete,
    MakeAnew,
}

/// What a person does in the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum CloudDeed {
    Stop,
    Start,
    Suspend,
    Resume,
    Delete,
    PowerOff,
    Reset,
    DetachHome,
    RelabelHost,
    RelabelHome,
    SetMachineType,
    GrowHome,
    DeleteHome,
}

/// What a person deletes in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum ClusterDeed {
    Pod,
    Service,
    Slice,
    Claim,
    Settings,
}

/// What goes wrong by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub(super) enum Weather {
    ServerError,
    RateLimit,
    ConcurrentOperations,
    AnswerLost,
    Fingerprint,
    Slow,
    PartialList,
    HiddenList,
    ListsLag,
    ZoneUnreachable,
    Stockout,
    Quota,
    Permission,
    OperationFails,
    BootNever,
    StandbyNever,
    ServeNever,
    ServeFails,
    ReleaseNever,
    Hangs,
    Preemption,
    HostError,
    Maintenance,
}
