//! The server as a `tower` service: HTTP in, HTTP out, hooks and trace in between.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Response, StatusCode};
use serde_json::Value;
use tower::BoxError;

use super::hooks::{Call, Verdict};
use super::refusal::Refusal;
use super::request::{Request, parse};
use super::state::Answer;
use super::trace::{Ending, body_hash};
use super::watch::{Watch, lock};
use super::{ApiServer, Inner};

/// The connection of one user to a server.
#[derive(Clone)]
pub struct Connection {
    server: Arc<Inner>,
    user: String,
}

impl ApiServer {
    /// A client for a user. To be called within a tokio runtime.
    pub fn client(&self, user: &str) -> kube::Client {
        kube::Client::new(self.connection(user), "default")
    }

    /// What a client sends to.
    pub fn connection(&self, user: &str) -> Connection {
        Connection { server: self.inner.clone(), user: user.to_owned() }
    }
}

impl tower::Service<http::Request<kube::client::Body>> for Connection {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<kube::client::Body>) -> Self::Future {
        let (server, user) = (self.server.clone(), self.user.clone());
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let query = parts.uri.query().unwrap_or("").to_owned();
            let kinds = lock(&server.source.state).kinds.clone();
            match parse(&user, &parts, body, &kinds) {
                Ok(request) => server.serve(&request, query).await,
                Err(refusal) => Ok(refused(&refusal)),
            }
        })
    }
}

fn json_response(code: u16, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

fn refused(refusal: &Refusal) -> Response<Body> {
    json_response(refusal.code, Bytes::from(refusal.to_status().to_string()))
}

fn watch_response(watch: Watch) -> Response<Body> {
    let lines = futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((line, watch))
    });
    let mut response = Response::new(Body::from_stream(lines));
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

impl Inner {
    fn call(&self, request: &Request, query: String) -> Call {
        let state = lock(&self.source.state);
        let kind = state.kinds.get(request.kind);
        let call = Call {
            number: 0,
            user: request.user.clone(),
            verb: request.verb,
            group: kind.group.clone(),
            resource: kind.resource.clone(),
            subresource: request.subresource.clone().unwrap_or_default(),
            namespace: request.namespace.clone().unwrap_or_default(),
            name: request.name.clone().unwrap_or_default(),
            query,
            body: request.json().map(Arc::new),
        };
        lock(&self.trace).begin((self.now)(), call)
    }

    async fn serve(&self, request: &Request, query: String) -> Result<Response<Body>, BoxError> {
        let call = self.call(request, query);
        let hook = lock(&self.hook).clone();
        if let Some(hook) = &hook {
            let verdict = hook.before(&call).await;
            if !matches!(verdict, Verdict::Pass) {
                return self.enact(&call, verdict).await;
            }
        }
        let (code, outcome) = self.effect(request);
        lock(&self.trace).effect(call.number, code);
        if let Some(hook) = &hook {
            let verdict = hook.after(&call, code).await;
            if !matches!(verdict, Verdict::Pass) {
                return self.enact(&call, verdict).await;
            }
        }
        Ok(self.answer(&call, outcome))
    }

    /// What happens instead of the server's own answer.
    async fn enact(&self, call: &Call, verdict: Verdict) -> Result<Response<Body>, BoxError> {
        match verdict {
            Verdict::Pass | Verdict::Silence => {
                lock(&self.trace).end(call.number, Ending::Silent);
                std::future::pending().await
            }
            Verdict::Refuse(refusal) => Ok(self.answer(call, Err(refusal))),
            Verdict::Break(message) => {
                lock(&self.trace).end(call.number, Ending::Broken);
                Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, message).into())
            }
        }
    }

    fn effect(&self, request: &Request) -> (u16, Result<Outcome, Refusal>) {
        let outcome = self.operate(request).and_then(|answer| match answer {
            Answer::Json { code, body } => Ok(Outcome::Json(code, body)),
            Answer::Watch => Watch::open(&self.source, request).map(|watch| Outcome::Watch(Box::new(watch))),
        });
        let code = match &outcome {
            Ok(Outcome::Json(code, _)) => *code,
            Ok(Outcome::Watch(_)) => 200,
            Err(refusal) => refusal.code,
        };
        (code, outcome)
    }

    fn answer(&self, call: &Call, outcome: Result<Outcome, Refusal>) -> Response<Body> {
        let ending =
            |status, reason: &str, body_hash| Ending::Answered { status, reason: reason.to_owned(), body_hash };
        let (ending, response) = match outcome {
            Ok(Outcome::Json(code, body)) => {
                let bytes = Bytes::from(body.to_string());
                (ending(code, "", body_hash(&bytes)), json_response(code, bytes))
            }
            Ok(Outcome::Watch(watch)) => (ending(200, "", String::new()), watch_response(*watch)),
            Err(refusal) => {
                let bytes = refusal.to_status().to_string();
                (ending(refusal.code, &refusal.reason, body_hash(bytes.as_bytes())), refused(&refusal))
            }
        };
        lock(&self.trace).end(call.number, ending);
        response
    }
}

enum Outcome {
    Json(u16, Value),
    Watch(Box<Watch>),
}
