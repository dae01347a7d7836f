//! The wished home: where it is, what it is, and whether every listed host can have it.
//!
//! A home that is recorded decides most of it: it stays where it is while its zone is listed, and what it is while nothing asks
//! for another type and every listed host can attach it. Otherwise the wish names another zone or type, and the plan copies it.

use rehost_api::Notebook;
use rehost_api::class::{ClassPods, ClassStorage, PodHomes};
use rehost_api::conditions::Reason;
use rehost_api::notebook::HomeFrom;
use rehost_api::shape::HostShape;
use rehost_api::size::DiskSize;
use rehost_api::status::HomeRecord;

use super::words::{Asked, ClassWord, Listed, path};
use super::{Refusal, WishedHome, defaults, families};

/// The smallest disk of this type, <https://cloud.google.com/compute/docs/disks/hyperdisks#limits-disk>.
const HYPERDISK_BALANCED_GB_MIN: i64 = 4;

/// Where the home is, or is to be.
pub(super) struct Placement {
    /// Whether it is a dynamic claim of the cluster.
    pub(super) claim: bool,
    /// The project; empty for a claim.
    pub(super) project: String,
    /// The zone; empty for a claim.
    pub(super) zone: String,
}

/// The home as status remembers it.
fn recorded(notebook: &Notebook) -> Option<&HomeRecord> {
    notebook.status.as_ref()?.home.as_ref()
}

fn homes_of_pods(class: &ClassWord<'_>) -> Option<PodHomes> {
    class.spec.pods.as_ref().map(|pods| pods.homes)
}

/// Where the home is, or is to be: a recorded home stays what it is, and where it is while its zone is listed.
pub(super) fn placement(notebook: &Notebook, class: &ClassWord<'_>, hosts: &[Listed]) -> Result<Placement, Refusal> {
    let home = recorded(notebook);
    let first_is_pod = matches!(hosts.first().map(|host| &host.asked), Some(Asked::Pod(_)));
    let claim = home.map_or(first_is_pod && homes_of_pods(class) == Some(PodHomes::Claim), |home| home.claim);
    if claim {
        return Ok(Placement { claim, project: String::new(), zone: String::new() });
    }
    let project = home.map(|home| &home.project).filter(|project| !project.is_empty()).unwrap_or(&class.spec.project);
    let zone = zone(notebook, class, home.map(|home| home.zone.as_str()).filter(|zone| !zone.is_empty()))?;
    Ok(Placement { claim, project: project.clone(), zone })
}

fn zone(notebook: &Notebook, class: &ClassWord<'_>, recorded: Option<&str>) -> Result<String, Refusal> {
    let zones = &notebook.spec.zones;
    match recorded {
        // The order is that of preference for a home that is to be made; reordering moves nothing.
        Some(zone) if zones.is_empty() || zones.iter().any(|listed| listed == zone) => Ok(zone.to_owned()),
        Some(_) | None => zones.first().or(class.spec.zones.first()).cloned().ok_or_else(|| {
            let message = format!("no zone is named, and class '{}' has none: name one", class.name);
            Refusal::new(Reason::Refused, "spec.zones", message)
        }),
    }
}

/// The wished home of hosts of these shapes. `pinned` says that they were resolved before, and with them whether they can
/// have the home: that is not asked again, so that a change of the class or of a table here stalls nobody.
pub(super) fn wished(
    notebook: &Notebook,
    class: &ClassWord<'_>,
    placement: Placement,
    shapes: &[HostShape],
    pinned: bool,
) -> Result<WishedHome, Refusal> {
    let home = recorded(notebook);
    let start_blank = start(notebook, home)?;
    let size_gb = size_gb(notebook, class, home)?;
    let Placement { claim, project, zone } = placement;
    let storage_class = storage_class(class, claim);
    if claim {
        let (disk_type, families) = (String::new(), Vec::new());
        return Ok(WishedHome { claim, project, zone, size_gb, disk_type, families, storage_class, start_blank });
    }
    let disk_type = disk_type(notebook, class, home, shapes, pinned)?;
    let stays = home.is_some_and(|home| home.disk_type == disk_type);
    if !pinned || !stays {
        attachable(notebook, &disk_type, shapes)?;
    }
    if !stays && disk_type == "hyperdisk-balanced" && size_gb < HYPERDISK_BALANCED_GB_MIN {
        let message = format!(
            "'{size_gb}Gi' is too small for a disk of type {disk_type}: write {HYPERDISK_BALANCED_GB_MIN}Gi or more"
        );
        return Err(Refusal::new(Reason::Refused, "spec.storage.size", message));
    }
    let families = families::that_attach(&disk_type, machine_types(shapes).map(|(_, name)| name));
    Ok(WishedHome { claim, project, zone, size_gb, disk_type, families, storage_class, start_blank })
}

