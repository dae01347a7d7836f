//! Requests as Eventarc, Pub/Sub and Logging send them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_cloudevents::google::events::cloud::audit::v1::{AuditLog, LogEntryData};
use google_cloudevents::google::events::cloud::pubsub::v1::{MessagePublishedData, PubsubMessage};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use prost::Message as _;
use serde_json::{Value, json};

use super::*;
use crate::clock::TokioClock;

const TOKEN: &str = "s3cret-s3cret-s3cret";
const INSTANCE: &str = "projects/research-7/zones/europe-west4-b/instances/rh-3f6c2a9e-t4-1";

/// The last of the two entries that a machine type change leaves, as Logging has it.
fn entry(method: &str, resource_name: &str) -> Value {
    json!({
        "insertId": "-x1w8t6d1q2m",
        "logName": "projects/research-7/logs/cloudaudit.googleapis.com%2Factivity",
        "operation": {"id": "operation-1786-5f1", "last": true, "producer": "compute.googleapis.com"},
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
            "authenticationInfo": {"principalEmail": "someone@example.com"},
            "authorizationInfo": [{"granted": true, "permission": "compute.instances.setMachineType",
                "resourceAttributes": {"service": "compute", "name": resource_name, "type": "compute.instances"}}],
            "methodName": method,
            "numResponseItems": "1",
            "request": {"@type": "type.googleapis.com/compute.instances.setMachineType"},
            "requestMetadata": {"callerIp": "203.0.113.7", "callerSuppliedUserAgent": "google-cloud-sdk"},
            "resourceLocation": {"currentLocations": ["europe-west4-b"]},
            "resourceName": resource_name,
            "response": null,
            "serviceName": "compute.googleapis.com"
        },
        "receiveTimestamp": "2026-07-30T10:00:01.301Z",
        "resource": {"type": "gce_instance",
            "labels": {"instance_id": "4567890123", "project_id": "research-7", "zone": "europe-west4-b"}},
        "severity": "NOTICE",
        "timestamp": "2026-07-30T10:00:00.125Z"
    })
}

fn protobuf(resource_name: &str) -> Vec<u8> {
    let labels = [("project_id", "research-7"), ("zone", "europe-west4-b")];
    let mut data = LogEntryData {
        log_name: "projects/research-7/logs/cloudaudit.googleapis.com%2Factivity".to_owned(),
        proto_payload: Some(AuditLog {
            service_name: "compute.googleapis.com".to_owned(),
            method_name: "v1.compute.instances.stop".to_owned(),
            resource_name: resource_name.to_owned(),
            ..AuditLog::default()
        }),
        ..LogEntryData::default()
    };
    #[allow(clippy::default_trait_access, reason = "the crate does not name the type in public")]
    let resource = data.resource.insert(Default::default());
    resource.r#type = "gce_instance".to_owned();
    resource.labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    data.encode_to_vec()
}

/// The message of a Logging sink's topic.
fn push(entry: &Value) -> Value {
    json!({
        "message": {
            "attributes": {"logging.googleapis.com/timestamp": "2026-07-30T10:00:00.125Z"},
            "data": STANDARD.encode(entry.to_string()),
            "messageId": "11837", "message_id": "11837",
            "publishTime": "2026-07-30T10:00:02.1Z", "publish_time": "2026-07-30T10:00:02.1Z"
        },
        "subscription": "projects/research-7/subscriptions/rehost"
    })
}

fn envelope(kind: &str, rest: &Value) -> Value {
    let mut event = json!({
        "specversion": "1.0", "id": "projects/research-7/logs/x", "type": kind, "time": "2026-07-30T10:00:01Z",
        "source": "//cloudaudit.googleapis.com/projects/research-7/logs/activity"
    });
    event.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    event
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

const AUDIT: [(&str, &str); 6] = [
    ("content-type", "application/json; charset=utf-8"),
    ("ce-specversion", "1.0"),
    ("ce-type", "google.cloud.audit.log.v1.written"),
    ("ce-source", "//cloudaudit.googleapis.com/projects/research-7/logs/activity"),
    ("ce-servicename", "compute.googleapis.com"),
    ("ce-resourcename", INSTANCE),
];

fn audit(media: &str) -> HeaderMap {
    let mut headers = headers(&AUDIT);
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(media).unwrap());
    headers
}

