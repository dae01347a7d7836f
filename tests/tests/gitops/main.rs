//! What Argo CD, Flux and kstatus make of a notebook: the rules in `config/gitops`, over every status of a notebook's whole life.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod argo;
mod flux;
mod kstatus;
mod life;

use std::collections::{BTreeMap, BTreeSet};

use life::Row;
use rehost_tests::manifests::root;
use serde_json::Value;

/// What a tool makes of an object. Argo CD's words are Healthy, Progressing and Degraded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Current,
    /// On its way.
    InProgress,
    /// A person must act.
    Failed,
    /// Being deleted.
    Terminating,
}

impl Row {
    /// What the row of the product's table is for who waits for manifests to be carried out.
    fn verdict(self) -> Verdict {
        match self {
            Self::Running | Self::Stopped | Self::ChangePending => Verdict::Current,
            Self::BrandNew | Self::NotObserved | Self::Stockout | Self::Changing => Verdict::InProgress,
            Self::Refused => Verdict::Failed,
            Self::Deleting => Verdict::Terminating,
        }
    }
}

fn in_the_tree(path: &str) -> Value {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

#[test]
fn all_tools_say_of_every_status_what_its_row_means() {
    let life = life::every_status();
    let argo = argo::Health::of(&in_the_tree("config/gitops/argocd-cm.yaml"), "rehost.dev_Notebook");
    let flux = flux::Evaluator::of(&in_the_tree("config/gitops/flux.yaml"), "Notebook");
    let mut rows = BTreeMap::<Row, usize>::new();
    let mut wrong = BTreeSet::new();
    for notebook in &life {
        let row = Row::of(notebook);
        *rows.entry(row).or_default() += 1;
        let expected = row.verdict();
        let (argo, message) = argo.judge(notebook);
        // Argo CD itself says of what is being deleted that it progresses, and Flux does not look at it.
        let progressing = if expected == Verdict::Terminating { Verdict::InProgress } else { expected };
        let verdicts = [
            ("Argo CD", argo, progressing),
            ("Flux", flux.judge(notebook), progressing),
            ("kstatus", kstatus::compute(notebook), expected),
        ];
        for (tool, found, expected) in verdicts {
            if found != expected {
                wrong
                    .insert(format!("{tool} says {found:?} of {row:?}, which is {expected:?}: {}", notebook["status"]));
            }
        }
        assert!(!message.is_empty(), "Argo CD shows a sentence: {notebook}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), Row::ALL, "the life has every row: {rows:?}");
}

#[test]
fn argo_says_why_a_notebook_is_degraded() {
    let life = life::every_status();
    let argo = argo::Health::of(&in_the_tree("config/gitops/argocd-cm.yaml"), "rehost.dev_Notebook");
    let refused = life.iter().find(|notebook| Row::of(notebook) == Row::Refused).unwrap();
    let (_, message) = argo.judge(refused);
    assert!(message.contains("spec.host.vm.machineType") && message.contains("m1-ultramem-40"), "{message}");
}

#[test]
fn argo_has_rules_only_for_kinds_that_have_conditions() {
    let patch = in_the_tree("config/gitops/argocd-cm.yaml");
    let keys: Vec<&String> = patch["data"].as_object().unwrap().keys().collect();
    // Nothing writes the status of a class: a rule that waits for it would wait for ever.
    assert_eq!(keys, ["resource.customizations.health.rehost.dev_Notebook"]);
}
