//! What lives have reached: deeds and faults, the controller's actions, the reasons and phases that status had, the steps of changes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rehost_api::conditions::Reason;
use serde_json::Value;

/// How often each thing was reached, by kind and name.
#[derive(Clone, Debug, Default)]
pub struct Reached(BTreeMap<(&'static str, String), u64>);

/// Reasons that the controller does not write, or that no life can bring about yet, each with why.
pub const NEVER_WRITTEN: &[(Reason, &str)] = &[
    (Reason::Stopped, "a stop is told by its cause: Asked, Idle"),
    (Reason::Suspended, "so is a suspension"),
    (Reason::NotDeclared, "what is not declared has no condition"),
    (Reason::InUse, "use is not told while the host says how it is used"),
    (Reason::Preempted, "no life is on a Spot machine whose onPreemption is Stop yet"),
    (Reason::LimitReached, "the class's limits are not counted yet"),
    (Reason::UnknownZone, "a zone that there is not is told by its machine types yet"),
    (Reason::ChangedByHand, "what was changed by hand is told as HostFailed"),
    (Reason::IpSpaceExhausted, "no life fills a subnetwork yet"),
    (Reason::ImageMismatch, "no life names an image yet"),
    (Reason::FetchFailed, "simulated guests always fetch"),
    (Reason::DirtyTree, "nobody works in a simulated tree"),
    (Reason::MountFailed, "simulated pods mount what they can"),
    (Reason::ContentMismatch, "nobody exchanges a home in a life yet"),
    (Reason::HomeFull, "simulated guests never fill a home"),
    (Reason::HomeDamaged, "nor damage one"),
];

impl Reached {
    fn count(&mut self, kind: &'static str, name: String) {
        *self.0.entry((kind, name)).or_default() += 1;
    }

    /// A deed of people or weather.
    pub fn deed(&mut self, name: String) {
        self.count("deed", name);
    }

    /// A change that the controller asked for, in the cloud or in the cluster.
    pub fn action(&mut self, name: String) {
        self.count("action", name);
    }

    /// A status that the controller wrote.
    pub fn status(&mut self, status: &Value) {
        for condition in status["conditions"].as_array().into_iter().flatten() {
            if let Some(reason) = condition["reason"].as_str() {
                self.count("reason", reason.to_owned());
            }
        }
        if let Some(phase) = status["phase"].as_str() {
            self.count("phase", phase.to_owned());
        }
        let transition = &status["transition"];
        if let (Some(kind), Some(step)) = (transition["kind"].as_str(), transition["step"].as_str()) {
            self.count("step", format!("{kind}/{step}"));
        }
        for retry in [&status["retry"]["reason"], &transition["reason"]["reason"]] {
            if let Some(reason) = retry.as_str() {
                self.count("reason", reason.to_owned());
            }
        }
    }

    /// An event that the controller wrote.
    pub fn event(&mut self, event: &Value) {
        if let Some(reason) = event["reason"].as_str() {
            self.count("reason", reason.to_owned());
        }
    }

    /// Another life's.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(key.clone()).or_default() += count;
        }
    }

    /// Reasons that were never reached.
    pub fn missing_reasons(&self) -> Vec<&'static str> {
        let written = |reason: &&Reason| NEVER_WRITTEN.iter().all(|(never, _)| never != *reason);
        let reached = |reason: &Reason| self.0.contains_key(&("reason", reason.as_str().to_owned()));
        Reason::ALL.iter().filter(written).filter(|reason| !reached(reason)).map(|reason| reason.as_str()).collect()
    }

    /// The table, one line for each kind.
    pub fn words(&self) -> String {
        let mut lines: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for ((kind, name), count) in &self.0 {
            lines.entry(kind).or_default().push(format!("{name} {count}"));
        }
        let mut text = String::new();
        for (kind, all) in &lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{kind}s reached ({}): {}", all.len(), all.join(", "));
        }
        text
    }
}
