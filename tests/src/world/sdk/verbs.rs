//! The verbs, a line each: model, answer, method, path, parts of the path, query parameters, whether there is a body.

use super::{Call, QueryValue, WorldStub, body_of};
use google_cloud_compute_v1::model::{
    AcceleratorType, AcceleratorTypeList, Disk, DiskAggregatedList, DiskList, GuestAttributes, Image, Instance,
    InstanceAggregatedList, InstanceList, MachineType, MachineTypeList, Operation, OperationList, Project, Region,
    SerialPortOutput, Snapshot, accelerator_types, disks, global_operations, images, instances, machine_types,
    projects, region_operations, regions, snapshots, zone_operations,
};
use google_cloud_compute_v1::stub;
use google_cloud_gax::error::Error;
use google_cloud_gax::options::RequestOptions;
use google_cloud_gax::response::Response;

macro_rules! verb {
    ($name:ident($request:ty) -> $answer:ty: $method:ident $template:literal [$($part:ident),*]
     $(? $($query:ident = $key:literal),+)? $(; $body:ident)?) => {
        async fn $name(&self, request: $request, _options: RequestOptions) -> Result<Response<$answer>, Error> {
            #[allow(unused_mut, reason = "not every verb has a body")]
            let mut body = None;
            $(
                if let Some(model) = &request.$body {
                    body = Some(body_of(model)?);
                }
            )?
            self.call(Call {
                method: super::Method::$method,
                template: $template,
                parts: &[("project", &request.project) $(, (stringify!($part), &request.$part))*],
                query: vec![$($(($key, QueryValue::value(&request.$query))),+)?],
                body,
            })
            .await
        }
    };
}

