//! The words that tests are written in: a class and a notebook as YAML laid over a base, facts by hand, and one `check`.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a story that cannot be told fails its test")]

mod allowance;
mod gathering;
mod pinning;
mod refusals;
mod shapes;
mod wishes;

use std::collections::BTreeMap;
use std::sync::Arc;

use rehost_api::conditions::Reason;
use rehost_api::shape::{HostShape, PodShape, VmShape};
use rehost_api::status::{HomeRecord, NotebookStatus, Resolved};
use rehost_api::{Notebook, NotebookClass};
use serde_json::Value;

use super::{Desired, Facts, NamespaceFacts, Needs, Refusal, Resolution, needs, resolve};
use crate::access::AccessHashes;
use crate::gce::model::{Accelerator, AcceleratorType, Architecture, ImageFacts, MachineType, Quota};
use crate::seen::Seen;

const CLASS: &str = "
apiVersion: rehost.dev/v1alpha1
kind: NotebookClass
metadata: {name: default}
spec:
  namespaceSelector: {matchLabels: {rehost.dev/notebooks: allowed}}
  project: demo-project
  zones: [us-central1-a, us-central1-b]
  network: {subnetwork: regions/us-central1/subnetworks/default, tags: [notebooks], allowedTags: [team-*]}
  machineTypes: {default: n1-standard-4, allowed: [n1-*, e2-*, c3-*, c4-*, t2a-*, g2-*, f1-*, custom-*, z9-*]}
  gpus: {allowed: [nvidia-tesla-*], maxCount: 4}
  images:
    vm:
      cpu: projects/demo-project/global/images/family/notebook-cpu
      gpu: projects/demo-project/global/images/family/notebook-gpu
      arm: projects/demo-project/global/images/family/notebook-arm
      allowed: [projects/demo-project/global/images/*]
    pod: {default: 'quay.io/jupyter/scipy-notebook:1', allowed: [quay.io/jupyter/*]}
  serviceAccounts: {default: notebooks@demo-project.iam.gserviceaccount.com, allowed: ['*@demo-project.iam.gserviceaccount.com']}
  buckets: [team-a-*]
  sourcePrefixes: ['https://github.com/']
  pods: {homes: Disk}
";

const NOTEBOOK: &str = "
apiVersion: rehost.dev/v1alpha1
kind: Notebook
metadata: {name: taxi, namespace: team-a, uid: u-1, generation: 3}
spec: {}
";

/// Everything that `resolve` is given.
struct Story {
    class: Seen<Arc<NotebookClass>>,
    namespace: Seen<NamespaceFacts>,
    notebook: Notebook,
    facts: Facts,
}

/// The base notebook with `spec` laid over its spec, in the base class, with all facts known.
fn story(spec: &str) -> Story {
    let labels = BTreeMap::from([("rehost.dev/notebooks".to_owned(), "allowed".to_owned())]);
    let patched = laid_over(NOTEBOOK, &format!("{{spec: {spec}}}"));
    Story {
        class: class("{}"),
        namespace: Seen::Present(NamespaceFacts { labels, terminating: false }),
        notebook: serde_json::from_value(patched).expect("a notebook"),
        facts: facts(),
    }
}

/// The base class with `spec` laid over its spec.
fn class(spec: &str) -> Seen<Arc<NotebookClass>> {
    let patched = laid_over(CLASS, &format!("{{spec: {spec}}}"));
    Seen::Present(Arc::new(serde_json::from_value(patched).expect("a class")))
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A file of the repository.
fn file(path: &str) -> String {
    std::fs::read_to_string(format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))).expect(path)
}

fn laid_over(base: &str, patch: &str) -> Value {
    let mut value = yaml(base);
    merge(&mut value, &yaml(patch));
    value
}

/// A JSON merge patch: null takes a field away, a list is replaced whole.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::new());
    }
    let Some(object) = value.as_object_mut() else { return };
    for (key, part) in fields {
        if part.is_null() {
            object.remove(key);
        } else {
            merge(object.entry(key.clone()).or_insert(Value::Null), part);
        }
    }
}

impl Story {
    fn class(mut self, spec: &str) -> Self {
        self.class = class(spec);
        self
    }

    fn facts(mut self, change: impl FnOnce(&mut Facts)) -> Self {
        change(&mut self.facts);
        self
    }

    /// Lays another spec over the notebook's, as an edit does.
    fn edit(mut self, spec: &str) -> Self {
        let mut value = serde_json::to_value(&self.notebook).expect("a notebook is written");
        merge(&mut value, &yaml(&format!("{{spec: {spec}}}")));
        self.notebook = serde_json::from_value(value).expect("a notebook");
        self
    }

    /// A home disk that is on record.
    fn home(mut self, change: impl FnOnce(&mut HomeRecord)) -> Self {
        let mut home = HomeRecord {
            disk: "home-1".into(),
            id: Some("7".into()),
            content_id: "c".into(),
            formatted: true,
            size_gb: 200,
            disk_type: "pd-balanced".into(),
            project: "demo-project".into(),
            zone: "us-central1-a".into(),
            claim: false,
        };
        change(&mut home);
        self.status().home = Some(home);
        self
    }

    /// What was resolved is remembered, as the planner does.
    fn remembered(mut self) -> Self {
        let Desired { host, home, .. } = self.wish();
        let resolved =
            Resolved { digest: host.digest, host: host.shape, fallbacks: host.fallbacks, home_type: home.disk_type };
        self.status().resolved = Some(resolved);
        self
    }

    /// It runs as it is wished for.
    fn runs(mut self) -> Self {
        let shape = self.wish().host.shape;
        let host = serde_json::json!({"kind": "Pod", "name": "nb-t1-a1", "shape": "", "lastShape": shape});
        let host = serde_json::from_value(host).expect("a host");
        self.status().host = Some(host);
        self
    }

    fn status(&mut self) -> &mut NotebookStatus {
        self.notebook.status.get_or_insert_default()
    }

    fn resolve(&self) -> Resolution {
        let access = AccessHashes { people: vec!["hash".to_owned()], status: None };
        resolve("cluster-1", &self.notebook, &self.class, &self.namespace, &self.facts, access)
    }

    fn needs(&self) -> Needs {
        needs(&self.notebook, &self.class)
    }

    fn wish(&self) -> Desired {
        self.resolve().wish.unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    fn refusal(&self) -> Refusal {
        self.resolve().wish.expect_err("a refusal")
    }

    fn vm(&self) -> VmShape {
        match self.wish().host.shape {
            HostShape::Vm(vm) => vm,
            HostShape::Pod(pod) => panic!("a pod: {pod:?}"),
        }
    }

    fn pod(&self) -> PodShape {
        match self.wish().host.shape {
            HostShape::Pod(pod) => pod,
            HostShape::Vm(vm) => panic!("a VM: {vm:?}"),
        }
    }
}

/// A story is refused for this reason, at this field, in words that hold all of these.
#[track_caller]
fn check(story: &Story, reason: Reason, field: &str, says: &[&str]) {
    let refusal = story.refusal();
    assert_eq!((refusal.reason, refusal.field.as_str()), (reason, field), "{}", refusal.message);
    for part in says {
        assert!(refusal.message.contains(part), "'{part}' is not in: {}", refusal.message);
    }
    assert!(!refusal.message.ends_with('.'), "status ends the sentence: {}", refusal.message);
}

/// What is laid over the spec, then reason, field and what the sentence must hold.
type Row<'a> = (&'a str, Reason, &'a str, &'a [&'a str]);

#[track_caller]
fn check_all(rows: &[Row<'_>]) {
    for (spec, reason, field, says) in rows {
        println!("{spec}");
        check(&story(spec), *reason, field, says);
    }
}

fn machine(name: &str, guest_cpus: u32) -> MachineType {
    MachineType {
        name: name.into(),
        zone: "us-central1-a".into(),
        guest_cpus,
        memory_mb: 15_360,
        architecture: Architecture::X86,
        accelerators: Vec::new(),
        maximum_persistent_disks: 128,
        shared_cpu: false,
    }
}

fn image(family: &str, architecture: Option<Architecture>) -> (String, Seen<ImageFacts>) {
    let name = format!("{family}-20260101");
    let link = format!("projects/demo-project/global/images/{name}");
    let facts = ImageFacts { link, name, architecture, disk_size_gb: 20 };
    (format!("projects/demo-project/global/images/family/{family}"), Seen::Present(facts))
}

/// What the zone has: everything that the stories name, and one of each kind.
fn facts() -> Facts {
    let l4 = Accelerator { kind: "nvidia-l4".into(), count: 1 };
    let machines = [
        machine("n1-standard-1", 1),
        machine("n1-standard-4", 4),
        machine("n1-standard-8", 8),
        machine("n1-highmem-32", 32),
        machine("e2-standard-4", 4),
        machine("c3-standard-4", 4),
        machine("c4-standard-4", 4),
        machine("z9-standard-4", 4),
        MachineType { shared_cpu: true, ..machine("f1-micro", 1) },
        MachineType { architecture: Architecture::Arm, ..machine("t2a-standard-4", 4) },
        MachineType { accelerators: vec![l4], ..machine("g2-standard-8", 8) },
    ];
    let missing = [("n1-standard-5".to_owned(), Seen::Absent)];
    let t4 =
        AcceleratorType { name: "nvidia-tesla-t4".into(), zone: "us-central1-a".into(), maximum_cards_per_instance: 2 };
    Facts {
        machine_types: machines
            .into_iter()
            .map(|machine| (machine.name.clone(), Seen::Present(machine)))
            .chain(missing)
            .collect(),
        near: BTreeMap::from([("n1-standard-5".to_owned(), vec!["n1-standard-4".to_owned()])]),
        accelerator_types: BTreeMap::from([
            ("nvidia-tesla-t4".to_owned(), Seen::Present(t4)),
            ("nvidia-tesla-v100".to_owned(), Seen::Absent),
        ]),
        images: BTreeMap::from([
            image("notebook-cpu", Some(Architecture::X86)),
            image("notebook-gpu", Some(Architecture::X86)),
            image("notebook-arm", Some(Architecture::Arm)),
            image("silent", None),
            ("projects/demo-project/global/images/gone".to_owned(), Seen::Absent),
        ]),
        project_quotas: None,
        quotas: Some(Seen::Present(vec![
            quota("CPUS", 24.0),
            quota("NVIDIA_T4_GPUS", 2.0),
            quota("NVIDIA_L4_GPUS", 1.0),
        ])),
    }
}

fn quota(metric: &str, limit: f64) -> Quota {
    // All of it is in use: only limits may count.
    Quota { metric: metric.into(), limit, usage: limit }
}
