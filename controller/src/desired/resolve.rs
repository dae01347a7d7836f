//! Notebook, class and the cloud's answers in; what is wanted, or a refusal, out. Pure.

use std::sync::Arc;

use rehost_api::conditions::Reason;
use rehost_api::duration::DurationText;
use rehost_api::labels;
use rehost_api::notebook::{OnPreemption, OnStockout, PowerState, ResizeHow};
use rehost_api::shape::HostShape;
use rehost_api::{Notebook, NotebookClass};

use super::facts::NamespaceFacts;
use super::words::{Asked, ClassWord, Listed, digest, listed, pinned};
use super::{
    Deletion, Desired, Facts, Power, Refusal, Requests, Resolution, Subject, WishedHost, allowed, clock, content,
    defaults, home, host, pod, room, unacted, when,
};
use crate::access::AccessHashes;
use crate::seen::Seen;

/// Resolves a notebook as far as it can be.
///
/// # Guarantees
/// - The same words give the same hosts for as long as status remembers them: a change of the class, of an image or of
///   the catalogue re-hosts nobody (invariant 12).
/// - What is not known is never taken for absent: it gives [`Reason::CloudUnknown`], on which nobody needs to act.
#[must_use]
pub fn resolve(
    cluster: &str,
    notebook: &Notebook,
    class: &Seen<Arc<NotebookClass>>,
    namespace: &Seen<NamespaceFacts>,
    facts: &Facts,
    access: AccessHashes,
) -> Resolution {
    let metadata = &notebook.metadata;
    let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
    Resolution {
        subject: Subject {
            cluster: cluster.to_owned(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
        },
        generation: metadata.generation.unwrap_or_default(),
        finalizer: finalizers.iter().any(|finalizer| finalizer == labels::FINALIZER),
        power: power(notebook),
        clock: clock::clock(notebook, class),
        requests: requests(notebook),
        access,
        deletion: deletion(notebook, class),
        wish: wish(notebook, class, namespace, facts),
    }
}

fn deletion(notebook: &Notebook, class: &Seen<Arc<NotebookClass>>) -> Option<Deletion> {
    let since = notebook.metadata.deletion_timestamp.as_ref()?.0;
    let class = ClassWord::of(notebook, class).ok();
    Some(Deletion { since, policy: clock::home_policy(notebook, class.as_ref()) })
}

fn wish(
    notebook: &Notebook,
    class: &Seen<Arc<NotebookClass>>,
    namespace: &Seen<NamespaceFacts>,
    facts: &Facts,
) -> Result<Desired, Refusal> {
    let class = ClassWord::of(notebook, class)?;
    namespace_lives(notebook, namespace)?;
    let hosts = listed(notebook, &class)?;
    let placement = home::placement(notebook, &class, &hosts)?;
    let digest = digest(notebook, &placement.zone);
    let before = pinned(notebook, &digest);
    let shapes = if let Some(before) = before {
        // What the class allows is not asked again for what runs, nor whether the cloud still has it: a class that
        // becomes stricter, or an image that is withdrawn, counts for the next words of the spec.
        std::iter::once(&before.host).chain(&before.fallbacks).cloned().collect()
    } else {
        allowed::namespace_admitted(notebook, &class, namespace)?;
        allowed::hosts_allowed(notebook, &class, &placement.zone, &hosts)?;
        home::suits(notebook, &class, &placement, &hosts)?;
        pod::keep_shared_memory(notebook, &hosts, host::shapes(&class, &placement.zone, facts, &hosts)?)
    };
    allowed::content_allowed(notebook, &class, power(notebook))?;
    let shapes = content::in_pods(notebook, shapes)?;
    let zone = placement.zone.clone();
    let home = home::wished(notebook, &class, placement, &shapes, before.is_some())?;
    let times = Times::of(notebook, &class)?;
    clock::schedule(notebook)?;
    clock::lifetime(notebook, &class)?;
    let host = wished_host(digest, shapes, &hosts)?;
    Ok(Desired {
        room: room::room(notebook, &zone, &host.shape, facts),
        host,
        home,
        in_place: how(notebook, &class) == ResizeHow::InPlace,
        return_on_stockout: on_stockout(notebook) == OnStockout::Return,
        when: when::when(notebook, &class)?,
        keep_old_s: times.keep_old_s,
        keep_stopped_s: times.keep_stopped_s,
        content: content::wished(notebook),
        idle: content::idle(notebook, &class)?,
        url: url(notebook, &class),
        prices: class.spec.prices.clone(),
        not_acted_on_yet: unacted::lines(notebook, &class, &hosts),
    })
}

/// Nothing can be made in a namespace that is being deleted, and the notebook goes with it.
fn namespace_lives(notebook: &Notebook, namespace: &Seen<NamespaceFacts>) -> Result<(), Refusal> {
    match namespace {
        Seen::Present(facts) if facts.terminating => {
            let name = notebook.metadata.namespace.as_deref().unwrap_or_default();
            let message = format!(
                "'{name}' is being deleted, and this notebook with it: nothing is made or changed in it any more"
            );
            Err(Refusal::new(Reason::Deleting, "metadata.namespace", message))
        }
        // Whether the namespace must be known at all, the class's selector says.
        Seen::Present(_) | Seen::Absent | Seen::Unknown(_) => Ok(()),
    }
}

fn wished_host(digest: String, shapes: Vec<HostShape>, hosts: &[Listed]) -> Result<WishedHost, Refusal> {
    let stays = |host: &Listed| match &host.asked {
        Asked::Vm(vm) => vm.on_preemption == Some(OnPreemption::Stop),
        Asked::Pod(_) => false,
    };
    let stay_preempted = shapes.iter().zip(hosts).filter(|(_, host)| stays(host)).map(|(shape, _)| shape.clone());
    let stay_preempted = stay_preempted.collect();
    let mut shapes = shapes.into_iter();
    let Some(shape) = shapes.next() else {
        return Err(Refusal::new(Reason::Refused, "spec.host", "no host is named: write vm or pod"));
    };
    Ok(WishedHost { digest, shape, fallbacks: shapes.collect(), stay_preempted })
}

fn power(notebook: &Notebook) -> Power {
    match notebook.spec.state {
        PowerState::Running => Power::Running,
        PowerState::Stopped => Power::Stopped,
    }
}

fn requests(notebook: &Notebook) -> Requests {
    let annotations = notebook.metadata.annotations.as_ref();
    let value = |key: &str| annotations.and_then(|annotations| annotations.get(key)).cloned();
    Requests { wake: value(labels::WAKE), stop: value(labels::STOP), restart: value(labels::RESTART) }
}

fn how(notebook: &Notebook, class: &ClassWord<'_>) -> ResizeHow {
    let own = notebook.spec.resize.as_ref().and_then(|resize| resize.how);
    let given = || class.spec.defaults.as_ref()?.resize.as_ref()?.how;
    own.or_else(given).unwrap_or_default()
}

fn on_stockout(notebook: &Notebook) -> OnStockout {
    notebook.spec.resize.as_ref().and_then(|resize| resize.on_stockout).unwrap_or_default()
}

/// One origin for each notebook, below the class's domain.
fn url(notebook: &Notebook, class: &ClassWord<'_>) -> Option<String> {
    let domain = &class.spec.access.as_ref()?.domain;
    let metadata = &notebook.metadata;
    Some(format!("https://{}-{}.{domain}", metadata.name.as_deref()?, metadata.namespace.as_deref()?))
}

/// How long hosts are kept.
struct Times {
    keep_old_s: i64,
    keep_stopped_s: i64,
}

impl Times {
    fn of(notebook: &Notebook, class: &ClassWord<'_>) -> Result<Self, Refusal> {
        let own = notebook.spec.resize.as_ref().and_then(|resize| resize.keep_old.as_ref());
        let given = class.spec.defaults.as_ref().and_then(|given| given.resize.as_ref()?.keep_old.as_ref());
        let keep_old_s = match (own, given) {
            (Some(own), _) => seconds("spec.resize.keepOld", own)?,
            (None, Some(given)) => of_class(class, "defaults.resize.keepOld", given)?,
            (None, None) => defaults::KEEP_OLD_S,
        };
        let keep_stopped_s = of_class(class, "stoppedHostKeep", &class.spec.stopped_host_keep)?;
        Ok(Self { keep_old_s, keep_stopped_s })
    }
}

/// The API server has seen to the form; a resource stored under an older definition may still hold another.
pub(super) fn seconds(field: &str, text: &DurationText) -> Result<i64, Refusal> {
    let seconds = text.seconds().map_err(|error| Refusal::new(Reason::Refused, field, error.to_string()))?;
    Ok(i64::try_from(seconds).unwrap_or(i64::MAX))
}

pub(super) fn of_class(class: &ClassWord<'_>, field: &str, text: &DurationText) -> Result<i64, Refusal> {
    seconds("spec.class", text).map_err(|refusal| {
        let message = format!("the {field} of class '{}' cannot be used: {}", class.name, refusal.message);
        Refusal { message, ..refusal }
    })
}
