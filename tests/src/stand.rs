//! A whole installation on one machine: etcd and kube-apiserver, the simulated Compute Engine over HTTP, the stand-in for the
//! cluster's nodes, and the real controller. The quickstart shows it to people, ring 3 tests it.
//!
//! All parts share one clock, sped up by one factor: what the controller waits for and what the cloud takes keep their
//! proportion. The Lease alone runs on the machine's own clock, since the API server under it does.

mod caller;
mod cloud;
mod cluster;
mod disks;
mod door;
mod real;
mod real_cluster;
mod status_ports;
mod timeline;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use rehost::access::AccessKeys;
use rehost::clock::{Clock, SharedClock, SystemClock};
use rehost::gce::{Gce, GceSettings};
use rehost::lease::{self, Leadership, LeaseSettings};
use rehost::run::{Operator, Wiring};
use rehost::status_ports::{NoStatusPorts, StatusPorts};
use tempfile::NamedTempFile;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use caller::Caller;
pub use cloud::Cloud;
pub use cluster::{NODES, ZONE};
pub use door::Door;
pub use real::{BUCKET, Real, TOKEN};
use real_cluster::RealCluster;
pub use timeline::{Ledger, Operation, Share, Timeline, Unready, share};

use crate::control_plane::{ControlPlane, ControlPlaneError, Settings};
use crate::node::{self, NodeError};
use crate::world::exchange::Observer;
use crate::world::rest::WorldClock;

/// The namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "rehost-system";
/// The controller, as the API server knows it.
pub const OPERATOR_USER: &str = "system:serviceaccount:rehost-system:rehost";
/// The cluster's name in labels.
pub const CLUSTER: &str = "demo";
/// The cloud's project.
pub const PROJECT: &str = "demo-project";

/// Told what is being brought up, one line at a time.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// How the installation is made.
pub struct StandSettings {
    /// How many seconds of the cloud pass in a real one.
    pub time_scale: f64,
    /// What the world draws its times from.
    pub seed: u64,
    /// One JSON line for every request to the world.
    pub world_log: Option<PathBuf>,
    /// Seconds of the controller's clock between two sweeps.
    pub sweep_interval_s: u64,
    /// How the chart is installed.
    pub install: Install,
    /// What stands behind the instances.
    pub hosts: Hosts,
    /// Told what is being brought up.
    pub progress: Progress,
}

impl Default for StandSettings {
    fn default() -> Self {
        Self {
            time_scale: 5.0,
            seed: 1,
            world_log: None,
            sweep_interval_s: 15,
            install: Install::Chart,
            hosts: Hosts::Simulated,
            progress: Arc::new(|_| {}),
        }
    }
}

/// What stands behind the instances of the simulated cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Guests that are simulated too.
    Simulated,
    /// Real machines in namespaces of this one; see [`crate::hosts::missing`] for what they need.
    Real,
}

/// How the chart is installed. Nobody runs its Deployment in any case: the controller is a part of this process.
#[derive(Clone, Debug)]
pub enum Install {
    /// With the settings of this installation.
    Chart,
    /// By what a person types, in the root of the tree.
    Typed(String),
}

