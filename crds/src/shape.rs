//! The shape of a host, fully resolved: nothing in it is left to a default any more.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::guest::GuestBucket;
use crate::status::HostKind;

/// GPUs of one type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gpu {
    /// The accelerator type as Compute Engine names it, for example `nvidia-tesla-t4`.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub kind: String,
    /// How many.
    #[schemars(range(min = 1, max = 16))]
    pub count: i32,
}

/// One of the two kinds of host, with everything that makes it what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HostShape {
    /// A Compute Engine VM.
    Vm(VmShape),
    /// A Kubernetes pod.
    Pod(PodShape),
}

/// How a VM is paid for and given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Provisioning {
    /// On demand.
    #[default]
    Standard,
    /// Cheaper, and may be taken away at any time.
    Spot,
    /// Queued until there is capacity, for a bounded time.
    FlexStart,
}

/// A VM, fully resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VmShape {
    /// The machine type, in its canonical name.
    #[schemars(length(max = 63))]
    pub machine_type: String,
    /// Attached GPUs; those that come with the machine type are not listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
    /// How the VM is paid for and given.
    #[serde(default)]
    pub provisioning: Provisioning,
    /// The boot disk's image, exact: never a family.
    #[schemars(length(max = 512))]
    pub boot_image: String,
    /// The boot disk's size in GiB.
    pub boot_size_gb: i64,
    /// The boot disk's type.
    #[schemars(length(max = 63))]
    pub boot_type: String,
    /// The VM's service account; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 254))]
    pub service_account: String,
    /// The subnetwork, as `regions/R/subnetworks/S`.
    #[schemars(length(max = 256))]
    pub subnetwork: String,
    /// Network tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)), extend("x-kubernetes-list-type" = "atomic"))]
    pub tags: Vec<String>,
    /// Labels of the person's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 48))]
    pub labels: BTreeMap<String, String>,
    /// Whether the VM has an external address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub external_address: bool,
    /// The oldest CPU platform that is accepted; empty for any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub min_cpu_platform: String,
    /// How many local SSDs, which are scratch space.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub local_ssds: i32,
    /// Whether secure boot is on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secure_boot: bool,
    /// Whether it goes without a virtual trusted platform module.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_vtpm: bool,
    /// Whether changes of its boot sequence are not reported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_integrity_monitoring: bool,
    /// After how many seconds Compute Engine stops it; 0 for never.
    #[serde(default, skip_serializing_if = "is_no_time")]
    pub max_run_duration_s: i64,
    /// The one reservation that it is taken from; empty for any that fits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 128))]
    pub reservation: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_no_time(seconds: &i64) -> bool {
    *seconds == 0
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// A pod, fully resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodShape {
    /// The container image.
    #[schemars(length(max = 512))]
    pub image: String,
    /// The cpu, in thousandths of a core; requests and limits are the same.
    pub cpu_milli: i64,
    /// The memory in bytes; requests and limits are the same.
    pub memory_bytes: i64,
    /// The scratch space in bytes; 0 for no bound.
    #[serde(default)]
    pub ephemeral_storage_bytes: i64,
    /// The machine type that the pod's node must have; empty for any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub machine_type: String,
    /// GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<Gpu>,
    /// The pod's service account; empty for the namespace's default.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub service_account: String,
    /// The size of /dev/shm in bytes.
    pub shared_memory_bytes: i64,
    /// Labels that the pod's node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pod tolerates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<Toleration>,
    /// The buckets that are its volumes: other ones are another pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub buckets: Vec<GuestBucket>,
    /// The Secret with the credentials of its repository, which it mounts; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub source_secret: String,
}

/// A taint that a pod tolerates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// The taint's key; empty together with operator Exists for every taint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 317))]
    pub key: String,
    /// Exists or Equal (the default).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 16))]
    pub operator: String,
    /// The taint's value, with Equal.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 63))]
    pub value: String,
    /// The taint's effect; empty for all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 32))]
    pub effect: String,
}

impl HostShape {
    /// VM or Pod.
    #[must_use]
    pub fn kind(&self) -> HostKind {
        match self {
            Self::Vm(_) => HostKind::Vm,
            Self::Pod(_) => HostKind::Pod,
        }
    }

    /// A digest that is the same for the same shape, 16 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        digest_of(self)
    }

    /// The shape in a few words: `n1-standard-4 + 1 nvidia-tesla-t4`, `2 cpu, 8Gi`.
    #[must_use]
    pub fn text(&self) -> String {
        let (base, gpu) = match self {
            Self::Vm(vm) => (vm.machine_type.clone(), &vm.gpu),
            Self::Pod(pod) => (format!("{} cpu, {}", cores(pod.cpu_milli), bytes(pod.memory_bytes)), &pod.gpu),
        };
        match gpu {
            Some(gpu) => format!("{base} + {} {}", gpu.count, gpu.kind),
            None => base,
        }
    }

    /// The GPUs.
    #[must_use]
    pub fn gpu(&self) -> Option<&Gpu> {
        match self {
            Self::Vm(vm) => vm.gpu.as_ref(),
            Self::Pod(pod) => pod.gpu.as_ref(),
        }
    }
}

/// A digest of anything that serialises, 16 hexadecimal digits; the same value has the same digest in every process.
#[must_use]
pub fn digest_of<T: Serialize>(value: &T) -> String {
    // Our own types always serialise; should one ever not, the error's text still tells it apart.
    let text = serde_json::to_string(value).unwrap_or_else(|error| error.to_string());
    let hash = Sha256::digest(text.as_bytes());
    let first = hash.iter().take(8).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
    format!("{first:016x}")
}

fn cores(milli: i64) -> String {
    if milli % 1000 == 0 { (milli / 1000).to_string() } else { format!("{milli}m") }
}

fn bytes(bytes: i64) -> String {
    const GI: i64 = 1 << 30;
    const MI: i64 = 1 << 20;
    if bytes % GI == 0 {
        format!("{}Gi", bytes / GI)
    } else if bytes % MI == 0 {
        format!("{}Mi", bytes / MI)
    } else {
        bytes.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_reads_in_a_few_words() {
        let gpu = Some(Gpu { kind: "nvidia-tesla-t4".into(), count: 1 });
        let vm = HostShape::Vm(VmShape { machine_type: "n1-standard-4".into(), gpu, ..VmShape::default() });
        assert_eq!(vm.text(), "n1-standard-4 + 1 nvidia-tesla-t4");
        let pod = HostShape::Pod(PodShape { cpu_milli: 1500, memory_bytes: 8 << 30, ..PodShape::default() });
        assert_eq!(pod.text(), "1500m cpu, 8Gi");
    }

    #[test]
    fn a_digest_tells_shapes_apart_and_nothing_else() {
        let small = HostShape::Pod(PodShape { cpu_milli: 500, ..PodShape::default() });
        let large = HostShape::Pod(PodShape { cpu_milli: 1500, ..PodShape::default() });
        assert_eq!(small.digest(), small.clone().digest());
        assert_ne!(small.digest(), large.digest());
    }
}
