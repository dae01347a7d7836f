//! The operator: looks at notebooks and the world, plans, and carries plans out.

pub mod clock;
pub mod cloud_events;
pub mod gce;
pub mod http;
pub mod lease;
pub mod metrics;
pub mod seen;
pub mod settings;
pub mod telemetry;