fn read(headers: &HeaderMap, body: impl AsRef<[u8]>) -> Vec<Hint> {
    decode::hints(headers, body.as_ref()).unwrap()
}

fn the_instance() -> Vec<Hint> {
    vec![Hint {
        project: "research-7".to_owned(),
        zone: Some("europe-west4-b".to_owned()),
        resource: Some((Kind::Instance, "rh-3f6c2a9e-t4-1".to_owned())),
    }]
}

#[test]
fn an_audit_log_entry_from_eventarc() {
    let body = entry("v1.compute.instances.setMachineType", INSTANCE).to_string();
    assert_eq!(read(&headers(&AUDIT), &body), the_instance());
}

#[test]
fn the_same_as_protobuf() {
    for media in ["application/protobuf", "application/x-protobuf"] {
        assert_eq!(read(&audit(media), protobuf(INSTANCE)), the_instance());
    }
}

#[test]
fn attributes_do_when_the_data_is_empty() {
    assert_eq!(read(&headers(&AUDIT), ""), the_instance());
}

#[test]
fn structured_mode() {
    let entry = entry("beta.compute.instances.start", INSTANCE);
    let media = headers(&[("content-type", "application/cloudevents+json; charset=UTF-8")]);
    let json = envelope(AUDIT[2].1, &json!({"datacontenttype": "application/json", "data": entry}));
    let base64 = envelope(AUDIT[2].1, &json!({"data_base64": STANDARD.encode(entry.to_string())}));
    let protobuf = envelope(
        AUDIT[2].1,
        &json!({"datacontenttype": "application/protobuf", "data_base64": STANDARD.encode(protobuf(INSTANCE))}),
    );
    for body in [&json, &base64, &protobuf] {
        assert_eq!(read(&media, body.to_string()), the_instance(), "{body}");
    }
    let plain = headers(&[("content-type", "application/json")]);
    assert_eq!(read(&plain, json.to_string()), the_instance(), "known by its fields");
    let batch = headers(&[("content-type", "application/cloudevents-batch+json")]);
    assert_eq!(read(&batch, json!([json, base64]).to_string()).len(), 2);
}

#[test]
fn a_pub_sub_message_as_a_cloud_event() {
    let kind = "google.cloud.pubsub.topic.v1.messagePublished";
    let entry = entry("compute.instances.preempted", INSTANCE);
    let binary = headers(&[("content-type", "application/json"), ("ce-specversion", "1.0"), ("ce-type", kind)]);
    assert_eq!(read(&binary, push(&entry).to_string()), the_instance());
    let structured = headers(&[("content-type", "application/cloudevents+json")]);
    assert_eq!(read(&structured, envelope(kind, &json!({"data": push(&entry)})).to_string()), the_instance());
    let published = MessagePublishedData {
        message: Some(PubsubMessage { data: entry.to_string().into_bytes(), ..PubsubMessage::default() }),
        ..MessagePublishedData::default()
    };
    let binary = headers(&[("content-type", "application/protobuf"), ("ce-specversion", "1.0"), ("ce-type", kind)]);
    assert_eq!(read(&binary, published.encode_to_vec()), the_instance());
}

#[test]
fn a_push_without_cloud_events_wrapped_and_not() {
    let mut entry = entry("compute.instances.preempted", INSTANCE);
    entry["logName"] = json!("projects/research-7/logs/cloudaudit.googleapis.com%2Fsystem_event");
    entry["protoPayload"]["authenticationInfo"] = json!({"principalEmail": "system@google.com"});
    let plain = headers(&[("content-type", "application/json")]);
    assert_eq!(read(&plain, push(&entry).to_string()), the_instance());
    assert_eq!(read(&HeaderMap::new(), entry.to_string()), the_instance());
}

