//! Random objects of every kind, within what the operator uses of them, and sometimes wrong.

use rand::Rng as _;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use serde_json::{Value, json};

/// A kind as scripts use it.
pub struct KindRow {
    pub group: &'static str,
    pub resource: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub has_status: bool,
    /// The field that patches change.
    pub content: &'static str,
}

const fn row(
    group: &'static str,
    resource: &'static str,
    kind: &'static str,
    namespaced: bool,
    has_status: bool,
    content: &'static str,
) -> KindRow {
    KindRow { group, resource, kind, namespaced, has_status, content }
}

pub const KINDS: &[KindRow] = &[
    row("test.rehost.dev", "gadgets", "Gadget", true, true, "spec"),
    row("", "pods", "Pod", true, true, "spec"),
    row("", "persistentvolumeclaims", "PersistentVolumeClaim", true, true, "spec"),
    row("", "persistentvolumes", "PersistentVolume", false, true, "spec"),
    // Its status endpoint can create half-made services on the real server; nobody does that.
    row("", "services", "Service", true, false, "spec"),
    row("", "secrets", "Secret", true, false, "data"),
    row("", "configmaps", "ConfigMap", true, false, "data"),
    row("", "serviceaccounts", "ServiceAccount", true, false, "imagePullSecrets"),
    row("", "events", "Event", true, false, "message"),
    row("", "nodes", "Node", false, true, "spec"),
    row("discovery.k8s.io", "endpointslices", "EndpointSlice", true, false, "endpoints"),
    row("storage.k8s.io", "volumeattachments", "VolumeAttachment", false, true, "status"),
    row("storage.k8s.io", "storageclasses", "StorageClass", false, false, "allowVolumeExpansion"),
    row("storage.k8s.io", "csinodes", "CSINode", false, false, "spec"),
    row("coordination.k8s.io", "leases", "Lease", true, false, "spec"),
    row("events.k8s.io", "events", "Event", true, false, "note"),
    row("scheduling.k8s.io", "priorityclasses", "PriorityClass", false, false, "description"),
];

/// The definition of the custom kind: every sort of list and map that a schema can declare.
pub const GADGETS: &str = include_str!("gadgets.yaml");

struct Dice<'a>(&'a mut SmallRng);

impl Dice<'_> {
    fn chance(&mut self, percent: u32) -> bool {
        self.0.random_range(0..100) < percent
    }

    fn pick(&mut self, all: &[Value]) -> Value {
        all.choose(self.0).cloned().unwrap_or_default()
    }

    fn some(&mut self, into: &mut Value, percent: u32, field: &str, values: &[Value]) {
        if self.chance(percent) {
            into[field] = self.pick(values);
        }
    }
}

/// An object without kind and metadata.
pub fn object(row: &KindRow, name: &str, rng: &mut SmallRng) -> Value {
    let mut dice = Dice(rng);
    match (row.group, row.resource) {
        ("test.rehost.dev", _) => gadget(&mut dice),
        ("", "pods") => pod(&mut dice),
        ("", "persistentvolumeclaims") => claim(&mut dice),
        ("", "persistentvolumes") => volume(&mut dice),
        ("", "services") => service(&mut dice),
        ("", "secrets") => secret(&mut dice),
        ("", "configmaps") => config_map(&mut dice),
        ("", "serviceaccounts") => {
            let mut out = json!({});
            dice.some(
                &mut out,
                50,
                "imagePullSecrets",
                &[json!([{"name": "a"}]), json!([{"name": "a"}, {"name": "b"}])],
            );
            dice.some(&mut out, 30, "automountServiceAccountToken", &[json!(false), json!(true)]);
            out
        }
        ("", "events") => core_event(&mut dice, name),
        ("", "nodes") => node(&mut dice),
        ("discovery.k8s.io", _) => slice(&mut dice),
        ("storage.k8s.io", "volumeattachments") => attachment(&mut dice),
        ("storage.k8s.io", "storageclasses") => {
            let mut out = json!({"provisioner": dice.pick(&[json!("a.example.org"), json!("a.example.org"), json!("b.example.org")])});
            dice.some(&mut out, 50, "allowVolumeExpansion", &[json!(true), json!(false)]);
            dice.some(&mut out, 30, "volumeBindingMode", &[json!("WaitForFirstConsumer")]);
            dice.some(&mut out, 30, "parameters", &[json!({"type": "fast"}), json!({"type": "slow"})]);
            out
        }
        ("storage.k8s.io", _) => {
            let driver = json!({"name": "pd.csi.storage.gke.io", "nodeID": "n", "topologyKeys": ["zone"]});
            json!({"spec": {"drivers": dice.pick(&[json!([]), json!([driver])])}})
        }
        ("coordination.k8s.io", _) => lease(&mut dice),
        ("events.k8s.io", _) => new_event(&mut dice),
        _ => {
            let mut out = json!({"value": dice.pick(&[json!(1000), json!(1000), json!(5)])});
            dice.some(&mut out, 50, "description", &[json!("low"), json!("high"), json!("")]);
            dice.some(&mut out, 20, "preemptionPolicy", &[json!("Never")]);
            out
        }
    }
}

