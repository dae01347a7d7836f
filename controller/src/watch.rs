//! What wakes a notebook up.

pub mod slim;
