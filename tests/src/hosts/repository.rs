//! A git server inside the machines' network: `git http-backend` behind TLS, as a hosting service is seen by `git clone`.

use std::io::{self, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::network::GATEWAY;
use super::{HostsError, Network, run};

const PORT: u16 = 8443;

/// A served repository. It is served until this is dropped.
pub struct Repository {
    /// Where it is cloned from.
    pub url: String,
    /// The certificate that clients must trust, in PEM.
    pub certificate: String,
    bare: PathBuf,
    serving: JoinHandle<()>,
}

impl Drop for Repository {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Repository {
    /// Makes a repository out of the files in `from`, and serves it as `name`. `folder` takes the repository itself.
    pub fn serve(network: &Network, folder: &Path, name: &str, from: &Path) -> Result<Self, HostsError> {
        let bare = folder.join(format!("{name}.git"));
        make(&bare, from, &folder.join("tree"))?;
        let CertifiedKey { cert, signing_key } = certificate()?;
        let acceptor = acceptor(&cert.pem(), &signing_key)?;
        let listener = network.listen(PORT)?;
        listener.set_nonblocking(true).map_err(HostsError::io("the git server"))?;
        let listener = TcpListener::from_std(listener).map_err(HostsError::io("the git server"))?;
        let router = Router::new().fallback(backend).with_state(Arc::new(folder.to_owned()));
        let listener = Tls { listener, acceptor };
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the git server ended");
            }
        });
        Ok(Self { url: format!("https://{GATEWAY}:{PORT}/{name}.git"), certificate: cert.pem(), bare, serving })
    }

    /// The commit at the head of a branch.
    pub fn head(&self, branch: &str) -> Result<String, HostsError> {
        run(&["git", "--git-dir", &self.bare.to_string_lossy(), "rev-parse", "--verify", branch])
    }

    /// Adds a file in a commit of its own, as somebody else would who pushes.
    pub fn commit(&self, file: &str, text: &str) -> Result<String, HostsError> {
        let tree = self.bare.with_extension("tree");
        let failed = || HostsError::io(format!("the repository's {file}"));
        let (bare, place) = (self.bare.to_string_lossy(), tree.to_string_lossy().into_owned());
        run(&["git", "clone", "-q", &bare, &place])?;
        std::fs::write(tree.join(file), text).map_err(failed())?;
        commit(&place, &format!("Add {file}"))?;
        run(&["git", "-C", &place, "push", "-q", "origin", "HEAD:main"])?;
        std::fs::remove_dir_all(&tree).map_err(failed())?;
        self.head("main")
    }
}

fn make(bare: &Path, from: &Path, tree: &Path) -> Result<(), HostsError> {
    let (bare, tree) = (bare.to_string_lossy(), tree.to_string_lossy());
    run(&["cp", "-r", &from.to_string_lossy(), &tree])?;
    run(&["git", "init", "-q", "-b", "main", &tree])?;
    commit(&tree, "Begin the course")?;
    run(&["git", "clone", "-q", "--bare", &tree, &bare])?;
    run(&["git", "--git-dir", &bare, "config", "http.receivepack", "true"])?;
    Ok(())
}

fn commit(tree: &str, message: &str) -> Result<(), HostsError> {
    run(&["git", "-C", tree, "add", "--all"])?;
    let author = ["-c", "user.name=A Teacher", "-c", "user.email=teacher@example.org"];
    run(&[&["git", "-C", tree], &author[..], &["commit", "-q", "-m", message]].concat()).map(|_| ())
}

fn certificate() -> Result<CertifiedKey<KeyPair>, HostsError> {
    let failed = |error: rcgen::Error| HostsError::TimedOut(format!("no certificate for the git server: {error}"));
    let signing_key = KeyPair::generate().map_err(failed)?;
    let parameters = CertificateParams::new(vec![GATEWAY.to_string()]).map_err(failed)?;
    let cert = parameters.self_signed(&signing_key).map_err(failed)?;
    Ok(CertifiedKey { cert, signing_key })
}

fn acceptor(certificate: &str, key: &KeyPair) -> Result<TlsAcceptor, HostsError> {
    let failed = |why: String| HostsError::TimedOut(format!("no TLS for the git server: {why}"));
    let chain = CertificateDer::pem_reader_iter(BufReader::new(certificate.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(error.to_string()))?;
    let key =
        PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).map_err(|error| failed(error.to_string()))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
    Ok(TlsAcceptor::from(Arc::new(config.map_err(|error| failed(error.to_string()))?)))
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl axum::serve::Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // A client that gives up, or speaks no TLS, is nobody's error.
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// One request, as a web server hands it to a program of the Common Gateway Interface (RFC 3875).
async fn backend(
    State(root): State<Arc<PathBuf>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match ask(&root, &method, &uri, &headers, &body).await {
        Ok(answer) => answered(&answer),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ask(root: &Path, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> io::Result<Vec<u8>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut program = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method.as_str())
        .env("PATH_INFO", uri.path())
        .env("QUERY_STRING", uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let stdin = program.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program that has read enough closes its end.
            let _enough = stdin.write_all(body).await;
        }
    };
    let (output, ()) = tokio::join!(program.wait_with_output(), write);
    Ok(output?.stdout)
}

fn answered(answer: &[u8]) -> Response {
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let body = answer.get(split + 4..).unwrap_or_default().to_vec();
    let mut response = (StatusCode::OK, body).into_response();
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name == "Status" {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.unwrap_or(StatusCode::BAD_GATEWAY);
        } else if let (Ok(name), Ok(value)) = (name.parse::<axum::http::HeaderName>(), value.parse()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
