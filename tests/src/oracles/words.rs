//! (g) The person's words are the person's.

use serde_json::Value;

use super::{Change, Oracle};
use crate::sim::scene::Scene;

/// Oracle (g).
#[derive(Debug, Default)]
pub struct Words {
    /// The notebook that the controller is writing just now, as it was before: uid, spec, annotations.
    writing: Option<(String, Value, Value)>,
}

impl Oracle for Words {
    fn name(&self) -> &'static str {
        "words"
    }

    fn sentence(&self) -> &'static str {
        "The controller never writes a spec or an annotation of the user's."
    }

    fn change(&mut self, scene: &Scene, change: Change<'_>) -> Vec<String> {
        let Change::Cluster(call) = change else { return Vec::new() };
        if !call.verb.is_write() || !matches!(call.resource.as_str(), "notebooks" | "notebookclasses" | "namespaces") {
            return Vec::new();
        }
        if call.resource != "notebooks" {
            return vec![format!("{} of {} {}", call.verb.as_str(), call.resource, call.name)];
        }
        let named = |one: &&crate::sim::scene::NotebookScene| one.namespace == call.namespace && one.name == call.name;
        let before = scene.cluster.notebooks.iter().find(named);
        self.writing = before.map(|one| (one.uid.clone(), one.spec.clone(), one.annotations.clone()));
        let body = call.body.as_deref().unwrap_or(&Value::Null);
        let speaks = !body["spec"].is_null() || !body["metadata"]["annotations"].is_null();
        if speaks {
            vec![format!("a body for {} that speaks of its spec or annotations: {body}", call.name)]
        } else {
            Vec::new()
        }
    }

    /// The step right after the change: nobody else had a turn between.
    fn step(&mut self, scene: &Scene) -> Vec<String> {
        let Some((uid, spec, annotations)) = self.writing.take() else { return Vec::new() };
        let Some(after) = scene.cluster.notebook(&uid) else { return Vec::new() };
        if after.spec == spec && after.annotations == annotations {
            return Vec::new();
        }
        vec![format!("the spec or annotations of {} changed under the controller's hand", after.name)]
    }
}
