//! The simulated cloud of an installation, and the hand that changes it.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Hosts, PROJECT, StandSettings};
use crate::world::exchange::{Observer, log_file};
use crate::world::rest::{SharedWorld, WorldClock};
use crate::world::{Method, Request, Response, World, WorldSettings};

/// The cloud and where it listens.
#[derive(Clone)]
pub struct Cloud {
    /// The world under its clock.
    pub world: SharedWorld,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Cloud {
    pub(super) fn new(
        settings: &StandSettings,
        address: SocketAddr,
        mut observers: Vec<Observer>,
    ) -> Result<Self, std::io::Error> {
        if let Some(path) = &settings.world_log {
            observers.push(log_file(path)?);
        }
        let start = now();
        let mut world = World::new(WorldSettings {
            project: PROJECT.to_owned(),
            project_number: 123_456_789_012,
            seed: settings.seed,
            start,
            base_url: "https://www.googleapis.com/compute/v1".to_owned(),
            guests: settings.hosts == Hosts::Simulated,
        });
        for family in ["notebook-cpu", "notebook-gpu"] {
            world.image_add(&format!("{family}-v20261101"), family, "X86_64", 10);
        }
        world.image_add("notebook-arm-v20261101", "notebook-arm", "ARM64", 10);
        let world = SharedWorld::new(world, WorldClock::new(start, settings.time_scale), observers);
        Ok(Self { world, address })
    }

    /// One request, as anybody with rights in the project could make it.
    pub async fn call(&self, method: Method, path: &str, query: &[(&str, &str)], body: Option<Value>) -> Response {
        let query = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let request = Request { method, path: format!("projects/{PROJECT}/{path}"), query, body };
        self.world.answer(&request).await
    }

    /// What a read would answer, without a trace in counts and logs.
    #[must_use]
    pub fn peek(&self, path: &str) -> Value {
        let request =
            Request { method: Method::Get, path: format!("projects/{PROJECT}/{path}"), query: Vec::new(), body: None };
        self.world.with(|world, _| world.peek(&request).body)
    }

    /// One change, waited for. The error's text on a refusal.
    pub async fn change(&self, path: &str, query: &[(&str, &str)], body: Option<Value>) -> Result<(), String> {
        let answer = self.call(Method::Post, path, query, body).await;
        if answer.status >= 300 {
            return Err(answer.body.to_string());
        }
        let zone = path.split('/').nth(1).unwrap_or_default();
        let operation = answer.body["name"].as_str().unwrap_or_default();
        let done = self.call(Method::Post, &format!("zones/{zone}/operations/{operation}/wait"), &[], None).await;
        if done.body["error"].is_null() { Ok(()) } else { Err(done.body["error"].to_string()) }
    }

    /// Makes the VM of a cluster node.
    pub async fn make_node(&self, zone: &str, name: &str, machine_type: &str) -> Result<(), String> {
        let image = "projects/debian-cloud/global/images/family/debian-12";
        let body = json!({
            "name": name,
            "machineType": format!("zones/{zone}/machineTypes/{machine_type}"),
            "disks": [{"boot": true, "autoDelete": true, "initializeParams": {"sourceImage": image, "diskSizeGb": "20"}}],
            "networkInterfaces": [{"network": "global/networks/default"}],
        });
        self.change(&format!("zones/{zone}/instances"), &[], Some(body)).await
    }

    /// Attaches a disk to an instance under the disk's own name, as the CSI driver does.
    pub async fn attach(&self, zone: &str, instance: &str, disk: &str) -> Result<(), String> {
        let source = format!("projects/{PROJECT}/zones/{zone}/disks/{disk}");
        let body = json!({"source": source, "deviceName": disk, "mode": "READ_WRITE"});
        self.change(&format!("zones/{zone}/instances/{instance}/attachDisk"), &[], Some(body)).await
    }

    /// Detaches it again.
    pub async fn detach(&self, zone: &str, instance: &str, disk: &str) -> Result<(), String> {
        let device = [("deviceName", disk)];
        self.change(&format!("zones/{zone}/instances/{instance}/detachDisk"), &device, None).await
    }

    /// Sets how many more VMs of a shape (a pattern with `*`) a zone has room for; none for no bound.
    pub fn capacity(&self, zone: &str, pattern: &str, most: Option<u32>) {
        self.world.with(|world, _| world.capacity_set(zone, pattern, most));
    }

    /// The instances whose names begin with `stem`, with their status as the API words it.
    #[must_use]
    pub fn instances(&self, zone: &str, stem: &str) -> Vec<Value> {
        let all = self.peek(&format!("zones/{zone}/instances"));
        let of_stem = |one: &&Value| one["name"].as_str().is_some_and(|name| name.starts_with(stem));
        all["items"].as_array().into_iter().flatten().filter(of_stem).cloned().collect()
    }

    /// When guests of these instances reported something, by their consoles.
    #[must_use]
    pub fn reports(&self, zone: &str, instances: &[String]) -> Vec<Timestamp> {
        let mut times: Vec<Timestamp> = instances
            .iter()
            .flat_map(|name| {
                let console = self.peek(&format!("zones/{zone}/instances/{name}/serialPort"));
                let text = console["contents"].as_str().unwrap_or_default().to_owned();
                text.lines().filter_map(report_time).collect::<Vec<_>>()
            })
            .collect();
        times.sort_unstable();
        times
    }
}

/// The time of a line such as `[2026-03-01T08:00:00.000-08:00] rehost: Serving`.
fn report_time(line: &str) -> Option<Timestamp> {
    let (stamp, rest) = line.strip_prefix('[')?.split_once("] ")?;
    rest.starts_with("rehost: ").then(|| stamp.parse().ok())?
}

#[allow(clippy::disallowed_methods, reason = "an installation for people begins in their present")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_told_from_other_lines() {
        assert!(report_time("[2026-03-01T08:00:00.000-08:00] rehost: Serving ").is_some());
        assert!(report_time("[2026-03-01T08:00:00.000-08:00] Linux version 6").is_none());
        assert!(report_time("rehost: Serving").is_none());
    }
}
