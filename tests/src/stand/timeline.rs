//! When a notebook could be reached, and what its changes cost in the cloud, in the cloud's own seconds.
//!
//! Three witnesses, none of them the controller: a watch on the notebook's `EndpointSlice`, the exchanges with the cloud, and
//! the serial consoles on which guests say what they report.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client};
use rehost::clock::SharedClock;
use serde_json::Value;
use tokio::task::JoinHandle;

use super::Cloud;
use crate::world::exchange::{Exchange, Observer};

/// A time in which the Service had no ready address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unready {
    /// From when, within the time that was asked for.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
}

impl Unready {
    /// How long.
    #[must_use]
    pub fn lasted(&self) -> SignedDuration {
        self.to.duration_since(self.from)
    }
}

/// What the `EndpointSlice` said from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    at: Timestamp,
    /// The address that is ready.
    address: Option<String>,
}

/// When a notebook could be reached. The watch ends when it is dropped.
pub struct Timeline {
    said: Arc<Mutex<Vec<Said>>>,
    watch: JoinHandle<()>,
}

impl Timeline {
    /// Watches the `EndpointSlice` of a notebook from now on.
    #[must_use]
    pub fn watch(client: Client, clock: SharedClock, namespace: &str, notebook: &str) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let log = said.clone();
        let api: Api<EndpointSlice> = Api::namespaced(client, namespace);
        let config = Config::default().fields(&format!("metadata.name={notebook}"));
        let watch = tokio::spawn(async move {
            let mut events = std::pin::pin!(watcher(api, config));
            while let Some(event) = events.next().await {
                let address = match event {
                    Ok(Event::Apply(slice) | Event::InitApply(slice)) => ready_address(&slice),
                    Ok(Event::Delete(_)) => None,
                    Ok(Event::Init | Event::InitDone) => continue,
                    Err(error) => {
                        tracing::debug!(%error, "the watch of an EndpointSlice failed");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        continue;
                    }
                };
                lock(&log).push(Said { at: clock.now(), address });
            }
        });
        Self { said, watch }
    }

    /// The times between `from` and `to` without a ready address, in order.
    #[must_use]
    pub fn unready(&self, from: Timestamp, to: Timestamp) -> Vec<Unready> {
        unready(&lock(&self.said), from, to)
    }

    /// The address that is ready now.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        lock(&self.said).last().and_then(|said| said.address.clone())
    }
}

impl Drop for Timeline {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

fn ready_address(slice: &EndpointSlice) -> Option<String> {
    slice.endpoints.iter().find_map(|endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true);
        endpoint.addresses.first().filter(|_| ready).cloned()
    })
}

fn unready(said: &[Said], from: Timestamp, to: Timestamp) -> Vec<Unready> {
    let mut found: Vec<Unready> = Vec::new();
    let mut since = Some(from);
    for (index, word) in said.iter().enumerate() {
        let begins = word.at.max(from);
        let ends = said.get(index + 1).map_or(to, |next| next.at).min(to);
        if ends < from || begins > to {
            continue;
        }
        match (&word.address, since) {
            (Some(_), Some(start)) => {
                if begins > start {
                    found.push(Unready { from: start, to: begins });
                }
                since = None;
            }
            (None, None) => since = Some(begins),
            (Some(_), None) | (None, Some(_)) => {}
        }
    }
    if let Some(start) = since.filter(|start| *start < to) {
        found.push(Unready { from: start, to });
    }
    found
}

/// One change that was asked of the cloud.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The operation's name.
    pub name: String,
    /// What was asked, as `attachDisk`.
    pub verb: String,
    /// The zone.
    pub zone: String,
    /// The instance or disk.
    pub target: String,
    /// When the cloud took it.
    pub insert: Timestamp,
    /// When it was done; none while it runs.
    pub end: Option<Timestamp>,
    /// The codes of its error.
    pub error: Option<String>,
    /// Everything that was asked, to tell whose it is.
    asked: String,
}

/// Every change that was asked of the cloud, by anybody.
#[derive(Clone, Default)]
pub struct Ledger {
    /// By name: a repeated request is the same operation.
    operations: Arc<Mutex<BTreeMap<String, Operation>>>,
}

impl Ledger {
    /// The observer that writes it.
    #[must_use]
    pub fn observer(&self) -> Observer {
        let operations = self.operations.clone();
        Arc::new(move |exchange: &Exchange| {
            if let Some(operation) = operation(exchange) {
                lock(&operations).entry(operation.name.clone()).or_insert(operation);
            }
        })
    }

    /// The operations that mention `stem` (the part of names in the cloud that stands for one notebook) and were under way in
    /// this time, in order, as they are by now.
    #[must_use]
    pub fn of(&self, cloud: &Cloud, stem: &str, from: Timestamp, to: Timestamp) -> Vec<Operation> {
        let mut found: Vec<Operation> = lock(&self.operations)
            .values()
            .filter(|operation| operation.asked.contains(stem) && operation.insert <= to)
            .cloned()
            .collect();
        for operation in &mut found {
            let now = cloud.peek(&format!("zones/{}/operations/{}", operation.zone, operation.name));
            operation.end = time(&now["endTime"]);
            operation.error = now["error"]["errors"][0]["code"].as_str().map(str::to_owned);
        }
        found.retain(|operation| operation.end.is_none_or(|end| end >= from));
        found.sort_by_key(|operation| operation.insert);
        found
    }

