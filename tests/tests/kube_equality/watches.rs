//! What watches tell of a script.

use futures::TryStreamExt as _;
use kube::Client;
use kube::api::{DynamicObject, WatchEvent};
use serde_json::{Value, json};

use super::compare::Side;
use super::scripts::{JSON, Script, Step};

/// The newest version of a server.
pub async fn version(client: &Client) -> String {
    let request = http::Request::get("/api/v1/namespaces?limit=1").body(Vec::new()).expect("a request");
    let list: Value = client.request(request).await.expect("a list");
    list["metadata"]["resourceVersion"].as_str().expect("a version").to_owned()
}

/// The kinds that are watched, each with an object that ends the watch.
fn watched(namespace: &str) -> [(String, Value); 2] {
    let gadget = json!({"apiVersion": "test.rehost.dev/v1", "kind": "Gadget", "metadata": {"name": "zz-end", "labels": {"team": "b"}}, "spec": {"size": 1}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "zz-end", "labels": {"team": "b"}}, "spec": {"containers": [{"name": "a", "image": "b:1"}]}});
    [
        (format!("/apis/test.rehost.dev/v1/namespaces/{namespace}/gadgets"), gadget),
        (format!("/api/v1/namespaces/{namespace}/pods"), pod),
    ]
}

/// For each watched kind, and for it with a selector: all events since a version.
pub async fn events(client: &Client, side: &Side, script: &Script, from: &str) -> Vec<Value> {
    let mut out = Vec::new();
    for (path, end) in watched(&script.namespace) {
        let mut sentinel = Side::new(client.clone());
        let step = Step { method: "POST", path: path.clone(), content_type: JSON, body: end };
        if sentinel.run(&step).await.status != 201 {
            // The namespace is going away.
            continue;
        }
        for selector in ["", "&labelSelector=team%3Db"] {
            let uri = format!("{path}?watch=true&timeoutSeconds=20&resourceVersion={from}{selector}");
            let request = http::Request::get(uri).body(Vec::new()).expect("a request");
            let stream = client.request_events::<DynamicObject>(request).await.expect("a watch");
            let mut stream = std::pin::pin!(stream);
            let mut seen = Vec::new();
            while let Some(event) = stream.try_next().await.expect("an event") {
                let (kind, object) = match event {
                    WatchEvent::Added(object) => ("ADDED", object),
                    WatchEvent::Modified(object) => ("MODIFIED", object),
                    WatchEvent::Deleted(object) => ("DELETED", object),
                    WatchEvent::Bookmark(_) => continue,
                    WatchEvent::Error(status) => panic!("the watch ends with {status}"),
                };
                if object.metadata.name.as_deref() == Some("zz-end") {
                    break;
                }
                seen.push(json!({"type": kind, "object": side.normal(&serde_json::to_value(object).expect("JSON"))}));
            }
            out.push(Value::Array(seen));
        }
    }
    out
}

/// Events in short.
pub fn outline(events: &Value) -> String {
    let line = |event: &Value| {
        let metadata = &event["object"]["metadata"];
        let ending = if metadata.get("deletionTimestamp").is_some() { " ending" } else { "" };
        format!("{} {} {}{ending}", event["type"], metadata["name"], metadata["resourceVersion"])
    };
    let lines: Vec<String> = events.as_array().into_iter().flatten().map(line).collect();
    lines.join("\n    ")
}
