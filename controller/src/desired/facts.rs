//! What must be asked of the cloud before a wish can be resolved, and what it answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::future::join_all;
use rehost_api::shape::HostShape;
use rehost_api::{Notebook, NotebookClass};

use super::words::{Asked, ClassWord, digest, listed, pinned};
use super::{allowed, families, home};
use crate::gce::catalogue::Catalogue;
use crate::gce::model::{AcceleratorType, ImageFacts, MachineType, Quota};
use crate::gce::mutation::Place;
use crate::seen::Seen;

/// How many similar names a refusal gives.
const NEAR_MAX: usize = 3;

/// What is looked at of the notebook's namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its labels, for the class's selector.
    pub labels: BTreeMap<String, String>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

impl From<crate::watch::slim::NamespaceSeen> for NamespaceFacts {
    fn from(seen: crate::watch::slim::NamespaceSeen) -> Self {
        Self { labels: seen.metadata.labels.unwrap_or_default(), terminating: seen.terminating }
    }
}

/// What must be asked. Empty where nothing has to be resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// The project of everything below, images apart, which name their own.
    pub project: String,
    /// The zone that machine types and GPUs are asked for.
    pub zone: String,
    /// Machine types by their canonical names.
    pub machine_types: BTreeSet<String>,
    /// GPUs to attach.
    pub accelerator_types: BTreeSet<String>,
    /// Images and image families, as they are written.
    pub images: BTreeSet<String>,
    /// Whether the quotas of the zone's region are asked for.
    pub quotas: bool,
}

impl Needs {
    /// Whether there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.machine_types.is_empty() && self.accelerator_types.is_empty() && self.images.is_empty() && !self.quotas
    }
}

/// What must be asked to resolve this notebook: nothing where it was resolved from the same words before, where it is
/// being deleted, or where the words alone refuse it.
#[must_use]
pub fn needs(notebook: &Notebook, class: &Seen<Arc<NotebookClass>>) -> Needs {
    if notebook.metadata.deletion_timestamp.is_some() {
        return Needs::default();
    }
    needed(notebook, class).unwrap_or_default()
}

fn needed(notebook: &Notebook, class: &Seen<Arc<NotebookClass>>) -> Option<Needs> {
    let class = ClassWord::of(notebook, class).ok()?;
    let hosts = listed(notebook, &class).ok()?;
    let placement = home::placement(notebook, &class, &hosts).ok()?;
    if placement.claim {
        return None;
    }
    if let Some(resolved) = pinned(notebook, &digest(notebook, &placement.zone)) {
        return needed_for_a_change(notebook, &resolved.host, placement);
    }
    // What is refused anyway is not asked for, least of all in projects that the class does not allow.
    allowed::hosts_allowed(notebook, &class, &placement.zone, &hosts).ok()?;
    home::suits(notebook, &class, &placement, &hosts).ok()?;
    let mut needs = Needs { project: placement.project, zone: placement.zone, ..Needs::default() };
    needs.machine_types.extend(present_machine(notebook));
    for host in &hosts {
        match &host.asked {
            Asked::Vm(vm) => {
                needs.quotas = true;
                needs.machine_types.extend(class.machine_type(vm));
                needs.accelerator_types.extend(vm.gpu.iter().map(|gpu| gpu.kind.clone()));
                match vm.boot_disk.as_ref().and_then(|disk| disk.image.clone()) {
                    Some(image) => needs.images.extend([image]),
                    // Which default it is, the machine type's architecture and GPUs say, which are not known yet.
                    None => needs.images.extend(default_images(&class)),
                }
            }
            Asked::Pod(pod) => needs.machine_types.extend(pod.machine_type.as_deref().map(families::canonical)),
        }
    }
    Some(needs)
}

/// While the host that runs is not the wished one, it matters whether the quotas have room for both.
fn needed_for_a_change(notebook: &Notebook, wished: &HostShape, placement: home::Placement) -> Option<Needs> {
    let status = notebook.status.as_ref()?;
    let host = status.host.as_ref().filter(|host| host.last_shape != *wished && status.transition.is_none())?;
    let (HostShape::Vm(present), HostShape::Vm(wished)) = (&host.last_shape, wished) else { return None };
    let machine_types = [present, wished].map(|shape| shape.machine_type.clone()).into();
    Some(Needs { project: placement.project, zone: placement.zone, machine_types, quotas: true, ..Needs::default() })
}

fn present_machine(notebook: &Notebook) -> Option<String> {
    notebook.status.as_ref()?.host.as_ref()?.machine_type.clone()
}

