//! The properties that must hold in every run, whatever fails in it.
//!
//! Each oracle has a name and a sentence. It looks at both worlds' own truth ([`Scene`]) and at what the controller is
//! about to change ([`Change`]), never at what the controller thinks. Every one has a planted fault in ring 2 that it,
//! and it alone, must catch.

mod accounts;
mod content;
mod convergence;
mod finalizer;
mod hosts;
mod ownership;
mod reasons;
mod sleepers;
mod truth;
mod words;

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::kube::Call;
use crate::sim::scene::Scene;
use crate::world::{Method, Request, World};

pub use accounts::Accounts;
pub use content::Content;
pub use convergence::{IdleLooks, Stillness};
pub use finalizer::Finalizer;
pub use hosts::Hosts;
pub use ownership::Ownership;
pub use reasons::Reasons;
pub use sleepers::Sleepers;
pub use truth::Truth;
pub use words::Words;

/// A change that the controller asked for and that is about to take effect.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// In Compute Engine.
    Cloud(&'a Request),
    /// In the cluster.
    Cluster(&'a Call),
}

impl Change<'_> {
    /// Whether the request can change anything at all.
    pub fn changes_something(&self) -> bool {
        match self {
            Self::Cloud(request) => request.method != Method::Get,
            Self::Cluster(call) => call.verb.is_write(),
        }
    }
}

/// One property.
pub trait Oracle: Send {
    /// A short name, by which a planted fault says whom it is for.
    fn name(&self) -> &'static str;
    /// The property, as a sentence.
    fn sentence(&self) -> &'static str;
    /// Before a change of the controller's takes effect. Gives back what is wrong.
    fn change(&mut self, _scene: &Scene, _change: Change<'_>) -> Vec<String> {
        Vec::new()
    }
    /// After every step: a request that was handled, something that happened by itself.
    fn step(&mut self, _scene: &Scene) -> Vec<String> {
        Vec::new()
    }
    /// At rest: everything has converged, and nothing was asked for since.
    fn rest(&mut self, _scene: &Scene, _world: &World) -> Vec<String> {
        Vec::new()
    }
}

/// A property that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The oracle's name.
    pub oracle: &'static str,
    /// Its sentence.
    pub sentence: &'static str,
    /// When it was first seen.
    pub at: Timestamp,
    /// What was found.
    pub found: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "[{}] {} Found: {}", self.oracle, self.sentence, self.found)
    }
}

/// All oracles of a run, and what they found.
pub struct Judge {
    oracles: Vec<Box<dyn Oracle>>,
    violations: Vec<Violation>,
    /// What was found already: the same finding at every later step says nothing new.
    known: BTreeSet<(&'static str, String)>,
}

impl Default for Judge {
    fn default() -> Self {
        Self::new()
    }
}

impl Judge {
    /// All of them.
    pub fn new() -> Self {
        let oracles: Vec<Box<dyn Oracle>> = vec![
            Box::new(Hosts),
            Box::new(Accounts::default()),
            Box::new(Ownership),
            Box::new(Content::default()),
            Box::new(Finalizer::default()),
            Box::new(Words::default()),
            Box::new(Reasons),
            Box::new(Sleepers),
            Box::new(Truth),
        ];
        Self { oracles, violations: Vec::new(), known: BTreeSet::new() }
    }

    /// Before a change takes effect.
    pub fn change(&mut self, scene: &Scene, change: Change<'_>) {
        self.ask(scene, |oracle| oracle.change(scene, change));
    }

    /// After a step.
    pub fn step(&mut self, scene: &Scene) {
        self.ask(scene, |oracle| oracle.step(scene));
    }

    /// At rest.
    pub fn rest(&mut self, scene: &Scene, world: &World) {
        self.ask(scene, |oracle| {
            let mut found = oracle.step(scene);
            found.extend(oracle.rest(scene, world));
            found
        });
    }

    /// Something that was found by counting rather than by looking: the oracles of stillness and of convergence.
    pub fn found(&mut self, at: Timestamp, oracle: &'static str, sentence: &'static str, found: String) {
        if self.known.insert((oracle, found.clone())) {
            self.violations.push(Violation { oracle, sentence, at, found });
        }
    }

    fn ask(&mut self, scene: &Scene, mut question: impl FnMut(&mut dyn Oracle) -> Vec<String>) {
        let Self { oracles, violations, known } = self;
        for oracle in oracles {
            for found in question(oracle.as_mut()) {
                if known.insert((oracle.name(), found.clone())) {
                    let (oracle, sentence) = (oracle.name(), oracle.sentence());
                    violations.push(Violation { oracle, sentence, at: scene.now, found });
                }
            }
        }
    }

    /// What was found.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The oracles that found something.
    pub fn accusers(&self) -> BTreeSet<&'static str> {
        self.violations.iter().map(|violation| violation.oracle).collect()
    }
}
