//! Pages: what a list renders, in which order, and where it goes on.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::{Value, json};

use super::disks::Disk;
use super::errors::Refusal;
use super::filter::Filter;
use super::instances::Instance;
use super::operations::OperationId;
use super::route::Call;
use super::snapshots::Snapshot;
use super::wire::text;
use super::{Place, World};

/// The items of a page, each with its scope.
pub(super) type Page = Vec<(String, Value)>;

/// One item of a list, before it is cut to a page. It is only rendered when a page or a filter needs it: a page of
/// five hundred must not cost ten thousand.
pub(super) struct Item<'w> {
    pub(super) scope: String,
    pub(super) name: String,
    pub(super) source: Source<'w>,
}

/// What an item is rendered from.
pub(super) enum Source<'w> {
    Instance(&'w Place, &'w Instance),
    Disk(&'w Place, &'w Disk),
    Snapshot(&'w str, &'w Snapshot),
    Operation(OperationId),
    Kept(&'w Value),
    Made(Value),
}

impl World {
    fn render(&self, item: &Item<'_>) -> Value {
        match &item.source {
            Source::Instance(place, instance) => self.instance_json(place, instance),
            Source::Disk(place, disk) => self.disk_json(place, disk),
            Source::Snapshot(name, snapshot) => self.snapshot_json(name, snapshot),
            Source::Operation(id) => self.operation_json(*id),
            Source::Kept(shown) => (*shown).clone(),
            Source::Made(shown) => shown.clone(),
        }
    }

    /// The item as it is shown, if it fits. Most operations are DONE, and most who ask for them filter by that alone:
    /// it is looked at before the rest is written out.
    fn fitting(&self, item: &Item<'_>, filter: Option<&Filter>) -> Option<Value> {
        let Some(filter) = filter else { return Some(self.render(item)) };
        if let (Source::Operation(id), true) = (&item.source, filter.is_only_about("status")) {
            let status = self.operations.get(id).map(|operation| operation.status.word());
            return filter.fits(&json!({ "status": status })).then(|| self.render(item));
        }
        Some(self.render(item)).filter(|shown| filter.fits(shown))
    }

    /// By scope and name, or the newest first.
    pub(super) fn put_in_order(&self, call: &Call, items: &mut [Item<'_>]) -> Result<bool, Refusal> {
        match call.parameter("orderBy") {
            None | Some("" | "name") => {
                items.sort_by(|one, other| key(one).cmp(&key(other)));
                Ok(false)
            }
            Some("creationTimestamp desc") => {
                for item in items.iter_mut().filter(|item| !matches!(item.source, Source::Operation(_))) {
                    item.source = Source::Made(self.render(item));
                }
                let order = |one: &Item<'_>, other: &Item<'_>| self.created(other).cmp(self.created(one));
                items.sort_by(|one, other| order(one, other).then_with(|| key(one).cmp(&key(other))));
                Ok(true)
            }
            Some(other) => {
                let why = "Only name and creationTimestamp desc are supported.";
                Err(Refusal::invalid("orderBy", other, why))
            }
        }
    }

    /// When an item was made, as it is shown; operations have no creation time but an insert time, and are not rendered for it.
    fn created<'i>(&'i self, item: &'i Item<'_>) -> &'i str {
        match &item.source {
            Source::Made(shown) => text(shown, "creationTimestamp"),
            Source::Kept(shown) => text(shown, "creationTimestamp"),
            Source::Operation(id) => self.operations.get(id).map_or("", |operation| &operation.insert_time),
            Source::Instance(..) | Source::Disk(..) | Source::Snapshot(..) => "",
        }
    }

    /// Cuts a page. The token names the last item that was sent, so that what comes and goes meanwhile shifts nothing;
    /// it belongs to one query.
    pub(super) fn page(
        &self,
        call: &Call,
        items: &[Item<'_>],
        filter: Option<&Filter>,
        page_max: usize,
        newest_first: bool,
    ) -> Result<(Page, Option<String>), Refusal> {
        let query = format!("{}|{newest_first}", call.parameter("filter").unwrap_or_default());
        let codec = base64::engine::general_purpose::URL_SAFE;
        let mut from = 0;
        if let Some(token) = call.parameter("pageToken").filter(|token| !token.is_empty()) {
            let last: Value = codec
                .decode(token)
                .ok()
                .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                .filter(|last: &Value| last[0] == query.as_str())
                .ok_or_else(|| Refusal::invalid("pageToken", token, "The page token is not valid for this request."))?;
            let part = |index: usize| last[index].as_str().unwrap_or_default();
            let after = |item: &Item<'_>| {
                let later_by_name = key(item) > (part(1), part(2));
                let time = part(3);
                if newest_first {
                    let at = self.created(item);
                    at < time || (at == time && later_by_name)
                } else {
                    later_by_name
                }
            };
            from = items.iter().position(after).unwrap_or(items.len());
        }
        let mut page: Page = Vec::new();
        let mut last: Option<&Item<'_>> = None;
        for item in items.iter().skip(from) {
            let Some(shown) = self.fitting(item, filter) else { continue };
            if page.len() == page_max {
                let position = last.map(|last| json!([query, last.scope, last.name, self.created(last)]));
                return Ok((page, position.map(|position| codec.encode(position.to_string()))));
            }
            page.push((item.scope.clone(), shown));
            last = Some(item);
        }
        Ok((page, None))
    }
}

/// An item of a zone that is made for the answer.
pub(super) fn made_in_zone(zone: &str, name: &str, shown: Value) -> Item<'static> {
    Item { scope: format!("zones/{zone}"), name: name.to_owned(), source: Source::Made(shown) }
}

/// An item of no place that is made for the answer.
pub(super) fn made(name: &str, shown: Value) -> Item<'static> {
    in_no_place(name, Source::Made(shown))
}

pub(super) fn in_zone<'w>(place: &Place, source: Source<'w>) -> Item<'w> {
    Item { scope: format!("zones/{}", place.at), name: place.name.clone(), source }
}

pub(super) fn in_no_place<'w>(name: &str, source: Source<'w>) -> Item<'w> {
    Item { scope: "global".to_owned(), name: name.to_owned(), source }
}

pub(super) fn regional<'w>(all: &'w BTreeMap<Place, Value>, wanted: &dyn Fn(&str) -> bool) -> Vec<Item<'w>> {
    all.iter()
        .filter(|(place, _)| wanted(&format!("regions/{}", place.at)))
        .map(|(place, shown)| Item {
            scope: format!("regions/{}", place.at),
            name: place.name.clone(),
            source: Source::Kept(shown),
        })
        .collect()
}

fn key<'i>(item: &'i Item<'_>) -> (&'i str, &'i str) {
    (&item.scope, &item.name)
}
