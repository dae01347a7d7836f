//! What the operator serves: probes, metrics, and the door for events of the cloud.
//!
//! | path | says |
//! |---|---|
//! | `GET /livez` | whether work goes on; a kubelet restarts a replica where it does not |
//! | `GET /readyz` | whether the caches are filled |
//! | `GET /metrics` | OpenMetrics text |
//! | `POST /events` | nothing: it takes CloudEvents, and is there only where a token is configured |

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::CONTENT_TYPE;
use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::clock::SharedClock;
use crate::cloud_events::Events;
use crate::metrics::{self, Metrics};

/// The longest body that is read.
pub const BODY_BYTES_MAX: usize = 256 * 1_024;
/// How long a body may take to come in.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests under way may take yet when the server ends.
const GRACE: Duration = Duration::from_secs(5);

/// Says yes or no when a probe asks. It must not block.
pub type Probe = Box<dyn Fn() -> bool + Send + Sync>;

/// What is served.
pub struct Service {
    /// Whether work goes on: false only for a replica that is stuck and that a restart would help. Not leading, a cloud
    /// that does not answer, and caches that are not filled are none of that.
    pub live: Probe,
    /// Whether the caches are filled.
    pub ready: Probe,
    /// What is counted.
    pub metrics: Metrics,
    /// Who takes events in, where there is a token for them.
    pub events: Option<Events>,
    /// The time, for bounds.
    pub clock: SharedClock,
}

/// Serves until `shutdown` is done, then lets requests under way end, for a bounded time.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let clock = service.clock.clone();
    let (ending, ended) = oneshot::channel();
    let signal = async move {
        shutdown.await;
        // Nobody listens any more only when the server is gone already.
        let _ = ending.send(());
    };
    let serving = axum::serve(listener, router(service)).with_graceful_shutdown(signal).into_future();
    let grace = async move {
        match ended.await {
            Ok(()) => clock.sleep(GRACE).await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        result = serving => result,
        () = grace => Ok(()),
    }
}

/// The paths.
pub fn router(service: Service) -> Router {
    let mut router =
        Router::new().route("/livez", get(livez)).route("/readyz", get(readyz)).route("/metrics", get(read_metrics));
    if service.events.is_some() {
        router = router.route("/events", post(take_event));
    }
    router.with_state(Arc::new(service))
}

async fn livez(State(service): State<Arc<Service>>) -> Response {
    probed((service.live)(), "stuck")
}

async fn readyz(State(service): State<Arc<Service>>) -> Response {
    probed((service.ready)(), "the caches are not filled yet")
}

fn probed(well: bool, otherwise: &'static str) -> Response {
    if well { "ok".into_response() } else { (StatusCode::SERVICE_UNAVAILABLE, otherwise).into_response() }
}

async fn read_metrics(State(service): State<Arc<Service>>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], service.metrics.encode()).into_response()
}

/// Who shows no token has no body read.
async fn take_event(State(service): State<Arc<Service>>, request: Request) -> StatusCode {
    let Some(events) = &service.events else { return StatusCode::NOT_FOUND };
    let (parts, body) = request.into_parts();
    if let Err(answer) = events.admit(&parts.headers, parts.uri.query()) {
        return answer;
    }
    tokio::select! {
        biased;
        body = to_bytes(body, BODY_BYTES_MAX) => match body {
            Ok(body) => events.read(&parts.headers, &body),
            Err(_) => StatusCode::PAYLOAD_TOO_LARGE,
        },
        () = service.clock.sleep(BODY_TIMEOUT) => StatusCode::REQUEST_TIMEOUT,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::clock::SystemClock;
    use crate::cloud_events::{Hint, Token, Uptake};

    const TOKEN: &str = "s3cret-s3cret-s3cret";
    const EVENT: &str = r#"{"protoPayload": {"serviceName": "compute.googleapis.com",
        "resourceName": "projects/p/zones/z/instances/i"}}"#;

    struct Running {
        address: std::net::SocketAddr,
        ready: Arc<AtomicBool>,
        hints: Arc<Mutex<Vec<Hint>>>,
        stop: oneshot::Sender<()>,
        task: JoinHandle<io::Result<()>>,
    }

    async fn running(with_events: bool) -> Running {
        let ready = Arc::new(AtomicBool::new(false));
        let hints = Arc::<Mutex<Vec<Hint>>>::default();
        let clock: SharedClock = Arc::new(SystemClock::new());
        let metrics = Metrics::new();
        let (told, seen) = (ready.clone(), hints.clone());
        let token = Token::new(TOKEN).unwrap();
        let events = with_events.then(|| {
            Events::new(token, clock.clone(), metrics.clone(), move |hint| {
                seen.lock().unwrap().push(hint);
                Uptake::Taken
            })
        });
        let service = Service {
            live: Box::new(|| true),
            ready: Box::new(move || told.load(Ordering::Relaxed)),
            metrics,
            events,
            clock,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, service, async move {
            let _ = stopped.await;
        }));
        Running { address, ready, hints, stop, task }
    }

    impl Running {
        /// Sends what is given, byte for byte, and reads the answer to its end.
        async fn raw(&self, request: &str) -> String {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // A server that refuses a body may close while it is still being sent.
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8(answer).unwrap()
        }

        async fn get(&self, path: &str) -> String {
            self.raw(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
        }

        async fn post(&self, token: &str, body: &str) -> String {
            self.raw(&format!(
                "POST /events HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            ))
            .await
        }
    }

    #[track_caller]
    fn is(answer: &str, status: u16) {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "not {status}: {answer}");
    }

    #[tokio::test]
    async fn probes_say_what_is() {
        let server = running(false).await;
        is(&server.get("/livez").await, 200);
        is(&server.get("/readyz").await, 503);
        server.ready.store(true, Ordering::Relaxed);
        is(&server.get("/readyz").await, 200);
        is(&server.get("/").await, 404);
    }

    #[tokio::test]
    async fn metrics_are_open_metrics() {
        let answer = running(false).await.get("/metrics").await;
        is(&answer, 200);
        assert!(
            answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
            "{answer}"
        );
        assert!(answer.ends_with("# EOF\n"), "{answer}");
    }

    #[tokio::test]
    async fn events_are_taken_with_the_token() {
        let server = running(true).await;
        is(&server.post(TOKEN, EVENT).await, 204);
        assert_eq!(server.hints.lock().unwrap()[0].project, "p");
        is(&server.post("wrong-wrong-wrong-wrong", EVENT).await, 401);
        is(&server.get("/events").await, 405);
        assert_eq!(server.hints.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn without_a_token_there_is_no_door() {
        is(&running(false).await.post(TOKEN, EVENT).await, 404);
    }

    #[tokio::test]
    async fn a_body_has_a_bound() {
        let server = running(true).await;
        let padding = " ".repeat(BODY_BYTES_MAX - EVENT.len());
        is(&server.post(TOKEN, &format!("{EVENT}{padding}")).await, 204);
        is(&server.post(TOKEN, &format!("{EVENT}{padding} ")).await, 413);
        assert_eq!(server.hints.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn it_ends_when_it_is_told_to_although_a_connection_is_open() {
        let server = running(false).await;
        let mut idle = TcpStream::connect(server.address).await.unwrap();
        idle.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        idle.read_exact(&mut [0; 12]).await.unwrap();
        server.stop.send(()).unwrap();
        tokio::time::timeout(GRACE * 2, server.task).await.unwrap().unwrap().unwrap();
        assert!(TcpStream::connect(server.address).await.is_err());
    }
}
