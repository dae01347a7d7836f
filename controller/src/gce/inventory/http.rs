//! The lists' own way to Compute Engine, beside the SDK's.

use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use http::{Extensions, HeaderMap};

use super::Sweep;
use crate::gce::REQUEST_TIMEOUT;
use crate::gce::errors::{Cause, GceError};

/// The longest answer that is read: a page of 500 slim objects is well under one.
const BODY_BYTES_MAX: usize = 32 << 20;
/// What we call ourselves.
const USER_AGENT: &str = concat!("rehost/", env!("CARGO_PKG_VERSION"));

/// [`Sweep`] over HTTP, with the same endpoint and credentials as the SDK's clients.
#[derive(Clone, Debug)]
pub struct HttpSweep {
    client: reqwest::Client,
    endpoint: String,
    credentials: Credentials,
}

impl HttpSweep {
    /// A sweep of the API at `endpoint` (without a slash at its end).
    pub fn new(endpoint: String, credentials: Credentials) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .timeout(REQUEST_TIMEOUT)
            // A token is for this endpoint, and not for wherever it sends us.
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, endpoint, credentials })
    }

    async fn headers(&self) -> Result<HeaderMap, GceError> {
        match self.credentials.headers(Extensions::new()).await {
            Ok(CacheableResource::New { data, .. }) => Ok(data),
            Ok(CacheableResource::NotModified) => Ok(HeaderMap::new()),
            Err(why) => {
                let cause = if why.is_transient() { Cause::Server } else { Cause::Unauthenticated };
                Err(GceError::new(cause, why.to_string()))
            }
        }
    }

    async fn fetch(&self, url: String, query: Vec<(String, String)>) -> Result<Bytes, GceError> {
        let no_answer = |why: reqwest::Error| {
            // The address carries the whole query, which says nothing to people.
            GceError::new(Cause::EffectUnknown, format!("no answer from Compute Engine: {}", why.without_url()))
        };
        let request = self.client.get(url).headers(self.headers().await?).query(&query);
        let mut response = request.send().await.map_err(no_answer)?;
        let status = response.status();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(GceError::unreadable("a list", format!("it is longer than {BODY_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() { Ok(body.freeze()) } else { Err(GceError::from_body(status.as_u16(), &body)) }
    }
}

impl Sweep for HttpSweep {
    fn get(&self, path: &str, query: Vec<(String, String)>) -> BoxFuture<'_, Result<Bytes, GceError>> {
        self.fetch(format!("{}{path}", self.endpoint), query).boxed()
    }
}
