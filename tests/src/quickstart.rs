//! The quickstart: a whole installation is brought up, tells the story of one notebook, and stays for the person's own kubectl.

pub mod board;
pub mod checks;
pub mod course;
pub mod expect;
pub mod look;
pub mod report;
pub mod screen;
pub mod story;

/// The namespace of the samples.
pub const NAMESPACE: &str = "team-a";
/// The notebook that the story is about.
pub const HERO: &str = "taxi-fares";
/// The notebook in a pod beside it.
pub const NEIGHBOUR: &str = "sandbox";
