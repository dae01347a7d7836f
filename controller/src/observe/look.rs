//! Looking: from caches, or afresh.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use kube::api::ListParams;
use kube::{Api, Client, Resource};
use rehost_api::Notebook;
use rehost_api::guest::GuestReport;
use rehost_api::labels;
use rehost_api::status::{HostKind, HostRecord, NotebookStatus, Step, Transition};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Observed;
use super::around_pods::settings_names;
use super::heard::Words;
use super::kept::{Waiting, kept};
use crate::access::AccessKeys;
use crate::desired::Subject;
use crate::gce::inventory::Inventory;
use crate::gce::model::{Disk, Instance, InstanceStatus};
use crate::gce::operations::{OperationState, Operations};
use crate::gce::{Gce, Place};
use crate::seen::Seen;
use crate::status_ports::{self, StatusPorts};
use crate::watch::caches::Caches;
use crate::watch::inventory::Inventories;
use crate::watch::slim::{ClaimSeen, PodSeen, VolumeSeen};

/// Where is looked.
#[derive(Clone)]
pub struct Sources {
    /// Compute Engine.
    pub gce: Gce,
    /// What is known of operations in flight.
    pub operations: Arc<Operations>,
    /// The latest sweeps.
    pub inventories: Arc<Inventories>,
    /// The API server.
    pub client: Client,
    /// The watch caches.
    pub caches: Arc<Caches>,
    /// The keys that the tokens of status ports derive from.
    pub access: AccessKeys,
    /// The way to the pods' status ports.
    pub status_ports: Arc<dyn StatusPorts>,
}

/// Looks at one notebook's things.
#[derive(Clone)]
pub struct Observer {
    pub(super) sources: Sources,
    pub(super) waiting: Arc<Waiting>,
    pub(super) words: Arc<Words>,
}

impl Observer {
    /// Looks at these.
    #[must_use]
    pub fn new(sources: Sources) -> Self {
        Self { sources, waiting: Arc::default(), words: Arc::default() }
    }

    /// What the caches say: a suspicion, good enough to find that nothing is to be done.
    #[must_use]
    pub fn at_rest(&self, notebook: &Notebook, subject: &Subject, now: Timestamp) -> Observed {
        let previous = notebook.status.clone().unwrap_or_default();
        let instances = hosts(&previous)
            .map(|host| (host.name.clone(), self.cached_instance(&subject.uid, host)))
            .collect::<BTreeMap<_, _>>();
        let owned = self.sources.caches.objects_of(&subject.uid);
        let (known_since, heard) = self.words.of(self, &subject.uid, now);
        Observed {
            fresh: false,
            guest_only: false,
            operations: self.sources.operations.for_notebook(&subject.uid),
            instances,
            reports: BTreeMap::new(),
            known_since,
            heard,
            home: self.cached_home(&previous, &subject.uid),
            beside: self.cached_beside(&previous, subject),
            own_disks: Vec::new(),
            kept_disks: Vec::new(),
            pods: owned.pods,
            settings: BTreeMap::new(),
            bucket_driver: Seen::Unknown("not asked".to_owned()),
            service: owned.service,
            slice: owned.slice,
            volume: owned.volume,
            claim: owned.claim,
            attachments: owned.attachments,
            previous,
        }
    }

    fn cached_instance(&self, uid: &str, host: &HostRecord) -> Seen<Instance> {
        match self.sources.inventories.of(&host.project) {
            Some(inventory) => inventory.instance(uid, &host.zone, &host.name).map(Clone::clone),
            None => Seen::Unknown("no sweep has ended yet".to_owned()),
        }
    }

    fn cached_home(&self, previous: &NotebookStatus, uid: &str) -> Seen<Disk> {
        let Some(home) = previous.home.as_ref().filter(|home| !home.claim) else { return Seen::Absent };
        match self.sources.inventories.of(&home.project) {
            Some(inventory) => inventory.disk(uid, &home.zone, &home.disk).map(Clone::clone),
            None => Seen::Unknown("no sweep has ended yet".to_owned()),
        }
    }

