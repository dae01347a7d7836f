//! What can go wrong in Compute Engine, told apart by cause and judged by consequence.

use serde::Serialize;

/// Why a request or an operation failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Cause {
    /// There is no such object.
    NotFound,
    /// There is such an object already.
    AlreadyExists,
    /// The object has changed since its fingerprint was read.
    StaleFingerprint,
    /// The zone has no capacity for the shape.
    Stockout {
        /// The zones that have, as the cloud told us; often empty.
        zones_available: Vec<String>,
    },
    /// The project or region may not have more.
    Quota {
        /// The quota's name, where the cloud told us.
        metric: Option<String>,
        /// The most there may be, where the cloud told us.
        limit: Option<f64>,
    },
    /// Too many requests.
    RateLimited,
    /// Too many operations in flight.
    ConcurrentOperations,
    /// The subnetwork has no free address.
    IpSpaceExhausted,
    /// The controller's identity may not do this, or an API is not enabled.
    PermissionDenied,
    /// The controller has no valid identity.
    Unauthenticated,
    /// Something else uses the object.
    ResourceInUse,
    /// The object is in a state in which this cannot be done now.
    NotReady,
    /// The request can never succeed as it is.
    Invalid,
    /// The cloud failed.
    Server,
    /// No answer: the request may or may not have taken effect.
    EffectUnknown,
}

/// What a failure means for what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Consequence {
    /// Look again, and try again after a back-off.
    Retry,
    /// Nothing is wrong with the request: there is no capacity, quota or address now. Go on otherwise, and try later.
    Wait,
    /// A person must change something.
    Stalled,
}

/// A failure of Compute Engine, in its words and in ours.
#[derive(Clone, Debug, PartialEq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct GceError {
    /// Why.
    pub cause: Cause,
    /// The cloud's sentence.
    pub message: String,
    /// The cloud's code word, such as `ZONE_RESOURCE_POOL_EXHAUSTED` or `notFound`.
    pub reason: Option<String>,
    /// The HTTP status, of the answer or inside the operation.
    pub http_status: Option<u16>,
}

impl GceError {
    /// An error that has no code word and no status: one that never came from the cloud.
    pub fn new(cause: Cause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), reason: None, http_status: None }
    }

    /// What it means for what happens next.
    pub fn consequence(&self) -> Consequence {
        match &self.cause {
            Cause::NotFound
            | Cause::AlreadyExists
            | Cause::StaleFingerprint
            | Cause::RateLimited
            | Cause::ConcurrentOperations
            | Cause::ResourceInUse
            | Cause::NotReady
            | Cause::Server
            | Cause::EffectUnknown => Consequence::Retry,
            Cause::Stockout { .. } | Cause::Quota { .. } | Cause::IpSpaceExhausted => Consequence::Wait,
            Cause::PermissionDenied | Cause::Unauthenticated | Cause::Invalid => Consequence::Stalled,
        }
    }

    /// Whether a synchronous refusal settles its request: it has had no effect and never will, so the next try is a new
    /// attempt with a new request id. Where this is false the same request id is sent again.
    pub fn is_definite(&self) -> bool {
        match &self.cause {
            Cause::NotFound
            | Cause::AlreadyExists
            | Cause::StaleFingerprint
            | Cause::Stockout { .. }
            | Cause::Quota { .. }
            | Cause::IpSpaceExhausted
            | Cause::PermissionDenied
            | Cause::ResourceInUse
            | Cause::NotReady
            | Cause::Invalid => true,
            Cause::RateLimited
            | Cause::ConcurrentOperations
            | Cause::Unauthenticated
            | Cause::Server
            | Cause::EffectUnknown => false,
        }
    }

    /// A fixed word for metrics.
    pub fn label(&self) -> &'static str {
        match &self.cause {
            Cause::NotFound => "not_found",
            Cause::AlreadyExists => "already_exists",
            Cause::StaleFingerprint => "stale_fingerprint",
            Cause::Stockout { .. } => "stockout",
            Cause::Quota { .. } => "quota",
            Cause::RateLimited => "rate_limited",
            Cause::ConcurrentOperations => "concurrent_operations",
            Cause::IpSpaceExhausted => "ip_space_exhausted",
            Cause::PermissionDenied => "permission_denied",
            Cause::Unauthenticated => "unauthenticated",
            Cause::ResourceInUse => "resource_in_use",
            Cause::NotReady => "not_ready",
            Cause::Invalid => "invalid",
            Cause::Server => "server",
            Cause::EffectUnknown => "effect_unknown",
        }
    }
}
