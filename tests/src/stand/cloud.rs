//! The simulated cloud of an installation, and the hand that changes it.

use std::net::SocketAddr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{PROJECT, StandSettings};
use crate::world::exchange::{Observer, log_file};
use crate::world::rest::{SharedWorld, WorldClock};
use crate::world::{Method, Request, Response, World, WorldSettings};

/// The cloud and where it listens.
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
            guests: true,
        });
        for family in ["notebook-cpu", "notebook-gpu"] {
            world.image_add(&format!("{family}-v20261101"), family, "X86_64", 10);
        }
        world.image_add("notebook-arm-v20261101", "notebook-arm", "ARM64", 10);
        let world = SharedWorld::new(world, WorldClock::new(start, settings.time_scale), observers);
        Ok(Self { world, address })
    }

    /// One request, as anybody with rights in the project could make it.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let request = Request { method, path: format!("projects/{PROJECT}/{path}"), query: Vec::new(), body };
        self.world.answer(&request).await
    }

    /// One change, waited for. The error's text on a refusal.
    pub async fn change(&self, path: &str, body: Value) -> Result<(), String> {
        let answer = self.call(Method::Post, path, Some(body)).await;
        if answer.status >= 300 {
            return Err(answer.body.to_string());
        }
        let zone = path.split('/').nth(1).unwrap_or_default();
        let operation = answer.body["name"].as_str().unwrap_or_default();
        let done = self.call(Method::Post, &format!("zones/{zone}/operations/{operation}/wait"), None).await;
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
        self.change(&format!("zones/{zone}/instances"), body).await
    }

    /// Sets how many more VMs of a shape (a pattern with `*`) a zone has room for; none for no bound.
    pub fn capacity(&self, zone: &str, pattern: &str, most: Option<u32>) {
        self.world.with(|world, _| world.capacity_set(zone, pattern, most));
    }
}

#[allow(clippy::disallowed_methods, reason = "an installation for people begins in their present")]
fn now() -> Timestamp {
    Timestamp::now()
}
