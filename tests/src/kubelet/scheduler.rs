//! Which node takes a pod.

use std::collections::BTreeMap;

use rehost::watch::slim::{bytes, millis};
use serde_json::Value;

use super::{Kubelet, text};

/// Amounts of what nodes have and pods ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Amounts(BTreeMap<String, u64>);

impl Amounts {
    pub(super) fn of(value: &Value) -> Self {
        let amounts = value.as_object().into_iter().flatten().filter_map(|(name, amount)| {
            let amount = amount.as_str()?;
            let amount = if name == "cpu" { millis(amount) } else { bytes(amount) };
            Some((name.clone(), amount?))
        });
        Self(amounts.collect())
    }

    pub(super) fn asked_by(pod: &Value) -> Self {
        let mut all = Self::default();
        for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
            all.add(&Self::of(&container["resources"]["requests"]));
        }
        all
    }

    fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            *self.0.entry(name.clone()).or_insert(0) += amount;
        }
    }

    /// What of `asked` is more than there is.
    pub(super) fn lacks(&self, asked: &Self) -> Option<String> {
        asked
            .0
            .iter()
            .find(|(name, amount)| self.0.get(*name).copied().unwrap_or(0) < **amount)
            .map(|(name, _)| name.clone())
    }

    fn without(&self, used: &Self) -> Self {
        let left = |(name, amount): (&String, &u64)| {
            (name.clone(), amount.saturating_sub(used.0.get(name).copied().unwrap_or(0)))
        };
        Self(self.0.iter().map(left).collect())
    }
}

impl Kubelet {
    /// What a node has at all, and what of it no other pod than this one has taken.
    pub(super) fn room(&self, node: &str, but: &str) -> (Amounts, Amounts) {
        let all =
            self.store.nodes.get(node).map(|node| Amounts::of(&node["status"]["allocatable"])).unwrap_or_default();
        let mut used = Amounts::default();
        for (name, pod) in &self.store.pods {
            let over = matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"));
            if name != but && !over && pod["spec"]["nodeName"] == node {
                used.add(&Amounts::asked_by(pod));
            }
        }
        let free = all.without(&used);
        (all, free)
    }

    /// The node for a pod, or the scheduler's sentence.
    pub(super) fn node_for(&self, key: &str, pod: &Value) -> Result<String, String> {
        let asked = Amounts::asked_by(pod);
        let (mut unfit, mut full): (u32, BTreeMap<String, u32>) = (0, BTreeMap::new());
        for (name, node) in &self.store.nodes {
            if !self.fits(pod, node) {
                unfit += 1;
                continue;
            }
            match self.room(name, key).1.lacks(&asked) {
                None => return Ok(name.clone()),
                Some(resource) => *full.entry(resource).or_insert(0) += 1,
            }
        }
        let mut why: Vec<String> =
            full.iter().map(|(resource, count)| format!("{count} Insufficient {resource}")).collect();
        if unfit > 0 {
            why.push(format!("{unfit} node(s) didn't match Pod's node affinity/selector"));
        }
        Err(format!("0/{} nodes are available: {}.", self.store.nodes.len(), why.join(", ")))
    }

    fn fits(&self, pod: &Value, node: &Value) -> bool {
        let labels = &node["metadata"]["labels"];
        let selected =
            pod["spec"]["nodeSelector"].as_object().into_iter().flatten().all(|(key, value)| labels[key] == *value);
        let affinity = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        let volume = self.claim_of(pod).and_then(|claim| self.store.volumes.get(&text(&claim["spec"]["volumeName"])));
        let reachable = volume.is_none_or(|volume| matches_terms(&volume["spec"]["nodeAffinity"]["required"], labels));
        selected && matches_terms(affinity, labels) && reachable
    }
}

fn matches_terms(selector: &Value, labels: &Value) -> bool {
    let Some(terms) = selector["nodeSelectorTerms"].as_array() else { return true };
    terms
        .iter()
        .any(|term| term["matchExpressions"].as_array().into_iter().flatten().all(|it| matches_expression(it, labels)))
}

fn matches_expression(expression: &Value, labels: &Value) -> bool {
    let label = labels[expression["key"].as_str().unwrap_or_default()].as_str();
    let listed = |label: &str| expression["values"].as_array().into_iter().flatten().any(|value| value == label);
    match expression["operator"].as_str() {
        Some("In") => label.is_some_and(listed),
        Some("NotIn") => !label.is_some_and(listed),
        Some("Exists") => label.is_some(),
        Some("DoesNotExist") => label.is_none(),
        _ => false,
    }
}
