//! Lists: pages, filters, order, lag, partial answers.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use base64::Engine as _;

use super::errors::Refusal;
use super::filter::Filter;
use super::route::{Api, Call, Scope, Sort};
use super::wire::text;
use super::{World, catalogue};

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

/// One item of a list, before it is cut to a page.
pub(super) struct Item {
    pub(super) scope: String,
    pub(super) name: String,
    pub(super) shown: Value,
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
        let unreachable = self.unreachable_now(call)?;
        let mut items = self.items(call, collection);
        self.add_ghosts(call, collection, &mut items);
        items.retain(|item| !unreachable.contains(&item.scope));
        if let Some(filter) = &filter {
            items.retain(|item| filter.fits(&item.shown));
        }
        order(call, &mut items)?;
        let (page, next) = page(call, items, page_max)?;
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

    fn add_ghosts(&self, call: &Call, collection: Collection, items: &mut Vec<Item>) {
        let aggregated = call.api.sort() == Sort::Aggregate;
        let here = |ghost: &&Ghost| ghost.collection == collection.names().0 && ghost.until > self.now;
        for ghost in self.ghosts.iter().filter(here) {
            let taken = items.iter().any(|item| item.scope == ghost.scope && item.name == ghost.name);
            if !taken && (aggregated || ghost.scope == call.scope.path()) {
                let (scope, name, shown) = (ghost.scope.clone(), ghost.name.clone(), ghost.shown.clone());
                items.push(Item { scope, name, shown });
            }
        }
    }

    fn items(&self, call: &Call, collection: Collection) -> Vec<Item> {
        if self.tamper.hidden {
            return Vec::new();
        }
        let aggregated = call.api.sort() == Sort::Aggregate;
        let here = call.scope.path();
        let wanted = |scope: &str| aggregated || scope == here;
        match collection {
            Collection::Instances => self
                .instances
                .iter()
                .filter(|(place, one)| wanted(&format!("zones/{}", place.at)) && self.listed(one.created_at))
                .map(|(place, one)| item("zones", &place.at, &place.name, self.instance_json(place, one)))
                .collect(),
            Collection::Disks => self
                .disks
                .iter()
                .filter(|(place, one)| wanted(&format!("zones/{}", place.at)) && self.listed(one.created_at))
                .map(|(place, one)| item("zones", &place.at, &place.name, self.disk_json(place, one)))
                .collect(),
            Collection::Snapshots => self
                .snapshots
                .iter()
                .filter(|(_, one)| self.listed(one.created_at))
                .map(|(name, one)| global(name, self.snapshot_json(name, one)))
                .collect(),
            Collection::Operations => self
                .operation_names
                .iter()
                .filter(|((scope, _), _)| wanted(&scope.path()))
                .map(|((scope, name), id)| Item {
                    scope: scope.path(),
                    name: name.clone(),
                    shown: self.operation_json(*id),
                })
                .collect(),
            Collection::MachineTypes | Collection::AcceleratorTypes | Collection::DiskTypes => {
                let zones = catalogue::ZONES.iter().filter(|zone| wanted(&format!("zones/{zone}")));
                zones.flat_map(|zone| self.catalogue_items(collection, zone)).collect()
            }
            Collection::Zones | Collection::Regions | Collection::Images => self.place_items(call, collection),
            Collection::ResourcePolicies => regional(&self.policies, &wanted),
            Collection::Subnetworks => regional(&self.subnetworks, &wanted),
            Collection::Networks => self.networks.iter().map(|(name, shown)| global(name, shown.clone())).collect(),
        }
    }