/// Why there is no installation.
#[derive(Debug, thiserror::Error)]
pub enum StandError {
    /// The control plane.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    /// A command of kubectl or helm.
    #[error(transparent)]
    Command(#[from] crate::control_plane::kubectl::CommandError),
    /// The API server refused.
    #[error("the API server: {0}")]
    Kube(#[from] Box<kube::Error>),
    /// A file or a socket.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The controller cannot reach the cloud.
    #[error(transparent)]
    Connect(#[from] rehost::gce::ConnectError),
    /// The world refused what the installation itself needs.
    #[error("the simulated cloud refused {what}: {why}")]
    World {
        /// What was asked.
        what: String,
        /// Its answer.
        why: String,
    },
    /// The real machines.
    #[error(transparent)]
    Hosts(#[from] crate::hosts::HostsError),
    /// The real node.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The keys of the notebooks' tokens.
    #[error(transparent)]
    AccessKeys(#[from] rehost::access::AccessKeysError),
    /// Something that takes moments did not happen.
    #[error("{0} did not happen in time")]
    TooLate(&'static str),
}

impl From<kube::Error> for StandError {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

/// The world's clock, as the controller is given one.
#[derive(Clone, Copy)]
pub struct StandClock {
    clock: WorldClock,
}

impl StandClock {
    /// The same clock as the world's.
    #[must_use]
    pub fn new(clock: WorldClock) -> Self {
        Self { clock }
    }
}

impl Clock for StandClock {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        Duration::try_from(self.clock.now().duration_since(Timestamp::UNIX_EPOCH)).unwrap_or_default()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration.div_f64(self.clock.scale())).boxed()
    }
}

/// The controller as it runs, with the election that it takes part in.
struct Controller {
    operator: JoinHandle<()>,
    election: JoinHandle<()>,
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.operator.abort();
        self.election.abort();
    }
}

/// The installation. All of it ends when it is dropped.
pub struct Stand {
    // In this order: fields are dropped from the first to the last, and everybody else speaks to the API server.
    controller: Option<Controller>,
    _cluster: AnyCluster,
    world: JoinHandle<()>,
    _stop_world: oneshot::Sender<()>,
    /// The real machines, where there are any.
    pub real: Option<Real>,
    /// The keys that the notebooks' tokens derive from.
    pub access: AccessKeys,
    keys_file: NamedTempFile,
    sweep_interval_s: u64,
    /// The API server.
    pub plane: ControlPlane,
    /// The cloud.
    pub cloud: Cloud,
    /// The clock of all parts.
    pub clock: SharedClock,
}

impl Stand {
    /// Brings it up: programs, world, chart, nodes, controller.
    pub async fn start(settings: StandSettings, observers: Vec<Observer>) -> Result<Self, StandError> {
        rehost::gce::install_crypto();
        let say = settings.progress.clone();
        say("etcd and kube-apiserver");
        let plane = ControlPlane::start(as_strict_clusters_are(settings.hosts)).await?;
        say("the simulated Compute Engine");
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let cloud = Cloud::new(&settings, address, observers)?;
        let clock: SharedClock = Arc::new(StandClock::new(cloud.world.clock()));
        let (stop_world, stopped) = oneshot::channel::<()>();
        let served = crate::world::rest::serve(listener, cloud.world.clone(), async move {
            // Also resolves when the sender is dropped with the installation.
            let _asked = stopped.await;
        });
        let world = tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the simulated cloud ended");
            }
        });
        let real = match settings.hosts {
            Hosts::Simulated => None,
            Hosts::Real => {
                say("real machines");
                Some(Real::start(cloud.world.clone()).await?)
            }
        };
        say("the chart, with the real Helm");
        cluster::install_chart(&plane, &cloud, &settings.install).await?;
        say("the cluster's nodes");
        let cluster = match &real {
            None => AnyCluster::Imagined(cluster::start(&plane, &cloud, clock.clone()).await?),
            Some(real) => AnyCluster::Real(Box::new(RealCluster::start(&plane, &cloud, real, clock.clone()).await?)),
        };
        say("the controller");
        let keys_file = new_access_keys()?;
        let mut stand = Self {
            controller: None,
            _cluster: cluster,
            world,
            _stop_world: stop_world,
            real,
            // Nobody enters a host that is only imagined.
            access: match settings.hosts {
                Hosts::Simulated => AccessKeys::default(),
                Hosts::Real => AccessKeys::read(keys_file.path())?,
            },
            keys_file,
            sweep_interval_s: settings.sweep_interval_s,
            plane,
            cloud,
            clock,
        };
        stand.start_controller().await?;
        Ok(stand)
    }

    /// Starts the controller, as the user that the chart gives it, once it leads.
    pub async fn start_controller(&mut self) -> Result<(), StandError> {
        let sweep_interval_s = self.sweep_interval_s;
        let client = self.plane.service_account_client(OPERATOR_NAMESPACE, "rehost").await?;
        cluster::wait_for_rights(&client).await?;
        let leadership = Leadership::new(Arc::new(SystemClock::new()));
        let election = LeaseSettings { namespace: OPERATOR_NAMESPACE.to_owned(), identity: "stand".to_owned() };
        let election =
            tokio::spawn(lease::run(client.clone(), election, Arc::new(SystemClock::new()), leadership.clone()));
        let endpoint = Some(format!("http://{}", self.cloud.address));
        let gce = Gce::connect(GceSettings { endpoint, ..GceSettings::default() }).await?;
        let (clock, access) = (self.clock.clone(), self.access.clone());
        let status_ports: Arc<dyn StatusPorts> = match &self.real {
            Some(real) => {
                Arc::new(status_ports::Relayed::new(Arc::clone(&real.network)).map_err(std::io::Error::other)?)
            }
            None => Arc::new(NoStatusPorts),
        };
        let operator = tokio::spawn(async move {
            loop {
                leadership.wait_for(true).await;
                let may_act = leadership.clone();
                let operator = Operator::new(Wiring {
                    identity: "stand".to_owned(),
                    may_act: Arc::new(move || may_act.is_leading()),
                    access: access.clone(),
                    status_ports: Arc::clone(&status_ports),
                    ..Wiring::alone(CLUSTER, client.clone(), gce.clone(), clock.clone(), sweep_interval_s)
                });
                // A machine that is very busy can lose the Lease for a moment: then it begins anew, as a process would.
                tokio::select! {
                    biased;
                    () = leadership.wait_for(false) => tracing::warn!("the controller leads no longer"),
                    () = operator.run() => {}
                }
            }
        });
        self.controller = Some(Controller { operator, election });
        Ok(())
    }

    /// What the file of the keys holds: the secret of this installation.
    pub fn access_keys(&self) -> Result<String, StandError> {
        Ok(std::fs::read_to_string(self.keys_file.path())?.trim().to_owned())
    }

    /// Writes other keys into the file, one a line, and starts the controller anew, which reads them.
    pub async fn change_access_keys(&mut self, keys: &str) -> Result<(), StandError> {
        std::fs::write(self.keys_file.path(), keys)?;
        self.access = AccessKeys::read(self.keys_file.path())?;
        self.crash_controller();
        self.start_controller().await
    }

    /// Ends the controller at once, wherever it is.
    pub fn crash_controller(&mut self) {
        self.controller = None;
    }
}

/// A key of this installation's own, as an administrator makes one.
fn new_access_keys() -> Result<NamedTempFile, StandError> {
    let file = NamedTempFile::new()?;
    let mut key = [0_u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    std::fs::write(file.path(), URL_SAFE_NO_PAD.encode(key))?;
    Ok(file)
}

/// Some clusters check who may make an object another one's (those of `OpenShift` do): the chart's rights must do there too.
fn as_strict_clusters_are(hosts: Hosts) -> Settings {
    const CHECKS_OWNERS: &str = "OwnerReferencesPermissionEnforcement";
    match hosts {
        Hosts::Simulated => {
            let arguments = vec![format!("--enable-admission-plugins={CHECKS_OWNERS}")];
            Settings { arguments, ..Settings::default() }
        }
        Hosts::Real => {
            let mut settings = node::control_plane(&[real_cluster::NODE.0]);
            for argument in settings.arguments.iter_mut().filter(|it| it.starts_with("--enable-admission-plugins=")) {
                argument.extend([",", CHECKS_OWNERS]);
            }
            settings
        }
    }
}

/// What plays the cluster's parts beside its API server.
enum AnyCluster {
    Imagined(#[expect(dead_code, reason = "it ends with this")] cluster::Cluster),
    Real(#[expect(dead_code, reason = "it ends with this")] Box<RealCluster>),
}

impl Drop for Stand {
    fn drop(&mut self) {
        self.crash_controller();
        self.world.abort();
    }
}
