//! Bodies in the shapes that the real API answers in (recordings, discovery document).

use bytes::Bytes;
use google_cloud_gax::error::rpc::Status;
use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::gce::errors::Consequence::{self, Retry, Stalled, Wait};

fn stockout(zones: &[&str]) -> Cause {
    Cause::Stockout { zones_available: zones.iter().map(|zone| (*zone).to_owned()).collect() }
}

fn quota(metric: &str, limit: f64) -> Cause {
    Cause::Quota { metric: Some(metric.to_owned()), limit: Some(limit) }
}

/// An answer with the legacy list only, as most of Compute Engine's are.
fn legacy(code: u16, reason: &str, message: &str) -> serde_json::Value {
    json!({"error": {"code": code, "message": message,
        "errors": [{"domain": "global", "reason": reason, "message": message}]}})
}

fn answers() -> Vec<(u16, serde_json::Value, Cause, Consequence)> {
    let concurrent = json!({"error": {"code": 403, "message": "Quota exceeded for concurrent operations.",
        "errors": [{"domain": "usageLimits", "reason": "rateLimitExceeded", "message": "Quota exceeded"}],
        "status": "PERMISSION_DENIED",
        "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "compute.googleapis.com",
            "reason": "CONCURRENT_OPERATIONS_QUOTA_EXCEEDED", "metadata": {"metricName": "x"}}]}});
    let help_only = json!({"error": {"code": 403, "message": "Quota 'CPUS' exceeded.  Limit: 24.0 in region us-central1.",
        "errors": [{"domain": "usageLimits", "reason": "quotaExceeded", "message": "…"}],
        "details": [{"@type": "type.googleapis.com/google.rpc.Help", "links": []}]}});
    let stale = json!({"error": {"code": 412,
        "message": "Labels fingerprint either invalid or resource labels have changed",
        "errors": [{"domain": "global", "reason": "conditionNotMet", "location": "If-Match", "locationType": "header",
            "message": "Labels fingerprint either invalid or resource labels have changed"}]}});
    vec![
        (404, legacy(404, "notFound", "The resource 'i' was not found"), Cause::NotFound, Retry),
        (409, legacy(409, "alreadyExists", "The resource 'i' already exists"), Cause::AlreadyExists, Retry),
        (412, stale, Cause::StaleFingerprint, Retry),
        (403, legacy(403, "rateLimitExceeded", "Rate Limit Exceeded"), Cause::RateLimited, Retry),
        (429, legacy(429, "rateLimitExceeded", "Rate Limit Exceeded"), Cause::RateLimited, Retry),
        (429, json!({"error": {"code": 429, "message": "slow down"}}), Cause::RateLimited, Retry),
        (403, concurrent, Cause::ConcurrentOperations, Retry),
        (403, help_only, quota("CPUS", 24.0), Wait),
        (403, legacy(403, "forbidden", "Required 'compute.instances.get'"), Cause::PermissionDenied, Stalled),
        (403, legacy(403, "accessNotConfigured", "Compute Engine API is disabled"), Cause::PermissionDenied, Stalled),
        (401, legacy(401, "required", "Login Required."), Cause::Unauthenticated, Stalled),
        (400, legacy(400, "resourceInUseByAnotherResource", "in use"), Cause::ResourceInUse, Retry),
        (400, legacy(400, "resourceNotReady", "is not ready"), Cause::NotReady, Retry),
        (400, legacy(400, "invalid", "Invalid value for field"), Cause::Invalid, Stalled),
        (400, legacy(400, "required", "Required field is missing"), Cause::Invalid, Stalled),
        (503, legacy(503, "backendError", "Backend Error"), Cause::Server, Retry),
        (500, json!({"error": {"code": 500, "message": "Internal"}}), Cause::Server, Retry),
        (502, json!("<html>Bad Gateway</html>"), Cause::Server, Retry),
        (408, json!(null), Cause::EffectUnknown, Retry),
    ]
}

#[test]
fn answers_are_told_apart_raw() {
    for (status, body, cause, consequence) in answers() {
        let error = GceError::from_body(status, body.to_string().as_bytes());
        assert_eq!((&error.cause, error.consequence()), (&cause, consequence), "{status} {body}");
        assert_eq!(error.http_status, Some(status));
        assert!(!error.message.is_empty());
    }
}

/// Builds the error as the SDK's transport does: a status when the body can be read as one, else the bare answer.
fn as_the_sdk_has_it(http_status: u16, body: &serde_json::Value) -> SdkError {
    let payload = Bytes::from(body.to_string());
    match Status::try_from(&payload) {
        Ok(status) => SdkError::service_with_http_metadata(status, Some(http_status), Some(HeaderMap::new())),
        Err(_) => SdkError::http(http_status, HeaderMap::new(), payload),
    }
}

