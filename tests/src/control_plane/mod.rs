//! A real control plane: etcd and kube-apiserver, with RBAC, admission policies and an audit log.
//!
//! # What is real
//! Both programs are upstream's, built from their modules ([`binaries`]). Custom resources, CEL, server-side apply,
//! RBAC, admission and the resize subresource are therefore what they are in a cluster.
//!
//! # What is not there
//! - No controller-manager: no garbage collection, no default service account (its admission plugin is off, so that
//!   pods need none), and a namespace that is deleted stays `Terminating`. Aggregated cluster roles stay empty.
//! - Nobody takes the protection finalizers off claims and volumes, so the plugin that sets them is off by default
//!   ([`Settings::disabled_admission`]).
//! - No scheduler and no kubelet: a pod stays `Pending` until somebody plays their part.
//! - etcd does not wait for its disk.
//!
//! # Guarantees
//! Ports are free ones of the loopback address, data lives below `target/`, and nothing outlives the run ([`process`]).

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::json;

pub mod audit;
pub mod binaries;
pub mod certificates;
pub mod helm;
pub mod kubeconfig;
pub mod kubectl;
pub mod process;
pub mod rbac;
mod servers;
mod service_account;
mod shell;

pub use audit::{AuditLog, Mark, Traffic};
pub use helm::Helm;
pub use kubeconfig::User;
pub use kubectl::{Kubectl, Output};
pub use process::Process;
pub use shell::Shell;

use binaries::{BinariesError, Program};
use certificates::Certificates;

/// The user that may do everything, and the context that is current in the kubeconfig.
pub const ADMIN: &str = "admin";

/// What can be chosen of a control plane. `Settings::default()` is what most tests want.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Users beside [`ADMIN`]. By default one of each kind that Rehost is for: `scientist` (group `scientists`),
    /// `platform` (group `platform-administrators`) and `gitops` (group `gitops`), none with any right.
    pub users: Vec<User>,
    /// Admission plugins that are off, since nobody plays the part that they count on.
    pub disabled_admission: Vec<String>,
    /// More arguments for kube-apiserver.
    pub arguments: Vec<String>,
    /// The API server must be ready within this time.
    pub ready_within: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            users: vec![
                User::new("scientist", &["scientists"]),
                User::new("platform", &["platform-administrators"]),
                User::new("gitops", &["gitops"]),
            ],
            disabled_admission: vec!["ServiceAccount".to_owned(), "StorageObjectInUseProtection".to_owned()],
            arguments: Vec::new(),
            ready_within: Duration::from_mins(2),
        }
    }
}