    /// How many operations there were.
    #[must_use]
    pub fn count(&self) -> usize {
        lock(&self.operations).len()
    }
}

fn operation(exchange: &Exchange) -> Option<Operation> {
    let answer = &exchange.response;
    let changes = exchange.method != "GET" && answer["kind"] == "compute#operation";
    if !changes || exchange.path.ends_with("/wait") {
        return None;
    }
    let words: Vec<&str> = exchange.path.split('/').collect();
    let zone = words.iter().position(|word| *word == "zones").and_then(|index| words.get(index + 1))?;
    let target = answer["targetLink"].as_str().and_then(|link| link.rsplit('/').next()).unwrap_or_default();
    let last = words.last().copied().unwrap_or_default();
    let verb = match exchange.method.as_str() {
        "DELETE" => "delete",
        _ if last == "instances" || last == "disks" => "insert",
        _ => last,
    };
    let body = exchange.request.as_ref().map(ToString::to_string).unwrap_or_default();
    let query: Vec<&str> = exchange.query.iter().map(|(_, value)| value.as_str()).collect();
    Some(Operation {
        name: answer["name"].as_str()?.to_owned(),
        verb: verb.to_owned(),
        zone: (*zone).to_owned(),
        target: target.to_owned(),
        insert: time(&answer["insertTime"])?,
        end: None,
        error: None,
        asked: format!("{} {} {body}", exchange.path, query.join(" ")),
    })
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// Where the time of one change went, in the cloud's seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// In which at least one operation was under way.
    pub operations_s: f64,
    /// Without one, until a guest had reported: boot, letting go, mounting, serving.
    pub guests_s: f64,
    /// From the edit to the first operation, where none of an earlier change was under way: the controller's own.
    pub first_s: f64,
    /// From the end of an operation, or from the guest's report after it, to the next one or the end: the controller's own.
    pub between_s: f64,
}

/// Splits the time of a change, from its edit to its end.
#[must_use]
pub fn share(operations: &[Operation], reports: &[Timestamp], from: Timestamp, to: Timestamp) -> Share {
    let mut share = Share::default();
    let mut until = from;
    let mut waited = false;
    let spans = operations.iter().map(|operation| (operation.insert.max(from), operation.end.unwrap_or(to).min(to)));
    // The end is like an operation that takes no time.
    for (begins, ends) in spans.chain([(to, to)]) {
        let gap = seconds(until, begins);
        if gap > 0.0 && !waited && until == from {
            share.first_s = gap;
        } else if gap > 0.0 {
            let reported = reports.iter().filter(|at| **at > until && **at <= begins).max().copied().unwrap_or(until);
            share.guests_s += seconds(until, reported);
            share.between_s += seconds(reported, begins);
        }
        waited = true;
        share.operations_s += seconds(begins.max(until), ends);
        until = until.max(ends);
    }
    share
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

/// Nothing panics while it holds the lock; a poisoned one would only spread somebody else's panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).expect("a time")
    }

    fn said(second: i64, address: Option<&str>) -> Said {
        Said { at: at(second), address: address.map(str::to_owned) }
    }

    fn lasted(said: &[Said], from: i64, to: i64) -> Vec<(i64, i64)> {
        let since = |time: Timestamp| time.as_second() - 1_700_000_000;
        unready(said, at(from), at(to)).iter().map(|gap| (since(gap.from), since(gap.to))).collect()
    }

    #[test]
    fn times_without_an_address_are_found_and_cut_to_what_is_asked() {
        let log = [
            said(0, None),
            said(10, Some("a")),
            said(20, None),
            said(22, None),
            said(25, Some("b")),
            said(30, Some("c")),
        ];
        assert_eq!(lasted(&log, 0, 40), [(0, 10), (20, 25)]);
        assert_eq!(lasted(&log, 12, 18), []);
        assert_eq!(lasted(&log, 22, 40), [(22, 25)]);
        assert_eq!(lasted(&log, 21, 23), [(21, 23)]);
    }

    #[test]
    fn before_the_first_word_nothing_is_ready() {
        assert_eq!(lasted(&[], 0, 5), [(0, 5)]);
        assert_eq!(lasted(&[said(3, Some("a"))], 0, 5), [(0, 3)]);
    }

    fn ran(insert: i64, end: i64) -> Operation {
        Operation {
            name: String::new(),
            verb: String::new(),
            zone: String::new(),
            target: String::new(),
            insert: at(insert),
            end: Some(at(end)),
            error: None,
            asked: String::new(),
        }
    }

    #[test]
    fn a_gap_is_the_guests_until_it_reports_and_then_the_controllers() {
        let operations = [ran(1, 10), ran(25, 28), ran(30, 33), ran(31, 36)];
        let reports = [at(24), at(40)];
        let split = share(&operations, &reports, at(0), at(42));
        let expected =
            Share { operations_s: 9.0 + 3.0 + 6.0, guests_s: 14.0 + 4.0, first_s: 1.0, between_s: 1.0 + 2.0 + 2.0 };
        assert_eq!(split, expected);
    }

    #[test]
    fn what_an_earlier_change_left_under_way_is_no_wait_of_the_controllers() {
        let split = share(&[ran(-20, 7), ran(9, 30)], &[], at(0), at(20));
        assert_eq!(split, Share { operations_s: 7.0 + 11.0, guests_s: 0.0, first_s: 0.0, between_s: 2.0 });
    }
}
