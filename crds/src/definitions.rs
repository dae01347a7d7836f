//! The custom resource definitions as files.

use crate::{Notebook, NotebookClass};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// The definitions, the ones that others need first.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![NotebookClass::crd(), Notebook::crd()]
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
