//! The words of the spec, read together with the class's: which hosts are listed, which class is meant, and the digest
//! that says whether anything has to be resolved again.

use std::sync::Arc;

use rehost_api::conditions::Reason;
use rehost_api::notebook::{HostSpec, PodHost, VmHost};
use rehost_api::shape::digest_of;
use rehost_api::status::Resolved;
use rehost_api::{Notebook, NotebookClass, NotebookClassSpec};
use serde::Serialize;

use super::Refusal;
use super::families;
use crate::seen::Seen;

/// The class of a notebook, with the name that the notebook calls it by.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClassWord<'a> {
    pub(super) name: &'a str,
    pub(super) spec: &'a NotebookClassSpec,
}

impl<'a> ClassWord<'a> {
    /// The class, or why there is none to go by.
    pub(super) fn of(notebook: &'a Notebook, class: &'a Seen<Arc<NotebookClass>>) -> Result<Self, Refusal> {
        let name = notebook.spec.class_name();
        match class {
            Seen::Present(class) => Ok(Self { name, spec: &class.spec }),
            Seen::Absent => Err(Refusal::new(
                Reason::ClassNotFound,
                "spec.class",
                format!("there is no NotebookClass '{name}': name one that exists, or ask an administrator to make it"),
            )),
            Seen::Unknown(why) => Err(Refusal::unknown("spec.class", &format!("the NotebookClass '{name}'"), why)),
        }
    }

    /// The virtual machine that the class gives to those who name no host.
    pub(super) fn default_vm(&self) -> Option<&'a VmHost> {
        self.default_host()?.vm.as_ref()
    }

    /// The pod that the class gives to those who name no host.
    pub(super) fn default_pod(&self) -> Option<&'a PodHost> {
        self.default_host()?.pod.as_ref()
    }

    fn default_host(&self) -> Option<&'a HostSpec> {
        self.spec.defaults.as_ref()?.host.as_ref()
    }

    /// The machine type of a virtual machine that names none, in its canonical name.
    pub(super) fn machine_type(&self, vm: &VmHost) -> Option<String> {
        let own = vm.machine_type.as_deref();
        let classes = || self.spec.machine_types.as_ref().and_then(|types| types.default.as_deref());
        let hosts = || self.default_vm().and_then(|vm| vm.machine_type.as_deref());
        own.or_else(classes).or_else(hosts).map(families::canonical)
    }
}

/// Where in the spec the wished host (0) or a fallback (1, 2, …) stands.
pub(super) fn path(index: usize) -> String {
    match index.checked_sub(1) {
        None => "spec.host".to_owned(),
        Some(fallback) => format!("spec.fallbacks[{fallback}]"),
    }
}

/// One of the two kinds of host, as it was asked for.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Vm(VmHost),
    Pod(PodHost),
}

/// A host that is listed: the wished one first, then the fallbacks.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    /// Where it stands.
    pub(super) path: String,
    /// Whether it is the class's own, and so allowed.
    pub(super) from_class: bool,
    pub(super) asked: Asked,
}

/// The listed hosts. A notebook that names none has the class's; a class that has none gives a virtual machine.
pub(super) fn listed(notebook: &Notebook, class: &ClassWord<'_>) -> Result<Vec<Listed>, Refusal> {
    let spec = &notebook.spec;
    let machine = || HostSpec::of_vm(VmHost::default());
    let wished = spec.host.clone().or_else(|| class.default_host().cloned()).unwrap_or_else(machine);
    let all = std::iter::once(&wished).chain(&spec.fallbacks);
    all.enumerate()
        .map(|(index, host)| {
            let from_class = index == 0 && spec.host.is_none();
            Ok(Listed { path: path(index), from_class, asked: asked(index, host)? })
        })
        .collect()
}

fn asked(index: usize, host: &HostSpec) -> Result<Asked, Refusal> {
    match (&host.vm, &host.pod) {
        (Some(vm), None) => Ok(Asked::Vm(vm.clone())),
        (None, Some(pod)) => Ok(Asked::Pod(pod.clone())),
        // The API server refuses both; a resource stored under an older definition may still hold it.
        (Some(_), Some(_)) => {
            Err(Refusal::new(Reason::Refused, path(index), "a host has vm and pod both: keep exactly one of them"))
        }
        (None, None) => {
            Err(Refusal::new(Reason::Refused, path(index), "a host has neither vm nor pod: write exactly one of them"))
        }
    }
}

/// What is resolved once and then pinned. The class's contents are not among it, only its name: a change of the class
/// re-hosts nobody. Absent fields do not serialise, so a field that a later version adds changes no digest.
#[derive(Serialize)]
struct Words<'a> {
    class: &'a str,
    host: &'a Option<HostSpec>,
    fallbacks: &'a [HostSpec],
    zone: &'a str,
}

/// The digest of the words that were, or are to be, resolved around a home in `zone`.
pub(super) fn digest(notebook: &Notebook, zone: &str) -> String {
    let spec = &notebook.spec;
    digest_of(&Words { class: spec.class_name(), host: &spec.host, fallbacks: &spec.fallbacks, zone })
}

/// What was resolved from the same words before.
pub(super) fn pinned<'a>(notebook: &'a Notebook, digest: &str) -> Option<&'a Resolved> {
    notebook.status.as_ref()?.resolved.as_ref().filter(|resolved| resolved.digest == digest)
}
