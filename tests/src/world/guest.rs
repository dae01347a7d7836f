//! The guests: what runs on an instance, as far as the outside can see it.
//!
//! A guest boots, reads its settings from the metadata, waits for the home disk, checks what is on it, mounts it,
//! serves, and lets go when it is told to. Every step can fail ([`GuestFault`]), and a guest can hang at any time. What
//! it says goes out as a guest attribute, if the instance has them enabled.

use rehost_api::guest::{
    GuestFailure, GuestReport, GuestRole, GuestSettings, GuestState, REPORT_KEY, REPORT_NAMESPACE, SETTINGS_KEY,
};

use super::agenda::Event;
use super::attach::Mode;
use super::home::{Filesystem, Mount};
use super::instances::Instance;
use super::wire::glob;
use super::{Place, World};

/// The guest's own times, in seconds. Ours: the cloud has no say in them.
struct GuestTimes;

impl GuestTimes {
    /// udev shows an attached disk within a second.
    const SEES_DEVICE: [f64; 2] = [0.3, 1.0];
    /// Mounting ext4, and Jupyter until it answers: Python's imports are most of it.
    const MOUNTS_AND_SERVES: [f64; 2] = [2.0, 4.0];
    /// mkfs.ext4 with lazy initialisation on an empty disk.
    const FORMATS: [f64; 2] = [0.5, 1.5];
    /// Jupyter ends its kernels, the kernel flushes, umount returns.
    const LETS_GO: [f64; 2] = [1.0, 3.0];
    /// Input and output errors until the guest's own check sees that the disk is gone.
    const NOTICES_LOSS: [f64; 2] = [1.0, 3.0];
    /// udev reports the new size and resize2fs grows the file system online.
    const GROWS: [f64; 2] = [1.0, 2.0];
    /// From the power button to the last umount.
    const SHUTS_DOWN: [f64; 2] = [1.0, 3.0];
    /// From the resumed machine to the first thing that a process does.
    const WAKES: [f64; 2] = [0.2, 0.8];
}

/// A step of a guest that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuestFault {
    /// It never gets as far as reading its settings.
    BootNever,
    /// It boots and never says that it is ready for the disk, nor looks for it.
    StandbyNever,
    /// It gets the disk and never comes to serve.
    ServeNever,
    /// It gets the disk and says that it cannot serve.
    ServeFails(GuestFailure),
    /// It is told to let go and does not.
    ReleaseNever,
}

/// Something that a guest does when its time has come; the number tells whether it was overtaken since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GuestStep {
    Boots,
    ReadsSettings,
    SeesDevice(u64),
    Serves(u64),
    LetsGo(u64),
    NoticesLoss(u64),
    Grows,
    ShutsDown,
}

/// How far a guest has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Booting,
    /// Booted, with no settings of ours.
    Idle,
    /// Waits for the disk.
    Standby,
    /// Has seen the disk and is on the way to serving.
    Mounting,
    Serving,
    Releasing,
    Released,
    Failed,
    /// The disk was torn out; not noticed yet.
    Bereft,
    Off,
}

/// One boot of a guest.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    pub(super) boot_id: String,
    phase: Phase,
    round: u64,
    hung: bool,
    asleep: bool,
    faults: Vec<GuestFault>,
    settings: Option<GuestSettings>,
    pub(super) mount: Option<Mount>,
    postponed: Vec<GuestStep>,
}

impl Guest {
    pub(super) fn is_hung(&self) -> bool {
        self.hung
    }

    fn fails(&self, fault: GuestFault) -> bool {
        self.faults.contains(&fault)
    }

    fn role(&self) -> Option<GuestRole> {
        self.settings.as_ref().map(|settings| settings.role)
    }
}

/// What a test sees of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestView {
    /// One value for each boot.
    pub boot_id: String,
    /// Whether Jupyter answers: true only while the home is mounted and the guest lives.
    pub serving: bool,
    /// Whether it hangs.
    pub hung: bool,
    /// Whether it sleeps.
    pub asleep: bool,
    /// The disk that it has mounted.
    pub mounted: Option<Place>,
    /// The notebook's uid, from its settings.
    pub uid: Option<String>,
}

