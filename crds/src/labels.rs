//! Names, labels and identifiers that derive from a notebook.
//!
//! Every name in the cloud derives from the Notebook's uid, a host's also from the transition and the attempt that made
//! it: the same intent always gives the same name, so a crash between a request and its answer leaves nothing that
//! cannot be found again, and two notebooks never meet, whatever they are called.
//!
//! Names keep to what Compute Engine and Kubernetes both take: at most [`NAME_LENGTH_MAX`] characters of
//! `[a-z]([-a-z0-9]*[a-z0-9])?`.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use uuid::Uuid;

/// The longest name, and the longest value of a label, of Compute Engine and of a DNS label.
pub const NAME_LENGTH_MAX: usize = 63;

/// The API group, and the prefix of our label and annotation keys in Kubernetes.
pub const GROUP: &str = "rehost.dev";
/// Who we are in server-side apply.
pub const FIELD_MANAGER: &str = "rehost";
/// Holds a Notebook until its host is gone and its disk is dealt with as `deletionPolicy` says.
pub const FINALIZER: &str = "rehost.dev/release";

/// GCE label: the cluster that the notebook is declared in.
pub const GCE_CLUSTER: &str = "rehost-cluster";
/// GCE label: the Notebook's uid.
pub const GCE_UID: &str = "rehost-uid";
/// GCE label: the Notebook's namespace.
pub const GCE_NAMESPACE: &str = "rehost-namespace";
/// GCE label: the Notebook's name.
pub const GCE_NAME: &str = "rehost-name";
/// GCE label: the transition that made the object.
pub const GCE_TRANSITION: &str = "rehost-transition";
/// GCE label: what the object is for, see [`Role`].
pub const GCE_ROLE: &str = "rehost-role";
/// The content id of a home disk: on the disk alone, so that it is found again without any status.
pub const GCE_CONTENT: &str = "rehost-content";

/// Kubernetes label: the Notebook's uid.
pub const UID: &str = "rehost.dev/uid";
/// Kubernetes label: the Notebook's name.
pub const NOTEBOOK: &str = "rehost.dev/notebook";
/// Kubernetes label: the transition that made the object.
pub const TRANSITION: &str = "rehost.dev/transition";
/// Kubernetes label: the attempt within the transition.
pub const ATTEMPT: &str = "rehost.dev/attempt";
/// Kubernetes label: what the object is for, see [`Role`].
pub const ROLE: &str = "rehost.dev/role";

/// Annotation of ours: a digest of what the host beside a ConfigMap is to offer, so that it can be compared without being read.
pub const OFFER: &str = "rehost.dev/offer";

/// Annotation: start the notebook. Any value other than `status.handled.wake` is a new request.
pub const WAKE: &str = "rehost.dev/wake";
/// Annotation: stop the notebook. Any value other than `status.handled.stop` is a new request.
pub const STOP: &str = "rehost.dev/stop";
/// Annotation: restart the notebook's host. Any value other than `status.handled.restart` is a new request.
pub const RESTART: &str = "rehost.dev/restart";

/// What an object in the cloud or the cluster is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The home disk, and the volume and claim that show it to a pod.
    Home,
    /// A virtual machine or pod that serves the notebook, or will.
    Host,
    /// A pod that keeps a place on a node for the next host.
    Placeholder,
    /// A disk that a home is being copied to, until a host has proven it.
    Next,
    /// A disk that was the home until it was proven on another.
    Former,
    /// A snapshot that a disk is made from, and that goes when the disk is made.
    Copy,
    /// A snapshot that stands for a home whose disk is gone.
    Snapshot,
}

impl Role {
    /// The role as the value of a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Host => "host",
            Self::Placeholder => "placeholder",
            Self::Next => "next",
            Self::Former => "former",
            Self::Copy => "copy",
            Self::Snapshot => "snapshot",
        }
    }
}

/// The namespace of all our uuids: v5 of `rehost.dev` among DNS names.
fn uuid_namespace() -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_DNS, GROUP.as_bytes())
}

