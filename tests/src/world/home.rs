//! What is on a disk: a log of the records that guests wrote and flushed, and what is still in a guest's memory.
//!
//! A serving guest writes a record every few seconds and flushes every five. Nothing of that is an event: the records
//! of an idle hour are worked out when somebody looks, or when something happens to the disk. Pulling the disk from
//! under a guest, or cutting its power, loses what was not flushed, and that is counted.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::guest::Guest;
use super::{Place, World};

/// A serving guest writes a record this often (a notebook that autosaves and logs; our choice).
const WRITE_EVERY: SignedDuration = SignedDuration::from_secs(3);
/// The kernel's flusher wakes up this often (`vm.dirty_writeback_centisecs`, 5 s by default).
const FLUSH_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// The size of a record that a guest writes by itself.
const RECORD_BYTES: u64 = 4096;

/// The file system on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filesystem {
    Blank,
    Foreign,
    Ours { content_id: String },
}

/// What is on a disk for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) filesystem: Filesystem,
    pub(super) filesystem_gb: i64,
    pub(super) records: u64,
    bytes: u64,
    hash: [u8; 32],
    lost_records: u64,
}

impl Content {
    pub(super) fn blank() -> Self {
        let filesystem = Filesystem::Blank;
        Self { filesystem, filesystem_gb: 0, records: 0, bytes: 0, hash: [0; 32], lost_records: 0 }
    }

    /// A file system of somebody else's.
    pub(super) fn foreign(_what: &str) -> Self {
        Self { filesystem: Filesystem::Foreign, ..Self::blank() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn append(&mut self, record: &Record) {
        let mut hash = Sha256::new();
        hash.update(self.hash);
        hash.update(record.hash);
        self.hash = hash.finalize().into();
        self.records += 1;
        self.bytes += record.bytes;
    }
}

/// One write that is not flushed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    bytes: u64,
    hash: [u8; 32],
}

/// A guest's mounted home.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) disk: Place,
    pub(super) device: String,
    pub(super) content_id: String,
    dirty: Vec<Record>,
    written: u64,
    /// When the guest writes next; not at all before Jupyter runs.
    write_at: Option<Timestamp>,
    flush_at: Timestamp,
    /// Asleep or hung: nothing is written and nothing flushed.
    frozen: bool,
}

impl Mount {
    pub(super) fn new(disk: Place, device: String, content_id: String, now: Timestamp) -> Self {
        Self {
            disk,
            device,
            content_id,
            dirty: Vec::new(),
            written: 0,
            write_at: None,
            flush_at: now + FLUSH_EVERY,
            frozen: false,
        }
    }

    /// Jupyter runs: from now on there is something to lose.
    pub(super) fn begin_writing(&mut self, now: Timestamp) {
        self.write_at.get_or_insert(now + WRITE_EVERY);
    }

    /// Jupyter has ended.
    pub(super) fn end_writing(&mut self) {
        self.write_at = None;
    }

    pub(super) fn freeze(&mut self) {
        self.frozen = true;
    }

    pub(super) fn thaw(&mut self, now: Timestamp) {
        self.frozen = false;
        self.flush_at = now + FLUSH_EVERY;
        if self.write_at.is_some() {
            self.write_at = Some(now + WRITE_EVERY);
        }
    }

    fn write(&mut self, boot_id: &str, bytes: &[u8], size: u64) {
        let mut hash = Sha256::new();
        hash.update(boot_id.as_bytes());
        hash.update(self.written.to_le_bytes());
        hash.update(bytes);
        self.written += 1;
        self.dirty.push(Record { bytes: size, hash: hash.finalize().into() });
    }

    /// Works out what was written and flushed since the last look.
    fn settle(&mut self, boot_id: &str, now: Timestamp, content: &mut Content) {
        if self.frozen {
            return;
        }
        loop {
            let write_at = self.write_at.filter(|at| *at <= now && *at <= self.flush_at);
            if let Some(at) = write_at {
                self.write(boot_id, &[], RECORD_BYTES);
                self.write_at = Some(at + WRITE_EVERY);
            } else if self.flush_at <= now {
                self.flush(content);
                // Without a writer there is nothing to flush until somebody writes.
                self.flush_at = if self.write_at.is_some() { self.flush_at + FLUSH_EVERY } else { now + FLUSH_EVERY };
            } else {
                return;
            }
        }
    }

    fn flush(&mut self, content: &mut Content) {
        for record in self.dirty.drain(..) {
            content.append(&record);
        }
    }
}

