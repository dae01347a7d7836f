//! From the cloud's three ways of refusing (an HTTP answer, the SDK's error, a finished operation) to one [`GceError`].
//!
//! Code words come in two spellings (`RESOURCE_NOT_READY` inside operations, `resourceNotReady` in answers), in two
//! places of an answer (`errors[]` and `details[]`), and only some of them are there each time. So all are gathered as
//! [`Evidence`], and the most telling one decides; the HTTP status is asked last, the SDK's gRPC code never (it says
//! `Unknown` for a rate limit).

use std::collections::BTreeMap;

use google_cloud_compute_v1::model;
use google_cloud_gax::error::rpc::StatusDetails;
use google_cloud_gax::error::{CredentialsError, Error as SdkError};
use serde::Deserialize;

use super::errors::{Cause, GceError};

/// How much of the cloud's own sentence is kept: it ends in statuses and events.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// A code word and what came with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Word {
    pub(super) reason: String,
    pub(super) metadata: BTreeMap<String, String>,
}

/// All that one refusal says.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) http_status: Option<u16>,
    pub(super) message: String,
    pub(super) words: Vec<Word>,
    pub(super) quota_metric: Option<String>,
    pub(super) quota_limit: Option<f64>,
}

impl Evidence {
    /// Decides what it means; `otherwise` is for a refusal that says nothing that we know.
    pub(super) fn judge(self, otherwise: Cause) -> GceError {
        let known = self
            .words
            .iter()
            .filter_map(|word| cause_of(&word.reason).map(|cause| (generality(&cause), cause, word)))
            .min_by_key(|(generality, ..)| *generality);
        let (cause, reason) = match known {
            Some((_, cause, word)) => (cause, Some(word.reason.clone())),
            None => (
                self.cause_of_the_sentence().or(self.http_status.and_then(cause_of_status)).unwrap_or(otherwise),
                self.words.first().map(|word| word.reason.clone()),
            ),
        };
        let cause = self.with_particulars(cause);
        let message = if self.message.is_empty() {
            reason.clone().unwrap_or_else(|| "the cloud gave no reason".to_owned())
        } else {
            self.message.chars().take(MESSAGE_CHARS_MAX).collect()
        };
        GceError { cause, message, reason, http_status: self.http_status }
    }

    /// Fills in what a cause carries, from wherever the answer has it.
    fn with_particulars(&self, cause: Cause) -> Cause {
        match cause {
            Cause::Stockout { .. } => Cause::Stockout { zones_available: self.zones_available() },
            Cause::Quota { .. } => {
                let (metric, limit) = quota_in_words(&self.message);
                Cause::Quota {
                    metric: self.quota_metric.clone().or_else(|| self.metadata("metricName").cloned()).or(metric),
                    limit: self.quota_limit.or(limit),
                }
            }
            Cause::NotFound
            | Cause::AlreadyExists
            | Cause::StaleFingerprint
            | Cause::RateLimited
            | Cause::ConcurrentOperations
            | Cause::IpSpaceExhausted
            | Cause::PermissionDenied
            | Cause::Unauthenticated
            | Cause::ResourceInUse
            | Cause::NotReady
            | Cause::Invalid
            | Cause::Server
            | Cause::EffectUnknown => cause,
        }
    }

    /// The SDK drops `errors[]` when an answer has `details[]` too, even ones that say nothing; a refusal for quota can
    /// then only be told from a missing permission (both are HTTP 403) by its sentence.
    fn cause_of_the_sentence(&self) -> Option<Cause> {
        let (metric, limit) = quota_in_words(&self.message);
        (metric.is_some() && self.message.contains("exceeded")).then_some(Cause::Quota { metric, limit })
    }

    fn metadata(&self, key: &str) -> Option<&String> {
        self.words.iter().find_map(|word| word.metadata.get(key))
    }

    fn zones_available(&self) -> Vec<String> {
        let zones = self.metadata("zonesAvailable").map(String::as_str).unwrap_or_default();
        zones.split([',', ' ']).map(str::trim).filter(|zone| !zone.is_empty()).map(str::to_owned).collect()
    }
}