impl World {
    /// Takes the guest out of its instance for a moment, so that it can act on the world.
    pub(super) fn with_guest(&mut self, place: &Place, act: impl FnOnce(&mut World, &mut Guest)) {
        let Some(mut guest) = self.instances.get_mut(place).and_then(|instance| instance.guest.take()) else { return };
        act(self, &mut guest);
        if let Some(instance) = self.instances.get_mut(place) {
            instance.guest = Some(guest);
        }
    }

    fn guest_later(&mut self, place: &Place, seconds: [f64; 2], step: GuestStep) {
        let power = self.instances.get(place).map_or(0, |instance| instance.power);
        let delay = self.dice.duration(&format!("guest {} {}", place.name, name(step)), seconds);
        self.agenda.add(self.now + delay, Event::Guest(place.clone(), power, step));
    }

    /// The machine is on: a new boot begins.
    pub(super) fn boot(&mut self, place: &Place) {
        if !self.settings.guests {
            return;
        }
        let faults = self.take_guest_faults(&place.name);
        let now = self.now;
        let (high, low) = (self.dice.bits("boot id"), self.dice.bits("boot id"));
        let boot_id = uuid::Uuid::from_u64_pair(high, low).to_string();
        let Some(instance) = self.instances.get_mut(place) else { return };
        instance.console(now, "Linux version 6.1.0-cloud, booting");
        let figure = if instance.accelerators.is_empty() { "guest.boot" } else { "guest.boot.gpu" };
        instance.guest = Some(Guest {
            boot_id,
            phase: Phase::Booting,
            round: 0,
            hung: false,
            asleep: false,
            faults,
            settings: None,
            mount: None,
            postponed: Vec::new(),
        });
        let seconds = self.times.of(figure);
        self.guest_later(place, seconds, GuestStep::Boots);
    }

    fn take_guest_faults(&mut self, name: &str) -> Vec<GuestFault> {
        let mut taken = Vec::new();
        for (pattern, fault, times) in &mut self.guest_faults {
            if *times > 0 && glob(pattern, name) {
                *times -= 1;
                taken.push(*fault);
            }
        }
        self.guest_faults.retain(|(_, _, times)| *times > 0);
        taken
    }

    /// The power goes: what was mounted is torn, and nothing that was due happens any more.
    pub(super) fn cut_power(&mut self, _place: &Place, instance: &mut Instance) {
        if let Some(mut guest) = instance.guest.take() {
            self.tear_mount(&mut guest);
        }
        instance.power += 1;
        instance.powered = false;
    }

    /// A step is due.
    pub(super) fn guest_step(&mut self, place: &Place, power: u64, step: GuestStep) {
        if !self.instances.get(place).is_some_and(|instance| instance.power == power) {
            return;
        }
        self.with_guest(place, |world, guest| {
            if guest.asleep {
                guest.postponed.push(step);
            } else if !guest.hung && guest.phase != Phase::Off {
                world.guest_acts(place, guest, step);
            }
        });
    }

    fn guest_acts(&mut self, place: &Place, guest: &mut Guest, step: GuestStep) {
        match step {
            GuestStep::Boots => {
                if !guest.fails(GuestFault::BootNever) {
                    guest.phase = Phase::Idle;
                    self.console(place, "start-up script begins");
                    self.guest_reads(place, guest);
                }
            }
            GuestStep::ReadsSettings => {
                if guest.phase != Phase::Booting {
                    self.guest_reads(place, guest);
                }
            }
            GuestStep::SeesDevice(round) if round == guest.round => self.guest_mounts(place, guest),
            GuestStep::Serves(round) if round == guest.round => self.guest_serves(place, guest),
            GuestStep::LetsGo(round) if round == guest.round => self.guest_lets_go(place, guest),
            GuestStep::NoticesLoss(round) if round == guest.round => self.guest_notices_loss(place, guest),
            GuestStep::SeesDevice(_) | GuestStep::Serves(_) | GuestStep::LetsGo(_) | GuestStep::NoticesLoss(_) => {}
            GuestStep::Grows => self.guest_grows(guest),
            GuestStep::ShutsDown => {
                self.flush_guest(guest);
                guest.mount = None;
                guest.phase = Phase::Off;
                self.console(place, "reboot: Power down");
            }
        }
    }