impl stub::Instances for WorldStub {
    verb!(insert(instances::InsertRequest) -> Operation: Post "projects/{}/zones/{}/instances" [zone]
        ? request_id = "requestId", source_instance_template = "sourceInstanceTemplate", source_machine_image = "sourceMachineImage"; body);
    verb!(get(instances::GetRequest) -> Instance: Get "projects/{}/zones/{}/instances/{}" [zone, instance]);
    verb!(list(instances::ListRequest) -> InstanceList: Get "projects/{}/zones/{}/instances" [zone]
        ? filter = "filter", max_results = "maxResults", order_by = "orderBy", page_token = "pageToken");
    verb!(aggregated_list(instances::AggregatedListRequest) -> InstanceAggregatedList: Get "projects/{}/aggregated/instances" []
        ? filter = "filter", include_all_scopes = "includeAllScopes", max_results = "maxResults", order_by = "orderBy", page_token = "pageToken");
    verb!(delete(instances::DeleteRequest) -> Operation: Delete "projects/{}/zones/{}/instances/{}" [zone, instance]
        ? no_graceful_shutdown = "noGracefulShutdown", request_id = "requestId");
    verb!(start(instances::StartRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/start" [zone, instance]
        ? request_id = "requestId");
    verb!(stop(instances::StopRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/stop" [zone, instance]
        ? discard_local_ssd = "discardLocalSsd", no_graceful_shutdown = "noGracefulShutdown", request_id = "requestId");
    verb!(suspend(instances::SuspendRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/suspend" [zone, instance]
        ? discard_local_ssd = "discardLocalSsd", request_id = "requestId");
    verb!(resume(instances::ResumeRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/resume" [zone, instance]
        ? request_id = "requestId");
    verb!(reset(instances::ResetRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/reset" [zone, instance]
        ? request_id = "requestId");
    verb!(set_machine_type(instances::SetMachineTypeRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/setMachineType" [zone, instance]
        ? request_id = "requestId"; body);
    verb!(set_machine_resources(instances::SetMachineResourcesRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/setMachineResources" [zone, instance]
        ? request_id = "requestId"; body);
    verb!(set_scheduling(instances::SetSchedulingRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/setScheduling" [zone, instance]
        ? request_id = "requestId"; body);
    verb!(set_min_cpu_platform(instances::SetMinCpuPlatformRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/setMinCpuPlatform" [zone, instance]
        ? request_id = "requestId"; body);
    verb!(set_labels(instances::SetLabelsRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/setLabels" [zone, instance]
        ? request_id = "requestId"; body);
    verb!(set_metadata(instances::SetMetadataRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/setMetadata" [zone, instance]
        ? request_id = "requestId"; body);
    verb!(set_tags(instances::SetTagsRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/setTags" [zone, instance]
        ? request_id = "requestId"; body);
    verb!(set_service_account(instances::SetServiceAccountRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/setServiceAccount" [zone, instance]
        ? request_id = "requestId"; body);
    verb!(attach_disk(instances::AttachDiskRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/attachDisk" [zone, instance]
        ? force_attach = "forceAttach", request_id = "requestId"; body);
    verb!(detach_disk(instances::DetachDiskRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/detachDisk" [zone, instance]
        ? device_name = "deviceName", request_id = "requestId");
    verb!(set_disk_auto_delete(instances::SetDiskAutoDeleteRequest) -> Operation: Post "projects/{}/zones/{}/instances/{}/setDiskAutoDelete" [zone, instance]
        ? auto_delete = "autoDelete", device_name = "deviceName", request_id = "requestId");
    verb!(get_guest_attributes(instances::GetGuestAttributesRequest) -> GuestAttributes: Get "projects/{}/zones/{}/instances/{}/getGuestAttributes" [zone, instance]
        ? query_path = "queryPath", variable_key = "variableKey");
    verb!(get_serial_port_output(instances::GetSerialPortOutputRequest) -> SerialPortOutput: Get "projects/{}/zones/{}/instances/{}/serialPort" [zone, instance]
        ? port = "port", start = "start");
}

impl stub::Disks for WorldStub {
    verb!(insert(disks::InsertRequest) -> Operation: Post "projects/{}/zones/{}/disks" [zone]
        ? request_id = "requestId", source_image = "sourceImage"; body);
    verb!(get(disks::GetRequest) -> Disk: Get "projects/{}/zones/{}/disks/{}" [zone, disk]);
    verb!(list(disks::ListRequest) -> DiskList: Get "projects/{}/zones/{}/disks" [zone]
        ? filter = "filter", max_results = "maxResults", order_by = "orderBy", page_token = "pageToken");
    verb!(aggregated_list(disks::AggregatedListRequest) -> DiskAggregatedList: Get "projects/{}/aggregated/disks" []
        ? filter = "filter", include_all_scopes = "includeAllScopes", max_results = "maxResults", order_by = "orderBy", page_token = "pageToken");
    verb!(resize(disks::ResizeRequest) -> Operation: Post "projects/{}/zones/{}/disks/{}/resize" [zone, disk]
        ? request_id = "requestId"; body);
    verb!(delete(disks::DeleteRequest) -> Operation: Delete "projects/{}/zones/{}/disks/{}" [zone, disk]
        ? request_id = "requestId");
    verb!(set_labels(disks::SetLabelsRequest) -> Operation: Post "projects/{}/zones/{}/disks/{}/setLabels" [zone, resource]
        ? request_id = "requestId"; body);
    verb!(create_snapshot(disks::CreateSnapshotRequest) -> Operation: Post "projects/{}/zones/{}/disks/{}/createSnapshot" [zone, disk]
        ? guest_flush = "guestFlush", request_id = "requestId"; body);
    verb!(add_resource_policies(disks::AddResourcePoliciesRequest) -> Operation: Post "projects/{}/zones/{}/disks/{}/addResourcePolicies" [zone, disk]
        ? request_id = "requestId"; body);
    verb!(remove_resource_policies(disks::RemoveResourcePoliciesRequest) -> Operation: Post "projects/{}/zones/{}/disks/{}/removeResourcePolicies" [zone, disk]
        ? request_id = "requestId"; body);
}

impl stub::ZoneOperations for WorldStub {
    verb!(get(zone_operations::GetRequest) -> Operation: Get "projects/{}/zones/{}/operations/{}" [zone, operation]);
    verb!(list(zone_operations::ListRequest) -> OperationList: Get "projects/{}/zones/{}/operations" [zone]
        ? filter = "filter", max_results = "maxResults", order_by = "orderBy", page_token = "pageToken");
    verb!(wait(zone_operations::WaitRequest) -> Operation: Post "projects/{}/zones/{}/operations/{}/wait" [zone, operation]);
}

impl stub::RegionOperations for WorldStub {
    verb!(get(region_operations::GetRequest) -> Operation: Get "projects/{}/regions/{}/operations/{}" [region, operation]);
    verb!(list(region_operations::ListRequest) -> OperationList: Get "projects/{}/regions/{}/operations" [region]
        ? filter = "filter", max_results = "maxResults", order_by = "orderBy", page_token = "pageToken");
}

impl stub::GlobalOperations for WorldStub {
    verb!(get(global_operations::GetRequest) -> Operation: Get "projects/{}/global/operations/{}" [operation]);
    verb!(list(global_operations::ListRequest) -> OperationList: Get "projects/{}/global/operations" []
        ? filter = "filter", max_results = "maxResults", order_by = "orderBy", page_token = "pageToken");
}

impl stub::MachineTypes for WorldStub {
    verb!(get(machine_types::GetRequest) -> MachineType: Get "projects/{}/zones/{}/machineTypes/{}" [zone, machine_type]);
    verb!(list(machine_types::ListRequest) -> MachineTypeList: Get "projects/{}/zones/{}/machineTypes" [zone]
        ? filter = "filter", max_results = "maxResults", order_by = "orderBy", page_token = "pageToken");
}

impl stub::AcceleratorTypes for WorldStub {
    verb!(get(accelerator_types::GetRequest) -> AcceleratorType: Get "projects/{}/zones/{}/acceleratorTypes/{}" [zone, accelerator_type]);
    verb!(list(accelerator_types::ListRequest) -> AcceleratorTypeList: Get "projects/{}/zones/{}/acceleratorTypes" [zone]
        ? filter = "filter", max_results = "maxResults", order_by = "orderBy", page_token = "pageToken");
}

impl stub::Regions for WorldStub {
    verb!(get(regions::GetRequest) -> Region: Get "projects/{}/regions/{}" [region]);
}

impl stub::Projects for WorldStub {
    verb!(get(projects::GetRequest) -> Project: Get "projects/{}" []);
}

impl stub::Images for WorldStub {
    verb!(get(images::GetRequest) -> Image: Get "projects/{}/global/images/{}" [image]);
    verb!(get_from_family(images::GetFromFamilyRequest) -> Image: Get "projects/{}/global/images/family/{}" [family]);
}

impl stub::Snapshots for WorldStub {
    verb!(get(snapshots::GetRequest) -> Snapshot: Get "projects/{}/global/snapshots/{}" [snapshot]);
    verb!(delete(snapshots::DeleteRequest) -> Operation: Delete "projects/{}/global/snapshots/{}" [snapshot]
        ? request_id = "requestId");
}