fn gadget(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({});
    dice.some(&mut spec, 92, "size", &[json!(1), json!(2), json!(3), json!(3), json!(0), json!("3"), json!(99)]);
    dice.some(&mut spec, 30, "class", &[json!("fast"), json!("slow"), json!("much-too-long-a-name"), json!("UPPER")]);
    dice.some(&mut spec, 20, "mode", &[json!("Fast"), json!("Slow"), json!("Odd"), Value::Null]);
    dice.some(&mut spec, 20, "enabled", &[json!(true), json!(false)]);
    dice.some(&mut spec, 30, "zones", &[json!(["a"]), json!(["a", "b"]), json!([]), json!(["a", "a"])]);
    dice.some(&mut spec, 40, "tags", &[json!(["x"]), json!(["y", "x"]), json!(["z"]), json!([]), json!(["x", "x"])]);
    let bucket = |path: &str, name: &str| json!({"path": path, "name": name});
    dice.some(
        &mut spec,
        40,
        "buckets",
        &[
            json!([bucket("p", "one")]),
            json!([bucket("q", "two"), bucket("p", "one")]),
            json!([bucket("p", "other"), {"path": "r", "readOnly": true}]),
            json!([bucket("p", "one"), bucket("p", "two")]),
            json!([{"name": "keyless"}]),
            json!([]),
        ],
    );
    dice.some(
        &mut spec,
        40,
        "host",
        &[
            json!({"vm": {"machineType": "small"}}),
            json!({"vm": {"machineType": "large", "gpus": 1}}),
            json!({"pod": {"image": "i"}}),
            json!({}),
            json!({"vm": {}}),
        ],
    );
    dice.some(&mut spec, 20, "labels", &[json!({"a": "1"}), json!({"a": "2", "b": "1"}), json!({})]);
    dice.some(&mut spec, 20, "frozen", &[json!({"a": "1"}), json!({"a": "1", "b": "2"}), json!({"b": "2"})]);
    dice.some(
        &mut spec,
        20,
        "extra",
        &[json!({"any": {"deep": 1}}), json!({"list": [1, {"a": 2}]}), json!({"any": 5})],
    );
    dice.some(&mut spec, 10, "port", &[json!(80), json!("http"), json!(true)]);
    dice.some(&mut spec, 10, "maybe", &[json!("yes"), Value::Null]);
    dice.some(&mut spec, 4, "unknown", &[json!(1)]);
    let mut out = json!({"spec": spec});
    if dice.chance(50) {
        out["status"] = gadget_status(dice);
    }
    out
}

fn gadget_status(dice: &mut Dice<'_>) -> Value {
    let mut status = json!({});
    dice.some(&mut status, 60, "phase", &[json!("Running"), json!("Stopped")]);
    dice.some(&mut status, 40, "observedGeneration", &[json!(1), json!(2)]);
    let condition = |kind: &str, value: &str| json!({"type": kind, "status": value, "reason": "Because"});
    dice.some(
        &mut status,
        60,
        "conditions",
        &[
            json!([condition("Ready", "True")]),
            json!([condition("Ready", "False"), condition("Stalled", "True")]),
            json!([condition("Stalled", "False")]),
            json!([{"type": "Ready"}]),
        ],
    );
    status
}

