//! The world behind the official SDK's stubs: what ring 2 calls instead of a network.
//!
//! ```text
//! request model -> method, path, query, body (serde) -> hook -> world -> answer (serde) -> model
//! ```
//! Requests are the ones that the SDK's own transport would send (`$alt` and `$apiVersion` included), so the log of a
//! run in memory and one over HTTP compare. Errors are built by the same constructors as the transport's: an answer in
//! the form of Google's errors is a service error with HTTP status and headers, any other one an HTTP error with its
//! payload, and what never came back is a time-out, a connection that failed, or one that broke.
//!
//! # Simplified
//! Retries, attempt time-outs and polling of the request options are not acted on (the controller has them off, and the
//! hook decides how long a call takes). `zoneOperations.wait` answers at once with the operation as it is, which the
//! real one is free to do.

mod verbs;

use super::{Method, Request, Response, World};
use futures::future::BoxFuture;
use google_cloud_gax::error::Error;
use google_cloud_gax::error::binding::{BindingError, PathMismatch, SubstitutionFail, SubstitutionMismatch};
use google_cloud_gax::error::rpc::Status;
use google_cloud_gax::response::{Parts, Response as SdkResponse};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The version that the SDK's transport names in each request.
const API_VERSION: &str = "2026-09-01";

/// The time of the world, as the run has it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Asked before each request: it may take its time (latency, or never to resolve: a crash before the request is sent),
/// and says what becomes of the request.
pub type Hook = Arc<dyn Fn(&Request) -> BoxFuture<'static, Intercept> + Send + Sync>;

/// What becomes of a request.
pub enum Intercept {
    /// It is answered.
    Pass,
    /// It takes effect, and is answered when this resolves. If that is never, the caller crashed after the effect and
    /// before the answer.
    Hold(BoxFuture<'static, ()>),
    /// It fails before the world sees it.
    FailBefore(Failure),
    /// It takes effect, and fails when this resolves.
    FailAfter(Failure, BoxFuture<'static, ()>),
}

impl fmt::Debug for Intercept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => formatter.write_str("Pass"),
            Self::Hold(_) => formatter.write_str("Hold"),
            Self::FailBefore(failure) => write!(formatter, "FailBefore({failure:?})"),
            Self::FailAfter(failure, _) => write!(formatter, "FailAfter({failure:?})"),
        }
    }
}

/// How a request fails on its way.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Failure {
    /// No answer within the attempt's time.
    #[error("operation timed out")]
    Timeout,
    /// No connection: the request was surely not sent.
    #[error("tcp connect error: connection refused")]
    Connect,
    /// The connection broke.
    #[error("connection closed before message completed")]
    Io,
    /// Something between client and service answered, in its own words.
    #[error("HTTP status {}", .0.status)]
    Answer(Response),
}

impl Failure {
    /// The error that the SDK's transport makes of it.
    fn into_error(self) -> Error {
        match self {
            Self::Timeout => Error::timeout(self),
            Self::Connect => Error::connect(self),
            Self::Io => Error::io(self),
            Self::Answer(response) => error_of(&response),
        }
    }
}

/// The world as the SDK's stubs see it. `client::Instances::from_stub(stub)` makes a client of it. Clones are the same
/// world.
#[derive(Clone)]
pub struct WorldStub {
    world: Arc<Mutex<World>>,
    clock: Clock,
    hook: Hook,
}

impl fmt::Debug for WorldStub {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WorldStub")
    }
}

impl WorldStub {
    /// A stub that passes everything on to `world`.
    pub fn new(world: Arc<Mutex<World>>, clock: Clock) -> Self {
        Self { world, clock, hook: Arc::new(|_| Box::pin(async { Intercept::Pass })) }
    }

    /// Asks `hook` before every request.
    #[must_use]
    pub fn with_hook(self, hook: Hook) -> Self {
        Self { hook, ..self }
    }

