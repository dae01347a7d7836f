//! The listed hosts, resolved: every default filled in, and everything that the cloud would refuse refused before
//! anything is stopped.

use rehost_api::conditions::Reason;
use rehost_api::notebook::{BootDisk, ExternalAddress, VmHost};
use rehost_api::shape::{Gpu, HostShape, Provisioning, VmShape};

use super::families::{self, Gpus};
use super::words::{Asked, ClassWord, Listed};
use super::{Facts, Refusal, defaults, pod, quota, resolve};
use crate::gce::model::{Architecture, ImageFacts, MachineType};
use crate::gce::mutation::Place;
use crate::seen::Seen;

/// Disks that every VM has: the one that it boots from, and the home.
const DISKS: u32 = 2;

/// Resolves all listed hosts, the wished one first.
pub(super) fn shapes(
    class: &ClassWord<'_>,
    zone: &str,
    facts: &Facts,
    hosts: &[Listed],
) -> Result<Vec<HostShape>, Refusal> {
    let shape = |(index, host): (usize, &Listed)| match &host.asked {
        Asked::Vm(vm) => {
            let asking = Asking { class, zone, facts, path: format!("{}.vm", host.path) };
            asking.vm(vm, index == 0).map(HostShape::Vm)
        }
        Asked::Pod(pod) => pod::shape(class, zone, facts, &format!("{}.pod", host.path), pod).map(HostShape::Pod),
    };
    hosts.iter().enumerate().map(shape).collect()
}

/// A machine type as the zone has it, or why not.
pub(super) fn machine<'a>(facts: &'a Facts, zone: &str, field: &str, name: &str) -> Result<&'a MachineType, Refusal> {
    match facts.machine_type(name) {
        Seen::Present(machine) => Ok(machine),
        Seen::Unknown(why) => Err(Refusal::unknown(field, &format!("whether {zone} has '{name}'"), &why)),
        Seen::Absent => {
            let near = facts.near.get(name).map(Vec::as_slice).unwrap_or_default();
            let instead = match near {
                [] => "name one that `gcloud compute machine-types list` shows for it".to_owned(),
                near => format!("it has for example {}", near.join(", ")),
            };
            let message = format!("'{name}' is no machine type of zone {zone}: {instead}");
            Err(Refusal::new(Reason::UnknownMachineType, field, message))
        }
    }
}

/// One VM that is being resolved.
struct Asking<'a> {
    class: &'a ClassWord<'a>,
    zone: &'a str,
    facts: &'a Facts,
    /// Where it stands, such as `spec.host.vm`.
    path: String,
}

