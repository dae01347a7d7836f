//! Random request scripts: a seed makes the same requests every time.
//!
//! Bodies hold placeholders, `@version:PATH` and `@uid:PATH`, which each side replaces by what it last saw there.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use super::bodies::{self, KINDS, KindRow};

/// One request.
#[derive(Clone, Debug)]
pub struct Step {
    /// HTTP method.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body, null if none.
    pub body: Value,
}

/// A namespace and what happens in it.
pub struct Script {
    /// Its namespace; names of cluster-scoped objects start with it.
    pub namespace: String,
    /// The requests.
    pub steps: Vec<Step>,
}

pub const JSON: &str = "application/json";
pub const APPLY: &str = "application/apply-patch+yaml";
pub const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// How many requests a script has after its namespace is made.
const LENGTH: usize = 30;

struct Author {
    rng: SmallRng,
    namespace: String,
}

/// The script of a seed.
pub fn script(seed: u64) -> Script {
    let mut author = Author { rng: SmallRng::seed_from_u64(seed), namespace: format!("s{seed}") };
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": author.namespace}});
    let mut steps = vec![step("POST", "/api/v1/namespaces", JSON, namespace)];
    // Few kinds and names, so that requests meet.
    let kinds: Vec<&KindRow> = (0..2).map(|_| author.kind()).collect();
    for _ in 0..LENGTH {
        let row = *author.pick(&kinds);
        let next = author.step(row);
        steps.push(next);
    }
    if author.chance(15) {
        author.end_namespace(&mut steps, &kinds);
    }
    Script { namespace: author.namespace, steps }
}

fn step(method: &'static str, path: &str, content_type: &'static str, body: Value) -> Step {
    Step { method, path: path.to_owned(), content_type, body }
}

