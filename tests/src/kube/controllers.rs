//! What controllers beside the API server do, at once and inside it: namespaces are emptied, dependents collected.
//!
//! On a real cluster this takes seconds; here it is part of the write that causes it, as user
//! `system:kube-controller-manager` would, and without requests in the trace.

use serde_json::{Value, json};

use super::state::{State, Target};
use super::store::Key;

impl State {
    /// Does what is to be done after a write, until nothing is left to do.
    pub fn settle(&mut self) {
        if !self.controllers {
            self.orphaned_by.clear();
            return;
        }
        loop {
            let before = self.store.version();
            self.collect_garbage();
            self.finish_deletions();
            self.empty_namespaces();
            if self.store.version() == before {
                return;
            }
        }
    }

    /// Objects whose owners are all gone go too.
    fn collect_garbage(&mut self) {
        let gone = std::mem::take(&mut self.orphaned_by);
        if gone.is_empty() {
            return;
        }
        let owned_by_gone = |owner: &Value| gone.iter().any(|uid| owner["uid"] == *uid);
        let dependents = self.matching(|object| {
            let owners = object["metadata"]["ownerReferences"].as_array();
            object["metadata"].get("deletionTimestamp").is_none()
                && owners.is_some_and(|owners| owners.iter().any(owned_by_gone))
        });
        for (index, key) in dependents {
            let Some(object) = self.store.get(index, &key) else { continue };
            let owners = object["metadata"]["ownerReferences"].as_array().cloned().unwrap_or_default();
            if owners.iter().all(|owner| !self.exists(&owner["uid"])) {
                self.delete_quietly(index, &key.0, &key.1);
            }
        }
    }

    fn exists(&self, uid: &Value) -> bool {
        self.kinds.iter().any(|(index, _)| self.store.all(index).any(|(_, object)| object["metadata"]["uid"] == *uid))
    }

    fn matching(&self, wanted: impl Fn(&Value) -> bool) -> Vec<(usize, Key)> {
        self.kinds
            .iter()
            .flat_map(|(index, _)| self.store.all(index).map(move |(key, object)| (index, key, object)))
            .filter(|(_, _, object)| wanted(object))
            .map(|(index, key, _)| (index, key.clone()))
            .collect()
    }

    /// Foreground deletion waits for dependents, orphan deletion lets them go; then their finalizers are taken away.
    fn finish_deletions(&mut self) {
        let held = self.matching(|object| {
            let finalizers = object["metadata"]["finalizers"].as_array();
            object["metadata"].get("deletionTimestamp").is_some()
                && finalizers.is_some_and(|list| list.iter().any(|f| f == "foregroundDeletion" || f == "orphan"))
        });
        for (index, key) in held {
            let Some(object) = self.store.get(index, &key) else { continue };
            let uid = object["metadata"]["uid"].clone();
            let orphan = object["metadata"]["finalizers"].as_array().is_some_and(|l| l.contains(&json!("orphan")));
            let dependents = self.matching(|other| {
                let owners = other["metadata"]["ownerReferences"].as_array();
                owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
            });
            for (dependent_index, dependent) in &dependents {
                if orphan {
                    self.disown(*dependent_index, dependent, &uid);
                } else {
                    self.delete_quietly(*dependent_index, &dependent.0, &dependent.1);
                }
            }
            if orphan || dependents.iter().all(|(i, k)| self.store.get(*i, k).is_none()) {
                self.drop_finalizers(index, &key, |finalizer| {
                    finalizer == "foregroundDeletion" || finalizer == "orphan"
                });
            }
        }
    }

    fn disown(&mut self, index: usize, key: &Key, uid: &Value) {
        let Some(object) = self.store.get(index, key) else { return };
        let mut object = (*object).clone();
        if let Some(owners) = object["metadata"]["ownerReferences"].as_array_mut() {
            owners.retain(|owner| owner["uid"] != *uid);
            if owners.is_empty()
                && let Some(metadata) = object["metadata"].as_object_mut()
            {
                metadata.remove("ownerReferences");
            }
        }
        self.store.put(index, key.clone(), object);
    }

    fn drop_finalizers(&mut self, index: usize, key: &Key, unwanted: impl Fn(&Value) -> bool) {
        let kinds = self.kinds.clone();
        let Some(old) = self.store.get(index, key) else { return };
        let mut new = (*old).clone();
        if let Some(list) = new["metadata"]["finalizers"].as_array_mut() {
            list.retain(|finalizer| !unwanted(finalizer));
        }
        let target = Target { kind: kinds.get(index), index, key: key.clone() };
        if super::write::ends(target.kind, &new, &old) {
            self.erase(&target);
        } else {
            self.store.put(index, key.clone(), new);
        }
    }

    /// A terminating namespace loses its content, and goes when it is empty.
    fn empty_namespaces(&mut self) {
        let kinds = self.kinds.clone();
        let Some(namespaces) = kinds.find("", "v1", "namespaces") else { return };
        let ending: Vec<String> = self
            .store
            .all(namespaces)
            .filter(|(_, namespace)| namespace["metadata"].get("deletionTimestamp").is_some())
            .map(|(key, _)| key.1.clone())
            .collect();
        for name in ending {
            let content: Vec<(usize, Key, bool)> = kinds
                .iter()
                .flat_map(|(index, _)| self.store.all(index).map(move |(key, object)| (index, key, object)))
                .filter(|(_, key, _)| key.0 == name)
                .map(|(index, key, object)| (index, key.clone(), object["metadata"].get("deletionTimestamp").is_some()))
                .collect();
            for (index, key, ending) in &content {
                if !ending {
                    self.delete_quietly(*index, &key.0, &key.1);
                }
            }
            let left = content.iter().any(|(index, key, _)| self.store.get(*index, key).is_some());
            if !left {
                let key = (String::new(), name.clone());
                self.release_namespace(namespaces, &key);
            }
        }
    }

    /// The namespace controller's own finalizer goes; others may still hold the namespace.
    fn release_namespace(&mut self, index: usize, key: &Key) {
        let kinds = self.kinds.clone();
        let Some(old) = self.store.get(index, key) else { return };
        let mut new = (*old).clone();
        new["spec"] = json!({});
        let target = Target { kind: kinds.get(index), index, key: key.clone() };
        if super::write::ends(target.kind, &new, &old) {
            self.erase(&target);
        } else if new != *old {
            self.store.put(index, key.clone(), new);
        }
    }
}