    fn plain(&self, call: &Call, collection: Collection, page: Vec<Item>) -> Value {
        let (plural, singular) = collection.names();
        let scope = match (&call.scope, collection) {
            (Scope::Global, Collection::Zones | Collection::Regions) => String::new(),
            (scope, _) => format!("{}/", scope.path()),
        };
        let path = format!("projects/{}/{scope}{plural}", call.project);
        let items: Vec<Value> = page.into_iter().map(|item| item.shown).collect();
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

    fn aggregated(&self, call: &Call, collection: Collection, page: Vec<Item>, unreachable: &[String]) -> Value {
        let (plural, singular) = collection.names();
        let path = format!("projects/{}/aggregated/{plural}", call.project);
        let mut scopes: BTreeMap<String, Vec<Value>> =
            collection.scopes().into_iter().map(|scope| (scope, Vec::new())).collect();
        for item in page {
            scopes.entry(item.scope).or_default().push(item.shown);
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

pub(super) fn item(sort: &str, at: &str, name: &str, shown: Value) -> Item {
    Item { scope: format!("{sort}/{at}"), name: name.to_owned(), shown }
}

pub(super) fn global(name: &str, shown: Value) -> Item {
    Item { scope: "global".to_owned(), name: name.to_owned(), shown }
}

fn regional(all: &BTreeMap<super::Place, Value>, wanted: &dyn Fn(&str) -> bool) -> Vec<Item> {
    all.iter()
        .filter(|(place, _)| wanted(&format!("regions/{}", place.at)))
        .map(|(place, shown)| item("regions", &place.at, &place.name, shown.clone()))
        .collect()
}

/// By scope and name, or the newest first.
fn order(call: &Call, items: &mut [Item]) -> Result<(), Refusal> {
    match call.parameter("orderBy") {
        None | Some("" | "name") => items.sort_by(|one, other| key(one).cmp(&key(other))),
        Some("creationTimestamp desc") => items.sort_by(|one, other| {
            created(&other.shown).cmp(created(&one.shown)).then_with(|| key(one).cmp(&key(other)))
        }),
        Some(other) => {
            let why = "Only name and creationTimestamp desc are supported.";
            return Err(Refusal::invalid("orderBy", other, why));
        }
    }
    Ok(())
}

fn key(item: &Item) -> (&str, &str) {
    (&item.scope, &item.name)
}

/// Operations have no creation time but an insert time.
fn created(shown: &Value) -> &str {
    match text(shown, "creationTimestamp") {
        "" => text(shown, "insertTime"),
        time => time,
    }
}

/// Cuts a page. The token names the last item that was sent, so that what comes and goes meanwhile shifts nothing; it
/// belongs to one query.
fn page(call: &Call, items: Vec<Item>, page_max: usize) -> Result<(Vec<Item>, Option<String>), Refusal> {
    let query = format!("{}|{}", call.parameter("filter").unwrap_or(""), call.parameter("orderBy").unwrap_or(""));
    let codec = base64::engine::general_purpose::URL_SAFE;
    let position = |item: &Item| {
        json!([
            query,
            item.scope,
            item.name,
            if call.parameter("orderBy").is_some() { created(&item.shown) } else { "" }
        ])
    };
    let mut from = 0;
    if let Some(token) = call.parameter("pageToken").filter(|token| !token.is_empty()) {
        let refused = || Refusal::invalid("pageToken", token, "The page token is not valid for this request.");
        let last: Value = codec
            .decode(token)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .filter(|last: &Value| last[0] == query.as_str())
            .ok_or_else(refused)?;
        let after = |item: &Item| {
            let name = (last[1].as_str().unwrap_or_default(), last[2].as_str().unwrap_or_default());
            match (call.parameter("orderBy"), last[3].as_str().unwrap_or_default()) {
                (Some("creationTimestamp desc"), time) => {
                    created(&item.shown) < time || (created(&item.shown) == time && key(item) > name)
                }
                _ => key(item) > name,
            }
        };
        from = items.iter().position(after).unwrap_or(items.len());
    }
    let more = items.len() > from + page_max;
    let page: Vec<Item> = items.into_iter().skip(from).take(page_max).collect();
    let token = page.last().filter(|_| more).map(|item| codec.encode(position(item).to_string()));
    Ok((page, token))
}