    /// A list call of the inventory, which goes round the SDK over HTTP where there is a network.
    pub async fn sweep(&self, path: &str, query: &[(String, String)]) -> Result<Response, Failure> {
        let request = Request { method: Method::Get, path: path.to_owned(), query: query.to_vec(), body: None };
        self.exchange(&request).await
    }

    /// Sends one request on its way.
    pub async fn exchange(&self, request: &Request) -> Result<Response, Failure> {
        match (self.hook)(request).await {
            Intercept::Pass => Ok(self.effect(request)),
            Intercept::Hold(answer) => {
                let response = self.effect(request);
                answer.await;
                Ok(response)
            }
            Intercept::FailBefore(failure) => Err(failure),
            Intercept::FailAfter(failure, answer) => {
                self.effect(request);
                answer.await;
                Err(failure)
            }
        }
    }

    fn effect(&self, request: &Request) -> Response {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (self.clock)();
        world.handle(now, request)
    }

    async fn call<Answer: DeserializeOwned>(&self, call: Call<'_>) -> Result<SdkResponse<Answer>, Error> {
        let request = call.request()?;
        let response = self.exchange(&request).await.map_err(Failure::into_error)?;
        if !(200..300).contains(&response.status) {
            return Err(error_of(&response));
        }
        let answer = serde_json::from_value(response.body).map_err(Error::deser)?;
        Ok(SdkResponse::from_parts(Parts::new().set_headers(headers()), answer))
    }
}

/// One verb with its request's parts.
struct Call<'a> {
    method: Method,
    /// With `{}` where a part goes.
    template: &'static str,
    /// The field that each part comes from, and the part.
    parts: &'a [(&'static str, &'a str)],
    query: Vec<(&'static str, Option<String>)>,
    body: Option<Value>,
}

impl Call<'_> {
    fn request(self) -> Result<Request, Error> {
        let subs: Vec<_> = self.parts.iter().filter_map(|(name, part)| mismatch(name, part)).collect();
        if !subs.is_empty() {
            return Err(Error::binding(BindingError { paths: vec![PathMismatch { subs }] }));
        }
        let path = self.parts.iter().fold(self.template.to_owned(), |path, (_, part)| path.replacen("{}", part, 1));
        let own = self.query.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let system = [("$alt", "json"), ("$apiVersion", API_VERSION)].map(|(name, value)| (name.into(), value.into()));
        // As the transport: a POST without a body has an empty object for one.
        let body = self.body.or_else(|| (self.method == Method::Post).then(|| json!({})));
        Ok(Request { method: self.method, path, query: own.chain(system).collect(), body })
    }
}

/// What the transport says of a part that is empty or would lead elsewhere; it is never sent.
fn mismatch(field_name: &'static str, part: &str) -> Option<SubstitutionMismatch> {
    let problem = match part {
        "" => SubstitutionFail::UnsetExpecting("*"),
        part if part.contains('/') => SubstitutionFail::MismatchExpecting(part.to_owned(), "*"),
        _ => return None,
    };
    Some(SubstitutionMismatch { field_name, problem })
}

/// A body as it goes over the wire.
fn body_of(model: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(model).map_err(Error::ser)
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"))])
}

/// The error that the SDK's transport makes of an answer that is no success.
fn error_of(response: &Response) -> Error {
    let payload = bytes::Bytes::from(match &response.body {
        // A proxy's page rather than JSON.
        Value::String(text) => text.clone(),
        json => json.to_string(),
    });
    match Status::try_from(&payload) {
        Ok(status) => Error::service_with_http_metadata(status, Some(response.status), Some(headers())),
        Err(_) => Error::http(response.status, headers(), payload),
    }
}

/// A query parameter's value: required ones are always sent, optional ones where they are set.
trait QueryValue {
    fn value(&self) -> Option<String>;
}

impl QueryValue for String {
    fn value(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl QueryValue for bool {
    fn value(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl<T: fmt::Display> QueryValue for Option<T> {
    fn value(&self) -> Option<String> {
        self.as_ref().map(ToString::to_string)
    }
}
