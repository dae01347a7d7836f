//! A disk as a file behind a loop device.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{HostsError, run};

/// Of `open(2)`: on a block device it fails while that is mounted.
const O_EXCL: i32 = 0o200;
const FREE_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// A disk. It is there as long as this is, or a machine still has it mounted.
#[derive(Debug)]
pub struct Disk {
    file: PathBuf,
    device: PathBuf,
    /// The kernel takes the device away when the last who has it open is gone, this process included.
    _held: File,
}

impl Disk {
    /// Makes a blank disk, or opens the one whose content is in `file` already.
    pub fn open(file: &Path, bytes: u64) -> Result<Self, HostsError> {
        let failed = || HostsError::io(format!("the disk {}", file.display()));
        let content = OpenOptions::new().write(true).create(true).truncate(false).open(file).map_err(failed())?;
        if content.metadata().map_err(failed())?.len() < bytes {
            content.set_len(bytes).map_err(failed())?;
        }
        let device = run(&["losetup", "--find", "--show", &file.to_string_lossy()])?;
        let held = File::open(&device).map_err(failed());
        // Detached while it is open, it goes by itself when it is closed for the last time.
        run(&["losetup", "--detach", &device])?;
        Ok(Self { file: file.to_owned(), device: PathBuf::from(device), _held: held? })
    }

    /// The file that holds its content.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The block device that it is on this machine.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// What a power cut would leave of it at this moment: what has reached the device, and nothing that is still in the
    /// memory of whoever has it mounted. The copy is not of one instant, which is harder to mend than a real cut.
    pub fn cut(&self, file: &Path) -> Result<Self, HostsError> {
        run(&["cp", "--sparse=always", &self.file.to_string_lossy(), &file.to_string_lossy()])?;
        Self::open(file, 0)
    }

    /// The files of the home that is on it, by their path in the home, with their SHA-256; nothing on a disk without one.
    /// Buckets are mounted into the home and are no files of the disk's.
    pub fn home_files(&self) -> Result<BTreeMap<String, String>, HostsError> {
        let sums = "[ ! -d home ] || { cd home && find . -xdev -type f -print0 | sort -z | xargs -0r sha256sum --zero | tr '\\0' '\\n'; }";
        let listed = self.look(sums)?;
        let pairs = listed.lines().filter_map(|line| line.split_once("  ./"));
        Ok(pairs.map(|(sum, path)| (path.to_owned(), sum.to_owned())).collect())
    }

    /// The content id that it carries; empty where it carries none.
    pub fn content_id(&self) -> Result<String, HostsError> {
        self.look("cat .rehost/content-id 2>/dev/null || true")
    }

    /// Runs a script in its file system's root. Where it is mounted too: the kernel has one view of a file system, however
    /// often it is mounted.
    fn look(&self, script: &str) -> Result<String, HostsError> {
        let mount = "mount -o ro,noload \"$1\" /mnt 2>/dev/null || mount -o noatime \"$1\" /mnt; cd /mnt";
        let (script, device) = (format!("{mount}; {script}"), self.device.to_string_lossy());
        run(&["unshare", "--mount", "--propagation", "private", "bash", "-ec", &script, "look", &device])
    }

    /// Runs a program on its file, behind the back of whoever will mount it next. Nobody may have it mounted meanwhile.
    pub fn tamper(&self, program: &[&str]) -> Result<(), HostsError> {
        run(program)?;
        // The device has a memory of its own of what it read before.
        run(&["blockdev", "--flushbufs", &self.device.to_string_lossy()]).map(|_| ())
    }

    /// The major and minor number of its device.
    pub(super) fn number(&self) -> Result<(u32, u32), HostsError> {
        let name = self.device.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(format!("/sys/class/block/{name}/dev"))
            .map_err(HostsError::io(format!("the number of {name}")))?;
        let number =
            text.trim().split_once(':').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        number.ok_or_else(|| HostsError::TimedOut(format!("{name} has no number, but {text}")))
    }

    /// Waits until nothing has it mounted, in any namespace: a machine that was cut off lets go of it a moment later.
    pub(crate) fn await_free(&self) -> Result<(), HostsError> {
        for _ in 0..FREE_WITHIN.as_millis() / LOOK.as_millis() {
            if OpenOptions::new().read(true).custom_flags(O_EXCL).open(&self.device).is_ok() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        Err(HostsError::TimedOut(format!("{} is mounted by another machine", self.file.display())))
    }

    /// Makes it larger, attached or not. One that is as large already is left alone.
    pub fn grow(&self, bytes: u64) -> Result<(), HostsError> {
        let file = OpenOptions::new().write(true).open(&self.file).map_err(HostsError::io("growing a disk"))?;
        if file.metadata().map_err(HostsError::io("growing a disk"))?.len() >= bytes {
            return Ok(());
        }
        file.set_len(bytes).map_err(HostsError::io("growing a disk"))?;
        run(&["losetup", "--set-capacity", &self.device.to_string_lossy()]).map(|_| ())
    }
}