/// What a new home starts from. To start blank where a copy is asked for would look like lost content, so that is refused.
fn start(notebook: &Notebook, home: Option<&HomeRecord>) -> Result<bool, Refusal> {
    let from = notebook.spec.storage.as_ref().and_then(|storage| storage.from.as_ref());
    let Some(HomeFrom { snapshot, disk, notebook: other, blank }) = from.filter(|_| home.is_none()) else {
        return Ok(false);
    };
    for (field, value) in [("snapshot", snapshot), ("disk", disk), ("notebook", other)] {
        if let Some(value) = value {
            return Err(Refusal::not_yet(
                format!("spec.storage.from.{field}"),
                format!(
                    "'{value}': to start from a {field} is not done by this version; write blank: true to start with an empty home, or leave from out"
                ),
            ));
        }
    }
    Ok(blank.unwrap_or(false))
}

/// The size: the spec's, else the recorded one (a change of the class is for new notebooks only), else the class's.
fn size_gb(notebook: &Notebook, class: &ClassWord<'_>, home: Option<&HomeRecord>) -> Result<i64, Refusal> {
    let read = |size: &DiskSize| {
        let gib = size.gib().map_err(|error| Refusal::new(Reason::Refused, "spec.storage.size", error.to_string()))?;
        Ok(i64::try_from(gib).unwrap_or(i64::MAX))
    };
    if let Some(size) = notebook.spec.storage.as_ref().and_then(|storage| storage.size.as_ref()) {
        return read(size);
    }
    if let Some(home) = home {
        return Ok(home.size_gb);
    }
    default_storage(class).and_then(|storage| storage.size.as_ref()).map_or(Ok(defaults::HOME_SIZE_GB), read)
}

fn default_storage<'a>(class: &ClassWord<'a>) -> Option<&'a ClassStorage> {
    class.spec.defaults.as_ref()?.storage.as_ref()
}

/// Whether a home of that kind and place is one that the class and every listed host can have, by their words alone.
pub(super) fn suits(
    notebook: &Notebook,
    class: &ClassWord<'_>,
    placement: &Placement,
    hosts: &[Listed],
) -> Result<(), Refusal> {
    if !placement.claim && placement.project != class.spec.project {
        let message = format!(
            "'{}' is a class of project {}, and the home is in project {}: homes do not move between projects, so name a class of {}",
            class.name, class.spec.project, placement.project, placement.project
        );
        return Err(Refusal::new(Reason::Refused, "spec.class", message));
    }
    let name = recorded(notebook).map_or_else(String::new, |home| format!(" ({})", home.disk));
    hosts.iter().try_for_each(|host| kinds_agree(class, placement.claim, &name, host))
}

/// A VM has a disk of Compute Engine; a pod has that or a claim, as the class says. One home cannot be both.
fn kinds_agree(class: &ClassWord<'_>, claim: bool, home: &str, host: &Listed) -> Result<(), Refusal> {
    let message = match (&host.asked, claim, homes_of_pods(class)) {
        (Asked::Vm(_), true, _) => format!(
            "'vm' cannot have the home{home}, which is a claim of the cluster: a notebook does not move between a claim and a VM, so write pod"
        ),
        (Asked::Pod(_), false, Some(PodHomes::Claim)) => format!(
            "'pod' cannot have the home{home}, which is a Compute Engine disk, because pods of class '{}' have claims of the cluster: a notebook does not move between a VM and a claim, so write vm",
            class.name
        ),
        (Asked::Vm(_), false, _) | (Asked::Pod(_), true, _) | (Asked::Pod(_), false, Some(PodHomes::Disk) | None) => {
            return Ok(());
        }
    };
    Err(Refusal::new(Reason::Refused, host.path.clone(), message))
}

