//! Ring 1: stories over the pure planner. Each is a stage on which everything that a plan asks for comes true at once, told line by
//! line into a golden file. At the end of each the same plan is made again, and must want nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod clock;
mod conversion;
mod evidence;
mod faults;
mod lives;
mod others;
mod ownership;
mod room;
mod small_world;
mod spot;
mod stage;
mod stories;
mod suspension;
mod when;
