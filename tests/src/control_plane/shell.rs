//! A person's shell: kubectl and Helm are on its path, and the control plane is the cluster that they speak to.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::binaries::{self, Program};
use super::kubectl::{CommandError, Output, run};
use super::{ControlPlane, ControlPlaneError};

/// A shell in a folder.
#[derive(Clone, Debug)]
pub struct Shell {
    path: std::ffi::OsString,
    kubeconfig: PathBuf,
    scratch: PathBuf,
    folder: PathBuf,
}

impl ControlPlane {
    /// A shell in `folder`. Programs that are missing are built.
    pub fn shell(&self, folder: &Path) -> Result<Shell, ControlPlaneError> {
        let programs = binaries::find_or_build(&[Program::Kubectl, Program::Helm])?;
        let folders = programs.values().filter_map(|program| program.parent()).map(Path::to_owned);
        let inherited = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(folders.chain(std::env::split_paths(&inherited)));
        let path = path.map_err(|error| super::io_error("PATH")(std::io::Error::other(error)))?;
        let (kubeconfig, scratch) = (self.kubeconfig(), self.directory().to_owned());
        Ok(Shell { path, kubeconfig, scratch, folder: folder.to_owned() })
    }
}

impl Shell {
    /// Runs one line to its end, whatever that is.
    pub async fn run(&self, line: &str) -> Result<Output, CommandError> {
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(&self.folder)
            .env("PATH", &self.path)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.scratch.join("kubectl-cache"))
            .env("KUBECTL_KUBERC", "false")
            .env("HELM_CACHE_HOME", self.scratch.join("helm/cache"))
            .env("HELM_CONFIG_HOME", self.scratch.join("helm/config"))
            .env("HELM_DATA_HOME", self.scratch.join("helm/data"));
        run(&mut command, line, "").await
    }

    /// Runs one line, and returns its standard output if it succeeds.
    pub async fn output(&self, line: &str) -> Result<String, CommandError> {
        self.run(line).await?.success(line)
    }
}
