//! The status ports of pods: where the controller reads what a host says of itself that has no guest attributes.
//!
//! A report is asked for with a token that derives from the operator's key; the host knows only its hash. What is answered is no
//! more than the word of a host: it is read within bounds, and affects only the notebook whose pod was asked.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use rehost_api::guest::{GuestReport, STATUS_PORT};

use crate::seen::Seen;

/// The longest report that is read: 16 buckets and a sentence for each take a few thousand bytes.
const BODY_BYTES_MAX: usize = 64 << 10;
/// A pod that has not answered by then is not heard in this look.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A pod that is gone may not even refuse a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// An answer over HTTP.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status code.
    pub code: u16,
    /// Its body.
    pub body: Bytes,
}

/// The way to the pods' ports.
pub trait StatusPorts: Send + Sync {
    /// Sends `GET /report` with this bearer token. A sentence where there is no answer.
    fn ask(&self, port: SocketAddr, token: String) -> BoxFuture<'_, Result<Answer, String>>;
}

/// [`StatusPorts`] of pods that the controller can reach by their addresses.
#[derive(Clone, Debug)]
pub struct HttpStatusPorts(reqwest::Client);

impl HttpStatusPorts {
    /// The way through the network that this process is in: never through a proxy, which is for what is outside.
    pub fn new() -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            // Pods are asked rarely, and there are many.
            .pool_max_idle_per_host(0)
            // A token is for this pod, and not for wherever it sends us.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self(client))
    }

    async fn get(&self, port: SocketAddr, token: String) -> Result<Answer, String> {
        let no_answer = |why: reqwest::Error| format!("{port} does not answer: {}", why.without_url());
        let mut answer =
            self.0.get(format!("http://{port}/report")).bearer_auth(token).send().await.map_err(no_answer)?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(format!("the answer of {port} is longer than {BODY_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { code: answer.status().as_u16(), body: body.freeze() })
    }
}

impl StatusPorts for HttpStatusPorts {
    fn ask(&self, port: SocketAddr, token: String) -> BoxFuture<'_, Result<Answer, String>> {
        self.get(port, token).boxed()
    }
}

/// No way to any pod: for a cluster whose pods are only imagined.
#[derive(Clone, Copy, Debug)]
pub struct NoStatusPorts;

impl StatusPorts for NoStatusPorts {
    fn ask(&self, port: SocketAddr, _: String) -> BoxFuture<'_, Result<Answer, String>> {
        async move { Err(format!("there is no way to {port}")) }.boxed()
    }
}

/// The last report of the pod at this address; absent while it has none. Each token is shown in its turn, until one is known.
pub(crate) async fn report(ports: &dyn StatusPorts, address: IpAddr, tokens: Vec<String>) -> Seen<GuestReport> {
    let port = SocketAddr::new(address, STATUS_PORT);
    let mut why = "there is no access key to ask pods with".to_owned();
    for token in tokens {
        match ports.ask(port, token).await {
            Ok(Answer { code: 200, body }) => {
                return serde_json::from_slice(&body).map_or_else(
                    |error| Seen::Unknown(format!("the report of {port} is unreadable: {error}")),
                    Seen::Present,
                );
            }
            Ok(Answer { code: 404, .. }) => return Seen::Absent,
            Ok(Answer { code, .. }) => why = format!("{port} answered with {code}"),
            Err(words) => return Seen::Unknown(words),
        }
    }
    Seen::Unknown(why)
}

#[cfg(test)]
mod tests;
