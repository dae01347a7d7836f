//! What a person does with notebooks, and is told.

use std::time::Duration;

use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, Client};
use rehost_api::Notebook;
use rehost_tests::quickstart::NAMESPACE;
use serde_json::Value;

/// A person at a cluster.
#[derive(Clone)]
pub struct Person {
    client: Client,
}

impl Person {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub fn notebooks(&self) -> Api<Notebook> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    /// Server-side apply with strict field validation, as kubectl does it.
    pub async fn apply(&self, manifest: &Value) -> Result<Notebook, String> {
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let strict = PatchParams::apply("person").validation_strict();
        self.notebooks().patch(&name, &strict, &Patch::Apply(manifest)).await.map_err(|error| match error {
            kube::Error::Api(status) => status.message,
            other => other.to_string(),
        })
    }

    /// Deletes it and sees it go.
    pub async fn delete(&self, name: &str) {
        self.notebooks().delete(name, &DeleteParams::default()).await.expect("it can be deleted");
        for _ in 0..600 {
            if self.notebooks().get_opt(name).await.expect("the server answers").is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} does not go");
    }
}
