//! The guest's own tests, which are written in its language: over a fake root, and with real disks, git and Jupyter where this
//! machine has them.
#![allow(clippy::expect_used, reason = "a test ends where its tools are not there")]

use std::process::{Command, Stdio};

#[test]
fn the_guests_own_tests_pass() {
    let output = Command::new("python3")
        .args(["-m", "unittest", "discover", "-b", "-s", "controller/guest/tests", "-t", "controller/guest"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .output()
        .expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    assert!(output.status.success(), "{said}");
    assert!(said.contains("Ran ") && !said.contains("Ran 0 tests"), "{said}");
}
