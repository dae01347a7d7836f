//! The SDK over HTTP and the SDK's stubs in memory are one face: the same calls make the same requests, and the same
//! answers and errors come back.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use google_cloud_auth::credentials::anonymous;
use google_cloud_compute_v1::client::{
    AcceleratorTypes, Disks, Images, Instances, MachineTypes, Projects, Regions, Snapshots, ZoneOperations,
};
use google_cloud_compute_v1::model;
use google_cloud_gax::error::Error;
use google_cloud_gax::retry_policy::NeverRetry;
use jiff::{SignedDuration, Timestamp};
use rehost_tests::world::exchange::Exchange;
use rehost_tests::world::rest::{SharedWorld, WorldClock, serve};
use rehost_tests::world::sdk::{Failure, Hook, Intercept, WorldStub};
use rehost_tests::world::{Request, Response, World, WorldSettings};
use serde::Serialize;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const PROJECT: &str = "demo-project";
const ZONE: &str = "us-central1-a";

fn start() -> Timestamp {
    "2026-03-02T09:00:00Z".parse().unwrap()
}

fn new_world() -> World {
    World::new(WorldSettings {
        project: PROJECT.to_owned(),
        project_number: 123_456_789_012,
        seed: 11,
        start: start(),
        base_url: "https://www.googleapis.com/compute/v1".to_owned(),
        guests: true,
    })
}

struct Clients {
    instances: Instances,
    disks: Disks,
    operations: ZoneOperations,
    machine_types: MachineTypes,
    accelerator_types: AcceleratorTypes,
    regions: Regions,
    projects: Projects,
    images: Images,
    snapshots: Snapshots,
}

/// Lets the world's time pass.
type Later = Box<dyn Fn(i64)>;

/// All that a consumer could see of an answer.
fn seen<T: Serialize>(result: Result<T, Error>) -> String {
    match result {
        Ok(model) => serde_json::to_string(&model).unwrap(),
        Err(error) => format!(
            "http {:?}, status {}, payload {:?}, timeout {}, connect {}, io {}, transport {}, binding {}, {error}",
            error.http_status_code(),
            // By way of JSON, as the details hold a map without an order.
            serde_json::to_value(error.status()).unwrap(),
            error.http_payload(),
            error.is_timeout(),
            error.is_connect(),
            error.is_io(),
            error.is_transport(),
            error.is_binding(),
        ),
    }
}

fn notebook() -> model::Instance {
    let boot = model::AttachedDisk::new().set_boot(true).set_auto_delete(true).set_initialize_params(
        model::AttachedDiskInitializeParams::new()
            .set_source_image("projects/debian-cloud/global/images/family/debian-12")
            .set_disk_size_gb(50_i64)
            .set_disk_type(format!("zones/{ZONE}/diskTypes/pd-balanced")),
    );
    model::Instance::new()
        .set_name("taxi")
        .set_machine_type(format!("zones/{ZONE}/machineTypes/n1-standard-4"))
        .set_labels([("team", "a")])
        .set_metadata(
            model::Metadata::new()
                .set_items([model::metadata::Items::new().set_key("enable-guest-attributes").set_value("TRUE")]),
        )
        .set_disks([boot])
        .set_network_interfaces([model::NetworkInterface::new().set_network("global/networks/default")])
}

