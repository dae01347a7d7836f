//! The kinds that the server has, and what is peculiar to each.

use std::sync::LazyLock;

use serde_json::Value;

use super::fieldset::FieldSet;
use super::schema::{Reader, Type};

/// The `OpenAPI` definitions of the built-in kinds, extracted from a real server (see [`super::extract`]).
pub const DEFINITIONS: &str = include_str!("openapi.json");

/// A kind.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the kind")]
pub struct Kind {
    /// API group, empty for core.
    pub group: String,
    /// API version within the group.
    pub version: String,
    /// Plural, as in paths.
    pub resource: String,
    /// Kind, as in objects.
    pub kind: String,
    /// Lives in namespaces.
    pub namespaced: bool,
    /// Has a status subresource.
    pub has_status: bool,
    /// Defined by a CRD.
    pub custom: bool,
    /// The type of its objects.
    pub schema: Type,
    /// A PUT of an unknown name creates it.
    pub create_on_update: bool,
    /// A PUT without resourceVersion is taken.
    pub unconditional_update: bool,
    /// DELETE answers with the object rather than a Status.
    pub returns_deleted: bool,
    /// `metadata.generation` counts changes of spec.
    pub generation: bool,
    /// What the main endpoint never changes.
    pub reset: FieldSet,
    /// What the status endpoint never changes.
    pub reset_status: FieldSet,
    /// The kind under which objects are stored, if another one's (`events.k8s.io` events are core events).
    pub stored_as: Option<usize>,
}

impl Kind {
    /// `group/version`, or `v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `resource` or `resource.group`.
    pub fn qualified(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// The kind of its lists.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    /// Core kinds are told apart by resource alone.
    pub fn is(&self, resource: &str) -> bool {
        !self.custom && self.resource == resource
    }
}

struct Row(&'static str, &'static str, &'static str, &'static str);

/// definition, resource, flags, fields that the status endpoint resets.
/// Flags: n namespaced, s status, c create on update, u unconditional update, r returns the deleted object,
/// g generation.
const TABLE: [Row; 18] = [
    Row("core.v1.Namespace", "namespaces", "sur", "spec"),
    Row("core.v1.Node", "nodes", "su", "spec"),
    Row("core.v1.Pod", "pods", "nsurg", "spec metadata.deletionTimestamp metadata.ownerReferences"),
    Row("core.v1.Service", "services", "nscur", "spec"),
    Row("core.v1.PersistentVolume", "persistentvolumes", "sur", "spec"),
    Row("core.v1.PersistentVolumeClaim", "persistentvolumeclaims", "nsur", "spec"),
    Row("core.v1.Secret", "secrets", "nu", ""),
    Row("core.v1.ConfigMap", "configmaps", "nu", ""),
    Row("core.v1.Event", "events", "ncu", ""),
    Row("core.v1.ServiceAccount", "serviceaccounts", "nur", ""),
    Row("discovery.v1.EndpointSlice", "endpointslices", "nug", ""),
    Row("storage.v1.VolumeAttachment", "volumeattachments", "sr", "spec metadata"),
    Row("storage.v1.StorageClass", "storageclasses", "ur", ""),
    Row("storage.v1.CSIDriver", "csidrivers", "rg", ""),
    Row("storage.v1.CSINode", "csinodes", "r", ""),
    Row("coordination.v1.Lease", "leases", "nc", ""),
    Row("events.v1.Event", "events", "ncu", ""),
    Row("scheduling.v1.PriorityClass", "priorityclasses", "ug", ""),
];

fn group_of(package: &str) -> &'static str {
    match package {
        "discovery" => "discovery.k8s.io",
        "storage" => "storage.k8s.io",
        "coordination" => "coordination.k8s.io",
        "events" => "events.k8s.io",
        "scheduling" => "scheduling.k8s.io",
        _ => "",
    }
}

/// The built-in kinds, read once: their types are large, and never change.
static BUILT_IN: LazyLock<Kinds> = LazyLock::new(Kinds::built_in);

/// All kinds of a server.
#[derive(Clone, Debug)]
pub struct Kinds {
    all: Vec<Kind>,
    /// The type of `metadata`, which CRDs share.
    pub object_meta: Type,
}

impl Kinds {
    /// The built-in kinds and those of the CRDs.
    ///
    /// # Panics
    /// When the extract of the `OpenAPI` document is not JSON.
    pub fn new(crds: &[Value]) -> Kinds {
        let mut kinds = BUILT_IN.clone();
        for crd in crds {
            kinds.all.extend(custom(crd, &kinds.object_meta));
        }
        kinds
    }