#[test]
fn names_of_resources() {
    let hint = |name: &str| read(&audit("application/json"), entry("v1.compute.x", name).to_string()).pop();
    let disk = hint("projects/research-7/zones/europe-west4-b/disks/rh-home").unwrap();
    assert_eq!(disk.resource, Some((Kind::Disk, "rh-home".to_owned())));
    let full = hint("//compute.googleapis.com/projects/example.com:research/zones/us-central1-a/instances/a").unwrap();
    assert_eq!((full.project.as_str(), full.zone.as_deref()), ("example.com:research", Some("us-central1-a")));
    let number = hint("projects/1234567/zones/europe-west4-b/instances/a").unwrap();
    assert_eq!(number.project, "research-7", "the id, from the entry's labels");
    let bulk = hint("projects/research-7/zones/europe-west4-b/instances").unwrap();
    assert_eq!((bulk.zone.as_deref(), bulk.resource), (Some("europe-west4-b"), None));
    let regional = hint("projects/research-7/regions/europe-west4/disks/rh-home").unwrap();
    assert_eq!(regional.zone.as_deref(), Some("europe-west4-b"), "from the entry's labels");
}

#[test]
fn what_is_no_instance_and_no_disk_concerns_nobody() {
    for name in [
        "projects/research-7/global/firewalls/allow-ssh",
        "projects/research-7/zones/europe-west4-b/operations/op-1",
        "projects/research-7",
        "instances/a",
        "",
    ] {
        assert_eq!(read(&audit("application/json"), entry("v1.compute.x", name).to_string()), Vec::new(), "{name}");
    }
    let mut storage = entry("storage.objects.create", INSTANCE);
    storage["protoPayload"]["serviceName"] = json!("storage.googleapis.com");
    assert_eq!(read(&audit("application/json"), storage.to_string()), Vec::new());
    let other = envelope("com.example.other", &json!({"data": entry("x", INSTANCE)}));
    let media = headers(&[("content-type", "application/cloudevents+json")]);
    assert_eq!(read(&media, other.to_string()), Vec::new());
}

#[test]
fn odd_names_go_no_further() {
    let hint = |name: &str| read(&audit("application/json"), entry("v1.compute.x", name).to_string()).pop();
    assert_eq!(hint("projects/a\nb/zones/z/instances/i"), None);
    let odd = hint("projects/research-7/zones/Z Z/instances/i\u{1b}[1m").unwrap();
    assert_eq!((odd.zone, odd.resource), (None, None));
    assert_eq!(hint(&format!("projects/p/zones/z/instances/{}", "i".repeat(64))).unwrap().resource, None);
}

