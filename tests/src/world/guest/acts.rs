//! What a guest does when a step is due: read, mount, serve, let go.

use rehost_api::guest::{GuestFailure, GuestReport, GuestRole, GuestSeen, GuestSettings, GuestState, SETTINGS_KEY};

use super::super::attach::Mode;
use super::super::home::{Filesystem, Mount};
use super::super::{Place, World};
use super::{Guest, GuestFault, GuestStep, GuestTimes, Phase};

impl World {
    pub(super) fn guest_acts(&mut self, place: &Place, guest: &mut Guest, step: GuestStep) {
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
    pub(super) fn guest_waits(&mut self, place: &Place, guest: &mut Guest) {
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
    pub(in crate::world) fn guest_looks(&mut self, place: &Place) {
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
            seen: GuestSeen::default(),
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

    fn guest_notices_loss(&mut self, place: &Place, guest: &mut Guest) {
        self.after_release(place, guest, None);
    }

    fn guest_grows(&mut self, guest: &Guest) {
        let disk = guest.mount.as_ref().and_then(|mount| self.disks.get_mut(&mount.disk));
        if let Some(disk) = disk {
            disk.content.filesystem_gb = disk.size_gb;
        }
    }
}
