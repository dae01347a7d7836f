//! A person at a notebook on real machines: a course is cloned, a bucket mounted, and the course is run.

use std::sync::Arc;

use kube::Client;
use serde_json::{Value, json};

use super::NAMESPACE;
use crate::kernel::{Jupyter, KernelError};
use crate::stand::{BUCKET, Caller, Door, Real, Stand};

/// A notebook's way in, and somebody who asks all the time whether it answers.
pub struct Course {
    door: Door,
    /// Whoever asks.
    pub caller: Caller,
}

impl Course {
    /// Opens the way to a notebook, which need not be there yet.
    pub async fn open(stand: &Stand, real: &Real, client: Client, name: &str) -> std::io::Result<Self> {
        let door = Door::open(client, Arc::clone(&real.network), NAMESPACE, name).await?;
        let caller = Caller::start(door.address, stand.clock.clone());
        Ok(Self { door, caller })
    }

    /// What an administrator allows for it.
    #[must_use]
    pub fn allowed(real: &Real) -> Value {
        json!({"spec": {"sourcePrefixes": [real.repository.url]}})
    }

    /// What a person adds to the spec.
    #[must_use]
    pub fn wished(real: &Real) -> Value {
        json!({
            "buckets": [{"path": "data", "name": BUCKET}],
            "source": {"repository": real.repository.url, "ref": "main", "path": "course"},
        })
    }

    /// Where a browser lets the person in.
    #[must_use]
    pub fn url(&self, token: &str) -> String {
        format!("http://{}/lab/tree/course/fares.ipynb?token={token}", self.door.address)
    }

    /// What the browser shows first.
    pub async fn page(&self, token: &str) -> Result<String, KernelError> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(client.get(self.url(token)).send().await?.text().await?)
    }

    /// Runs every cell of the course in a kernel.
    pub async fn work(&self, token: &str) -> Result<(), KernelError> {
        let jupyter = Jupyter::new(&self.door.address.to_string(), Some(token))?;
        jupyter.run_all("course/fares.ipynb").await.map(|_| ())
    }
}