fn pod(dice: &mut Dice<'_>) -> Value {
    let mut main = json!({"name": "main"});
    dice.some(
        &mut main,
        97,
        "image",
        &[json!("jupyter:1"), json!("jupyter:1"), json!("jupyter"), json!("r.io/x/jupyter:2")],
    );
    let amount = |cpu: &str| json!({"cpu": cpu, "memory": "1Gi"});
    dice.some(
        &mut main,
        60,
        "resources",
        &[
            json!({"limits": amount("1"), "requests": amount("1000m")}),
            json!({"limits": amount("2")}),
            json!({"requests": {"cpu": "100m"}}),
            json!({"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}),
        ],
    );
    dice.some(
        &mut main,
        30,
        "env",
        &[
            json!([{"name": "A", "value": "1"}]),
            json!([{"name": "B", "value": ""}, {"name": "A", "value": "2"}]),
            json!([{"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]),
        ],
    );
    dice.some(
        &mut main,
        30,
        "ports",
        &[json!([{"containerPort": 8888}]), json!([{"containerPort": 8888, "name": "http"}])],
    );
    dice.some(
        &mut main,
        20,
        "readinessProbe",
        &[json!({"httpGet": {"port": 8888}}), json!({"tcpSocket": {"port": "http"}, "periodSeconds": 3})],
    );
    dice.some(
        &mut main,
        20,
        "securityContext",
        &[json!({"runAsUser": 1000, "runAsNonRoot": true}), json!({"privileged": false})],
    );
    dice.some(&mut main, 15, "command", &[json!(["jupyter", "lab"]), json!([])]);
    dice.some(&mut main, 10, "lifecycle", &[json!({"preStop": {"exec": {"command": ["sh"]}}})]);
    let mut spec = json!({"containers": [main]});
    if dice.chance(40) {
        spec["volumes"] = dice.pick(&[
            json!([{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}]),
            json!([{"name": "home", "persistentVolumeClaim": {"claimName": "home"}}, {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1024Mi"}}]),
            json!([{"name": "key", "secret": {"secretName": "k"}}, {"name": "home"}]),
        ]);
        if dice.chance(60) {
            spec["containers"][0]["volumeMounts"] =
                json!([{"name": "home", "mountPath": "/home/jupyter", "subPath": "home"}]);
        }
    }
    if dice.chance(15) {
        spec["containers"].as_array_mut().expect("a list").push(json!({"name": "side", "image": "side:1"}));
    }
    dice.some(&mut spec, 20, "nodeSelector", &[json!({"zone": "a"}), json!({})]);
    dice.some(
        &mut spec,
        20,
        "securityContext",
        &[json!({"fsGroup": 1000, "fsGroupChangePolicy": "OnRootMismatch"}), json!({})],
    );
    dice.some(&mut spec, 20, "terminationGracePeriodSeconds", &[json!(0), json!(60)]);
    dice.some(&mut spec, 20, "tolerations", &[json!([{"key": "nvidia.com/gpu", "operator": "Exists"}])]);
    dice.some(&mut spec, 15, "affinity", &[json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}}})]);
    dice.some(&mut spec, 20, "nodeName", &[json!("somewhere")]);
    dice.some(&mut spec, 20, "restartPolicy", &[json!("Never")]);
    dice.some(&mut spec, 15, "automountServiceAccountToken", &[json!(false)]);
    dice.some(&mut spec, 15, "serviceAccountName", &[json!("me")]);
    let mut out = json!({"spec": spec});
    if dice.chance(50) {
        out["status"] = pod_status(dice);
    }
    out
}

fn pod_status(dice: &mut Dice<'_>) -> Value {
    let mut status = json!({"phase": dice.pick(&[json!("Running"), json!("Pending"), json!("Failed")])});
    let condition =
        |kind: &str, value: &str| json!({"type": kind, "status": value, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    dice.some(
        &mut status,
        60,
        "conditions",
        &[json!([condition("Ready", "True")]), json!([condition("PodScheduled", "True"), condition("Ready", "False")])],
    );
    dice.some(&mut status, 30, "podIP", &[json!("10.1.2.3")]);
    let container = json!({"name": "main", "image": "jupyter:1", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}});
    dice.some(&mut status, 30, "containerStatuses", &[json!([container])]);
    status
}

fn claim(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({"resources": {"requests": {"storage": dice.pick(&[json!("1Gi"), json!("1024Mi"), json!("2Gi"), json!("1")])}}});
    dice.some(&mut spec, 95, "accessModes", &[json!(["ReadWriteOncePod"])]);
    dice.some(&mut spec, 60, "storageClassName", &[json!("rehost-home"), json!("")]);
    dice.some(&mut spec, 40, "volumeName", &[json!("pv-a"), json!("pv-b")]);
    let mut out = json!({"spec": spec});
    dice.some(
        &mut out,
        50,
        "status",
        &[
            json!({"phase": "Bound", "accessModes": ["ReadWriteOncePod"], "capacity": {"storage": "1Gi"}}),
            json!({"phase": "Pending"}),
        ],
    );
    out
}

fn volume(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({
        "capacity": {"storage": dice.pick(&[json!("10Gi"), json!("20Gi"), json!("10240Mi")])},
        "csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": dice.pick(&[json!("d1"), json!("d1"), json!("d2")]), "fsType": "ext4"},
    });
    dice.some(&mut spec, 95, "accessModes", &[json!(["ReadWriteOncePod"])]);
    dice.some(&mut spec, 60, "persistentVolumeReclaimPolicy", &[json!("Retain")]);
    dice.some(&mut spec, 60, "storageClassName", &[json!("rehost-home")]);
    dice.some(
        &mut spec,
        40,
        "claimRef",
        &[
            json!({"namespace": "n", "name": "c", "kind": "PersistentVolumeClaim", "apiVersion": "v1"}),
            json!({"namespace": "n", "name": "d", "uid": "u"}),
        ],
    );
    dice.some(&mut spec, 60, "nodeAffinity", &[json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "topology.gke.io/zone", "operator": "In", "values": ["a"]}]}]}})]);
    let mut out = json!({"spec": spec});
    dice.some(&mut out, 40, "status", &[json!({"phase": "Available"}), json!({"phase": "Bound"})]);
    out
}

