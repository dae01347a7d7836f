//! Which node a pod goes to. A pure function of what is known.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, Pod, Taint, Toleration};
use kube::ResourceExt as _;

use super::cache::{Cache, is_over, node_of};
use crate::kube::Quantity;

/// Why a pod stays where it is, in the words of the real scheduler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unschedulable(pub String);

/// Amounts by resource: CPU in thousandths, all others whole.
pub type Amounts = BTreeMap<String, i128>;

fn amount(name: &str, text: &str) -> i128 {
    let quantity = Quantity::parse(text);
    quantity.map_or(0, |quantity| if name == "cpu" { quantity.milli() } else { quantity.whole() })
}

/// What a pod asks for: the sum of its containers, or its largest init container.
pub fn requests(pod: &Pod) -> Amounts {
    let mut total = Amounts::new();
    let Some(spec) = &pod.spec else { return total };
    let of = |resources: Option<&k8s_openapi::api::core::v1::ResourceRequirements>| -> Amounts {
        let requests = resources.and_then(|resources| resources.requests.clone()).unwrap_or_default();
        requests.iter().map(|(name, quantity)| (name.clone(), amount(name, &quantity.0))).collect()
    };
    for container in &spec.containers {
        for (name, amount) in of(container.resources.as_ref()) {
            *total.entry(name).or_default() += amount;
        }
    }
    for container in spec.init_containers.iter().flatten() {
        for (name, amount) in of(container.resources.as_ref()) {
            let entry = total.entry(name).or_default();
            *entry = (*entry).max(amount);
        }
    }
    total.insert("pods".to_owned(), 1);
    total
}

/// What a node has for pods.
pub fn allocatable(node: &Node) -> Amounts {
    let list = node.status.as_ref().and_then(|status| status.allocatable.clone()).unwrap_or_default();
    list.iter().map(|(name, quantity)| (name.clone(), amount(name, &quantity.0))).collect()
}

/// What a node has left, but for one pod.
pub fn free(cache: &Cache, assumed: &BTreeMap<String, String>, node: &Node, but: Option<&str>) -> Amounts {
    let mut left = allocatable(node);
    let name = node.name_any();
    for pod in cache.pods.iter() {
        let uid = pod.uid().unwrap_or_default();
        let here = node_of(pod).or_else(|| assumed.get(&uid).map(String::as_str)) == Some(name.as_str());
        if !here || is_over(pod) || but == Some(uid.as_str()) {
            continue;
        }
        for (resource, amount) in requests(pod) {
            *left.entry(resource).or_default() -= amount;
        }
    }
    left
}

/// The resources of which there is not enough.
pub fn short(wanted: &Amounts, there: &Amounts) -> Vec<String> {
    let lacking = wanted.iter().filter(|(name, amount)| **amount > there.get(*name).copied().unwrap_or(0));
    lacking.map(|(name, _)| name.clone()).collect()
}

