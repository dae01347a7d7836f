//! Connecting: credentials, endpoint, and the SDK's clients.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use google_cloud_auth::credentials::{
    CacheableResource, Credentials, CredentialsProvider, EntityTag, anonymous, impersonated,
};
use google_cloud_auth::errors::CredentialsError;
use google_cloud_compute_v1::client;
use google_cloud_gax::retry_policy::NeverRetry;
use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use super::inventory::HttpSweep;
use super::{Clients, Gce, REQUEST_TIMEOUT};
use crate::guest_files::GuestFiles;

/// What the tokens that we ask for may be used for; roles narrow it.
const SCOPES: &[&str] = &["https://www.googleapis.com/auth/cloud-platform"];
/// Where Compute Engine is.
const PUBLIC_ENDPOINT: &str = "https://compute.googleapis.com";
/// Names the project whose quota a request counts against.
const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// How to reach Compute Engine.
#[derive(Clone, Debug, Default)]
pub struct GceSettings {
    /// Another endpoint than the public one. Plain `http` is allowed for this machine alone, and then no credentials
    /// are looked for or sent: that is a simulated cloud.
    pub endpoint: Option<String>,
    /// The service account to act as; our own identity must be allowed to.
    pub impersonate: Option<String>,
    /// The project whose request quota is used, where it is not the identity's own.
    pub quota_project: Option<String>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The endpoint is not usable.
    #[error("endpoint {endpoint}: {why}")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// No identity was found.
    #[error("no Google Cloud credentials: {0}")]
    Credentials(#[from] gcp_auth::Error),
    /// The account to act as cannot be used.
    #[error("cannot act as {account}: {why}")]
    Impersonation {
        /// As it was given.
        account: String,
        /// What is wrong with it.
        why: String,
    },
    /// The quota project is no header value.
    #[error("the quota project {0:?} cannot be sent in a header")]
    QuotaProject(String),
    /// The SDK could not build a client.
    #[error("cannot build a Compute Engine client: {0}")]
    Client(#[from] google_cloud_gax::client_builder::Error),
    /// The HTTP client of the inventory could not be built.
    #[error("cannot build an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
}

/// Makes ring the process's provider of cryptography. Kubernetes' client and the cloud's would otherwise each bring
/// their own notion, and the first TLS connection would fail. To be called once, early; again does no harm.
pub fn install_crypto() {
    // An error says that there is a provider already, which is all that is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Gce {
    /// Connects, with application default credentials, the metadata server's or workload identity's, whichever there
    /// is. Nothing is asked of Compute Engine yet.
    pub async fn connect(settings: GceSettings) -> Result<Self, ConnectError> {
        install_crypto();
        let endpoint = settings.endpoint.as_deref().unwrap_or(PUBLIC_ENDPOINT).trim_end_matches('/').to_owned();
        let credentials = match trust(&endpoint)? {
            Trust::ThisMachine => anonymous::Builder::new().build(),
            Trust::Encrypted => credentials(&settings).await?,
        };
        let sweep = HttpSweep::new(endpoint.clone(), credentials.clone())?;
        let clients = clients(settings.endpoint.map(|_| endpoint).as_deref(), &credentials).await?;
        Ok(Self::from_parts(clients, Arc::new(sweep), GuestFiles::built_in()))
    }
}

/// Why we may talk to an endpoint.
#[derive(Debug, PartialEq, Eq)]
enum Trust {
    /// It is on this machine, and gets no credentials.
    ThisMachine,
    /// TLS says who it is, and keeps our token from others.
    Encrypted,
}

fn trust(endpoint: &str) -> Result<Trust, ConnectError> {
    let refuse = |why: String| ConnectError::Endpoint { endpoint: endpoint.to_owned(), why };
    let uri: http::Uri = endpoint.parse().map_err(|why: http::uri::InvalidUri| refuse(why.to_string()))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(Trust::Encrypted),
        Some("http") if local => Ok(Trust::ThisMachine),
        Some("http") => {
            Err(refuse("plain http would show the controller's token to the network: use https".to_owned()))
        }
        Some(_) | None => Err(refuse("it must begin with https:// (or http:// for this machine)".to_owned())),
    }
}

async fn credentials(settings: &GceSettings) -> Result<Credentials, ConnectError> {
    let source = gcp_auth::provider().await?;
    let quota_project = match &settings.quota_project {
        Some(project) => {
            let value = HeaderValue::from_str(project);
            Some(value.map_err(|_| ConnectError::QuotaProject(project.clone()))?)
        }
        None => None,
    };
    let Some(account) = &settings.impersonate else {
        return Ok(OurCredentials::new(source, quota_project).into());
    };
    // The quota project goes with the requests to Compute Engine, not with the one for the other account's token.
    let own: Credentials = OurCredentials::new(source, None).into();
    let acting = impersonated::Builder::from_source_credentials(own)
        .with_target_principal(account)
        .with_scopes(SCOPES.iter().copied());
    let acting = match &settings.quota_project {
        Some(project) => acting.with_quota_project_id(project),
        None => acting,
    };
    acting.build().map_err(|why| ConnectError::Impersonation { account: account.clone(), why: why.to_string() })
}

/// `gcp_auth`'s tokens as the SDK's credentials: `gcp_auth` finds more kinds of identity by itself, and caches tokens.
struct OurCredentials {
    source: Arc<dyn gcp_auth::TokenProvider>,
    quota_project: Option<HeaderValue>,
    /// The tag under which the latest token's headers were handed out.
    latest: Mutex<(HeaderValue, EntityTag)>,
}

impl OurCredentials {
    fn new(source: Arc<dyn gcp_auth::TokenProvider>, quota_project: Option<HeaderValue>) -> Self {
        Self { source, quota_project, latest: Mutex::new((HeaderValue::from_static(""), EntityTag::new())) }
    }