    /// Reads the settings, and does what has changed in them.
    fn guest_reads(&mut self, place: &Place, guest: &mut Guest) {
        let document = self.instances.get(place).and_then(|instance| instance.metadata(SETTINGS_KEY));
        let Some(settings) = document.and_then(|text| serde_json::from_str::<GuestSettings>(text).ok()) else { return };
        if guest.settings.as_ref() == Some(&settings) {
            return;
        }
        let role = settings.role;
        guest.settings = Some(settings);
        match (role, guest.phase) {
            (GuestRole::Serve, Phase::Serving) => self.report(place, guest, GuestState::Serving, None, ""),
            (GuestRole::Serve, Phase::Idle | Phase::Standby | Phase::Released | Phase::Failed) => {
                guest.phase = Phase::Standby;
                self.guest_waits(place, guest);
            }
            (GuestRole::Release, Phase::Serving | Phase::Mounting) if guest.mount.is_some() => {
                guest.phase = Phase::Releasing;
                guest.round += 1;
                let step = GuestStep::LetsGo(guest.round);
                self.guest_later(place, GuestTimes::LETS_GO, step);
            }
            (
                GuestRole::Release,
                Phase::Idle | Phase::Standby | Phase::Mounting | Phase::Serving | Phase::Released | Phase::Failed,
            ) => {
                guest.round += 1;
                guest.phase = Phase::Released;
                self.report(place, guest, GuestState::Released, None, "there was no home to let go");
            }
            // What is under way ends first, and then looks at the role that holds by then.
            (GuestRole::Serve, Phase::Mounting | Phase::Releasing | Phase::Bereft)
            | (GuestRole::Release, Phase::Releasing | Phase::Bereft)
            | (_, Phase::Booting | Phase::Off) => {}
        }
    }

    /// Waits for the disk, or takes up the one that is there.
    fn guest_waits(&mut self, place: &Place, guest: &mut Guest) {
        if guest.phase != Phase::Standby
            || guest.role() != Some(GuestRole::Serve)
            || guest.fails(GuestFault::StandbyNever)
        {
            return;
        }
        let device = guest.settings.as_ref().map(|settings| settings.home.device.clone()).unwrap_or_default();
        let there = self.instances.get(place).and_then(|instance| instance.attached(&device));
        if there.is_some_and(|attachment| attachment.mode == Mode::ReadWrite) {
            guest.phase = Phase::Mounting;
            guest.round += 1;
            self.guest_later(place, GuestTimes::SEES_DEVICE, GuestStep::SeesDevice(guest.round));
        } else {
            self.report(place, guest, GuestState::Standby, None, "waits for the home disk");
        }
    }

    /// A disk has come.
    pub(super) fn guest_looks(&mut self, place: &Place) {
        self.with_guest(place, |world, guest| {
            if !guest.hung && !guest.asleep {
                world.guest_waits(place, guest);
            }
        });
    }

    /// Checks what is on the disk, and mounts it when it is the right thing.
    fn guest_mounts(&mut self, place: &Place, guest: &mut Guest) {
        let Some(settings) = guest.settings.clone() else { return };
        let attached = self.instances.get(place).and_then(|instance| instance.attached(&settings.home.device));
        let Some(disk) = attached.and_then(|attachment| attachment.disk.clone()) else {
            guest.phase = Phase::Standby;
            self.guest_waits(place, guest);
            return;
        };
        let Some(found) = self.disks.get_mut(&disk) else { return };
        let wanted = &settings.home.content_id;
        let mut seconds = GuestTimes::MOUNTS_AND_SERVES;
        match &found.content.filesystem {
            Filesystem::Ours { content_id } if content_id == wanted => {}
            Filesystem::Blank if settings.home.format => {
                found.content.filesystem = Filesystem::Ours { content_id: wanted.clone() };
                seconds = [seconds[0] + GuestTimes::FORMATS[0], seconds[1] + GuestTimes::FORMATS[1]];
            }
            Filesystem::Foreign => {
                let said = "the disk carries a file system that is not ours";
                self.guest_fails(place, guest, GuestFailure::ForeignFilesystem, None, said);
                return;
            }
            Filesystem::Blank => {
                let said = "the disk is blank where content is expected";
                self.guest_fails(place, guest, GuestFailure::ContentMismatch, None, said);
                return;
            }
            Filesystem::Ours { content_id } => {
                let content_id = content_id.clone();
                let said = "the disk carries other content than expected";
                self.guest_fails(place, guest, GuestFailure::ContentMismatch, Some(content_id), said);
                return;
            }
        }
        found.content.filesystem_gb = found.size_gb;
        let records = found.content.records;
        self.compare_with_high_water(wanted, records);
        guest.mount = Some(Mount::new(disk, settings.home.device.clone(), wanted.clone(), self.now));
        self.guest_later(place, seconds, GuestStep::Serves(guest.round));
    }

