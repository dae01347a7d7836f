//! The status ports of a run's pods, which answer as a well guest would: from what the pod's ConfigMap says, as it is.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::Timestamp;
use rehost::status_ports::{Answer, StatusPorts};
use rehost_api::guest::{
    GuestActivity, GuestBucketSeen, GuestReport, GuestSeen, GuestSettings, GuestSourceSeen, GuestState, SETTINGS_FILE,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::shared::Shared;

/// What a simulated repository is always at.
pub const REVISION: &str = "5d41402abc4b2a76b9719d911017c592aa11bb22";

/// The ports of all pods of a run.
pub(super) struct Ports(pub(super) Arc<Shared>);

impl StatusPorts for Ports {
    fn ask(&self, port: SocketAddr, token: String) -> BoxFuture<'_, Result<Answer, String>> {
        let answer = self.answer(port, &token);
        async move { answer }.boxed()
    }
}

impl Ports {
    fn answer(&self, port: SocketAddr, token: &str) -> Result<Answer, String> {
        let refused = || format!("{port} does not answer: connection refused");
        let server = &self.0.server;
        let address = port.ip().to_string();
        let runs = |pod: &&Value| pod["status"]["podIP"] == address && pod["status"]["phase"] == "Running";
        let pods = server.all("Pod");
        let pod = pods.iter().find(runs).ok_or_else(refused)?;
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let map = server.get("ConfigMap", text("/metadata/namespace"), text("/metadata/name")).ok_or_else(refused)?;
        let settings: Option<GuestSettings> =
            map["data"][SETTINGS_FILE].as_str().and_then(|settings| serde_json::from_str(settings).ok());
        let settings = settings.ok_or_else(refused)?;
        let known = settings.offer.status.as_ref().filter(|status| status.port == port.port()).ok_or_else(refused)?;
        if hexadecimal(token) != known.token_hash {
            return Ok(Answer { code: 401, body: Bytes::new() });
        }
        let report = report(pod, &settings, self.0.clock.now());
        Ok(Answer { code: 200, body: serde_json::to_vec(&report).unwrap_or_default().into() })
    }
}

fn hexadecimal(token: &str) -> String {
    Sha256::digest(token).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn report(pod: &Value, settings: &GuestSettings, now: Timestamp) -> GuestReport {
    let started = pod["status"]["startTime"].as_str().and_then(|text| text.parse().ok()).unwrap_or(now);
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array().cloned().unwrap_or_default();
    let buckets = settings.offer.buckets.iter().map(|bucket| {
        let mounted = mounts.iter().any(|mount| mount["mountPath"] == format!("/home/jupyter/{}", bucket.path));
        let reason = (!mounted).then(|| "NotMounted".to_owned());
        GuestBucketSeen { path: bucket.path.clone(), mounted, reason, message: String::new() }
    });
    let source = settings.offer.source.as_ref().map(|_| GuestSourceSeen {
        revision: Some(REVISION.to_owned()),
        dirty: Some(false),
        failure: None,
        message: String::new(),
    });
    GuestReport {
        boot_id: pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        nonce: settings.nonce.clone(),
        state: GuestState::Serving,
        content_id: Some(settings.home.content_id.clone()),
        failure: None,
        message: String::new(),
        seen: GuestSeen {
            filesystem_fills_disk: Some(true),
            home_trouble: None,
            buckets: buckets.collect(),
            source,
            kernels: None,
            // Nobody has used it since it began.
            activity: Some(GuestActivity {
                last_activity: started,
                kernels: 1,
                busy_kernels: 0,
                connections: 0,
                terminals: 0,
                busy_terminals: 0,
            }),
        },
    }
}