/// What an oracle sees of a disk's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeContent {
    /// The disk's numeric id.
    pub disk_id: u64,
    /// The content id that was written at format; absent on a blank or a foreign disk.
    pub content_id: Option<String>,
    /// Whether there is a file system of somebody else's.
    pub foreign: bool,
    /// Records that were flushed.
    pub records: u64,
    /// Their size.
    pub bytes: u64,
    /// The hash over all flushed records in order.
    pub hash: String,
    /// Records in the memory of the guest that has it mounted.
    pub dirty_records: u64,
    /// Records that were lost on this disk.
    pub lost_records: u64,
    /// How large the file system is.
    pub filesystem_gb: i64,
    /// The instance whose guest has it mounted.
    pub mounted_by: Option<Place>,
}

impl World {
    /// Brings a guest's writes up to now.
    pub(super) fn settle_guest(&mut self, guest: &mut Guest) {
        let Some(mount) = guest.mount.as_mut() else { return };
        let Some(disk) = self.disks.get_mut(&mount.disk) else { return };
        mount.settle(&guest.boot_id, self.now, &mut disk.content);
        let highest = self.high_water.entry(mount.content_id.clone()).or_default();
        *highest = (*highest).max(disk.content.records);
    }

    /// The same, for whoever has the disk mounted.
    pub(super) fn settle_writer_of(&mut self, disk: &Place) {
        let users = self.disks.get(disk).map(|disk| disk.users.clone()).unwrap_or_default();
        for user in users {
            self.with_guest(&user, World::settle_guest);
        }
    }

    /// Everything that the guest has in memory goes to the disk.
    pub(super) fn flush_guest(&mut self, guest: &mut Guest) {
        self.settle_guest(guest);
        let Some(mount) = guest.mount.as_mut() else { return };
        let Some(disk) = self.disks.get_mut(&mount.disk) else { return };
        mount.flush(&mut disk.content);
        let highest = self.high_water.entry(mount.content_id.clone()).or_default();
        *highest = (*highest).max(disk.content.records);
    }

    /// The mount is gone, and with it all that was not flushed.
    pub(super) fn tear_mount(&mut self, guest: &mut Guest) {
        self.settle_guest(guest);
        let Some(mount) = guest.mount.take() else { return };
        if guest.forgiven {
            return;
        }
        let lost = u64::try_from(mount.dirty.len()).unwrap_or(u64::MAX);
        self.lost_records += lost;
        if let Some(disk) = self.disks.get_mut(&mount.disk) {
            disk.content.lost_records += lost;
        }
    }

    /// A guest writes something of a person's.
    pub(super) fn guest_writes(&mut self, place: &Place, bytes: &[u8]) -> bool {
        let mut written = false;
        self.with_guest(place, |world, guest| {
            world.settle_guest(guest);
            if let Some(mount) = guest.mount.as_mut().filter(|mount| mount.write_at.is_some() && !mount.frozen) {
                mount.write(&guest.boot_id, bytes, u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                written = true;
            }
        });
        written
    }

    /// Notes when a host mounts less than was once flushed under that content id.
    pub(super) fn compare_with_high_water(&mut self, content_id: &str, records: u64) {
        let highest = self.high_water.get(content_id).copied().unwrap_or(0);
        self.left_behind_records += highest.saturating_sub(records);
    }

    /// The content of a disk, worked out up to now.
    pub(super) fn content_view(&mut self, place: &Place) -> Option<HomeContent> {
        self.settle_writer_of(place);
        let disk = self.disks.get(place)?;
        let mount = disk.users.iter().find_map(|user| {
            let mount = self.instances.get(user)?.guest.as_ref()?.mount.as_ref()?;
            (mount.disk == *place).then_some((user.clone(), mount))
        });
        let Content { filesystem, filesystem_gb, records, bytes, hash, lost_records } = &disk.content;
        Some(HomeContent {
            disk_id: disk.id,
            content_id: match filesystem {
                Filesystem::Ours { content_id } => Some(content_id.clone()),
                Filesystem::Blank | Filesystem::Foreign => None,
            },
            foreign: *filesystem == Filesystem::Foreign,
            records: *records,
            bytes: *bytes,
            hash: hexadecimal(hash),
            dirty_records: mount.as_ref().map_or(0, |(_, mount)| u64::try_from(mount.dirty.len()).unwrap_or(u64::MAX)),
            lost_records: *lost_records,
            filesystem_gb: *filesystem_gb,
            mounted_by: mount.map(|(user, _)| user),
        })
    }
}

fn hexadecimal(hash: &[u8; 32]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |four_bits: u8| char::from(DIGITS[usize::from(four_bits)]);
    hash.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
