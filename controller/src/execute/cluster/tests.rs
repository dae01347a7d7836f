//! What is sent to the API server, and what its answers count as.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use tower::service_fn;

use super::*;
use crate::plan::{ClaimPlan, Reach, ServicePlan, SlicePlan, VolumePlan};

type Sent = Arc<Mutex<Vec<(Method, String, Value)>>>;

/// A server that gives everybody the same answer, and what it was sent.
fn server(code: u16, answer: Value) -> (Client, Sent) {
    let sent = Sent::default();
    let log = sent.clone();
    let service = service_fn(move |request: Request<Body>| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            log.lock().unwrap().push((head.method, head.uri.path().to_owned(), body));
            let response = Response::builder().status(code).body(Body::from(answer.to_string().into_bytes()));
            Ok::<_, std::convert::Infallible>(response.unwrap())
        }
    });
    (Client::new(service, "default"), sent)
}

fn subject() -> Subject {
    Subject { cluster: "c".into(), namespace: "team-a".into(), name: "taxi".into(), uid: "uid-1".into() }
}

fn by_uid() -> [(KubeChange, Method, &'static str); 5] {
    let (name, uid) = ("it".to_owned(), "seen".to_owned());
    let (volume, claim) = ("/api/v1/persistentvolumes/it", "/api/v1/namespaces/team-a/persistentvolumeclaims/it");
    [
        (KubeChange::RetainVolume { name: name.clone(), uid: uid.clone() }, Method::PATCH, volume),
        (KubeChange::DeleteVolume { name: name.clone(), uid: uid.clone() }, Method::DELETE, volume),
        (KubeChange::DeleteClaim { name: name.clone(), uid: uid.clone() }, Method::DELETE, claim),
        (
            KubeChange::DeleteSettings { name: name.clone(), uid: uid.clone() },
            Method::DELETE,
            "/api/v1/namespaces/team-a/configmaps/it",
        ),
        (KubeChange::DeletePod { name, uid }, Method::DELETE, "/api/v1/namespaces/team-a/pods/it"),
    ]
}

#[tokio::test]
async fn only_the_very_object_that_was_seen_is_changed() {
    for (change, method, path) in by_uid() {
        let (client, sent) = server(200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
        // What comes back is not what a patch gives: that is not looked at here.
        let _ = apply(&client, &subject(), &change, &GuestFiles::built_in(), None).await;
        let sent = sent.lock().unwrap();
        let [(its_method, its_path, body)] = sent.as_slice() else { panic!("{change:?} is not one request: {sent:?}") };
        assert_eq!((its_method, its_path.as_str()), (&method, path));
        let uid = if method == Method::PATCH { &body["metadata"]["uid"] } else { &body["preconditions"]["uid"] };
        assert_eq!(uid, "seen", "{change:?}: {body}");
    }
}

#[tokio::test]
async fn another_object_of_that_name_means_that_the_one_meant_is_gone() {
    for code in [404, 409] {
        for (change, ..) in by_uid() {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                "reason": "Conflict", "message": "the UID in the precondition (seen) does not match"});
            let (client, _sent) = server(code, status);
            assert!(
                apply(&client, &subject(), &change, &GuestFiles::built_in(), None).await.is_ok(),
                "{change:?} {code}"
            );
        }
    }
}

#[tokio::test]
async fn what_is_somebody_elses_is_not_applied_over() {
    let service = ServicePlan { name: "taxi".into(), port: 8888 };
    let slice = SlicePlan { name: "taxi".into(), service: "taxi".into(), port: 8888, endpoint: None };
    let reach = Reach { zone: "z".into(), families: Vec::new() };
    let volume = VolumePlan { name: "taxi".into(), handle: "h".into(), claim: "taxi".into(), size_gb: 10, reach };
    let claim = ClaimPlan { name: "taxi".into(), volume: None, storage_class: "s".into(), size_gb: 10 };
    for change in [
        KubeChange::ApplyService(service),
        KubeChange::ApplySlice(slice),
        KubeChange::ApplyVolume(volume),
        KubeChange::ApplyClaim(claim),
    ] {
        let theirs = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
            "metadata": {"name": "taxi", "labels": {"rehost.dev/uid": "uid-2"}}});
        let (client, sent) = server(200, theirs);
        let refused = apply(&client, &subject(), &change, &GuestFiles::built_in(), None)
            .await
            .expect_err("it is not ours")
            .to_string();
        assert!(refused.contains("taxi exists and is not this notebook's"), "{refused}");
        let methods: Vec<Method> = sent.lock().unwrap().iter().map(|(method, ..)| method.clone()).collect();
        assert_eq!(methods, [Method::GET], "{change:?}");
    }
}
