//! From the bytes of a request to hints.
//!
//! | what comes | how it is known |
//! |---|---|
//! | a CloudEvent in binary mode, its data an audit log entry or a Pub/Sub message, as JSON or protobuf | `ce-` headers |
//! | a CloudEvent in structured mode, or a batch of them | the media type |
//! | a push of Pub/Sub without CloudEvents, wrapped or not | neither |
//!
//! The JSON is read by tolerant structs of our own: the shapes that the protobuf crate derives are not those that
//! Eventarc and Logging send.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use google_cloudevents::google::events::cloud::audit::v1::LogEntryData;
use google_cloudevents::google::events::cloud::pubsub::v1::MessagePublishedData;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use prost::Message as _;
use serde::Deserialize;
use serde_json::Value;

use super::{Hint, Kind};

const AUDIT_LOG: &str = "google.cloud.audit.log.v1.written";
const PUBSUB: &str = "google.cloud.pubsub.topic.v1.messagePublished";
const COMPUTE: &str = "compute.googleapis.com";
/// Events of a batch that are read.
const BATCH_MAX: usize = 50;
/// The longest name of an object or a zone.
const NAME_LENGTH_MAX: usize = 63;
/// The longest id of a project, its domain included.
const PROJECT_LENGTH_MAX: usize = 128;

