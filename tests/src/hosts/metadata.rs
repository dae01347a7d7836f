//! The metadata server of one machine, as far as its guest, Google's script runner and google-auth ask it.
//!
//! Attributes can change, and requests wait for a change; guest attributes are taken where the instance allows them;
//! there are access and identity tokens of the service account. What is simplified: an identity token's signature is
//! nobody's, and a recursive answer has no text form.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rehost::clock::{Clock as _, SystemClock};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::HostsError;

const WAIT_S_MAX: u64 = 300;
const TOKEN_LIVES_S: u32 = 3599;

/// Told what a guest publishes: namespace, key, value.
pub type Publication = Arc<dyn Fn(&str, &str, &str) + Send + Sync>;

/// The metadata of one machine. Clones are the same metadata.
#[derive(Clone)]
pub struct Metadata {
    tree: Arc<watch::Sender<Value>>,
    guest_attributes: Arc<Mutex<BTreeMap<String, String>>>,
    publication: Arc<OnceLock<Publication>>,
    runtime: Handle,
}

impl Metadata {
    /// The metadata of the machine `name` in `project`, with `attributes`; a service account, if it has one, with the
    /// token that it is given. Answers are served on `runtime`.
    pub fn new(
        runtime: Handle,
        project: &str,
        name: &str,
        attributes: &BTreeMap<String, String>,
        account: Option<(&str, &str)>,
    ) -> Self {
        let accounts = account.map_or(json!({}), |(email, token)| {
            let token = json!({"access_token": token, "expires_in": TOKEN_LIVES_S, "token_type": "Bearer"});
            let account = json!({
                "aliases": "default", "email": email, "scopes": "https://www.googleapis.com/auth/cloud-platform\n",
                "token": token,
            });
            json!({"default": account, email: account})
        });
        let tree = json!({
            "instance": {"name": name, "hostname": name, "attributes": attributes, "service-accounts": accounts},
            "project": {"project-id": project, "attributes": {}},
        });
        Self {
            tree: Arc::new(watch::Sender::new(tree)),
            guest_attributes: Arc::default(),
            publication: Arc::default(),
            runtime,
        }
    }

    /// Tells `told` whatever the guest publishes from now on. The first to ask is told.
    pub fn on_publication(&self, told: Publication) {
        let _first = self.publication.set(told);
    }

    /// Shows these attributes, and no others.
    pub fn show(&self, attributes: &BTreeMap<String, String>) {
        self.tree.send_modify(|tree| tree["instance"]["attributes"] = json!(attributes));
    }

    /// Sets an attribute. Whoever waits for it hears of it at once.
    pub fn set(&self, key: &str, value: &str) {
        self.tree.send_modify(|tree| tree["instance"]["attributes"][key] = json!(value));
    }

    /// What the guest has published under `namespace/key`.
    pub fn guest_attribute(&self, namespace: &str, key: &str) -> Option<String> {
        let known = self.guest_attributes.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&format!("{namespace}/{key}")).cloned()
    }

    /// Serves it, for as long as the runtime is there.
    pub(super) fn serve(&self, listener: TcpListener) -> Result<(), HostsError> {
        let failed = || HostsError::io("the metadata server");
        listener.set_nonblocking(true).map_err(failed())?;
        let _inside = self.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener).map_err(failed())?;
        let router = Router::new().fallback(answer).with_state(self.clone());
        self.runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(())
    }
}

async fn answer(
    State(metadata): State<Metadata>,
    method: Method,
    uri: Uri,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let parts: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return said(StatusCode::OK, "computeMetadata/\n");
    }
    let ours = headers.get("metadata-flavor").is_some_and(|flavor| flavor == "Google");
    if !ours || headers.contains_key("x-forwarded-for") {
        return said(StatusCode::FORBIDDEN, "Missing Metadata-Flavor:Google header.\n");
    }
    let Some(path) = parts.strip_prefix(&["computeMetadata", "v1"]) else {
        return said(StatusCode::NOT_FOUND, "");
    };
    match (&method, path) {
        (&Method::PUT, ["instance", "guest-attributes", namespace, key]) => metadata.put(namespace, key, &body),
        (&Method::GET, ["instance", "guest-attributes", namespace, key]) => {
            metadata.guest_attribute(namespace, key).map_or_else(not_found, |value| said(StatusCode::OK, value))
        }
        (&Method::GET, ["instance", "service-accounts", account, "identity"]) => metadata.identity(account, &query),
        (&Method::GET, path) => metadata.get(path, &query, uri.path().ends_with('/')).await,
        _ => said(StatusCode::METHOD_NOT_ALLOWED, ""),
    }
}