/// Picks a node: of those that fit, the first with the most free CPU.
///
/// `assumed` are pods that were placed a moment ago, which the cache does not show yet.
pub fn place(pod: &Pod, cache: &Cache, assumed: &BTreeMap<String, String>) -> Result<String, Unschedulable> {
    volumes_allow(pod, cache)?;
    let wanted = requests(pod);
    let mut best: Option<(i128, String)> = None;
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let nodes = cache.nodes.all();
    for node in &nodes {
        let why = refusals(pod, cache, assumed, node, &wanted);
        if why.is_empty() {
            let cpu = free(cache, assumed, node, None).get("cpu").copied().unwrap_or(0);
            if best.as_ref().is_none_or(|(most, _)| cpu > *most) {
                best = Some((cpu, node.name_any()));
            }
        }
        for reason in why {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    best.map(|(_, name)| name).ok_or_else(|| {
        let list: Vec<String> = reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let preemption = "preemption: 0/0 nodes are available";
        let said = if list.is_empty() { "no nodes available to schedule pods".to_owned() } else { list.join(", ") };
        if nodes.is_empty() {
            Unschedulable(said)
        } else {
            Unschedulable(format!("0/{} nodes are available: {said}. {preemption}.", nodes.len()))
        }
    })
}

/// What does not depend on the node: claims are there, and nobody else has a claim that only one pod may have.
fn volumes_allow(pod: &Pod, cache: &Cache) -> Result<(), Unschedulable> {
    let namespace = pod.namespace().unwrap_or_default();
    let (uid, count) = (pod.uid(), cache.nodes.iter().count());
    for name in Cache::claims_of(pod) {
        let Some(claim) = cache.claims.get(&namespace, name) else {
            return Err(Unschedulable(format!(
                "0/{count} nodes are available: persistentvolumeclaim {name:?} not found. preemption: 0/{count} nodes are available: {count} Preemption is not helpful for scheduling."
            )));
        };
        let one_pod = claim.spec.as_ref().and_then(|spec| spec.access_modes.as_ref());
        let one_pod = one_pod.is_some_and(|modes| modes.iter().any(|mode| mode == "ReadWriteOncePod"));
        let others = cache.users(&namespace, name).any(|other| other.uid() != uid && node_of(other).is_some());
        if one_pod && others {
            return Err(Unschedulable(format!(
                "0/{count} nodes are available: {count} node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode. preemption: 0/{count} nodes are available."
            )));
        }
        let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
        if phase == Some("Lost") {
            return Err(Unschedulable(format!(
                "0/{count} nodes are available: persistentvolumeclaim {name:?} bound to non-existent persistentvolume. preemption: 0/{count} nodes are available."
            )));
        }
        if phase != Some("Bound") && !waits_for_consumer(claim, cache) {
            return Err(Unschedulable(format!(
                "0/{count} nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/{count} nodes are available: {count} Preemption is not helpful for scheduling."
            )));
        }
    }
    Ok(())
}

/// Is the claim bound only once a pod is placed?
pub fn waits_for_consumer(claim: &k8s_openapi::api::core::v1::PersistentVolumeClaim, cache: &Cache) -> bool {
    let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or("");
    let class = cache.classes.get("", class);
    class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
}

fn refusals(
    pod: &Pod,
    cache: &Cache,
    assumed: &BTreeMap<String, String>,
    node: &Node,
    wanted: &Amounts,
) -> Vec<String> {
    let spec = pod.spec.clone().unwrap_or_default();
    let tolerations = spec.tolerations.unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    if node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true) {
        return vec!["node(s) were unschedulable".to_owned()];
    }
    let repelled = |taint: &&Taint| taint.effect != "PreferNoSchedule" && !tolerates(&tolerations, taint);
    if let Some(taint) = taints.iter().find(repelled) {
        let value = taint.value.clone().unwrap_or_default();
        return vec![format!("node(s) had untolerated taint {{{}: {value}}}", taint.key)];
    }
    let labels = node.labels();
    let selector = spec.node_selector.unwrap_or_default();
    let affinity = spec.affinity.and_then(|affinity| affinity.node_affinity);
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution);
    let chosen = selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|required| any_term(&required.node_selector_terms, node));
    if !chosen {
        return vec!["node(s) didn't match Pod's node affinity/selector".to_owned()];
    }
    if !volumes_reach(pod, cache, node) {
        return vec!["node(s) didn't match PersistentVolume's node affinity".to_owned()];
    }
    let there = free(cache, assumed, node, pod.uid().as_deref());
    let reason = |resource: String| match resource.as_str() {
        "pods" => "Too many pods".to_owned(),
        _ => format!("Insufficient {resource}"),
    };
    short(wanted, &there).into_iter().map(reason).collect()
}

fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| {
        let exists = toleration.operator.as_deref() == Some("Exists");
        let key = toleration.key.as_deref().unwrap_or("");
        let effect = toleration.effect.as_deref().unwrap_or("");
        (effect.is_empty() || effect == taint.effect)
            && ((key.is_empty() && exists) || key == taint.key)
            && (exists || toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or(""))
    })
}

/// One of the terms matches; within a term, all expressions do.
pub fn any_term(terms: &[NodeSelectorTerm], node: &Node) -> bool {
    terms.iter().any(|term| {
        let expressions = term.match_expressions.iter().flatten().all(|expression| {
            let found = node.labels().get(&expression.key).map(String::as_str);
            holds(&expression.operator, found, expression.values.as_deref().unwrap_or_default())
        });
        let name = node.name_any();
        let fields = term.match_fields.iter().flatten().all(|field| {
            let found = (field.key == "metadata.name").then_some(name.as_str());
            holds(&field.operator, found, field.values.as_deref().unwrap_or_default())
        });
        let empty = term.match_expressions.is_none() && term.match_fields.is_none();
        !empty && expressions && fields
    })
}

fn holds(operator: &str, found: Option<&str>, values: &[String]) -> bool {
    let listed = found.is_some_and(|found| values.iter().any(|value| value == found));
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
    let bound = values.first().and_then(|value| value.parse::<i64>().ok());
    match operator {
        "In" => listed,
        "NotIn" => !listed,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => number(found).zip(bound).is_some_and(|(found, bound)| found > bound),
        "Lt" => number(found).zip(bound).is_some_and(|(found, bound)| found < bound),
        _ => false,
    }
}

/// Bound volumes can be attached to the node.
fn volumes_reach(pod: &Pod, cache: &Cache, node: &Node) -> bool {
    let namespace = pod.namespace().unwrap_or_default();
    Cache::claims_of(pod).all(|name| {
        let claim = cache.claims.get(&namespace, name);
        let volume = claim.and_then(|claim| claim.spec.as_ref()?.volume_name.as_deref());
        let Some(volume) = volume.and_then(|volume| cache.volumes.get("", volume)) else { return true };
        let affinity = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
        affinity.is_none_or(|required| any_term(&required.node_selector_terms, node))
    })
}
