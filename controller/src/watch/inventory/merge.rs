//! What a sweep could not see is taken from the one before.

use std::collections::{BTreeMap, BTreeSet};

use crate::gce::inventory::Inventory;
use crate::gce::model::{Disk, Instance};

/// An object at its place: at one time there is one of a name in a zone.
trait Placed: Clone {
    fn place(&self) -> (&str, &str);
}

impl Placed for Instance {
    fn place(&self) -> (&str, &str) {
        (&self.zone, &self.name)
    }
}

impl Placed for Disk {
    fn place(&self) -> (&str, &str) {
        (&self.zone, &self.name)
    }
}

/// `new`, and from the zones that it could not see what `old` had there. Its completeness stays as it is, so that absence
/// from those zones stays `Unknown`.
pub(super) fn merge(old: Option<&Inventory>, mut new: Inventory) -> Inventory {
    let completeness = new.completeness.clone();
    let Some(old) = old else { return new };
    if completeness.partial.is_some() || !completeness.unreachable.is_empty() {
        let unseen = |zone: &str| !completeness.covers(zone);
        keep(&old.instances, &mut new.instances, unseen);
        keep(&old.disks, &mut new.disks, unseen);
    }
    new
}

fn keep<T: Placed>(old: &BTreeMap<String, Vec<T>>, new: &mut BTreeMap<String, Vec<T>>, unseen: impl Fn(&str) -> bool) {
    let place = |it: &T| {
        let (zone, name) = it.place();
        (zone.to_owned(), name.to_owned())
    };
    // A part of an unreachable zone may have been seen; what is there now is newer, whoever's it was.
    let seen: BTreeSet<_> = new.values().flatten().filter(|it| unseen(it.place().0)).map(place).collect();
    for (uid, objects) in old {
        let kept = objects.iter().filter(|it| unseen(it.place().0) && !seen.contains(&place(it)));
        let mut kept: Vec<T> = kept.cloned().collect();
        if !kept.is_empty() {
            let all = new.entry(uid.clone()).or_default();
            all.append(&mut kept);
            all.sort_by(|a, b| a.place().cmp(&b.place()));
        }
    }
}
