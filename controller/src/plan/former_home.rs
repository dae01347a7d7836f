//! The disk that was the home before it was copied to another: cleared up around at once, kept for a time, then deleted.

use rehost_api::labels::{self, Role};
use rehost_api::status::{FormerHome, HomeRecord};

use super::Planner;
use super::bounds::POLL_SLOW_S;
use super::conversion::{FIRST, SECOND};
use crate::gce::model::Disk;
use crate::gce::mutation::Mutation;
use crate::seen::Seen;

impl Planner<'_> {
    /// A host has proven the copy: it is the home, and the disk that was is kept for as long as an old host.
    pub(super) fn take_new_home(&mut self) {
        let keep_s = self.wish().map_or(0, |desired| desired.keep_old_s);
        let Some(next) = self.memory.transition.as_mut().and_then(|transition| transition.home.take()) else { return };
        let keep_until = self.now + jiff::SignedDuration::from_secs(keep_s);
        let former = self.memory.home.replace(next);
        self.memory.former_home =
            former.map(|home| FormerHome { home, keep_until, cleared: false, attempt: 1, not_before: None });
    }

    /// Whether a disk that was the home is still there; it is asked to go now, because there are never more than two.
    pub(super) fn former_home_goes_first(&mut self) -> Option<String> {
        let former = self.memory.former_home.as_mut()?;
        former.keep_until = former.keep_until.min(self.now);
        Some(former.home.disk.clone())
    }

    /// Clears up around the disk that was the home, and deletes it when its time has come.
    pub(super) fn retire_former_home(&mut self) {
        let Some(former) = self.memory.former_home.clone() else { return };
        if self.memory.transition.as_ref().is_some_and(|it| it.kind == rehost_api::status::TransitionKind::Delete) {
            return;
        }
        if !former.cleared {
            self.look_again_in(POLL_SLOW_S);
            if !self.observed.fresh {
                // What must be known of it is only ever read.
                self.wants_evidence = true;
            } else if !self.observed.guest_only && self.cleared(&former) {
                self.memory.former_home = Some(FormerHome { cleared: true, attempt: 1, not_before: None, ..former });
            }
            return;
        }
        if self.now < former.keep_until {
            return self.look_again_at(former.keep_until);
        }
        match self.disk_of(&former.home).clone() {
            Seen::Absent => self.memory.former_home = None,
            Seen::Unknown(_) => self.look_again_in(POLL_SLOW_S),
            Seen::Present(disk) if !self.is_that(&former.home, &disk) => self.memory.former_home = None,
            // Never from under a machine: the host that had it lets it go when it is deleted.
            Seen::Present(disk) if !disk.users.is_empty() => self.look_again_in(POLL_SLOW_S),
            Seen::Present(disk) => {
                let (place, name) = (Self::home_place(&former.home), former.home.disk.clone());
                self.former_home_call("delete", &former, Mutation::DeleteDisk { place, name, id: disk.id });
            }
        }
    }

    fn is_that(&self, home: &HomeRecord, disk: &Disk) -> bool {
        self.is_ours(&disk.labels) && home.id.as_ref().is_some_and(|id| *id == disk.id.to_string())
    }

    /// Whether the labels say which disk is the home, and nothing is left but the disks. One call at a time.
    fn cleared(&mut self, former: &FormerHome) -> bool {
        let Some(home) = self.memory.home.clone() else { return false };
        let (new, old) = (self.disk_of(&home), self.disk_of(&former.home));
        if !self.labelled(former, &home, new, Role::Home) || !self.labelled(former, &former.home, old, Role::Former) {
            return false;
        }
        for number in [FIRST, SECOND] {
            let name = labels::snapshot_name(&home.disk, number);
            match self.snapshot(&name) {
                Seen::Absent => {}
                Seen::Unknown(_) => return false,
                Seen::Present(snapshot) if !self.is_ours(&snapshot.labels) => {}
                Seen::Present(snapshot) => {
                    let place = Self::home_place(&home);
                    let mutation = Mutation::DeleteSnapshot { place, name: name.clone(), id: snapshot.id };
                    self.former_home_call(&name, former, mutation);
                    return false;
                }
            }
        }
        self.beside_unshown(&former.home)
    }

    fn labelled(&mut self, former: &FormerHome, home: &HomeRecord, seen: &Seen<Disk>, role: Role) -> bool {
        let disk = match seen {
            Seen::Unknown(_) => return false,
            Seen::Absent => return true,
            Seen::Present(disk) if !self.is_that(home, disk) => return true,
            Seen::Present(disk) => disk,
        };
        if disk.labels.get(labels::GCE_ROLE).is_some_and(|is| is == role.as_str()) {
            return true;
        }
        let mut all = disk.labels.clone();
        all.insert(labels::GCE_ROLE.to_owned(), role.as_str().to_owned());
        let (place, name) = (Self::home_place(home), home.disk.clone());
        let fingerprint = disk.label_fingerprint.clone().unwrap_or_default();
        self.former_home_call(role.as_str(), former, Mutation::LabelDisk { place, name, labels: all, fingerprint });
        false
    }

    /// A call for the disk that was: its own attempt, kept beside it.
    fn former_home_call(&mut self, key: &str, former: &FormerHome, mutation: Mutation) {
        let step = format!("former-home/{key}/{}", former.home.disk);
        if let Some((attempt, at)) = self.call_beside(&step, former.attempt, former.not_before, mutation) {
            self.memory.former_home = Some(FormerHome { attempt, not_before: Some(at), ..former.clone() });
        }
    }
}
