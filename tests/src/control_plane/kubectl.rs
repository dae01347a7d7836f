//! The real kubectl, run against the control plane.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::binaries::{self, BinariesError, Program};

/// A kubectl that speaks as one user.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    context: String,
    cache: PathBuf,
}

/// What a command said.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A command that failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be run.
    #[error("{command}: {source}")]
    Start {
        /// The command with its arguments.
        command: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It ended with an error.
    #[error("{command} ended with {status}: {stderr}")]
    Failed {
        /// The command with its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its standard error.
        stderr: String,
    },
    /// It said something that is not JSON, where JSON was asked for.
    #[error("{command} did not answer JSON: {source}")]
    Json {
        /// The command with its arguments.
        command: String,
        /// Where the reading stopped.
        source: serde_json::Error,
    },
}

impl Kubectl {
    /// A kubectl that speaks to no cluster, for `kubectl kustomize`. It keeps its files in `directory`.
    pub fn without_cluster(directory: &Path) -> Result<Self, BinariesError> {
        let mut found = binaries::find_or_build(&[Program::Kubectl])?;
        let program = found.remove(&Program::Kubectl).unwrap_or_else(|| PathBuf::from(Program::Kubectl.name()));
        Ok(Self::new(program, PathBuf::from("/dev/null"), "", directory))
    }

    pub(super) fn new(program: PathBuf, kubeconfig: PathBuf, context: &str, directory: &Path) -> Self {
        Self { program, kubeconfig, context: context.to_owned(), cache: directory.join("kubectl-cache") }
    }

    /// The executable, for a person who has none.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs kubectl to its end, whatever that is.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output, CommandError> {
        self.run_with_input(arguments, "").await
    }

    /// As [`Self::run`], with `input` as standard input, for `-f -`.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<Output, CommandError> {
        run(self.command().args(arguments), &format!("kubectl {}", arguments.join(" ")), input).await
    }

    /// Runs kubectl, and returns its standard output if it succeeds.
    pub async fn output(&self, arguments: &[&str]) -> Result<String, CommandError> {
        self.output_with_input(arguments, "").await
    }

    /// As [`Self::output`], with `input` as standard input.
    pub async fn output_with_input(&self, arguments: &[&str], input: &str) -> Result<String, CommandError> {
        let output = self.run_with_input(arguments, input).await?;
        output.success(&format!("kubectl {}", arguments.join(" ")))
    }

    /// `kubectl … -o json`, read.
    pub async fn json(&self, arguments: &[&str]) -> Result<serde_json::Value, CommandError> {
        let mut arguments = arguments.to_vec();
        arguments.extend(["-o", "json"]);
        let text = self.output(&arguments).await?;
        serde_json::from_str(&text)
            .map_err(|source| CommandError::Json { command: format!("kubectl {}", arguments.join(" ")), source })
    }

    /// Applies manifests with server-side apply, as a GitOps pipeline does.
    pub async fn apply(&self, manifests: &str) -> Result<String, CommandError> {
        self.output_with_input(&["apply", "--server-side", "-f", "-"], manifests).await
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", &self.cache)
            .env("KUBECTL_KUBERC", "false")
            .args(["--context", &self.context]);
        command
    }
}

impl Output {
    /// The standard output, if the command succeeded.
    pub fn success(self, command: &str) -> Result<String, CommandError> {
        if self.status.success() {
            Ok(self.stdout)
        } else {
            let Self { status, stderr, .. } = self;
            Err(CommandError::Failed { command: command.to_owned(), status, stderr: stderr.trim().to_owned() })
        }
    }
}

/// Runs a command to its end. It is ended with the future, so a test that gives up leaves none behind.
pub(super) async fn run(command: &mut Command, shown: &str, input: &str) -> Result<Output, CommandError> {
    let start_error = |source| CommandError::Start { command: shown.to_owned(), source };
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start_error)?;
    let pipe = child.stdin.take();
    let feeding = async {
        if let Some(mut pipe) = pipe {
            // A command that ends without reading its input has its own reason, which its status tells.
            let _ = pipe.write_all(input.as_bytes()).await;
        }
    };
    let ((), output) = tokio::join!(feeding, child.wait_with_output());
    let output = output.map_err(start_error)?;
    Ok(Output {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