fn default_images(class: &ClassWord<'_>) -> Vec<String> {
    let images = class.spec.images.as_ref().and_then(|images| images.vm.as_ref());
    let by_kind = images.into_iter().flat_map(|images| [&images.cpu, &images.gpu, &images.arm]).flatten();
    let own = class.default_vm().and_then(|vm| vm.boot_disk.as_ref()?.image.as_ref());
    by_kind.chain(own).cloned().collect()
}

/// What the cloud answered. What was not asked is unknown, never absent.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Machine types of the home's zone, by their canonical names.
    pub machine_types: BTreeMap<String, Seen<MachineType>>,
    /// Machine types that the zone has, with names like one that it does not have.
    pub near: BTreeMap<String, Vec<String>>,
    /// GPUs that the zone offers for attaching.
    pub accelerator_types: BTreeMap<String, Seen<AcceleratorType>>,
    /// Images, by how they were referred to.
    pub images: BTreeMap<String, Seen<ImageFacts>>,
    /// The quotas of the zone's region.
    pub quotas: Option<Seen<Vec<Quota>>>,
    /// The quotas of the whole project.
    pub project_quotas: Option<Seen<Vec<Quota>>>,
}

impl Facts {
    /// Asks the catalogue for all that is needed, at once: it remembers, so most notebooks ask the cloud nothing.
    pub async fn gather(catalogue: &Catalogue, needs: &Needs) -> Facts {
        let place = Place::new(&needs.project, &needs.zone);
        let machine_types = async {
            let names = needs.machine_types.iter();
            join_all(names.map(async |name| (name.clone(), catalogue.machine_type(&place, name).await))).await
        };
        let accelerator_types = async {
            let names = needs.accelerator_types.iter();
            join_all(names.map(async |name| (name.clone(), catalogue.accelerator_type(&place, name).await))).await
        };
        let images = async {
            let references = needs.images.iter();
            join_all(references.map(async |name| (name.clone(), catalogue.image(&needs.project, name).await))).await
        };
        let quotas = async {
            if needs.quotas { Some(catalogue.region_quota(&needs.project, place.region()).await) } else { None }
        };
        let project_quotas =
            async { if needs.quotas { Some(catalogue.project_quota(&needs.project).await) } else { None } };
        let (machine_types, accelerator_types, images, quotas, project_quotas) =
            futures::join!(machine_types, accelerator_types, images, quotas, project_quotas);
        let machine_types: BTreeMap<String, Seen<MachineType>> = machine_types.into_iter().collect();
        let near = near(catalogue, &place, &machine_types).await;
        Facts {
            machine_types,
            near,
            accelerator_types: accelerator_types.into_iter().collect(),
            images: images.into_iter().collect(),
            quotas,
            project_quotas,
        }
    }

    pub(super) fn machine_type(&self, name: &str) -> Seen<&MachineType> {
        self.machine_types.get(name).map_or_else(not_asked, Seen::as_ref)
    }

    pub(super) fn accelerator_type(&self, name: &str) -> Seen<&AcceleratorType> {
        self.accelerator_types.get(name).map_or_else(not_asked, Seen::as_ref)
    }

    pub(super) fn image(&self, reference: &str) -> Seen<&ImageFacts> {
        self.images.get(reference).map_or_else(not_asked, Seen::as_ref)
    }

    /// A quota of the region or of the project, where it is known.
    pub(super) fn quota(&self, metric: &str) -> Option<&Quota> {
        let known = [&self.quotas, &self.project_quotas].into_iter().flatten().filter_map(Seen::present);
        known.flatten().find(|quota| quota.metric == metric)
    }
}

fn not_asked<T>() -> Seen<T> {
    Seen::Unknown("it was not looked at yet".to_owned())
}

/// For each machine type that the zone does not have, some with similar names that it has. Asked for only then, because
/// it only serves the sentence of a refusal.
async fn near(
    catalogue: &Catalogue,
    place: &Place,
    machine_types: &BTreeMap<String, Seen<MachineType>>,
) -> BTreeMap<String, Vec<String>> {
    let mut near = BTreeMap::new();
    for (name, _) in machine_types.iter().filter(|(_, seen)| seen.is_absent()) {
        let candidates = families::like(name);
        let seen = join_all(candidates.iter().map(|candidate| catalogue.machine_type(place, candidate))).await;
        let there = candidates.into_iter().zip(seen).filter(|(_, seen)| seen.is_present()).map(|(name, _)| name);
        near.insert(name.clone(), there.take(NEAR_MAX).collect());
    }
    near
}