    /// What is there now, read for this very plan.
    pub async fn afresh(
        &self,
        notebook: &Notebook,
        subject: &Subject,
        project: Option<&str>,
        now: Timestamp,
    ) -> Observed {
        let previous = notebook.status.clone().unwrap_or_default();
        // Before the reads: see the field's documentation.
        let operations = self.sources.operations.for_notebook(&subject.uid);
        let project = project.or_else(|| previous.home.as_ref().map(|home| home.project.as_str()));
        let inventory = project.and_then(|project| self.sources.inventories.of(project));
        let (known_since, before) = self.words.of(self, &subject.uid, now);
        if let Some(observed) = self.still_silent(&previous, subject, &operations, known_since).await {
            return observed;
        }
        let places = places(&previous, subject, project, inventory.as_deref());
        let exposed = self.sources.caches.objects_of(&subject.uid);
        let names = settings_names(&previous, &exposed.pods);
        let (heard, instances, home, beside, pods, settings, bucket_driver, (claim, volume), service, slice) = futures::join!(
            self.hear(&previous, subject, now),
            self.instances(&places),
            self.home(&previous),
            self.beside(&previous, subject),
            self.pods(subject),
            self.settings(names, subject),
            self.bucket_driver(previous.transition.as_ref()),
            self.claim_and_volume(&previous, subject),
            self.exposing(exposed.service, subject),
            self.exposing(exposed.slice, subject),
        );
        let reports = self.reports(previous.transition.as_ref(), subject, &instances, &pods).await;
        let attachments = self.sources.caches.objects_of(&subject.uid).attachments;
        Observed {
            fresh: true,
            guest_only: false,
            operations,
            instances,
            reports,
            known_since,
            heard: heard.or(before),
            home,
            beside,
            own_disks: inventory.as_ref().map(|it| it.disks_of(&subject.uid).to_vec()).unwrap_or_default(),
            kept_disks: inventory.as_ref().map(|it| kept(it, subject)).unwrap_or_default(),
            pods,
            settings,
            bucket_driver,
            service,
            slice,
            volume,
            claim,
            attachments,
            previous,
        }
    }

    /// While a guest boots there is one question worth a request: has it spoken? Until it has, nothing else is read, and what is not
    /// read is unknown. The sweeps see whether its machine still runs.
    async fn still_silent(
        &self,
        previous: &NotebookStatus,
        subject: &Subject,
        operations: &BTreeMap<Uuid, OperationState>,
        known_since: Timestamp,
    ) -> Option<Observed> {
        let transition = previous.transition.as_ref()?;
        let host = match transition.step {
            Step::Obtain | Step::Prove => transition.to.as_ref(),
            Step::ProveBack => transition.from.as_ref(),
            _ => None,
        }?;
        let swept = self.cached_instance(&subject.uid, host);
        let running = swept.present().is_some_and(|it| it.status == InstanceStatus::Running);
        if host.kind != HostKind::Vm || !running || has_ended_badly(operations) {
            return None;
        }
        let report = self.sources.gce.guest_report(&Place::new(&host.project, &host.zone), &host.name).await;
        if report.present().is_some_and(|report| is_news(report, host, transition)) {
            return None;
        }
        let owned = self.sources.caches.objects_of(&subject.uid);
        let unread = || "not read while the guest boots".to_owned();
        let mut instances: BTreeMap<_, _> =
            hosts(previous).map(|host| (host.name.clone(), Seen::Unknown(unread()))).collect();
        instances.insert(host.name.clone(), swept);
        Some(Observed {
            fresh: true,
            guest_only: true,
            operations: operations.clone(),
            instances,
            reports: BTreeMap::from([(host.name.clone(), report)]),
            known_since,
            // Nothing is under way while a serving host is heard.
            heard: None,
            home: Seen::Unknown(unread()),
            beside: self.cached_beside(previous, subject),
            own_disks: Vec::new(),
            kept_disks: Vec::new(),
            pods: owned.pods,
            settings: BTreeMap::new(),
            bucket_driver: Seen::Unknown("not asked".to_owned()),
            service: unless_absent(owned.service, unread),
            slice: unless_absent(owned.slice, unread),
            volume: owned.volume,
            claim: owned.claim,
            attachments: owned.attachments,
            previous: previous.clone(),
        })
    }

