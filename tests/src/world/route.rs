//! Which method of the API a request is for: one table, and the parameters that each method knows.

use serde_json::Value;

use super::errors::Refusal;
use super::wire::{Method, Request};

/// Query parameters that every method knows.
const STANDARD: &[&str] = &[
    "$.xgafv",
    "$alt",
    "$apiVersion",
    "access_token",
    "alt",
    "callback",
    "fields",
    "key",
    "oauth_token",
    "prettyPrint",
    "quotaUser",
    "uploadType",
    "upload_protocol",
    "userIp",
];
/// Query parameters of every list. `returnPartialSuccess` stands only in the descriptions of the newest discovery
/// document, and in the parameters of the older ones; the API takes it.
const LISTS: &[&str] = &["filter", "maxResults", "orderBy", "pageToken", "returnPartialSuccess"];
/// And of every list over all scopes.
const AGGREGATES: &[&str] = &["includeAllScopes", "serviceProjectNumber"];

/// What a method does to the world, for the rate quotas and for what it may answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// Starts an operation.
    Mutate,
    /// Reads one resource.
    Read,
    /// Reads the resources of one scope.
    List,
    /// Reads the resources of all scopes.
    Aggregate,
    /// Reads or awaits an operation.
    Operation,
}

macro_rules! methods {
    ($($api:ident $id:literal $sort:ident $method:ident $pattern:literal [$($query:literal)*];)*) => {
        /// The methods of the Compute Engine API that the world serves.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Api { $(#[doc = $id] $api,)* }

        impl Api {
            /// Every method that is served.
            pub const ALL: &'static [Api] = &[$(Api::$api,)*];

            /// The method's id without the service: `instances.insert`.
            pub fn id(self) -> &'static str {
                match self { $(Api::$api => $id,)* }
            }

            /// What it does to the world.
            pub fn sort(self) -> Sort {
                match self { $(Api::$api => Sort::$sort,)* }
            }

            fn verb(self) -> Method {
                match self { $(Api::$api => Method::$method,)* }
            }

            fn pattern(self) -> &'static str {
                match self { $(Api::$api => $pattern,)* }
            }

            fn parameters(self) -> &'static [&'static str] {
                match self { $(Api::$api => &[$($query,)*],)* }
            }
        }
    };
}

