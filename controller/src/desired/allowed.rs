//! The class's word: what a notebook names must be a default of the class or matched by one of its lists. Only words are
//! compared here, nothing of the cloud, so that what is forbidden is said so also while the cloud cannot be seen.

use rehost_api::Notebook;
use rehost_api::conditions::Reason;
use rehost_api::notebook::{ExternalAddress, PodHost, VmHost};
use rehost_api::pattern;
use rehost_api::shape::Gpu;

use super::facts::NamespaceFacts;
use super::families;
use super::words::{Asked, ClassWord, Listed};
use super::{Power, Refusal};
use crate::seen::Seen;

/// Whether the class allows the zones and every listed host.
pub(super) fn hosts_allowed(
    notebook: &Notebook,
    class: &ClassWord<'_>,
    zone: &str,
    hosts: &[Listed],
) -> Result<(), Refusal> {
    zones_allowed(notebook, class, zone)?;
    for host in hosts.iter().filter(|host| !host.from_class) {
        match &host.asked {
            Asked::Vm(vm) => vm_allowed(class, &format!("{}.vm", host.path), vm)?,
            Asked::Pod(pod) => pod_allowed(class, &host.path, pod)?,
        }
    }
    Ok(())
}

/// Whether the class is for this namespace.
pub(super) fn namespace_admitted(
    notebook: &Notebook,
    class: &ClassWord<'_>,
    namespace: &Seen<NamespaceFacts>,
) -> Result<(), Refusal> {
    let Some(selector) = &class.spec.namespace_selector else { return Ok(()) };
    let name = notebook.metadata.namespace.as_deref().unwrap_or_default();
    let unknown = |why: &str| Err(Refusal::unknown("spec.class", "whether the class is for this namespace", why));
    match namespace {
        Seen::Present(facts) if selector.selects(&facts.labels) => Ok(()),
        Seen::Present(_) => Err(Refusal::new(
            Reason::NotAllowedByClass,
            "spec.class",
            format!(
                "'{}' is not for namespace '{name}', whose labels are not those of the class's namespaceSelector: name a class that is, or ask an administrator to label the namespace",
                class.name
            ),
        )),
        // The notebook was seen before its namespace: that passes.
        Seen::Absent => unknown("the namespace was not seen yet"),
        Seen::Unknown(why) => unknown(why),
    }
}

fn zones_allowed(notebook: &Notebook, class: &ClassWord<'_>, home_zone: &str) -> Result<(), Refusal> {
    let allowed = &class.spec.zones;
    let named = notebook.spec.zones.iter().map(String::as_str);
    let home = Some(home_zone).filter(|zone| !zone.is_empty());
    match named.chain(home).find(|zone| !allowed.iter().any(|known| known == zone)) {
        Some(zone) => Err(Refusal::not_allowed(class.name, "spec.zones", zone, allowed)),
        None => Ok(()),
    }
}

/// Whether `value` is matched by any of `allowed`; a default of the class is a pattern without a star.
fn one_of(class: &ClassWord<'_>, field: String, value: &str, allowed: &[String]) -> Result<(), Refusal> {
    if pattern::any_matches(allowed, value) {
        Ok(())
    } else {
        Err(Refusal::not_allowed(class.name, field, value, allowed))
    }
}

/// Defaults and patterns as one list.
fn either<'a>(
    defaults: impl IntoIterator<Item = Option<&'a String>>,
    patterns: Option<&'a Vec<String>>,
) -> Vec<String> {
    defaults.into_iter().flatten().chain(patterns.into_iter().flatten()).cloned().collect()
}

fn vm_allowed(class: &ClassWord<'_>, path: &str, vm: &VmHost) -> Result<(), Refusal> {
    let default = class.default_vm();
    if let Some(machine_type) = &vm.machine_type {
        machine_type_allowed(class, format!("{path}.machineType"), machine_type)?;
    }
    if let Some(gpu) = &vm.gpu {
        gpu_allowed(class, path, gpu)?;
    }
    if let Some(image) = vm.boot_disk.as_ref().and_then(|disk| disk.image.as_ref()) {
        let images = class.spec.images.as_ref().and_then(|images| images.vm.as_ref());
        let defaults = images.map(|images| [images.cpu.as_ref(), images.gpu.as_ref(), images.arm.as_ref()]);
        let own = default.and_then(|vm| vm.boot_disk.as_ref()?.image.as_ref());
        let allowed = either(defaults.into_iter().flatten().chain([own]), images.map(|images| &images.allowed));
        one_of(class, format!("{path}.bootDisk.image"), image, &allowed)?;
    }
    if let Some(account) = &vm.service_account {
        let accounts = class.spec.service_accounts.as_ref();
        let defaults = [
            accounts.and_then(|accounts| accounts.default.as_ref()),
            default.and_then(|vm| vm.service_account.as_ref()),
        ];
        let allowed = either(defaults, accounts.map(|accounts| &accounts.allowed));
        one_of(class, format!("{path}.serviceAccount"), account, &allowed)?;
    }
    network_allowed(class, path, vm)
}

