//! A listed pod, resolved.

use rehost_api::Notebook;
use rehost_api::conditions::Reason;
use rehost_api::notebook::{PodHost, PodResources};
use rehost_api::shape::{HostShape, PodShape};
use rehost_api::size::{CpuQuantity, MemoryQuantity, SizeError};

use super::words::{Asked, ClassWord, Listed};
use super::{Facts, Refusal, defaults, families, host};

/// Resolves a pod that stands at `path`. `zone` is the home's, empty where the home is a claim: what nodes a cluster
/// elsewhere has, the catalogue of Compute Engine does not know.
pub(super) fn shape(
    class: &ClassWord<'_>,
    zone: &str,
    facts: &Facts,
    path: &str,
    pod: &PodHost,
) -> Result<PodShape, Refusal> {
    let own = class.default_pod().cloned().unwrap_or_default();
    let (asked, given) = (pod.resources.clone().unwrap_or_default(), own.resources.clone().unwrap_or_default());
    let PodResources { cpu, memory, ephemeral_storage } = asked;
    let cpu_milli = cpu.or(given.cpu).map_or(Ok(defaults::POD_CPU_MILLI), |cpu| millicores(path, &cpu))?;
    let memory_bytes = memory
        .or(given.memory)
        .map_or(Ok(defaults::POD_MEMORY_BYTES), |memory| bytes(format!("{path}.resources.memory"), &memory))?;
    let ephemeral_storage_bytes = ephemeral_storage
        .or(given.ephemeral_storage)
        .map_or(Ok(0), |scratch| bytes(format!("{path}.resources.ephemeralStorage"), &scratch))?;
    let machine_type = pod.machine_type.as_deref().map(families::canonical).unwrap_or_default();
    if !machine_type.is_empty() && !zone.is_empty() {
        host::machine(facts, zone, &format!("{path}.machineType"), &machine_type)?;
    }
    Ok(PodShape {
        image: image(class, path, pod, own.image)?,
        cpu_milli,
        memory_bytes,
        ephemeral_storage_bytes,
        machine_type,
        gpu: pod.gpu.clone(),
        service_account: pod.service_account_name.clone().or(own.service_account_name).unwrap_or_default(),
        shared_memory_bytes: shared_memory(path, pod, memory_bytes)?,
        node_selector: pod.node_selector.clone(),
        tolerations: pod.tolerations.clone(),
        ..PodShape::default()
    })
}

/// A pod that runs keeps the shared memory that it was given by default: it follows the memory, and would else turn every change of
/// that, which kernels live through, into a move.
pub(super) fn keep_shared_memory(notebook: &Notebook, hosts: &[Listed], shapes: Vec<HostShape>) -> Vec<HostShape> {
    let host = notebook.status.as_ref().and_then(|status| status.host.as_ref());
    let Some(HostShape::Pod(runs)) = host.map(|host| &host.last_shape) else { return shapes };
    let kept = |(host, shape): (&Listed, HostShape)| match (&host.asked, shape) {
        (Asked::Pod(asked), HostShape::Pod(mut pod)) => {
            if asked.shared_memory.is_none() && runs.shared_memory_bytes <= pod.memory_bytes {
                pod.shared_memory_bytes = runs.shared_memory_bytes;
            }
            HostShape::Pod(pod)
        }
        (Asked::Pod(_) | Asked::Vm(_), shape) => shape,
    };
    hosts.iter().zip(shapes).map(kept).collect()
}

fn image(class: &ClassWord<'_>, path: &str, pod: &PodHost, own: Option<String>) -> Result<String, Refusal> {
    let classes = || class.spec.images.as_ref()?.pod.as_ref()?.default.clone();
    pod.image.clone().or_else(classes).or(own).ok_or_else(|| {
        let message =
            format!("it is not set, and class '{}' has no default for pods: name a container image", class.name);
        Refusal::new(Reason::ImageMismatch, format!("{path}.image"), message)
    })
}

/// Shared memory is memory of the pod, so that there can be no more of it.
fn shared_memory(path: &str, pod: &PodHost, memory_bytes: i64) -> Result<i64, Refusal> {
    let Some(asked) = &pod.shared_memory else { return Ok(defaults::shared_memory_bytes(memory_bytes)) };
    let field = format!("{path}.sharedMemory");
    let shared_bytes = bytes(field.clone(), asked)?;
    if shared_bytes <= memory_bytes {
        return Ok(shared_bytes);
    }
    let most_mi = memory_bytes >> 20;
    let message = format!(
        "'{asked}' is more than the pod's memory, of which it is a part: write {most_mi}Mi or less, or raise resources.memory"
    );
    Err(Refusal::new(Reason::Refused, field, message))
}

fn millicores(path: &str, cpu: &CpuQuantity) -> Result<i64, Refusal> {
    signed(format!("{path}.resources.cpu"), cpu.millicores())
}

fn bytes(field: String, memory: &MemoryQuantity) -> Result<i64, Refusal> {
    signed(field, memory.bytes())
}

/// The API server has seen to the form; a resource stored under an older definition may still hold another.
fn signed(field: String, read: Result<u64, SizeError>) -> Result<i64, Refusal> {
    let amount = read.map_err(|error| Refusal::new(Reason::Refused, field, error.to_string()))?;
    Ok(i64::try_from(amount).unwrap_or(i64::MAX))
}