fn service(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({"ports": dice.pick(&[
        json!([{"port": 80, "targetPort": 8888, "name": "http"}]),
        json!([{"port": 80}]),
        json!([{"port": 80, "name": "http"}, {"port": 443, "name": "https", "targetPort": "tls"}]),
    ])});
    dice.some(&mut spec, 30, "clusterIP", &[json!("None")]);
    dice.some(&mut spec, 20, "selector", &[json!({"app": "x"})]);
    dice.some(&mut spec, 10, "sessionAffinity", &[json!("ClientIP")]);
    json!({"spec": spec})
}

fn secret(dice: &mut Dice<'_>) -> Value {
    let mut out = json!({});
    dice.some(&mut out, 70, "data", &[json!({"a": "YQ=="}), json!({"a": "Yg==", "b": "Yg=="}), json!({})]);
    dice.some(&mut out, 30, "stringData", &[json!({"a": "plain"})]);
    dice.some(&mut out, 20, "type", &[json!("Opaque"), json!("example.org/own")]);
    dice.some(&mut out, 10, "immutable", &[json!(false)]);
    out
}

fn config_map(dice: &mut Dice<'_>) -> Value {
    let mut out = json!({});
    dice.some(&mut out, 80, "data", &[json!({"a": "1"}), json!({"a": "2", "b": ""}), json!({})]);
    dice.some(&mut out, 20, "binaryData", &[json!({"c": "YQ=="})]);
    out
}

