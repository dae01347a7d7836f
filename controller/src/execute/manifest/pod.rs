//! A pod: the placeholder, which only takes a place, or the host with its two containers. The first sees the whole disk and
//! checks it, the second sees the home on it and serves. Neither needs root.

use rehost_api::guest::{GuestBucket, JUPYTER_PORT, POD_CREDENTIALS};
use rehost_api::labels;
use rehost_api::shape::{PodShape, Toleration};
use serde_json::{Map, Value, json};

use super::{CONTAINER, our_labels, owner, reach};
use crate::desired::Subject;
use crate::guest_files::POD_SCRIPT_KEY;
use crate::plan::PodPlan;
use crate::watch::slim::{BUCKET_DRIVER, PodRole};

/// The container that checks the disk; what it refuses is read from its termination message.
const CHECK: &str = "check";
/// Where both containers find what the pod is told. A folder, since the kubelet does not renew a single file.
const SETTINGS: &str = "/etc/rehost";
/// Where the guest keeps what it knows; the second container reads there what the first has found.
const RUN: &str = "/run/rehost";
/// Where the first container sees the whole disk.
const DISK: &str = "/mnt/home-disk";
/// Where the person sees the home.
const HOME: &str = "/home/jupyter";
/// The most that the check is given. It runs before the notebook and never beside it, so up to what the notebook has it takes
/// nothing more from the node.
const CHECK_CPU_MILLI: i64 = 1000;
const CHECK_MEMORY_BYTES: i64 = 256 << 20;
/// What the container that mounts buckets asks for, which the cluster adds to the pod: the driver's own figures, said so that the
/// placeholder asks for as much.
const SIDECAR: [(&str, &str); 3] = [("cpu", "250m"), ("memory", "256Mi"), ("ephemeral-storage", "5Gi")];

pub(in crate::execute) fn pod(subject: &Subject, plan: &PodPlan) -> Value {
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
        "containers": [container(plan, host)],
    });
    if plan.mounts_buckets && !host {
        // The cluster puts a container into the real pod that does the mounting: its place is kept, too.
        let amounts: Map<String, Value> =
            SIDECAR.iter().map(|(key, amount)| ((*key).to_owned(), json!(amount))).collect();
        let mut beside = bare("buckets", shape, &amounts);
        beside["resources"] = json!({"requests": amounts});
        beside["command"] = json!(["sleep", "infinity"]);
        spec["containers"] = json!([container(plan, host), beside]);
    }
    if let Some(claim) = &plan.claim {
        spec["initContainers"] = json!([check(shape)]);
        spec["volumes"] = json!(volumes(plan, claim));
    }
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
            "annotations": annotations(plan, host),
            "ownerReferences": owner(subject),
        },
        "spec": spec,
    })
}

