//! The status that people and machines read, written from the plan. Pure, and the same for the same situation: at rest it
//! does not change, so nothing is written.

mod content;
mod cost;
mod pending;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use rehost_api::conditions::{ConditionStatus, ConditionType, Reason, condition};
use rehost_api::labels;
use rehost_api::status::{
    HostKind, HostRecord, KernelState, Kernels, NotebookStatus, Phase, Step, StopReason, Transition, TransitionKind,
};

use crate::desired::Resolution;
use crate::observe::Observed;
use crate::plan::{Memory, Plan, Situation, kind_reason};

/// What a condition says.
struct Word {
    status: ConditionStatus,
    reason: Reason,
    message: String,
}

impl Word {
    fn new(status: ConditionStatus, reason: Reason, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into() }
    }
}

/// What the situation means for the three conditions that kstatus and the product's table speak of.
struct Verdict {
    ready: Word,
    reconciling: bool,
    stalled: bool,
}

/// Writes the status.
#[must_use]
pub fn status(resolution: &Resolution, observed: &Observed, plan: &Plan, now: Timestamp) -> NotebookStatus {
    let previous = &observed.previous;
    let serving = serves(&plan.memory, observed);
    let verdict = as_declared(resolution, observed, plan, verdict(plan, serving));
    let mut status = NotebookStatus {
        observed_generation: Some(resolution.generation),
        phase: Some(phase(plan, serving)),
        pending: pending::pending(resolution, plan),
        source: content::source(resolution.wish.as_ref().ok(), observed, plan),
        cost: cost::cost(resolution, previous, plan, now),
        ..NotebookStatus::default()
    };
    if let Ok(desired) = &resolution.wish {
        status.url.clone_from(&desired.url);
        status.not_acted_on_yet.clone_from(&desired.not_acted_on_yet);
    } else {
        status.url.clone_from(&previous.url);
        status.not_acted_on_yet.clone_from(&previous.not_acted_on_yet);
    }
    plan.memory.write(&mut status);
    status.conditions = conditions(resolution, observed, plan, verdict, serving, now);
    status
}

fn conditions(
    resolution: &Resolution,
    observed: &Observed,
    plan: &Plan,
    verdict: Verdict,
    serving: bool,
    now: Timestamp,
) -> Vec<Condition> {
    let previous = &observed.previous.conditions;
    let (reason, message) = (verdict.ready.reason, verdict.ready.message.clone());
    let mut words = vec![
        (ConditionType::Ready, verdict.ready),
        (ConditionType::Serving, serving_word(plan, serving)),
        (ConditionType::Reconciling, flag(verdict.reconciling, reason, &message)),
        (ConditionType::Stalled, flag(verdict.stalled, reason, &message)),
        (ConditionType::Home, content::home_said(observed, plan).unwrap_or_else(|| home_word(plan))),
    ];
    if let Ok(desired) = &resolution.wish {
        for (kind, field) in [(ConditionType::Source, "spec.source"), (ConditionType::Activity, "spec.idle")] {
            if let Some(line) = desired.not_acted_on_yet.iter().find(|line| line.starts_with(field)) {
                words.push((kind, Word::new(ConditionStatus::Unknown, Reason::NotActedOnYet, line.clone())));
            }
        }
        for (kind, word) in content::words(desired, observed, plan, &resolution.access) {
            if words.iter().all(|(there, _)| *there != kind) {
                words.push((kind, word));
            }
        }
    }
    words
        .into_iter()
        .map(|(kind, word)| {
            condition(previous, kind, word.status, word.reason, word.message, Some(resolution.generation), now)
        })
        .collect()
}

fn flag(holds: bool, reason: Reason, message: &str) -> Word {
    if holds {
        Word::new(ConditionStatus::True, reason, message)
    } else {
        Word::new(ConditionStatus::False, Reason::AsDeclared, "")
    }
}

