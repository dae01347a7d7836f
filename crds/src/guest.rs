//! What the controller tells a host, and what a host answers. One document each way, the same for a VM and a pod.
//!
//! To a VM the settings go as instance metadata under [`SETTINGS_KEY`]; its reports come back as the guest attribute
//! [`REPORT_NAMESPACE`]/[`REPORT_KEY`]. To a pod they go in a ConfigMap under [`SETTINGS_FILE`]. Metadata is readable by every process on the host and by everyone who may get
//! the instance, so **nothing in either document is secret**. Any process on the host can also write guest attributes:
//! a report can therefore only ever affect the notebook whose host it came from, and only while its nonce is current.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The metadata key under which a VM finds its [`GuestSettings`] as JSON.
pub const SETTINGS_KEY: &str = "rehost-settings";
/// The file of a pod's ConfigMap that holds its [`GuestSettings`] as JSON.
pub const SETTINGS_FILE: &str = "settings.json";
/// The guest attribute namespace of the reports.
pub const REPORT_NAMESPACE: &str = "rehost";
/// The guest attribute key of the latest [`GuestReport`] as JSON.
pub const REPORT_KEY: &str = "report";
/// The device name under which the home disk is attached: the guest waits for `/dev/disk/by-id/google-home`.
pub const HOME_DEVICE: &str = "home";
/// The port on which Jupyter listens, on a VM and in a pod alike.
pub const JUPYTER_PORT: u16 = 8888;
/// The port of the reports in a pod, and on a VM where guest attributes are forbidden: see [`GuestStatusPort`].
pub const STATUS_PORT: u16 = 8889;
/// Where a pod finds the credentials of its repository, as a [`GuestSource::secret`]: the folder of a mounted Secret.
pub const POD_CREDENTIALS: &str = "/etc/rehost-source";
/// The metadata key of the script that Google's guest agent runs at every boot: `controller/guest/startup.sh`.
pub const STARTUP_KEY: &str = "startup-script";
/// The metadata key of the guest's own files: a JSON object of file name to text, all of `controller/guest/rehost_guest`.
pub const FILES_KEY: &str = "rehost-guest";

/// What a host is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GuestRole {
    /// Do everything short of the home, report [`GuestState::Standby`], and as soon as the home's device is there,
    /// check its content id, mount it, serve, and report [`GuestState::Serving`].
    Serve,
    /// Stop Jupyter in order, flush, unmount, and report [`GuestState::Released`].
    Release,
}

/// The one document of settings that a host gets. What has a default may be left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestSettings {
    /// `namespace/name` of the notebook, for people who read the serial console.
    pub notebook: String,
    /// The notebook's uid.
    pub uid: String,
    /// What the host is asked to be now.
    pub role: GuestRole,
    /// Echoed in every report, so that an answer to an earlier request is never taken for one to this.
    pub nonce: String,
    /// The home disk's content.
    pub home: GuestHome,
    /// The port for Jupyter.
    pub port: u16,
    /// What else the host is to offer, and to whom.
    #[serde(flatten)]
    pub offer: Box<GuestOffer>,
}

/// What a host offers beside the home. A host without any of it serves the home to nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestOffer {
    /// Jupyter's base URL, beginning and ending with a slash. Absent: `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_path: Option<String>,
    /// The SHA-256, as 64 hexadecimal digits, of each token that opens Jupyter; two while keys rotate. None: nobody
    /// gets in. A change holds at once, and ends what was opened with a token that is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_hashes: Vec<String>,
    /// How many GPUs the shape promises. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerators: Option<u32>,
    /// The buckets under the home. A change is followed on a running VM; a pod has them as volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<GuestBucket>,
    /// The repository in the home. A change is followed on a running host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<GuestSource>,
    /// What the default kernel's environment is made with, the first time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<GuestKernels>,
    /// The port for reports. Absent: none is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<GuestStatusPort>,
    /// Where a host finds what its image lacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<GuestPackages>,
}

/// A bucket that is seen under the home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GuestBucket {
    /// Where, relative to the home.
    #[schemars(length(max = 256))]
    pub path: String,
    /// The bucket's name.
    #[schemars(length(max = 256))]
    pub name: String,
    /// Only the objects under this prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub prefix: Option<String>,
    /// Whether writing is refused.
    #[serde(default)]
    pub read_only: bool,
}