    fn built_in() -> Kinds {
        #[expect(clippy::expect_used, reason = "the extract is part of this crate")]
        let definitions: Value = serde_json::from_str(DEFINITIONS).expect("the extract is JSON");
        let reader = Reader::built_in(&definitions);
        let object_meta = reader.definition("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
        let mut all: Vec<Kind> = TABLE.iter().map(|row| built_in(&reader, row)).collect();
        let core_events = all.iter().position(|kind| kind.group.is_empty() && kind.resource == "events");
        for kind in &mut all {
            if kind.group == "events.k8s.io" {
                kind.stored_as = core_events;
            }
        }
        Kinds { all, object_meta }
    }

    /// The kind at an index.
    pub fn get(&self, index: usize) -> &Kind {
        &self.all[index]
    }

    /// Finds a kind by group, version and plural.
    pub fn find(&self, group: &str, version: &str, resource: &str) -> Option<usize> {
        self.all.iter().position(|k| k.group == group && k.version == version && k.resource == resource)
    }

    /// Finds a kind by its name in objects, or by `Kind.group` where the name alone is not enough.
    pub fn by_name(&self, name: &str) -> Option<usize> {
        let (kind, group) = name.split_once('.').map_or((name, None), |(kind, group)| (kind, Some(group)));
        self.all.iter().position(|k| k.kind == kind && group.is_none_or(|group| k.group == group))
    }

    /// All kinds with their indices.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Kind)> {
        self.all.iter().enumerate()
    }
}

fn built_in(reader: &Reader<'_>, Row(definition, resource, flags, reset_status): &Row) -> Kind {
    let mut parts = definition.split('.');
    let (package, version, kind) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let has = |flag: char| flags.contains(flag);
    let reset_fields: Vec<&str> = reset_status.split_whitespace().collect();
    Kind {
        group: group_of(package).to_owned(),
        version: version.to_owned(),
        resource: (*resource).to_owned(),
        kind: kind.to_owned(),
        namespaced: has('n'),
        has_status: has('s'),
        custom: false,
        schema: reader.definition(&format!("io.k8s.api.{definition}")),
        create_on_update: has('c'),
        unconditional_update: has('u'),
        returns_deleted: has('r'),
        generation: has('g'),
        reset: if has('s') { FieldSet::of_fields(&["status"]) } else { FieldSet::default() },
        reset_status: FieldSet::of_fields(&reset_fields),
        stored_as: None,
    }
}

/// The served versions of a CRD. Objects are stored as they are written: there is no conversion between versions.
fn custom(crd: &Value, object_meta: &Type) -> Vec<Kind> {
    let text = |pointer: &str| crd.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let versions = crd.pointer("/spec/versions").and_then(Value::as_array);
    versions
        .into_iter()
        .flatten()
        .filter(|version| version["served"] == true)
        .map(|version| {
            let has_status = version.pointer("/subresources/status").is_some();
            let schema = Reader::custom().read(&version["schema"]["openAPIV3Schema"]);
            Kind {
                group: text("/spec/group"),
                version: version["name"].as_str().unwrap_or_default().to_owned(),
                resource: text("/spec/names/plural"),
                kind: text("/spec/names/kind"),
                namespaced: text("/spec/scope") == "Namespaced",
                has_status,
                custom: true,
                schema: with_metadata(&schema, object_meta),
                create_on_update: false,
                unconditional_update: false,
                returns_deleted: false,
                generation: true,
                reset: if has_status { FieldSet::of_fields(&["status"]) } else { FieldSet::default() },
                reset_status: FieldSet::of_fields(&["metadata", "spec"]),
                stored_as: None,
            }
        })
        .collect()
}

/// CRD schemas leave `metadata` to the server.
fn with_metadata(schema: &Type, object_meta: &Type) -> Type {
    let mut shape = schema.shape().clone();
    let text = Reader::custom().read(&serde_json::json!({"type": "string"}));
    if let Some(map) = &mut shape.map {
        map.fields.insert("metadata".to_owned(), object_meta.clone());
        map.fields.entry("apiVersion".to_owned()).or_insert_with(|| text.clone());
        map.fields.entry("kind".to_owned()).or_insert(text);
    }
    Type::Known(std::sync::Arc::new(shape))
}
