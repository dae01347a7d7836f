//! Looking at the cluster and the cloud, beside the controller's own words.

use http::Request;
use kube::Client;
use serde_json::Value;

use super::{HERO, NAMESPACE};
use crate::stand::{Cloud, ZONE};

/// Looks at the cluster by paths of its API and at the cloud without leaving a trace.
#[derive(Clone)]
pub struct Look {
    client: Client,
    /// The cloud.
    pub cloud: Cloud,
}

impl Look {
    /// Looks as a user who may see everything.
    #[must_use]
    pub fn new(client: Client, cloud: Cloud) -> Self {
        Self { client, cloud }
    }

    /// What is at a path; null where there is nothing.
    pub async fn at(&self, path: &str) -> Value {
        let Ok(request) = Request::get(path).body(Vec::new()) else { return Value::Null };
        self.client.request(request).await.unwrap_or(Value::Null)
    }

    /// An object of the core group in the story's namespace; a list where `name` is empty.
    pub async fn core(&self, plural: &str, name: &str) -> Value {
        self.at(&format!("/api/v1/namespaces/{NAMESPACE}/{plural}/{name}")).await
    }

    /// The notebook of the story as the API server has it.
    pub async fn hero(&self) -> Value {
        self.at(&format!("/apis/rehost.dev/v1alpha1/namespaces/{NAMESPACE}/notebooks/{HERO}")).await
    }

    /// The addresses in the `EndpointSlice` of a notebook, with whether they are ready.
    pub async fn endpoints(&self, name: &str) -> Vec<(String, bool)> {
        let path = format!("/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices/{name}");
        let slice = self.at(&path).await;
        let endpoint = |one: &Value| {
            let address = one["addresses"][0].as_str().unwrap_or_default().to_owned();
            (address, one["conditions"]["ready"].as_bool().unwrap_or(false))
        };
        slice["endpoints"].as_array().into_iter().flatten().map(endpoint).collect()
    }

    /// The pods of a notebook.
    pub async fn pods(&self, uid: &str) -> Vec<Value> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=rehost.dev%2Fuid%3D{uid}");
        self.at(&path).await["items"].as_array().cloned().unwrap_or_default()
    }

    /// What the events of the notebook say, oldest first.
    pub async fn events(&self, name: &str) -> Vec<String> {
        let path = format!("/apis/events.k8s.io/v1/namespaces/{NAMESPACE}/events");
        let list = self.at(&path).await;
        let mut events: Vec<(String, String)> = list["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|event| event["regarding"]["name"] == name)
            .map(|event| (text(&event["eventTime"]), format!("{}: {}", text(&event["reason"]), text(&event["note"]))))
            .collect();
        events.sort();
        events.into_iter().map(|(_, words)| words).collect()
    }

    /// A disk as the API shows it.
    #[must_use]
    pub fn disk(&self, name: &str) -> Value {
        self.cloud.peek(&format!("zones/{ZONE}/disks/{name}"))
    }

    /// An instance as the API shows it.
    #[must_use]
    pub fn instance(&self, name: &str) -> Value {
        self.cloud.peek(&format!("zones/{ZONE}/instances/{name}"))
    }

    /// The machines that a disk is attached to.
    #[must_use]
    pub fn users(&self, disk: &str) -> Vec<String> {
        let shown = self.disk(disk);
        let users = shown["users"].as_array().into_iter().flatten();
        users.filter_map(|user| Some(user.as_str()?.rsplit('/').next()?.to_owned())).collect()
    }

    /// Instances of one notebook and their status, by name.
    #[must_use]
    pub fn machines(&self, stem: &str) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> =
            self.cloud.instances(ZONE, stem).iter().map(|one| (text(&one["name"]), text(&one["status"]))).collect();
        found.sort();
        found
    }
}

/// A value's text, empty where it has none.
#[must_use]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
