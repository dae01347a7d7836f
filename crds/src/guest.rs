//! What the controller tells a host, and what a host answers. One document each way, the same for a VM and a pod.
//!
//! To a VM the settings go as instance metadata under [`SETTINGS_KEY`]; its reports come back as the guest attribute
//! [`REPORT_NAMESPACE`]/[`REPORT_KEY`]. Metadata is readable by every process on the host and by everyone who may get
//! the instance, so **nothing in either document is secret**. Any process on the host can also write guest attributes:
//! a report can therefore only ever affect the notebook whose host it came from, and only while its nonce is current.

use serde::{Deserialize, Serialize};

/// The metadata key under which a VM finds its [`GuestSettings`] as JSON.
pub const SETTINGS_KEY: &str = "rehost-settings";
/// The guest attribute namespace of the reports.
pub const REPORT_NAMESPACE: &str = "rehost";
/// The guest attribute key of the latest [`GuestReport`] as JSON.
pub const REPORT_KEY: &str = "report";
/// The device name under which the home disk is attached: the guest waits for `/dev/disk/by-id/google-home`.
pub const HOME_DEVICE: &str = "home";
/// The port on which Jupyter listens, on a VM and in a pod alike.
pub const JUPYTER_PORT: u16 = 8888;

/// What a host is asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GuestRole {
    /// Do everything short of the home, report [`GuestState::Standby`], and as soon as the home's device is there,
    /// check its content id, mount it, serve, and report [`GuestState::Serving`].
    Serve,
    /// Stop Jupyter in order, flush, unmount, and report [`GuestState::Released`].
    Release,
}

/// The one document of settings that a host gets.
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
}

/// How far a host has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GuestState {
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
    /// Jupyter could not be started.
    JupyterFailed,
    /// The GPUs that the shape promises are not there.
    AcceleratorMissing,
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
}
