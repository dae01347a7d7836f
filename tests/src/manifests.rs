//! Generated manifests: the chart's copy of the resource definitions, and the kustomize base.
//!
//! There is one source for each: `crds/yaml` for the definitions, the chart for everything else. What is rendered from
//! them is in the tree, so that nobody needs our tools to install, and a test holds it equal to what this module says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use crate::control_plane::helm::Helm;
use crate::control_plane::kubectl::CommandError;

/// The namespace of the kustomize base.
pub const NAMESPACE: &str = "rehost-system";
const HEADER: &str = "# Written by `cargo run -p rehost-tests --bin manifests`: do not edit.\n";
/// Folders that hold generated files alone; what is in them and not generated is a leftover.
pub const FOLDERS: [&str; 3] = ["charts/rehost/templates/crds", "config/base", "config/base/crds"];

/// Why manifests could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum ManifestsError {
    /// Helm did not render the chart.
    #[error(transparent)]
    Helm(#[from] CommandError),
    /// A definition could not be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A definition does not look as `crdgen` writes it, so nothing can be put into it.
    #[error("{name} has no line `metadata:` of its own, into which the chart's annotation would go")]
    NoMetadata {
        /// The definition's file.
        name: String,
    },
}

/// The root of the tree.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every generated file, by its path from the root of the tree.
pub async fn generate(helm: &Helm) -> Result<BTreeMap<PathBuf, String>, ManifestsError> {
    let definitions = definitions()?;
    let mut files = BTreeMap::new();
    for (name, text) in &definitions {
        files.insert(Path::new("charts/rehost/templates/crds").join(name), chart_template(name, text)?);
        files.insert(Path::new("config/base/crds").join(name), text.clone());
    }
    let rendered = split(&render(helm).await?);
    files.insert("config/base/namespace.yaml".into(), namespace());
    files.insert("config/base/kustomization.yaml".into(), kustomization(rendered.keys(), definitions.keys()));
    for (name, text) in rendered {
        files.insert(Path::new("config/base").join(name), text);
    }
    Ok(files)
}

/// What `crdgen` has written, by the name of its file.
fn definitions() -> Result<BTreeMap<String, String>, ManifestsError> {
    let folder = root().join("crds/yaml");
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source| ManifestsError::Io { path, source }
    };
    let mut definitions = BTreeMap::new();
    for entry in std::fs::read_dir(&folder).map_err(io_error(&folder))? {
        let path = entry.map_err(io_error(&folder))?.path();
        if let (Some("yaml"), Some(name)) =
            (path.extension().and_then(|extension| extension.to_str()), path.file_name().and_then(|name| name.to_str()))
        {
            definitions.insert(name.to_owned(), std::fs::read_to_string(&path).map_err(io_error(&path))?);
        }
    }
    Ok(definitions)
}

/// A definition as a template: Helm never upgrades a chart's `crds` folder, so they are templates, and stay when the
/// release goes.
fn chart_template(name: &str, definition: &str) -> Result<String, ManifestsError> {
    let annotated =
        "\nmetadata:\n  {{- if .Values.crds.keep }}\n  annotations:\n    helm.sh/resource-policy: keep\n  {{- end }}\n";
    // What looks like an action of a template is text.
    let text = definition.replace("{{", "{{ \"{{\" }}");
    let Some((before, after)) = text.split_once("\nmetadata:\n") else {
        return Err(ManifestsError::NoMetadata { name: name.to_owned() });
    };
    Ok(format!("{{{{- if .Values.crds.install }}}}\n{HEADER}{before}{annotated}{}\n{{{{- end }}}}\n", after.trim_end()))
}

async fn render(helm: &Helm) -> Result<String, CommandError> {
    let chart = root().join("charts/rehost").display().to_string();
    let settings = "crds.install=false,settingsConfigMap=rehost-settings";
    helm.output(&["template", "rehost", &chart, "--namespace", NAMESPACE, "--set", settings]).await
}

/// The rendered documents by the template that they come from, without what only Helm needs.
fn split(rendered: &str) -> BTreeMap<String, String> {
    let mut files: BTreeMap<String, String> = BTreeMap::new();
    for document in rendered.split("---\n").filter(|document| !document.trim().is_empty()) {
        let (source, body) = document.split_once('\n').unwrap_or((document, ""));
        let name = source.rsplit('/').next().unwrap_or(source);
        let text = files.entry(name.to_owned()).or_insert_with(|| HEADER.to_owned());
        if text != HEADER {
            text.push_str("---\n");
        }
        for line in body.lines().filter(|line| !is_of_helm(line)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    files
}

fn is_of_helm(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("helm.sh/chart:") || line.starts_with("app.kubernetes.io/managed-by:")
}

/// The pods meet the strictest of the Pod Security Standards, and the namespace holds them to it.
fn namespace() -> String {
    format!(
        "{HEADER}apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         pod-security.kubernetes.io/enforce: restricted\n"
    )
}

fn kustomization<'a>(
    rendered: impl Iterator<Item = &'a String>,
    definitions: impl Iterator<Item = &'a String>,
) -> String {
    let mut text = format!(
        "{HEADER}# Needs the ConfigMap rehost-settings, with the cluster's name as REHOST_CLUSTER: see ../example.\n\
         apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n- namespace.yaml\n"
    );
    for name in definitions {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "- crds/{name}");
    }
    for name in rendered {
        let _ = writeln!(text, "- {name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_becomes_a_template_that_says_the_same() {
        let definition = "# Written.\nkind: X\nmetadata:\n  name: x\nspec:\n  description: a {{ brace\n";
        let template = chart_template("x.yaml", definition).expect("it has metadata");
        assert!(template.starts_with("{{- if .Values.crds.install }}\n"), "{template}");
        assert!(template.ends_with("{{- end }}\n"), "{template}");
        assert!(template.contains("a {{ \"{{\" }} brace"), "{template}");
        assert!(template.contains("  {{- end }}\n  name: x\n"), "{template}");
        assert!(chart_template("x.yaml", "kind: X\n").is_err());
    }

    #[test]
    fn documents_are_kept_by_the_template_that_they_come_from() {
        let rendered = "---\n# Source: rehost/templates/a.yaml\nkind: A\n  helm.sh/chart: rehost-1\n---\n\
            # Source: rehost/templates/a.yaml\nkind: B\n---\n# Source: rehost/templates/c.yaml\nkind: C\n";
        let files = split(rendered);
        assert_eq!(files["a.yaml"], format!("{HEADER}kind: A\n---\nkind: B\n"));
        assert_eq!(files["c.yaml"], format!("{HEADER}kind: C\n"));
    }
}
