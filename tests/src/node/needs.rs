//! What nodes need: of this machine, and of their control plane.

use std::path::Path;

use crate::control_plane::{Settings, User};
use crate::hosts;

/// Where Debian's package puts the plugins of the pods' network.
const NETWORK_PLUGIN: &str = "/usr/lib/cni/ptp";

/// What this machine lacks for real nodes, as a sentence; nothing when they can be had.
pub fn missing() -> Option<String> {
    if let Some(why) = hosts::missing() {
        return Some(why);
    }
    let programs = ["containerd", "ctr", "runc", "iptables", "fusermount3", "mkfs.ext4", "setpriv"];
    let absent = |name: &&str| hosts::run(&["/bin/sh", "-c", &format!("command -v {name}")]).is_err();
    if let Some(name) = programs.into_iter().find(absent) {
        return Some(format!("real nodes need {name}, which is not on PATH"));
    }
    let paths = [NETWORK_PLUGIN, "/dev/fuse", "/sys/fs/cgroup"];
    let absent = paths.into_iter().find(|path| !Path::new(path).exists())?;
    Some(format!("real nodes need {absent}, which is not there"))
}

/// The control plane that nodes with these names need: with identities for them and for the programs beside, each with the
/// rights that it has in a cluster, and with the admission that counts on them.
pub fn control_plane(nodes: &[&str]) -> Settings {
    let mut settings = Settings { disabled_admission: Vec::new(), ..Settings::default() };
    settings.users.extend(nodes.iter().map(|name| User::new(&node_user(name), &["system:nodes"])));
    settings.users.extend([CONTROLLER_MANAGER, SCHEDULER, PROXY].map(|name| User::new(name, &[])));
    settings.arguments =
        ["--authorization-mode=Node", "--enable-admission-plugins=NodeRestriction"].map(str::to_owned).to_vec();
    settings
}

pub(super) const CONTROLLER_MANAGER: &str = "system:kube-controller-manager";
pub(super) const SCHEDULER: &str = "system:kube-scheduler";
pub(super) const PROXY: &str = "system:kube-proxy";

pub(super) fn node_user(name: &str) -> String {
    format!("system:node:{name}")
}
