//! Changes in the cluster. Each can be repeated: what is there already, or gone already, counts as done.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolume, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use rehost_api::Notebook;
use rehost_api::labels;
use rehost_api::shape::digest_of;
use serde_json::{Value, json};

use super::manifest;
use crate::desired::Subject;
use crate::guest_files::GuestFiles;
use crate::plan::{KubeChange, Note};

/// A change that the API server did not make.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub struct Refused {
    what: String,
    source: kube::Error,
}

/// Makes one change. `guest` is what a pod gets to run.
pub async fn apply(
    client: &Client,
    subject: &Subject,
    change: &KubeChange,
    guest: &GuestFiles,
    resource_version: Option<&str>,
) -> Result<(), Refused> {
    let namespace = subject.namespace.as_str();
    let (what, result) = match change {
        KubeChange::AddFinalizer => ("adding the finalizer", finalizer(client, subject, true, resource_version).await),
        KubeChange::RemoveFinalizer => {
            ("removing the finalizer", finalizer(client, subject, false, resource_version).await)
        }
        KubeChange::ApplyService(plan) => {
            let api: Api<Service> = Api::namespaced(client.clone(), namespace);
            (
                "applying the Service",
                applied_if_ours(&api, subject, &plan.name, &manifest::service(subject, plan)).await,
            )
        }
        KubeChange::ApplySlice(plan) => {
            let api: Api<EndpointSlice> = Api::namespaced(client.clone(), namespace);
            (
                "applying the EndpointSlice",
                applied_if_ours(&api, subject, &plan.name, &manifest::slice(subject, plan)).await,
            )
        }
        KubeChange::ApplySettings(plan) => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            (
                "applying the ConfigMap",
                applied_if_ours(&api, subject, &plan.name, &manifest::settings(subject, plan, guest)).await,
            )
        }
        KubeChange::DeleteSettings { name, uid } => {
            let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
            ("deleting the ConfigMap", deleted(&api, name, uid).await)
        }
        KubeChange::CreatePod(plan) => {
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            ("creating the pod", created(&api, manifest::pod(subject, plan)).await)
        }
        KubeChange::DeletePod { name, uid } => {
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            ("deleting the pod", deleted(&api, name, uid).await)
        }
        KubeChange::ResizePod { name, cpu_milli, memory_bytes } => {
            let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let patch = Patch::Strategic(manifest::resize(*cpu_milli, *memory_bytes));
            let answer = api.patch_subresource("resize", name, &PatchParams::default(), &patch).await;
            ("resizing the pod", answer.map(|_| ()))
        }
        KubeChange::ApplyVolume(plan) => {
            let api: Api<PersistentVolume> = Api::all(client.clone());
            (
                "applying the PersistentVolume",
                applied_if_ours(&api, subject, &plan.name, &manifest::volume(subject, plan)).await,
            )
        }
        KubeChange::RetainVolume { name, uid } => {
            let api: Api<PersistentVolume> = Api::all(client.clone());
            ("retaining the PersistentVolume", retained(&api, name, uid).await)
        }
        KubeChange::DeleteVolume { name, uid } => {
            let api: Api<PersistentVolume> = Api::all(client.clone());
            ("deleting the PersistentVolume", deleted(&api, name, uid).await)
        }
        KubeChange::ApplyClaim(plan) => {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
            ("applying the claim", applied_if_ours(&api, subject, &plan.name, &manifest::claim(subject, plan)).await)
        }
        KubeChange::DeleteClaim { name, uid } => {
            let api: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
            ("deleting the claim", deleted(&api, name, uid).await)
        }
    };
    result.map_err(|source| Refused { what: what.to_owned(), source })
}

/// Our field manager, taking what is ours by force: nobody else has a reason to hold these fields.
fn ours() -> PatchParams {
    PatchParams::apply(labels::FIELD_MANAGER).force()
}

/// Applies what is ours. An object of that name that is somebody else's is never taken over: the planner has seen it, or sees it
/// next time.
async fn applied_if_ours<K>(api: &Api<K>, subject: &Subject, name: &str, manifest: &Value) -> kube::Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    if let Some(found) = api.get_metadata_opt(name).await? {
        let labels = found.metadata.labels.unwrap_or_default();
        if labels.get(labels::UID) != Some(&subject.uid) {
            return Err(kube::Error::Api(Box::new(kube::core::Status::failure(
                &format!("{name} exists and is not this notebook's: rename it, or the notebook"),
                "NotOurs",
            ))));
        }
    }
    api.patch(name, &ours(), &Patch::Apply(manifest)).await.map(|_| ())
}

async fn created<K>(api: &Api<K>, manifest: Value) -> kube::Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + serde::Serialize,
{
    let object: K = serde_json::from_value(manifest).map_err(kube::Error::SerdeError)?;
    match api.create(&PostParams::default(), &object).await {
        // The name is derived from the transition: what is there is what an earlier try of ours made.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        other => other.map(|_| ()),
    }
}

/// The very volume that was seen outlives its claim.
async fn retained(api: &Api<PersistentVolume>, name: &str, uid: &str) -> kube::Result<()> {
    let patch = json!({"metadata": {"uid": uid}, "spec": {"persistentVolumeReclaimPolicy": "Retain"}});
    match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        // Gone, or another volume of that name is there now.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        other => other.map(|_| ()),
    }
}

async fn deleted<K>(api: &Api<K>, name: &str, uid: &str) -> kube::Result<()>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let preconditions = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        // Gone already, or another object of that name is there now: either way the one that was meant is gone.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Our finalizer, among whatever others there are, against the very version that was planned from.
async fn finalizer(
    client: &Client,
    subject: &Subject,
    wanted: bool,
    resource_version: Option<&str>,
) -> kube::Result<()> {
    let api: Api<Notebook> = Api::namespaced(client.clone(), &subject.namespace);
    let Some(notebook) = api.get_opt(&subject.name).await? else { return Ok(()) };
    if notebook.metadata.uid.as_deref() != Some(subject.uid.as_str()) {
        return Ok(());
    }
    let mut finalizers = notebook.metadata.finalizers.unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != labels::FINALIZER);
    if wanted {
        finalizers.push(labels::FINALIZER.to_owned());
    }
    let version = resource_version.map(str::to_owned).or(notebook.metadata.resource_version);
    let patch = Patch::Merge(json!({"metadata": {"finalizers": finalizers, "resourceVersion": version}}));
    match api.patch(&subject.name, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Writes an event about the notebook. The same words at the same time are the same event.
pub(super) async fn event(client: &Client, subject: &Subject, note: &Note, identity: &str, now: Timestamp) {
    let api: Api<Event> = Api::namespaced(client.clone(), &subject.namespace);
    let digest = digest_of(&(&subject.uid, note.reason.as_str(), &note.message, now.as_millisecond()));
    let manifest = manifest::event(subject, note, &format!("{}.{digest}", subject.name), identity, now);
    let Ok(event) = serde_json::from_value::<Event>(manifest) else { return };
    if let Err(error) = api.create(&PostParams::default(), &event).await {
        tracing::debug!(%error, "an event could not be written");
    }
}

#[cfg(test)]
mod tests;
