//! Objects of the cluster, written out. Nothing is decided here.

mod pod;

use jiff::Timestamp;
use rehost_api::guest::SETTINGS_FILE;
use rehost_api::labels;
use rehost_api::shape::digest_of;
use serde_json::{Map, Value, json};

use crate::desired::Subject;
use crate::guest_files::GuestFiles;
use crate::plan::{ClaimPlan, Note, ServicePlan, SettingsPlan, SlicePlan, VolumePlan};

pub(super) use pod::pod;

/// The CSI driver of Compute Engine's persistent disks.
const DISK_DRIVER: &str = "pd.csi.storage.gke.io";
/// The container that runs Jupyter; live resizes are its.
pub const CONTAINER: &str = "notebook";

fn our_labels(subject: &Subject) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert(labels::UID.to_owned(), json!(subject.uid));
    all.insert(labels::NOTEBOOK.to_owned(), json!(subject.name));
    all.insert("app.kubernetes.io/managed-by".to_owned(), json!("rehost"));
    all
}

/// Garbage collection is the last resort; we delete what we made ourselves.
fn owner(subject: &Subject) -> Value {
    json!([{
        "apiVersion": "rehost.dev/v1alpha1",
        "kind": "Notebook",
        "name": subject.name,
        "uid": subject.uid,
        "controller": true,
        "blockOwnerDeletion": false,
    }])
}

pub(super) fn service(subject: &Subject, plan: &ServicePlan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": plan.name, "labels": our_labels(subject), "ownerReferences": owner(subject)},
        "spec": {
            "type": "ClusterIP",
            "ports": [{"name": "http", "port": plan.port, "targetPort": plan.port, "protocol": "TCP"}],
        },
    })
}

pub(super) fn slice(subject: &Subject, plan: &SlicePlan) -> Value {
    let mut all = our_labels(subject);
    all.insert("kubernetes.io/service-name".to_owned(), json!(plan.service));
    all.insert("endpointslice.kubernetes.io/managed-by".to_owned(), json!("rehost.dev"));
    let endpoints: Vec<Value> = plan
        .endpoint
        .iter()
        .map(|(address, ready)| {
            json!({"addresses": [address.to_string()], "conditions": {"ready": ready, "serving": ready, "terminating": false}})
        })
        .collect();
    let ipv6 = plan.endpoint.is_some_and(|(address, _)| address.is_ipv6());
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": plan.name, "labels": all, "ownerReferences": owner(subject)},
        "addressType": if ipv6 { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": [{"name": "http", "port": plan.port, "protocol": "TCP"}],
    })
}

pub(super) fn volume(subject: &Subject, plan: &VolumePlan) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": plan.name, "labels": our_labels(subject)},
        "spec": {
            "capacity": {"storage": format!("{}Gi", plan.size_gb)},
            "accessModes": ["ReadWriteOncePod"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "rehost-home",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": subject.namespace, "name": plan.claim},
            "csi": {"driver": DISK_DRIVER, "volumeHandle": plan.handle, "fsType": "ext4"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": reach(&plan.reach)}]}},
        },
    })
}

fn reach(reach: &crate::plan::Reach) -> Vec<Value> {
    let mut terms = vec![json!({"key": "topology.gke.io/zone", "operator": "In", "values": [reach.zone]})];
    if !reach.families.is_empty() {
        terms.push(json!({"key": "cloud.google.com/machine-family", "operator": "In", "values": reach.families}));
    }
    terms
}

pub(super) fn claim(subject: &Subject, plan: &ClaimPlan) -> Value {
    let mut spec = json!({
        "accessModes": ["ReadWriteOncePod"],
        "storageClassName": plan.storage_class,
        "resources": {"requests": {"storage": format!("{}Gi", plan.size_gb)}},
    });
    if let Some(volume) = &plan.volume {
        spec["volumeName"] = json!(volume);
    }
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": plan.name, "labels": our_labels(subject)},
        "spec": spec,
    })
}

/// What a pod is told, and the guest's files.
pub(super) fn settings(subject: &Subject, plan: &SettingsPlan, guest: &GuestFiles) -> Value {
    let (files, binary_data) = guest.of_a_pod();
    let mut data: Map<String, Value> = files.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
    let told = serde_json::to_string(&plan.settings).unwrap_or_default();
    data.insert(SETTINGS_FILE.to_owned(), json!(told));
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": plan.name,
            "labels": our_labels(subject),
            "annotations": {labels::OFFER: digest_of(&plan.settings.offer)},
            "ownerReferences": owner(subject),
        },
        "data": data,
        "binaryData": binary_data,
    })
}

pub(super) fn resize(cpu_milli: i64, memory_bytes: i64) -> Value {
    let amounts = json!({"cpu": format!("{cpu_milli}m"), "memory": memory_bytes.to_string()});
    json!({"spec": {"containers": [{"name": CONTAINER, "resources": {"requests": amounts, "limits": amounts}}]}})
}

pub(super) fn event(subject: &Subject, note: &Note, name: &str, identity: &str, now: Timestamp) -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": subject.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
        "reportingController": "rehost.dev/controller",
        "reportingInstance": identity,
        "action": note.reason.as_str(),
        "reason": note.reason.as_str(),
        "type": if note.warning { "Warning" } else { "Normal" },
        "note": note.message.chars().take(1000).collect::<String>(),
        "regarding": {
            "apiVersion": "rehost.dev/v1alpha1",
            "kind": "Notebook",
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
        },
    })
}