    async fn instances(&self, places: &BTreeMap<String, Place>) -> BTreeMap<String, Seen<Instance>> {
        let looks = places
            .iter()
            .map(|(name, place)| async move { (name.clone(), self.sources.gce.instance(place, name).await) });
        join_all(looks).await.into_iter().collect()
    }

    /// The reports that the present step asks for.
    async fn reports(
        &self,
        transition: Option<&Transition>,
        subject: &Subject,
        instances: &BTreeMap<String, Seen<Instance>>,
        pods: &Seen<Vec<PodSeen>>,
    ) -> BTreeMap<String, Seen<GuestReport>> {
        let of_pod = |name: &str| pods.present()?.iter().find(|pod| pod.name == name)?.address;
        let looks = transition.map(speakers).unwrap_or_default().into_iter().filter_map(|host| match host.kind {
            HostKind::Vm => matches!(instances.get(&host.name), Some(Seen::Present(_))).then_some((host, None)),
            HostKind::Pod => of_pod(&host.name).map(|address| (host, Some(address))),
        });
        let looks = looks.map(|(host, address)| async move {
            let report = match address {
                Some(address) => self.pod_report(address, subject).await,
                None => self.sources.gce.guest_report(&Place::new(&host.project, &host.zone), &host.name).await,
            };
            (host.name.clone(), report)
        });
        join_all(looks).await.into_iter().collect()
    }

    /// What the pod at this address says of itself.
    pub(super) async fn pod_report(&self, address: IpAddr, subject: &Subject) -> Seen<GuestReport> {
        let tokens = self.sources.access.status_tokens(&subject.uid);
        status_ports::report(self.sources.status_ports.as_ref(), address, tokens).await
    }

    async fn home(&self, previous: &NotebookStatus) -> Seen<Disk> {
        match previous.home.as_ref().filter(|home| !home.claim) {
            Some(home) => self.sources.gce.disk(&Place::new(&home.project, &home.zone), &home.disk).await,
            None => Seen::Absent,
        }
    }

    async fn pods(&self, subject: &Subject) -> Seen<Vec<PodSeen>> {
        let api: Api<PodSeen> = Api::namespaced(self.sources.client.clone(), &subject.namespace);
        let query = ListParams::default().labels(&format!("{}={}", labels::UID, subject.uid));
        match api.list(&query).await {
            Ok(list) => Seen::Present(list.items),
            Err(error) => Seen::Unknown(format!("the pods could not be listed: {error}")),
        }
    }

    /// The Service or the slice as the cache has it. The cache holds the notebook's own alone: where it has none, somebody else's
    /// may stand there.
    async fn exposing<K>(&self, cached: Seen<K>, subject: &Subject) -> Seen<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        if !cached.is_absent() {
            return cached;
        }
        let api: Api<K> = Api::namespaced(self.sources.client.clone(), &subject.namespace);
        seen(api.get_opt(&labels::service_name(&subject.name)).await)
    }

    async fn claim_and_volume(
        &self,
        previous: &NotebookStatus,
        subject: &Subject,
    ) -> (Seen<ClaimSeen>, Seen<VolumeSeen>) {
        let Some(home) = &previous.home else { return (Seen::Absent, Seen::Absent) };
        let claims: Api<ClaimSeen> = Api::namespaced(self.sources.client.clone(), &subject.namespace);
        let claim = seen(claims.get_opt(&home.disk).await);
        let volume = match (&claim, home.claim) {
            (_, false) => Some(home.disk.clone()),
            (Seen::Present(claim), true) => claim.volume.clone(),
            (Seen::Absent | Seen::Unknown(_), true) => None,
        };
        let volumes: Api<VolumeSeen> = Api::all(self.sources.client.clone());
        let volume = match volume {
            Some(name) => seen(volumes.get_opt(&name).await),
            None => Seen::Absent,
        };
        (claim, volume)
    }
}

