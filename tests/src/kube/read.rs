//! Get and list.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::refusal::Refusal;
use super::request::Request;
use super::selectors::Selector;
use super::state::{Answer, State, served};
use super::store::Key;

const EXPIRED_CONTINUE: &str = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";

/// Where a paged list goes on.
struct Continue {
    version: u64,
    after: String,
}

impl Continue {
    fn encode(&self) -> String {
        let text = json!({"v": "meta.k8s.io/v1", "rv": self.version, "start": self.after}).to_string();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    }

    fn decode(token: &str) -> Result<Continue, Refusal> {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(token).ok();
        let value: Option<Value> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let read = |value: Value| {
            Some(Continue { version: value["rv"].as_u64()?, after: value["start"].as_str()?.to_owned() })
        };
        value.and_then(read).ok_or_else(|| Refusal::bad_request("continue key is not valid: illegal base64 data"))
    }
}

/// The order of the real server's storage.
pub fn storage_order(key: &Key) -> String {
    if key.0.is_empty() { key.1.clone() } else { format!("{}/{}", key.0, key.1) }
}

/// Metadata only, for clients that ask for it.
pub fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

impl State {
    /// GET of one object.
    pub fn read_one(&self, kind: &Kind, request: &Request) -> Result<Answer, Refusal> {
        let target = State::target(kind, request);
        let object = self.load(&target).ok_or_else(|| Refusal::not_found(&target.about()))?;
        Ok(Answer::ok(if request.metadata_only() { partial(&object) } else { object }))
    }

    /// The selector of a list or watch.
    pub fn selector(kind: &Kind, request: &Request) -> Result<Selector, Refusal> {
        let (labels, fields) = (request.parameter("labelSelector"), request.parameter("fieldSelector"));
        Selector::parse(labels, fields, &kind.resource, kind.custom)
    }

    /// GET of a collection. Answers are never stale: `resourceVersion=0` reads the newest state too.
    pub fn list(&self, kind: &Kind, request: &Request) -> Result<Value, Refusal> {
        let index = kind.stored_as.unwrap_or(request.kind);
        let selector = State::selector(kind, request)?;
        let from = request.parameter("continue").map(Continue::decode).transpose()?;
        let version = from.as_ref().map_or(self.store.version(), |from| from.version);
        if version < self.store.compacted {
            return Err(Refusal::expired(EXPIRED_CONTINUE));
        }
        let objects: BTreeMap<Key, Arc<Value>> = self.store.all_at(index, version);
        let mut matching: Vec<(String, Value)> = objects
            .iter()
            .filter(|(key, _)| request.namespace.as_ref().is_none_or(|namespace| *namespace == key.0))
            .map(|(key, object)| (storage_order(key), object))
            .filter(|(place, _)| from.as_ref().is_none_or(|from| *place > from.after))
            .filter(|(_, object)| selector.matches(object, &kind.resource, kind.custom))
            .map(|(place, object)| (place, served(kind, object)))
            .collect();
        matching.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), json!(version.to_string()));
        let limit = request.parameter("limit").and_then(|limit| limit.parse::<usize>().ok()).unwrap_or(0);
        if limit > 0 && matching.len() > limit {
            let left = matching.len() - limit;
            matching.truncate(limit);
            let after = matching.last().map(|(place, _)| place.clone()).unwrap_or_default();
            metadata.insert("continue".to_owned(), json!(Continue { version, after }.encode()));
            if selector.is_empty() {
                metadata.insert("remainingItemCount".to_owned(), json!(left));
            }
        } else if kind.custom && !request.metadata_only() {
            // Lists of custom objects always have the field.
            metadata.insert("continue".to_owned(), json!(""));
        }
        let show = |(_, object)| listed(kind, object, request.metadata_only());
        let items: Vec<Value> = matching.into_iter().map(show).collect();
        Ok(list_body(kind, request.metadata_only(), &metadata, &items))
    }
}

/// Items of built-in lists do not repeat their kind.
fn listed(kind: &Kind, mut object: Value, metadata_only: bool) -> Value {
    if metadata_only {
        return partial(&object);
    }
    if !kind.custom
        && let Some(map) = object.as_object_mut()
    {
        map.remove("kind");
        map.remove("apiVersion");
    }
    object
}

fn list_body(kind: &Kind, metadata_only: bool, metadata: &Map<String, Value>, items: &[Value]) -> Value {
    let (list_kind, version) = if metadata_only {
        ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned())
    } else {
        (kind.list_kind(), kind.api_version())
    };
    json!({"kind": list_kind, "apiVersion": version, "metadata": metadata, "items": items})
}
