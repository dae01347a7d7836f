//! The operator: looks at notebooks and the world, plans, and carries plans out.

pub mod clock;
pub mod desired;
pub mod gce;
pub mod seen;
