//! Rest, the end, and what held all the time.

use rehost_api::Notebook;
use rehost_api::status::Phase;

use super::beginning::owns_no_spec;
use super::{Expect, host};
use crate::quickstart::board;
use crate::quickstart::checks::Checks;
use crate::quickstart::look::text;
use crate::quickstart::{HERO, NAMESPACE, NEIGHBOUR};

impl Expect {
    /// `state: Stopped`.
    pub async fn stopped(&mut self, checks: &mut Checks, hero: &Notebook) {
        let title = "stopped";
        let status = board::status(hero);
        checks.same(format!("{title}: the phase says so"), &status.phase, &Some(Phase::Stopped));
        let found = (board::says(hero, "Ready"), board::reason(hero, "Ready"));
        let expected = ("True".to_owned(), "Asked".to_owned());
        checks.same(format!("{title}: it is Ready, since it is as declared, and says why it rests"), &found, &expected);
        checks.same(format!("{title}: it does not serve"), &board::says(hero, "Serving"), &"False".to_owned());
        let machine = text(&self.look.instance(&host(hero).name)["status"]);
        checks.same(format!("{title}: the VM is off"), &machine, &"TERMINATED".to_owned());
        let ready = self.look.endpoints(HERO).await.iter().any(|(_, ready)| *ready);
        checks.that(format!("{title}: no address is ready"), !ready, self.look.endpoints(HERO).await);
        let id = status.home.and_then(|home| home.id);
        let first = self.first.home.as_ref().and_then(|home| home.id.clone());
        checks.same(format!("{title}: the home is kept"), &id, &first);
    }

    /// `deletionPolicy: Retain`.
    pub async fn deleted(&mut self, checks: &mut Checks, gone: bool) {
        let title = "deleted";
        checks.that(format!("{title}: the notebook is gone, and its finalizer with it"), gone, ());
        let machines = self.look.machines(&self.stem());
        checks.that(format!("{title}: no VM is left"), machines.is_empty(), &machines);
        let home = self.first.home.clone();
        let (name, id) = home.map(|home| (home.disk, home.id)).unwrap_or_default();
        let disk = self.look.disk(&name);
        checks.same(format!("{title}: the disk is still there, by its id"), &Some(text(&disk["id"])), &id);
        let labels = &disk["labels"];
        let kept = (text(&labels["rehost-role"]), text(&labels["rehost-namespace"]), text(&labels["rehost-name"]));
        let expected = ("kept".to_owned(), NAMESPACE.to_owned(), HERO.to_owned());
        checks.same(format!("{title}: its labels say that it is kept, and whose it was"), &kept, &expected);
        let free = self.look.users(&name);
        checks.that(format!("{title}: no machine has the disk"), free.is_empty(), &free);
        let volume = self.look.at(&format!("/api/v1/persistentvolumes/{name}")).await;
        let claim = self.look.core("persistentvolumeclaims", &name).await;
        let both_gone = volume.is_null() && claim.is_null();
        checks.that(format!("{title}: volume and claim are gone"), both_gone, (&volume["status"], &claim["status"]));
        let (found, first) = (self.look.on_disk(&name).await, &self.first.on_disk);
        let whole = if first.files.is_empty() { found.records > first.records } else { found.files == first.files };
        checks.that(format!("{title}: everything that was written is on it"), whole, (&found, first));
    }

    /// A new notebook of the old name.
    pub fn kept_disk_named(&mut self, checks: &mut Checks, hero: &Notebook) {
        let title = "made again under its name";
        let found = board::reason(hero, "Stalled");
        checks.same(
            format!("{title}: the kept disk is not passed over in silence"),
            &found,
            &"KeptDiskFound".to_owned(),
        );
        let disk = self.first.home.as_ref().map(|home| home.disk.clone()).unwrap_or_default();
        checks.says(
            format!("{title}: the sentence names the disk and what can be done"),
            &board::message(hero, "Stalled"),
            &["spec.storage.from", &disk, "blank: true"],
        );
    }

    /// What held from the beginning to the end.
    pub async fn throughout(&mut self, checks: &mut Checks, neighbour: &Notebook) {
        let title = "throughout";
        let (lost, left) = self.look.cloud.world.with(|world, _| (world.lost_records(), world.left_behind_records()));
        checks.same(format!("{title}: no byte that was written was lost"), &(lost, left), &(0, 0));
        let record = host(neighbour);
        checks.same(
            format!("{title}: the notebook beside it was left alone"),
            &record.name,
            &self.first.neighbour_host,
        );
        checks.that(format!("{title}: and is Ready"), board::is_ready(neighbour), board::message(neighbour, "Ready"));
        let disks = [self.first.home.as_ref().map(|home| home.disk.clone()).unwrap_or_default()];
        for disk in disks {
            let clock = self.look.cloud.world.clock();
            let began = clock.now() - jiff::SignedDuration::from_hours(24);
            let attachments = self.ledger.of(&self.look.cloud, &disk, began, clock.now());
            let tried_twice: Vec<_> =
                attachments.iter().filter(|one| one.verb == "attachDisk" && one.error.is_some()).collect();
            let seen = attachments.iter().filter(|one| one.verb == "attachDisk").count();
            let once = tried_twice.is_empty() && seen > 0;
            checks.that(
                format!("{title}: nobody ever tried to attach the disk where it was attached"),
                once,
                &tried_twice,
            );
        }
        let path = format!("/apis/rehost.dev/v1alpha1/namespaces/{NAMESPACE}/notebooks/{NEIGHBOUR}");
        let raw = self.look.at(&path).await;
        let ours = owns_no_spec(&raw);
        checks.that(format!("{title}: the controller never wrote a spec"), ours, &raw["metadata"]["managedFields"]);
        let annotations = &raw["metadata"]["annotations"];
        let touched = annotations.as_object().into_iter().flatten().any(|(key, _)| key.starts_with("rehost.dev/"));
        checks.that(format!("{title}: nor an annotation"), !touched, annotations);
    }
}
