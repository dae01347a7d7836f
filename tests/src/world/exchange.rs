//! One request and its answer, as the logs keep it.

use super::{Method, Request, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// One request and its answer: a line of the world's log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The world's time.
    pub time: Timestamp,
    /// For example `POST`.
    pub method: String,
    /// After `/compute/v1/`.
    pub path: String,
    /// The query, in its order.
    pub query: Vec<(String, String)>,
    /// The body, where there was one.
    pub request: Option<Value>,
    /// The HTTP status.
    pub status: u16,
    /// The answer.
    pub response: Value,
}

impl Exchange {
    /// Puts the two together.
    pub fn new(time: Timestamp, request: &Request, response: &Response) -> Self {
        Self {
            time,
            method: method_name(request.method).to_owned(),
            path: request.path.clone(),
            query: request.query.clone(),
            request: request.body.clone(),
            status: response.status,
            response: response.body.clone(),
        }
    }
}

/// The method's name on the wire.
pub fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
        Method::Delete => "DELETE",
    }
}

/// The method of a name on the wire.
pub fn method_named(name: &str) -> Option<Method> {
    [Method::Get, Method::Post, Method::Put, Method::Patch, Method::Delete]
        .into_iter()
        .find(|method| method_name(*method) == name)
}

/// Who sees every exchange, in the order in which the world answered.
pub type Observer = Arc<dyn Fn(&Exchange) + Send + Sync>;

/// An observer that appends one JSON line an exchange to a file.
pub fn log_file(path: &Path) -> io::Result<Observer> {
    let file: Mutex<File> = Mutex::new(OpenOptions::new().create(true).append(true).open(path)?);
    Ok(Arc::new(move |exchange: &Exchange| {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        // A log that cannot be written must not change what the world answers; it says so and goes on.
        let written = serde_json::to_string(exchange).map_err(io::Error::other);
        if let Err(error) = written.and_then(|line| writeln!(file, "{line}")) {
            tracing::warn!(%error, "the log could not be written");
        }
    }))
}
