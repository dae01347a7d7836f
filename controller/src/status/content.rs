//! What people read of buckets, repository and use: the serving host's own word, as it was last heard. Until it is heard, what was
//! said before stands.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use rehost_api::conditions::{self, ConditionStatus, ConditionType, Reason};
use rehost_api::guest::{GuestBucket, GuestReport, GuestSeen};
use rehost_api::shape::HostShape;
use rehost_api::status::{HostKind, HostRecord, SourceState, TransitionKind};

use super::Word;
use crate::access::AccessHashes;
use crate::desired::Desired;
use crate::observe::{Heard, Observed};
use crate::plan::Plan;

/// Why nothing is known of a pod without a key.
const MUTE: &str = "A pod is asked with a token that derives from the access keys, and the operator has none: an administrator sets accessKeysSecret.";

/// What a cluster without the driver needs.
const NO_DRIVER: &str = "The cluster has no driver by which pods mount buckets (no CSIDriver gcsfuse.csi.storage.gke.io), so the pod runs without them: an administrator enables the Cloud Storage FUSE CSI driver of GKE; then rehost.dev/restart brings them.";

/// What a host's report says of one condition.
type Says = fn(&Desired, &HostRecord, &GuestReport) -> Word;

/// The buckets of a host: a pod's are those that it was made with.
fn buckets_of<'a>(desired: &'a Desired, host: &'a HostRecord) -> &'a [GuestBucket] {
    match &host.last_shape {
        HostShape::Vm(_) => &desired.content.buckets,
        HostShape::Pod(pod) => &pod.buckets,
    }
}

/// Whether the pod was made without the volumes that its buckets need.
fn lacks_driver(host: &HostRecord, observed: &Observed) -> bool {
    let pods = observed.pods.present().into_iter().flatten();
    pods.into_iter().any(|pod| pod.name == host.name && !pod.mounts_buckets)
}

/// The conditions of what is declared, where there is a host.
pub(super) fn words(
    desired: &Desired,
    observed: &Observed,
    plan: &Plan,
    access: &AccessHashes,
) -> Vec<(ConditionType, Word)> {
    let Some(host) = &plan.memory.host else { return Vec::new() };
    let mute = host.kind == HostKind::Pod && access.status.is_none();
    let report = report(observed, plan).filter(|_| !mute);
    let content = &desired.content;
    let declared = [
        (ConditionType::Source, content.source.is_some(), source_word as Says),
        (ConditionType::Buckets, !buckets_of(desired, host).is_empty(), buckets_word),
        (ConditionType::Activity, desired.idle.is_some(), activity_word),
    ];
    declared
        .into_iter()
        .filter(|(_, declared, _)| *declared)
        .map(|(kind, _, word)| match report {
            _ if kind == ConditionType::Buckets && lacks_driver(host, observed) => {
                (kind, Word::new(ConditionStatus::False, Reason::DriverMissing, NO_DRIVER))
            }
            Some(report) => (kind, word(desired, host, report)),
            None if mute => (kind, Word::new(ConditionStatus::Unknown, Reason::HostUnknown, MUTE)),
            None if was_told(observed, plan, host) => {
                (kind, Word::new(ConditionStatus::Unknown, Reason::Syncing, "The host is told what has changed."))
            }
            None => (kind, unheard(observed, kind)),
        })
        .collect()
}

/// Why a notebook that serves is not as declared all the same.
pub(super) fn lacking(desired: &Desired, observed: &Observed, plan: &Plan, access: &AccessHashes) -> Option<Word> {
    let lacks = |(kind, word): (ConditionType, Word)| {
        let of_content = matches!(kind, ConditionType::Source | ConditionType::Buckets);
        // Somebody's own work in the tree is nothing to be put right.
        (of_content && word.status == ConditionStatus::False && word.reason != Reason::DirtyTree).then_some(word)
    };
    let home = home_said(observed, plan).filter(|word| word.status == ConditionStatus::False);
    home.or_else(|| words(desired, observed, plan, access).into_iter().find_map(lacks))
}

/// What the host says of the home's file system where not all is well; until the same host says otherwise, what it said before.
pub(super) fn home_said(observed: &Observed, plan: &Plan) -> Option<Word> {
    let host = plan.memory.host.as_ref()?;
    if let Some(report) = report(observed, plan) {
        return home_of(&report.seen);
    }
    let same = observed.previous.host.as_ref().is_some_and(|before| before.name == host.name);
    let before = conditions::find(&observed.previous.conditions, ConditionType::Home).filter(|_| same).and_then(said);
    before.filter(|word| matches!(word.reason, Reason::HomeFull | Reason::HomeDamaged | Reason::ChangePending))
}

fn home_of(seen: &GuestSeen) -> Option<Word> {
    let small = (seen.filesystem_fills_disk == Some(false)).then_some(
        "The home's disk is larger than its file system, which grows at the next start: restart the notebook.",
    );
    match (&seen.home_trouble, small) {
        (Some(trouble), _) => {
            let reason = if trouble.reason == "Full" { Reason::HomeFull } else { Reason::HomeDamaged };
            let grows = small.map_or_else(String::new, |small| format!(". {small}"));
            Some(Word::new(ConditionStatus::False, reason, format!("{}{grows}", trouble.message)))
        }
        (None, Some(small)) => Some(Word::new(ConditionStatus::True, Reason::ChangePending, small)),
        (None, None) => None,
    }
}