    fn guest_fails(
        &mut self,
        place: &Place,
        guest: &mut Guest,
        failure: GuestFailure,
        content_id: Option<String>,
        said: &str,
    ) {
        guest.phase = Phase::Failed;
        let report = GuestReport {
            boot_id: guest.boot_id.clone(),
            nonce: guest.settings.as_ref().map(|settings| settings.nonce.clone()).unwrap_or_default(),
            state: GuestState::Failed,
            content_id,
            failure: Some(failure),
            message: said.to_owned(),
        };
        self.put_report(place, &report);
    }

    fn guest_serves(&mut self, place: &Place, guest: &mut Guest) {
        let failure = guest.faults.iter().find_map(|fault| match fault {
            GuestFault::ServeFails(failure) => Some(*failure),
            GuestFault::BootNever | GuestFault::StandbyNever | GuestFault::ServeNever | GuestFault::ReleaseNever => {
                None
            }
        });
        if guest.fails(GuestFault::ServeNever) {
            return;
        }
        if let Some(failure) = failure {
            self.flush_guest(guest);
            let content_id = guest.mount.take().map(|mount| mount.content_id);
            self.guest_fails(place, guest, failure, content_id, "it was asked to fail");
            return;
        }
        let now = self.now;
        let Some(mount) = guest.mount.as_mut() else { return };
        mount.begin_writing(now);
        let content_id = mount.content_id.clone();
        guest.phase = Phase::Serving;
        self.report(place, guest, GuestState::Serving, Some(content_id), "");
    }

    fn guest_lets_go(&mut self, place: &Place, guest: &mut Guest) {
        if guest.fails(GuestFault::ReleaseNever) {
            return;
        }
        self.flush_guest(guest);
        if let Some(mount) = guest.mount.as_mut() {
            mount.end_writing();
        }
        let content_id = guest.mount.take().map(|mount| mount.content_id);
        guest.phase = Phase::Released;
        self.after_release(place, guest, content_id);
    }

    /// The home is out of its hands; the role may have changed meanwhile.
    fn after_release(&mut self, place: &Place, guest: &mut Guest, content_id: Option<String>) {
        match guest.role() {
            Some(GuestRole::Release) => {
                guest.phase = Phase::Released;
                self.report(place, guest, GuestState::Released, content_id, "");
            }
            Some(GuestRole::Serve) => {
                guest.phase = Phase::Standby;
                self.guest_waits(place, guest);
            }
            None => guest.phase = Phase::Idle,
        }
    }

    /// A disk is torn out of a running machine.
    pub(super) fn guest_loses_device(&mut self, place: &Place, device: &str) {
        self.with_guest(place, |world, guest| {
            if guest.mount.as_ref().is_some_and(|mount| mount.device == device) {
                world.tear_mount(guest);
                guest.phase = Phase::Bereft;
                guest.round += 1;
                world.guest_later(place, GuestTimes::NOTICES_LOSS, GuestStep::NoticesLoss(guest.round));
                world.console(place, "EXT4-fs error: the home's device is gone");
            }
        });
    }

    fn guest_notices_loss(&mut self, place: &Place, guest: &mut Guest) {
        self.after_release(place, guest, None);
    }

    /// A mounted disk has grown.
    pub(super) fn guest_sees_growth(&mut self, place: &Place, disk: &Place) {
        let mounted = self.instances.get(place).and_then(|instance| instance.guest.as_ref()?.mount.as_ref());
        if mounted.is_some_and(|mount| mount.disk == *disk) {
            self.guest_later(place, GuestTimes::GROWS, GuestStep::Grows);
        }
    }

