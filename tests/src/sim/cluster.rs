//! The API server as the controller of a run has it, and what stands between it and everybody.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{Method, Request, Response};
use tower::{BoxError, Service};

use super::line::{Asked, Line};
use super::shared::{CONTROLLER, Shared};
use crate::kube::{Call, Connection, Intercept, Verdict};

/// A client over one incarnation's line.
pub fn client(line: &Arc<Line>) -> kube::Client {
    let inner = line.shared().server.connection(CONTROLLER);
    kube::Client::new(Lifeline { inner, line: line.clone() }, "default")
}

/// The connection of one incarnation.
#[derive(Clone)]
struct Lifeline {
    inner: Connection,
    line: Arc<Line>,
}

impl Service<Request<kube::client::Body>> for Lifeline {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let (mut inner, line) = (self.inner.clone(), self.line.clone());
        async move {
            let path = request.uri().path();
            if path.contains("/leases") {
                if !line.reaches_the_lease().await {
                    return Err("the API server cannot be reached".into());
                }
                return inner.call(request).await;
            }
            let writes_status =
                request.method() == Method::PATCH && path.contains("/notebooks/") && path.ends_with("/status");
            let asked = Asked { what: format!("{} {path}", request.method()), writes_status };
            let number = line.goes_out(&asked).await;
            let answer = inner.call(request).await;
            line.comes_in(number, &asked).await;
            answer
        }
        .boxed()
    }
}

/// Sees every request of everybody.
pub struct Gate {
    /// What all share.
    pub shared: Arc<Shared>,
}

impl Intercept for Gate {
    fn before<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Verdict> {
        async move {
            if call.resource == "leases" {
                return Verdict::Pass;
            }
            let verdict = self.shared.fate_before(call).await;
            if !matches!(verdict, Verdict::Pass) {
                self.shared.call_failed(call, &verdict);
                return verdict;
            }
            // From here to the effect nobody else has a turn.
            self.shared.cluster_changes(call);
            Verdict::Pass
        }
        .boxed()
    }

    fn after<'a>(&'a self, call: &'a Call, status: u16) -> BoxFuture<'a, Verdict> {
        async move {
            self.shared.called(call, status);
            if call.resource == "leases" {
                return Verdict::Pass;
            }
            let verdict = self.shared.fate_after(call).await;
            if !matches!(verdict, Verdict::Pass) {
                self.shared.call_failed(call, &verdict);
            }
            verdict
        }
        .boxed()
    }
}