/// The cause that a code word names, in either spelling.
fn cause_of(reason: &str) -> Option<Cause> {
    let word: String = reason.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    Some(match word.as_str() {
        "notfound" | "resourcenotfound" => Cause::NotFound,
        "alreadyexists" | "resourcealreadyexists" | "duplicate" => Cause::AlreadyExists,
        "conditionnotmet" => Cause::StaleFingerprint,
        "zoneresourcepoolexhausted" | "zoneresourcepoolexhaustedwithdetails" | "resourceavailability" | "stockout" => {
            Cause::Stockout { zones_available: Vec::new() }
        }
        "quotaexceeded" | "limitexceeded" => Cause::Quota { metric: None, limit: None },
        "ratelimitexceeded"
        | "userratelimitexceeded"
        | "dailylimitexceeded"
        | "operationrateexceeded"
        | "resourceoperationrateexceeded" => Cause::RateLimited,
        "concurrentoperationsquotaexceeded" => Cause::ConcurrentOperations,
        "ipspaceexhausted" | "ipspaceexhaustedwithdetails" => Cause::IpSpaceExhausted,
        "forbidden"
        | "permissionserror"
        | "permissiondenied"
        | "insufficientpermissions"
        | "iampermissiondenied"
        | "accessnotconfigured"
        | "servicedisabled"
        | "billingdisabled"
        | "accesstokenscopeinsufficient" => Cause::PermissionDenied,
        "autherror" | "unauthenticated" | "accesstokenexpired" | "credentialsmissing" => Cause::Unauthenticated,
        "resourceinuse" | "resourceinusebyanotherresource" => Cause::ResourceInUse,
        "resourcenotready" => Cause::NotReady,
        "invalid"
        | "invalidparameter"
        | "badrequest"
        | "invalidfieldvalue"
        | "invalidusage"
        | "unsupportedoperation" => Cause::Invalid,
        "backenderror" | "internalerror" | "serviceunavailable" => Cause::Server,
        _ => return None,
    })
}

/// Of two causes that one answer names, the less general one is meant: a refusal for too many operations in flight is
/// a `rateLimitExceeded` too, and nearly everything is also `forbidden` or `invalid`.
fn generality(cause: &Cause) -> u8 {
    match cause {
        Cause::Stockout { .. } | Cause::Quota { .. } | Cause::ConcurrentOperations | Cause::IpSpaceExhausted => 0,
        Cause::NotFound
        | Cause::AlreadyExists
        | Cause::StaleFingerprint
        | Cause::ResourceInUse
        | Cause::NotReady
        | Cause::Unauthenticated => 1,
        Cause::RateLimited => 2,
        Cause::PermissionDenied | Cause::Invalid | Cause::Server | Cause::EffectUnknown => 3,
    }
}

/// The cause that an HTTP status alone suggests.
fn cause_of_status(status: u16) -> Option<Cause> {
    match status {
        401 => Some(Cause::Unauthenticated),
        403 => Some(Cause::PermissionDenied),
        404 => Some(Cause::NotFound),
        408 => Some(Cause::EffectUnknown),
        409 => Some(Cause::AlreadyExists),
        412 => Some(Cause::StaleFingerprint),
        429 => Some(Cause::RateLimited),
        400..=499 => Some(Cause::Invalid),
        500..=599 => Some(Cause::Server),
        _ => None,
    }
}

/// The metric and limit in `Quota 'CPUS' exceeded.  Limit: 24.0 in region us-central1.`
fn quota_in_words(message: &str) -> (Option<String>, Option<f64>) {
    let metric = message.split_once("Quota '").and_then(|(_, rest)| rest.split_once('\'')).map(|(name, _)| name);
    let limit = message
        .split_once("Limit: ")
        .and_then(|(_, rest)| rest.split_whitespace().next())
        .and_then(|number| number.trim_end_matches(['.', ',']).parse().ok());
    (metric.map(str::to_owned), limit)
}