    fn guest_grows(&mut self, guest: &Guest) {
        let disk = guest.mount.as_ref().and_then(|mount| self.disks.get_mut(&mount.disk));
        if let Some(disk) = disk {
            disk.content.filesystem_gb = disk.size_gb;
        }
    }

    /// The power button is pressed.
    pub(super) fn guest_shuts_down(&mut self, place: &Place) {
        self.guest_later(place, GuestTimes::SHUTS_DOWN, GuestStep::ShutsDown);
    }

    /// Memory goes to storage, the file systems are synced before.
    pub(super) fn guest_falls_asleep(&mut self, place: &Place) {
        self.with_guest(place, |world, guest| {
            if guest.hung {
                world.settle_guest(guest);
            } else {
                world.flush_guest(guest);
            }
            guest.asleep = true;
            if let Some(mount) = guest.mount.as_mut() {
                mount.freeze();
            }
        });
    }

    /// The same boot goes on.
    pub(super) fn guest_wakes(&mut self, place: &Place) {
        let now = self.now;
        self.with_guest(place, |world, guest| {
            guest.asleep = false;
            if let Some(mount) = guest.mount.as_mut().filter(|_| !guest.hung) {
                mount.thaw(now);
            }
            for step in std::mem::take(&mut guest.postponed) {
                world.guest_later(place, GuestTimes::WAKES, step);
            }
            world.guest_later(place, GuestTimes::WAKES, GuestStep::ReadsSettings);
            world.guest_waits(place, guest);
        });
    }

    /// From now on the guest does nothing any more.
    pub(super) fn guest_hangs(&mut self, place: &Place) {
        self.with_guest(place, |world, guest| {
            world.settle_guest(guest);
            guest.hung = true;
            if let Some(mount) = guest.mount.as_mut() {
                mount.freeze();
            }
        });
    }

    pub(super) fn guest_view_of(&self, place: &Place) -> Option<GuestView> {
        let guest = self.instances.get(place)?.guest.as_ref()?;
        Some(GuestView {
            boot_id: guest.boot_id.clone(),
            serving: guest.phase == Phase::Serving && !guest.hung && !guest.asleep && guest.mount.is_some(),
            hung: guest.hung,
            asleep: guest.asleep,
            mounted: guest.mount.as_ref().map(|mount| mount.disk.clone()),
            uid: guest.settings.as_ref().map(|settings| settings.uid.clone()),
        })
    }

    fn report(&mut self, place: &Place, guest: &Guest, state: GuestState, content_id: Option<String>, message: &str) {
        let content_id = content_id.or_else(|| guest.mount.as_ref().map(|mount| mount.content_id.clone()));
        let nonce = guest.settings.as_ref().map(|settings| settings.nonce.clone()).unwrap_or_default();
        let report = GuestReport {
            boot_id: guest.boot_id.clone(),
            nonce,
            state,
            content_id,
            failure: None,
            message: message.to_owned(),
        };
        self.put_report(place, &report);
    }

    /// Writes a report as the metadata server takes it: only where guest attributes are enabled.
    fn put_report(&mut self, place: &Place, report: &GuestReport) {
        self.console(place, &format!("rehost: {:?} {}", report.state, report.message));
        let text = serde_json::to_string(report).unwrap_or_default();
        if let Some(instance) = self.instances.get_mut(place).filter(|instance| instance.guest_attributes_enabled()) {
            instance.guest_attributes.insert((REPORT_NAMESPACE.to_owned(), REPORT_KEY.to_owned()), text);
        }
    }

    fn console(&mut self, place: &Place, line: &str) {
        let now = self.now;
        if let Some(instance) = self.instances.get_mut(place) {
            instance.console(now, line);
        }
    }
}

fn name(step: GuestStep) -> &'static str {
    match step {
        GuestStep::Boots => "boots",
        GuestStep::ReadsSettings => "reads",
        GuestStep::SeesDevice(_) => "sees",
        GuestStep::Serves(_) => "serves",
        GuestStep::LetsGo(_) => "lets go",
        GuestStep::NoticesLoss(_) => "notices",
        GuestStep::Grows => "grows",
        GuestStep::ShutsDown => "shuts down",
    }
}
