//! What the notebooks of the cluster are by now, from a watch, and waiting until they are something else.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client, ResourceExt};
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

type Notebooks = BTreeMap<String, Notebook>;

/// All notebooks by `namespace/name`. The watch ends when it is dropped.
pub struct Board {
    seen: watch::Receiver<Notebooks>,
    task: JoinHandle<()>,
}

impl Board {
    /// Watches from now on.
    #[must_use]
    pub fn watch(client: Client) -> Self {
        let (told, seen) = watch::channel(Notebooks::new());
        let task = tokio::spawn(async move {
            let mut events = pin!(watcher(Api::<Notebook>::all(client), Config::default()));
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Apply(notebook) | Event::InitApply(notebook)) => {
                        told.send_modify(|all| drop(all.insert(key(&notebook), notebook)));
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
        self.seen.borrow().clone()
    }

    /// One notebook as it is now.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Notebook> {
        self.seen.borrow().get(&format!("{namespace}/{name}")).cloned()
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
        let waiting = seen.wait_for(|all| wanted(all.get(&key)));
        if let Ok(Ok(all)) = tokio::time::timeout(within, waiting).await {
            return Ok(all.get(&key).cloned());
        }
        let now = self.seen.borrow().get(&key).map_or_else(|| "there is none".to_owned(), in_words);
        Err(TooLate { what: format!("{name}: {what}"), within_s: within.as_secs_f64(), now })
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.task.abort();
    }
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
