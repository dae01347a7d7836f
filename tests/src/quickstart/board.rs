//! What the notebooks of the cluster are by now, from a watch, and waiting until they are something else.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, ResourceExt};
use rehost::clock::SharedClock;
use rehost_api::Notebook;
use rehost_api::status::NotebookStatus;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Something did not come about in its time.
#[derive(Debug, thiserror::Error)]
#[error("{what} did not come about within {within_s:.0} s; {now}")]
pub struct TooLate {
    what: String,
    within_s: f64,
    now: String,
}

impl TooLate {
    /// A notebook that should be there is not.
    pub(super) fn gone(name: &str) -> Self {
        Self { what: format!("{name} is there"), within_s: 0.0, now: "it is gone".to_owned() }
    }
}

/// A notebook, and when what is asked of it last changed.
#[derive(Clone)]
struct Entry {
    notebook: Notebook,
    edited: Timestamp,
}

type Notebooks = BTreeMap<String, Entry>;

/// All notebooks by `namespace/name`. The watch ends when it is dropped.
pub struct Board {
    seen: watch::Receiver<Notebooks>,
    task: JoinHandle<()>,
}

impl Board {
    /// Watches from now on.
    #[must_use]
    pub fn watch(client: Client, clock: SharedClock) -> Self {
        let (told, seen) = watch::channel(Notebooks::new());
        let task = tokio::spawn(async move {
            let mut events = pin!(watcher(Api::<Notebook>::all(client), Config::default()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(notebook) | Event::InitApply(notebook)) => {
                        told.send_modify(|all| take(all, notebook, clock.now()));
                    }
                    Ok(Event::Delete(notebook)) => told.send_modify(|all| drop(all.remove(&key(&notebook)))),
                    Ok(Event::Init | Event::InitDone) => {}
                    Err(error) => {
                        tracing::debug!(%error, "the watch of the notebooks failed");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        });
        Self { seen, task }
    }

    /// All notebooks as they are now.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Notebook> {
        self.seen.borrow().iter().map(|(key, entry)| (key.clone(), entry.notebook.clone())).collect()
    }

    /// When the spec, the annotations or the deletion of a notebook last changed.
    #[must_use]
    pub fn edited(&self, namespace: &str, name: &str) -> Option<Timestamp> {
        self.seen.borrow().get(&format!("{namespace}/{name}")).map(|entry| entry.edited)
    }

    /// One notebook as it is now.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Notebook> {
        self.seen.borrow().get(&format!("{namespace}/{name}")).map(|entry| entry.notebook.clone())
    }

    /// Waits until one notebook is as wanted; an absent one is wanted or not, too.
    pub async fn until(
        &self,
        what: &str,
        namespace: &str,
        name: &str,
        within: Duration,
        wanted: impl Fn(Option<&Notebook>) -> bool,
    ) -> Result<Option<Notebook>, TooLate> {
        let key = format!("{namespace}/{name}");
        let mut seen = self.seen.clone();
        let waiting = seen.wait_for(|all| wanted(all.get(&key).map(|entry| &entry.notebook)));
        if let Ok(Ok(all)) = tokio::time::timeout(within, waiting).await {
            return Ok(all.get(&key).map(|entry| entry.notebook.clone()));
        }
        let now =
            self.seen.borrow().get(&key).map_or_else(|| "there is none".to_owned(), |entry| in_words(&entry.notebook));
        Err(TooLate { what: format!("{name}: {what}"), within_s: within.as_secs_f64(), now })
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn take(all: &mut Notebooks, notebook: Notebook, now: Timestamp) {
    let key = key(&notebook);
    let asked = |notebook: &Notebook| {
        let metadata = &notebook.metadata;
        (metadata.uid.clone(), metadata.generation, metadata.annotations.clone(), metadata.deletion_timestamp.clone())
    };
    let before = all.get(&key).filter(|entry| asked(&entry.notebook) == asked(&notebook)).map(|entry| entry.edited);
    all.insert(key, Entry { notebook, edited: before.unwrap_or(now) });
}

fn key(notebook: &Notebook) -> String {
    format!("{}/{}", notebook.namespace().unwrap_or_default(), notebook.name_any())
}

/// The status, where there is one yet.
#[must_use]
pub fn status(notebook: &Notebook) -> NotebookStatus {
    notebook.status.clone().unwrap_or_default()
}

/// A condition of a notebook.
#[must_use]
pub fn condition<'a>(notebook: &'a Notebook, kind: &str) -> Option<&'a Condition> {
    notebook.status.as_ref()?.conditions.iter().find(|condition| condition.type_ == kind)
}

/// A condition's status, `Unknown` where there is none.
#[must_use]
pub fn says(notebook: &Notebook, kind: &str) -> String {
    condition(notebook, kind).map_or_else(|| "Unknown".to_owned(), |condition| condition.status.clone())
}

/// A condition's reason.
#[must_use]
pub fn reason(notebook: &Notebook, kind: &str) -> String {
    condition(notebook, kind).map(|condition| condition.reason.clone()).unwrap_or_default()
}

/// A condition's sentence.
#[must_use]
pub fn message(notebook: &Notebook, kind: &str) -> String {
    condition(notebook, kind).map(|condition| condition.message.clone()).unwrap_or_default()
}

/// Whether the status speaks of the spec as it is now.
#[must_use]
pub fn is_current(notebook: &Notebook) -> bool {
    let observed = notebook.status.as_ref().and_then(|status| status.observed_generation);
    observed.is_some() && observed == notebook.metadata.generation
}

/// Whether it is as declared and nothing is under way.
#[must_use]
pub fn is_ready(notebook: &Notebook) -> bool {
    let resting = notebook.status.as_ref().is_some_and(|status| status.transition.is_none());
    is_current(notebook) && resting && says(notebook, "Ready") == "True"
}

/// The shape of its host.
#[must_use]
pub fn shape(notebook: &Notebook) -> String {
    notebook.status.as_ref().and_then(|status| status.host.as_ref()).map(|host| host.shape.clone()).unwrap_or_default()
}

fn in_words(notebook: &Notebook) -> String {
    let status = status(notebook);
    format!(
        "now: generation {:?} observed {:?}, phase {:?}, Ready={} {}: {}",
        notebook.metadata.generation,
        status.observed_generation,
        status.phase,
        says(notebook, "Ready"),
        reason(notebook, "Ready"),
        message(notebook, "Ready"),
    )
}
