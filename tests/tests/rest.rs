//! What only the HTTP face does: waits that are held, the driver, the end, and who may connect.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use jiff::Timestamp;
use rehost_tests::world::exchange::{Exchange, log_file};
use rehost_tests::world::rest::{ServeError, SharedWorld, WorldClock, serve};
use rehost_tests::world::schema::check_log;
use rehost_tests::world::{World, WorldSettings};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

struct Served {
    client: reqwest::Client,
    base: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), ServeError>>,
}

async fn served(scale: f64, log: &Path) -> Served {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let start: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let world = World::new(WorldSettings {
        project: "demo-project".to_owned(),
        project_number: 123_456_789_012,
        seed: 5,
        start,
        base_url: "https://www.googleapis.com/compute/v1".to_owned(),
        guests: true,
    });
    let world = SharedWorld::new(world, WorldClock::new(start, scale), vec![log_file(log).unwrap()]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base =
        format!("http://{}/compute/v1/projects/demo-project/zones/us-central1-a", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(serve(listener, world, async move {
        let _ = stopped.await;
    }));
    Served { client: reqwest::Client::builder().no_proxy().build().unwrap(), base, stop, task }
}

impl Served {
    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self.client.post(format!("{}/{path}", self.base)).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn begin_disk(&self) -> String {
        let (status, operation) = self.post("disks", json!({"name": "home", "sizeGb": "10"})).await;
        assert_eq!(status, 200, "{operation}");
        assert_ne!(operation["status"], "DONE");
        operation["name"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_wait_is_held_until_the_operation_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("world.log");
    let served = served(20.0, &log).await;
    let operation = served.begin_disk().await;
    let (status, waited) = served.post(&format!("operations/{operation}/wait"), json!({})).await;
    assert_eq!((status, waited["status"].as_str()), (200, Some("DONE")), "{waited}");
    served.stop.send(()).unwrap();
    served.task.await.unwrap().unwrap();
    let text = std::fs::read_to_string(&log).unwrap();
    let lines: Vec<Exchange> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2, "a wait is one request, however often it looked: {text}");
    assert_eq!(lines[1].response["status"], "DONE");
    let ended: Timestamp = lines[1].response["endTime"].as_str().unwrap().parse().unwrap();
    let late = lines[1].time.duration_since(ended).as_secs_f64();
    assert!((0.0..60.0).contains(&late), "answered {late} s after the end");
    assert_eq!(check_log(text.lines()), []);
}

#[tokio::test]
async fn the_end_does_not_wait_for_those_that_wait() {
    let folder = tempfile::tempdir().unwrap();
    // At this pace the operation would take hours.
    let served = served(0.001, &folder.path().join("world.log")).await;
    let operation = served.begin_disk().await;
    let wait = served.client.post(format!("{}/operations/{operation}/wait", served.base)).json(&json!({})).send();
    let wait = tokio::spawn(wait);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let asked = Instant::now();
    served.stop.send(()).unwrap();
    let answer = timeout(Duration::from_secs(10), wait).await.expect("the wait is let go").unwrap().unwrap();
    let answer: Value = answer.json().await.unwrap();
    assert_ne!(answer["status"], "DONE");
    drop(served.client);
    timeout(Duration::from_secs(10), served.task).await.expect("serving ends").unwrap().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn what_is_no_call_is_refused_in_the_apis_own_form() {
    let folder = tempfile::tempdir().unwrap();
    let served = served(1.0, &folder.path().join("world.log")).await;
    let garbage = served.client.post(format!("{}/disks", served.base)).body("{not json").send().await.unwrap();
    assert_eq!(garbage.status(), 400);
    let body: Value = garbage.json().await.unwrap();
    assert_eq!(body["error"]["errors"][0]["reason"], "parseError");
    let elsewhere = served.base.replace("/compute/v1/", "/storage/v1/");
    assert_eq!(served.client.get(elsewhere).send().await.unwrap().status(), 404);
    let head = served.client.head(&served.base).send().await.unwrap();
    assert_eq!(head.status(), 405);
    served.stop.send(()).unwrap();
    served.task.await.unwrap().unwrap();
}

#[tokio::test]
async fn other_machines_are_not_served() {
    let start: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let settings = WorldSettings {
        project: "demo-project".to_owned(),
        project_number: 1,
        seed: 5,
        start,
        base_url: "https://www.googleapis.com/compute/v1".to_owned(),
        guests: true,
    };
    let world = SharedWorld::new(World::new(settings), WorldClock::new(start, 1.0), Vec::new());
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let refused = serve(listener, world, std::future::pending()).await;
    assert!(matches!(refused, Err(ServeError::NotLoopback(_))), "{refused:?}");
}
