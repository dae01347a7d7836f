//! The operator: looks at notebooks and the world, plans, and carries plans out.

pub mod access;
pub mod clock;
pub mod cloud_events;
pub mod desired;
pub mod execute;
pub mod gce;
pub mod guest_files;
pub mod http;
pub mod lease;
pub mod metrics;
pub mod observe;
pub mod plan;
pub mod process;
pub mod reconcile;
pub mod run;
pub mod seen;
pub mod settings;
pub mod status;
pub mod status_ports;
pub mod telemetry;
pub mod watch;
