//! The other disk of a notebook, while there are two: the home is being copied to it, or was on it before.

use std::collections::BTreeMap;

use futures::future::join_all;
use kube::Api;
use rehost_api::labels;
use rehost_api::status::{HomeRecord, NotebookStatus};

use super::Observer;
use super::look::seen;
use crate::desired::Subject;
use crate::gce::Place;
use crate::gce::model::{Disk, Snapshot};
use crate::seen::Seen;
use crate::watch::slim::{AttachmentSeen, ClaimSeen, VolumeSeen};

/// What there is of the other disk that a memory names. All of it is absent where the memory names none.
#[derive(Clone, Debug)]
pub struct Beside {
    /// The disk.
    pub disk: Seen<Disk>,
    /// The volume that shows it to pods.
    pub volume: Seen<VolumeSeen>,
    /// The claim on that.
    pub claim: Seen<ClaimSeen>,
    /// The attachments of that volume.
    pub attachments: Seen<Vec<AttachmentSeen>>,
    /// The snapshots that the newer of the two disks is made from, by name. Only ever read afresh.
    pub snapshots: BTreeMap<String, Seen<Snapshot>>,
}

impl Beside {
    /// There is no other disk.
    #[must_use]
    pub fn nothing() -> Self {
        let (volume, claim) = (Seen::Absent, Seen::Absent);
        Self { disk: Seen::Absent, volume, claim, attachments: Seen::Present(Vec::new()), snapshots: BTreeMap::new() }
    }

    pub(super) fn unknown(&self) -> Option<&str> {
        let objects = self.volume.unknown().or_else(|| self.claim.unknown()).or_else(|| self.attachments.unknown());
        self.disk.unknown().or(objects).or_else(|| self.snapshots.values().find_map(Seen::unknown))
    }
}

/// The other disk, and the newer of the two, by whose name the snapshots are called.
fn named(status: &NotebookStatus) -> Option<(&HomeRecord, &HomeRecord)> {
    let next = status.transition.as_ref().and_then(|transition| transition.home.as_ref());
    let former = status.former_home.as_ref().map(|former| &former.home);
    next.map(|next| (next, next)).or_else(|| Some((former?, status.home.as_ref()?)))
}

impl Observer {
    /// What the caches say of it.
    pub(super) fn cached_beside(&self, status: &NotebookStatus, subject: &Subject) -> Beside {
        let Some((other, _)) = named(status) else { return Beside::nothing() };
        let disk = match self.sources.inventories.of(&other.project) {
            Some(inventory) => inventory.disk(&subject.uid, &other.zone, &other.disk).map(Clone::clone),
            None => Seen::Unknown("no sweep has ended yet".to_owned()),
        };
        let (volume, claim, attachments) = self.sources.caches.around_disk(&subject.namespace, &other.disk);
        Beside { disk, volume, claim, attachments, snapshots: BTreeMap::new() }
    }

    /// What there is of it now.
    pub(super) async fn beside(&self, status: &NotebookStatus, subject: &Subject) -> Beside {
        let Some((other, newer)) = named(status) else { return Beside::nothing() };
        let place = Place::new(&other.project, &other.zone);
        let claims: Api<ClaimSeen> = Api::namespaced(self.sources.client.clone(), &subject.namespace);
        let volumes: Api<VolumeSeen> = Api::all(self.sources.client.clone());
        let gone = status.former_home.as_ref().is_some_and(|former| former.cleared) && status.transition.is_none();
        let names = [1, 2].map(|number| labels::snapshot_name(&newer.disk, number)).into_iter().filter(|_| !gone);
        let snapshots = names.map(async |name| (name.clone(), self.sources.gce.snapshot(&newer.project, &name).await));
        let (disk, claim, volume, snapshots) = futures::join!(
            self.sources.gce.disk(&place, &other.disk),
            claims.get_opt(&other.disk),
            volumes.get_opt(&other.disk),
            join_all(snapshots),
        );
        let (_, _, attachments) = self.sources.caches.around_disk(&subject.namespace, &other.disk);
        let snapshots = snapshots.into_iter().collect();
        Beside { disk, volume: seen(volume), claim: seen(claim), attachments, snapshots }
    }
}