impl Author {
    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        all.choose(&mut self.rng).expect("nothing picks from an empty list")
    }

    /// Custom resources and pods are what the operator lives on, so they come up most.
    fn kind(&mut self) -> &'static KindRow {
        match self.rng.random_range(0..10) {
            0..4 => &KINDS[0],
            4..6 => &KINDS[1],
            _ => self.pick(KINDS),
        }
    }

    fn collection(&self, row: &KindRow) -> String {
        let prefix = if row.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/v1", row.group) };
        if row.namespaced {
            format!("{prefix}/namespaces/{}/{}", self.namespace, row.resource)
        } else {
            format!("{prefix}/{}", row.resource)
        }
    }

    fn name(&mut self, row: &KindRow) -> String {
        let name = *self.pick(&["a", "b", "c"]);
        if row.namespaced { name.to_owned() } else { format!("{}-{name}", self.namespace) }
    }

    fn step(&mut self, row: &KindRow) -> Step {
        let (collection, name) = (self.collection(row), self.name(row));
        let path = format!("{collection}/{name}");
        match self.rng.random_range(0..100) {
            0..18 => self.create(row, &collection, &name),
            18..40 => self.apply(row, &path, &name, ""),
            40..48 if row.has_status => self.apply(row, &path, &name, "/status"),
            48..60 => self.replace(row, &path, &name, ""),
            60..64 if row.has_status => self.replace(row, &path, &name, "/status"),
            64..74 => self.merge(row, &path, ""),
            74..77 if row.has_status => self.merge(row, &path, "/status"),
            77..80 => self.json_patch(row, &path),
            80..82 => self.strategic(row, &path),
            82..85 => self.list(row, &collection),
            85..94 => self.delete(&path),
            94..95 if row.namespaced => {
                step("DELETE", &format!("{collection}?labelSelector=team%3Da"), JSON, Value::Null)
            }
            95..98 if row.resource == "pods" => self.pod_subresource(&path, &name),
            _ => step("GET", &path, JSON, Value::Null),
        }
    }

    fn object(&mut self, row: &KindRow, name: &str) -> Value {
        let mut object = bodies::object(row, name, &mut self.rng);
        object["apiVersion"] = json!(if row.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", row.group) });
        object["kind"] = json!(row.kind);
        object["metadata"] = json!({"name": name});
        for about in ["involvedObject", "regarding"] {
            if object.get(about).is_some() && self.chance(95) {
                object[about]["namespace"] = json!(self.namespace);
            }
        }
        if row.namespaced && self.chance(50) {
            object["metadata"]["namespace"] = json!(self.namespace);
        }
        if self.chance(40) {
            object["metadata"]["labels"] = json!({"team": self.pick(&["a", "b"])});
        }
        if self.chance(20) {
            object["metadata"]["annotations"] = json!({"note": self.pick(&["x", "y", ""])});
        }
        if self.chance(10) {
            object["metadata"]["finalizers"] = json!([self.pick(&["test.rehost.dev/a", "test.rehost.dev/b"])]);
        }
        if self.chance(3) {
            object["metadata"]["labels"] = json!({"team": self.pick(&["not valid", "-", "ok"])});
        }
        object
    }

    fn create(&mut self, row: &KindRow, collection: &str, name: &str) -> Step {
        let mut object = self.object(row, name);
        match self.rng.random_range(0..20) {
            0 => {
                object["metadata"]["generateName"] = json!("gen-");
                object["metadata"].as_object_mut().expect("a map").remove("name");
            }
            1 => object["metadata"]["namespace"] = json!("elsewhere"),
            2 => object["metadata"]["name"] = json!(self.pick(&["Upper", "under_score", "", "trailing-"])),
            3 => object["metadata"]["resourceVersion"] = json!("1"),
            _ => {}
        }
        let query = if self.chance(30) { "?fieldManager=creator" } else { "" };
        step("POST", &format!("{collection}{query}"), JSON, object)
    }

    fn apply(&mut self, row: &KindRow, path: &str, name: &str, subresource: &str) -> Step {
        let mut object = self.object(row, name);
        if subresource.is_empty() && row.has_status && self.chance(80) {
            object.as_object_mut().expect("a map").remove("status");
        }
        if !subresource.is_empty() && self.chance(80) {
            object.as_object_mut().expect("a map").remove("spec");
        }
        match self.rng.random_range(0..20) {
            0 => object["metadata"]["resourceVersion"] = json!(format!("@version:{path}")),
            1 => object["metadata"]["uid"] = json!(format!("@uid:{path}")),
            2 => object["metadata"]["uid"] = json!("another"),
            _ => {}
        }
        let manager = *self.pick(&["alpha", "beta"]);
        let force = if self.chance(40) { "&force=true" } else { "" };
        step("PATCH", &format!("{path}{subresource}?fieldManager={manager}{force}"), APPLY, object)
    }

    fn replace(&mut self, row: &KindRow, path: &str, name: &str, subresource: &str) -> Step {
        let mut object = self.object(row, name);
        match self.rng.random_range(0..10) {
            0 => {}
            1 => object["metadata"]["resourceVersion"] = json!("1"),
            _ => object["metadata"]["resourceVersion"] = json!(format!("@version:{path}")),
        }
        match self.rng.random_range(0..12) {
            0 => object["metadata"]["uid"] = json!(format!("@uid:{path}")),
            1 => object["metadata"]["uid"] = json!("another"),
            2 => object["metadata"]["name"] = json!("another"),
            _ => {}
        }
        step("PUT", &format!("{path}{subresource}"), JSON, object)
    }

    fn merge(&mut self, row: &KindRow, path: &str, subresource: &str) -> Step {
        let donor = self.object(row, "donor");
        let patch = match self.rng.random_range(0..8) {
            0 => json!({"metadata": {"finalizers": null}}),
            1 => json!({"metadata": {"finalizers": ["test.rehost.dev/a"]}}),
            2 => json!({"metadata": {"labels": {"team": null, "more": "yes"}}}),
            3 => json!({"metadata": {"resourceVersion": format!("@version:{path}"), "annotations": {"note": "z"}}}),
            _ if !subresource.is_empty() => json!({"status": donor["status"]}),
            _ => json!({row.content: donor[row.content]}),
        };
        step("PATCH", &format!("{path}{subresource}"), MERGE, patch)
    }

    fn json_patch(&mut self, row: &KindRow, path: &str) -> Step {
        let donor = self.object(row, "donor");
        let patch = match self.rng.random_range(0..5) {
            0 => json!([{"op": "test", "path": "/metadata/name", "value": "nobody"}]),
            1 => json!([{"op": "remove", "path": "/metadata/labels"}]),
            2 => json!([{"op": "add", "path": "/metadata/labels", "value": {"team": "b"}}]),
            3 => json!([{"op": "replace", "path": "/metadata/labels/team", "value": "a"}]),
            _ => json!([{"op": "add", "path": format!("/{}", row.content), "value": donor[row.content]}]),
        };
        step("PATCH", path, JSON_PATCH, patch)
    }

    fn strategic(&mut self, row: &KindRow, path: &str) -> Step {
        let donor = self.object(row, "donor");
        let patch = match self.rng.random_range(0..3) {
            0 => json!({"metadata": {"labels": {"strategic": "yes"}, "finalizers": ["test.rehost.dev/b"]}}),
            1 => json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["test.rehost.dev/b"]}}),
            _ => json!({row.content: donor[row.content]}),
        };
        step("PATCH", path, STRATEGIC, patch)
    }

    fn list(&mut self, row: &KindRow, collection: &str) -> Step {
        let name = self.name(row);
        let query = match self.rng.random_range(0..6) {
            0 => "labelSelector=team".to_owned(),
            1 => "labelSelector=team%20in%20(a,b),!more".to_owned(),
            2 => "labelSelector=team!%3Da".to_owned(),
            3 => format!("fieldSelector=metadata.name%3D{name}"),
            4 => "limit=1".to_owned(),
            _ => String::new(),
        };
        // Cluster-scoped objects of other scripts are none of this one's business.
        let query = if row.namespaced { query } else { format!("fieldSelector=metadata.name%3D{name}") };
        step("GET", &format!("{collection}?{query}"), JSON, Value::Null)
    }

    fn delete(&mut self, path: &str) -> Step {
        let body = match self.rng.random_range(0..10) {
            0 => json!({"preconditions": {"uid": "another"}}),
            1 => json!({"preconditions": {"uid": format!("@uid:{path}")}}),
            2 => json!({"preconditions": {"resourceVersion": "1"}}),
            3 => json!({"preconditions": {"resourceVersion": format!("@version:{path}")}}),
            4 => json!({"gracePeriodSeconds": 0}),
            5 => json!({"gracePeriodSeconds": 7}),
            6 => json!({"propagationPolicy": "Background"}),
            7 => json!({"propagationPolicy": "Foreground"}),
            _ => json!({}),
        };
        step("DELETE", path, JSON, body)
    }

    fn pod_subresource(&mut self, path: &str, name: &str) -> Step {
        match self.rng.random_range(0..4) {
            0 => {
                let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": "somewhere"}});
                step("POST", &format!("{path}/binding"), JSON, body)
            }
            1 => {
                let body = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
                step("POST", &format!("{path}/eviction"), JSON, body)
            }
            _ => {
                let cpu = *self.pick(&["1", "2", "500m"]);
                let body = json!({"spec": {"containers": [{"name": "main", "resources": {
                    "limits": {"cpu": cpu, "memory": "1Gi"}, "requests": {"cpu": cpu, "memory": "1Gi"}}}]}});
                step("PATCH", &format!("{path}/resize"), STRATEGIC, body)
            }
        }
    }

    fn end_namespace(&mut self, steps: &mut Vec<Step>, kinds: &[&KindRow]) {
        let path = format!("/api/v1/namespaces/{}", self.namespace);
        steps.push(step("DELETE", &path, JSON, Value::Null));
        for _ in 0..4 {
            let row = *self.pick(kinds);
            let next = self.step(row);
            steps.push(next);
        }
        steps.push(step("DELETE", &path, JSON, Value::Null));
        steps.push(step("GET", &path, JSON, Value::Null));
    }
}
