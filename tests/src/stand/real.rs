//! The real machines of an installation, and what they reach: a stand-in for Cloud Storage, and a git server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;

use super::real_cluster::NODE;
use super::{PROJECT, StandError};
use crate::control_plane::process::Process;
use crate::hosts::{Fleet, FleetSettings, GATEWAY, HostsError, Image, Network, Repository, relay};
use crate::manifests::root;
use crate::world::rest::SharedWorld;

/// The bucket that notebooks may mount.
pub const BUCKET: &str = "team-a-data";
/// What a service account's token is, here.
pub const TOKEN: &str = "ya29.a-token-of-the-simulated-cloud";
const STORAGE_PORT: u16 = 14443;
/// Where the authorities that a Debian machine trusts are.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Real machines. All of them end with this.
pub struct Real {
    // In this order: machines end before what they reach.
    /// The machines.
    pub fleet: Fleet,
    /// The course that notebooks may clone.
    pub repository: Repository,
    /// The stand-in for Cloud Storage, from the loopback: `http://ADDRESS/storage/v1/...`.
    pub storage: SocketAddr,
    _storage: Process,
    /// Their network.
    pub network: Arc<Network>,
    folder: TempDir,
}

impl Real {
    /// Brings up the network and its servers, and lets machines follow the world.
    pub(super) async fn start(world: SharedWorld) -> Result<Self, StandError> {
        let folder = TempDir::with_prefix("rehost-machines-")?;
        let place = folder.path().to_owned();
        let (image, network) = tokio::task::spawn_blocking(move || {
            Ok::<_, HostsError>((Image::find_or_build()?, Arc::new(Network::new(&place)?)))
        })
        .await
        .map_err(std::io::Error::other)??;
        let storage_process = start_storage(&network, folder.path())?;
        let storage = relay(&network, SocketAddr::from((GATEWAY, STORAGE_PORT)))?;
        make_bucket(storage).await?;
        let course = root().join("tests/hosts/course");
        let repository = Repository::serve(&network, folder.path(), "course", &course)?;
        let settings = FleetSettings {
            files: files(&image, &repository)?,
            image,
            network: Arc::clone(&network),
            folder: folder.path().to_owned(),
            project: PROJECT.to_owned(),
            token: TOKEN.to_owned(),
            played_elsewhere: BTreeSet::from([NODE.0.to_owned()]),
        };
        let fleet = Fleet::follow(world, settings);
        Ok(Self { fleet, repository, storage, _storage: storage_process, network, folder })
    }

    /// The folder of everything that these machines have.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn start_storage(network: &Network, folder: &Path) -> Result<Process, HostsError> {
    let address = format!("{GATEWAY}:{STORAGE_PORT}");
    let (host, port, url) = (GATEWAY.to_string(), STORAGE_PORT.to_string(), format!("http://{address}"));
    let arguments = ["-scheme", "http", "-host", &host, "-port", &port, "-backend", "memory"];
    let arguments = [&arguments[..], &["-external-url", &url, "-public-host", &address]].concat();
    let program = Image::program("fake-gcs-server")?;
    network.start("fake-gcs-server", &program, &arguments, folder.join("storage.log"))
}

async fn make_bucket(storage: SocketAddr) -> Result<(), StandError> {
    let client = reqwest::Client::builder().no_proxy().build().map_err(std::io::Error::other)?;
    for _ in 0..100 {
        let asked =
            client.post(format!("http://{storage}/storage/v1/b?project={PROJECT}")).json(&json!({"name": BUCKET}));
        if asked.send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    Err(StandError::TooLate("the bucket of the stand-in for Cloud Storage"))
}

/// What leads gcsfuse to this installation's storage.
pub(super) fn gcsfuse_flags() -> String {
    format!("--anonymous-access --custom-endpoint=http://{GATEWAY}:{STORAGE_PORT}/storage/v1/ --enable-hns=false")
}

/// What leads a machine's programs to servers of this installation's instead of the world's.
fn files(image: &Image, repository: &Repository) -> Result<BTreeMap<PathBuf, String>, StandError> {
    let flags = gcsfuse_flags();
    let authorities = std::fs::read_to_string(image.root.join(AUTHORITIES.trim_start_matches('/')))?;
    Ok(BTreeMap::from([
        (PathBuf::from("/etc/gcsfuse-flags"), flags),
        // As the guest agent writes it on every machine of Compute Engine.
        (
            PathBuf::from("/etc/hosts"),
            "127.0.0.1 localhost\n169.254.169.254 metadata.google.internal metadata\n".to_owned(),
        ),
        (PathBuf::from(AUTHORITIES), authorities + &repository.certificate),
    ]))
}