fn network_allowed(class: &ClassWord<'_>, path: &str, vm: &VmHost) -> Result<(), Refusal> {
    let network = class.spec.network.as_ref();
    let default = class.default_vm();
    if let Some(subnetwork) = &vm.subnetwork {
        let defaults =
            [network.and_then(|network| network.subnetwork.as_ref()), default.and_then(|vm| vm.subnetwork.as_ref())];
        let allowed = either(defaults, network.map(|network| &network.allowed_subnetworks));
        one_of(class, format!("{path}.subnetwork"), subnetwork, &allowed)?;
    }
    let tags =
        network.map(|network| network.tags.iter()).into_iter().flatten().chain(default.iter().flat_map(|vm| &vm.tags));
    let allowed = either(tags.map(Some), network.map(|network| &network.allowed_tags));
    for tag in &vm.tags {
        one_of(class, format!("{path}.tags"), tag, &allowed)?;
    }
    let external = vm.external_address.unwrap_or_default() == ExternalAddress::Ephemeral;
    if external && !network.is_some_and(|network| network.external_addresses) {
        return Err(Refusal::not_allowed(
            class.name,
            format!("{path}.externalAddress"),
            "Ephemeral",
            &["None".to_owned()],
        ));
    }
    Ok(())
}

/// A machine has one shape under two names: either may be the one that the class lists.
fn machine_type_allowed(class: &ClassWord<'_>, field: String, machine_type: &str) -> Result<(), Refusal> {
    let types = class.spec.machine_types.as_ref();
    let defaults = [
        types.and_then(|types| types.default.as_ref()),
        class.default_vm().and_then(|vm| vm.machine_type.as_ref()),
        class.default_pod().and_then(|pod| pod.machine_type.as_ref()),
    ];
    let allowed = either(defaults, types.map(|types| &types.allowed));
    let canonical = families::canonical(machine_type);
    if pattern::any_matches(&allowed, &canonical) { Ok(()) } else { one_of(class, field, machine_type, &allowed) }
}

fn gpu_allowed(class: &ClassWord<'_>, path: &str, gpu: &Gpu) -> Result<(), Refusal> {
    let gpus = class.spec.gpus.as_ref();
    let own = [class.default_vm().and_then(|vm| vm.gpu.as_ref()), class.default_pod().and_then(|pod| pod.gpu.as_ref())];
    let allowed = either(own.map(|gpu| gpu.map(|gpu| &gpu.kind)), gpus.map(|gpus| &gpus.allowed));
    one_of(class, format!("{path}.gpu.type"), &gpu.kind, &allowed)?;
    match gpus.and_then(|gpus| gpus.max_count) {
        Some(most) if i64::from(gpu.count) > i64::from(most) => Err(Refusal::new(
            Reason::NotAllowedByClass,
            format!("{path}.gpu.count"),
            format!("'{}' is more than class '{}' allows: at most {most}", gpu.count, class.name),
        )),
        Some(_) | None => Ok(()),
    }
}

fn pod_allowed(class: &ClassWord<'_>, path: &str, pod: &PodHost) -> Result<(), Refusal> {
    if class.spec.pods.is_none() {
        return Err(Refusal::new(
            Reason::NotAllowedByClass,
            format!("{path}.pod"),
            format!(
                "a pod is not allowed by class '{}', which has virtual machines only: write vm instead",
                class.name
            ),
        ));
    }
    let path = format!("{path}.pod");
    if let Some(machine_type) = &pod.machine_type {
        machine_type_allowed(class, format!("{path}.machineType"), machine_type)?;
    }
    if let Some(gpu) = &pod.gpu {
        gpu_allowed(class, &path, gpu)?;
    }
    if let Some(image) = &pod.image {
        let images = class.spec.images.as_ref().and_then(|images| images.pod.as_ref());
        let defaults =
            [images.and_then(|images| images.default.as_ref()), class.default_pod().and_then(|pod| pod.image.as_ref())];
        let allowed = either(defaults, images.map(|images| &images.allowed));
        one_of(class, format!("{path}.image"), image, &allowed)?;
    }
    Ok(())
}

/// Whether the class allows the buckets and the repository.
///
/// They are no part of the host, so they are looked at each time. A notebook that is to be stopped uses neither: it is
/// stopped whatever the class says by now.
pub(super) fn content_allowed(notebook: &Notebook, class: &ClassWord<'_>, power: Power) -> Result<(), Refusal> {
    if power == Power::Stopped {
        return Ok(());
    }
    for (index, bucket) in notebook.spec.buckets.iter().enumerate() {
        one_of(class, format!("spec.buckets[{index}].name"), &bucket.name, &class.spec.buckets)?;
    }
    let prefixes = &class.spec.source_prefixes;
    match &notebook.spec.source {
        // A class without prefixes allows every repository; the star at the end of a prefix is implied.
        Some(source) if !prefixes.is_empty() => {
            let begins = |prefix: &String| pattern::matches(&format!("{prefix}*"), &source.repository);
            if prefixes.iter().any(begins) {
                Ok(())
            } else {
                Err(Refusal::not_allowed(class.name, "spec.source.repository", &source.repository, prefixes))
            }
        }
        Some(_) | None => Ok(()),
    }
}
