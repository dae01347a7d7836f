//! How requests and answers are told in the chronicle.

use serde_json::Value;

use crate::kube::Call;
use crate::world::Response;

/// What is asked of the API server, and of which object.
pub(super) fn named(call: &Call) -> String {
    let subresource = if call.subresource.is_empty() { String::new() } else { format!("/{}", call.subresource) };
    let name = [call.namespace.as_str(), call.name.as_str()].into_iter().filter(|part| !part.is_empty());
    format!("{} {}{subresource} {}", call.verb.as_str(), call.resource, name.collect::<Vec<_>>().join("/"))
}

/// What a write says, as far as it helps to read the story.
pub(super) fn told(call: &Call, body: &Value) -> String {
    if call.resource == "notebooks" && call.subresource == "status" {
        let status = &body["status"];
        let transition = &status["transition"];
        let ready = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
        let ready = ready.map_or_else(String::new, |ready| {
            let word = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
            format!("{} {}: {}", word("status"), word("reason"), word("message"))
        });
        let step = if transition.is_null() {
            "at rest".to_owned()
        } else {
            format!(
                "{} {}/{} a{}",
                word(transition, "id"),
                word(transition, "kind"),
                word(transition, "step"),
                transition["attempt"]
            )
        };
        return format!(" [{}; {step}; {ready}]", word(status, "phase"));
    }
    if call.resource == "events" {
        return format!(" [{}: {}]", word(body, "reason"), word(body, "note"));
    }
    if call.resource == "endpointslices" {
        return format!(" [{}]", body["endpoints"]);
    }
    String::new()
}

fn word(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

/// A path in a zone without what is the same in all of them.
pub(super) fn short(path: &str) -> &str {
    path.split_once("/zones/").map_or(path, |(_, rest)| rest)
}

/// What the cloud says when it refuses, or of an operation that failed.
pub(super) fn refusal(response: &Response) -> String {
    let words = response.body["error"]["message"].as_str();
    words.map_or_else(String::new, |words| format!(" {words}"))
}
