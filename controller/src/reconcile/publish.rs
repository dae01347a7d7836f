//! Writing the status, by server-side apply under our one field manager, and only where it differs.

use kube::Api;
use kube::api::{Patch, PatchParams};
use rehost_api::Notebook;
use rehost_api::labels;
use rehost_api::status::NotebookStatus;
use serde_json::json;

use super::Reconciler;
use crate::desired::Resolution;
use crate::observe::Observed;
use crate::plan::Plan;
use crate::status;

/// Why a status was not stored.
#[derive(Debug)]
pub enum PublishError {
    /// The notebook is gone.
    Gone,
    /// Somebody wrote it meanwhile: what was planned is out of date.
    Overtaken,
    /// It did not work.
    Failed(String),
}

impl Reconciler {
    /// Whether what would be written is what is stored.
    pub(super) fn is_published(&self, resolution: &Resolution, observed: &Observed, plan: &Plan) -> bool {
        status::status(resolution, observed, plan, self.clock.now()) == observed.previous
    }

    /// Stores the status with the read version as precondition, and gives back what is stored.
    pub(super) async fn publish(&self, notebook: &Notebook, status: NotebookStatus) -> Result<Notebook, PublishError> {
        if notebook.status.as_ref() == Some(&status) {
            return Ok(notebook.clone());
        }
        let namespace = notebook.metadata.namespace.as_deref().unwrap_or_default();
        let name = notebook.metadata.name.as_deref().unwrap_or_default();
        let api: Api<Notebook> = Api::namespaced(self.client.clone(), namespace);
        let manifest = json!({
            "apiVersion": "rehost.dev/v1alpha1",
            "kind": "Notebook",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": notebook.metadata.uid,
                "resourceVersion": notebook.metadata.resource_version,
            },
            "status": status,
        });
        let ours = PatchParams::apply(labels::FIELD_MANAGER).force();
        match api.patch_status(name, &ours, &Patch::Apply(&manifest)).await {
            Ok(stored) => Ok(stored),
            Err(kube::Error::Api(answer)) if answer.code == 404 => Err(PublishError::Gone),
            Err(kube::Error::Api(answer)) if answer.code == 409 => Err(PublishError::Overtaken),
            Err(error) => Err(PublishError::Failed(format!("the status could not be written: {error}"))),
        }
    }
}
