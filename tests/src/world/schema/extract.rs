//! The part of the discovery document that is in use.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// The methods in use, by their id without `compute.`.
pub const METHODS: &[&str] = &[
    "acceleratorTypes.aggregatedList",
    "acceleratorTypes.get",
    "acceleratorTypes.list",
    "diskTypes.aggregatedList",
    "diskTypes.get",
    "diskTypes.list",
    "disks.addResourcePolicies",
    "disks.aggregatedList",
    "disks.createSnapshot",
    "disks.delete",
    "disks.get",
    "disks.insert",
    "disks.list",
    "disks.removeResourcePolicies",
    "disks.resize",
    "disks.setLabels",
    "globalOperations.aggregatedList",
    "globalOperations.get",
    "globalOperations.list",
    "globalOperations.wait",
    "images.get",
    "images.getFromFamily",
    "images.list",
    "instances.aggregatedList",
    "instances.attachDisk",
    "instances.delete",
    "instances.detachDisk",
    "instances.get",
    "instances.getGuestAttributes",
    "instances.getSerialPortOutput",
    "instances.insert",
    "instances.list",
    "instances.reset",
    "instances.resume",
    "instances.setDiskAutoDelete",
    "instances.setLabels",
    "instances.setMachineResources",
    "instances.setMachineType",
    "instances.setMetadata",
    "instances.setMinCpuPlatform",
    "instances.setScheduling",
    "instances.setServiceAccount",
    "instances.setTags",
    "instances.start",
    "instances.stop",
    "instances.suspend",
    "machineTypes.aggregatedList",
    "machineTypes.get",
    "machineTypes.list",
    "networks.get",
    "networks.list",
    "projects.get",
    "regionOperations.get",
    "regionOperations.list",
    "regionOperations.wait",
    "regions.get",
    "regions.list",
    "resourcePolicies.delete",
    "resourcePolicies.get",
    "resourcePolicies.insert",
    "resourcePolicies.list",
    "snapshots.delete",
    "snapshots.get",
    "snapshots.list",
    "subnetworks.get",
    "subnetworks.list",
    "zoneOperations.get",
    "zoneOperations.list",
    "zoneOperations.wait",
    "zones.get",
    "zones.list",
];

/// What the tree keeps of the document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Extract {
    /// The document's revision, a date.
    pub revision: String,
    /// Query parameters that every method knows.
    pub parameters: BTreeMap<String, Field>,
    /// Methods by id without `compute.`.
    pub methods: BTreeMap<String, Method>,
    /// Schemas by name.
    pub schemas: BTreeMap<String, Field>,
}

/// One method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Method {
    /// For example `POST`.
    pub http_method: String,
    /// After `/compute/v1/`, for example `projects/{project}/zones/{zone}/instances`.
    pub path: String,
    /// Path and query parameters.
    #[serde(default)]
    pub parameters: BTreeMap<String, Field>,
    /// The body's schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Reference>,
    /// The answer's schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Reference>,
}

/// A reference to a schema by its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// The name.
    #[serde(rename = "$ref")]
    pub name: String,
}

/// What the document notes of a field beside its type.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Annotations {
    /// The methods, by full id, whose body must have this field.
    #[serde(default)]
    pub required: Vec<String>,
}

/// A parameter, a schema, or a field of one: the document has one form for the three.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Field {
    /// The schema that this is.
    #[serde(rename = "$ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// `string`, `integer`, `number`, `boolean`, `array`, `object` or `any`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For example `int64`, which is a string of digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The values that a string can have.
    #[serde(rename = "enum", skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// What a path parameter looks like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// `path` or `query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether a parameter must be given.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// Whether a query parameter can be given more than once.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// The least number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<String>,
    /// The largest number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<String>,
    /// What an array holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub items: Option<Box<Field>>,
    /// The fields of an object.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, Field>,
    /// What the values of a map are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_properties: Option<Box<Field>>,
    /// Who must give it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// Why no extract could be made.
#[derive(Debug, Error)]
pub enum ExtractError {
    /// Not a discovery document.
    #[error("this is no discovery document: {0}")]
    NotADocument(#[from] serde_json::Error),
    /// A method that is in use is not in the document.
    #[error("the document has no method {0}")]
    NoSuchMethod(String),
    /// A schema that is referred to is not in the document.
    #[error("the document has no schema {0}")]
    NoSuchSchema(String),
}

#[derive(Deserialize)]
struct Document {
    revision: String,
    parameters: BTreeMap<String, Field>,
    resources: BTreeMap<String, Resource>,
    schemas: BTreeMap<String, Field>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(default)]
    methods: BTreeMap<String, Method>,
}

/// Cuts a discovery document down to the methods in use and what they reach.
pub fn extract(document: &str) -> Result<Extract, ExtractError> {
    let mut document: Document = serde_json::from_str(document)?;
    let mut methods = BTreeMap::new();
    for id in METHODS {
        let method = id
            .split_once('.')
            .and_then(|(resource, method)| document.resources.get_mut(resource)?.methods.remove(method))
            .ok_or_else(|| ExtractError::NoSuchMethod((*id).to_owned()))?;
        methods.insert((*id).to_owned(), method);
    }
    let ends = methods.values().flat_map(|method| [&method.request, &method.response]).flatten();
    let mut wanted: Vec<String> = ends.map(|reference| reference.name.clone()).collect();
    let mut schemas = BTreeMap::new();
    while let Some(name) = wanted.pop() {
        if schemas.contains_key(&name) {
            continue;
        }
        let mut schema = document.schemas.remove(&name).ok_or_else(|| ExtractError::NoSuchSchema(name.clone()))?;
        trim(&mut schema, &methods);
        let mut found = BTreeSet::new();
        references(&schema, &mut found);
        wanted.extend(found);
        schemas.insert(name, schema);
    }
    Ok(Extract { revision: document.revision, parameters: document.parameters, methods, schemas })
}

/// The schemas that a field refers to.
fn references(field: &Field, into: &mut BTreeSet<String>) {
    into.extend(field.reference.clone());
    let inner = field.items.iter().chain(&field.additional_properties).map(AsRef::as_ref);
    inner.chain(field.properties.values()).for_each(|field| references(field, into));
}

/// Takes out the notes about methods that are not in use.
fn trim(field: &mut Field, methods: &BTreeMap<String, Method>) {
    if let Some(annotations) = &mut field.annotations {
        annotations.required.retain(|id| methods.contains_key(id.trim_start_matches("compute.")));
        if annotations.required.is_empty() {
            field.annotations = None;
        }
    }
    let inner = field.items.iter_mut().chain(&mut field.additional_properties).map(AsMut::as_mut);
    inner.chain(field.properties.values_mut()).for_each(|field| trim(field, methods));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_extract_is_of_the_methods_in_use() {
        let kept = super::super::kept();
        let ids: Vec<&str> = kept.methods.keys().map(String::as_str).collect();
        assert_eq!(ids, METHODS, "run the discovery-extract command again");
        for schema in kept.schemas.values() {
            let mut found = BTreeSet::new();
            references(schema, &mut found);
            assert!(found.iter().all(|name| kept.schemas.contains_key(name)), "{found:?}");
        }
    }

    #[test]
    fn a_document_without_a_method_in_use_is_refused() {
        let document = r#"{"revision":"1","parameters":{},"resources":{},"schemas":{}}"#;
        assert!(matches!(extract(document), Err(ExtractError::NoSuchMethod(id)) if id == METHODS[0]));
    }
}
