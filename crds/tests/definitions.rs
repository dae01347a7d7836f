//! The definitions as they are published: equal to their generator, and of a shape that Kubernetes reads well.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use kube::CustomResourceExt;
use rehost_api::{Notebook, NotebookClass, definitions};
use serde_json::Value;
use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn the_files_are_what_the_generator_writes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("yaml");
    let files = definitions::files().expect("definitions are written as YAML");
    assert_eq!(files.len(), fs::read_dir(&folder).expect("crds/yaml is there").count(), "a file too many or too few");
    for (name, yaml) in files {
        let found = fs::read_to_string(folder.join(&name)).expect("the file is there");
        assert!(found == yaml, "{name} is not what the types say: run `cargo run -p rehost-api --bin crdgen`");
    }
}

#[test]
fn the_files_read_back_as_the_definitions() {
    for ((_, yaml), definition) in
        definitions::files().expect("definitions are written as YAML").iter().zip(definitions::all())
    {
        let read: Value = serde_saphyr::from_str(yaml).expect("the YAML is read back");
        assert_eq!(read, serde_json::to_value(&definition).expect("a definition is JSON"));
    }
}

/// Calls `check` with the path and the schema of every field below `schema`.
fn walk(path: &str, schema: &Value, check: &mut dyn FnMut(&str, &Value)) {
    check(path, schema);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), child, check);
    }
    for key in ["items", "additionalProperties"] {
        if schema[key].is_object() {
            walk(&format!("{path}[]"), &schema[key], check);
        }
    }
}

fn specs() -> [(&'static str, Value); 2] {
    [("Notebook", Notebook::crd()), ("NotebookClass", NotebookClass::crd())].map(|(kind, definition)| {
        let value = serde_json::to_value(definition).expect("a definition is JSON");
        (kind, value["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].clone())
    })
}

/// The API server estimates the cost of a rule from the largest value that the schema allows.
#[test]
fn everything_in_a_spec_is_bounded() {
    for (kind, spec) in specs() {
        walk(kind, &spec, &mut |path, schema| match schema["type"].as_str() {
            Some("string") => {
                assert!(schema["maxLength"].is_u64() || schema["enum"].is_array(), "{path} has no maxLength");
            }
            Some("array") => {
                assert!(schema["maxItems"].is_u64(), "{path} has no maxItems");
                assert!(schema["x-kubernetes-list-type"].is_string(), "{path} does not say how it is merged");
            }
            Some("object") if schema["properties"].is_null() => {
                assert!(schema["maxProperties"].is_u64(), "{path} has no maxProperties");
            }
            Some("integer") => assert!(schema["maximum"].is_number(), "{path} has no maximum"),
            Some("object" | "boolean") => {}
            other => panic!("{path} has type {other:?}"),
        });
    }
}

#[test]
fn a_field_is_absent_or_has_a_value() {
    for (kind, spec) in specs() {
        walk(kind, &spec, &mut |path, schema| {
            for key in ["nullable", "anyOf", "oneOf", "allOf", "not", "$ref", "definitions"] {
                assert!(schema[key].is_null(), "{path} has {key}");
            }
            assert!(schema["enum"].as_array().is_none_or(|values| values.iter().all(Value::is_string)), "{path}");
        });
    }
}

#[test]
fn every_field_is_explained() {
    for (kind, spec) in specs() {
        walk(kind, &spec, &mut |path, schema| {
            let described = schema["description"].as_str().is_some_and(|text| text.ends_with(['.', '`']));
            assert!(described || path.ends_with("[]"), "{path} has no description that ends as a sentence");
        });
    }
}

#[test]
fn every_rule_has_a_message_of_one_line() {
    for (kind, spec) in specs() {
        walk(kind, &spec, &mut |path, schema| {
            for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
                let message = rule["message"].as_str().expect("a rule has a message");
                assert!(!message.contains('\n') && message.len() <= 2048, "{path}: {message}");
            }
        });
    }
}

/// What a class can default has no default in the schema: "the class's" and "this very value" must stay apart.
#[test]
fn only_what_is_the_same_everywhere_has_a_default() {
    let mut defaults = Vec::new();
    for (kind, spec) in specs() {
        walk(kind, &spec, &mut |path, schema| {
            if !schema["default"].is_null() {
                defaults.push(format!("{path}={}", schema["default"]));
            }
        });
    }
    assert_eq!(
        defaults,
        [
            "Notebook.buckets[].readOnly=false",
            "Notebook.state=\"Running\"",
            "NotebookClass.adoptByName=false",
            "NotebookClass.network.externalAddresses=false",
            "NotebookClass.stoppedHostKeep=\"7d\"",
        ]
    );
}

#[test]
fn the_samples_decode_whole() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/samples");
    let read = |name: &str| -> Value {
        let text = fs::read_to_string(folder.join(name)).expect("the sample is there");
        serde_saphyr::from_str(&text).expect("the sample is YAML")
    };
    for name in ["vm-notebook.yaml", "pod-notebook.yaml"] {
        let written = read(name);
        let notebook: Notebook = serde_json::from_value(written.clone()).expect("the sample is a Notebook");
        // A field that the types do not know would be lost on the way.
        assert_eq!(serde_json::to_value(&notebook.spec).expect("a spec is JSON"), written["spec"], "{name}");
    }
    let written = read("class.yaml");
    let class: NotebookClass = serde_json::from_value(written.clone()).expect("the sample is a NotebookClass");
    assert_eq!(serde_json::to_value(&class.spec).expect("a spec is JSON"), written["spec"]);
}

/// The paths of all fields of `value`; those of a list's entries have the list's own path.
fn paths(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    for (name, child) in value.as_object().into_iter().flatten() {
        paths(&format!("{path}.{name}"), child, found);
    }
    for child in value.as_array().into_iter().flatten() {
        paths(path, child, found);
    }
}

/// A field that is in the schema and not in the manifest would be one that no test reads.
#[test]
fn the_whole_notebook_has_every_field_and_loses_none() {
    let written: Value = serde_saphyr::from_str(include_str!("whole_notebook.yaml")).expect("the manifest is YAML");
    let notebook: Notebook = serde_json::from_value(written.clone()).expect("the manifest is a Notebook");
    assert_eq!(serde_json::to_value(&notebook.spec).expect("a spec is JSON"), written["spec"]);
    // Hosts and fallbacks have the same fields, so that a field of one may stand for both.
    let plain = |path: &str| path.replace("[]", "").replace(".host.", ".fallbacks.");
    let mut found = BTreeSet::new();
    paths("", &written["spec"], &mut found);
    let found: BTreeSet<String> = found.iter().map(|path| plain(path)).collect();
    let mut missing = BTreeSet::new();
    let [(_, spec), _] = specs();
    walk("", &spec, &mut |path, _| {
        missing.extend(Some(plain(path)).filter(|path| !found.contains(path)));
    });
    // What excludes a field that is there.
    let excluded =
        [".source.credentials.secret", ".storage.from.blank", ".storage.from.disk", ".storage.from.notebook"];
    assert_eq!(missing.into_iter().collect::<Vec<_>>(), excluded);
}