/// A repository that is cloned into the home when it is absent, and fast-forwarded while its tree is clean.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestSource {
    /// `https://…`, `ssh://…` or `git@…`.
    pub repository: String,
    /// Where, relative to the home.
    pub path: String,
    /// A branch, tag or commit. Absent: the repository's own default branch.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Where the host finds the credential: `projects/P/secrets/S` of Secret Manager, read by the host's own identity,
    /// or [`POD_CREDENTIALS`], a Secret that a pod mounts. What is in it is an ssh key, `user:token`, or a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// What the default kernel's environment is made with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestKernels {
    /// A version of Python, such as `3.12`; only where the image has uv. Absent: the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python: Option<String>,
    /// Packages beside ipykernel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
}

/// Where reports are read over HTTP: `GET /report` with `Authorization: Bearer TOKEN`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestStatusPort {
    /// The port.
    pub port: u16,
    /// The SHA-256 of the token, as 64 hexadecimal digits.
    pub token_hash: String,
}

/// Where a host finds what its image lacks. Addresses are `https://`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestPackages {
    /// The version of JupyterLab to install where the image has none that is new enough. Absent: the guest's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jupyterlab: Option<String>,
    /// A Python package index. Absent: `PyPI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<String>,
    /// gcsfuse, as a program or a `.deb`. Absent: the package of the image's own repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gcsfuse: Option<String>,
    /// An installer of the GPU driver in Python, run with `install_driver`. Absent: the image brings its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator_driver: Option<String>,
}

/// What a host must find on the home disk before it serves from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestHome {
    /// The device name of the disk, [`HOME_DEVICE`].
    pub device: String,
    /// The id that the disk's content must carry.
    pub content_id: String,
    /// Whether a disk without any content may be formatted (and given `content_id`): true only until it once was.
    pub format: bool,
    /// The id that a copy still carries: expected once, and then replaced by `content_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied_from: Option<String>,
}

/// How far a host has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GuestState {
    /// Booted, and getting everything short of the home ready: `message` says what takes its time.
    Preparing,
    /// Booted, and everything short of the home is done; waits for the disk.
    Standby,
    /// The home is mounted, its content id is right, Jupyter answers.
    Serving,
    /// Jupyter has ended, the home is unmounted: the disk may be detached.
    Released,
    /// The host will not serve: see `reason`.
    Failed,
}

/// Why a guest refuses to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GuestFailure {
    /// The disk carries another content id than expected, or none where one was expected.
    ContentMismatch,
    /// The disk carries a file system that is not ours.
    ForeignFilesystem,
    /// The file system is damaged beyond what can be repaired without a person's decision.
    FilesystemDamaged,
    /// Jupyter could not be started.
    JupyterFailed,
    /// The GPUs that the shape promises are not there.
    AcceleratorMissing,
}

/// What a pod's init container says when it refuses the disk: its termination message, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestRefusal {
    /// Why.
    pub failure: GuestFailure,
    /// A sentence for people.
    pub message: String,
    /// The content id found on the disk, where there is one.
    #[serde(default)]
    pub content_id: Option<String>,
}

/// What a host says of itself. A later report replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestReport {
    /// One value for each boot.
    pub boot_id: String,
    /// The nonce of the settings that this report answers.
    pub nonce: String,
    /// How far the host has come.
    pub state: GuestState,
    /// The content id found (or written) on the home disk; absent while there is no disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_id: Option<String>,
    /// Why, when `state` is [`GuestState::Failed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<GuestFailure>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What is seen while it serves; absent otherwise.
    #[serde(flatten)]
    pub seen: GuestSeen,
}

/// What a serving host sees of itself. What is absent is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestSeen {
    /// Whether the file system is as large as its disk. False: it grows at the next start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem_fills_disk: Option<bool>,
    /// What is wrong with the home's file system; absent while it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home_trouble: Option<GuestHomeTrouble>,
    /// Each bucket that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<GuestBucketSeen>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<GuestSourceSeen>,
    /// The default kernel's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<GuestKernelsSeen>,
    /// Evidence of use. Absent: not known, and so not idle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<GuestActivity>,
}

