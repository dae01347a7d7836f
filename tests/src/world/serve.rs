//! From a request to its answer: route, rate, faults, parameters, then the method's own room.

use serde_json::Value;

use super::errors::Refusal;
use super::listing::Collection;
use super::mask::Mask;
use super::operations::OperationId;
use super::route::{Api, Call, Scope, Sort};
use super::schema::{self, Side};
use super::wire::{Request, Response, text};
use super::{World, catalogue, members};

/// Holds a request against the discovery document: a member or parameter that the API does not know, or one of another
/// type, is refused as the real API's front end does.
fn check_form(request: &Request) -> Result<(), Refusal> {
    let refused = Response { status: 400, body: Value::Null };
    let found = schema::check(request, &refused);
    // Names in paths are judged where they are looked up: one that cannot exist is not found.
    match found.into_iter().find(|violation| violation.side == Side::Request && violation.place != "path") {
        None => Ok(()),
        Some(violation) => {
            let message = format!("Invalid JSON payload received. '{}' {}.", violation.place, violation.message);
            Err(Refusal::new(400, "invalid", message))
        }
    }
}

/// The mask of a request; it names nothing that the answer cannot have.
fn mask_of(call: &Call) -> Result<Option<Mask>, Refusal> {
    let Some(text) = call.parameter("fields") else { return Ok(None) };
    let mask = Mask::read(text)?;
    match mask.paths().into_iter().find(|path| !members::in_answer(call.api, path)) {
        None => Ok(Some(mask)),
        Some(path) => {
            let message = format!("Invalid field selection {}", path.join("/"));
            Err(Refusal::new(400, "invalidParameter", message))
        }
    }
}

impl Call {
    /// What a repeated request must also have in common beside its method: the resource, which an insert names in its
    /// body.
    fn target(&self) -> String {
        let name = if self.name.is_empty() { text(&self.body, "name") } else { &self.name };
        format!("{}/{name}", self.scope.path())
    }
}

impl World {
    /// Answers a request, or says why not.
    pub(super) fn answer(&mut self, request: &Request) -> Result<Value, Refusal> {
        let call = Call::of(request)?;
        *self.counts.entry(call.api.id()).or_default() += 1;
        self.spend_rate(&call)?;
        self.tamper_with(&call)?;
        call.check_parameters()?;
        check_form(request)?;
        self.check_project(&call)?;
        let mask = mask_of(&call)?;
        let body = if call.api.sort() == Sort::Mutate {
            let id = self.mutate_once(&call)?;
            self.operation_json(id)
        } else {
            self.read(&call)?
        };
        if self.tamper.answer_lost {
            return Err(Refusal::new(super::NO_ANSWER_STATUS, "deadlineExceeded", "Deadline exceeded"));
        }
        Ok(match mask {
            Some(mask) => mask.cut(&body),
            None => body,
        })
    }

    /// Answers a read without letting time pass and without leaving a trace: no count, no rate, no fault, no log. For
    /// a face that holds a `wait` back until its operation is DONE.
    pub fn peek(&self, request: &Request) -> Response {
        let answer = || {
            let call = Call::of(request)?;
            if call.api.sort() == Sort::Mutate {
                return Err(Refusal::new(400, "badRequest", "Only reads can be peeked at."));
            }
            let mask = mask_of(&call)?;
            let body = self.read(&call)?;
            Ok(mask.map_or(body.clone(), |mask| mask.cut(&body)))
        };
        answer().map_or_else(|refusal: Refusal| refusal.response(), |body| Response { status: 200, body })
    }

    fn check_project(&self, call: &Call) -> Result<(), Refusal> {
        let public = matches!(call.api, Api::ImagesGet | Api::ImagesGetFromFamily | Api::ImagesList);
        if call.project == self.settings.project || public {
            return Ok(());
        }
        let message = format!("Required 'compute.{}' permission for 'projects/{}'", call.api.id(), call.project);
        Err(Refusal::new(403, "forbidden", message))
    }

    /// The place of a request must exist, whatever is asked there.
    pub(super) fn check_scope(&self, call: &Call) -> Result<(), Refusal> {
        let there = match &call.scope {
            Scope::Global => true,
            Scope::Region(region) => catalogue::has_region(region),
            Scope::Zone(zone) => catalogue::has_zone(zone),
        };
        if there {
            return Ok(());
        }
        let path = format!("projects/{}/{}", self.settings.project, call.scope.path());
        Err(match &call.scope {
            Scope::Region(name) => {
                Refusal::invalid("region", name, &format!("Unknown region. The resource '{path}' was not found"))
            }
            Scope::Global | Scope::Zone(_) => Refusal::invalid("zone", call.zone(), "Unknown zone."),
        })
    }

