//! Where a test stands between client and server: before the effect of a request, and before its answer.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use super::refusal::Refusal;
use super::request::Verb;

/// A request as hooks and the trace see it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its place among all requests, from 0.
    pub number: u64,
    /// Who.
    pub user: String,
    /// What for.
    pub verb: Verb,
    /// API group, empty for core.
    pub group: String,
    /// Plural.
    pub resource: String,
    /// Empty if none.
    pub subresource: String,
    /// Empty if none.
    pub namespace: String,
    /// Empty for collections, and for creates.
    pub name: String,
    /// The query as sent.
    pub query: String,
    /// The body, if it is JSON.
    pub body: Option<Arc<Value>>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// The client is told this instead. Before the effect: there is none.
    Refuse(Refusal),
    /// The connection breaks, with this message.
    Break(String),
    /// The client never hears anything.
    Silence,
}

/// A test's hold on requests. Both may wait (on tokio's clock) before they return.
pub trait Intercept: Send + Sync {
    /// Before the effect.
    fn before<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Verdict> {
        let _ = call;
        Box::pin(async { Verdict::Pass })
    }

    /// After the effect, before the answer with this HTTP status.
    fn after<'a>(&'a self, call: &'a Call, status: u16) -> BoxFuture<'a, Verdict> {
        let _ = (call, status);
        Box::pin(async { Verdict::Pass })
    }
}