impl Asking<'_> {
    fn refuse(&self, reason: Reason, field: &str, message: String) -> Refusal {
        Refusal::new(reason, format!("{}.{field}", self.path), message)
    }

    fn vm(&self, vm: &VmHost, wished: bool) -> Result<VmShape, Refusal> {
        self.provisioning(vm)?;
        let name = self.class.machine_type(vm).ok_or_else(|| {
            let message = format!(
                "it is not set, and class '{}' has no default: name one, such as n1-standard-4",
                self.class.name
            );
            self.refuse(Reason::Refused, "machineType", message)
        })?;
        // What the words alone refuse comes first, so that it is said also while the cloud cannot be seen.
        self.gpu_fits(&name, vm.gpu.as_ref())?;
        self.local_ssds_fit(&name, vm)?;
        let shielded = vm.shielded.clone().unwrap_or_default();
        let without_vtpm = shielded.vtpm == Some(false);
        if without_vtpm && shielded.integrity_monitoring == Some(true) {
            let message = "'true' needs the module whose vtpm is false: leave one of them out".to_owned();
            return Err(self.refuse(Reason::Refused, "shielded.integrityMonitoring", message));
        }
        let boot_disk = vm.boot_disk.clone().unwrap_or_default();
        let boot_type = self.boot_type(&name, &boot_disk)?;
        let subnetwork = self.subnetwork(vm)?;
        let machine = machine(self.facts, self.zone, &format!("{}.machineType", self.path), &name)?;
        self.machine_fits(machine, vm.gpu.as_ref())?;
        let image = self.image(machine, vm.gpu.is_some(), &boot_disk)?;
        let shape = VmShape {
            // Compute Engine answers for some custom shapes under another name, which is the one to compare with.
            machine_type: machine.name.clone(),
            gpu: vm.gpu.clone(),
            provisioning: vm.provisioning.unwrap_or_default(),
            boot_image: image.link.clone(),
            boot_size_gb: self.boot_size_gb(image, &boot_disk)?,
            boot_type,
            service_account: self.service_account(vm),
            subnetwork,
            tags: self.tags(vm),
            labels: vm.labels.clone(),
            external_address: vm.external_address.unwrap_or_default() == ExternalAddress::Ephemeral,
            min_cpu_platform: vm.min_cpu_platform.clone().unwrap_or_default(),
            local_ssds: vm.local_ssds.map_or(0, |count| i32::try_from(count).unwrap_or(i32::MAX)),
            secure_boot: shielded.secure_boot.unwrap_or(false),
            without_vtpm,
            // There is nothing to monitor without the module.
            without_integrity_monitoring: without_vtpm || shielded.integrity_monitoring == Some(false),
            max_run_duration_s: self.max_run_duration_s(vm)?,
            reservation: vm.reservation.clone().unwrap_or_default(),
        };
        if wished {
            quota::enough(&self.path, &shape, machine, Place::new("", self.zone).region(), self.facts)?;
        }
        Ok(shape)
    }

    fn max_run_duration_s(&self, vm: &VmHost) -> Result<i64, Refusal> {
        let field = format!("{}.maxRunDuration", self.path);
        vm.max_run_duration.as_ref().map_or(Ok(0), |text| resolve::seconds(&field, text))
    }

    /// Flex start queues for capacity, for which this version does not wait.
    fn provisioning(&self, vm: &VmHost) -> Result<(), Refusal> {
        match vm.provisioning.unwrap_or_default() {
            Provisioning::Standard | Provisioning::Spot => Ok(()),
            Provisioning::FlexStart => Err(Refusal::not_yet(
                format!("{}.provisioning", self.path),
                "'FlexStart' waits in a queue for capacity, which this version does not do: write Standard or Spot",
            )),
        }
    }

    /// By the family alone: whether the machine type can have these GPUs attached.
    fn gpu_fits(&self, machine_type: &str, gpu: Option<&Gpu>) -> Result<(), Refusal> {
        let (Some(gpu), Some(family)) = (gpu, families::of(machine_type)) else { return Ok(()) };
        let message = match family.gpus {
            Gpus::Attached => return Ok(()),
            Gpus::BuiltIn => format!(
                "'{}' cannot be attached to {machine_type}, which brings its own GPUs: leave gpu out, or choose an n1 machine type",
                gpu.kind
            ),
            Gpus::No => format!(
                "'{}' cannot be attached to {machine_type}: choose an n1 machine type, or one of a family that brings its own (a2, a3, a4, g2, g4)",
                gpu.kind
            ),
        };
        Err(self.refuse(Reason::Refused, "gpu.type", message))
    }

    /// What the zone's own words say of the machine type and its GPUs.
    fn machine_fits(&self, machine: &MachineType, gpu: Option<&Gpu>) -> Result<(), Refusal> {
        let disks_max = machine.maximum_persistent_disks;
        if disks_max > 0 && disks_max < DISKS {
            let message = format!(
                "'{}' takes {disks_max} disk, and a notebook has {DISKS}, the home among them: choose a larger one",
                machine.name
            );
            return Err(self.refuse(Reason::Refused, "machineType", message));
        }
        let Some(gpu) = gpu else { return Ok(()) };
        if machine.shared_cpu {
            let message = format!(
                "'{}' cannot be attached to {}, whose processor is shared: choose n1-standard-1 or larger",
                gpu.kind, machine.name
            );
            return Err(self.refuse(Reason::Refused, "gpu.type", message));
        }
        let zone = self.zone;
        match self.facts.accelerator_type(&gpu.kind) {
            Seen::Present(offer) => {
                let most = offer.maximum_cards_per_instance;
                if most > 0 && i64::from(gpu.count) > i64::from(most) {
                    let message =
                        format!("'{}' {} are more than one machine can have: at most {most}", gpu.count, gpu.kind);
                    return Err(self.refuse(Reason::Refused, "gpu.count", message));
                }
                Ok(())
            }
            Seen::Absent => {
                let message = format!(
                    "'{}' is not offered for attaching in zone {zone}: choose a GPU that `gcloud compute accelerator-types list` shows for it, or another zone",
                    gpu.kind
                );
                Err(self.refuse(Reason::Refused, "gpu.type", message))
            }
            Seen::Unknown(why) => Err(Refusal::unknown(
                format!("{}.gpu.type", self.path),
                &format!("whether {zone} offers '{}'", gpu.kind),
                &why,
            )),
        }
    }

    fn local_ssds_fit(&self, machine_type: &str, vm: &VmHost) -> Result<(), Refusal> {
        let asked = vm.local_ssds.unwrap_or(0);
        let most = families::of(machine_type).and_then(|family| family.local_ssds_max);
        let message = match most {
            Some(0) if asked > 0 => format!(
                "'{asked}' local SSDs cannot be added to {machine_type}: leave localSsds out, or choose a machine type that takes them (n1, n2) or brings them (-lssd)"
            ),
            Some(most) if asked > most => format!("'{asked}' is more than {machine_type} takes: at most {most}"),
            Some(_) | None => return Ok(()),
        };
        Err(self.refuse(Reason::Refused, "localSsds", message))
    }

    fn boot_type(&self, machine_type: &str, boot: &BootDisk) -> Result<String, Refusal> {
        let own = self.class.default_vm().and_then(|vm| vm.boot_disk.as_ref()?.disk_type.as_ref());
        match &boot.disk_type {
            Some(named) if families::attaches(machine_type, named) => Ok(named.clone()),
            Some(named) => {
                let message = format!(
                    "'{named}' cannot be attached to {machine_type}: it takes {}",
                    families::disk_types(machine_type)
                );
                Err(self.refuse(Reason::DiskTypeMismatch, "bootDisk.type", message))
            }
            // The class's default is taken where it fits; a default is no demand.
            None => {
                let fits = own.filter(|own| families::attaches(machine_type, own)).cloned();
                let best = || families::best_disk_type(&[machine_type]).unwrap_or("pd-balanced").to_owned();
                Ok(fits.unwrap_or_else(best))
            }
        }
    }

    /// The exact image: the one that is named, or the class's for this kind of machine.
    fn image(&self, machine: &MachineType, attached_gpu: bool, boot: &BootDisk) -> Result<&ImageFacts, Refusal> {
        let field = format!("{}.bootDisk.image", self.path);
        let gpu = attached_gpu || !machine.accelerators.is_empty();
        let Some(reference) = boot.image.clone().or_else(|| self.default_image(machine.architecture, gpu)) else {
            let kind = kind_of(machine.architecture, gpu);
            let message = format!(
                "it is not set, and class '{}' has no image for {kind} machines: name one, or ask an administrator for it",
                self.class.name
            );
            return Err(Refusal::new(Reason::ImageMismatch, field, message));
        };
        let image = match self.facts.image(&reference) {
            Seen::Present(image) => image,
            Seen::Absent => {
                let message =
                    format!("'{reference}' is no image or image family that can be seen: name one that exists");
                return Err(Refusal::new(Reason::ImageMismatch, field, message));
            }
            Seen::Unknown(why) => return Err(Refusal::unknown(field, &format!("the image '{reference}'"), &why)),
        };
        match image.architecture {
            Some(architecture) if architecture != machine.architecture => {
                let message = format!(
                    "'{reference}' is for {} machines, and {} is {}: name an image for {}",
                    word(architecture),
                    machine.name,
                    word(machine.architecture),
                    word(machine.architecture)
                );
                Err(Refusal::new(Reason::ImageMismatch, field, message))
            }
            // An image that does not say is tried.
            Some(_) | None => Ok(image),
        }
    }

    fn default_image(&self, architecture: Architecture, gpu: bool) -> Option<String> {
        let images = self.class.spec.images.as_ref().and_then(|images| images.vm.as_ref());
        let by_kind = images.and_then(|images| match (architecture, gpu) {
            (Architecture::Arm, _) => images.arm.clone(),
            (Architecture::X86, true) => images.gpu.clone(),
            (Architecture::X86, false) => images.cpu.clone(),
        });
        by_kind.or_else(|| self.class.default_vm()?.boot_disk.as_ref()?.image.clone())
    }

    fn boot_size_gb(&self, image: &ImageFacts, boot: &BootDisk) -> Result<i64, Refusal> {
        let least = i64::try_from(image.disk_size_gb).unwrap_or(i64::MAX);
        let own = self.class.default_vm().and_then(|vm| vm.boot_disk.as_ref()?.size.as_ref());
        let read = |size: &rehost_api::size::DiskSize| {
            let gib = size.gib().map_err(|error| self.refuse(Reason::Refused, "bootDisk.size", error.to_string()))?;
            Ok(i64::try_from(gib).unwrap_or(i64::MAX))
        };
        match (&boot.size, own) {
            (Some(size), _) => {
                let size_gb = read(size)?;
                if size_gb >= least {
                    return Ok(size_gb);
                }
                let message = format!("'{size}' is too small for the image {}: write {least}Gi or more", image.name);
                Err(self.refuse(Reason::Refused, "bootDisk.size", message))
            }
            (None, Some(own)) => Ok(read(own)?.max(least)),
            (None, None) => Ok(defaults::BOOT_SIZE_GB.max(least)),
        }
    }

    fn service_account(&self, vm: &VmHost) -> String {
        let classes = || self.class.spec.service_accounts.as_ref().and_then(|accounts| accounts.default.clone());
        vm.service_account.clone().or_else(classes).unwrap_or_default()
    }

    /// The subnetwork, which must be of the zone's region. Empty is the project's default network.
    fn subnetwork(&self, vm: &VmHost) -> Result<String, Refusal> {
        let classes = || self.class.spec.network.as_ref().and_then(|network| network.subnetwork.clone());
        let subnetwork = vm.subnetwork.clone().or_else(classes).unwrap_or_default();
        let region = Place::new("", self.zone).region().to_owned();
        let named = subnetwork.split("regions/").nth(1).and_then(|rest| rest.split('/').next());
        match named {
            Some(other) if other != region => {
                let message = format!(
                    "'{subnetwork}' is in region {other}, and the home is in zone {}: name a subnetwork of {region}",
                    self.zone
                );
                Err(self.refuse(Reason::Refused, "subnetwork", message))
            }
            Some(_) | None => Ok(subnetwork),
        }
    }

    /// The class's tags, then the notebook's own.
    fn tags(&self, vm: &VmHost) -> Vec<String> {
        let classes = self.class.spec.network.iter().flat_map(|network| &network.tags);
        let mut tags: Vec<String> = Vec::new();
        for tag in classes.chain(&vm.tags) {
            if !tags.contains(tag) {
                tags.push(tag.clone());
            }
        }
        tags
    }
}

fn kind_of(architecture: Architecture, gpu: bool) -> &'static str {
    match (architecture, gpu) {
        (Architecture::Arm, _) => "Arm",
        (Architecture::X86, true) => "x86 GPU",
        (Architecture::X86, false) => "x86",
    }
}

fn word(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Arm => "Arm",
        Architecture::X86 => "x86",
    }
}