fn verdict(plan: &Plan, serving: bool) -> Verdict {
    let word = |status, reason, message: String| Word { status, reason, message };
    match &plan.situation {
        Situation::AsDeclared if serving => Verdict {
            ready: word(
                ConditionStatus::True,
                Reason::AsDeclared,
                format!("{}; everything is as declared.", running_on(plan)),
            ),
            reconciling: false,
            stalled: false,
        },
        Situation::AsDeclared => Verdict {
            ready: word(
                ConditionStatus::False,
                Reason::HostFailed,
                "The host runs, but Jupyter does not answer on it.".into(),
            ),
            reconciling: true,
            stalled: false,
        },
        Situation::Stopped(reason) => Verdict {
            ready: word(ConditionStatus::True, stop_reason(*reason), stop_words(plan, *reason)),
            reconciling: false,
            stalled: false,
        },
        Situation::Suspended(reason) => Verdict {
            ready: word(ConditionStatus::True, stop_reason(*reason), suspended_words(*reason)),
            reconciling: false,
            stalled: false,
        },
        Situation::ChangePending(words) => Verdict {
            ready: word(ConditionStatus::True, Reason::ChangePending, format!("{}; {words}.", running_on(plan))),
            reconciling: false,
            stalled: false,
        },
        Situation::Short => short(plan, None),
        Situation::Substituted(words) => short(plan, Some(words)),
        Situation::Changing { kind, step, detail } => Verdict {
            ready: word(
                ConditionStatus::False,
                change_reason(plan, *kind, *step),
                change_words(plan, *kind, *step, detail),
            ),
            reconciling: true,
            stalled: false,
        },
        Situation::Refused(refusal) => {
            let passing = !refusal.needs_a_person();
            Verdict {
                ready: word(ConditionStatus::False, refusal.reason, format!("{}: {}", refusal.field, refusal.message)),
                reconciling: passing,
                stalled: !passing,
            }
        }
        Situation::Unclear(why) => Verdict {
            ready: word(
                ConditionStatus::Unknown,
                Reason::CloudUnknown,
                format!("Nothing is changed until this is known again: {why}."),
            ),
            reconciling: true,
            stalled: false,
        },
        Situation::Deleting(words) => Verdict {
            ready: word(ConditionStatus::False, Reason::Deleting, deleting_words(words)),
            reconciling: true,
            stalled: false,
        },
    }
}

/// A notebook whose buckets or repository are not as declared is not as declared, though it serves.
fn as_declared(resolution: &Resolution, observed: &Observed, plan: &Plan, verdict: Verdict) -> Verdict {
    match &resolution.wish {
        Ok(desired) if verdict.ready.reason == Reason::AsDeclared => {
            match content::lacking(desired, observed, plan, &resolution.access) {
                Some(word) => {
                    let stalled = matches!(word.reason, Reason::HomeFull | Reason::HomeDamaged);
                    Verdict { ready: word, reconciling: !stalled, stalled }
                }
                None => verdict,
            }
        }
        Ok(_) | Err(_) => verdict,
    }
}

fn deleting_words(words: &str) -> String {
    if words.is_empty() {
        "The notebook is being deleted.".to_owned()
    } else {
        format!("The notebook is being deleted: {words}.")
    }
}

/// Something could not be had: on what it serves meanwhile, and when it is tried again.
fn short(plan: &Plan, waits: Option<&str>) -> Verdict {
    let Some(retry) = &plan.memory.retry else {
        return Verdict {
            ready: Word::new(ConditionStatus::False, Reason::HostFailed, "The wished host could not be had."),
            reconciling: true,
            stalled: false,
        };
    };
    let reason = retry.reason.parse().unwrap_or(Reason::HostFailed);
    let next = match (waits, retry.next_try) {
        (Some(words), _) => format!(" The return to the wished host {words}."),
        (None, Some(at)) => format!(" The next try is at {}.", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
        (None, None) => " It is tried again when the spec changes or rehost.dev/wake is set.".to_owned(),
    };
    let meanwhile = match plan.memory.host.as_ref().filter(|host| host.serving_since.is_some()) {
        Some(host) => format!(" It serves on {} meanwhile.", host.shape),
        None => " No host serves meanwhile; the home is kept.".to_owned(),
    };
    let person = matches!(
        reason,
        Reason::PermissionDenied
            | Reason::ContentMismatch
            | Reason::HomeDamaged
            | Reason::Refused
            | Reason::HomeMissing
            | Reason::NotOurs
    );
    Verdict {
        ready: Word::new(
            ConditionStatus::False,
            reason,
            format!("{}.{meanwhile}{next}", retry.message.trim_end_matches('.')),
        ),
        reconciling: !person,
        stalled: person,
    }
}

fn running_on(plan: &Plan) -> String {
    match &plan.memory.host {
        Some(host) => format!("Jupyter answers on {}", host.shape),
        None => "No host runs".to_owned(),
    }
}

fn stop_reason(reason: StopReason) -> Reason {
    match reason {
        StopReason::Idle => Reason::Idle,
        StopReason::Schedule => Reason::Schedule,
        StopReason::Lifetime => Reason::Lifetime,
        StopReason::Expired => Reason::Expired,
        StopReason::Asked => Reason::Asked,
        StopReason::Preempted => Reason::Preempted,
    }
}

fn why_stopped(reason: StopReason) -> &'static str {
    match reason {
        StopReason::Idle => "because nothing was going on in it",
        StopReason::Schedule => "by its schedule",
        StopReason::Lifetime => "because its lifetime had passed",
        StopReason::Expired => "for good because its lifetime had passed",
        StopReason::Asked => "as asked",
        StopReason::Preempted => "because the cloud took the machine away",
    }
}

