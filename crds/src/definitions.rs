//! The custom resource definitions as files.

use crate::{Notebook, NotebookClass};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::CustomResourceExt;
use serde_json::json;

/// The generation that a notebook's status speaks of before anybody has looked at the notebook.
pub const NOT_OBSERVED: i64 = -1;

/// The definitions, the ones that others need first.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![NotebookClass::crd(), unseen_at_first(Notebook::crd())]
}

/// A new notebook says that it was not observed yet. Tools that judge by conditions, as kstatus does and Flux with
/// it, take an object without any for one that is as it should be.
fn unseen_at_first(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let status = schema.and_then(|schema| schema.properties.as_mut()).and_then(|all| all.get_mut("status"));
        if let Some(status) = status {
            status.default = Some(JSON(json!({"observedGeneration": NOT_OBSERVED})));
        }
    }
    definition
}

/// The definitions as YAML, each with the name of its file: the same types always give the same bytes.
pub fn files() -> Result<Vec<(String, String)>, serde_saphyr::ser::Error> {
    all()
        .into_iter()
        .map(|definition| {
            let name = definition.metadata.name.clone().unwrap_or_default();
            let text = serde_saphyr::to_string(&definition)?;
            Ok((
                format!("{name}.yaml"),
                format!("# Written by crdgen from the types in crds/src: do not edit.\n{text}"),
            ))
        })
        .collect()
}
