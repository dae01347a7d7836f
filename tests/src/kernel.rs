//! A person at a notebook: kernels started over Jupyter's REST API, and code run in them over their websocket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const ANSWERED_WITHIN: Duration = Duration::from_mins(1);
/// How many sockets this process has opened: a kernel tells all of them everything, and each listens for its own.
static SOCKETS: AtomicU64 = AtomicU64::new(0);

/// Why something could not be done in a notebook.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Jupyter did not answer.
    #[error("Jupyter: {0}")]
    Http(#[from] reqwest::Error),
    /// Jupyter answered something else than what was asked for.
    #[error("Jupyter answered {0}")]
    Refused(String),
    /// The websocket of a kernel broke.
    #[error("the kernel's websocket: {0}")]
    Socket(#[from] Box<tungstenite::Error>),
    /// The code raised an error.
    #[error("the code raised {0}")]
    Raised(String),
    /// The kernel, or its socket, went while it was waited for.
    #[error("the kernel {0}")]
    Gone(&'static str),
}

impl From<tungstenite::Error> for KernelError {
    fn from(error: tungstenite::Error) -> Self {
        Self::Socket(Box::new(error))
    }
}

/// A Jupyter server as a person with a token uses it.
#[derive(Clone, Debug)]
pub struct Jupyter {
    /// Without a scheme, as `127.0.0.1:8888`, and with the server's base path behind it, if there is one.
    place: String,
    authorization: Option<String>,
    client: reqwest::Client,
}

impl Jupyter {
    /// A server at `place`, as `127.0.0.1:8888`, with a base path behind it if the server has one.
    pub fn new(place: &str, token: Option<&str>) -> Result<Self, KernelError> {
        rehost::gce::install_crypto();
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWERED_WITHIN).build()?;
        let authorization = token.map(|token| format!("token {token}"));
        Ok(Self { place: place.trim_end_matches('/').to_owned(), authorization, client })
    }

    /// What it answers to `GET /api`, which needs no token.
    pub async fn version(&self) -> Result<String, KernelError> {
        let answer = self.ask(self.client.get(self.url("/api"))).await?;
        answer["version"].as_str().map(str::to_owned).ok_or_else(|| KernelError::Refused(answer.to_string()))
    }

    /// Starts a Python kernel.
    pub async fn start_kernel(&self) -> Result<Kernel, KernelError> {
        let request = self.client.post(self.url("/api/kernels")).json(&json!({"name": "python3"}));
        let answer = self.ask(request).await?;
        let id = answer["id"].as_str().ok_or_else(|| KernelError::Refused(answer.to_string()))?;
        self.kernel(id).await
    }

    /// Connects to a kernel that runs.
    pub async fn kernel(&self, id: &str) -> Result<Kernel, KernelError> {
        let mut request = format!("ws://{}/api/kernels/{id}/channels", self.place).into_client_request()?;
        if let Some(authorization) = &self.authorization {
            let value =
                HeaderValue::from_str(authorization).map_err(|error| KernelError::Refused(error.to_string()))?;
            request.headers_mut().insert("Authorization", value);
        }
        let (socket, _) = connect_async(request).await?;
        let session = format!("{}-{}", std::process::id(), SOCKETS.fetch_add(1, Ordering::Relaxed));
        Ok(Kernel { id: id.to_owned(), session, sent: 0, socket })
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.place)
    }

    async fn ask(&self, mut request: reqwest::RequestBuilder) -> Result<Value, KernelError> {
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        let answer = request.send().await?;
        let status = answer.status();
        if status.is_success() { Ok(answer.json().await?) } else { Err(KernelError::Refused(status.to_string())) }
    }
}

/// A kernel, by the socket of one person.
#[derive(Debug)]
pub struct Kernel {
    id: String,
    session: String,
    sent: u64,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Kernel {
    /// Jupyter's name for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Runs code, and returns what it printed and its last value, as a notebook shows them.
    pub async fn execute(&mut self, code: &str) -> Result<String, KernelError> {
        tokio::time::timeout(ANSWERED_WITHIN, self.execute_unbounded(code))
            .await
            .unwrap_or(Err(KernelError::Gone("did not answer in time")))
    }

    async fn execute_unbounded(&mut self, code: &str) -> Result<String, KernelError> {
        self.sent += 1;
        let id = format!("{}-{}", self.session, self.sent);
        let request = json!({
            "channel": "shell",
            "header": {
                "msg_id": id, "msg_type": "execute_request", "session": self.session, "username": "person",
                "version": "5.3", "date": "",
            },
            "parent_header": {},
            "metadata": {},
            "buffers": [],
            "content": {
                "code": code, "silent": false, "store_history": false, "user_expressions": {}, "allow_stdin": false,
                "stop_on_error": true,
            },
        });
        self.socket.send(Message::text(request.to_string())).await?;
        let mut outcome = Outcome::default();
        while let Some(message) = self.socket.next().await {
            // Frames without text belong to the protocol below.
            let Message::Text(text) = message? else { continue };
            let message: Value = serde_json::from_str(&text).unwrap_or_default();
            if message["parent_header"]["msg_id"] == id && outcome.take(&message) {
                return outcome.end();
            }
        }
        Err(KernelError::Gone("closed its socket"))
    }
}

/// What is known of a request: a kernel answers on two channels, which are not ordered with each other.
#[derive(Debug, Default)]
struct Outcome {
    output: String,
    raised: Option<String>,
    replied: bool,
    idle: bool,
}

impl Outcome {
    /// Takes one message; says whether it was the last.
    fn take(&mut self, message: &Value) -> bool {
        let content = &message["content"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match message["msg_type"].as_str() {
            Some("stream") => self.output += &text(&content["text"]),
            Some("execute_result") => self.output += &text(&content["data"]["text/plain"]),
            Some("error") => self.raised = Some(format!("{}: {}", text(&content["ename"]), text(&content["evalue"]))),
            Some("execute_reply") => self.replied = true,
            Some("status") => self.idle |= content["execution_state"] == "idle",
            _ => {}
        }
        self.replied && self.idle
    }

    fn end(self) -> Result<String, KernelError> {
        match self.raised {
            Some(error) => Err(KernelError::Raised(error)),
            None => Ok(self.output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: &str, content: Value) -> Value {
        json!({"msg_type": kind, "content": content})
    }

    #[test]
    fn an_outcome_is_whole_when_both_channels_have_ended() {
        let mut outcome = Outcome::default();
        assert!(!outcome.take(&said("execute_reply", json!({"status": "ok"}))), "output may still come");
        assert!(!outcome.take(&said("stream", json!({"name": "stdout", "text": "one\n"}))));
        assert!(!outcome.take(&said("execute_result", json!({"data": {"text/plain": "2"}}))));
        assert!(outcome.take(&said("status", json!({"execution_state": "idle"}))));
        assert_eq!(outcome.end().expect("nothing was raised"), "one\n2");
    }

    #[test]
    fn an_error_is_named_as_python_names_it() {
        let mut outcome = Outcome::default();
        outcome.take(&said("error", json!({"ename": "NameError", "evalue": "name 'x' is not defined"})));
        let error = outcome.end().expect_err("it was raised");
        assert_eq!(error.to_string(), "the code raised NameError: name 'x' is not defined");
    }
}
