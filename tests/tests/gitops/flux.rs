//! Flux's health expressions, evaluated in the order and with the checks of its kustomize-controller.

use cel::{Context, Program, Value as Cel};
use serde_json::Value;

use super::Verdict;

/// The expressions for one kind.
pub struct Evaluator {
    in_progress: Program,
    failed: Program,
    current: Program,
}

impl Evaluator {
    /// The expressions that a Kustomization has for a kind.
    pub fn of(kustomization: &Value, kind: &str) -> Self {
        let all = kustomization["spec"]["healthCheckExprs"].as_array().expect("expressions");
        let its = all.iter().find(|one| one["kind"] == kind).expect("expressions for the kind");
        assert_eq!(its["apiVersion"], "rehost.dev/v1alpha1");
        let program = |key: &str| {
            let text = its[key].as_str().unwrap_or_else(|| panic!("there is no {key}"));
            Program::compile(text).unwrap_or_else(|error| panic!("{key}: {error}"))
        };
        Self { in_progress: program("inProgress"), failed: program("failed"), current: program("current") }
    }

    /// What Flux makes of an object. An expression that cannot be evaluated is an error there, and a panic here.
    pub fn judge(&self, object: &Value) -> Verdict {
        let (generation, observed) = (&object["metadata"]["generation"], &object["status"]["observedGeneration"]);
        if observed.is_i64() && generation.is_i64() && observed != generation {
            return Verdict::InProgress;
        }
        let rules = [
            (&self.in_progress, Verdict::InProgress),
            (&self.failed, Verdict::Failed),
            (&self.current, Verdict::Current),
        ];
        let holds = |program: &Program| {
            let mut context = Context::default();
            for (field, value) in object.as_object().expect("an object") {
                context.add_variable(field.as_str(), value).expect("JSON is a value");
            }
            match program.execute(&context) {
                Ok(Cel::Bool(holds)) => holds,
                other => panic!("not yes or no, but {other:?}: {object}"),
            }
        };
        rules.into_iter().find(|(program, _)| holds(program)).map_or(Verdict::InProgress, |(_, verdict)| verdict)
    }
}