fn stop_words(plan: &Plan, reason: StopReason) -> String {
    let kernels = match &plan.memory.kernels {
        Some(Kernels { state: KernelState::Lost, message, .. }) => format!(" Kernels could not be kept: {message}."),
        Some(_) | None => String::new(),
    };
    let home = match (&plan.memory.home, reason) {
        (None, StopReason::Expired) => "the home was deleted, as its deletionPolicy says",
        _ => "the home is kept",
    };
    format!("Stopped {}; {home}.{kernels}", why_stopped(reason))
}

fn suspended_words(reason: StopReason) -> String {
    format!("Suspended {}; kernels are kept. Wake it with the annotation {}.", why_stopped(reason), labels::WAKE)
}

/// A resumed host that has yet to prove itself is still being resumed, as people see it.
fn shown_step(plan: &Plan, kind: TransitionKind, step: Step) -> Step {
    let keeps = plan.memory.kernels.as_ref().is_some_and(|kernels| kernels.state == KernelState::Kept);
    if kind == TransitionKind::Start && keeps { Step::Resume } else { step }
}

fn change_reason(plan: &Plan, kind: TransitionKind, step: Step) -> Reason {
    let step = shown_step(plan, kind, step);
    let goes_back = plan.memory.transition.as_ref().is_some_and(|transition| transition.reason.is_some());
    // A host that could not be resumed is started all the same.
    if goes_back && kind != TransitionKind::Start { Reason::GivingBack } else { kind_reason(kind, step) }
}

fn change_words(plan: &Plan, kind: TransitionKind, step: Step, detail: &str) -> String {
    let transition = plan.memory.transition.as_ref();
    let shape = |host: Option<&HostRecord>| host.map_or_else(|| "nothing".to_owned(), |host| host.shape.clone());
    let from = shape(transition.map_or(plan.memory.host.as_ref(), |transition| transition.from.as_ref()));
    let to = match transition {
        Some(transition) => shape(transition.to.as_ref()),
        // A change that is about to begin goes where the wish says.
        None => {
            plan.memory.resolved.as_ref().map_or_else(|| "the wished host".to_owned(), |resolved| resolved.host.text())
        }
    };
    let step = shown_step(plan, kind, step);
    let what = match kind {
        TransitionKind::Create => format!("A host is being made: {to}"),
        TransitionKind::Start if step == Step::Resume => format!("The suspended host is being resumed: {to}"),
        TransitionKind::Start => format!("The host is being started: {to}"),
        TransitionKind::Handover => format!("Moving from {from} to {to}{}", to_another_disk(transition)),
        TransitionKind::InPlace => format!("Changing from {from} to {to} in place"),
        TransitionKind::LiveResize => format!("Changing the running pod to {to}"),
        TransitionKind::Grow => "The home grows".to_owned(),
        TransitionKind::Follow => "The running host is told what it is to offer".to_owned(),
        TransitionKind::Stop if step == Step::Suspend => "Suspending".to_owned(),
        TransitionKind::Stop if step == Step::Dispose => "The home is being deleted".to_owned(),
        TransitionKind::Stop => "Stopping".to_owned(),
        TransitionKind::Delete => "The notebook is being deleted".to_owned(),
    };
    let why = transition
        .filter(|_| kind != TransitionKind::Start)
        .and_then(|transition| transition.reason.as_ref())
        .map_or_else(String::new, |reason| format!(" It goes back, because {}.", reason.message.trim_end_matches('.')));
    if detail.is_empty() { format!("{what}.{why}") } else { format!("{what}: {detail}.{why}") }
}