/// The part of every name that stands for the notebook: 64 bits of the uid's SHA-256 in hexadecimal.
///
/// A uid is not taken whole, because with transition and attempt it would not fit; two of 100,000 notebooks share
/// 64 bits with a chance of one in four thousand million, and labels, which are compared before every change, hold the whole uid.
fn stem(uid: &str) -> String {
    let digest = Sha256::digest(uid.as_bytes());
    digest.iter().take(8).fold(String::from("rehost-"), |mut name, byte| {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// The name of a home disk, and of the `PersistentVolume` and claim that show it to a pod: `rehost-0123456789abcdef-home-t4`.
///
/// `transition` is the one that made the disk: a notebook has another disk only after a change of zone or disk type.
pub fn disk_name(uid: &str, transition: i64) -> String {
    format!("{}-home-t{transition}", stem(uid))
}

/// The name of a snapshot that a new home disk is made from, first or second: `rehost-0123456789abcdef-home-t4-s1`.
pub fn snapshot_name(disk: &str, number: u8) -> String {
    format!("{disk}-s{number}")
}

/// The name of a host, VM or pod: `rehost-0123456789abcdef-t4-a1`.
///
/// It carries the attempt, because a repeated request answers with the former failure, and because a host that failed
/// may still hold its name while the next one is made. With ten thousand million attempts it would grow too long.
pub fn host_name(uid: &str, transition: i64, attempt: i64) -> String {
    format!("{}-t{transition}-a{attempt}", stem(uid))
}

/// The name of the pod that keeps a place for the host of the same transition and attempt:
/// `rehost-0123456789abcdef-t4-a1-seat`.
pub fn placeholder_name(uid: &str, transition: i64, attempt: i64) -> String {
    format!("{}-seat", host_name(uid, transition, attempt))
}

/// The name of the Service of a notebook, and of its `EndpointSlice`: the notebook's own name, which never changes.
///
/// A notebook's name is at most 52 characters of what a Service may be called; the API server sees to that.
pub fn service_name(notebook: &str) -> String {
    notebook.to_owned()
}

/// The id that the content of a notebook's home carries: a uuid v5 of the uid.
pub fn content_id(uid: &str) -> Uuid {
    Uuid::new_v5(&uuid_namespace(), format!("content/{uid}").as_bytes())
}

/// The `requestId` of a mutation: a uuid v5 of notebook, transition, step and attempt.
///
/// The same step tried again after a crash or a timeout is the same request, which Compute Engine then does once.
/// `step` names the action, and must differ for each mutation of an attempt.
pub fn request_id(uid: &str, transition: i64, step: &str, attempt: i64) -> Uuid {
    // The lengths keep two texts apart that would otherwise run together.
    let text = format!("request/{}/{uid}/{transition}/{attempt}/{}/{step}", uid.len(), step.len());
    Uuid::new_v5(&uuid_namespace(), text.as_bytes())
}

/// A text as the value of a GCE label: lower case, at most 63 characters, and `_` for each character that is not taken.
///
/// Two texts can become the same value: compare uids, which pass unchanged.
pub fn gce_label_value(text: &str) -> String {
    let kept = text.chars().take(NAME_LENGTH_MAX).map(|letter| match letter.to_ascii_lowercase() {
        letter @ ('a'..='z' | '0'..='9' | '-' | '_') => letter,
        _ => '_',
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const UID: &str = "3f6c2a9e-8d0b-4d55-9c40-7e6f4b1f2a11";

    fn is_name(name: &str) -> bool {
        let bytes = name.as_bytes();
        (1..=NAME_LENGTH_MAX).contains(&bytes.len())
            && bytes[0].is_ascii_lowercase()
            && bytes.iter().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-')
            && bytes.last() != Some(&b'-')
    }

    /// Uids as they come and as they never should, with the transitions and attempts at both ends of their range.
    fn cases() -> impl Iterator<Item = (String, i64, i64)> {
        let uids = (0..200).map(|number| Uuid::new_v5(&Uuid::NAMESPACE_OID, &[number]).to_string());
        let odd = ["", "UPPER case", "ünïcödé", "/", "a/1"].map(str::to_owned);
        uids.chain(odd).flat_map(|uid| {
            [(0, 0), (1, 1), (4, 17), (i64::MAX, 9_999_999_999)]
                .map(|(transition, attempt)| (uid.clone(), transition, attempt))
        })
    }

    #[test]
    fn every_name_is_one_that_compute_engine_and_kubernetes_take() {
        for (uid, transition, attempt) in cases() {
            for name in [
                disk_name(&uid, transition),
                snapshot_name(&disk_name(&uid, transition), 2),
                host_name(&uid, transition, attempt),
                placeholder_name(&uid, transition, attempt),
            ] {
                assert!(is_name(&name), "{name}");
            }
        }
    }

    #[test]
    fn no_two_intents_share_a_name_or_a_request() {
        let mut names = BTreeSet::new();
        let mut disks = BTreeSet::new();
        let mut requests = BTreeSet::new();
        for (uid, transition, attempt) in cases() {
            assert!(names.insert(host_name(&uid, transition, attempt)));
            assert!(names.insert(placeholder_name(&uid, transition, attempt)));
            assert!(disks.insert(disk_name(&uid, transition)));
            for step in ["insertInstance", "attachDisk", ""] {
                assert!(requests.insert(request_id(&uid, transition, step, attempt)));
            }
        }
        assert!(names.is_disjoint(&disks));
    }

    #[test]
    fn texts_that_run_together_are_told_apart() {
        assert_ne!(request_id("a/1/1", 2, "s", 3), request_id("a", 1, "s", 1));
        assert_ne!(request_id("a", 1, "2/s", 3), request_id("a", 1, "s", 2));
        assert_ne!(content_id(UID), request_id(UID, 0, "", 0));
    }

    /// What stands here is written on disks that outlive this version: a change of it would orphan them.
    #[test]
    fn names_are_for_ever() {
        assert_eq!(disk_name(UID, 4), "rehost-79e2dfc92be82fe5-home-t4");
        assert_eq!(snapshot_name(&disk_name(UID, 4), 1), "rehost-79e2dfc92be82fe5-home-t4-s1");
        assert_eq!(host_name(UID, 4, 1), "rehost-79e2dfc92be82fe5-t4-a1");
        assert_eq!(placeholder_name(UID, 4, 1), "rehost-79e2dfc92be82fe5-t4-a1-seat");
        assert_eq!(service_name("taxi-fares"), "taxi-fares");
        assert_eq!(content_id(UID).to_string(), "bf94c57f-394d-52c1-b1e9-a04557646be9");
        assert_eq!(request_id(UID, 4, "insertInstance", 1).to_string(), "58ab6e0a-6461-5bc1-a709-2bd26b0bba03");
        assert_eq!(content_id(UID).get_version_num(), 5);
    }

    #[test]
    fn label_values_are_what_compute_engine_takes() {
        assert_eq!(gce_label_value("team-a"), "team-a");
        assert_eq!(gce_label_value("Team.A/ü"), "team_a__");
        assert_eq!(gce_label_value(UID), UID);
        assert_eq!(gce_label_value(&"x".repeat(100)).len(), NAME_LENGTH_MAX);
        assert_eq!(gce_label_value(""), "");
    }
}
