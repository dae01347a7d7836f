//! What the server knows about a type: which lists are maps or sets, what is atomic, defaulted, required.
//!
//! Built-in kinds come from an extract of the real server's `OpenAPI` document (`openapi.json`, see [`super::extract`]),
//! custom ones from the schema in their CRD.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use regex::Regex;
use serde_json::Value;

/// The kinds of scalar that structured-merge-diff tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarKind {
    /// Integers and floats.
    Numeric,
    /// Text.
    String,
    /// True or false.
    Boolean,
    /// Any scalar.
    Untyped,
}

/// How the items of a list belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Owned and replaced as a whole.
    Atomic,
    /// Scalars, each once.
    Set,
    /// Objects, told apart by these fields.
    Map(Vec<String>),
}

/// A list.
#[derive(Clone, Debug)]
pub struct ListShape {
    /// How items are told apart.
    pub kind: ListKind,
    /// The type of the items.
    pub item: Type,
}

/// A map or struct.
#[derive(Clone, Debug)]
pub struct MapShape {
    /// Owned and replaced as a whole.
    pub atomic: bool,
    /// Declared fields.
    pub fields: BTreeMap<String, Type>,
    /// The type of all other keys, if there may be any.
    pub rest: Option<Type>,
    /// Other keys are declared (`additionalProperties`), not only tolerated because nothing is declared.
    pub open: bool,
}

impl MapShape {
    /// The type of a key, declared or not.
    pub fn field(&self, name: &str) -> Option<Type> {
        self.fields.get(name).or(self.rest.as_ref()).cloned()
    }
}

/// What strategic merge patches need to know about a field.
#[derive(Clone, Debug, Default)]
pub struct Strategic {
    /// `x-kubernetes-patch-merge-key`.
    pub merge_key: Option<String>,
    /// `x-kubernetes-patch-strategy` has `merge`.
    pub merge: bool,
    /// `x-kubernetes-patch-strategy` has `retainKeys`.
    pub retain_keys: bool,
}

/// Bounds that an `OpenAPI` schema puts on a value.
#[derive(Clone, Debug, Default)]
pub struct Bounds {
    /// The `OpenAPI` type, empty if any.
    pub json_type: String,
    /// `x-kubernetes-int-or-string`.
    pub int_or_string: bool,
    /// The format.
    pub format: String,
    /// Required fields.
    pub required: Vec<String>,
    /// Allowed values.
    pub allowed: Vec<Value>,
    /// A regular expression; one that cannot be read bounds nothing.
    pub pattern: Option<Regex>,
    /// Numeric minimum.
    pub minimum: Option<f64>,
    /// Numeric maximum.
    pub maximum: Option<f64>,
    /// Bytes, items or properties at least.
    pub least: Option<u64>,
    /// Bytes, items or properties at most.
    pub most: Option<u64>,
}

/// A resolved type.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// The scalar form, if it may be one.
    pub scalar: Option<ScalarKind>,
    /// The list form, if it may be one.
    pub list: Option<ListShape>,
    /// The map form, if it may be one.
    pub map: Option<MapShape>,
    /// The default, if the schema has one.
    pub default: Option<Value>,
    /// An explicit null is a value of its own.
    pub nullable: bool,
    /// Unknown fields stay (`x-kubernetes-preserve-unknown-fields`).
    pub preserve: bool,
    /// A Kubernetes quantity, kept in canonical form by built-in kinds.
    pub quantity: bool,
    /// How strategic merge patches treat it.
    pub strategic: Strategic,
    /// Validation.
    pub bounds: Bounds,
}

/// A type, or one of the two recursive ones.
#[derive(Clone, Debug)]
pub enum Type {
    /// A declared type.
    Known(Arc<Shape>),
    /// Undeclared content: maps granular, lists atomic.
    Deduced,
    /// Undeclared content below an atomic list.
    Untyped,
}

static DEDUCED: LazyLock<Arc<Shape>> = LazyLock::new(|| Arc::new(free_form(false)));
static UNTYPED: LazyLock<Arc<Shape>> = LazyLock::new(|| Arc::new(free_form(true)));

fn free_form(atomic: bool) -> Shape {
    Shape {
        scalar: Some(ScalarKind::Untyped),
        list: Some(ListShape { kind: ListKind::Atomic, item: Type::Untyped }),
        map: Some(MapShape {
            atomic,
            fields: BTreeMap::new(),
            rest: Some(if atomic { Type::Untyped } else { Type::Deduced }),
            open: true,
        }),
        preserve: true,
        ..Shape::default()
    }
}

impl Type {
    /// The type's shape.
    pub fn shape(&self) -> &Shape {
        match self {
            Type::Known(shape) => shape,
            Type::Deduced => &DEDUCED,
            Type::Untyped => &UNTYPED,
        }
    }

    /// The type of a field, if this is a map that has it.
    pub fn field(&self, name: &str) -> Option<Type> {
        self.shape().map.as_ref()?.field(name)
    }
}

/// Reads `OpenAPI` schemas: of built-in kinds with references, of CRDs without.
pub struct Reader<'a> {
    definitions: Option<&'a Value>,
}

const REFERENCE: &str = "#/components/schemas/";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

impl<'a> Reader<'a> {
    /// For built-in kinds: definitions by name.
    pub fn built_in(definitions: &'a Value) -> Self {
        Reader { definitions: Some(definitions) }
    }

