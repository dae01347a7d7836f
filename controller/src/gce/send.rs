//! Sending a change: one exhaustive match from plain data to the SDK's request. Nothing is decided here.

use google_cloud_compute_v1::model as sdk;
use rehost_api::guest::HOME_DEVICE;
use uuid::Uuid;

use super::errors::GceError;
use super::model::Operation;
use super::mutation::Mutation;
use super::{Gce, body, convert};

impl Gce {
    /// Starts a change and comes back with its operation at once; [`super::operations::Operations`] watches it.
    ///
    /// The same `request_id` again is the same request: the cloud answers with the operation of the first time, failed
    /// or not. On an error that is not [`GceError::is_definite`] it is open whether there was an effect, and the same
    /// request is to be sent again.
    pub async fn start(&self, mutation: &Mutation, request_id: Uuid) -> Result<Operation, GceError> {
        // The requests' futures are large, and a reconcile's should not carry them.
        let found = Box::pin(self.send(mutation, request_id)).await?;
        let mut operation = convert::operation(&mutation.scope(), &found)?;
        // The answer is to this request, whether or not it repeats the id.
        operation.request_id = Some(request_id);
        Ok(operation)
    }

    async fn send(&self, mutation: &Mutation, request_id: Uuid) -> Result<sdk::Operation, GceError> {
        let clients = self.clients();
        let place = mutation.place();
        // The SDK's requests all have these setters, but no trait that says so.
        macro_rules! send {
            ($client:ident.$method:ident, $($set:ident($value:expr)),+) => {{
                let request = clients.$client.$method().set_project(&place.project).set_zone(&place.zone);
                let request = request.set_request_id(request_id.to_string())$(.$set($value))+;
                self.change(mutation.verb(), request.send()).await
            }};
        }
        match mutation {
            Mutation::CreateSnapshot { disk, snapshot, .. } => {
                send!(disks.create_snapshot, set_disk(disk), set_body(body::snapshot(snapshot)))
            }
            Mutation::DeleteSnapshot { name, .. } => {
                let request = clients.snapshots.delete().set_project(&place.project).set_snapshot(name);
                self.change(mutation.verb(), request.set_request_id(request_id.to_string()).send()).await
            }
            Mutation::InsertDisk { disk, .. } => send!(disks.insert, set_body(body::disk(place, disk))),
            Mutation::ResizeDisk { name, size_gb, .. } => {
                send!(disks.resize, set_disk(name), set_body(body::resize(*size_gb)))
            }
            Mutation::DeleteDisk { name, .. } => send!(disks.delete, set_disk(name)),
            Mutation::LabelDisk { name, labels, fingerprint, .. } => {
                send!(disks.set_labels, set_resource(name), set_body(body::disk_labels(labels, fingerprint)?))
            }
            Mutation::InsertInstance { instance, .. } => {
                send!(instances.insert, set_body(body::instance(place, instance, self.guest())?))
            }
            Mutation::DeleteInstance { name, .. } => send!(instances.delete, set_instance(name)),
            Mutation::StopInstance { name, discard_local_ssd, .. } => send!(
                instances.stop,
                set_instance(name),
                set_or_clear_discard_local_ssd(discard_local_ssd.then_some(true))
            ),
            Mutation::StartInstance { name, .. } => send!(instances.start, set_instance(name)),
            Mutation::SuspendInstance { name, discard_local_ssd, .. } => send!(
                instances.suspend,
                set_instance(name),
                set_or_clear_discard_local_ssd(discard_local_ssd.then_some(true))
            ),
            Mutation::ResumeInstance { name, .. } => send!(instances.resume, set_instance(name)),
            Mutation::ResetInstance { name, .. } => send!(instances.reset, set_instance(name)),
            Mutation::SetMachineType { name, machine_type, .. } => {
                let body = body::machine_type(place, machine_type);
                send!(instances.set_machine_type, set_instance(name), set_body(body))
            }
            Mutation::SetAccelerators { name, accelerators, .. } => {
                let body = body::machine_resources(place, accelerators);
                send!(instances.set_machine_resources, set_instance(name), set_body(body))
            }
            Mutation::SetScheduling { name, scheduling, .. } => {
                send!(instances.set_scheduling, set_instance(name), set_body(body::scheduling(scheduling)))
            }
            Mutation::SetSettings { name, settings, fingerprint, keep, .. } => {
                let body =
                    body::metadata(keep, self.guest(), settings)?.set_fingerprint(body::fingerprint(fingerprint)?);
                send!(instances.set_metadata, set_instance(name), set_body(body))
            }
            Mutation::LabelInstance { name, labels, fingerprint, .. } => {
                send!(instances.set_labels, set_instance(name), set_body(body::instance_labels(labels, fingerprint)?))
            }
            Mutation::AttachDisk { instance, disk, .. } => {
                send!(instances.attach_disk, set_instance(instance), set_body(body::home(place, disk, HOME_DEVICE)))
            }
            Mutation::DetachDisk { instance, device_name, .. } => {
                send!(instances.detach_disk, set_instance(instance), set_device_name(device_name))
            }
            Mutation::SetDiskAutoDelete { instance, device_name, auto_delete, .. } => send!(
                instances.set_disk_auto_delete,
                set_instance(instance),
                set_device_name(device_name),
                set_auto_delete(*auto_delete)
            ),
        }
    }
}

#[cfg(test)]
mod tests;
