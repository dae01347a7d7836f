//! The real Helm, with or without a control plane.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::binaries::{self, BinariesError, Program};
use super::kubectl::{CommandError, Output, run};

/// The folder of the chart in this tree.
pub fn chart() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/rehost")
}

/// A Helm whose own files live in a folder of the run.
#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    directory: PathBuf,
    cluster: Option<(PathBuf, String)>,
}

impl Helm {
    /// Finds Helm, or builds it. It keeps its caches and settings in `directory`. Without a cluster it can lint and
    /// render.
    pub fn find(directory: &Path) -> Result<Self, BinariesError> {
        let mut found = binaries::find_or_build(&[Program::Helm])?;
        let program = found.remove(&Program::Helm).unwrap_or_else(|| PathBuf::from(Program::Helm.name()));
        Ok(Self { program, directory: directory.join("helm"), cluster: None })
    }

    /// The same Helm, speaking to a cluster.
    #[must_use]
    pub fn to(mut self, kubeconfig: PathBuf, context: &str) -> Self {
        self.cluster = Some((kubeconfig, context.to_owned()));
        self
    }

    /// Runs Helm to its end, whatever that is.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output, CommandError> {
        let mut command = Command::new(&self.program);
        command
            .env("HELM_CACHE_HOME", self.directory.join("cache"))
            .env("HELM_CONFIG_HOME", self.directory.join("config"))
            .env("HELM_DATA_HOME", self.directory.join("data"))
            .args(arguments);
        match &self.cluster {
            Some((kubeconfig, context)) => {
                command.env("KUBECONFIG", kubeconfig).env("HELM_KUBECONTEXT", context);
            }
            // Not by accident to the cluster that the person works with.
            None => {
                command.env("KUBECONFIG", "/dev/null");
            }
        }
        run(&mut command, &format!("helm {}", arguments.join(" ")), "").await
    }

    /// Runs Helm, and returns its standard output if it succeeds.
    pub async fn output(&self, arguments: &[&str]) -> Result<String, CommandError> {
        self.run(arguments).await?.success(&format!("helm {}", arguments.join(" ")))
    }
}
