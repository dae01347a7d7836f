//! The bodies of changing requests.

use std::collections::BTreeMap;

use bytes::Bytes;
use google_cloud_compute_v1::model as sdk;
use rehost_api::guest::{GuestSettings, HOME_DEVICE, SETTINGS_KEY};

use super::convert::fingerprint_bytes;
use super::errors::{Cause, GceError};
use super::model::{Accelerator, OnHostMaintenance};
use super::mutation::{
    BootDisk, Network, NewDisk, NewInstance, NewSnapshot, Place, Provisioning, Scheduling, TerminationAction,
};
use crate::guest_files::GuestFiles;

/// Without this metadata a guest cannot report.
const GUEST_ATTRIBUTES_KEY: &str = "enable-guest-attributes";
/// What an instance's identity may do is a matter of its roles; scopes only ever narrow that.
const CLOUD_PLATFORM_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// How a reservation is named in an affinity.
const RESERVATION_KEY: &str = "compute.googleapis.com/reservation-name";

fn zonal(place: &Place, kind: &str, name: &str) -> String {
    format!("projects/{}/zones/{}/{kind}/{name}", place.project, place.zone)
}

/// Sizes come from a validated `Quantity` and are far below this bound.
fn gb(size_gb: u64) -> i64 {
    i64::try_from(size_gb).unwrap_or(i64::MAX)
}

pub(super) fn fingerprint(text: &str) -> Result<Bytes, GceError> {
    let why = || GceError::new(Cause::StaleFingerprint, format!("the fingerprint {text} is not base64: read it again"));
    fingerprint_bytes(text).ok_or_else(why)
}

pub(super) fn disk(place: &Place, disk: &NewDisk) -> sdk::Disk {
    sdk::Disk::new()
        .set_name(&disk.name)
        .set_size_gb(gb(disk.size_gb))
        .set_type(zonal(place, "diskTypes", &disk.disk_type))
        .set_labels(disk.labels.clone())
        .set_description(&disk.description)
        .set_or_clear_source_snapshot(
            disk.snapshot.as_ref().map(|name| format!("projects/{}/global/snapshots/{name}", place.project)),
        )
}

pub(super) fn snapshot(wanted: &NewSnapshot) -> sdk::Snapshot {
    sdk::Snapshot::new().set_name(&wanted.name).set_labels(wanted.labels.clone()).set_description(&wanted.description)
}

pub(super) fn resize(size_gb: u64) -> sdk::DisksResizeRequest {
    sdk::DisksResizeRequest::new().set_size_gb(gb(size_gb))
}

pub(super) fn disk_labels(
    labels: &BTreeMap<String, String>,
    read_at: &str,
) -> Result<sdk::ZoneSetLabelsRequest, GceError> {
    let body = sdk::ZoneSetLabelsRequest::new().set_labels(labels.clone());
    Ok(body.set_label_fingerprint(fingerprint(read_at)?))
}

pub(super) fn instance_labels(
    labels: &BTreeMap<String, String>,
    read_at: &str,
) -> Result<sdk::InstancesSetLabelsRequest, GceError> {
    let body = sdk::InstancesSetLabelsRequest::new().set_labels(labels.clone());
    Ok(body.set_label_fingerprint(fingerprint(read_at)?))
}

pub(super) fn machine_type(place: &Place, name: &str) -> sdk::InstancesSetMachineTypeRequest {
    sdk::InstancesSetMachineTypeRequest::new().set_machine_type(zonal(place, "machineTypes", name))
}

pub(super) fn machine_resources(place: &Place, wanted: &[Accelerator]) -> sdk::InstancesSetMachineResourcesRequest {
    sdk::InstancesSetMachineResourcesRequest::new().set_guest_accelerators(accelerators(place, wanted))
}

fn accelerators(place: &Place, wanted: &[Accelerator]) -> Vec<sdk::AcceleratorConfig> {
    let config = |it: &Accelerator| {
        sdk::AcceleratorConfig::new()
            .set_accelerator_type(zonal(place, "acceleratorTypes", &it.kind))
            .set_accelerator_count(i32::try_from(it.count).unwrap_or(i32::MAX))
    };
    wanted.iter().map(config).collect()
}

pub(super) fn scheduling(wanted: &Scheduling) -> sdk::Scheduling {
    use sdk::scheduling::{InstanceTerminationAction, OnHostMaintenance as Maintenance, ProvisioningModel};
    let body = sdk::Scheduling::new()
        .set_automatic_restart(wanted.automatic_restart)
        .set_on_host_maintenance(match wanted.on_host_maintenance {
            OnHostMaintenance::Migrate => Maintenance::Migrate,
            OnHostMaintenance::Terminate => Maintenance::Terminate,
        })
        .set_provisioning_model(match wanted.provisioning {
            Provisioning::Standard => ProvisioningModel::Standard,
            Provisioning::Spot => ProvisioningModel::Spot,
            Provisioning::FlexStart => ProvisioningModel::FlexStart,
        });
    body.set_or_clear_instance_termination_action(wanted.on_termination.map(|action| match action {
        TerminationAction::Stop => InstanceTerminationAction::Stop,
        TerminationAction::Delete => InstanceTerminationAction::Delete,
    }))
    .set_or_clear_max_run_duration(wanted.max_run_duration_s.map(|s| sdk::Duration::new().set_seconds(gb(s))))
}

