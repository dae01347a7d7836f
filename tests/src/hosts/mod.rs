//! Real machines: Debian with systemd in namespaces, each with a network address, a metadata server, and disks.
//!
//! What stands behind a simulated instance when hosts are real: the start-up script is run by Google's own runner, the
//! home is ext4 on a loop device, Jupyter and its kernels are real. What is simplified: the kernel is this machine's, so
//! there is no reboot of it and no udev (the links of disks are made by hand); `/proc/sys/kernel/random/boot_id` is this
//! machine's at every boot; a disk that is detached while mounted stays writable to the machine that has it mounted,
//! until that machine ends.
//!
//! Nothing outlives the run, however it ends: each machine is a process under a keeper (see
//! [`crate::control_plane::process`]) and all else, namespaces, mounts, addresses and loop devices, goes with the last
//! process that holds it.

mod control_groups;
mod disk;
mod fleet;
mod image;
mod machine;
mod metadata;
mod network;
mod repository;

pub use disk::Disk;
pub use fleet::{Fleet, FleetSettings};
pub use image::{Image, missing};
pub use machine::{Boot, Machine};
pub use metadata::{Metadata, Publication};
pub use network::{GATEWAY, Network, relay};
pub use repository::Repository;

use std::io;
use std::process::{Command, Stdio};

/// Why a machine, or what it stands on, could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// A program of this machine's ended with an error, or is not there.
    #[error("{program}: {said}")]
    Program {
        /// The command line.
        program: String,
        /// The last that it said.
        said: String,
    },
    /// A file or a socket could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// It did not come to pass in its time.
    #[error("{0}")]
    TimedOut(String),
}

impl HostsError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// Runs a program of this machine's to its end, and returns what it wrote.
pub(crate) fn run(argv: &[&str]) -> Result<String, HostsError> {
    let failed = |said: String| HostsError::Program { program: argv.join(" "), said };
    let (program, arguments) = argv.split_first().ok_or_else(|| failed("no program".to_owned()))?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
