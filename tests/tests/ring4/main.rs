//! Ring 4: the whole thing on real machines. A person's notebook with a cloned course, a bucket and results of a real
//! kernel is moved from host to host, and everything is there after each move.
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test ends where its world is not as it must be")]

mod belongings;
mod bigquery;
mod canary;
mod faults;
mod stage;
mod story;
