//! Starting etcd and kube-apiserver, and waiting until they answer.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::binaries::Program;
use super::process::{Process, Start};
use super::{ControlPlaneError, Settings, io_error};

/// A port is free when it is looked for, and may be taken when it is used: then another one is looked for.
const TRIES: usize = 3;
const ASK_EVERY: Duration = Duration::from_millis(100);

pub(super) struct Servers {
    pub(super) url: String,
    pub(super) etcd: Process,
    pub(super) apiserver: Process,
}

pub(super) async fn start(
    programs: &BTreeMap<Program, PathBuf>,
    directory: &Path,
    settings: &Settings,
) -> Result<Servers, ControlPlaneError> {
    let (etcd, etcd_url) = start_etcd(&programs[&Program::Etcd], directory, settings).await?;
    let (apiserver, url) = start_apiserver(&programs[&Program::KubeApiserver], directory, settings, &etcd_url).await?;
    Ok(Servers { url, etcd, apiserver })
}

async fn start_etcd(
    program: &Path,
    directory: &Path,
    settings: &Settings,
) -> Result<(Process, String), ControlPlaneError> {
    let mut tried = 0;
    loop {
        tried += 1;
        let client = format!("http://127.0.0.1:{}", free_port()?);
        let peer = format!("http://127.0.0.1:{}", free_port()?);
        let arguments = vec![
            "--name=rehost".to_owned(),
            format!("--data-dir={}", directory.join("etcd").display()),
            "--unsafe-no-fsync".to_owned(),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=rehost={peer}"),
            "--log-level=warn".to_owned(),
        ];
        let mut etcd = run("etcd", program, arguments, directory, (!keep_data()).then_some(directory))?;
        match wait_until_ready(&mut etcd, &format!("{client}/readyz"), &reqwest_client(None)?, settings).await {
            Ok(()) => return Ok((etcd, client)),
            Err(error) if tried < TRIES && port_was_taken(&etcd) => drop(error),
            Err(error) => return Err(error),
        }
    }
}

async fn start_apiserver(
    program: &Path,
    directory: &Path,
    settings: &Settings,
    etcd_url: &str,
) -> Result<(Process, String), ControlPlaneError> {
    let authority = std::fs::read(directory.join("authority.pem")).map_err(io_error("reading authority.pem"))?;
    let client = reqwest_client(Some(&authority))?;
    let mut tried = 0;
    loop {
        tried += 1;
        let port = free_port()?;
        let url = format!("https://127.0.0.1:{port}");
        let arguments = apiserver_arguments(directory, settings, etcd_url, port);
        let mut apiserver = run("kube-apiserver", program, arguments, directory, None)?;
        match wait_until_ready(&mut apiserver, &format!("{url}/readyz"), &client, settings).await {
            Ok(()) => return Ok((apiserver, url)),
            Err(error) if tried < TRIES && port_was_taken(&apiserver) => drop(error),
            Err(error) => return Err(error),
        }
    }
}

fn apiserver_arguments(directory: &Path, settings: &Settings, etcd_url: &str, port: u16) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    let mut arguments = vec![
        format!("--etcd-servers={etcd_url}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // What it would publish in the default Service, if it did: see the endpoint reconciler.
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--tls-cert-file={}", file("server.pem")),
        format!("--tls-private-key-file={}", file("server-key.pem")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", file("token-public-key.pem")),
        format!("--service-account-signing-key-file={}", file("token-key.pem")),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        // Room for a Service for each of very many notebooks.
        "--service-cluster-ip-range=10.96.0.0/12".to_owned(),
        "--allow-privileged".to_owned(),
        format!("--audit-policy-file={}", file("audit-policy.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
        // A request is in the log before it is counted: no buffer. One file: a log that rotates loses counts.
        "--audit-log-mode=blocking".to_owned(),
        "--audit-log-maxsize=8192".to_owned(),
        "--profiling=false".to_owned(),
    ];
    if !settings.disabled_admission.is_empty() {
        arguments.push(format!("--disable-admission-plugins={}", settings.disabled_admission.join(",")));
    }
    arguments.extend(settings.arguments.iter().cloned());
    arguments
}

/// Neither program has anything worth a slow end: etcd's data goes with it.
fn run(
    name: &str,
    program: &Path,
    arguments: Vec<String>,
    directory: &Path,
    remove: Option<&Path>,
) -> Result<Process, ControlPlaneError> {
    Process::start(Start {
        name,
        program,
        arguments,
        environment: Vec::new(),
        log: directory.join(format!("{name}.log")),
        grace: Duration::ZERO,
        remove: remove.map(Path::to_owned),
    })
    .map_err(io_error(format!("starting {}", program.display())))
}

/// `REHOST_KEEP=1` leaves logs and data for a look at them afterwards.
fn keep_data() -> bool {
    std::env::var_os("REHOST_KEEP").is_some()
}

fn free_port() -> Result<u16, ControlPlaneError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io_error("looking for a free port"))?;
    Ok(listener.local_addr().map_err(io_error("looking for a free port"))?.port())
}

fn port_was_taken(process: &Process) -> bool {
    process.log_tail(50).contains("address already in use")
}

fn reqwest_client(authority: Option<&[u8]>) -> Result<reqwest::Client, ControlPlaneError> {
    // Somebody else in this process may have chosen the provider already; it is the same one then.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder().timeout(Duration::from_secs(5)).no_proxy();
    builder = match authority {
        Some(pem) => builder.tls_certs_only([reqwest::Certificate::from_pem(pem).map_err(unusable)?]),
        None => builder.tls_certs_only([]),
    };
    builder.build().map_err(unusable)
}

fn unusable(error: reqwest::Error) -> ControlPlaneError {
    io_error("making an HTTP client")(std::io::Error::other(error))
}

async fn wait_until_ready(
    process: &mut Process,
    url: &str,
    client: &reqwest::Client,
    settings: &Settings,
) -> Result<(), ControlPlaneError> {
    let waiting = async {
        loop {
            if let Some(status) = process.ended().map_err(io_error("looking at a process"))? {
                return Err(not_ready(process, &format!("ended with {status}")));
            }
            // Everybody may ask for readiness; whatever else is answered, or nothing at all, means not yet.
            if client.get(url).send().await.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    match tokio::time::timeout(settings.ready_within, waiting).await {
        Ok(outcome) => outcome,
        Err(_) => Err(not_ready(process, &format!("was not ready within {} s", settings.ready_within.as_secs()))),
    }
}

fn not_ready(process: &Process, happening: &str) -> ControlPlaneError {
    ControlPlaneError::NotReady {
        program: process.name().to_owned(),
        happening: happening.to_owned(),
        tail: process.log_tail(30),
    }
}
