//! One notebook, one look: resolve, observe, plan, execute, publish.

mod publish;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client};
use rehost_api::Notebook;
use rehost_api::status::NotebookStatus;

use crate::access::AccessKeys;
use crate::clock::SharedClock;
use crate::desired::{self, Facts, Resolution};
use crate::execute::Executor;
use crate::gce::catalogue::Catalogue;
use crate::gce::mutation::Place;
use crate::observe::{Observed, Observer};
use crate::plan::{self, Memory, Plan, Situation};
use crate::seen::Seen;
use crate::status;
use crate::watch::caches::Caches;
use crate::watch::queue::Key;

pub use publish::PublishError;

/// How many plans one look may make: each records one step and goes on from what was stored.
const PASSES: usize = 12;
/// The pause after something that did not work and was not remembered by the cloud, in seconds; it doubles with each time.
const RETRY_FIRST_S: i64 = 1;
/// The longest such pause.
const RETRY_MOST_S: i64 = 60;
/// How often is looked whether a sweep that was asked for has come.
const SWEEP_PAUSE: SignedDuration = SignedDuration::from_millis(500);

/// Everything that a look needs.
#[derive(Clone)]
pub struct Reconciler {
    /// The cluster's name.
    pub cluster: String,
    /// The watch caches.
    pub caches: Arc<Caches>,
    /// Facts of machine types, images and quotas.
    pub catalogue: Arc<Catalogue>,
    /// What is there.
    pub observer: Observer,
    /// What changes it.
    pub executor: Executor,
    /// The API server.
    pub client: Client,
    /// The time.
    pub clock: SharedClock,
    /// The keys that tokens derive from.
    pub access: AccessKeys,
    /// Told of every status that was stored: what it was before, and what it is.
    pub on_status: OnStatus,
}

/// Told of every status that was stored: what it was before, and what it is.
pub type OnStatus = Arc<dyn Fn(&NotebookStatus, &NotebookStatus) + Send + Sync>;

/// When to look again.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// When something wakes the notebook.
    WhenWoken,
    /// Then at the latest.
    At(Timestamp),
    /// After a pause that grows with each failure in a row.
    AfterFailure(String),
}

impl Reconciler {
    /// Looks at one notebook, and does what is to be done now.
    pub async fn reconcile(&self, key: &Key) -> Next {
        match self.caches.notebook(&key.namespace, &key.name) {
            Seen::Absent => Next::WhenWoken,
            Seen::Unknown(why) => Next::AfterFailure(why),
            Seen::Present(notebook) => {
                let resolution = self.resolve(&notebook).await;
                let observed = self.observer.at_rest(&notebook, &resolution.subject, self.clock.now());
                let plan = plan::plan(&resolution, &observed, self.clock.now());
                if is_calm(&plan, &observed) && self.is_published(&resolution, &observed, &plan) {
                    return plan.wake_at.map_or(Next::WhenWoken, Next::At);
                }
                Box::pin(self.act(key)).await
            }
        }
    }

