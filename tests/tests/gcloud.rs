//! The Google Cloud CLI against the world, unchanged. `--nocapture` prints the whole talk.
//!
//! Where no `gcloud` is installed the test says so and ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use jiff::Timestamp;
use rehost_tests::world::exchange::Exchange;
use rehost_tests::world::rest::{SharedWorld, WorldClock, serve};
use rehost_tests::world::schema::check_exchange;
use rehost_tests::world::{World, WorldSettings};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::oneshot;

const PROJECT: &str = "demo-project";
const ZONE: &str = "us-central1-a";

/// What a command must say, and whether it must succeed.
struct Step {
    command: &'static str,
    succeeds: bool,
    says: &'static [&'static str],
}

const fn ok(command: &'static str, says: &'static [&'static str]) -> Step {
    Step { command, succeeds: true, says }
}

const fn refused(command: &'static str, says: &'static [&'static str]) -> Step {
    Step { command, succeeds: false, says }
}

/// `{zone}` is the zone; every word is an argument.
const STORY: &[Step] = &[
    ok("compute instances list", &["Listed 0 items."]),
    ok(
        "compute instances create taxi --zone={zone} --machine-type=n1-standard-4 --image-family=debian-12 --image-project=debian-cloud --metadata=enable-guest-attributes=TRUE --labels=team=a",
        &["Created", "taxi", "n1-standard-4", "RUNNING"],
    ),
    ok("compute instances create two three --zone={zone}", &["two", "three", "RUNNING"]),
    refused("compute instances create taxi --zone={zone}", &["already exists"]),
    refused("compute instances create four --zone={zone} --machine-type=z9-standard-4", &["z9-standard-4"]),
    ok("compute instances list", &["taxi", "two", "three", "e", "RUNNING"]),
    ok("compute instances list --filter=labels.team=a --format=value(name)", &["taxi"]),
    ok(
        "compute instances describe taxi --zone={zone}",
        &["name: taxi", "status: RUNNING", "machineTypes/n1-standard-4", "email: 123456789012-compute@"],
    ),
    ok(
        "compute disks create home --size=100GB --type=pd-balanced --zone={zone}",
        &["home", "100", "pd-balanced", "READY"],
    ),
    ok("compute instances attach-disk taxi --disk=home --device-name=home --zone={zone}", &["Updated"]),
    refused("compute instances attach-disk two --disk=home --zone={zone}", &["home"]),
    refused("compute instances set-machine-type taxi --machine-type=n1-standard-8 --zone={zone}", &["taxi"]),
    ok("compute instances stop taxi --zone={zone}", &["Updated"]),
    ok("compute instances set-machine-type taxi --machine-type=n1-standard-8 --zone={zone}", &["Updated"]),
    ok("compute instances start taxi --zone={zone}", &["Updated"]),
    ok(
        "compute instances describe taxi --zone={zone} --format=value(machineType.basename(),status)",
        &["n1-standard-8\tRUNNING"],
    ),
    ok("compute disks resize home --size=200GB --zone={zone} --quiet", &["Updated"]),
    refused("compute disks resize home --size=50GB --zone={zone} --quiet", &["50"]),
    refused("compute disks delete home --zone={zone} --quiet", &["home"]),
    ok("compute instances detach-disk taxi --disk=home --zone={zone}", &["Updated"]),
    ok("compute disks snapshot home --snapshot-names=home-1 --zone={zone}", &["home-1"]),
    ok("compute disks delete home --zone={zone} --quiet", &["Deleted"]),
    ok("compute machine-types list --zones={zone} --filter=name~^n1-standard", &["n1-standard-4", "15.00"]),
    ok("compute operations list --zones={zone}", &["setMachineType", "DONE"]),
    ok("compute operations list --filter=operationType=insert AND status=DONE", &["insert"]),
    ok("compute instances delete taxi two three --zone={zone} --quiet", &["Deleted"]),
    refused("compute instances describe taxi --zone={zone}", &["was not found"]),
    ok("compute instances list", &["Listed 0 items."]),
];

/// The arguments of a command: words, where a filter keeps its spaces.
fn arguments(command: &str) -> Vec<String> {
    let command = command.replace("{zone}", ZONE);
    let mut words: Vec<String> = Vec::new();
    let mut in_filter = false;
    for word in command.split(' ') {
        match words.last_mut() {
            Some(last) if in_filter && !word.starts_with("--") => last.extend([" ", word]),
            _ => words.push(word.to_owned()),
        }
        in_filter = words.last().is_some_and(|last| last.starts_with("--filter="));
    }
    words
}

async fn gcloud(address: SocketAddr, config: &Path, arguments: &[String]) -> (bool, String) {
    let output = Command::new("gcloud")
        .args(arguments)
        .env("CLOUDSDK_CONFIG", config)
        .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", format!("http://{address}/compute/v1/"))
        .env("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true")
        .env("CLOUDSDK_CORE_PROJECT", PROJECT)
        .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
        .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true")
        .env("CLOUDSDK_CORE_DISABLE_FILE_LOGGING", "true")
        .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true")
        .env_remove("HTTP_PROXY")
        .env_remove("HTTPS_PROXY")
        .env_remove("http_proxy")
        .env_remove("https_proxy")
        .stdin(Stdio::null())
        .output()
        .await
        .expect("gcloud starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

fn is_installed() -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("gcloud").is_file()))
}

fn world(seen: &Arc<Mutex<Vec<Exchange>>>) -> SharedWorld {
    let start: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
    let world = World::new(WorldSettings {
        project: PROJECT.to_owned(),
        project_number: 123_456_789_012,
        seed: 3,
        start,
        base_url: "https://www.googleapis.com/compute/v1".to_owned(),
        guests: true,
    });
    let seen = Arc::clone(seen);
    let observer = Arc::new(move |exchange: &Exchange| seen.lock().unwrap().push(exchange.clone()));
    SharedWorld::new(world, WorldClock::new(start, 60.0), vec![observer])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gcloud_works_unchanged() {
    if !is_installed() {
        println!("skipped: no gcloud in PATH");
        return;
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let served = tokio::spawn(serve(listener, world(&seen), async move {
        let _ = stopped.await;
    }));
    let config = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for step in STORY {
        let (succeeded, said) = gcloud(address, config.path(), &arguments(step.command)).await;
        println!("$ gcloud {}\n{said}", step.command.replace("{zone}", ZONE));
        let silent: Vec<&&str> = step.says.iter().filter(|word| !said.contains(**word)).collect();
        if succeeded != step.succeeds || !silent.is_empty() {
            faults.push(format!("gcloud {}: success {succeeded}, does not say {silent:?}:\n{said}", step.command));
        }
    }
    stop.send(()).unwrap();
    served.await.unwrap().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let seen = seen.lock().unwrap();
    let violations: Vec<String> = seen.iter().flat_map(check_exchange).map(|violation| violation.to_string()).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    println!("{} requests, all as documented", seen.len());
}
