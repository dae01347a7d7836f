//! Random objects of every kind, within what the operator uses of them, and sometimes wrong.

mod gadget;
mod network;
mod pod;
mod storage;

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
        ("test.rehost.dev", _) => gadget::gadget(&mut dice),
        ("", "pods") => pod::pod(&mut dice),
        ("", "persistentvolumeclaims") => storage::claim(&mut dice),
        ("", "persistentvolumes") => storage::volume(&mut dice),
        ("", "services") => network::service(&mut dice),
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
        ("discovery.k8s.io", _) => network::slice(&mut dice),
        ("storage.k8s.io", "volumeattachments") => storage::attachment(&mut dice),
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