/// The checkout as it was last heard of.
pub(super) fn source(desired: Option<&Desired>, observed: &Observed, plan: &Plan) -> Option<SourceState> {
    desired.and_then(|desired| desired.content.source.as_ref())?;
    let heard = report(observed, plan).and_then(|report| report.seen.source.as_ref());
    match heard {
        Some(seen) => seen
            .revision
            .as_ref()
            .map(|revision| SourceState { revision: revision.clone(), dirty: seen.dirty.unwrap_or(false) }),
        None => observed.previous.source.clone(),
    }
}

/// The word of the host that the plan means, said since it serves.
fn report<'a>(observed: &'a Observed, plan: &Plan) -> Option<&'a GuestReport> {
    let host = plan.memory.host.as_ref()?;
    let heard = observed.heard.as_ref().filter(|heard| heard.host == host.name)?;
    let report = heard.report.present()?;
    let of_now = host.serving_since.is_some_and(|since| heard.at >= since) && report.nonce == host.nonce;
    of_now.then_some(report)
}

/// Whether the host is being told something, or has not answered it yet: what it said before is of something else.
fn was_told(observed: &Observed, plan: &Plan, host: &HostRecord) -> bool {
    let is_told = plan.memory.transition.as_ref().is_some_and(|it| it.kind == TransitionKind::Follow);
    let heard = observed.heard.as_ref().filter(|heard| heard.host == host.name);
    let of_before = |heard: &Heard| heard.report.present().is_some_and(|report| report.nonce != host.nonce);
    is_told || heard.is_some_and(of_before)
}

fn unheard(observed: &Observed, kind: ConditionType) -> Word {
    match conditions::find(&observed.previous.conditions, kind).and_then(said) {
        Some(word) => word,
        None => Word::new(ConditionStatus::Unknown, Reason::HostUnknown, "The host has not said yet."),
    }
}

/// What a condition said, word for word.
fn said(condition: &Condition) -> Option<Word> {
    let status = match condition.status.as_str() {
        "True" => ConditionStatus::True,
        "False" => ConditionStatus::False,
        _ => ConditionStatus::Unknown,
    };
    Some(Word { status, reason: condition.reason.parse().ok()?, message: condition.message.clone() })
}

fn source_word(desired: &Desired, _: &HostRecord, report: &GuestReport) -> Word {
    let path = desired.content.source.as_ref().map(|source| source.path.clone()).unwrap_or_default();
    let Some(seen) = &report.seen.source else {
        return Word::new(ConditionStatus::Unknown, Reason::Syncing, format!("~/{path} is being checked out."));
    };
    match (&seen.failure, &seen.revision) {
        (Some(failure), _) if failure == "Dirty" => {
            Word::new(ConditionStatus::False, Reason::DirtyTree, &*seen.message)
        }
        (Some(failure), _) => {
            Word::new(ConditionStatus::False, Reason::FetchFailed, format!("~/{path}: {failure}: {}", seen.message))
        }
        (None, Some(revision)) => {
            Word::new(ConditionStatus::True, Reason::AsDeclared, format!("~/{path} is at {revision}."))
        }
        (None, None) => Word::new(ConditionStatus::Unknown, Reason::Syncing, format!("~/{path} is being checked out.")),
    }
}

fn buckets_word(desired: &Desired, host: &HostRecord, report: &GuestReport) -> Word {
    let mut waits = Vec::new();
    let mut fails = Vec::new();
    let buckets = buckets_of(desired, host);
    for bucket in buckets {
        let seen = report.seen.buckets.iter().find(|seen| seen.path == bucket.path);
        match seen {
            Some(seen) if seen.mounted => {}
            Some(seen) if seen.reason.as_deref().is_some_and(|reason| reason != "Mounting") => {
                let reason = seen.reason.as_deref().unwrap_or_default();
                fails.push(format!("{} at ~/{}: {reason}: {}", bucket.name, bucket.path, seen.message));
            }
            Some(_) | None => waits.push(format!("~/{}", bucket.path)),
        }
    }
    if !fails.is_empty() {
        return Word::new(ConditionStatus::False, Reason::MountFailed, fails.join("; "));
    }
    if !waits.is_empty() {
        let message = format!("Being mounted: {}.", waits.join(", "));
        return Word::new(ConditionStatus::Unknown, Reason::Syncing, message);
    }
    let paths: Vec<String> = buckets.iter().map(|bucket| format!("~/{}", bucket.path)).collect();
    Word::new(ConditionStatus::True, Reason::AsDeclared, format!("Mounted: {}.", paths.join(", ")))
}

fn activity_word(_: &Desired, _: &HostRecord, report: &GuestReport) -> Word {
    match &report.seen.activity {
        // Not who, when and how much: that changes by the second, and nothing is written at rest.
        Some(_) => Word::new(ConditionStatus::True, Reason::AsDeclared, "The host says how it is used."),
        None => Word::new(
            ConditionStatus::Unknown,
            Reason::ActivityUnknown,
            "The host does not say how it is used; it is not stopped for that.",
        ),
    }
}
