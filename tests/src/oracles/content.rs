//! (d) The home's content survives every change.

use std::collections::BTreeMap;

use super::Oracle;
use crate::sim::scene::Scene;

/// Oracle (d).
#[derive(Debug, Default)]
pub struct Content {
    /// By notebook: the disk's numeric id, how many records it had, and their hash.
    seen: BTreeMap<String, (u64, u64, String)>,
}

impl Oracle for Content {
    fn name(&self) -> &'static str {
        "content"
    }

    fn sentence(&self) -> &'static str {
        "The home disk's id never changes across a change of host, but by a copy that the record accounts for, and the content on it never does, nor when the notebook goes: nothing that a guest wrote is lost."
    }

    fn step(&mut self, scene: &Scene) -> Vec<String> {
        let mut found = Vec::new();
        if scene.lost_records > 0 {
            found.push(format!("records were lost: {}", scene.lost_records));
        }
        if scene.left_behind_records > 0 {
            found.push(format!("a host mounted a home with {} records too few", scene.left_behind_records));
        }
        for notebook in scene.cluster.notebooks.iter() {
            let Some(home) = notebook.status.home.as_ref().filter(|home| home.id.is_some()) else { continue };
            let place = crate::world::Place::new(&home.zone, &home.disk);
            let Some(now) = scene.homes.get(&place) else {
                if !notebook.deleting && !scene.lost_homes.contains(&notebook.uid) {
                    found.push(format!("the home {} is gone", home.disk));
                }
                continue;
            };
            if home.id.as_deref() != Some(now.disk_id.to_string().as_str()) {
                found.push(format!("{} has the id {}, and the record says {:?}", home.disk, now.disk_id, home.id));
            }
            let before = self.seen.insert(notebook.uid.clone(), (now.disk_id, now.records, now.hash.clone()));
            let Some((id, records, hash)) = before else { continue };
            let former = notebook.status.former_home.as_ref().and_then(|former| former.home.id.as_ref());
            if id != now.disk_id && former != Some(&id.to_string()) {
                found.push(format!("the home of {} was the disk {id}, and is {}", notebook.name, now.disk_id));
            }
            if now.content_id.as_ref().is_some_and(|content| *content != home.content_id) {
                found.push(format!("the home of {} carries the content {:?}", notebook.name, now.content_id));
            }
            if now.records < records || (now.records == records && now.hash != hash) {
                found.push(format!("the home of {} had {records} records and has {}", notebook.name, now.records));
            }
        }
        found.extend(self.kept(scene));
        found
    }
}

impl Content {
    /// The disk that is kept of a deleted notebook is the home that it had.
    fn kept(&self, scene: &Scene) -> Vec<String> {
        let mut found = Vec::new();
        for (uid, (id, records, _)) in &self.seen {
            if scene.cluster.notebook(uid).is_some() {
                continue;
            }
            for (place, kept) in scene.disks_of(uid).filter_map(|(place, _)| Some((place, scene.homes.get(place)?))) {
                if kept.disk_id != *id {
                    found.push(format!(
                        "the kept disk {} has the id {}, and the home had {id}",
                        place.name, kept.disk_id
                    ));
                }
                if kept.records < *records {
                    found.push(format!("the kept disk {} has {} of {records} records", place.name, kept.records));
                }
            }
        }
        found
    }
}