methods! {
    InstancesInsert "instances.insert" Mutate Post "zones/{zone}/instances" ["requestId" "sourceInstanceTemplate" "sourceMachineImage"];
    InstancesGet "instances.get" Read Get "zones/{zone}/instances/{name}" [];
    InstancesList "instances.list" List Get "zones/{zone}/instances" [];
    InstancesAggregatedList "instances.aggregatedList" Aggregate Get "aggregated/instances" [];
    InstancesDelete "instances.delete" Mutate Delete "zones/{zone}/instances/{name}" ["noGracefulShutdown" "requestId"];
    InstancesStart "instances.start" Mutate Post "zones/{zone}/instances/{name}/start" ["requestId"];
    InstancesStop "instances.stop" Mutate Post "zones/{zone}/instances/{name}/stop" ["discardLocalSsd" "noGracefulShutdown" "requestId"];
    InstancesSuspend "instances.suspend" Mutate Post "zones/{zone}/instances/{name}/suspend" ["discardLocalSsd" "requestId"];
    InstancesResume "instances.resume" Mutate Post "zones/{zone}/instances/{name}/resume" ["requestId"];
    InstancesReset "instances.reset" Mutate Post "zones/{zone}/instances/{name}/reset" ["requestId"];
    InstancesSetMachineType "instances.setMachineType" Mutate Post "zones/{zone}/instances/{name}/setMachineType" ["requestId"];
    InstancesSetMachineResources "instances.setMachineResources" Mutate Post "zones/{zone}/instances/{name}/setMachineResources" ["requestId"];
    InstancesSetMinCpuPlatform "instances.setMinCpuPlatform" Mutate Post "zones/{zone}/instances/{name}/setMinCpuPlatform" ["requestId"];
    InstancesSetScheduling "instances.setScheduling" Mutate Post "zones/{zone}/instances/{name}/setScheduling" ["requestId"];
    InstancesSetLabels "instances.setLabels" Mutate Post "zones/{zone}/instances/{name}/setLabels" ["requestId"];
    InstancesSetMetadata "instances.setMetadata" Mutate Post "zones/{zone}/instances/{name}/setMetadata" ["requestId"];
    InstancesSetTags "instances.setTags" Mutate Post "zones/{zone}/instances/{name}/setTags" ["requestId"];
    InstancesSetServiceAccount "instances.setServiceAccount" Mutate Post "zones/{zone}/instances/{name}/setServiceAccount" ["requestId"];
    InstancesAttachDisk "instances.attachDisk" Mutate Post "zones/{zone}/instances/{name}/attachDisk" ["forceAttach" "requestId"];
    InstancesDetachDisk "instances.detachDisk" Mutate Post "zones/{zone}/instances/{name}/detachDisk" ["deviceName" "requestId"];
    InstancesSetDiskAutoDelete "instances.setDiskAutoDelete" Mutate Post "zones/{zone}/instances/{name}/setDiskAutoDelete" ["autoDelete" "deviceName" "requestId"];
    InstancesGetGuestAttributes "instances.getGuestAttributes" Read Get "zones/{zone}/instances/{name}/getGuestAttributes" ["queryPath" "variableKey"];
    InstancesGetSerialPortOutput "instances.getSerialPortOutput" Read Get "zones/{zone}/instances/{name}/serialPort" ["port" "start"];
    DisksInsert "disks.insert" Mutate Post "zones/{zone}/disks" ["requestId" "sourceImage"];
    DisksGet "disks.get" Read Get "zones/{zone}/disks/{name}" [];
    DisksList "disks.list" List Get "zones/{zone}/disks" [];
    DisksAggregatedList "disks.aggregatedList" Aggregate Get "aggregated/disks" [];
    DisksResize "disks.resize" Mutate Post "zones/{zone}/disks/{name}/resize" ["requestId"];
    DisksDelete "disks.delete" Mutate Delete "zones/{zone}/disks/{name}" ["requestId"];
    DisksSetLabels "disks.setLabels" Mutate Post "zones/{zone}/disks/{name}/setLabels" ["requestId"];
    DisksCreateSnapshot "disks.createSnapshot" Mutate Post "zones/{zone}/disks/{name}/createSnapshot" ["guestFlush" "requestId"];
    DisksAddResourcePolicies "disks.addResourcePolicies" Mutate Post "zones/{zone}/disks/{name}/addResourcePolicies" ["requestId"];
    DisksRemoveResourcePolicies "disks.removeResourcePolicies" Mutate Post "zones/{zone}/disks/{name}/removeResourcePolicies" ["requestId"];
    SnapshotsGet "snapshots.get" Read Get "global/snapshots/{name}" [];
    SnapshotsList "snapshots.list" List Get "global/snapshots" [];
    SnapshotsDelete "snapshots.delete" Mutate Delete "global/snapshots/{name}" ["requestId"];
    ImagesGetFromFamily "images.getFromFamily" Read Get "global/images/family/{name}" [];
    ImagesGet "images.get" Read Get "global/images/{name}" [];
    ImagesList "images.list" List Get "global/images" [];
    ZoneOperationsGet "zoneOperations.get" Operation Get "zones/{zone}/operations/{name}" [];
    ZoneOperationsList "zoneOperations.list" List Get "zones/{zone}/operations" [];
    ZoneOperationsWait "zoneOperations.wait" Operation Post "zones/{zone}/operations/{name}/wait" [];
    RegionOperationsGet "regionOperations.get" Operation Get "regions/{region}/operations/{name}" [];
    RegionOperationsList "regionOperations.list" List Get "regions/{region}/operations" [];
    RegionOperationsWait "regionOperations.wait" Operation Post "regions/{region}/operations/{name}/wait" [];
    GlobalOperationsGet "globalOperations.get" Operation Get "global/operations/{name}" [];
    GlobalOperationsList "globalOperations.list" List Get "global/operations" [];
    GlobalOperationsWait "globalOperations.wait" Operation Post "global/operations/{name}/wait" [];
    GlobalOperationsAggregatedList "globalOperations.aggregatedList" Aggregate Get "aggregated/operations" [];
    MachineTypesGet "machineTypes.get" Read Get "zones/{zone}/machineTypes/{name}" [];
    MachineTypesList "machineTypes.list" List Get "zones/{zone}/machineTypes" [];
    MachineTypesAggregatedList "machineTypes.aggregatedList" Aggregate Get "aggregated/machineTypes" [];
    AcceleratorTypesGet "acceleratorTypes.get" Read Get "zones/{zone}/acceleratorTypes/{name}" [];
    AcceleratorTypesList "acceleratorTypes.list" List Get "zones/{zone}/acceleratorTypes" [];
    AcceleratorTypesAggregatedList "acceleratorTypes.aggregatedList" Aggregate Get "aggregated/acceleratorTypes" [];
    DiskTypesGet "diskTypes.get" Read Get "zones/{zone}/diskTypes/{name}" [];
    DiskTypesList "diskTypes.list" List Get "zones/{zone}/diskTypes" [];
    DiskTypesAggregatedList "diskTypes.aggregatedList" Aggregate Get "aggregated/diskTypes" [];
    ZonesGet "zones.get" Read Get "zones/{name}" [];
    ZonesList "zones.list" List Get "zones" [];
    RegionsGet "regions.get" Read Get "regions/{name}" [];
    RegionsList "regions.list" List Get "regions" [];
    ProjectsGet "projects.get" Read Get "" [];
    ResourcePoliciesInsert "resourcePolicies.insert" Mutate Post "regions/{region}/resourcePolicies" ["requestId"];
    ResourcePoliciesGet "resourcePolicies.get" Read Get "regions/{region}/resourcePolicies/{name}" [];
    ResourcePoliciesList "resourcePolicies.list" List Get "regions/{region}/resourcePolicies" [];
    ResourcePoliciesDelete "resourcePolicies.delete" Mutate Delete "regions/{region}/resourcePolicies/{name}" ["requestId"];
    NetworksGet "networks.get" Read Get "global/networks/{name}" [];
    NetworksList "networks.list" List Get "global/networks" [];
    SubnetworksGet "subnetworks.get" Read Get "regions/{region}/subnetworks/{name}" ["views"];
    SubnetworksList "subnetworks.list" List Get "regions/{region}/subnetworks" ["views"];
}

