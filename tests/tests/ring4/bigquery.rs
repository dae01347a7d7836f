//! A service of Google's as a notebook calls it: it answers whoever brings the token of the machine's own identity.

use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use rehost_tests::hosts::{GATEWAY, Network};
use rehost_tests::stand::TOKEN;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const PORT: u16 = 9050;

/// Serves on the machines' network, and returns the address that a notebook calls.
pub fn serve(network: &Network) -> (String, JoinHandle<()>) {
    let listener = network.listen(PORT).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
    let router = Router::new().route("/bigquery/v2/projects/{project}/queries", post(query));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
    (format!("http://{GATEWAY}:{PORT}"), serving)
}

async fn query(headers: HeaderMap, Json(asked): Json<Value>) -> Result<Json<Value>, StatusCode> {
    let shown = headers.get("authorization").and_then(|value| value.to_str().ok());
    if shown != Some(&format!("Bearer {TOKEN}")) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    assert_eq!(asked["query"], "SELECT 6 * 7");
    Ok(Json(json!({"kind": "bigquery#queryResponse", "rows": [{"f": [{"v": "42"}]}]})))
}