/// Whether a report speaks of the present transition, or of a boot that is new to us.
fn is_news(report: &GuestReport, host: &HostRecord, transition: &Transition) -> bool {
    let of_this_change = report.nonce.strip_prefix(transition.id.as_str()).is_some_and(|rest| rest.starts_with('-'));
    let of_this_boot = report.nonce == host.nonce && host.boot_id.as_ref() != Some(&report.boot_id);
    of_this_change || of_this_boot
}

fn has_ended_badly(operations: &BTreeMap<Uuid, OperationState>) -> bool {
    operations.values().any(|operation| matches!(operation, OperationState::Failed(..)))
}

/// What is not in the cache may be somebody else's, which only a read can tell.
fn unless_absent<T>(cached: Seen<T>, why: impl FnOnce() -> String) -> Seen<T> {
    if cached.is_absent() { Seen::Unknown(why()) } else { cached }
}

pub(super) fn seen<T>(answer: kube::Result<Option<T>>) -> Seen<T> {
    match answer {
        Ok(Some(thing)) => Seen::Present(thing),
        Ok(None) => Seen::Absent,
        Err(error) => Seen::Unknown(error.to_string()),
    }
}

/// The VMs that a status names.
fn hosts(previous: &NotebookStatus) -> impl Iterator<Item = &HostRecord> {
    recorded(previous).filter(|host| host.kind == HostKind::Vm)
}

/// The hosts that a status names.
pub(super) fn recorded(previous: &NotebookStatus) -> impl Iterator<Item = &HostRecord> {
    let transition = previous.transition.as_ref();
    previous
        .host
        .iter()
        .chain(previous.former.iter().map(|former| &former.host))
        .chain(transition.and_then(|transition| transition.from.as_ref()))
        .chain(transition.and_then(|transition| transition.to.as_ref()))
}

/// The VMs to look at: those that the status names, and those that the last sweep found under the notebook's uid.
fn places(
    previous: &NotebookStatus,
    subject: &Subject,
    project: Option<&str>,
    inventory: Option<&Inventory>,
) -> BTreeMap<String, Place> {
    let mut places: BTreeMap<String, Place> =
        hosts(previous).map(|host| (host.name.clone(), Place::new(&host.project, &host.zone))).collect();
    if let (Some(project), Some(inventory)) = (project, inventory) {
        for instance in inventory.instances_of(&subject.uid) {
            places.entry(instance.name.clone()).or_insert_with(|| Place::new(project, &instance.zone));
        }
    }
    places
}

/// Whose guests have something to say in the present step.
fn speakers(transition: &Transition) -> Vec<&HostRecord> {
    let (from, to) = (transition.from.as_ref(), transition.to.as_ref());
    let asked = match transition.step {
        Step::Obtain | Step::Boot | Step::Prove | Step::TakeBack => to,
        Step::LetGo | Step::ProveBack | Step::Release => from,
        Step::Home
        | Step::Snapshot
        | Step::Copy
        | Step::Move
        | Step::Return
        | Step::Abandon
        | Step::Halt
        | Step::Suspend
        | Step::Resume
        | Step::Set
        | Step::Resize
        | Step::Grow
        | Step::Dispose => None,
    };
    // A pod lets go by ending: whether it still answers is of no interest, and would cost time while nobody is served.
    let ends = matches!(transition.step, Step::LetGo | Step::TakeBack);
    asked.into_iter().filter(|host| host.kind == HostKind::Vm || !ends).collect()
}