fn core_event(dice: &mut Dice<'_>, name: &str) -> Value {
    let mut out = json!({"involvedObject": {"kind": "Gadget", "name": name}, "reason": "Why"});
    dice.some(&mut out, 80, "message", &[json!("one"), json!("two")]);
    dice.some(&mut out, 60, "type", &[json!("Normal"), json!("Warning")]);
    dice.some(&mut out, 40, "count", &[json!(1), json!(2)]);
    dice.some(&mut out, 40, "firstTimestamp", &[json!("2026-01-01T00:00:00Z")]);
    dice.some(&mut out, 40, "source", &[json!({"component": "rehost"})]);
    out
}

fn new_event(dice: &mut Dice<'_>) -> Value {
    let mut out = json!({
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "rehost.dev/controller",
        "reportingInstance": "rehost-0",
        "action": "Resizing",
        "reason": "Why",
        "type": dice.pick(&[json!("Normal"), json!("Warning")]),
        "regarding": {"kind": "Gadget", "name": "a"},
    });
    dice.some(&mut out, 80, "note", &[json!("one"), json!("two")]);
    dice.some(&mut out, 30, "series", &[json!({"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"})]);
    out
}

fn node(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({});
    dice.some(&mut spec, 60, "providerID", &[json!("gce://p/z/n")]);
    dice.some(&mut spec, 20, "unschedulable", &[json!(true), json!(false)]);
    dice.some(&mut spec, 20, "taints", &[json!([{"key": "gpu", "effect": "NoSchedule"}])]);
    let mut out = json!({"spec": spec});
    let ready = json!({"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    dice.some(
        &mut out,
        50,
        "status",
        &[
            json!({"capacity": {"cpu": "4000m", "memory": "16Gi", "pods": "110"}}),
            json!({"capacity": {"cpu": "8"}, "allocatable": {"cpu": "7"}, "conditions": [ready]}),
        ],
    );
    out
}

fn slice(dice: &mut Dice<'_>) -> Value {
    let mut out = json!({
        "addressType": dice.pick(&[json!("IPv4"), json!("IPv4"), json!("IPv4"), json!("FQDN")]),
        "endpoints": dice.pick(&[
            json!([]),
            json!([{"addresses": ["10.1.1.1"]}]),
            json!([{"addresses": ["10.1.1.1"], "conditions": {"ready": true}, "targetRef": {"kind": "Pod", "name": "p", "namespace": "n"}}]),
            json!([{"addresses": ["10.1.1.2"], "conditions": {"ready": false, "serving": false}, "nodeName": "n", "zone": "z"}]),
        ]),
    });
    dice.some(
        &mut out,
        80,
        "ports",
        &[
            json!([{"port": 8888, "name": "http"}]),
            json!([{"port": 80}]),
            json!([{"port": 80, "name": "", "protocol": "TCP", "appProtocol": "http"}]),
        ],
    );
    out
}

fn attachment(dice: &mut Dice<'_>) -> Value {
    let mut out = json!({"spec": {
        "attacher": "pd.csi.storage.gke.io",
        "nodeName": dice.pick(&[json!("n1"), json!("n1"), json!("n2")]),
        "source": {"persistentVolumeName": "pv"},
    }});
    dice.some(
        &mut out,
        60,
        "status",
        &[
            json!({"attached": true}),
            json!({"attached": false, "attachError": {"message": "busy", "time": "2026-01-01T00:00:00Z"}}),
            json!({"attached": true, "attachmentMetadata": {"a": "b"}}),
        ],
    );
    out
}

fn lease(dice: &mut Dice<'_>) -> Value {
    let mut spec = json!({});
    dice.some(&mut spec, 80, "holderIdentity", &[json!("one"), json!("two")]);
    dice.some(&mut spec, 80, "leaseDurationSeconds", &[json!(15)]);
    dice.some(
        &mut spec,
        60,
        "renewTime",
        &[json!("2026-01-01T00:00:00.000000Z"), json!("2026-01-01T00:00:05.123456Z")],
    );
    dice.some(&mut spec, 40, "leaseTransitions", &[json!(0), json!(1)]);
    json!({"spec": spec})
}