/// What is wrong with the home's file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestHomeTrouble {
    /// `Full`, `ReadOnly` or `Unreadable`. A guest may know others.
    pub reason: String,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
}

/// How a bucket is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestBucketSeen {
    /// Where it was asked for.
    pub path: String,
    /// Whether it is there.
    pub mounted: bool,
    /// Why not: `Mounting`, `BucketNotFound`, `NotPermitted`, `NoIdentity`, `NotInstalled`, `PathTaken`, `PathEscapes`,
    /// `NotMounted` or `Failed`. A guest may know others.
    #[serde(default)]
    pub reason: Option<String>,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
}

/// How the repository is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestSourceSeen {
    /// The commit that is checked out; absent while there is no repository.
    #[serde(default)]
    pub revision: Option<String>,
    /// Whether there is work that is not committed.
    #[serde(default)]
    pub dirty: Option<bool>,
    /// Why it is not where the settings want it: `Dirty`, `Diverged`, `PathTaken`, `PathEscapes`, `OtherRepository`,
    /// `NotPermitted`, `CredentialsMissing`, `NotFound`, `Unreachable` or `Failed`. A guest may know others.
    #[serde(default)]
    pub failure: Option<String>,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
}

/// How the default kernel's environment is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestKernelsSeen {
    /// `Making`, `Ready`, or `Failed`: then kernels run in the server's environment.
    pub state: String,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
}

/// Evidence of use, as Jupyter and the kernel of the host give it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuestActivity {
    /// The latest activity that Jupyter knows of: a request of a person's, a kernel, a terminal. It may stand still
    /// while one cell computes: see `busy_kernels`.
    pub last_activity: Timestamp,
    /// How many kernels there are.
    pub kernels: u32,
    /// How many of them are anything but idle.
    pub busy_kernels: u32,
    /// How many connections to kernels are open.
    pub connections: u32,
    /// How many terminals there are.
    pub terminals: u32,
    /// How many of them run something.
    pub busy_terminals: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a controller of the first version wrote, and what a guest of the first version said.
    const SETTINGS: &str = r#"{"notebook":"team-a/taxi","uid":"u","role":"Serve","nonce":"n",
        "home":{"device":"home","contentId":"c","format":false},"port":8888}"#;
    const REPORT: &str = r#"{"bootId":"b","nonce":"n","state":"Standby"}"#;

    #[test]
    fn what_has_a_default_may_be_left_out_and_is_left_out() {
        let settings: GuestSettings = serde_json::from_str(SETTINGS).unwrap();
        assert_eq!(*settings.offer, GuestOffer::default());
        let written: serde_json::Value = serde_json::to_value(&settings).unwrap();
        assert_eq!(written, serde_json::from_str::<serde_json::Value>(SETTINGS).unwrap());
        let report: GuestReport = serde_json::from_str(REPORT).unwrap();
        assert_eq!(report.seen, GuestSeen::default());
    }

    #[test]
    fn what_a_serving_guest_says_is_read() {
        let text = r#"{"bootId":"b","nonce":"n","state":"Serving","contentId":"c","filesystemFillsDisk":true,
            "homeTrouble":{"reason":"Full","message":"the home is full"},
            "activity":{"lastActivity":"2026-11-27T18:00:00.123456Z","kernels":1,"busyKernels":1,"connections":1,
                "terminals":1,"busyTerminals":0},
            "buckets":[{"path":"data","mounted":false,"reason":"BucketNotFound","message":"x"}],
            "kernels":{"state":"Ready","message":""},
            "source":{"revision":"abc","dirty":false,"failure":null,"message":""}}"#;
        let seen = serde_json::from_str::<GuestReport>(text).unwrap().seen;
        assert_eq!(seen.activity.map(|activity| activity.busy_kernels), Some(1));
        assert_eq!(seen.source.and_then(|source| source.dirty), Some(false));
        assert_eq!(seen.home_trouble.map(|trouble| trouble.reason), Some("Full".to_owned()));
        assert!(!seen.buckets[0].mounted);
    }
}
