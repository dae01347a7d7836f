//! Carrying a plan out: one exhaustive match over [`Action`], no choices left. Operations are started, never waited for.

mod cluster;
mod manifest;

use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use kube::Client;

use crate::clock::SharedClock;
use crate::desired::Subject;
use crate::gce::operations::Operations;
use crate::gce::{Gce, GceError};
use crate::plan::{Action, Note};

pub use cluster::Refused;

/// Whether this process may act now: the lease has time left. Asked just before every change.
pub type MayAct = Arc<dyn Fn() -> bool + Send + Sync>;

/// How a cloud call that was made ended, for the metrics.
pub type OnCall = Arc<dyn Fn(&'static str, Result<(), &'static str>) + Send + Sync>;

/// Carries actions out.
#[derive(Clone)]
pub struct Executor {
    /// Compute Engine.
    pub gce: Gce,
    /// Where operations in flight are tracked.
    pub operations: Arc<Operations>,
    /// The API server.
    pub client: Client,
    /// The time.
    pub clock: SharedClock,
    /// Whether this process may act.
    pub may_act: MayAct,
    /// Told of every call to the cloud.
    pub on_call: OnCall,
    /// Who reports events.
    pub identity: String,
}

/// What became of the actions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What did not work, in words. None of it is lost: the next plan asks for it again.
    pub failures: Vec<String>,
    /// Whether this process has lost the right to act.
    pub not_leading: bool,
}

impl Executor {
    /// Carries out the actions of one plan, all of them at once: none depends on another.
    pub async fn execute(&self, subject: &Subject, actions: &[Action], resource_version: Option<&str>) -> Outcome {
        let results = join_all(actions.iter().map(|action| self.one(subject, action, resource_version))).await;
        let mut outcome = Outcome::default();
        for result in results {
            match result {
                Ok(()) => {}
                Err(Refusal::NotLeading) => outcome.not_leading = true,
                Err(Refusal::Failed(words)) => outcome.failures.push(words),
            }
        }
        outcome
    }

    async fn one(&self, subject: &Subject, action: &Action, resource_version: Option<&str>) -> Result<(), Refusal> {
        if !(self.may_act)() {
            return Err(Refusal::NotLeading);
        }
        match action {
            Action::Cloud { request_id, mutation } => {
                let started = self.gce.start(mutation, *request_id).await;
                (self.on_call)(mutation.verb(), started.as_ref().map(|_| ()).map_err(GceError::label));
                match started {
                    Ok(operation) => {
                        self.operations.started(&subject.uid, &operation);
                        Ok(())
                    }
                    Err(error) if error.is_definite() => {
                        // Remembered like a failed operation: the next plan judges it.
                        self.operations.refused(&subject.uid, *request_id, error);
                        Ok(())
                    }
                    Err(error) => Err(Refusal::Failed(format!("{} {}: {error}", mutation.verb(), mutation.target()))),
                }
            }
            Action::Kube(change) => cluster::apply(&self.client, subject, change, self.gce.guest(), resource_version)
                .await
                .map_err(|error| Refusal::Failed(error.to_string())),
        }
    }

    /// Tells people. An event that cannot be written is not worth a retry: the conditions say the same.
    pub async fn tell(&self, subject: &Subject, notes: &[Note], now: Timestamp) {
        for note in notes {
            cluster::event(&self.client, subject, note, &self.identity, now).await;
        }
    }
}

/// Why one action was not carried out.
enum Refusal {
    NotLeading,
    Failed(String),
}