/// Where a resource lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In no place of its own.
    Global,
    /// In a region.
    Region(String),
    /// In a zone.
    Zone(String),
}

impl Scope {
    /// Its part of a resource path: `zones/z`.
    pub fn path(&self) -> String {
        match self {
            Scope::Global => "global".to_owned(),
            Scope::Region(region) => format!("regions/{region}"),
            Scope::Zone(zone) => format!("zones/{zone}"),
        }
    }
}

/// A request that has found its method.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) api: Api,
    /// The project in the path; only images may be another's.
    pub(super) project: String,
    pub(super) scope: Scope,
    /// The last name in the path; empty for lists and inserts.
    pub(super) name: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) body: Value,
}

impl Call {
    /// Finds the method of a request.
    pub(super) fn of(request: &Request) -> Result<Self, Refusal> {
        let parts: Vec<&str> = request.path.split('/').collect();
        let ["projects", project, rest @ ..] = parts.as_slice() else { return Err(unknown(&request.path)) };
        for api in Api::ALL.iter().copied().filter(|api| api.verb() == request.method) {
            if let Some((scope, name)) = fit(api.pattern(), rest) {
                return Ok(Self {
                    api,
                    project: (*project).to_owned(),
                    scope,
                    name,
                    query: request.query.clone(),
                    body: request.body.clone().unwrap_or(Value::Null),
                });
            }
        }
        Err(unknown(&request.path))
    }

    /// A query parameter's value; the last one counts.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean query parameter.
    pub(super) fn switch(&self, name: &str) -> Result<bool, Refusal> {
        // gcloud writes `True`.
        match self.parameter(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(Refusal::invalid(name, other, "A boolean is expected.")),
        }
    }

    /// The zone of a zonal method.
    pub(super) fn zone(&self) -> &str {
        match &self.scope {
            Scope::Zone(zone) => zone,
            Scope::Region(_) | Scope::Global => "",
        }
    }

    /// Nothing that the API does not know is let through.
    pub(super) fn check_parameters(&self) -> Result<(), Refusal> {
        let sort = self.api.sort();
        for (name, _) in &self.query {
            let name = name.as_str();
            let known = STANDARD.contains(&name)
                || self.api.parameters().contains(&name)
                || (matches!(sort, Sort::List | Sort::Aggregate) && LISTS.contains(&name))
                || (sort == Sort::Aggregate && AGGREGATES.contains(&name));
            if !known {
                let message = format!(
                    "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter. Field '{name}' could not be found in request message."
                );
                return Err(Refusal::new(400, "invalid", message));
            }
        }
        match self.parameter("alt").or_else(|| self.parameter("$alt")) {
            None => Ok(()),
            Some(alt) if alt == "json" || alt.starts_with("json;") => Ok(()),
            Some(other) => Err(Refusal::invalid("alt", other, "Only JSON is served.")),
        }
    }
}

fn unknown(path: &str) -> Refusal {
    Refusal::new(404, "notFound", format!("The requested URL /compute/v1/{path} was not found on this server."))
}

/// Fits a path to a pattern; a place and a name come out.
fn fit(pattern: &str, parts: &[&str]) -> Option<(Scope, String)> {
    let wanted: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    if wanted.len() != parts.len() {
        return None;
    }
    let mut scope = Scope::Global;
    let mut name = String::new();
    for (want, part) in wanted.into_iter().zip(parts) {
        match want {
            "{zone}" => scope = Scope::Zone((*part).to_owned()),
            "{region}" => scope = Scope::Region((*part).to_owned()),
            "{name}" => (*part).clone_into(&mut name),
            fixed if fixed == *part => {}
            _ => return None,
        }
    }
    Some((scope, name))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn call(method: Method, path: &str) -> Result<Call, Refusal> {
        Call::of(&Request { method, path: path.into(), query: Vec::new(), body: None })
    }

    #[test]
    fn paths_find_their_method() {
        let found = call(Method::Post, "projects/p/zones/z/instances/i/setMachineType").unwrap();
        assert_eq!((found.api, found.zone(), found.name.as_str()), (Api::InstancesSetMachineType, "z", "i"));
        assert_eq!(call(Method::Get, "projects/p").unwrap().api, Api::ProjectsGet);
        assert_eq!(
            call(Method::Get, "projects/debian-cloud/global/images/family/debian-12").unwrap().api,
            Api::ImagesGetFromFamily
        );
        assert_eq!(call(Method::Get, "projects/p/zones/z").unwrap().api, Api::ZonesGet);
        assert_eq!(call(Method::Post, "projects/p/zones/z").unwrap_err().status, 404);
        assert_eq!(call(Method::Get, "projects/p/zones/z/gizmos").unwrap_err().status, 404);
    }
}