fn storage_class(class: &ClassWord<'_>, claim: bool) -> String {
    let homes = if claim { PodHomes::Claim } else { PodHomes::Disk };
    // The class names the StorageClass of its own kind of homes only.
    let named = |pods: &ClassPods| pods.storage_class_name.clone().filter(|_| pods.homes == homes);
    let fixed = if claim { String::new() } else { defaults::STORAGE_CLASS.to_owned() };
    class.spec.pods.as_ref().and_then(named).unwrap_or(fixed)
}

/// The machine types that are listed, and where. A pod that names none goes to a node that can attach the home.
fn machine_types(shapes: &[HostShape]) -> impl Iterator<Item = (usize, &str)> {
    shapes
        .iter()
        .map(|shape| match shape {
            HostShape::Vm(vm) => vm.machine_type.as_str(),
            HostShape::Pod(pod) => pod.machine_type.as_str(),
        })
        .enumerate()
        .filter(|(_, name)| !name.is_empty())
}

/// The disk type: the spec's; else the recorded one where every listed host can attach it; else the class's where every one can;
/// else the best that every one can. What was resolved before is not asked again.
fn disk_type(
    notebook: &Notebook,
    class: &ClassWord<'_>,
    home: Option<&HomeRecord>,
    shapes: &[HostShape],
    pinned: bool,
) -> Result<String, Refusal> {
    let asked = notebook.spec.storage.as_ref().and_then(|storage| storage.disk_type.as_ref());
    let has = home.map(|home| &home.disk_type).filter(|has| !has.is_empty());
    let before = notebook.status.as_ref().and_then(|status| status.resolved.as_ref()).map(|before| &before.home_type);
    let before = before.filter(|before| !before.is_empty()).or(has).filter(|_| pinned && has.is_some());
    if let Some(settled) = asked.or(before) {
        return Ok(settled.clone());
    }
    let names: Vec<&str> = machine_types(shapes).map(|(_, name)| name).collect();
    let fits = |preset: &&String| names.iter().all(|name| families::attaches(name, preset));
    let given = default_storage(class).and_then(|storage| storage.disk_type.as_ref());
    let preset = has.filter(fits).or_else(|| given.filter(fits)).cloned();
    preset.or_else(|| families::best_disk_type(&names).map(str::to_owned)).ok_or_else(|| none_fits(shapes))
}

fn none_fits(shapes: &[HostShape]) -> Refusal {
    let takes = |(_, name): (usize, &str)| format!("{name} takes {}", families::disk_types(name));
    let each: Vec<String> = machine_types(shapes).map(takes).collect();
    let message = format!(
        "it is not set, and there is no disk type to choose that all listed hosts can attach: {}; list hosts that share one",
        each.join("; ")
    );
    Refusal::new(Reason::DiskTypeMismatch, "spec.storage.type", message)
}

/// Every listed host can attach the type.
fn attachable(notebook: &Notebook, disk_type: &str, shapes: &[HostShape]) -> Result<(), Refusal> {
    if let Some((index, name)) = machine_types(shapes).find(|(_, name)| !families::attaches(name, disk_type)) {
        let takes = families::disk_types(name);
        let asked = notebook.spec.storage.as_ref().is_some_and(|storage| storage.disk_type.is_some());
        return Err(if asked {
            Refusal::new(
                Reason::DiskTypeMismatch,
                "spec.storage.type",
                format!(
                    "'{disk_type}' cannot be attached to {name} ({}), which takes {takes}: write a type that every listed host can attach, or leave it out",
                    path(index)
                ),
            )
        } else {
            none_fits(shapes)
        });
    }
    if families::that_attach(disk_type, machine_types(shapes).map(|(_, name)| name)).is_empty() {
        let message = format!(
            "'{disk_type}' is no disk type that a known machine family can attach: write for example pd-balanced"
        );
        return Err(Refusal::new(Reason::DiskTypeMismatch, "spec.storage.type", message));
    }
    Ok(())
}