    /// Reads afresh, plans and acts, until there is nothing more to record.
    async fn act(&self, key: &Key) -> Next {
        let api: Api<Notebook> = Api::namespaced(self.client.clone(), &key.namespace);
        let mut notebook = match api.get_opt(&key.name).await {
            Ok(Some(notebook)) => notebook,
            Ok(None) => return Next::WhenWoken,
            Err(error) => return Next::AfterFailure(format!("the notebook could not be read: {error}")),
        };
        for _ in 0..PASSES {
            let resolution = self.resolve(&notebook).await;
            let project = resolution.wish.as_ref().ok().map(|desired| desired.home.project.clone());
            let observed =
                self.observer.afresh(&notebook, &resolution.subject, project.as_deref(), self.clock.now()).await;
            let plan = plan::plan(&resolution, &observed, self.clock.now());
            record_span(&plan);
            if !self.may_make_home(&resolution.subject.uid, &observed, &plan) {
                return Next::At(self.clock.now() + SWEEP_PAUSE);
            }
            let records = plan.memory != Memory::of(&observed.previous);
            let version = notebook.metadata.resource_version.as_deref();
            let outcome = self.executor.execute(&resolution.subject, &plan.actions, version).await;
            if outcome.not_leading {
                // A renewal that is only late leaves the term as it is: then nothing else would wake this notebook.
                return Next::AfterFailure("the lease has too little time left".to_owned());
            }
            if plan.changes_finalizer() && outcome.failures.is_empty() {
                // The notebook has another version now, or is gone: a status against the one that was read would be refused.
                notebook = match api.get_opt(&key.name).await {
                    Ok(Some(notebook)) => notebook,
                    Ok(None) => return Next::WhenWoken,
                    Err(error) => return Next::AfterFailure(format!("the notebook could not be read: {error}")),
                };
                continue;
            }
            let status = status::status(&resolution, &observed, &plan, self.clock.now());
            match self.publish(&notebook, status).await {
                Ok(stored) => {
                    if let Some(stored) = &stored.status {
                        (self.on_status)(&observed.previous, stored);
                    }
                    notebook = stored;
                }
                Err(PublishError::Gone) => return Next::WhenWoken,
                Err(PublishError::Overtaken) => return Next::At(self.clock.now()),
                Err(PublishError::Failed(words)) => return Next::AfterFailure(words),
            }
            self.executor.tell(&resolution.subject, &plan.notes, self.clock.now()).await;
            if !outcome.failures.is_empty() {
                return Next::AfterFailure(outcome.failures.join("; "));
            }
            if !records {
                self.forget_operations(&resolution.subject.uid, &plan);
                return next(&plan, &observed);
            }
        }
        Next::At(self.clock.now())
    }

    /// A disk that an earlier notebook of this name left must have been seen before a new one is recorded in its place.
    fn may_make_home(&self, uid: &str, observed: &Observed, plan: &Plan) -> bool {
        match (&observed.previous.home, &plan.memory.home) {
            (None, Some(home)) if !home.claim => {
                let place = Place::new(&home.project, &home.zone);
                self.observer.has_looked_for_kept(uid, &place, self.clock.now())
            }
            (Some(_), _) | (None, Some(_) | None) => true,
        }
    }

    /// What is known of operations is needed only as long as a change, or the former host, is judged by it.
    fn forget_operations(&self, uid: &str, plan: &Plan) {
        if plan.memory.transition.is_none() && plan.memory.former.is_none() && plan.memory.former_home.is_none() {
            self.executor.operations.forget(uid, &BTreeSet::new());
        }
    }

    async fn resolve(&self, notebook: &Notebook) -> Resolution {
        let class = self.caches.class(notebook.spec.class_name());
        let namespace = notebook.metadata.namespace.as_deref().unwrap_or_default();
        let namespace = self.caches.namespace(namespace);
        let needs = desired::needs(notebook, &class);
        let facts = Facts::gather(&self.catalogue, &needs).await;
        let access = self.access.hashes(notebook.metadata.uid.as_deref().unwrap_or_default());
        desired::resolve(&self.cluster, notebook, &class, &namespace.map(Into::into), &facts, access)
    }

    /// The pause before the look after `failures` failures in a row.
    #[must_use]
    pub fn pause_s(failures: u32) -> i64 {
        (RETRY_FIRST_S << failures.min(10)).min(RETRY_MOST_S)
    }
}

/// Whether a plan from caches leaves nothing to do and nothing in doubt.
fn is_calm(plan: &Plan, observed: &Observed) -> bool {
    plan.is_quiet(observed)
        && !plan.wants_evidence
        && !matches!(plan.situation, Situation::Unclear(_) | Situation::Changing { .. } | Situation::Deleting(_))
}

/// The span of this look says which change and which step it is about.
fn record_span(plan: &Plan) {
    if let Some(transition) = &plan.memory.transition {
        let span = tracing::Span::current();
        span.record("transition", transition.id.as_str());
        span.record("step", tracing::field::debug(transition.step));
    }
}

/// What could not be looked at is looked at again soon, whatever bound the plan's own wait has: nothing would wake us when it
/// can be seen again.
fn next(plan: &Plan, observed: &Observed) -> Next {
    if let Some(why) = observed.unknown() {
        return Next::AfterFailure(why.to_owned());
    }
    match plan.wake_at {
        Some(at) => Next::At(at),
        None if matches!(plan.situation, Situation::Unclear(_)) => {
            Next::AfterFailure("something is not known".to_owned())
        }
        None => Next::WhenWoken,
    }
}