/// Where the home goes too.
fn to_another_disk(transition: Option<&Transition>) -> String {
    let home = transition.and_then(|transition| transition.home.as_ref());
    home.map_or_else(String::new, |home| format!(", the home to a disk of type {} in {}", home.disk_type, home.zone))
}

fn serving_word(plan: &Plan, serving: bool) -> Word {
    if let Some(host) = plan.memory.host.as_ref().filter(|_| serving) {
        let address = host.address.as_deref().unwrap_or("an address not known yet");
        return Word::new(
            ConditionStatus::True,
            Reason::AsDeclared,
            format!("Jupyter answers on {}, at {address}.", host.shape),
        );
    }
    let reason = match &plan.situation {
        Situation::Stopped(reason) | Situation::Suspended(reason) => stop_reason(*reason),
        Situation::Changing { kind, step, .. } => change_reason(plan, *kind, *step),
        Situation::Deleting(_) => Reason::Deleting,
        Situation::AsDeclared | Situation::ChangePending(_) | Situation::Short | Situation::Substituted(_) => {
            Reason::HostFailed
        }
        Situation::Refused(refusal) => refusal.reason,
        Situation::Unclear(_) => Reason::HostUnknown,
    };
    Word::new(ConditionStatus::False, reason, "Jupyter does not answer.")
}

fn home_word(plan: &Plan) -> Word {
    if let Situation::Refused(refusal) = &plan.situation
        && matches!(refusal.reason, Reason::HomeMissing | Reason::KeptDiskFound | Reason::ContentMismatch)
    {
        return Word::new(ConditionStatus::False, refusal.reason, refusal.message.clone());
    }
    if let (Situation::Short, Some(retry)) = (&plan.situation, &plan.memory.retry)
        && let Ok(reason @ (Reason::ContentMismatch | Reason::HomeDamaged)) = retry.reason.parse()
    {
        return Word::new(ConditionStatus::False, reason, retry.message.clone());
    }
    match &plan.memory.home {
        None if matches!(plan.situation, Situation::Stopped(StopReason::Expired)) => {
            Word::new(ConditionStatus::False, Reason::Expired, "The home was deleted, as its deletionPolicy says.")
        }
        None => Word::new(ConditionStatus::Unknown, Reason::Creating, "There is no home yet."),
        Some(home) if home.claim => Word::new(
            ConditionStatus::True,
            Reason::AsDeclared,
            format!("The claim {} of {} GiB.", home.disk, home.size_gb),
        ),
        Some(home) if home.id.is_some() => Word::new(
            ConditionStatus::True,
            Reason::AsDeclared,
            format!("The disk {} in {}: {} GiB, {}.", home.disk, home.zone, home.size_gb, home.disk_type),
        ),
        Some(_) => Word::new(ConditionStatus::Unknown, Reason::Creating, "The home disk is being made."),
    }
}

fn phase(plan: &Plan, serving: bool) -> Phase {
    match &plan.situation {
        Situation::Stopped(_) => Phase::Stopped,
        Situation::Suspended(_) => Phase::Suspended,
        Situation::Deleting(_) => Phase::Deleting,
        Situation::Changing { kind, step, .. } => match kind {
            TransitionKind::Create if *step == Step::Home => Phase::Pending,
            TransitionKind::Create | TransitionKind::Start => Phase::Starting,
            TransitionKind::Handover => Phase::Moving,
            TransitionKind::InPlace | TransitionKind::LiveResize => Phase::Resizing,
            TransitionKind::Grow | TransitionKind::Follow if serving => Phase::Running,
            TransitionKind::Grow | TransitionKind::Follow => Phase::Stopped,
            TransitionKind::Stop => Phase::Stopping,
            TransitionKind::Delete => Phase::Deleting,
        },
        Situation::AsDeclared
        | Situation::ChangePending(_)
        | Situation::Short
        | Situation::Substituted(_)
        | Situation::Refused(_)
        | Situation::Unclear(_) => {
            if serving {
                Phase::Running
            } else {
                Phase::Pending
            }
        }
    }
}

/// Whether Jupyter answers on the host that has the home.
fn serves(memory: &Memory, observed: &Observed) -> bool {
    let Some(host) = memory.host.as_ref().filter(|host| host.serving_since.is_some()) else { return false };
    match host.kind {
        HostKind::Vm => true,
        HostKind::Pod => observed
            .pods
            .present()
            .is_none_or(|pods| pods.iter().any(|pod| pod.name == host.name && pod.ready && !pod.deleting)),
    }
}
