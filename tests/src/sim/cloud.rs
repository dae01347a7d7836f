//! Compute Engine as the controller of a run has it: the SDK's clients and the sweep, both into the same world.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use google_cloud_compute_v1::client;
use rehost::gce::{Cause, Clients, Gce, GceError, Sweep};
use rehost::guest_files::GuestFiles;

use super::line::{Asked, Line};
use super::shared::CONTROLLER;
use crate::world::exchange::method_name;
use crate::world::sdk::{Hook, Intercept, WorldStub};
use crate::world::{Method, Request};

/// Compute Engine over one incarnation's line.
pub fn gce(line: &Arc<Line>) -> Gce {
    let shared = line.shared();
    let clock = shared.clock.clone();
    let stub = WorldStub::new(shared.world.clone(), Arc::new(move || clock.now())).with_hook(hook(line));
    let stub = Arc::new(stub);
    let clients = Clients {
        instances: client::Instances::from_stub::<WorldStub>(stub.clone()),
        disks: client::Disks::from_stub::<WorldStub>(stub.clone()),
        images: client::Images::from_stub::<WorldStub>(stub.clone()),
        snapshots: client::Snapshots::from_stub::<WorldStub>(stub.clone()),
        zone_operations: client::ZoneOperations::from_stub::<WorldStub>(stub.clone()),
        region_operations: client::RegionOperations::from_stub::<WorldStub>(stub.clone()),
        global_operations: client::GlobalOperations::from_stub::<WorldStub>(stub.clone()),
        machine_types: client::MachineTypes::from_stub::<WorldStub>(stub.clone()),
        accelerator_types: client::AcceleratorTypes::from_stub::<WorldStub>(stub.clone()),
        regions: client::Regions::from_stub::<WorldStub>(stub.clone()),
        projects: client::Projects::from_stub::<WorldStub>(stub.clone()),
    };
    Gce::from_parts(clients, Arc::new(WorldSweep { stub }), GuestFiles::none())
}

fn hook(line: &Arc<Line>) -> Hook {
    let line = line.clone();
    Arc::new(move |request: &Request| goes(line.clone(), request.clone()).boxed())
}

async fn goes(line: Arc<Line>, request: Request) -> Intercept {
    let what = format!("{} {}", method_name(request.method), request.path);
    let asked = Asked { what, writes_status: false };
    let number = line.goes_out(&asked).await;
    let shared = line.shared().clone();
    shared.travels().await;
    // From here to the effect nobody else has a turn.
    shared.world_catches_up();
    shared.cloud_changes(&request);
    shared.speaks(CONTROLLER);
    Intercept::Hold(
        async move {
            if request.method != Method::Get {
                shared.stepped();
            }
            line.comes_in(number, &asked).await;
        }
        .boxed(),
    )
}

struct WorldSweep {
    stub: Arc<WorldStub>,
}

impl Sweep for WorldSweep {
    fn get(&self, path: &str, query: Vec<(String, String)>) -> BoxFuture<'_, Result<Bytes, GceError>> {
        let path = path.trim_start_matches("/compute/v1/").to_owned();
        async move {
            let answer = self.stub.sweep(&path, &query).await;
            let answer =
                answer.map_err(|failure| GceError::new(Cause::EffectUnknown, format!("no answer: {failure}")))?;
            let body = Bytes::from(answer.body.to_string());
            if answer.status == 200 { Ok(body) } else { Err(GceError::from_body(answer.status, &body)) }
        }
        .boxed()
    }
}
