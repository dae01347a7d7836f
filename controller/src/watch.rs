//! What wakes a notebook up: the cluster's watches, the inventory of the cloud, events and timers.
//!
//! None of them decides anything. All they say is "look at this notebook", and the [`queue`] says when.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed"))]

pub mod caches;
pub mod inventory;
pub mod queue;
pub mod slim;