impl Metadata {
    fn put(&self, namespace: &str, key: &str, body: &Bytes) -> Response {
        let allowed = self.tree.borrow()["instance"]["attributes"]["enable-guest-attributes"]
            .as_str()
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        if !allowed {
            return said(StatusCode::FORBIDDEN, "Guest attributes endpoint access is disabled.");
        }
        let value = String::from_utf8_lossy(body).into_owned();
        if let Some(told) = self.publication.get() {
            told(namespace, key, &value);
        }
        let mut known = self.guest_attributes.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(format!("{namespace}/{key}"), value);
        said(StatusCode::OK, "")
    }

    /// An identity token, as <https://cloud.google.com/compute/docs/instances/verifying-instance-identity> has it.
    fn identity(&self, account: &str, query: &BTreeMap<String, String>) -> Response {
        let tree = self.tree.borrow();
        let Some(email) = tree["instance"]["service-accounts"][account]["email"].as_str() else { return not_found() };
        let Some(audience) = query.get("audience") else {
            return said(StatusCode::BAD_REQUEST, "non-empty audience parameter required");
        };
        let now_s = SystemClock::new().now().as_second();
        let mut claims = json!({
            "aud": audience, "azp": "1", "sub": "1", "email": email, "email_verified": true,
            "iss": "https://accounts.google.com", "iat": now_s, "exp": now_s + i64::from(TOKEN_LIVES_S),
        });
        if query.get("format").is_some_and(|format| format == "full") {
            let (project, name) = (&tree["project"]["project-id"], &tree["instance"]["name"]);
            claims["google"] = json!({"compute_engine": {"project_id": project, "instance_name": name}});
        }
        let header = json!({"alg": "RS256", "kid": "nobodys", "typ": "JWT"});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        said(StatusCode::OK, format!("{}.{}.{}", part(&header), part(&claims), URL_SAFE_NO_PAD.encode([0; 256])))
    }

    async fn get(&self, path: &[&str], query: &BTreeMap<String, String>, as_folder: bool) -> Response {
        let mut changes = self.tree.subscribe();
        if query.get("wait_for_change").is_some_and(|wait| wait == "true") {
            let first = found(&changes.borrow(), path).map(|value| etag(&value));
            let known = query.get("last_etag").cloned().or(first);
            let wait_s = query.get("timeout_sec").and_then(|text| text.parse().ok()).unwrap_or(WAIT_S_MAX);
            let news = changes.wait_for(|tree| found(tree, path).is_none_or(|value| Some(etag(&value)) != known));
            // When the time is over, the value is answered as it is.
            let _ = tokio::time::timeout(Duration::from_secs(wait_s.min(WAIT_S_MAX)), news).await;
        }
        let value = found(&self.tree.borrow(), path);
        let Some(value) = value else { return not_found() };
        let tag = etag(&value);
        let recursive = query.get("recursive").is_some_and(|recursive| recursive == "true");
        let (kind, text) = match &value {
            Value::Object(inner) if !recursive && as_folder => ("application/text", listing(inner)),
            Value::Object(_) => ("application/json", camel_case(&value, path.contains(&"attributes")).to_string()),
            Value::String(text) => ("application/text", text.clone()),
            other => ("application/text", other.to_string()),
        };
        (StatusCode::OK, [(header::CONTENT_TYPE, kind), (header::ETAG, &tag), flavor()], text).into_response()
    }
}

fn found(tree: &Value, path: &[&str]) -> Option<Value> {
    path.iter().try_fold(tree, |inner, key| inner.get(key)).cloned()
}

fn etag(value: &Value) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(value.to_string()).iter().take(8) {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn listing(folder: &Map<String, Value>) -> String {
    let lines = folder.iter().map(|(key, value)| key.clone() + if value.is_object() { "/\n" } else { "\n" });
    lines.collect()
}

/// Paths are in kebab-case, keys of a recursive answer in camelCase; those of attributes are people's own.
fn camel_case(value: &Value, as_it_is: bool) -> Value {
    let Value::Object(inner) = value else { return value.clone() };
    let renamed = inner.iter().map(|(key, value)| {
        let name = if as_it_is { key.clone() } else { renamed(key) };
        (name, camel_case(value, as_it_is || key == "attributes"))
    });
    Value::Object(renamed.collect())
}

fn renamed(key: &str) -> String {
    let mut words = key.split('-');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| {
        let (head, tail) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        name + &head.to_uppercase() + tail
    })
}

