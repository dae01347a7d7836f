//! The two forms of a refusal: at once, as an HTTP error, and later, inside an operation that is DONE.

use serde_json::{Value, json};

use super::wire::Response;

/// An HTTP error.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("HTTP {status}: {message}, {reason}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `error.errors[0].reason`.
    pub reason: String,
    /// The sentence.
    pub message: String,
    domain: &'static str,
    if_match: bool,
    error_info: Option<&'static str>,
}

impl Refusal {
    /// Any error by its parts.
    pub fn new(status: u16, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.to_owned(),
            message: message.into(),
            domain: "global",
            if_match: false,
            error_info: None,
        }
    }

    /// 404: `path` is the resource path from `projects/` on.
    pub(super) fn not_found(path: &str) -> Self {
        Self::new(404, "notFound", format!("The resource '{path}' was not found"))
    }

    /// 409: something of that name is there already.
    pub(super) fn already_exists(path: &str) -> Self {
        Self::new(409, "alreadyExists", format!("The resource '{path}' already exists"))
    }

    /// 400: a field's value is wrong. `field` is told from the body on: `resource.machineType`.
    pub(super) fn invalid(field: &str, value: &str, why: &str) -> Self {
        Self::new(400, "invalid", format!("Invalid value for field '{field}': '{value}'. {why}"))
    }

    /// 400: a field that must be there is not.
    pub(super) fn required(field: &str) -> Self {
        Self::new(400, "required", format!("Required field '{field}' not specified"))
    }

    /// 400: the parts of a request do not go together.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "badRequest", message)
    }

    /// 400: the resource is in the middle of something else.
    pub(super) fn not_ready(path: &str) -> Self {
        Self::new(400, "resourceNotReady", format!("The resource '{path}' is not ready"))
    }

    /// 400: something else holds the resource.
    pub(super) fn in_use(kind: &str, path: &str, user: &str) -> Self {
        let message = format!("The {kind} resource '{path}' is already being used by '{user}'");
        Self::new(400, "resourceInUseByAnotherResource", message)
    }

    /// 412: a stale fingerprint.
    pub(super) fn condition_not_met(message: &str) -> Self {
        Self { if_match: true, ..Self::new(412, "conditionNotMet", message) }
    }

    /// 403: a resource quota, told at once.
    pub(super) fn quota(message: impl Into<String>) -> Self {
        Self { domain: "usageLimits", ..Self::new(403, "quotaExceeded", message) }
    }

    /// 403: too many requests in a minute.
    pub(super) fn rate_limit(group: &str) -> Self {
        let message = format!(
            "Quota exceeded for quota group '{group}' and limit 'Requests per minute' of service 'compute.googleapis.com'."
        );
        Self {
            domain: "usageLimits",
            error_info: Some("RATE_LIMIT_EXCEEDED"),
            ..Self::new(403, "rateLimitExceeded", message)
        }
    }

    /// 403: too many operations in flight.
    pub(super) fn concurrent_operations() -> Self {
        Self {
            domain: "usageLimits",
            error_info: Some("CONCURRENT_OPERATIONS_QUOTA_EXCEEDED"),
            ..Self::new(403, "rateLimitExceeded", "Quota exceeded for the number of concurrent operations.")
        }
    }

    /// As it goes over the wire. There is no `status` member in these errors.
    pub(super) fn response(&self) -> Response {
        let mut entry = json!({ "message": self.message, "domain": self.domain, "reason": self.reason });
        if self.if_match {
            entry["location"] = "If-Match".into();
            entry["locationType"] = "header".into();
        }
        let mut error = json!({ "code": self.status, "message": self.message, "errors": [entry] });
        if let Some(reason) = self.error_info {
            error["details"] = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": reason,
                "domain": "compute.googleapis.com",
                "metadata": { "service": "compute.googleapis.com" },
            }]);
        }
        Response { status: self.status, body: json!({ "error": error }) }
    }
}

/// What a failed operation says.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct OperationFailure {
    /// `error.errors[0].code`.
    pub code: String,
    /// `httpErrorStatusCode`.
    pub http_status: u16,
    /// The sentence.
    pub message: String,
    /// `error.errors[0].errorDetails`.
    pub details: Vec<Value>,
}

impl OperationFailure {
    /// A failure without details.
    pub fn new(code: &str, http_status: u16, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), http_status, message: message.into(), details: Vec::new() }
    }

    /// `httpErrorMessage`.
    pub(super) fn http_message(&self) -> &'static str {
        match self.http_status {
            400 => "BAD REQUEST",
            403 => "FORBIDDEN",
            404 => "NOT FOUND",
            409 => "CONFLICT",
            412 => "PRECONDITION FAILED",
            429 => "TOO MANY REQUESTS",
            503 => "SERVICE UNAVAILABLE",
            _ => "INTERNAL SERVER ERROR",
        }
    }

    /// The `error` member of the operation.
    pub(super) fn json(&self) -> Value {
        let mut entry = json!({ "code": self.code, "message": self.message });
        if !self.details.is_empty() {
            entry["errorDetails"] = Value::Array(self.details.clone());
        }
        json!({ "errors": [entry] })
    }
}

/// A refusal that is noticed only while the operation runs says the same in the operation's words.
impl From<Refusal> for OperationFailure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.reason.as_str() {
            "notFound" => "RESOURCE_NOT_FOUND",
            "alreadyExists" => "RESOURCE_ALREADY_EXISTS",
            "resourceNotReady" => "RESOURCE_NOT_READY",
            "resourceInUseByAnotherResource" => "RESOURCE_IN_USE_BY_ANOTHER_RESOURCE",
            "conditionNotMet" => "CONDITION_NOT_MET",
            "quotaExceeded" => "QUOTA_EXCEEDED",
            "invalid" | "required" => "INVALID_FIELD_VALUE",
            _ => "INVALID_USAGE",
        };
        Self::new(code, refusal.status, refusal.message)
    }
}
