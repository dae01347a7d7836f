//! The real transport, the SDK's and our own, against a server on this machine: what a stub cannot show.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::errors::Cause;
use super::mutation::{Mutation, Place};
use super::{Gce, GceSettings};
use crate::seen::Seen;

type Log = Arc<Mutex<Vec<String>>>;

fn answer(method: &Method, path: &str) -> (StatusCode, String) {
    let refuse = |status: StatusCode, reason: &str| {
        let body = json!({"error": {"code": status.as_u16(), "message": format!("{reason}!"),
            "errors": [{"domain": "global", "reason": reason, "message": reason}]}});
        (status, body.to_string())
    };
    let zone = "/compute/v1/projects/p/zones/z-a";
    match (method.as_str(), path.strip_prefix(zone).unwrap_or(path)) {
        ("GET", "/instances/vm") => {
            let body: Value = json!({"id": "7", "name": "vm", "status": "RUNNING", "labelFingerprint": "vezUS-42LLM="});
            (StatusCode::OK, body.to_string())
        }
        ("GET", "/instances/behind-a-proxy") => (StatusCode::NOT_FOUND, "<html>no such page</html>".to_owned()),
        ("POST", "/instances/vm/start") => refuse(StatusCode::SERVICE_UNAVAILABLE, "backendError"),
        ("POST", "/instances/vm/stop") => {
            (StatusCode::OK, json!({"name": "operation-1", "status": "PENDING"}).to_string())
        }
        ("GET", "/compute/v1/projects/p/aggregated/instances") => {
            (StatusCode::OK, json!({"kind": "compute#instanceAggregatedList"}).to_string())
        }
        ("GET", "/instances/crowded" | "/compute/v1/projects/p/aggregated/disks") => {
            refuse(StatusCode::FORBIDDEN, "rateLimitExceeded")
        }
        _ => refuse(StatusCode::NOT_FOUND, "notFound"),
    }
}

/// A server, and a connection to it.
async fn connected() -> (Gce, Log) {
    let log = Log::default();
    let noted = log.clone();
    let app = Router::new().fallback(move |method: Method, uri: Uri| {
        noted.lock().unwrap().push(format!("{method} {uri}"));
        std::future::ready(answer(&method, uri.path()))
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = Some(format!("http://{}", listener.local_addr().expect("an address")));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let gce = Gce::connect(GceSettings { endpoint, ..GceSettings::default() }).await.expect("connected");
    (gce, log)
}

fn place() -> Place {
    Place::new("p", "z-a")
}

#[tokio::test]
async fn reads_tell_there_from_not_there_from_not_known() {
    let (gce, log) = connected().await;
    let found = gce.instance(&place(), "vm").await.into_present().expect("there");
    assert_eq!((found.id, found.label_fingerprint.as_deref()), (7, Some("vezUS-42LLM=")));
    assert!(gce.instance(&place(), "other").await.is_absent());
    assert!(gce.disk(&place(), "other").await.is_absent());
    assert!(gce.guest_report(&place(), "vm").await.is_absent());
    let proxy = gce.instance(&place(), "behind-a-proxy").await;
    assert!(matches!(proxy, Seen::Unknown(_)), "{proxy:?}");
    let crowded = gce.instance(&place(), "crowded").await;
    assert_eq!(crowded.unknown(), Some("rateLimitExceeded!"));
    assert_eq!(log.lock().unwrap().len(), 6, "one request for each look: {:?}", log.lock().unwrap());
}

#[tokio::test]
async fn changes_carry_their_request_id_and_are_sent_once() {
    let (gce, log) = connected().await;
    let id = Uuid::from_u128(0xA);
    let start = Mutation::StartInstance { place: place(), name: "vm".into(), id: 7 };
    let error = gce.start(&start, id).await.expect_err("refused");
    assert_eq!((error.cause, error.http_status), (Cause::Server, Some(503)));
    let stop = Mutation::StopInstance { place: place(), name: "vm".into(), id: 7, discard_local_ssd: false };
    assert_eq!(gce.start(&stop, id).await.expect("accepted").name, "operation-1");
    let log = log.lock().unwrap();
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(log.iter().all(|line| line.contains(&format!("requestId={id}"))), "{log:?}");
    assert!(!log[1].contains("discardLocalSsd"), "{log:?}");
}

#[tokio::test]
async fn lists_are_got_with_their_fields() {
    let (gce, log) = connected().await;
    let error = gce.inventory("p", "c", Timestamp::UNIX_EPOCH).await.expect_err("the second list is refused");
    assert_eq!(error.cause, Cause::RateLimited);
    let log = log.lock().unwrap();
    assert!(log[0].starts_with("GET /compute/v1/projects/p/aggregated/instances?filter=labels.rehost-cluster%3Dc&"));
    assert!(log[0].contains("&fields=items%2F*%2Finstances%28name%2C"), "{}", log[0]);
}

#[tokio::test]
async fn where_nobody_listens_the_effect_is_unknown() {
    let endpoint = Some("http://127.0.0.1:9".to_owned());
    let gce = Gce::connect(GceSettings { endpoint, ..GceSettings::default() }).await.expect("nothing is asked yet");
    assert!(gce.instance(&place(), "vm").await.unknown().is_some());
    let start = Mutation::StartInstance { place: place(), name: "vm".into(), id: 7 };
    let error = gce.start(&start, Uuid::from_u128(1)).await.expect_err("no answer");
    assert_eq!((error.cause.clone(), error.is_definite()), (Cause::EffectUnknown, false));
    let swept = gce.inventory("p", "c", Timestamp::UNIX_EPOCH).await.expect_err("no answer");
    assert_eq!(swept.cause, Cause::EffectUnknown);
}
