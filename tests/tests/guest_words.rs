//! The controller and the guest are written in two languages: what the one writes, the other must read.
#![allow(clippy::expect_used, reason = "a test ends where the two do not understand each other")]

use std::io::Write;
use std::process::{Command, Stdio};

use rehost_api::guest::{
    GuestBucket, GuestFailure, GuestHome, GuestKernels, GuestOffer, GuestPackages, GuestRefusal, GuestReport,
    GuestRole, GuestSettings, GuestSource, GuestState, GuestStatusPort,
};

/// Gives `input` to a piece of Python that sees the guest, and returns what it prints.
fn python(script: &str, input: &str) -> String {
    let mut child = Command::new("python3")
        .args(["-c", script])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../controller/guest"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it listens");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "the guest does not understand {input}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn everything() -> GuestSettings {
    let text = |text: &str| Some(text.to_owned());
    GuestSettings {
        notebook: "team-a/taxi".to_owned(),
        uid: "6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned(),
        role: GuestRole::Serve,
        nonce: "t1-serve".to_owned(),
        home: GuestHome {
            device: "home".to_owned(),
            content_id: "c-1".to_owned(),
            format: true,
            copied_from: text("c-0"),
        },
        port: 8888,
        offer: Box::new(GuestOffer {
            base_path: text("/team-a/taxi/"),
            token_hashes: vec!["ab".repeat(32)],
            accelerators: Some(2),
            buckets: vec![GuestBucket {
                path: "data".to_owned(),
                name: "team-data".to_owned(),
                prefix: text("taxi/"),
                read_only: true,
            }],
            source: Some(GuestSource {
                repository: "git@git.example:org/course.git".to_owned(),
                path: "course".to_owned(),
                reference: text("main"),
                secret: text("projects/p/secrets/s"),
            }),
            kernels: Some(GuestKernels { python: text("3.12"), packages: vec!["pandas>=2".to_owned()] }),
            status: Some(GuestStatusPort { port: 8889, token_hash: "cd".repeat(32) }),
            packages: Some(GuestPackages {
                jupyterlab: text("4.6.6"),
                index: text("https://pypi.example/simple"),
                gcsfuse: text("https://example.org/gcsfuse.deb"),
                accelerator_driver: text("https://example.org/installer.pyz"),
            }),
        }),
    }
}

#[test]
fn the_guest_reads_every_field_of_the_settings() {
    let said = python(
        "import sys; from rehost_guest.settings import parse; s = parse(sys.stdin.read()); \
         print(s.role, s.home.copied_from, s.base_path, len(s.token_hashes), s.accelerators, s.buckets[0].prefix, \
         s.buckets[0].read_only, s.source.reference, s.source.secret, s.kernels.python, *s.kernels.packages, \
         s.status.port, s.packages.index, s.packages.gcsfuse, s.packages.accelerator_driver)",
        &serde_json::to_string(&everything()).expect("JSON"),
    );
    assert_eq!(
        said,
        "Serve c-0 /team-a/taxi/ 1 2 taxi/ True main projects/p/secrets/s 3.12 pandas>=2 8889 \
         https://pypi.example/simple https://example.org/gcsfuse.deb https://example.org/installer.pyz"
    );
}

#[test]
fn the_guest_reads_the_least_settings() {
    let least = GuestSettings { offer: Box::default(), ..everything() };
    let text = serde_json::to_string(&least).expect("JSON");
    let script = "import sys; from rehost_guest.settings import parse; print(parse(sys.stdin.read()).base_path)";
    assert_eq!(python(script, &text), "/");
}

#[test]
fn the_controller_reads_every_state_and_failure_that_the_guest_has_a_word_for() {
    let words = python(
        "from rehost_guest import home, report, supervisor as s; \
         print(report.PREPARING, report.STANDBY, report.SERVING, report.RELEASED, report.FAILED, '|', \
         home.CONTENT_MISMATCH, home.FOREIGN_FILESYSTEM, home.FILESYSTEM_DAMAGED, s.JUPYTER_FAILED, s.ACCELERATOR_MISSING)",
        "",
    );
    let (states, failures) = words.split_once('|').expect("two lists");
    let read = |state: &str, failure: &str| {
        let text = format!(r#"{{"bootId":"b","nonce":"n","state":"{state}"{failure}}}"#);
        serde_json::from_str::<GuestReport>(&text).unwrap_or_else(|error| panic!("{text}: {error}"))
    };
    for state in states.split_whitespace() {
        read(state, "");
    }
    let full = python(
        "import json; from rehost_guest.observer import trouble_of; from pathlib import Path; \
         print(json.dumps(trouble_of(Path('/nowhere'))))",
        "",
    );
    let trouble = read("Serving", &format!(r#","homeTrouble":{full}"#)).seen.home_trouble.expect("it is read");
    assert_eq!(trouble.reason, "Unreadable");
    for failure in failures.split_whitespace() {
        assert_eq!(read("Failed", &format!(r#","failure":"{failure}""#)).state, GuestState::Failed);
    }
}

/// What a pod's check writes as its termination message.
#[test]
fn the_controller_reads_what_the_check_of_a_pod_refuses() {
    let script = "import json, pathlib, sys, tempfile; from rehost_guest import pod; from rehost_guest.paths import Paths; \
         scratch = tempfile.TemporaryDirectory(); place = pathlib.Path(scratch.name); (place / 'disk').mkdir(); (place / 's').write_text(sys.stdin.read()); \
         paths = Paths(place); paths.make(); code = pod.check(paths, place / 's', place / 'disk', place / 'said'); \
         print((place / 'said').read_text())";
    let settings = GuestSettings { offer: Box::default(), ..everything() };
    let expected = GuestHome { format: false, ..settings.home.clone() };
    let settings = GuestSettings { home: expected, ..settings };
    let said = python(script, &serde_json::to_string(&settings).expect("JSON"));
    let said = said.lines().last().expect("a line");
    let refusal: GuestRefusal = serde_json::from_str(said).unwrap_or_else(|error| panic!("{said}: {error}"));
    assert_eq!((refusal.failure, refusal.content_id), (GuestFailure::ContentMismatch, None));
    assert!(refusal.message.contains("c-1"), "{said}");
}