    /// A repeated request id gives the operation that it gave before, a failed one too.
    fn mutate_once(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        self.check_scope(call)?;
        if let Some(request_id) = call.parameter("requestId") {
            let uuid = uuid::Uuid::try_parse(request_id).ok().filter(|uuid| !uuid.is_nil());
            if uuid.is_none() {
                return Err(Refusal::invalid("requestId", request_id, "A non-zero UUID is expected."));
            }
            let key = (call.api, call.target(), request_id.to_owned());
            if let Some(id) = self.request_ids.get(&key) {
                return Ok(*id);
            }
        }
        self.check_concurrent_operations()?;
        let id = self.mutate(call)?;
        if let Some(request_id) = call.parameter("requestId") {
            self.request_ids.insert((call.api, call.target(), request_id.to_owned()), id);
        }
        Ok(id)
    }

    fn mutate(&mut self, call: &Call) -> Result<OperationId, Refusal> {
        match call.api {
            Api::InstancesInsert => self.instances_insert(call),
            Api::InstancesDelete => self.instances_delete(call),
            Api::InstancesStart => self.instances_start(call),
            Api::InstancesStop => self.instances_stop(call),
            Api::InstancesSuspend => self.instances_suspend(call),
            Api::InstancesResume => self.instances_resume(call),
            Api::InstancesReset => self.instances_reset(call),
            Api::InstancesSetMachineType => self.instances_set_machine_type(call),
            Api::InstancesSetMachineResources => self.instances_set_machine_resources(call),
            Api::InstancesSetMinCpuPlatform => self.instances_set_min_cpu_platform(call),
            Api::InstancesSetScheduling => self.instances_set_scheduling(call),
            Api::InstancesSetLabels => self.instances_set_labels(call),
            Api::InstancesSetMetadata => self.instances_set_metadata(call),
            Api::InstancesSetTags => self.instances_set_tags(call),
            Api::InstancesSetServiceAccount => self.instances_set_service_account(call),
            Api::InstancesAttachDisk => self.instances_attach_disk(call),
            Api::InstancesDetachDisk => self.instances_detach_disk(call),
            Api::InstancesSetDiskAutoDelete => self.instances_set_disk_auto_delete(call),
            Api::DisksInsert => self.disks_insert(call),
            Api::DisksResize => self.disks_resize(call),
            Api::DisksDelete => self.disks_delete(call),
            Api::DisksSetLabels => self.disks_set_labels(call),
            Api::DisksCreateSnapshot => self.disks_create_snapshot(call),
            Api::DisksAddResourcePolicies => self.disks_add_resource_policies(call),
            Api::DisksRemoveResourcePolicies => self.disks_remove_resource_policies(call),
            Api::SnapshotsDelete => self.snapshots_delete(call),
            Api::ResourcePoliciesInsert => self.resource_policies_insert(call),
            Api::ResourcePoliciesDelete => self.resource_policies_delete(call),
            other => Err(Refusal::new(500, "internalError", format!("{} is not a mutation", other.id()))),
        }
    }

    fn read(&self, call: &Call) -> Result<Value, Refusal> {
        match call.api {
            Api::InstancesGet => self.instances_get(call),
            Api::InstancesGetGuestAttributes => self.instances_get_guest_attributes(call),
            Api::InstancesGetSerialPortOutput => self.instances_get_serial_port_output(call),
            Api::DisksGet => self.disks_get(call),
            Api::SnapshotsGet => self.snapshots_get(call),
            Api::ImagesGet => self.images_get(call),
            Api::ImagesGetFromFamily => self.images_get_from_family(call),
            Api::ZoneOperationsGet
            | Api::ZoneOperationsWait
            | Api::RegionOperationsGet
            | Api::RegionOperationsWait
            | Api::GlobalOperationsGet
            | Api::GlobalOperationsWait => self.operation_read(call),
            Api::MachineTypesGet | Api::AcceleratorTypesGet | Api::DiskTypesGet => self.catalogue_get(call),
            Api::ZonesGet => self.zones_get(call),
            Api::RegionsGet => self.regions_get(call),
            Api::ProjectsGet => Ok(self.projects_get()),
            Api::ResourcePoliciesGet => self.resource_policies_get(call),
            Api::NetworksGet => self.networks_get(call),
            Api::SubnetworksGet => self.subnetworks_get(call),
            other => match Collection::of(other) {
                Some(collection) => self.list(call, collection),
                None => Err(Refusal::new(500, "internalError", format!("{} is not a read", other.id()))),
            },
        }
    }
}