#[test]
fn what_cannot_be_read_is_said_not_to_be() {
    let json = audit("application/json");
    for (headers, body) in [
        (&json, b"{".to_vec()),
        (&json, b"7".to_vec()),
        (&HeaderMap::new(), b"[]".to_vec()),
        (&json, br#"{"protoPayload": 7}"#.to_vec()),
        (&audit("application/protobuf"), vec![0xff; 9]),
        (&HeaderMap::new(), br#"{"hello": "world"}"#.to_vec()),
        (&HeaderMap::new(), br#"{"message": {"data": "%%%"}}"#.to_vec()),
        (&HeaderMap::new(), br#"{"message": {"data": "e30="}, "x": "#.to_vec()),
        (&headers(&[("ce-specversion", "0.3"), ("ce-type", AUDIT[2].1)]), b"{}".to_vec()),
        (&headers(&[("content-type", "application/cloudevents+json")]), b"{}".to_vec()),
        (&headers(&[("content-type", "application/cloudevents-batch+json")]), b"{}".to_vec()),
    ] {
        assert!(decode::hints(headers, &body).is_err(), "{headers:?} {}", String::from_utf8_lossy(&body));
    }
    let deep = "[".repeat(100_000);
    assert!(decode::hints(&HeaderMap::new(), deep.as_bytes()).is_err(), "and not by the end of the stack");
}

fn events() -> (Events, Arc<Mutex<Vec<Hint>>>, Metrics) {
    events_of(Uptake::Taken)
}

fn events_of(uptake: Uptake) -> (Events, Arc<Mutex<Vec<Hint>>>, Metrics) {
    let seen = Arc::<Mutex<Vec<Hint>>>::default();
    let metrics = Metrics::new();
    let hints = seen.clone();
    let clock = Arc::new(TokioClock::new(Timestamp::UNIX_EPOCH));
    let token = Token::new(TOKEN).unwrap();
    let events = Events::new(token, clock, metrics.clone(), move |hint| {
        hints.lock().unwrap().push(hint);
        uptake
    });
    (events, seen, metrics)
}

fn bearer(value: &str) -> HeaderMap {
    let mut headers = headers(&AUDIT);
    headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
    headers
}

#[tokio::test(start_paused = true)]
async fn only_who_has_the_token_is_heard() {
    let (events, seen, metrics) = events();
    let body = entry("v1.compute.instances.stop", INSTANCE).to_string();
    let long = format!("Bearer {TOKEN}x");
    for (header, query) in [
        ("", None),
        ("Bearer ", None),
        (long.as_str(), None),
        ("Bearer s3cret", None),
        ("Basic s3cret-s3cret-s3cret", None),
        ("", Some("token=")),
        ("", Some("token=wrong&x=y")),
        ("", Some("nottoken=s3cret-s3cret-s3cret")),
    ] {
        assert_eq!(
            events.receive(&bearer(header), query, body.as_bytes()),
            StatusCode::UNAUTHORIZED,
            "{header} {query:?}"
        );
    }
    assert!(seen.lock().unwrap().is_empty());
    assert!(metrics.encode().contains(r#"rehost_hints_total{result="unauthorized"} 8"#));
    let query = format!("a=b&token={TOKEN}");
    for (header, query) in [
        (format!("bearer {TOKEN}"), None),
        (String::new(), Some(query.as_str())),
        ("Bearer eyJhbGciOi.of-the-push.subscription".to_owned(), Some(query.as_str())),
    ] {
        assert_eq!(events.receive(&bearer(&header), query, body.as_bytes()), StatusCode::NO_CONTENT);
    }
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_answered_and_dropped() {
    let (events, seen, metrics) = events();
    let headers = bearer(&format!("Bearer {TOKEN}"));
    let body = entry("v1.compute.instances.stop", INSTANCE).to_string();
    let send = |count: usize| {
        for _ in 0..count {
            assert_eq!(events.receive(&headers, None, body.as_bytes()), StatusCode::NO_CONTENT);
        }
        seen.lock().unwrap().len()
    };
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(send(60), EVENTS_MAX);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(send(60), EVENTS_MAX, "in any second, wherever it begins");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(send(1), EVENTS_MAX + 1);
    assert!(metrics.encode().contains(r#"rehost_hints_total{result="dropped"} 70"#));
}

#[tokio::test(start_paused = true)]
async fn a_forger_does_not_use_up_the_room_of_others() {
    let (events, seen, _metrics) = events();
    for _ in 0..500 {
        events.receive(&bearer("Bearer wrong-wrong-wrong"), None, b"");
    }
    let body = entry("v1.compute.instances.stop", INSTANCE).to_string();
    events.receive(&bearer(&format!("Bearer {TOKEN}")), None, body.as_bytes());
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_not_sent_again() {
    let (events, seen, metrics) = events();
    let headers = bearer(&format!("Bearer {TOKEN}"));
    assert_eq!(events.receive(&headers, None, b"{"), StatusCode::NO_CONTENT);
    let other = entry("v1.compute.firewalls.insert", "projects/research-7/global/firewalls/f").to_string();
    assert_eq!(events.receive(&headers, None, other.as_bytes()), StatusCode::NO_CONTENT);
    assert!(seen.lock().unwrap().is_empty());
    let page = metrics.encode();
    assert!(page.contains(r#"{result="unreadable"} 1"#) && page.contains(r#"{result="irrelevant"} 1"#), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_operate_sends_events_back() {
    let (events, _seen, metrics) = events_of(Uptake::NotOperating);
    let headers = bearer(&format!("Bearer {TOKEN}"));
    let body = entry("v1.compute.instances.stop", INSTANCE).to_string();
    assert_eq!(events.receive(&headers, None, body.as_bytes()), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(events.receive(&headers, None, b"{"), StatusCode::NO_CONTENT, "no other replica could read it either");
    assert!(metrics.encode().contains(r#"rehost_hints_total{result="sent_back"} 1"#));
}

#[test]
fn a_token_is_a_secret() {
    assert_eq!(Token::new("short"), Err(TokenError::Length));
    assert_eq!(Token::new(&"x".repeat(513)), Err(TokenError::Length));
    assert_eq!(Token::new("with spaces in the middle"), Err(TokenError::Character));
    let token = Token::new(TOKEN).unwrap();
    assert!(!format!("{token:?}").contains("s3cret"));
    assert!(token.is(TOKEN) && !token.is("") && !token.is(&TOKEN[1..]));
}