    /// The tag of these headers: a new one whenever the token is a new one.
    fn tag(&self, authorization: &HeaderValue) -> EntityTag {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.0 != *authorization {
            *latest = (authorization.clone(), EntityTag::new());
        }
        latest.1.clone()
    }
}

/// Says nothing: the SDK logs its credentials.
impl fmt::Debug for OurCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OurCredentials").finish_non_exhaustive()
    }
}

impl CredentialsProvider for OurCredentials {
    async fn headers(&self, extensions: Extensions) -> Result<CacheableResource<HeaderMap>, CredentialsError> {
        let token = self.source.token(SCOPES).await.map_err(|why| {
            // A token server that did not answer well may do so later; credentials that cannot be read stay so.
            let transient = !matches!(why, gcp_auth::Error::Json(..));
            CredentialsError::new(transient, "no access token", why)
        })?;
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", token.as_str()))
            .map_err(|why| CredentialsError::new(false, "the access token is no header value", why))?;
        authorization.set_sensitive(true);
        let entity_tag = self.tag(&authorization);
        if extensions.get::<EntityTag>() == Some(&entity_tag) {
            return Ok(CacheableResource::NotModified);
        }
        let mut data = HeaderMap::new();
        data.insert(AUTHORIZATION, authorization);
        if let Some(project) = &self.quota_project {
            data.insert(QUOTA_PROJECT, project.clone());
        }
        Ok(CacheableResource::New { entity_tag, data })
    }

    async fn universe_domain(&self) -> Option<String> {
        None
    }
}

/// Builds the SDK's clients. Without a retry policy there is no time limit either, so the attempt gets one.
async fn clients(endpoint: Option<&str>, credentials: &Credentials) -> Result<Clients, ConnectError> {
    macro_rules! build {
        ($client:ident) => {{
            let builder = client::$client::builder()
                .with_credentials(credentials.clone())
                .with_retry_policy(NeverRetry)
                .with_attempt_timeout(REQUEST_TIMEOUT);
            let builder = match endpoint {
                Some(endpoint) => builder.with_endpoint(endpoint),
                None => builder,
            };
            builder.build().await?
        }};
    }
    Ok(Clients {
        instances: build!(Instances),
        disks: build!(Disks),
        images: build!(Images),
        snapshots: build!(Snapshots),
        zone_operations: build!(ZoneOperations),
        region_operations: build!(RegionOperations),
        global_operations: build!(GlobalOperations),
        machine_types: build!(MachineTypes),
        accelerator_types: build!(AcceleratorTypes),
        regions: build!(Regions),
        projects: build!(Projects),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_never_goes_over_plain_http() {
        assert!(matches!(trust("https://compute.googleapis.com"), Ok(Trust::Encrypted)));
        for local in ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:9", "http://127.8.8.8"] {
            assert!(matches!(trust(local), Ok(Trust::ThisMachine)), "{local}");
        }
        for foreign in ["http://10.0.0.1", "http://localhost.example.org", "compute.googleapis.com", "ftp://127.0.0.1"]
        {
            assert!(matches!(trust(foreign), Err(ConnectError::Endpoint { .. })), "{foreign}");
        }
    }

    #[tokio::test]
    async fn a_simulated_cloud_needs_no_credentials() {
        let endpoint = Some("http://127.0.0.1:9/".to_owned());
        assert!(Gce::connect(GceSettings { endpoint, ..GceSettings::default() }).await.is_ok());
    }
}
