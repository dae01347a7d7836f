//! A replica in virtual time, its link to an API server of one Lease, and that server.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures::future::BoxFuture;
use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Leadership, LeaseSettings, run};
use crate::clock::{Clock, SharedClock, TokioClock};

/// What becomes of a replica's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    /// They never arrive.
    Cut,
    /// They do what they ask for, and their answers never arrive.
    Deaf,
    /// As [`Link::Deaf`], but what is read comes back.
    LosesWrites,
    /// They are answered after this many seconds.
    Slow(u64),
    /// They arrive after this many seconds, also when nobody waits for the answer any more.
    Late(u64),
}

#[derive(Default)]
pub(super) struct Server {
    pub(super) lease: Option<Value>,
    pub(super) version: u64,
    /// Every write that was taken or refused: who, and the answer.
    pub(super) writes: Vec<(String, u16)>,
}

impl Server {
    fn answer(&mut self, method: &Method, body: &[u8]) -> (u16, Value) {
        if *method == Method::GET {
            return self.lease.clone().map_or_else(|| refusal(404, "NotFound"), |lease| (200, lease));
        }
        let mut lease: Value = serde_json::from_slice(body).unwrap();
        let version = self.lease.as_ref().map(|stored| stored["metadata"]["resourceVersion"].clone());
        let answer = match (method.as_str(), version) {
            ("POST", Some(_)) => refusal(409, "AlreadyExists"),
            ("PUT", None) => refusal(404, "NotFound"),
            ("PUT", Some(version)) if version != lease["metadata"]["resourceVersion"] => refusal(409, "Conflict"),
            ("POST" | "PUT", _) => {
                self.version += 1;
                lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
                self.lease = Some(lease.clone());
                (if *method == Method::POST { 201 } else { 200 }, lease.clone())
            }
            other => panic!("no such request: {other:?}"),
        };
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        self.writes.push((holder, answer.0));
        answer
    }

    pub(super) fn spec(&self, field: &str) -> Value {
        self.lease.as_ref().unwrap()["spec"][field].clone()
    }
}

fn refusal(code: u16, reason: &str) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason}),
    )
}

type Wire = (Arc<Mutex<Server>>, Arc<Mutex<Link>>);

async fn carry(State((server, link)): State<Wire>, method: Method, body: Bytes) -> Response {
    let now = *link.lock().unwrap();
    let answer = || server.lock().unwrap().answer(&method, &body);
    let (code, body) = match now {
        Link::Up => answer(),
        Link::Cut => std::future::pending().await,
        Link::LosesWrites if method == Method::GET => answer(),
        Link::Deaf | Link::LosesWrites => {
            answer();
            std::future::pending().await
        }
        Link::Slow(seconds) => {
            let answer = answer();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            answer
        }
        Link::Late(seconds) => {
            let (server, method, body) = (server.clone(), method.clone(), body.clone());
            let arrived = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                server.lock().unwrap().answer(&method, &body)
            });
            arrived.await.unwrap()
        }
    };
    (StatusCode::from_u16(code).unwrap(), axum::Json(body)).into_response()
}

/// A clock whose time of day can be set wrong.
struct Wrong {
    right: TokioClock,
    off_s: Arc<AtomicI64>,
}

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        self.right.now() + SignedDuration::from_secs(self.off_s.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.right.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.right.sleep(duration)
    }
}

pub(super) struct Replica {
    pub(super) leadership: Leadership,
    link: Arc<Mutex<Link>>,
    /// How wrong its time of day is.
    pub(super) off_s: Arc<AtomicI64>,
    pub(super) task: JoinHandle<()>,
}

impl Replica {
    pub(super) fn start(server: &Arc<Mutex<Server>>, identity: &str) -> Self {
        let link = Arc::new(Mutex::new(Link::Up));
        let off_s = Arc::new(AtomicI64::new(0));
        let start = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(500_000);
        let clock: SharedClock = Arc::new(Wrong { right: TokioClock::new(start), off_s: off_s.clone() });
        let leadership = Leadership::new(clock.clone());
        let router: Router = Router::new().fallback(carry).with_state((server.clone(), link.clone()));
        let client = kube::Client::new(router, "rehost-system");
        let settings = LeaseSettings { namespace: "rehost-system".to_owned(), identity: identity.to_owned() };
        let task = tokio::spawn(run(client, settings, clock, leadership.clone()));
        Self { leadership, link, off_s, task }
    }

    pub(super) fn link(&self, link: Link) {
        *self.link.lock().unwrap() = link;
    }

    pub(super) fn leads(&self) -> bool {
        self.leadership.is_leading()
    }
}
