//! What serving hosts said of themselves when they were last asked. It is kept in this process alone: a status that held it would
//! be written at rest.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rehost_api::guest::GuestReport;
use rehost_api::status::{HostKind, HostRecord, NotebookStatus};

use super::Observer;
use crate::desired::Subject;
use crate::gce::Place;
use crate::seen::Seen;

/// What a host said, and when it was asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The host's name.
    pub host: String,
    /// When it was asked.
    pub at: Timestamp,
    /// What it said.
    pub report: Seen<GuestReport>,
}

/// How many notebooks are known before the first look for those that are gone.
const PRUNED_AT_MIN: usize = 64;

/// The latest word of each notebook's host, by the notebook's uid, and since when this process has known of the notebook.
#[derive(Debug, Default)]
pub(super) struct Words(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    notebooks: BTreeMap<String, (Timestamp, Option<Heard>)>,
    pruned_at: usize,
}

impl Words {
    pub(super) fn of(&self, observer: &Observer, uid: &str, now: Timestamp) -> (Timestamp, Option<Heard>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only when they have doubled: at a start all notebooks are new, one after the other.
        if known.notebooks.len() > known.pruned_at.max(PRUNED_AT_MIN) {
            known.notebooks.retain(|other, _| observer.sources.caches.key_of(other).is_some());
            known.pruned_at = known.notebooks.len() * 2;
        }
        known.notebooks.entry(uid.to_owned()).or_insert((now, None)).clone()
    }

    fn remember(&self, uid: &str, heard: &Heard) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.notebooks.entry(uid.to_owned()).or_insert((heard.at, None)).1 = Some(heard.clone());
    }
}

impl Observer {
    /// Asks the host that serves at rest, and remembers what it said.
    pub(super) async fn hear(&self, previous: &NotebookStatus, subject: &Subject, now: Timestamp) -> Option<Heard> {
        let host = serving(previous)?;
        let report = match host.kind {
            HostKind::Vm => self.sources.gce.guest_report(&Place::new(&host.project, &host.zone), &host.name).await,
            HostKind::Pod => match host.address.as_deref().map(str::parse) {
                Some(Ok(address)) => self.pod_report(address, subject).await,
                Some(Err(_)) | None => Seen::Unknown(format!("{} has no address yet", host.name)),
            },
        };
        let heard = Heard { host: host.name.clone(), at: now, report };
        self.words.remember(&subject.uid, &heard);
        Some(heard)
    }
}

fn serving(previous: &NotebookStatus) -> Option<&HostRecord> {
    let host = previous.host.as_ref().filter(|_| previous.transition.is_none())?;
    host.serving_since.is_some().then_some(host)
}