async fn story(clients: &Clients, later: &Later) -> Vec<String> {
    let mut told = Vec::new();
    macro_rules! tell {
        ($call:expr) => {
            told.push(seen($call.send().await))
        };
    }
    macro_rules! on {
        ($client:ident . $verb:ident) => {
            clients.$client.$verb().set_project(PROJECT).set_zone(ZONE)
        };
    }
    let Clients { regions, projects, images, snapshots, .. } = clients;
    tell!(projects.get().set_project(PROJECT));
    tell!(regions.get().set_project(PROJECT).set_region("us-central1"));
    tell!(images.get_from_family().set_project("debian-cloud").set_family("debian-12"));
    tell!(images.get().set_project("debian-cloud").set_image("none"));
    tell!(on!(machine_types.get).set_machine_type("n1-standard-4"));
    tell!(on!(machine_types.list).set_filter("name = n1-standard-4"));
    tell!(on!(accelerator_types.get).set_accelerator_type("nvidia-tesla-t4"));
    tell!(on!(accelerator_types.list).set_max_results(2_u32));
    tell!(
        on!(disks.insert).set_request_id("6c1c8e5e-8a40-4a5b-b9d2-0d9d2f6c0001").set_body(
            model::Disk::new()
                .set_name("home")
                .set_size_gb(100_i64)
                .set_type(format!("zones/{ZONE}/diskTypes/pd-balanced")),
        )
    );
    tell!(on!(instances.insert).set_body(notebook()));
    later(300);
    tell!(on!(operations.list).set_filter("status = DONE"));
    tell!(on!(instances.get).set_instance("taxi"));
    tell!(on!(instances.get).set_instance("none"));
    tell!(on!(instances.get).set_instance(""));
    tell!(on!(machine_types.get).set_machine_type("n1/standard"));
    tell!(
        on!(instances.attach_disk).set_instance("taxi").set_body(
            model::AttachedDisk::new().set_source(format!("zones/{ZONE}/disks/home")).set_device_name("home"),
        )
    );
    later(60);
    tell!(on!(disks.get).set_disk("home"));
    tell!(on!(disks.delete).set_disk("home"));
    tell!(on!(disks.resize).set_disk("home").set_body(model::DisksResizeRequest::new().set_size_gb(50_i64)));
    tell!(
        on!(disks.set_labels)
            .set_resource("home")
            .set_body(model::ZoneSetLabelsRequest::new().set_label_fingerprint(bytes::Bytes::from_static(b"stale")),)
    );
    tell!(on!(instances.set_disk_auto_delete).set_instance("taxi").set_auto_delete(false).set_device_name("home"));
    tell!(on!(instances.get_guest_attributes).set_instance("taxi").set_query_path("rehost/"));
    tell!(on!(instances.get_serial_port_output).set_instance("taxi").set_port(1).set_start(0_i64));
    tell!(on!(instances.stop).set_instance("taxi"));
    later(300);
    tell!(
        on!(instances.set_machine_type).set_instance("taxi").set_body(
            model::InstancesSetMachineTypeRequest::new()
                .set_machine_type(format!("zones/{ZONE}/machineTypes/n1-standard-8")),
        )
    );
    later(60);
    tell!(on!(disks.create_snapshot).set_disk("home").set_body(model::Snapshot::new().set_name("snap")));
    later(300);
    tell!(snapshots.get().set_project(PROJECT).set_snapshot("snap"));
    tell!(snapshots.delete().set_project(PROJECT).set_snapshot("snap"));
    tell!(on!(instances.list).set_order_by("creationTimestamp desc"));
    tell!(on!(instances.list).set_order_by("nonsense"));
    tell!(on!(instances.delete).set_instance("taxi"));
    told
}

async fn over_http() -> (Vec<String>, Vec<Exchange>) {
    let exchanges: Arc<Mutex<Vec<Exchange>>> = Arc::default();
    let log = Arc::clone(&exchanges);
    let observer = Arc::new(move |exchange: &Exchange| log.lock().unwrap().push(exchange.clone()));
    // So slow a clock stands still for this test, and moves by hand only.
    let world = SharedWorld::new(new_world(), WorldClock::new(start(), 1e-9), vec![observer]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, world.clone(), async move {
        let _ = stopped.await;
    }));
    macro_rules! client {
        ($client:ident) => {
            $client::builder()
                .with_endpoint(&endpoint)
                .with_credentials(anonymous::Builder::new().build())
                .with_retry_policy(NeverRetry)
                .build()
                .await
                .unwrap()
        };
    }
    let clients = Clients {
        instances: client!(Instances),
        disks: client!(Disks),
        operations: client!(ZoneOperations),
        machine_types: client!(MachineTypes),
        accelerator_types: client!(AcceleratorTypes),
        regions: client!(Regions),
        projects: client!(Projects),
        images: client!(Images),
        snapshots: client!(Snapshots),
    };
    let later: Later = Box::new(move |seconds| {
        world.with(|world, _| world.advance(world.now() + SignedDuration::from_secs(seconds)));
    });
    let told = story(&clients, &later).await;
    drop(clients);
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    let exchanges = exchanges.lock().unwrap().clone();
    (told, exchanges)
}

