//! (e) Stillness at rest, and no look without a cause. Both are counted, not looked at.

use std::collections::BTreeMap;

/// Oracle (e): what was written while nothing was to be done.
#[derive(Clone, Debug, Default)]
pub struct Stillness {
    /// Writes of the controller to the API server, by verb and resource.
    pub writes: BTreeMap<String, usize>,
    /// Changes of the controller in the cloud, by method and path.
    pub mutations: BTreeMap<String, usize>,
}

impl Stillness {
    /// The oracle's name.
    pub const NAME: &'static str = "stillness";
    /// Its sentence.
    pub const SENTENCE: &'static str = "At rest there are no writes at all, to Kubernetes or to Compute Engine.";

    /// What is wrong.
    pub fn found(&self) -> Vec<String> {
        let all = self.writes.iter().chain(&self.mutations);
        all.map(|(what, times)| format!("{what}, {times} times")).collect()
    }
}

/// Looks and requests for which there was no cause.
#[derive(Clone, Debug, Default)]
pub struct IdleLooks {
    /// Looks that the controller took.
    pub looks: usize,
    /// Requests that are neither a watch nor a sweep's list.
    pub requests: BTreeMap<String, usize>,
}

impl IdleLooks {
    /// The oracle's name.
    pub const NAME: &'static str = "idle looks";
    /// Its sentence.
    pub const SENTENCE: &'static str =
        "At rest no reconcile runs without a cause, and nothing is asked but by sweeps and watches.";

    /// What is wrong, where `causes` looks had a cause.
    pub fn found(&self, causes: usize) -> Vec<String> {
        let mut found: Vec<String> =
            self.requests.iter().map(|(what, times)| format!("{what}, {times} times")).collect();
        if self.looks > causes {
            found.push(format!("{} looks for {causes} causes", self.looks));
        }
        found
    }
}