fn flavor() -> (header::HeaderName, &'static str) {
    (header::HeaderName::from_static("metadata-flavor"), "Google")
}

fn said(code: StatusCode, text: impl Into<String>) -> Response {
    (code, [flavor()], text.into()).into_response()
}

fn not_found() -> Response {
    said(StatusCode::NOT_FOUND, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve() -> (Metadata, String) {
        let attributes = BTreeMap::from([("rehost-settings".to_owned(), "one".to_owned())]);
        let account = Some(("nb@p.iam.gserviceaccount.com", "a-token"));
        let metadata = Metadata::new(Handle::current(), "p", "nb-1", &attributes, account);
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = format!("http://{}/computeMetadata/v1", listener.local_addr().expect("an address"));
        metadata.serve(listener).expect("it serves");
        (metadata, address)
    }

    // The client wants a provider of cryptography, though nothing here is encrypted.
    async fn ask(method: Method, address: &str, flavor: &str) -> (u16, String, String) {
        rehost::gce::install_crypto();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let request = client.request(method, address).header("Metadata-Flavor", flavor).body("said");
        let answer = request.send().await.expect("an answer");
        let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok()).unwrap_or_default().to_owned();
        (answer.status().as_u16(), answer.text().await.expect("a text"), tag)
    }

    #[tokio::test]
    async fn it_answers_only_those_who_mean_it() {
        let (_metadata, address) = serve();
        let settings = format!("{address}/instance/attributes/rehost-settings");
        assert_eq!(ask(Method::GET, &settings, "None").await.0, 403);
        assert_eq!(ask(Method::GET, &settings, "Google").await.1, "one");
        assert_eq!(ask(Method::GET, &format!("{settings}-none"), "Google").await.0, 404);
        let accounts = ask(Method::GET, &format!("{address}/instance/?recursive=true"), "Google").await.1;
        assert!(accounts.contains("\"serviceAccounts\"") && accounts.contains("\"rehost-settings\""), "{accounts}");
        let token = ask(Method::GET, &format!("{address}/instance/service-accounts/default/token"), "Google").await.1;
        assert!(token.contains("\"access_token\":\"a-token\""), "{token}");
        let list = ask(Method::GET, &format!("{address}/instance/service-accounts/"), "Google").await.1;
        assert_eq!(list, "default/\nnb@p.iam.gserviceaccount.com/\n");
        let identity = format!("{address}/instance/service-accounts/default/identity");
        assert_eq!(ask(Method::GET, &identity, "Google").await.0, 400, "for whom?");
        let token = ask(Method::GET, &format!("{identity}?audience=https://a.example&format=full"), "Google").await.1;
        let claims = token.split('.').nth(1).expect("three parts");
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64")).expect("JSON");
        assert_eq!(
            (&claims["aud"], &claims["email"]),
            (&json!("https://a.example"), &json!("nb@p.iam.gserviceaccount.com"))
        );
        assert_eq!(claims["google"]["compute_engine"]["instance_name"], "nb-1");
    }

    #[tokio::test]
    async fn a_waiting_request_hears_of_a_change_and_of_its_time() {
        let (metadata, address) = serve();
        let settings = format!("{address}/instance/attributes/rehost-settings");
        let tag = ask(Method::GET, &settings, "Google").await.2;
        let waits = format!("{settings}?wait_for_change=true&last_etag={tag}&timeout_sec=1");
        assert_eq!(ask(Method::GET, &waits, "Google").await.1, "one", "its time is over");
        let waits = format!("{settings}?wait_for_change=true&last_etag={tag}&timeout_sec=60");
        let waiting = tokio::spawn(async move { ask(Method::GET, &waits, "Google").await.1 });
        metadata.set("rehost-settings", "two");
        assert_eq!(waiting.await.expect("it ends"), "two");
    }

    #[tokio::test]
    async fn guest_attributes_are_taken_where_they_are_allowed() {
        let (metadata, address) = serve();
        let report = format!("{address}/instance/guest-attributes/rehost/report");
        assert_eq!(ask(Method::PUT, &report, "Google").await.0, 403);
        metadata.set("enable-guest-attributes", "TRUE");
        assert_eq!(ask(Method::PUT, &report, "Google").await.0, 200);
        assert_eq!(metadata.guest_attribute("rehost", "report").as_deref(), Some("said"));
        assert_eq!(ask(Method::GET, &report, "Google").await.1, "said");
    }
}