    /// For the `openAPIV3Schema` of a CRD.
    pub fn custom() -> Self {
        Reader { definitions: None }
    }

    /// The type of a definition.
    pub fn definition(&self, name: &str) -> Type {
        let node = self.definitions.and_then(|all| all.get(name));
        let mut shape = node.map_or_else(Shape::default, |node| self.shape(node, false));
        if name == QUANTITY {
            shape = Shape { scalar: Some(ScalarKind::Untyped), quantity: true, ..Shape::default() };
        }
        Type::Known(Arc::new(shape))
    }

    /// The type of a schema node.
    pub fn read(&self, node: &Value) -> Type {
        Type::Known(Arc::new(self.shape(node, false)))
    }

    fn shape(&self, node: &Value, preserve_above: bool) -> Shape {
        let reference = node.get("$ref").or_else(|| node.pointer("/allOf/0/$ref")).and_then(Value::as_str);
        if let Some(target) = reference.and_then(|text| text.strip_prefix(REFERENCE)) {
            return self.referred(node, target);
        }
        let preserve = preserve_above || flag(node, "x-kubernetes-preserve-unknown-fields");
        let json_type = node.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        let int_or_string = flag(node, "x-kubernetes-int-or-string");
        let any = json_type.is_empty();
        let scalar = match json_type.as_str() {
            "" => Some(ScalarKind::Untyped),
            "integer" | "number" => Some(ScalarKind::Numeric),
            "boolean" => Some(ScalarKind::Boolean),
            "string" => Some(match node.get("format").and_then(Value::as_str) {
                None | Some("byte") => ScalarKind::String,
                Some(_) => ScalarKind::Untyped,
            }),
            _ => None,
        };
        Shape {
            scalar,
            list: (any || json_type == "array").then(|| self.list(node, preserve)),
            map: (any || json_type == "object").then(|| self.map(node, preserve)),
            default: node.get("default").cloned(),
            nullable: flag(node, "nullable"),
            preserve: flag(node, "x-kubernetes-preserve-unknown-fields"),
            quantity: false,
            strategic: strategic(node),
            bounds: bounds(node, json_type, int_or_string),
        }
    }

    /// A field that refers to a definition may carry a default, a map type and patch hints of its own.
    fn referred(&self, node: &Value, target: &str) -> Shape {
        let mut shape = self.definition(target).shape().clone();
        if let Some(default) = node.get("default") {
            shape.default = Some(default.clone());
        }
        if let (Some(kind), Some(map)) = (node.get("x-kubernetes-map-type").and_then(Value::as_str), shape.map.as_mut())
        {
            map.atomic = kind == "atomic";
        }
        shape.strategic = strategic(node);
        shape
    }

    fn list(&self, node: &Value, preserve: bool) -> ListShape {
        let keys = || {
            let keys = node.get("x-kubernetes-list-map-keys").and_then(Value::as_array);
            keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let kind = match node.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("map") => ListKind::Map(keys()),
            Some("set") => ListKind::Set,
            _ => ListKind::Atomic,
        };
        let item = node.get("items").map_or(Type::Untyped, |items| Type::Known(Arc::new(self.shape(items, preserve))));
        ListShape { kind, item }
    }

    fn map(&self, node: &Value, preserve: bool) -> MapShape {
        let fields: BTreeMap<String, Type> = node
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, field)| (name.clone(), Type::Known(Arc::new(self.shape(field, preserve)))))
            .collect();
        let rest = match node.get("additionalProperties") {
            Some(Value::Bool(true)) => Some(Type::Deduced),
            Some(Value::Bool(false)) => None,
            Some(schema) => Some(Type::Known(Arc::new(self.shape(schema, preserve)))),
            None if preserve || fields.is_empty() => Some(Type::Deduced),
            None => None,
        };
        let atomic = node.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic");
        let open = node.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false))
            || (fields.is_empty() && self.definitions.is_some());
        MapShape { atomic, fields, rest, open }
    }
}

fn flag(node: &Value, name: &str) -> bool {
    node.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn strategic(node: &Value) -> Strategic {
    let strategy = node.get("x-kubernetes-patch-strategy").and_then(Value::as_str).unwrap_or("");
    Strategic {
        merge_key: node.get("x-kubernetes-patch-merge-key").and_then(Value::as_str).map(str::to_owned),
        merge: strategy.split(',').any(|part| part == "merge"),
        retain_keys: strategy.split(',').any(|part| part == "retainKeys"),
    }
}

fn bounds(node: &Value, json_type: String, int_or_string: bool) -> Bounds {
    let number = |names: [&str; 3]| names.iter().find_map(|name| node.get(*name).and_then(Value::as_u64));
    let required: BTreeSet<String> = node
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    Bounds {
        json_type,
        int_or_string,
        format: node.get("format").and_then(Value::as_str).unwrap_or("").to_owned(),
        required: required.into_iter().collect(),
        allowed: node.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
        pattern: node.get("pattern").and_then(Value::as_str).and_then(|pattern| Regex::new(pattern).ok()),
        minimum: node.get("minimum").and_then(Value::as_f64),
        maximum: node.get("maximum").and_then(Value::as_f64),
        least: number(["minLength", "minItems", "minProperties"]),
        most: number(["maxLength", "maxItems", "maxProperties"]),
    }
}