/// Why a request could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is a CloudEvent of another version.
    #[error("a CloudEvent of version {0:?}, not 1.0")]
    Version(String),
    /// What should be JSON is not, or has another shape.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// What should be protobuf is not.
    #[error(transparent)]
    Protobuf(#[from] prost::DecodeError),
    /// What should be base64 is not.
    #[error(transparent)]
    Base64(#[from] base64::DecodeError),
    /// Nothing that we know of looks like this.
    #[error("neither a CloudEvent nor a Pub/Sub message nor a log entry")]
    Unknown,
}

/// What a request says that may have happened: nothing, when it is of no concern.
pub(super) fn hints(headers: &HeaderMap, body: &[u8]) -> Result<Vec<Hint>, Unreadable> {
    let media = header(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == "application/cloudevents+json" {
        return Ok(structured(serde_json::from_slice(body)?)?.into_iter().collect());
    }
    if media == "application/cloudevents-batch+json" {
        let batch: Vec<Envelope> = serde_json::from_slice(body)?;
        return batch.into_iter().take(BATCH_MAX).filter_map(|event| structured(event).transpose()).collect();
    }
    let hint = match header(headers, "ce-specversion") {
        Some(version) => {
            let attributes = Attributes {
                specversion: version.to_owned(),
                kind: header(headers, "ce-type").unwrap_or_default().to_owned(),
                servicename: header(headers, "ce-servicename").map(str::to_owned),
                resourcename: header(headers, "ce-resourcename").map(str::to_owned),
            };
            event(&attributes, &media, body)?
        }
        None => bare(body)?,
    };
    Ok(hint.into_iter().collect())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What a CloudEvent says about itself, as far as it is read here.
#[derive(Deserialize)]
struct Attributes {
    specversion: String,
    #[serde(rename = "type", default)]
    kind: String,
    servicename: Option<String>,
    resourcename: Option<String>,
}

/// A CloudEvent in structured mode.
#[derive(Deserialize)]
struct Envelope {
    #[serde(flatten)]
    attributes: Attributes,
    datacontenttype: Option<String>,
    data: Option<Value>,
    data_base64: Option<String>,
}

fn structured(envelope: Envelope) -> Result<Option<Hint>, Unreadable> {
    let data = match (envelope.data_base64, envelope.data) {
        (Some(text), _) => STANDARD.decode(text)?,
        (None, Some(Value::String(text))) => text.into_bytes(),
        (None, Some(value)) => serde_json::to_vec(&value)?,
        (None, None) => Vec::new(),
    };
    event(&envelope.attributes, envelope.datacontenttype.as_deref().unwrap_or_default(), &data)
}

/// A CloudEvent whose data has the given media type.
fn event(attributes: &Attributes, media: &str, data: &[u8]) -> Result<Option<Hint>, Unreadable> {
    if attributes.specversion != "1.0" {
        return Err(Unreadable::Version(attributes.specversion.clone()));
    }
    let protobuf =
        matches!(media, "application/protobuf" | "application/x-protobuf" | "application/vnd.google.protobuf");
    match attributes.kind.as_str() {
        AUDIT_LOG => {
            let mut entry = match (data.is_empty(), protobuf) {
                (true, _) => Entry::default(),
                (false, true) => Entry::from(LogEntryData::decode(data)?),
                (false, false) => serde_json::from_slice(data)?,
            };
            // The attributes repeat what triggers filter by; they do when the data does not say it.
            entry.proto_payload.service_name = entry.proto_payload.service_name.or(attributes.servicename.clone());
            entry.proto_payload.resource_name = entry.proto_payload.resource_name.or(attributes.resourcename.clone());
            Ok(entry.hint())
        }
        PUBSUB if protobuf => {
            let message = MessagePublishedData::decode(data)?.message.unwrap_or_default();
            Ok(serde_json::from_slice::<Entry>(&message.data)?.hint())
        }
        PUBSUB => pushed(serde_json::from_slice(data)?),
        _ => Ok(None),
    }
}

/// A request without a sign of CloudEvents on the outside.
fn bare(body: &[u8]) -> Result<Option<Hint>, Unreadable> {
    let value: Value = serde_json::from_slice(body)?;
    let has = |field: &str| value.get(field).is_some();
    if has("message") {
        pushed(serde_json::from_value(value)?)
    } else if has("specversion") {
        structured(serde_json::from_value(value)?)
    } else if has("logName") || has("protoPayload") {
        Ok(serde_json::from_value::<Entry>(value)?.hint())
    } else {
        Err(Unreadable::Unknown)
    }
}

/// A message as Pub/Sub pushes it.
#[derive(Deserialize)]
struct Push {
    message: PushedMessage,
}

#[derive(Deserialize)]
struct PushedMessage {
    data: String,
}

fn pushed(push: Push) -> Result<Option<Hint>, Unreadable> {
    Ok(serde_json::from_slice::<Entry>(&STANDARD.decode(push.message.data)?)?.hint())
}

/// A log entry, as far as it is read.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    proto_payload: Payload,
    resource: Resource,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Payload {
    service_name: Option<String>,
    resource_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resource {
    labels: BTreeMap<String, String>,
}

impl From<LogEntryData> for Entry {
    fn from(data: LogEntryData) -> Self {
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let payload = data.proto_payload.unwrap_or_default();
        Self {
            proto_payload: Payload {
                service_name: some(payload.service_name),
                resource_name: some(payload.resource_name),
            },
            resource: Resource { labels: data.resource.unwrap_or_default().labels.into_iter().collect() },
        }
    }
}

impl Entry {
    /// Where to look because of this entry, when it is about an instance or a disk.
    fn hint(&self) -> Option<Hint> {
        if self.proto_payload.service_name.as_deref() != Some(COMPUTE) {
            return None;
        }
        let named = ResourceName::parse(self.proto_payload.resource_name.as_deref()?)?;
        let kind = match named.collection {
            "instances" => Kind::Instance,
            "disks" => Kind::Disk,
            _ => return None,
        };
        let label = |key: &str| self.resource.labels.get(key).map(String::as_str);
        // A project may be named by its number; what we compare with are ids.
        let project = match label("project_id") {
            Some(id) if named.project.bytes().all(|byte| byte.is_ascii_digit()) => id,
            Some(_) | None => named.project,
        };
        let zone = named.zone.or_else(|| label("zone"));
        Some(Hint {
            project: Some(project).filter(|project| is_project(project))?.to_owned(),
            zone: zone.filter(|zone| is_name(zone)).map(str::to_owned),
            resource: named.object.filter(|name| is_name(name)).map(|name| (kind, name.to_owned())),
        })
    }
}

/// The parts of `projects/p/zones/z/instances/i`, with or without an endpoint before it.
struct ResourceName<'a> {
    project: &'a str,
    zone: Option<&'a str>,
    /// The last word that names a kind of object.
    collection: &'a str,
    /// The object's name; a bulk insert has none.
    object: Option<&'a str>,
}

impl<'a> ResourceName<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let mut pieces = name.split('/').skip_while(|piece| *piece != "projects").skip(1);
        let mut parsed = Self { project: pieces.next()?, zone: None, collection: "", object: None };
        while let Some(collection) = pieces.next() {
            parsed.collection = collection;
            parsed.object = pieces.next();
            if collection == "zones" {
                parsed.zone = parsed.object;
            }
        }
        Some(parsed)
    }
}

/// Whether a text can be the name of a zone, an instance or a disk: nothing else goes further into the program.
fn is_name(text: &str) -> bool {
    (1..=NAME_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_project(text: &str) -> bool {
    (1..=PROJECT_LENGTH_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.:".contains(&byte))
}
