//! Resource policies (snapshot and instance schedules), and which disks have them.

use serde_json::{Value, json};

use super::errors::Refusal;
use super::naming::check_name;
use super::operations::{Effect, OperationId, Start};
use super::route::{Call, Scope};
use super::wire::{elements, reference, stamp, text};
use super::{Place, World, catalogue};

/// What a policy can be, of which it must be exactly one.
const KINDS: [&str; 5] = [
    "snapshotSchedulePolicy",
    "instanceSchedulePolicy",
    "groupPlacementPolicy",
    "diskConsistencyGroupPolicy",
    "workloadPolicy",
];

impl World {
    fn policy_path(&self, place: &Place) -> String {
        format!("projects/{}/regions/{}/resourcePolicies/{}", self.settings.project, place.at, place.name)
    }

    fn policy_place(call: &Call, name: &str) -> Place {
        match &call.scope {
            Scope::Region(region) => Place::new(region, name),
            Scope::Zone(_) | Scope::Global => Place::new("", name),
        }
    }

    pub(super) fn resource_policies_insert(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let name = check_name("resource.name", text(&call.body, "name"))?;
        let place = Self::policy_place(call, name);
        let path = self.policy_path(&place);
        if self.policies.contains_key(&place) {
            return Err(Refusal::already_exists(&path));
        }
        if KINDS.iter().filter(|kind| call.body.get(**kind).is_some_and(|value| !value.is_null())).count() != 1 {
            return Err(Refusal::invalid("resource", "", "Exactly one type of resource policy must be given."));
        }
        let id = self.new_number("policy");
        let mut shown = call.body.clone();
        shown["kind"] = "compute#resourcePolicy".into();
        shown["id"] = id.to_string().into();
        shown["creationTimestamp"] = stamp(self.now).into();
        shown["status"] = "READY".into();
        shown["region"] = self.region_link(&place.at).into();
        shown["selfLink"] = self.links.link(&path).into();
        self.policies.insert(place.clone(), shown);
        Ok(self.start_on_policy(call, &place, "insert", Effect::Nothing))
    }

    fn start_on_policy(&mut self, call: &Call, place: &Place, kind: &'static str, effect: Effect) -> OperationId {
        let target_id = self.policies.get(place).and_then(|shown| text(shown, "id").parse().ok()).unwrap_or(0);
        let start = Start {
            kind,
            scope: Scope::Region(place.at.clone()),
            target: self.policy_path(place),
            target_id,
            figure: "disks.insert",
            effect,
            failure: None,
        };
        self.start(call, start)
    }

    pub(super) fn resource_policies_get(&self, call: &Call) -> Result<Value, Refusal> {
        self.check_scope(call)?;
        let place = Self::policy_place(call, &call.name);
        self.policies.get(&place).cloned().ok_or_else(|| Refusal::not_found(&self.policy_path(&place)))
    }

    pub(super) fn resource_policies_delete(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let place = Self::policy_place(call, &call.name);
        let path = self.policy_path(&place);
        if !self.policies.contains_key(&place) {
            return Err(Refusal::not_found(&path));
        }
        let link = self.links.link(&path);
        if let Some((user, _)) = self.disks.iter().find(|(_, disk)| policies_of(&disk.shown).contains(&link)) {
            return Err(Refusal::in_use("resource_policy", &path, &self.disk_path(user)));
        }
        Ok(self.start_on_policy(call, &place, "delete", Effect::PolicyDelete { place: place.clone() }))
    }

    pub(super) fn finish_policy_delete(&mut self, place: &Place) {
        self.policies.remove(place);
    }

    pub(super) fn disks_add_resource_policies(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, _) = self.disk_of(call)?;
        let add = self.policy_links(call, &place)?;
        let effect = Effect::DiskPolicies { place: place.clone(), add, remove: Vec::new() };
        Ok(self.start_on_disk(call, &place, "addResourcePolicies", "disks.insert", effect))
    }

    pub(super) fn disks_remove_resource_policies(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        let (place, _) = self.disk_of(call)?;
        let remove = self.policy_links(call, &place)?;
        let effect = Effect::DiskPolicies { place: place.clone(), add: Vec::new(), remove };
        Ok(self.start_on_disk(call, &place, "removeResourcePolicies", "disks.insert", effect))
    }

    /// The links of a body, each to a policy that exists in the disk's region.
    fn policy_links(&self, call: &Call, disk: &Place) -> Result<Vec<String>, Refusal> {
        let wanted = elements(&call.body, "resourcePolicies");
        if wanted.is_empty() {
            return Err(Refusal::required("resourcePolicies"));
        }
        let region = catalogue::region_of(&disk.at);
        let read = |link: &Value| {
            let link = link.as_str().unwrap_or_default();
            let Some(found) = reference(link) else {
                return Err(Refusal::invalid("resourcePolicies", link, "The URL is malformed."));
            };
            let place = Place::new(region, found.name);
            let path = self.policy_path(&place);
            if found.scope.is_some_and(|(_, at)| at != region) || !self.policies.contains_key(&place) {
                return Err(Refusal::not_found(&path));
            }
            Ok(self.links.link(&path))
        };
        wanted.iter().map(read).collect()
    }

    pub(super) fn finish_disk_policies(&mut self, place: &Place, add: &[String], remove: &[String]) {
        let Some(disk) = self.disks.get_mut(place) else { return };
        let mut links = policies_of(&disk.shown);
        links.retain(|link| !remove.contains(link));
        for link in add {
            if !links.contains(link) {
                links.push(link.clone());
            }
        }
        disk.shown.insert("resourcePolicies".into(), json!(links));
    }

    pub(super) fn region_link(&self, region: &str) -> String {
        self.links.link(&format!("projects/{}/regions/{region}", self.settings.project))
    }
}

fn policies_of(shown: &serde_json::Map<String, Value>) -> Vec<String> {
    let list = shown.get("resourcePolicies").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|link| link.as_str().map(str::to_owned)).collect()
}
