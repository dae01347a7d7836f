//! The simulated API server answers as the real kube-apiserver does.
//!
//! Two hundred random scripts run against both; every status code and every body must be the same, but for times,
//! uids, versions and addresses, which must only correspond. With `REHOST_SCRIPTS=from..to` other seeds run, and
//! with `REHOST_SHOW=1` every request and the real answer is printed.
#![allow(
    clippy::expect_used,
    clippy::similar_names,
    clippy::needless_pass_by_value,
    reason = "a test ends where its world is not as it must be"
)]

mod bodies;
mod compare;
mod scripts;
mod watches;

use std::fmt::Write as _;
use std::sync::Arc;

use compare::{Side, differences};
use kube::Client;
use rehost_tests::control_plane::{self, ControlPlane};
use rehost_tests::kube::extract::{DOCUMENTS, extract};
use rehost_tests::kube::{ApiServer, Kinds, Settings};
use serde_json::Value;

const SCRIPTS: std::ops::Range<u64> = 0..200;
/// Differences shown before the test gives up.
const SHOWN: usize = 60;

async fn real() -> ControlPlane {
    let settings = control_plane::Settings {
        // Volumes keep their protection here, since the simulated server sets it too.
        disabled_admission: vec!["ServiceAccount".to_owned()],
        ..control_plane::Settings::default()
    };
    ControlPlane::start(settings).await.expect("the control plane starts")
}

#[allow(clippy::disallowed_methods, reason = "the real one's clock is the machine's, too")]
fn simulated(crd: &Value) -> ApiServer {
    let now = Arc::new(jiff::Timestamp::now);
    ApiServer::new(Settings {
        seed: 1,
        now,
        kinds: Arc::new(Kinds::new(std::slice::from_ref(crd))),
        controllers: false,
    })
}

async fn install(client: &Client, crd: &Value) {
    let request = http::Request::post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        .header(http::header::CONTENT_TYPE, scripts::JSON)
        .body(crd.to_string().into_bytes())
        .expect("a request");
    client.request::<Value>(request).await.expect("the definition is taken");
    for _ in 0..100 {
        let request = http::Request::get("/apis/test.rehost.dev/v1/gadgets").body(Vec::new()).expect("a request");
        if client.request::<Value>(request).await.is_ok() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the definition is never served");
}

fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("REHOST_SCRIPTS").ok();
    let range = asked.as_deref().and_then(|text| text.split_once(".."));
    let numbers = range.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    numbers.unwrap_or(SCRIPTS)
}

/// What differs in one script.
async fn run(seed: u64, real: &Client, simulated: &Client) -> Vec<String> {
    let script = scripts::script(seed);
    let (mut one, mut other) = (Side::new(real.clone()), Side::new(simulated.clone()));
    let mut out = Vec::new();
    let from = (watches::version(real).await, watches::version(simulated).await);
    for (index, step) in script.steps.iter().enumerate() {
        let (wanted, found) = (one.run(step).await, other.run(step).await);
        if std::env::var_os("REHOST_SHOW").is_some() {
            eprintln!("{index} {} {} {}\n  {} {}", step.method, step.path, step.body, wanted.status, wanted.body);
        }
        if wanted != found {
            let mut text = format!(
                "script {seed} step {index}: {} {} {}\n  {}\n",
                step.method, step.path, step.content_type, step.body
            );
            let _ = writeln!(text, "  status: real {} simulated {}", wanted.status, found.status);
            for line in differences(&wanted.body, &found.body) {
                let _ = writeln!(text, "  {line}");
            }
            out.push(text);
            // What follows would differ for the same cause.
            return out;
        }
    }
    let wanted = watches::events(real, &one, &script, &from.0).await;
    let found = watches::events(simulated, &other, &script, &from.1).await;
    for (wanted, found) in wanted.iter().zip(&found) {
        if wanted != found {
            let lines = match (watches::outline(wanted), watches::outline(found)) {
                (one, other) if one == other => differences(wanted, found).join("\n  "),
                (one, other) => format!("real\n    {one}\n  simulated\n    {other}"),
            };
            out.push(format!("script {seed} watches:\n  {lines}\n"));
        }
    }
    out
}

#[tokio::test]
async fn the_simulated_server_answers_as_the_real_one() {
    let crd: Value = serde_saphyr::from_str(bodies::GADGETS).expect("the definition is YAML");
    let plane = real().await;
    let real = plane.client(control_plane::ADMIN).await.expect("a client");
    check_extract(&real).await;
    install(&real, &crd).await;
    let server = simulated(&crd);
    let simulated = server.client("admin");
    let mut failures = Vec::new();
    let mut failed = 0;
    for seed in seeds() {
        let found = run(seed, &real, &simulated).await;
        failed += usize::from(!found.is_empty());
        failures.extend(found);
    }
    assert!(
        failures.is_empty(),
        "{failed} of {} scripts differ:\n{}",
        seeds().count(),
        failures.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n")
    );
}

/// The tree's extract of the `OpenAPI` document is what this server's would be.
async fn check_extract(client: &Client) {
    let mut documents = Vec::new();
    for document in DOCUMENTS {
        let request = http::Request::get(format!("/openapi/v3/{document}")).body(Vec::new()).expect("a request");
        documents.push(client.request::<Value>(request).await.expect("a document"));
    }
    let made = extract(&documents);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/kube/openapi.json");
    if std::env::var_os("REHOST_WRITE_EXTRACT").is_some() {
        std::fs::write(path, &made).expect("the extract is written");
        return;
    }
    let kept = std::fs::read_to_string(path).expect("the extract is there");
    assert!(made == kept, "openapi.json is not what this server says; REHOST_WRITE_EXTRACT=1 writes it again");
}
