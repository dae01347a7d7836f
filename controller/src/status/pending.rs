//! What waits, in words: the difference between what is asked for and what is there.

use crate::desired::Resolution;
use crate::plan::{Plan, Situation, home_difference};

/// The difference between what is asked for and what runs, where one is left.
pub(super) fn pending(resolution: &Resolution, plan: &Plan) -> Option<String> {
    match &plan.situation {
        Situation::ChangePending(words) => Some(words.clone()),
        Situation::Short => lacking(resolution, plan),
        Situation::Substituted(words) => lacking(resolution, plan).map(|lacking| format!("{lacking}, {words}")),
        // Nobody is interrupted by a copy of the home when it is next started.
        Situation::Stopped(_) | Situation::Suspended(_) => {
            let desired = resolution.wish.as_ref().ok()?;
            let home = home_difference(plan.memory.home.as_ref(), &desired.home)?;
            Some(format!("{home}, waits for the next start"))
        }
        Situation::AsDeclared
        | Situation::Changing { .. }
        | Situation::Refused(_)
        | Situation::Unclear(_)
        | Situation::Deleting(_) => None,
    }
}

/// The difference between the wished host and the one that serves in its place, and why.
fn lacking(resolution: &Resolution, plan: &Plan) -> Option<String> {
    let desired = resolution.wish.as_ref().ok()?;
    let host = plan.memory.host.as_ref().filter(|host| host.serving_since.is_some())?;
    let reason = plan.memory.retry.as_ref().map_or("", |retry| retry.reason.as_str());
    let wished = desired.host.shape.text();
    let shape = (host.shape != wished).then(|| format!("{} -> {wished}", host.shape));
    let home = home_difference(plan.memory.home.as_ref(), &desired.home);
    let all: Vec<String> = shape.into_iter().chain(home).chain([reason.to_owned()]).collect();
    Some(all.join(", "))
}