#[derive(Deserialize)]
struct Body {
    error: BodyError,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct BodyError {
    message: String,
    errors: Vec<BodyWord>,
    details: Vec<BodyWord>,
}

/// An item of `errors[]`, or an `ErrorInfo` of `details[]`; other details have no `reason` and say nothing to us.
#[derive(Default, Deserialize)]
#[serde(default)]
struct BodyWord {
    reason: Option<String>,
    metadata: BTreeMap<String, serde_json::Value>,
    metadatas: BTreeMap<String, serde_json::Value>,
}

impl BodyWord {
    fn into_word(self) -> Option<Word> {
        let text = |value: serde_json::Value| match value {
            serde_json::Value::String(text) => text,
            other => other.to_string(),
        };
        let metadata = self.metadata.into_iter().chain(self.metadatas).map(|(key, value)| (key, text(value))).collect();
        Some(Word { reason: self.reason?, metadata })
    }
}

impl GceError {
    /// Reads a refusal as it is on the wire.
    pub fn from_body(http_status: u16, body: &[u8]) -> Self {
        let mut evidence = Evidence { http_status: Some(http_status), ..Evidence::default() };
        match serde_json::from_slice::<Body>(body) {
            Ok(Body { error }) => {
                evidence.message = error.message;
                evidence.words =
                    error.details.into_iter().chain(error.errors).filter_map(BodyWord::into_word).collect();
            }
            // A proxy or load balancer on the way answers in HTML; its status is all that counts.
            Err(_) => evidence.message = format!("HTTP status {http_status} without a readable reason"),
        }
        evidence.judge(Cause::EffectUnknown)
    }

    /// Reads what the SDK made of a refusal.
    pub fn from_sdk(error: &SdkError) -> Self {
        if let (Some(status), Some(payload)) = (error.http_status_code(), error.http_payload()) {
            return Self::from_body(status, payload);
        }
        if let Some(status) = error.status() {
            let evidence = Evidence {
                http_status: error.http_status_code(),
                message: status.message.clone(),
                words: status.details.iter().filter_map(word_of_detail).collect(),
                ..Evidence::default()
            };
            return evidence.judge(Cause::EffectUnknown);
        }
        Self::new(cause_without_answer(error), error.to_string().chars().take(MESSAGE_CHARS_MAX).collect::<String>())
    }

    /// Reads why a finished operation failed; `None` when it did not.
    pub fn from_operation(operation: &model::Operation) -> Option<Self> {
        let errors = operation.error.as_ref().map(|error| error.errors.as_slice()).unwrap_or_default();
        let http_status = operation.http_error_status_code.and_then(|status| u16::try_from(status).ok());
        if errors.is_empty() && operation.http_error_message.is_none() && http_status.is_none_or(|status| status < 400)
        {
            return None;
        }
        let mut evidence = Evidence { http_status, ..Evidence::default() };
        for error in errors {
            evidence.words.extend(error.code.iter().map(|code| Word { reason: code.clone(), ..Word::default() }));
            for detail in &error.error_details {
                evidence.words.extend(detail.error_info.as_ref().and_then(word_of_info));
                if let Some(quota) = &detail.quota_info {
                    evidence.quota_metric =
                        quota.metric_name.as_deref().map(|name| super::model::short(name).to_owned());
                    evidence.quota_limit = quota.limit;
                }
            }
        }
        let message = errors.iter().find_map(|error| error.message.clone());
        evidence.message = message.or_else(|| operation.http_error_message.clone()).unwrap_or_default();
        Some(evidence.judge(Cause::Server))
    }

    /// An answer that came and cannot be read: a mutation may have taken effect.
    pub fn unreadable(what: &str, why: impl std::fmt::Display) -> Self {
        Self::new(Cause::EffectUnknown, format!("the answer to {what} cannot be read: {why}"))
    }

    /// No answer within `limit_s`.
    pub fn timed_out(what: &str, limit_s: u64) -> Self {
        Self::new(Cause::EffectUnknown, format!("no answer to {what} within {limit_s} s"))
    }
}

fn word_of_detail(detail: &StatusDetails) -> Option<Word> {
    match detail {
        // The SDK turns items of the legacy `errors[]` into this too, when there are no `details[]`.
        StatusDetails::ErrorInfo(info) => Some(Word {
            reason: info.reason.clone(),
            metadata: info.metadata.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        }),
        _ => None,
    }
}

fn word_of_info(info: &model::ErrorInfo) -> Option<Word> {
    let metadata = info.metadatas.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    Some(Word { reason: info.reason.clone()?, metadata })
}

/// What a failure means that never was an answer of the service.
fn cause_without_answer(error: &SdkError) -> Cause {
    if error.is_authentication() {
        let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<CredentialsError>());
        return if source.is_some_and(CredentialsError::is_transient) { Cause::Server } else { Cause::Unauthenticated };
    }
    if error.is_serialization() || error.is_binding() {
        return Cause::Invalid;
    }
    Cause::EffectUnknown
}

#[cfg(test)]
mod tests;
