//! Lists: pages, filters, order, lag, partial answers.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::errors::Refusal;
use super::filter::Filter;
use super::pages::{Item, Page, Source, in_no_place, in_zone, regional};
use super::route::{Api, Call, Scope, Sort};
use super::{Place, World, catalogue, members};

/// The most items on a page.
const PAGE_MAX: usize = 500;

/// What is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Collection {
    Instances,
    Disks,
    Snapshots,
    Images,
    Operations,
    MachineTypes,
    AcceleratorTypes,
    DiskTypes,
    Zones,
    Regions,
    ResourcePolicies,
    Networks,
    Subnetworks,
}

impl Collection {
    /// What a list method lists.
    pub(super) fn of(api: Api) -> Option<Self> {
        let collection = match api.id().split_once('.')?.0 {
            "instances" => Collection::Instances,
            "disks" => Collection::Disks,
            "snapshots" => Collection::Snapshots,
            "images" => Collection::Images,
            "zoneOperations" | "regionOperations" | "globalOperations" => Collection::Operations,
            "machineTypes" => Collection::MachineTypes,
            "acceleratorTypes" => Collection::AcceleratorTypes,
            "diskTypes" => Collection::DiskTypes,
            "zones" => Collection::Zones,
            "regions" => Collection::Regions,
            "resourcePolicies" => Collection::ResourcePolicies,
            "networks" => Collection::Networks,
            "subnetworks" => Collection::Subnetworks,
            _ => return None,
        };
        matches!(api.sort(), Sort::List | Sort::Aggregate).then_some(collection)
    }

    /// Its name in paths and in aggregated answers, and the word in `kind`.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Collection::Instances => ("instances", "instance"),
            Collection::Disks => ("disks", "disk"),
            Collection::Snapshots => ("snapshots", "snapshot"),
            Collection::Images => ("images", "image"),
            Collection::Operations => ("operations", "operation"),
            Collection::MachineTypes => ("machineTypes", "machineType"),
            Collection::AcceleratorTypes => ("acceleratorTypes", "acceleratorType"),
            Collection::DiskTypes => ("diskTypes", "diskType"),
            Collection::Zones => ("zones", "zone"),
            Collection::Regions => ("regions", "region"),
            Collection::ResourcePolicies => ("resourcePolicies", "resourcePolicy"),
            Collection::Networks => ("networks", "network"),
            Collection::Subnetworks => ("subnetworks", "subnetwork"),
        }
    }

    /// Every scope that an aggregated answer names.
    fn scopes(self) -> Vec<String> {
        let zones = catalogue::ZONES.iter().map(|zone| format!("zones/{zone}"));
        let regions = catalogue::REGIONS.iter().map(|region| format!("regions/{region}"));
        match self {
            Collection::Operations => ["global".to_owned()].into_iter().chain(regions).chain(zones).collect(),
            Collection::ResourcePolicies | Collection::Subnetworks => regions.collect(),
            _ => zones.collect(),
        }
    }
}

/// What is gone, and still shows in lists for a while.
#[derive(Clone, Debug)]
pub(super) struct Ghost {
    collection: &'static str,
    scope: String,
    name: String,
    until: Timestamp,
    shown: Value,
}

impl World {
    /// Lets a resource that is gone show in lists until they have caught up.
    pub(super) fn leave_ghost(
        &mut self,
        collection: &'static str,
        zone: &str,
        name: &str,
        created_at: Timestamp,
        shown: Value,
    ) {
        // What lists had not caught up with when it went, they never showed.
        if self.list_lag == SignedDuration::ZERO || created_at + self.list_lag > self.now {
            return;
        }
        let now = self.now;
        self.ghosts.retain(|ghost| ghost.until > now);
        let scope = if zone.is_empty() { "global".to_owned() } else { format!("zones/{zone}") };
        let until = self.now + self.list_lag;
        self.ghosts.push(Ghost { collection, scope, name: name.to_owned(), until, shown });
    }

