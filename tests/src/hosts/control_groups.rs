//! A machine type as limits: CPUs and memory that a machine cannot exceed, and what its programs read of them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::HostsError;

const ROOT: &str = "/sys/fs/cgroup";
const OURS: &str = "rehost";
const PERIOD_US: u64 = 100_000;
const ENDED_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);
/// Of the first version's controllers those that a machine is held to, or stopped by.
const CONTROLLERS: [&str; 5] = ["cpu", "cpuset", "memory", "pids", "freezer"];

/// The control groups of one machine. They are removed with this, when the machine is gone.
#[derive(Debug)]
pub(super) struct ControlGroups {
    folders: Vec<PathBuf>,
}

impl ControlGroups {
    /// Makes them: one folder for each controller of the first version, or one for all of the second.
    pub(super) fn make(name: &str, cpus: u32, memory_bytes: u64) -> Result<Self, HostsError> {
        remove_abandoned();
        let unified = Path::new(ROOT).join("cgroup.controllers").exists();
        let groups =
            if unified { Self::second(name, cpus, memory_bytes) } else { Self::first(name, cpus, memory_bytes) };
        groups.map_err(HostsError::io(format!("the control groups of {name}")))
    }

    fn first(name: &str, cpus: u32, memory_bytes: u64) -> std::io::Result<Self> {
        let mut folders = Vec::new();
        for controller in CONTROLLERS.into_iter().chain(["unified"]) {
            let base = Path::new(ROOT).join(controller);
            if !base.is_dir() {
                continue;
            }
            let folder = base.join(OURS).join(name);
            fs::create_dir_all(&folder)?;
            match controller {
                "cpu" => {
                    fs::write(folder.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
                    fs::write(folder.join("cpu.cfs_quota_us"), (u64::from(cpus) * PERIOD_US).to_string())?;
                }
                "cpuset" => {
                    let ours = base.join(OURS);
                    // A child can only have what its parent has, and a new parent has nothing.
                    for file in ["cpuset.mems", "cpuset.cpus"] {
                        fs::write(ours.join(file), fs::read_to_string(base.join(file))?)?;
                    }
                    fs::write(folder.join("cpuset.mems"), fs::read_to_string(base.join("cpuset.mems"))?)?;
                    fs::write(folder.join("cpuset.cpus"), first_cpus(cpus))?;
                }
                "memory" => fs::write(folder.join("memory.limit_in_bytes"), memory_bytes.to_string())?,
                _ => {}
            }
            folders.push(folder);
        }
        Ok(Self { folders })
    }

    fn second(name: &str, cpus: u32, memory_bytes: u64) -> std::io::Result<Self> {
        let ours = Path::new(ROOT).join(OURS);
        let folder = ours.join(name);
        fs::create_dir_all(&folder)?;
        for parent in [Path::new(ROOT), &ours] {
            fs::write(parent.join("cgroup.subtree_control"), "+cpu +cpuset +memory +pids")?;
        }
        fs::write(folder.join("cpu.max"), format!("{} {PERIOD_US}", u64::from(cpus) * PERIOD_US))?;
        fs::write(folder.join("cpuset.cpus"), first_cpus(cpus))?;
        fs::write(folder.join("memory.max"), memory_bytes.to_string())?;
        Ok(Self { folders: vec![folder] })
    }

    /// The folders, with colons between.
    pub(super) fn folders(&self) -> String {
        self.folders.iter().map(|folder| folder.to_string_lossy()).collect::<Vec<_>>().join(":")
    }

    /// Stops every process of the machine where it is, or lets it go on: what a suspended machine is like from outside.
    pub(super) fn freeze(&self, frozen: bool) -> Result<(), HostsError> {
        let first = self.folders.iter().map(|folder| folder.join("freezer.state")).find(|file| file.exists());
        let second = self.folders.iter().map(|folder| folder.join("cgroup.freeze")).find(|file| file.exists());
        let (file, word) = match (first, second) {
            (Some(file), _) => (file, if frozen { "FROZEN" } else { "THAWED" }),
            (None, Some(file)) => (file, if frozen { "1" } else { "0" }),
            (None, None) => return Err(HostsError::TimedOut("this machine has no freezer".to_owned())),
        };
        fs::write(file, word).map_err(HostsError::io("the freezer"))
    }
}

impl Drop for ControlGroups {
    /// Returns when the machine's last process is gone, which is a moment after it was killed.
    fn drop(&mut self) {
        for _ in 0..ENDED_WITHIN.as_millis() / LOOK.as_millis() {
            self.folders.iter().for_each(|folder| remove(folder));
            if !self.folders.iter().any(|folder| folder.exists()) {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What a run that was killed has left: control groups are the one thing that no process holds. Those in use stay.
fn remove_abandoned() {
    for controller in CONTROLLERS.into_iter().chain(["unified", ""]) {
        let folder = Path::new(ROOT).join(controller).join(OURS);
        for found in fs::read_dir(folder).into_iter().flatten().flatten() {
            let procs = fs::read_to_string(found.path().join("cgroup.procs"));
            if procs.is_ok_and(|text| text.is_empty()) {
                remove(&found.path());
            }
        }
    }
}

/// A control group is removed from its leaves on; one in use refuses, and stays.
fn remove(folder: &Path) {
    for inner in fs::read_dir(folder).into_iter().flatten().flatten() {
        if inner.path().is_dir() {
            remove(&inner.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

fn first_cpus(cpus: u32) -> String {
    let have = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let last = usize::try_from(cpus).unwrap_or(have).min(have).saturating_sub(1);
    format!("0-{last}")
}

/// `/proc/meminfo` of a machine with so much memory.
pub(super) fn meminfo(memory_bytes: u64) -> String {
    let total_kb = memory_bytes / 1024;
    let free_kb = total_kb / 10 * 9;
    let mut text = String::new();
    for (name, kb) in [("MemTotal", total_kb), ("MemFree", free_kb), ("MemAvailable", free_kb)] {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}: {kb:>15} kB");
    }
    for name in
        ["Buffers", "Cached", "SwapCached", "Active", "Inactive", "SwapTotal", "SwapFree", "Dirty", "Shmem", "Slab"]
    {
        let _ = writeln!(text, "{name}: {:>15} kB", 0);
    }
    text
}

/// The first so many of this machine's `/proc/cpuinfo`.
pub(super) fn cpuinfo(cpus: u32) -> Result<String, HostsError> {
    let all = fs::read_to_string("/proc/cpuinfo").map_err(HostsError::io("/proc/cpuinfo"))?;
    let some: Vec<&str> =
        all.split("\n\n").filter(|cpu| !cpu.is_empty()).take(usize::try_from(cpus).unwrap_or(1)).collect();
    Ok(some.join("\n\n") + "\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_reads_its_own_size() {
        assert!(meminfo(2 << 30).starts_with("MemTotal:         2097152 kB\n"));
        let one = cpuinfo(1).expect("there is a cpu");
        assert_eq!(one.matches("\n\n").count(), 1, "{one}");
        assert_eq!(first_cpus(1), "0-0");
    }
}
