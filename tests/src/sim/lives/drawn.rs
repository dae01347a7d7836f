//! What a life is drawn from, and how often each thing comes: the one place to add to when the product learns something.

use super::deeds::{CloudDeed, ClusterDeed, Edit, Sort, Weather};

/// Machine types of the wished host. All of them can attach the home of every life, but for those of [`IMPOSSIBLE_TYPES`].
pub(super) const MACHINE_TYPES: &[&str] =
    &["n1-standard-2", "n1-standard-4", "n1-standard-8", "n2-standard-4", "e2-standard-4", "c3-standard-4"];
/// Machine types that are refused, each with the reason: the zone has none of that name, the class does not allow it, it cannot
/// attach a balanced persistent disk.
pub const IMPOSSIBLE_TYPES: &[(&str, &str)] = &[
    ("n1-standard-3", "UnknownMachineType"),
    ("m1-ultramem-40", "NotAllowedByClass"),
    ("c4-standard-4", "DiskTypeMismatch"),
];
/// A pod's cpu and memory.
pub(super) const PODS: &[(&str, &str)] = &[("1", "2Gi"), ("2", "4Gi"), ("3", "4Gi"), ("2", "8Gi")];
/// Sizes of a home in GiB; a home only grows.
pub(super) const SIZES_GB: &[u64] = &[20, 50, 100];
/// How long a former host is kept.
pub(super) const KEEP_OLD: &[&str] = &["0s", "30s", "2m"];

/// What kind of deed comes next.
pub(super) const SORTS: &[(u32, Sort)] = &[
    (50, Sort::Edit),
    (18, Sort::Weather),
    (14, Sort::Cloud),
    (10, Sort::Cluster),
    (4, Sort::Clock),
    (4, Sort::Lease),
];

/// What a person changes in a notebook.
pub(super) const EDITS: &[(u32, Edit)] = &[
    (30, Edit::Host),
    (8, Edit::Gpu),
    (6, Edit::Impossible),
    (6, Edit::Fallbacks),
    (8, Edit::Grow),
    (3, Edit::Shrink),
    (10, Edit::State),
    (6, Edit::How),
    (4, Edit::When),
    (3, Edit::DeletionPolicy),
    (4, Edit::Idle),
    (4, Edit::Source),
    (4, Edit::Buckets),
    (2, Edit::Zones),
    (2, Edit::Class),
    (6, Edit::Stop),
    (6, Edit::Wake),
    (5, Edit::Restart),
    (4, Edit::LeaveAlone),
    (6, Edit::Delete),
    (7, Edit::MakeAnew),
];

/// What people do in the cloud, behind the controller's back.
pub(super) const CLOUD_DEEDS: &[(u32, CloudDeed)] = &[
    (10, CloudDeed::Stop),
    (8, CloudDeed::Start),
    (6, CloudDeed::Suspend),
    (6, CloudDeed::Resume),
    (8, CloudDeed::Delete),
    (5, CloudDeed::PowerOff),
    (5, CloudDeed::Reset),
    (5, CloudDeed::DetachHome),
    (4, CloudDeed::RelabelHost),
    (3, CloudDeed::RelabelHome),
    (5, CloudDeed::SetMachineType),
    (4, CloudDeed::GrowHome),
    (4, CloudDeed::DeleteHome),
];

/// What people do in the cluster.
pub(super) const CLUSTER_DEEDS: &[(u32, ClusterDeed)] = &[
    (10, ClusterDeed::Pod),
    (6, ClusterDeed::Service),
    (6, ClusterDeed::Slice),
    (4, ClusterDeed::Claim),
    (3, ClusterDeed::Settings),
];

/// What befalls the cloud, the guests and the way to them.
pub(super) const WEATHER: &[(u32, Weather)] = &[
    (14, Weather::ServerError),
    (8, Weather::RateLimit),
    (8, Weather::ConcurrentOperations),
    (8, Weather::AnswerLost),
    (6, Weather::Fingerprint),
    (6, Weather::Slow),
    (6, Weather::PartialList),
    (6, Weather::HiddenList),
    (4, Weather::ListsLag),
    (4, Weather::ZoneUnreachable),
    (10, Weather::Stockout),
    (6, Weather::Quota),
    (3, Weather::Permission),
    (3, Weather::OperationFails),
    (3, Weather::BootNever),
    (2, Weather::StandbyNever),
    (3, Weather::ServeNever),
    (3, Weather::ServeFails),
    (4, Weather::ReleaseNever),
    (3, Weather::Hangs),
    (6, Weather::Preemption),
    (5, Weather::HostError),
    (4, Weather::Maintenance),
];