/// All of an instance's metadata: the API only ever replaces it whole.
pub(super) fn metadata(
    beside: &BTreeMap<String, String>,
    guest: &GuestFiles,
    settings: &GuestSettings,
) -> Result<sdk::Metadata, GceError> {
    let settings = serde_json::to_string(settings)
        .map_err(|why| GceError::new(Cause::Invalid, format!("the settings cannot be written: {why}")))?;
    let mut all = beside.clone();
    guest.add_to(&mut all);
    all.insert(SETTINGS_KEY.to_owned(), settings);
    let item = |(key, value)| sdk::metadata::Items::new().set_key::<String>(key).set_value::<String>(value);
    Ok(sdk::Metadata::new().set_items(all.into_iter().map(item)))
}

/// A home disk as it is attached: read-write to one machine, and never deleted with it.
pub(super) fn home(place: &Place, disk: &str, device_name: &str) -> sdk::AttachedDisk {
    sdk::AttachedDisk::new()
        .set_source(zonal(place, "disks", disk))
        .set_device_name(device_name)
        .set_mode(sdk::attached_disk::Mode::ReadWrite)
        .set_auto_delete(false)
        .set_boot(false)
}

fn boot(place: &Place, boot: &BootDisk) -> sdk::AttachedDisk {
    let made = sdk::AttachedDiskInitializeParams::new()
        .set_source_image(&boot.image)
        .set_disk_size_gb(gb(boot.size_gb))
        .set_disk_type(zonal(place, "diskTypes", &boot.disk_type))
        .set_labels(boot.labels.clone());
    sdk::AttachedDisk::new().set_boot(true).set_auto_delete(true).set_initialize_params(made)
}

fn local_ssd(place: &Place) -> sdk::AttachedDisk {
    let made = sdk::AttachedDiskInitializeParams::new().set_disk_type(zonal(place, "diskTypes", "local-ssd"));
    sdk::AttachedDisk::new()
        .set_type(sdk::attached_disk::Type::Scratch)
        .set_interface(sdk::attached_disk::Interface::Nvme)
        .set_auto_delete(true)
        .set_initialize_params(made)
}

fn network(wanted: &Network) -> sdk::NetworkInterface {
    let body = match &wanted.subnetwork {
        Some(subnetwork) => sdk::NetworkInterface::new().set_subnetwork(subnetwork),
        None => sdk::NetworkInterface::new().set_network("global/networks/default"),
    };
    let external = wanted
        .external_address
        .then(|| sdk::AccessConfig::new().set_name("External NAT").set_type(sdk::access_config::Type::OneToOneNat));
    body.set_access_configs(external)
}

/// Capacity that waits in a queue never comes from a reservation; otherwise any that fits may serve, as by default.
fn reservation(wanted: &NewInstance) -> Option<sdk::ReservationAffinity> {
    use sdk::reservation_affinity::ConsumeReservationType::{NoReservation, SpecificReservation};
    let affinity = sdk::ReservationAffinity::new();
    match (&wanted.reservation, wanted.scheduling.provisioning) {
        (Some(name), _) => Some(
            affinity
                .set_consume_reservation_type(SpecificReservation)
                .set_key(RESERVATION_KEY)
                .set_values([name.clone()]),
        ),
        (None, Provisioning::FlexStart) => Some(affinity.set_consume_reservation_type(NoReservation)),
        (None, Provisioning::Standard | Provisioning::Spot) => None,
    }
}

pub(super) fn instance(place: &Place, wanted: &NewInstance, guest: &GuestFiles) -> Result<sdk::Instance, GceError> {
    let mut beside = wanted.metadata.clone();
    beside.insert(GUEST_ATTRIBUTES_KEY.to_owned(), "TRUE".to_owned());
    let disks = std::iter::once(boot(place, &wanted.boot))
        .chain(wanted.home.iter().map(|disk| home(place, disk, HOME_DEVICE)))
        .chain((0..wanted.local_ssds).map(|_| local_ssd(place)));
    let identity = wanted
        .service_account
        .iter()
        .map(|it| sdk::ServiceAccount::new().set_email(it).set_scopes([CLOUD_PLATFORM_SCOPE]));
    let shielded = wanted.shielded.map(|it| {
        sdk::ShieldedInstanceConfig::new()
            .set_enable_secure_boot(it.secure_boot)
            .set_enable_vtpm(it.vtpm)
            .set_enable_integrity_monitoring(it.integrity_monitoring)
    });
    let tags = (!wanted.network.tags.is_empty()).then(|| sdk::Tags::new().set_items(wanted.network.tags.clone()));
    Ok(sdk::Instance::new()
        .set_name(&wanted.name)
        .set_description(&wanted.description)
        .set_machine_type(zonal(place, "machineTypes", &wanted.machine_type))
        .set_guest_accelerators(accelerators(place, &wanted.accelerators))
        .set_scheduling(scheduling(&wanted.scheduling))
        .set_disks(disks)
        .set_network_interfaces([network(&wanted.network)])
        .set_service_accounts(identity)
        .set_labels(wanted.labels.clone())
        .set_metadata(metadata(&beside, guest, &wanted.settings)?)
        .set_or_clear_tags(tags)
        .set_or_clear_min_cpu_platform(wanted.min_cpu_platform.clone())
        .set_or_clear_shielded_instance_config(shielded)
        .set_or_clear_reservation_affinity(reservation(wanted)))
}
