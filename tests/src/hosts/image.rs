//! The root file system of the machines, which `tests/hosts/image` builds once.

use std::path::{Path, PathBuf};

use super::{HostsError, run};

/// A root file system, shared by all machines and changed by none.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its folder.
    pub root: PathBuf,
}

impl Image {
    /// Finds it in the cache, or builds it, which takes some minutes.
    pub fn find_or_build() -> Result<Self, HostsError> {
        run(&[&script(), "build"])?;
        Ok(Self { root: PathBuf::from(run(&[&script(), "where"])?) })
    }

    /// Where a program is that the machines, or a server for them, need: `gcsfuse` or `fake-gcs-server`.
    pub fn program(name: &str) -> Result<PathBuf, HostsError> {
        run(&[&script(), "program", name]).map(PathBuf::from)
    }

    /// Whether it is there already.
    pub fn is_built() -> bool {
        run(&[&script(), "where"]).is_ok_and(|folder| Path::new(&folder).is_dir())
    }
}

fn script() -> String {
    format!("{}/hosts/image", env!("CARGO_MANIFEST_DIR"))
}

/// What this machine lacks for real hosts, as a sentence; nothing when they can be had.
pub fn missing() -> Option<String> {
    if run(&["id", "-u"]).ok().as_deref() != Some("0") {
        return Some("real hosts need root".to_owned());
    }
    if let Err(error) = run(&["unshare", "--net", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "true"]) {
        return Some(format!("real hosts need namespaces: {error}"));
    }
    if !Path::new("/dev/loop-control").exists() {
        return Some("real hosts need loop devices: there is no /dev/loop-control".to_owned());
    }
    // What builds the image is needed only once.
    let built = Image::is_built();
    if !built && run(&["python3", "-m", "pip", "--version"]).is_err() {
        return Some("the image of real hosts needs python3 with pip".to_owned());
    }
    let programs: &[&str] = if built { &["ip", "losetup"] } else { &["ip", "losetup", "mmdebstrap", "go"] };
    let absent = programs.iter().find(|name| run(&["/bin/sh", "-c", &format!("command -v {name}")]).is_err());
    absent.map(|name| format!("real hosts need {name}, which is not on PATH"))
}
