//! Holds requests and answers against the discovery document of the Compute Engine API.
//!
//! The tree keeps an extract of the document (`discovery-extract.json`): the methods in use, and every schema that
//! they reach. It is written, never edited, by
//! ```text
//! pip download google-api-python-client --no-deps && unzip -o google_api_python_client-*.whl
//! cargo run -p rehost-tests --bin discovery-extract -- googleapiclient/discovery_cache/documents/compute.v1.json
//! ```
//!
//! # What is checked
//! Method and path (each parameter by its pattern), query parameters (known, of their type, required ones present),
//! the body's and the answer's fields (known, of their type and format, enums), and the shape of errors. What the
//! document says is required of a body is asked for only where the answer was a success: a refusal of an incomplete
//! body is right.

mod check;
mod extract;

pub use check::{Side, Violation, check, check_exchange, check_log, method_of};
pub use extract::{Extract, Field, METHODS, Method, extract};

use std::sync::LazyLock;

#[expect(clippy::expect_used, reason = "the file is a part of the program, and a test reads it")]
static EXTRACT: LazyLock<Extract> =
    LazyLock::new(|| serde_json::from_str(include_str!("discovery-extract.json")).expect("the extract is valid"));

/// The extract that the tree keeps.
pub fn kept() -> &'static Extract {
    &EXTRACT
}