fn clients_in_memory(stub: &WorldStub) -> Clients {
    Clients {
        instances: Instances::from_stub(stub.clone()),
        disks: Disks::from_stub(stub.clone()),
        operations: ZoneOperations::from_stub(stub.clone()),
        machine_types: MachineTypes::from_stub(stub.clone()),
        accelerator_types: AcceleratorTypes::from_stub(stub.clone()),
        regions: Regions::from_stub(stub.clone()),
        projects: Projects::from_stub(stub.clone()),
        images: Images::from_stub(stub.clone()),
        snapshots: Snapshots::from_stub(stub.clone()),
    }
}

async fn in_memory() -> (Vec<String>, Vec<Exchange>) {
    let exchanges: Arc<Mutex<Vec<Exchange>>> = Arc::default();
    let log = Arc::clone(&exchanges);
    let mut world = new_world();
    world.observe(move |at, request: &Request, response: &Response| {
        log.lock().unwrap().push(Exchange::new(at, request, response));
    });
    let world = Arc::new(Mutex::new(world));
    let stub = WorldStub::new(Arc::clone(&world), Arc::new(start));
    let later: Later = Box::new(move |seconds| {
        let mut world = world.lock().unwrap();
        let to = world.now() + SignedDuration::from_secs(seconds);
        world.advance(to);
    });
    let told = story(&clients_in_memory(&stub), &later).await;
    let exchanges = exchanges.lock().unwrap().clone();
    (told, exchanges)
}

#[tokio::test]
async fn both_faces_are_one() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (told_over_http, sent_over_http) = over_http().await;
    let (told_in_memory, sent_in_memory) = in_memory().await;
    for (over_http, in_memory) in told_over_http.iter().zip(&told_in_memory) {
        assert_eq!(over_http, in_memory);
    }
    assert_eq!(told_over_http.len(), told_in_memory.len());
    let call = |exchange: &Exchange| {
        let Exchange { method, path, query, request, status, response, .. } = exchange.clone();
        (method, path, query, request, status, response)
    };
    for (over_http, in_memory) in sent_over_http.iter().zip(&sent_in_memory) {
        assert_eq!(call(over_http), call(in_memory));
    }
    assert_eq!(sent_over_http.len(), sent_in_memory.len());
    assert!(sent_over_http.iter().any(|exchange| exchange.status == 404), "errors are compared too");
}

/// One answer under a hook.
async fn hooked(intercept: impl Fn() -> Intercept + Send + Sync + 'static) -> (String, usize) {
    let world = Arc::new(Mutex::new(new_world()));
    let hook: Hook = Arc::new(move |_| {
        let intercept = intercept();
        Box::pin(async move { intercept })
    });
    let stub = WorldStub::new(Arc::clone(&world), Arc::new(start)).with_hook(hook);
    let disks = clients_in_memory(&stub).disks;
    let body = model::Disk::new().set_name("home").set_size_gb(10_i64);
    let told = seen(disks.insert().set_project(PROJECT).set_zone(ZONE).set_body(body).send().await);
    let world = world.lock().unwrap();
    (told, world.call_counts().values().sum::<u64>().try_into().unwrap())
}

#[tokio::test]
async fn a_hook_fails_before_and_after_the_effect() {
    let done = || Box::pin(async {});
    let (told, requests) = hooked(|| Intercept::FailBefore(Failure::Connect)).await;
    assert!(told.contains("connect true") && requests == 0, "{told}");
    let (told, requests) = hooked(move || Intercept::FailAfter(Failure::Timeout, done())).await;
    assert!(told.contains("timeout true") && requests == 1, "{told}");
    let (told, requests) = hooked(move || Intercept::FailAfter(Failure::Io, done())).await;
    assert!(told.contains("io true") && requests == 1, "{told}");
    let (told, requests) = hooked(move || Intercept::Hold(done())).await;
    assert!(told.contains("\"status\"") && requests == 1, "{told}");
    let page = Response { status: 502, body: "<html>Bad Gateway</html>".into() };
    let (told, requests) = hooked(move || Intercept::FailBefore(Failure::Answer(page.clone()))).await;
    assert!(told.contains("http Some(502)") && told.contains("Bad Gateway") && requests == 0, "{told}");
}