fn annotations(plan: &PodPlan, host: bool) -> Map<String, Value> {
    let mut all = Map::new();
    all.insert("cluster-autoscaler.kubernetes.io/safe-to-evict".to_owned(), json!("false"));
    if plan.mounts_buckets && host {
        all.insert("gke-gcsfuse/volumes".to_owned(), json!("true"));
        all.extend(SIDECAR.iter().map(|(key, amount)| (format!("gke-gcsfuse/{key}-request"), json!(amount))));
    }
    all
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

fn amounts(cpu_milli: i64, memory_bytes: i64) -> Map<String, Value> {
    let mut amounts = Map::new();
    amounts.insert("cpu".to_owned(), json!(format!("{cpu_milli}m")));
    amounts.insert("memory".to_owned(), json!(memory_bytes.to_string()));
    amounts
}

/// What both containers have. Requests and limits are the same, so that a live resize never changes the class of service.
fn bare(name: &str, shape: &PodShape, amounts: &Map<String, Value>) -> Value {
    json!({
        "name": name,
        "image": shape.image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
    })
}

fn guest(kind: &str) -> Value {
    json!(["python3", format!("{SETTINGS}/{POD_SCRIPT_KEY}"), kind])
}

fn container(plan: &PodPlan, host: bool) -> Value {
    let shape = &plan.shape;
    let mut amounts = amounts(shape.cpu_milli, shape.memory_bytes);
    if shape.ephemeral_storage_bytes > 0 {
        amounts.insert("ephemeral-storage".to_owned(), json!(shape.ephemeral_storage_bytes.to_string()));
    }
    if let Some(gpu) = &shape.gpu {
        amounts.insert("nvidia.com/gpu".to_owned(), json!(gpu.count.to_string()));
    }
    let mut container = bare(CONTAINER, shape, &amounts);
    container["resizePolicy"] = json!([
        {"resourceName": "cpu", "restartPolicy": "NotRequired"},
        {"resourceName": "memory", "restartPolicy": "NotRequired"},
    ]);
    if host {
        let asks = json!({"path": "/api", "port": JUPYTER_PORT});
        container["ports"] = json!([{"name": "http", "containerPort": JUPYTER_PORT, "protocol": "TCP"}]);
        container["env"] = json!([{"name": "HOME", "value": HOME}]);
        container["command"] = guest("pod");
        container["volumeMounts"] = json!(mounts(plan));
        container["startupProbe"] = json!({"httpGet": asks, "periodSeconds": 1, "failureThreshold": 300});
        container["readinessProbe"] = json!({"httpGet": asks, "periodSeconds": 2, "failureThreshold": 3});
        container["livenessProbe"] =
            json!({"httpGet": asks, "periodSeconds": 20, "timeoutSeconds": 10, "failureThreshold": 6});
    } else {
        container["command"] = json!(["sleep", "infinity"]);
    }
    container
}

fn mounts(plan: &PodPlan) -> Vec<Value> {
    let mut mounts = vec![
        // The kubelet looks for the folder as this container starts: by then the check has made it.
        json!({"name": "home", "mountPath": HOME, "subPath": "home"}),
        json!({"name": "settings", "mountPath": SETTINGS, "readOnly": true}),
        json!({"name": "run", "mountPath": RUN}),
        json!({"name": "scratch", "mountPath": "/tmp"}),
        json!({"name": "shared-memory", "mountPath": "/dev/shm"}),
    ];
    if !plan.shape.source_secret.is_empty() {
        mounts.push(json!({"name": "source", "mountPath": POD_CREDENTIALS, "readOnly": true}));
    }
    let buckets = plan.shape.buckets.iter().enumerate().filter(|_| plan.mounts_buckets);
    mounts.extend(buckets.map(|(index, bucket)| {
        let place = format!("{HOME}/{}", bucket.path);
        json!({"name": format!("bucket-{index}"), "mountPath": place, "readOnly": bucket.read_only})
    }));
    mounts
}

fn check(shape: &PodShape) -> Value {
    let amounts = amounts(shape.cpu_milli.min(CHECK_CPU_MILLI), shape.memory_bytes.min(CHECK_MEMORY_BYTES));
    let mut container = bare(CHECK, shape, &amounts);
    container["command"] = guest("check");
    container["volumeMounts"] = json!([
        {"name": "home", "mountPath": DISK},
        {"name": "settings", "mountPath": SETTINGS, "readOnly": true},
        {"name": "run", "mountPath": RUN},
    ]);
    container
}

fn volumes(plan: &PodPlan, claim: &str) -> Vec<Value> {
    let shape = &plan.shape;
    let mut volumes = vec![
        json!({"name": "home", "persistentVolumeClaim": {"claimName": claim}}),
        json!({"name": "settings", "configMap": {"name": plan.name}}),
        json!({"name": "run", "emptyDir": {}}),
        json!({"name": "scratch", "emptyDir": {}}),
        json!({"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": shape.shared_memory_bytes.to_string()}}),
    ];
    if !shape.source_secret.is_empty() {
        // A Secret that is not there does not keep Jupyter from starting: the guest says that it misses it.
        let secret = json!({"secretName": shape.source_secret, "optional": true, "defaultMode": 0o440});
        volumes.push(json!({"name": "source", "secret": secret}));
    }
    let buckets = shape.buckets.iter().enumerate().filter(|_| plan.mounts_buckets);
    volumes.extend(buckets.map(|(index, it)| json!({"name": format!("bucket-{index}"), "csi": bucket(it)})));
    volumes
}

/// A volume of the driver, which takes options of gcsfuse.
fn bucket(bucket: &GuestBucket) -> Value {
    let mut options = "implicit-dirs,uid=1000,gid=1000,file-mode=664,dir-mode=775".to_owned();
    let prefix = bucket.prefix.as_deref().unwrap_or_default().trim_end_matches('/');
    if !prefix.is_empty() {
        options.push_str(",only-dir=");
        options.push_str(prefix);
    }
    json!({
        "driver": BUCKET_DRIVER,
        "readOnly": bucket.read_only,
        "volumeAttributes": {"bucketName": bucket.name, "mountOptions": options},
    })
}

#[cfg(test)]
mod tests;
