//! One machine: a boot disk, an address, disks that come and go, and a power button.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::control_groups::{ControlGroups, cpuinfo, meminfo};
use super::network::{await_namespace, listen_in, relay};
use super::{Disk, HostsError, Image, Metadata, Network, run};
use crate::control_plane::process::{Process, Start};

/// Where an instance finds its metadata server.
const METADATA: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)), 80);
const LOOK: Duration = Duration::from_millis(20);
const MADE_WITHIN: Duration = Duration::from_secs(30);

/// What a machine is started with.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Its name.
    pub name: String,
    /// How many CPUs it sees and may use; no more than this machine has.
    pub cpus: u32,
    /// How much memory it sees and may use.
    pub memory_bytes: u64,
    /// Its address in the network.
    pub address: Ipv4Addr,
    /// The folder of its boot disk: kept from one start to the next, or a new one for a new boot disk.
    pub folder: PathBuf,
}

/// A machine that runs, until this is dropped: then its power is cut.
#[derive(Debug)]
pub struct Machine {
    boot: Boot,
    process: Process,
    groups: ControlGroups,
    network: Arc<Network>,
}

impl Machine {
    /// Starts it, with the disks that are attached from the beginning. Its metadata server answers before its first
    /// program runs.
    pub fn start(
        image: &Image,
        network: &Arc<Network>,
        boot: Boot,
        disks: &[(&str, &Disk)],
        metadata: &Metadata,
    ) -> Result<Self, HostsError> {
        let folder = &boot.folder;
        let failed = || HostsError::io(format!("the machine's folder {}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed())?;
        for name in ["made", "go"] {
            let _ = std::fs::remove_file(folder.join(name));
        }
        std::fs::write(folder.join("meminfo"), meminfo(boot.memory_bytes)).map_err(failed())?;
        std::fs::write(folder.join("cpuinfo"), cpuinfo(boot.cpus)?).map_err(failed())?;
        let groups =
            ControlGroups::make(&format!("{}-{}", boot.name, std::process::id()), boot.cpus, boot.memory_bytes)?;
        let process = start(image, &boot, &groups)?;
        let machine = Self { boot, process, groups, network: Arc::clone(network) };
        machine.await_made()?;
        machine.network.plug(&machine.process, machine.boot.address)?;
        metadata.serve(listen_in(&machine.process, METADATA)?)?;
        for (device, disk) in disks {
            machine.attach_in(&machine.boot.folder.join("merged/dev"), device, disk)?;
        }
        std::fs::write(machine.boot.folder.join("go"), "").map_err(HostsError::io("letting the machine go on"))?;
        Ok(machine)
    }

    fn await_made(&self) -> Result<(), HostsError> {
        await_namespace(&self.process)?;
        let made = self.boot.folder.join("made");
        self.until(MADE_WITHIN, "was not made", || made.exists())
    }

    fn until(&self, within: Duration, what: &str, holds: impl Fn() -> bool) -> Result<(), HostsError> {
        for _ in 0..within.as_millis() / LOOK.as_millis() {
            if holds() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        let said = self.process.log_tail(10);
        Err(HostsError::TimedOut(format!("{} {what} in {} s: {said}", self.boot.name, within.as_secs())))
    }

    /// Its address in the network.
    pub fn address(&self) -> Ipv4Addr {
        self.boot.address
    }

    /// A port of the loopback from which one of its ports is reached.
    pub fn reach(&self, port: u16) -> Result<SocketAddr, HostsError> {
        relay(&self.network, SocketAddr::from((self.boot.address, port)))
    }

    /// The process that is its init, as this machine counts; nothing once it has ended.
    fn init(&self) -> Option<String> {
        let id = self.process.id()?;
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
        children.split_whitespace().next().map(str::to_owned)
    }

    /// Runs a program inside, as root, to its end.
    pub fn run(&self, argv: &[&str]) -> Result<Output, HostsError> {
        let init = self.init().ok_or_else(|| HostsError::TimedOut(format!("{} is off", self.boot.name)))?;
        Command::new("nsenter")
            .args(["--target", &init, "--mount", "--pid", "--net", "--uts", "--ipc", "--root", "--wd"])
            .args(argv)
            .stdin(Stdio::null())
            .output()
            .map_err(HostsError::io(format!("{} in {}", argv.join(" "), self.boot.name)))
    }

    /// Attaches a disk under a device name: the machine sees it within the time that this takes.
    pub fn attach(&self, device: &str, disk: &Disk) -> Result<(), HostsError> {
        self.attach_in(Path::new("/dev"), device, disk)
    }

    /// Makes the node first and the link last, since the link is what the guest waits for. `dev` is the machine's own
    /// path, which before it goes on is another one.
    fn attach_in(&self, dev: &Path, device: &str, disk: &Disk) -> Result<(), HostsError> {
        disk.await_free()?;
        let (major, minor) = disk.number()?;
        let init = self.init().ok_or_else(|| HostsError::TimedOut(format!("{} is off", self.boot.name)))?;
        let script = "umask 007 && mknod \"$1/$2\" b \"$3\" \"$4\" && ln -s \"../../$2\" \"$1/disk/by-id/google-$5\"";
        let (enter, node) = (format!("--mount=/proc/{init}/ns/mnt"), format!("disk-{device}"));
        let (dev, major, minor) = (dev.to_string_lossy(), major.to_string(), minor.to_string());
        run(&["nsenter", &enter, "sh", "-c", script, "attach", &dev, &node, &major, &minor, device]).map(|_| ())
    }

    /// Takes a disk away. What is still mounted stays so: see the module's word on what is simplified.
    pub fn detach(&self, device: &str) -> Result<(), HostsError> {
        let (link, node) = (format!("/dev/disk/by-id/google-{device}"), format!("/dev/disk-{device}"));
        self.run(&["rm", "-f", &link, &node]).map(|_| ())
    }

    /// Whether its first program still runs.
    pub fn is_on(&self) -> bool {
        self.init().is_some()
    }

    /// Presses the power button, and waits for nothing.
    pub fn press_power_button(&self) -> Result<(), HostsError> {
        match self.init() {
            // systemd's own signal for an orderly power-off.
            Some(init) => run(&["sh", "-c", "kill -s RTMIN+4 \"$1\"", "power", &init]).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Presses the power button, and pulls the plug when it is not off after `grace`. Returns whether it went by itself.
    pub fn power_off(mut self, grace: Duration) -> Result<bool, HostsError> {
        self.press_power_button()?;
        let orderly = self.until(grace, "did not power off", || self.init().is_none()).is_ok();
        self.process.stop().map_err(HostsError::io("the machine's end"))?;
        Ok(orderly)
    }

    /// Stops every program where it is, as a suspended machine's are.
    pub fn suspend(&self) -> Result<(), HostsError> {
        self.groups.freeze(true)
    }

    /// Lets a suspended machine go on.
    pub fn resume(&self) -> Result<(), HostsError> {
        self.groups.freeze(false)
    }

    /// What its programs said, for messages about a failure.
    pub fn journal(&self) -> String {
        match self.run(&["journalctl", "--no-pager", "-o", "short-precise", "-n", "200"]) {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(error) => format!("{error}; {}", self.process.log_tail(50)),
        }
    }
}

fn start(image: &Image, boot: &Boot, groups: &ControlGroups) -> Result<Process, HostsError> {
    let root = image.root.to_string_lossy().into_owned();
    let folder = boot.folder.to_string_lossy().into_owned();
    Process::start(Start {
        name: &boot.name,
        program: Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/hosts/machine")),
        arguments: vec!["outside".to_owned(), groups.folders(), root, folder, boot.name.clone()],
        environment: Vec::new(),
        log: boot.folder.join("machine.log"),
        grace: Duration::ZERO,
        remove: None,
    })
    .map_err(HostsError::io(format!("starting {}", boot.name)))
}
