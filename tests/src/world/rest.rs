//! The world over HTTP: what gcloud, the SDK and the inventory speak.
//!
//! # Guarantees
//! - Only loopback addresses are served: the world knows no credentials, and takes any.
//! - Answers are given in one order, which is also the log's.
//! - The world moves by itself: operations end when their time has come, also while nobody asks.
//!
//! # Simplified
//! Bearer tokens are not looked at. Answers are not compressed. `fields` and every other query parameter are the
//! core's. A [`NO_ANSWER_STATUS`](super::NO_ANSWER_STATUS) of the core goes out as that status.

mod batch;
mod shared;

pub use shared::{SharedWorld, WorldClock};

use super::exchange::method_named;
use super::{Request, Response};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use bytes::Bytes;
use serde_json::{Value, json};
use std::future::{Future, IntoFuture as _};
use std::io;
use thiserror::Error;
use tokio::net::TcpListener;

/// More than any request that a client of ours sends (instance metadata is at most 512 KB).
const BODY_BYTES_MAX: usize = 4 << 20;

/// Why the world could not be served.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The listener is open to other machines.
    #[error("the world listens on loopback addresses only, not on {0}")]
    NotLoopback(std::net::SocketAddr),
    /// The socket failed.
    #[error("the listener failed: {0}")]
    Io(#[from] io::Error),
}

/// Serves the world until `shutdown` resolves, and drives it meanwhile. Requests under way are answered first; those
/// that wait for an operation answer with it as it is then.
pub async fn serve(
    listener: TcpListener,
    world: SharedWorld,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(ServeError::NotLoopback(address));
    }
    let router = Router::new().fallback(answer).with_state(world.clone());
    let closing = world.clone();
    let stop = async move {
        shutdown.await;
        closing.close();
    };
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
    tokio::select! {
        served = serving.into_future() => Ok(served?),
        never = world.drive() => match never {},
    }
}

async fn answer(State(world): State<SharedWorld>, request: axum::extract::Request) -> axum::response::Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        return http_answer(&error(413, "uploadTooLarge", "Request Entity Too Large"));
    };
    if parts.uri.path() == "/batch/compute/v1" {
        return batch::answer(&world, &parts.headers, &body).await;
    }
    http_answer(&call(&world, parts.method.as_str(), &parts.uri, &body).await)
}

/// One request as it came over the wire, alone or as a part of a batch.
async fn call(world: &SharedWorld, method: &str, uri: &Uri, body: &Bytes) -> Response {
    let Some(method) = method_named(method) else {
        return error(405, "httpMethodNotAllowed", "HTTP Method Not Allowed");
    };
    let Some(path) = uri.path().strip_prefix("/compute/v1/").and_then(decode) else {
        return error(404, "notFound", "Not Found");
    };
    let Ok(Query(query)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return error(400, "badRequest", "Bad Request");
    };
    let body = match body.trim_ascii() {
        [] => None,
        text => match serde_json::from_slice::<Value>(text) {
            Ok(value) => Some(value),
            Err(_) => return error(400, "parseError", "Parse Error"),
        },
    };
    world.answer(&Request { method, path, query, body }).await
}

/// Undoes percent-encoding; none where it is not UTF-8 or cut short.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn error(status: u16, reason: &str, message: &str) -> Response {
    let errors = json!([{"domain": "global", "reason": reason, "message": message}]);
    Response { status, body: json!({"error": {"code": status, "message": message, "errors": errors}}) }
}

fn http_answer(response: &Response) -> axum::response::Response {
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json; charset=UTF-8"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("private"));
    let mut answer = axum::response::Response::new(Body::from(response.body.to_string()));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded() {
        assert_eq!(decode("projects/p/zones/z%2Da").as_deref(), Some("projects/p/zones/z-a"));
        assert_eq!(decode("cut%2"), None);
        assert_eq!(decode("%ff"), None);
    }
}
