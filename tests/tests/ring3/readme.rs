//! Every command in README.md, as it stands there, does what README says.

use std::time::Duration;

use rehost_api::Notebook;
use rehost_api::labels::{RESTART, STOP, WAKE};
use rehost_tests::control_plane::Shell;
use rehost_tests::manifests::root;
use rehost_tests::quickstart::HERO;
use rehost_tests::quickstart::board;
use serde_json::Value;

use super::{Ring, in_the_tree};

/// What a reader types, in the order of the page.
#[derive(Debug, Default)]
pub struct Readme {
    /// Those that need no cluster.
    cargo: Vec<String>,
    /// The one that brings the operator into the cluster.
    pub install: String,
    /// What is typed then.
    typed: Vec<String>,
    /// The manifests on the page.
    manifests: Vec<String>,
}

impl Readme {
    /// Reads the page.
    pub fn read() -> Self {
        let mut readme = Self::default();
        for (language, text) in pieces(&in_the_tree("README.md")) {
            match language.as_str() {
                "sh" => commands(&text).into_iter().for_each(|command| readme.take(command)),
                "yaml" => readme.manifests.push(text),
                other => panic!("README has a block of {other:?}, which this test does not know: {text}"),
            }
        }
        assert!(!readme.install.is_empty() && readme.typed.len() >= 8, "commands are missing: {readme:#?}");
        readme
    }

    fn take(&mut self, command: String) {
        let program = command.split_whitespace().next().unwrap_or_default();
        match program {
            "cargo" => self.cargo.push(command),
            "helm" if self.install.is_empty() && command.starts_with("helm install ") => self.install = command,
            "kubectl" | "helm" => self.typed.push(command),
            other => panic!("README has a command that this test does not know how to run, {other:?}: {command}"),
        }
    }
}

/// The fenced blocks with their language, and what stands in the prose as a whole command, in the order of the page.
fn pieces(page: &str) -> Vec<(String, String)> {
    let mut pieces = Vec::new();
    let mut prose = String::new();
    let mut fence: Option<(String, String)> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), fence.take()) {
            (Some(language), None) => {
                pieces.extend(inline(&std::mem::take(&mut prose)));
                fence = Some((language.to_owned(), String::new()));
            }
            (Some(_), Some(block)) => pieces.push(block),
            (None, Some((language, text))) => fence = Some((language, format!("{text}{line}\n"))),
            (None, None) => prose.extend([line, "\n"]),
        }
    }
    assert!(fence.is_none(), "README has a block without an end: {fence:?}");
    pieces.extend(inline(&prose));
    pieces
}

/// Between backticks, and more than the name of a program.
fn inline(prose: &str) -> Vec<(String, String)> {
    let spans = prose.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>());
    let is_command =
        |words: &Vec<&str>| words.len() > 1 && ["kubectl", "helm", "kustomize", "cargo", "gcloud"].contains(&words[0]);
    spans.filter(is_command).map(|words| ("sh".to_owned(), words.join(" "))).collect()
}

/// One command a line; a line that ends with a backslash goes on.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

pub async fn does_what_it_says(ring: &Ring, readme: &Readme) {
    let check = in_the_tree(".ci/run");
    for command in &readme.cargo {
        assert!(check.contains(command.as_str()), "README says `{command}`, and .ci/run does not run it");
    }
    let shell = ring.stand.plane.shell(&root()).expect("kubectl and helm");
    let mut lived = Vec::new();
    for command in &readme.typed {
        eprintln!("    $ {command}");
        let said = shell.output(command).await.unwrap_or_else(|error| panic!("README: {error}"));
        assert!(!said.trim().is_empty(), "README: {command} says nothing");
        if let Some(notebook) = settled(ring).await {
            let now = in_short(&notebook);
            if lived.last() != Some(&now) {
                lived.push(now);
            }
        }
    }
    let expected = [
        "Running on VM n1-standard-4",
        "Running on VM n1-standard-8",
        "Running on Pod 4 cpu, 16Gi",
        "Stopped",
        "Running on Pod 4 cpu, 16Gi",
    ];
    assert_eq!(lived, expected, "what the commands made of the notebook");
    leave_nothing(ring).await;
    manifests_are_taken(&shell, &readme.manifests).await;
}

/// The page's notebook once all that was asked of it is done.
async fn settled(ring: &Ring) -> Option<Notebook> {
    ring.person.notebooks().get_opt(HERO).await.expect("the server answers")?;
    // The board hears of an edit some moments after the one who made it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    ring.until("does as the page says", HERO, |notebook| {
        notebook.is_some_and(|notebook| board::is_ready(notebook) && requests_are_handled(notebook))
    })
    .await
}

fn requests_are_handled(notebook: &Notebook) -> bool {
    let handled = board::status(notebook).handled.unwrap_or_default();
    let asked = |key: &str| notebook.metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
    [(STOP, handled.stop), (WAKE, handled.wake), (RESTART, handled.restart)]
        .into_iter()
        .all(|(key, done)| asked(key).is_none() || asked(key) == done)
}

fn in_short(notebook: &Notebook) -> String {
    match board::status(notebook).host.filter(|_| board::says(notebook, "Serving") == "True") {
        Some(host) => {
            format!("Running on {} {}", serde_json::json!(host.kind).as_str().unwrap_or_default(), host.shape)
        }
        None => "Stopped".to_owned(),
    }
}

async fn manifests_are_taken(shell: &Shell, manifests: &[String]) {
    for manifest in manifests {
        let Value::Object(parsed) = serde_saphyr::from_str(manifest).expect("README has YAML") else {
            panic!("README has a manifest that is none: {manifest}")
        };
        let manifest = Value::Object(parsed).to_string().replace('\'', "'\\''");
        let apply = format!("echo '{manifest}' | kubectl apply --server-side --dry-run=server -f -");
        shell.output(&apply).await.unwrap_or_else(|error| panic!("README: {error}"));
    }
}

/// The notebook goes, and its kept disk too, so that another of its name finds none.
async fn leave_nothing(ring: &Ring) {
    ring.delete(&[HERO.to_owned()]).await;
    ring.forget_kept_disks(HERO).await;
}