    /// Whether lists have caught up with what was made at `created_at`.
    fn listed(&self, created_at: Timestamp) -> bool {
        created_at + self.list_lag <= self.now
    }

    pub(super) fn list(&self, call: &Call, collection: Collection) -> Result<Value, Refusal> {
        self.check_scope(call)?;
        let aggregated = call.api.sort() == Sort::Aggregate;
        let page_max = match call.parameter("maxResults") {
            None => PAGE_MAX,
            Some(digits) => match digits.parse::<usize>() {
                Ok(count) if count <= PAGE_MAX => count,
                Ok(_) | Err(_) => {
                    return Err(Refusal::invalid("maxResults", digits, "Must be between 0 and 500, inclusive."));
                }
            },
        };
        let page_max = if page_max == 0 { PAGE_MAX } else { page_max };
        let filter = call.parameter("filter").filter(|text| !text.is_empty()).map(Filter::read).transpose()?;
        if let Some(field) = filter.as_ref().and_then(|one| one.unknown(&|path| members::in_item(call.api, path))) {
            let text = call.parameter("filter").unwrap_or_default();
            let why = format!("Invalid list filter expression: there is no field '{field}'.");
            return Err(Refusal::invalid("filter", text, &why));
        }
        let unreachable = self.unreachable_now(call)?;
        let mut items = self.items(call, collection);
        self.add_ghosts(call, collection, &mut items);
        items.retain(|item| !unreachable.contains(&item.scope));
        let newest_first = self.put_in_order(call, &mut items)?;
        let (page, next) = self.page(call, &items, filter.as_ref(), page_max, newest_first)?;
        let answer = if aggregated {
            self.aggregated(call, collection, page, &unreachable)
        } else {
            self.plain(call, collection, page)
        };
        Ok(match next {
            Some(token) => with(answer, "nextPageToken", token.into()),
            None => answer,
        })
    }

    /// The scopes that cannot be read now; without `returnPartialSuccess` they are the whole list's failure.
    fn unreachable_now(&self, call: &Call) -> Result<Vec<String>, Refusal> {
        let mut down: Vec<String> = self.unreachable.iter().map(|zone| format!("zones/{zone}")).collect();
        down.extend(self.tamper.unreachable.iter().map(|zone| format!("zones/{zone}")));
        down.sort();
        down.dedup();
        let aggregated = call.api.sort() == Sort::Aggregate;
        let concerned = if aggregated { !down.is_empty() } else { down.contains(&call.scope.path()) };
        if concerned && !(aggregated && call.switch("returnPartialSuccess")?) {
            return Err(Refusal::new(503, "backendError", "The service is currently unavailable."));
        }
        Ok(down)
    }

