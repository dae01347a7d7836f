//! The guests: what runs on an instance, as far as the outside can see it.
//!
//! A guest boots, reads its settings from the metadata, waits for the home disk, checks what is on it, mounts it,
//! serves, and lets go when it is told to. Every step can fail ([`GuestFault`]), and a guest can hang at any time. What
//! it says goes out as a guest attribute, if the instance has them enabled.

use rehost_api::guest::{
    GuestFailure, GuestReport, GuestRole, GuestSeen, GuestSettings, GuestState, REPORT_KEY, REPORT_NAMESPACE,
};

mod acts;

use super::agenda::Event;
use super::home::Mount;
use super::instances::Instance;
use super::machines::Backing;
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
    /// What this boot loses is somebody else's doing, and is not counted.
    pub(super) forgiven: bool,
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
        let faults = self.take_guest_faults(&place.name);
        let now = self.now;
        let (high, low) = (self.dice.bits("boot id"), self.dice.bits("boot id"));
        let boot_id = uuid::Uuid::from_u64_pair(high, low).to_string();
        let Some(instance) = self.instances.get_mut(place) else { return };
        instance.console(now, "Linux version 6.1.0-cloud, booting");
        let figure = if instance.accelerators.is_empty() { "guest.boot" } else { "guest.boot.gpu" };
        let simulated = self.settings.guests.then(|| Guest {
            boot_id,
            phase: Phase::Booting,
            round: 0,
            hung: false,
            asleep: false,
            forgiven: false,
            faults,
            settings: None,
            mount: None,
            postponed: Vec::new(),
        });
        instance.guest = simulated;
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
        instance.backing = Backing::default();
    }

    /// A step is due.
    pub(super) fn guest_step(&mut self, place: &Place, power: u64, step: GuestStep) {
        if self.instances.get(place).is_none_or(|instance| instance.power != power) {
            return;
        }
        if !self.settings.guests {
            return self.machine_step(place, step);
        }
        self.with_guest(place, |world, guest| {
            if guest.asleep {
                guest.postponed.push(step);
            } else if !guest.hung && guest.phase != Phase::Off {
                world.guest_acts(place, guest, step);
            }
        });
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

    /// A mounted disk has grown.
    pub(super) fn guest_sees_growth(&mut self, place: &Place, disk: &Place) {
        let mounted = self.instances.get(place).and_then(|instance| instance.guest.as_ref()?.mount.as_ref());
        if mounted.is_some_and(|mount| mount.disk == *disk) {
            self.guest_later(place, GuestTimes::GROWS, GuestStep::Grows);
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
            seen: GuestSeen::default(),
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