#[test]
fn answers_are_told_apart_through_the_sdk() {
    for (status, body, cause, consequence) in answers() {
        let error = GceError::from_sdk(&as_the_sdk_has_it(status, &body));
        assert_eq!((&error.cause, error.consequence()), (&cause, consequence), "{status} {body}");
    }
}

#[test]
fn without_an_answer_the_effect_is_unknown_unless_nothing_was_sent() {
    let cases = [
        (SdkError::timeout("30 s"), Cause::EffectUnknown),
        (SdkError::io("connection reset"), Cause::EffectUnknown),
        (SdkError::connect("refused"), Cause::EffectUnknown),
        (SdkError::deser("not JSON"), Cause::EffectUnknown),
        (SdkError::ser("bad field"), Cause::Invalid),
        (SdkError::authentication(CredentialsError::from_msg(true, "metadata server is busy")), Cause::Server),
        (SdkError::authentication(CredentialsError::from_msg(false, "no such account")), Cause::Unauthenticated),
    ];
    for (error, cause) in cases {
        assert_eq!(GceError::from_sdk(&error).cause, cause, "{error}");
        let definite = matches!(cause, Cause::Invalid);
        assert_eq!(GceError::from_sdk(&error).is_definite(), definite, "{error}");
    }
}

fn operation(error: &serde_json::Value, http_status: i32, http_message: &str) -> model::Operation {
    let body = json!({"kind": "compute#operation", "name": "operation-1", "status": "DONE", "error": error,
        "httpErrorStatusCode": http_status, "httpErrorMessage": http_message});
    serde_json::from_value(body).expect("an operation")
}

#[test]
fn failures_inside_operations_are_told_apart() {
    let with_zones = json!({"errors": [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "message": "no T4 now",
        "errorDetails": [
            {"help": {"links": [{"url": "https://cloud.google.com/compute/docs/resource-error"}]}},
            {"errorInfo": {"reason": "resource_availability", "domain": "compute.googleapis.com",
                "metadatas": {"zone": "us-central1-a", "zonesAvailable": "us-central1-b,us-central1-f",
                    "vmType": "n1-standard-4", "attachment": "nvidia-tesla-t4"}}}]}]});
    let with_quota = json!({"errors": [{"code": "QUOTA_EXCEEDED", "message": "Quota 'NVIDIA_T4_GPUS' exceeded.",
        "errorDetails": [{"quotaInfo": {"metricName": "compute.googleapis.com/nvidia_t4_gpus",
            "limitName": "NVIDIA-T4-GPUS-per-project-region", "limit": 1.0,
            "dimensions": {"region": "us-central1"}}}]}]});
    let plain = |code: &str| json!({"errors": [{"code": code, "message": "why"}]});
    let cases = [
        (with_zones, 503, stockout(&["us-central1-b", "us-central1-f"]), Wait),
        (plain("ZONE_RESOURCE_POOL_EXHAUSTED"), 503, stockout(&[]), Wait),
        (with_quota, 403, quota("nvidia_t4_gpus", 1.0), Wait),
        (plain("IP_SPACE_EXHAUSTED"), 400, Cause::IpSpaceExhausted, Wait),
        (plain("RESOURCE_NOT_READY"), 400, Cause::NotReady, Retry),
        (plain("RESOURCE_ALREADY_EXISTS"), 409, Cause::AlreadyExists, Retry),
        (plain("RESOURCE_NOT_FOUND"), 404, Cause::NotFound, Retry),
        (plain("RESOURCE_IN_USE_BY_ANOTHER_RESOURCE"), 400, Cause::ResourceInUse, Retry),
        (plain("PERMISSIONS_ERROR"), 403, Cause::PermissionDenied, Stalled),
        (plain("UNSUPPORTED_OPERATION"), 400, Cause::Invalid, Stalled),
        (plain("INTERNAL_ERROR"), 500, Cause::Server, Retry),
        (plain("SOMETHING_NEW"), 400, Cause::Invalid, Stalled),
        (json!({"errors": []}), 412, Cause::StaleFingerprint, Retry),
    ];
    for (error, status, cause, consequence) in cases {
        let found = GceError::from_operation(&operation(&error, status, "BAD REQUEST")).expect("it failed");
        assert_eq!((&found.cause, found.consequence()), (&cause, consequence), "{error}");
    }
}

#[test]
fn an_operation_that_worked_has_no_error() {
    let done = json!({"name": "operation-1", "status": "DONE", "progress": 100});
    let done: model::Operation = serde_json::from_value(done).expect("an operation");
    assert_eq!(GceError::from_operation(&done), None);
}

#[test]
fn a_reason_that_is_new_to_us_is_kept_for_people() {
    let error = GceError::from_operation(&operation(&json!({"errors": [{"code": "SOMETHING_NEW"}]}), 400, ""));
    assert_eq!(error.and_then(|error| error.reason).as_deref(), Some("SOMETHING_NEW"));
}
