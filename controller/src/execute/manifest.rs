//! Objects of the cluster, written out. Nothing is decided here.

use jiff::Timestamp;
use rehost_api::guest::JUPYTER_PORT;
use rehost_api::labels;
use rehost_api::shape::{PodShape, Toleration};
use serde_json::{Map, Value, json};

use crate::desired::Subject;
use crate::plan::{ClaimPlan, Note, PodPlan, ServicePlan, SlicePlan, VolumePlan};
use crate::watch::slim::PodRole;

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

pub(super) fn resize(cpu_milli: i64, memory_bytes: i64) -> Value {
    let amounts = json!({"cpu": format!("{cpu_milli}m"), "memory": memory_bytes.to_string()});
    json!({"spec": {"containers": [{"name": CONTAINER, "resources": {"requests": amounts, "limits": amounts}}]}})
}

pub(super) fn pod(subject: &Subject, plan: &PodPlan) -> Value {
    let shape = &plan.shape;
    let host = plan.role == PodRole::Host;
    let mut all = our_labels(subject);
    all.insert(labels::ROLE.to_owned(), json!(if host { "host" } else { "placeholder" }));
    all.extend(plan.labels.iter().map(|(key, value)| (key.clone(), json!(value))));
    let mut spec = json!({
        "restartPolicy": if host { "Always" } else { "Never" },
        "terminationGracePeriodSeconds": if host { 60 } else { 0 },
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": node_selector(shape, plan.node.as_deref()),
        "tolerations": shape.tolerations.iter().map(toleration).collect::<Vec<_>>(),
        "containers": [container(shape, host)],
        "volumes": volumes(shape, plan.claim.as_deref()),
    });
    if !shape.service_account.is_empty() {
        spec["serviceAccountName"] = json!(shape.service_account);
    }
    if let Some(home) = &plan.reach {
        spec["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
            {"nodeSelectorTerms": [{"matchExpressions": reach(home)}]}}});
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": plan.name,
            "labels": all,
            "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
            "ownerReferences": owner(subject),
        },
        "spec": spec,
    })
}

fn node_selector(shape: &PodShape, node: Option<&str>) -> Map<String, Value> {
    let mut selector: Map<String, Value> =
        shape.node_selector.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    if !shape.machine_type.is_empty() {
        selector.insert("node.kubernetes.io/instance-type".to_owned(), json!(shape.machine_type));
    }
    if let Some(gpu) = &shape.gpu {
        selector.insert("cloud.google.com/gke-accelerator".to_owned(), json!(gpu.kind));
    }
    if let Some(node) = node {
        selector.insert("kubernetes.io/hostname".to_owned(), json!(node));
    }
    selector
}

fn toleration(toleration: &Toleration) -> Value {
    let mut value = Map::new();
    for (key, text) in [
        ("key", &toleration.key),
        ("operator", &toleration.operator),
        ("value", &toleration.value),
        ("effect", &toleration.effect),
    ] {
        if !text.is_empty() {
            value.insert(key.to_owned(), json!(text));
        }
    }
    Value::Object(value)
}

fn container(shape: &PodShape, host: bool) -> Value {
    let mut amounts = Map::new();
    amounts.insert("cpu".to_owned(), json!(format!("{}m", shape.cpu_milli)));
    amounts.insert("memory".to_owned(), json!(shape.memory_bytes.to_string()));
    if shape.ephemeral_storage_bytes > 0 {
        amounts.insert("ephemeral-storage".to_owned(), json!(shape.ephemeral_storage_bytes.to_string()));
    }
    if let Some(gpu) = &shape.gpu {
        amounts.insert("nvidia.com/gpu".to_owned(), json!(gpu.count.to_string()));
    }
    let mut container = json!({
        "name": CONTAINER,
        "image": shape.image,
        "imagePullPolicy": "IfNotPresent",
        // Requests and limits are the same, so that a live resize never changes the class of service.
        "resources": {"requests": amounts, "limits": amounts},
        "resizePolicy": [
            {"resourceName": "cpu", "restartPolicy": "NotRequired"},
            {"resourceName": "memory", "restartPolicy": "NotRequired"},
        ],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    });
    if host {
        let asks = json!({"path": "/api", "port": JUPYTER_PORT});
        container["ports"] = json!([{"name": "http", "containerPort": JUPYTER_PORT, "protocol": "TCP"}]);
        container["env"] = json!([{"name": "HOME", "value": "/home/jupyter"}]);
        container["workingDir"] = json!("/home/jupyter");
        container["command"] =
            json!(["jupyter", "lab", "--ip=0.0.0.0", format!("--port={JUPYTER_PORT}"), "--no-browser"]);
        container["volumeMounts"] = json!([
            {"name": "home", "mountPath": "/home/jupyter", "subPath": "home"},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ]);
        container["startupProbe"] = json!({"httpGet": asks, "periodSeconds": 1, "failureThreshold": 300});
        container["readinessProbe"] = json!({"httpGet": asks, "periodSeconds": 2, "failureThreshold": 3});
        container["livenessProbe"] =
            json!({"httpGet": asks, "periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 6});
    } else {
        container["command"] = json!(["sleep", "infinity"]);
    }
    container
}

fn volumes(shape: &PodShape, claim: Option<&str>) -> Vec<Value> {
    let Some(claim) = claim else { return Vec::new() };
    vec![
        json!({"name": "home", "persistentVolumeClaim": {"claimName": claim}}),
        json!({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": shape.shared_memory_bytes.to_string()}}),
    ]
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