    fn add_ghosts<'w>(&'w self, call: &Call, collection: Collection, items: &mut Vec<Item<'w>>) {
        let aggregated = call.api.sort() == Sort::Aggregate;
        let here = |ghost: &&Ghost| ghost.collection == collection.names().0 && ghost.until > self.now;
        for ghost in self.ghosts.iter().filter(here) {
            let taken = items.iter().any(|item| item.scope == ghost.scope && item.name == ghost.name);
            if !taken && (aggregated || ghost.scope == call.scope.path()) {
                let (scope, name) = (ghost.scope.clone(), ghost.name.clone());
                items.push(Item { scope, name, source: Source::Kept(&ghost.shown) });
            }
        }
    }

    fn items(&self, call: &Call, collection: Collection) -> Vec<Item<'_>> {
        if self.tamper.hidden {
            return Vec::new();
        }
        let aggregated = call.api.sort() == Sort::Aggregate;
        let here = call.scope.path();
        let wanted = |scope: &str| aggregated || scope == here;
        let zonal = |place: &Place| wanted(&format!("zones/{}", place.at));
        match collection {
            Collection::Instances => self
                .instances
                .iter()
                .filter(|(place, one)| self.listed(one.created_at) && zonal(place))
                .map(|(place, one)| in_zone(place, Source::Instance(place, one)))
                .collect(),
            Collection::Disks => self
                .disks
                .iter()
                .filter(|(place, one)| self.listed(one.created_at) && zonal(place))
                .map(|(place, one)| in_zone(place, Source::Disk(place, one)))
                .collect(),
            Collection::Snapshots => self
                .snapshots
                .iter()
                .filter(|(_, one)| self.listed(one.created_at))
                .map(|(name, one)| in_no_place(name, Source::Snapshot(name, one)))
                .collect(),
            Collection::Operations => self
                .operation_names
                .iter()
                .filter(|((scope, _), _)| wanted(&scope.path()))
                .map(|((scope, name), id)| Item {
                    scope: scope.path(),
                    name: name.clone(),
                    source: Source::Operation(*id),
                })
                .collect(),
            Collection::MachineTypes | Collection::AcceleratorTypes | Collection::DiskTypes => {
                let zones = catalogue::ZONES.iter().filter(|zone| wanted(&format!("zones/{zone}")));
                zones.flat_map(|zone| self.catalogue_items(collection, zone)).collect()
            }
            Collection::Zones | Collection::Regions | Collection::Images => self.place_items(call, collection),
            Collection::ResourcePolicies => regional(&self.policies, &wanted),
            Collection::Subnetworks => regional(&self.subnetworks, &wanted),
            Collection::Networks => {
                self.networks.iter().map(|(name, shown)| in_no_place(name, Source::Kept(shown))).collect()
            }
        }
    }

    fn plain(&self, call: &Call, collection: Collection, page: Page) -> Value {
        let (plural, singular) = collection.names();
        let scope = match (&call.scope, collection) {
            (Scope::Global, Collection::Zones | Collection::Regions) => String::new(),
            (scope, _) => format!("{}/", scope.path()),
        };
        let path = format!("projects/{}/{scope}{plural}", call.project);
        let items: Vec<Value> = page.into_iter().map(|(_, shown)| shown).collect();
        let mut answer = json!({
            "kind": format!("compute#{singular}List"),
            "id": path,
            "selfLink": self.links.link(&path),
        });
        if !items.is_empty() {
            answer["items"] = Value::Array(items);
        }
        answer
    }

    fn aggregated(&self, call: &Call, collection: Collection, page: Page, unreachable: &[String]) -> Value {
        let (plural, singular) = collection.names();
        let path = format!("projects/{}/aggregated/{plural}", call.project);
        let mut scopes: BTreeMap<String, Vec<Value>> =
            collection.scopes().into_iter().map(|scope| (scope, Vec::new())).collect();
        for (scope, shown) in page {
            scopes.entry(scope).or_default().push(shown);
        }
        let mut items = serde_json::Map::new();
        for (scope, list) in scopes {
            let shown = if unreachable.contains(&scope) {
                let message = format!("Scope '{scope}' is currently unreachable.");
                json!({ "warning": warning("UNREACHABLE", &message, &scope) })
            } else if list.is_empty() {
                let message = format!("There are no results for scope '{scope}' on this page.");
                json!({ "warning": warning("NO_RESULTS_ON_PAGE", &message, &scope) })
            } else {
                json!({ plural: list })
            };
            items.insert(scope, shown);
        }
        let mut answer = json!({
            "kind": format!("compute#{singular}AggregatedList"),
            "id": path,
            "items": items,
            "selfLink": self.links.link(&path),
        });
        if !unreachable.is_empty() {
            answer["unreachables"] = json!(unreachable);
        }
        answer
    }
}

fn warning(code: &str, message: &str, scope: &str) -> Value {
    json!({ "code": code, "message": message, "data": [{ "key": "scope", "value": scope }] })
}

fn with(mut answer: Value, member: &str, value: Value) -> Value {
    answer[member] = value;
    answer
}