/// Why there is no control plane, or why it could not be spoken to.
#[derive(Debug, thiserror::Error)]
pub enum ControlPlaneError {
    /// A program could not be found or built.
    #[error(transparent)]
    Binaries(#[from] BinariesError),
    /// A key or a certificate could not be made.
    #[error("the certificates could not be made: {0}")]
    Certificates(#[from] rcgen::Error),
    /// A file could not be written, or a program not be started.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program ended, or was not ready in time.
    #[error("{program} {happening}; the end of its log:\n{tail}")]
    NotReady {
        /// Which program.
        program: String,
        /// What it did instead of being ready.
        happening: String,
        /// Its last lines.
        tail: String,
    },
    /// The kubeconfig does not fit what was asked of it, as for a user that is not in it.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The API server refused, or could not be reached.
    #[error("the API server: {0}")]
    Kube(#[source] Box<kube::Error>),
}

impl From<kube::Error> for ControlPlaneError {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

pub(crate) fn io_error(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> ControlPlaneError {
    let what = what.into();
    move |source| ControlPlaneError::Io { what, source }
}

/// A running etcd and kube-apiserver. Both end when this is dropped, or with the process.
#[derive(Debug)]
pub struct ControlPlane {
    directory: PathBuf,
    url: String,
    kubectl: PathBuf,
    // In this order: fields are dropped from the first to the last, and the folder goes with etcd.
    _apiserver: Process,
    _etcd: Process,
}

impl ControlPlane {
    /// Starts a control plane, and returns when the API server is ready: a few seconds, and on the first run of a
    /// machine the minutes that building takes, with the progress on standard error.
    pub async fn start(settings: Settings) -> Result<Self, ControlPlaneError> {
        let programs = binaries::find_or_build(&[Program::Etcd, Program::KubeApiserver, Program::Kubectl])?;
        let directory = new_directory()?;
        let users = all_users(&settings);
        write_files(&directory, &users)?;

        let running = servers::start(&programs, &directory, &settings).await?;
        let plane = Self {
            kubectl: programs[&Program::Kubectl].clone(),
            url: running.url,
            _apiserver: running.apiserver,
            _etcd: running.etcd,
            directory,
        };
        let tokens: Vec<(String, String)> = users.iter().map(|user| (user.name.clone(), user.token())).collect();
        plane.write_kubeconfig("kubeconfig", &tokens)?;
        Ok(plane)
    }

    /// The file that `KUBECONFIG` can name: a context for every user, [`ADMIN`] current.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.join("kubeconfig")
    }

    /// Where the API server answers.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The folder of all data and logs, which goes with the control plane. Others may keep their logs in it.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A client that speaks as `user`. It belongs to the runtime that is current.
    pub async fn client(&self, user: &str) -> Result<Client, ControlPlaneError> {
        client_of(&self.kubeconfig(), user).await
    }

    /// What has been asked of the API server.
    pub fn audit(&self) -> AuditLog {
        AuditLog::new(self.directory.join("audit.log"))
    }

    /// The real kubectl as [`ADMIN`].
    pub fn kubectl(&self) -> Kubectl {
        self.kubectl_as(ADMIN)
    }

    /// The real kubectl as `user`.
    pub fn kubectl_as(&self, user: &str) -> Kubectl {
        Kubectl::new(self.kubectl.clone(), self.kubeconfig(), user, &self.directory)
    }

    /// The real Helm as [`ADMIN`]. It is found, or built, here, since most tests do without.
    pub fn helm(&self) -> Result<Helm, ControlPlaneError> {
        Ok(Helm::find(&self.directory)?.to(self.kubeconfig(), ADMIN))
    }

    fn write_kubeconfig(&self, name: &str, users: &[(String, String)]) -> Result<PathBuf, ControlPlaneError> {
        let path = self.directory.join(name);
        let config = kubeconfig::kubeconfig(&self.url, &self.directory.join("authority.pem"), users);
        // JSON is YAML, and kubectl, Helm and kube read it as such.
        write(&path, &format!("{config:#}\n"))?;
        Ok(path)
    }
}

async fn client_of(kubeconfig: &Path, context: &str) -> Result<Client, ControlPlaneError> {
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(Kubeconfig::read_from(kubeconfig)?, &options).await?;
    // A test wants to see the answer, not the one after some retries.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// A fresh folder below the build's own, so that whatever cleans a build cleans this too.
fn new_directory() -> Result<PathBuf, ControlPlaneError> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let parent = target.join("control-plane");
    std::fs::create_dir_all(&parent).map_err(io_error(format!("creating {}", parent.display())))?;
    let parent = parent.canonicalize().map_err(io_error(format!("looking at {}", parent.display())))?;
    let directory = tempfile::Builder::new()
        .prefix("run-")
        .tempdir_in(&parent)
        .map_err(io_error(format!("creating a folder in {}", parent.display())))?;
    // The keeper of etcd removes it, also when this process is killed.
    Ok(directory.keep())
}

fn all_users(settings: &Settings) -> Vec<User> {
    let mut users = vec![User::new(ADMIN, &["system:masters"])];
    users.extend(settings.users.iter().cloned());
    users
}

fn write_files(directory: &Path, users: &[User]) -> Result<(), ControlPlaneError> {
    let Certificates { authority, server, server_key, token_key, token_public_key } = Certificates::generate()?;
    let tokens: String = users.iter().map(User::token_line).collect();
    // Who did what to what, for everybody; a request is written down once, when it is answered, and a watch also when
    // it begins.
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    });
    for (name, text) in [
        ("authority.pem", authority),
        ("server.pem", server),
        ("server-key.pem", server_key),
        ("token-key.pem", token_key),
        ("token-public-key.pem", token_public_key),
        ("tokens.csv", tokens),
        ("audit-policy.yaml", policy.to_string()),
    ] {
        write(&directory.join(name), &text)?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), ControlPlaneError> {
    std::fs::write(path, text).map_err(io_error(format!("writing {}", path.display())))
}
