//! A cloud for unit tests that answers as it is told to, and remembers what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use google_cloud_compute_v1::{client, model, stub};
use google_cloud_gax::Result as SdkResult;
use google_cloud_gax::error::Error as SdkError;
use google_cloud_gax::error::rpc::Status;
use google_cloud_gax::options::RequestOptions;
use google_cloud_gax::response::Response;
use http::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::errors::GceError;
use super::{Clients, Gce, Sweep};
use crate::guest_files::GuestFiles;

/// One request as it came in: method, what it is aimed at, and its body (or the query, for a list).
pub(super) type Call = (&'static str, String, Value);

/// What a request gets: a success's body, or a refusal's status and body.
pub(super) type Answer = Result<Value, (u16, Value)>;

/// The stub of every client at once.
#[derive(Debug, Default)]
pub(super) struct Cloud {
    calls: Mutex<Vec<Call>>,
    answers: Mutex<BTreeMap<&'static str, VecDeque<Answer>>>,
    pages: Mutex<VecDeque<Answer>>,
    swept: Mutex<Vec<(String, BTreeMap<String, String>)>>,
}

/// The refusal that the API has for what is not there.
pub(super) fn not_found() -> (u16, Value) {
    refusal(404, "notFound")
}

/// A refusal with a code word.
pub(super) fn refusal(status: u16, reason: &str) -> (u16, Value) {
    (status, json!({"error": {"code": status, "message": reason, "errors": [{"domain": "global", "reason": reason}]}}))
}

impl Cloud {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A connection to this cloud.
    pub(super) fn gce(self: &Arc<Self>) -> Gce {
        let clients = Clients {
            instances: client::Instances::from_stub::<Self>(self.clone()),
            disks: client::Disks::from_stub::<Self>(self.clone()),
            images: client::Images::from_stub::<Self>(self.clone()),
            snapshots: client::Snapshots::from_stub::<Self>(self.clone()),
            zone_operations: client::ZoneOperations::from_stub::<Self>(self.clone()),
            region_operations: client::RegionOperations::from_stub::<Self>(self.clone()),
            global_operations: client::GlobalOperations::from_stub::<Self>(self.clone()),
            machine_types: client::MachineTypes::from_stub::<Self>(self.clone()),
            accelerator_types: client::AcceleratorTypes::from_stub::<Self>(self.clone()),
            regions: client::Regions::from_stub::<Self>(self.clone()),
            projects: client::Projects::from_stub::<Self>(self.clone()),
        };
        Gce::from_parts(clients, self.clone(), GuestFiles::none())
    }

    /// Answers the next call of `method` so.
    pub(super) fn will(&self, method: &'static str, answer: Answer) {
        self.answers.lock().unwrap().entry(method).or_default().push_back(answer);
    }

    /// Answers the next sweep so.
    pub(super) fn will_list(&self, page: Answer) {
        self.pages.lock().unwrap().push_back(page);
    }

    /// What it was asked since the last time.
    pub(super) fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// The sweeps that it was asked for since the last time.
    pub(super) fn swept(&self) -> Vec<(String, BTreeMap<String, String>)> {
        std::mem::take(&mut *self.swept.lock().unwrap())
    }

    fn answer<T: DeserializeOwned>(&self, method: &'static str, target: &str, body: Value) -> SdkResult<Response<T>> {
        self.calls.lock().unwrap().push((method, target.to_owned(), body));
        let answer = self.answers.lock().unwrap().get_mut(method).and_then(VecDeque::pop_front);
        match answer.unwrap_or_else(|| Err(not_found())) {
            Ok(value) => Ok(Response::from(serde_json::from_value(value).expect("the answer is of the method's type"))),
            Err((status, body)) => {
                let details = Status::try_from(&Bytes::from(body.to_string()))?;
                Err(SdkError::service_with_http_metadata(details, Some(status), Some(HeaderMap::new())))
            }
        }
    }
}

impl Sweep for Cloud {
    fn get(&self, path: &str, query: Vec<(String, String)>) -> BoxFuture<'_, Result<Bytes, GceError>> {
        self.swept.lock().unwrap().push((path.to_owned(), query.into_iter().collect()));
        let answer = match self.pages.lock().unwrap().pop_front().unwrap_or_else(|| Err(not_found())) {
            Ok(page) => Ok(Bytes::from(page.to_string())),
            Err((status, body)) => Err(GceError::from_body(status, body.to_string().as_bytes())),
        };
        async move { answer }.boxed()
    }
}

macro_rules! stub {
    ($kind:ident in $module:ident { $($method:ident($request:ident) -> $answer:ident: |$req:ident| $target:expr, $body:expr;)+ }) => {
        impl stub::$kind for Cloud {
            $(async fn $method(
                &self,
                $req: model::$module::$request,
                _options: RequestOptions,
            ) -> SdkResult<Response<model::$answer>> {
                self.answer(concat!(stringify!($module), ".", stringify!($method)), &$target, $body)
            })+
        }
    };
}

stub!(Instances in instances {
    get(GetRequest) -> Instance: |req| req.instance, Value::Null;
    get_guest_attributes(GetGuestAttributesRequest) -> GuestAttributes: |req| req.instance, json!(req.query_path);
    insert(InsertRequest) -> Operation: |req| req.request_id.unwrap_or_default(), json!(req.body);
    delete(DeleteRequest) -> Operation: |req| req.instance, json!(req.request_id);
    stop(StopRequest) -> Operation: |req| req.instance, json!(req.discard_local_ssd);
    start(StartRequest) -> Operation: |req| req.instance, json!(req.request_id);
    suspend(SuspendRequest) -> Operation: |req| req.instance, json!(req.discard_local_ssd);
    resume(ResumeRequest) -> Operation: |req| req.instance, json!(req.request_id);
    reset(ResetRequest) -> Operation: |req| req.instance, json!(req.request_id);
    set_machine_type(SetMachineTypeRequest) -> Operation: |req| req.instance, json!(req.body);
    set_machine_resources(SetMachineResourcesRequest) -> Operation: |req| req.instance, json!(req.body);
    set_scheduling(SetSchedulingRequest) -> Operation: |req| req.instance, json!(req.body);
    set_metadata(SetMetadataRequest) -> Operation: |req| req.instance, json!(req.body);
    set_labels(SetLabelsRequest) -> Operation: |req| req.instance, json!(req.body);
    attach_disk(AttachDiskRequest) -> Operation: |req| req.instance, json!(req.body);
    detach_disk(DetachDiskRequest) -> Operation: |req| req.instance, json!(req.device_name);
    set_disk_auto_delete(SetDiskAutoDeleteRequest) -> Operation: |req| req.instance, json!([req.device_name, req.auto_delete]);
});

stub!(Disks in disks {
    get(GetRequest) -> Disk: |req| req.disk, Value::Null;
    insert(InsertRequest) -> Operation: |req| req.request_id.unwrap_or_default(), json!(req.body);
    resize(ResizeRequest) -> Operation: |req| req.disk, json!(req.body);
    delete(DeleteRequest) -> Operation: |req| req.disk, json!(req.request_id);
    set_labels(SetLabelsRequest) -> Operation: |req| req.resource, json!(req.body);
    create_snapshot(CreateSnapshotRequest) -> Operation: |req| req.disk, json!(req.body);
});

stub!(Snapshots in snapshots {
    get(GetRequest) -> Snapshot: |req| req.snapshot, json!(req.project);
    delete(DeleteRequest) -> Operation: |req| req.snapshot, json!(req.request_id);
});

stub!(Images in images {
    get(GetRequest) -> Image: |req| req.image, json!(req.project);
    get_from_family(GetFromFamilyRequest) -> Image: |req| req.family, json!(req.project);
});

stub!(ZoneOperations in zone_operations {
    get(GetRequest) -> Operation: |req| req.operation, Value::Null;
    list(ListRequest) -> OperationList: |req| format!("{}/{}", req.project, req.zone),
        json!([req.order_by, req.max_results, req.page_token]);
});

stub!(RegionOperations in region_operations {
    get(GetRequest) -> Operation: |req| req.operation, json!(req.region);
    list(ListRequest) -> OperationList: |req| format!("{}/{}", req.project, req.region),
        json!([req.order_by, req.max_results, req.page_token]);
});

stub!(GlobalOperations in global_operations {
    get(GetRequest) -> Operation: |req| req.operation, Value::Null;
    list(ListRequest) -> OperationList: |req| req.project, json!([req.order_by, req.max_results, req.page_token]);
});

stub!(MachineTypes in machine_types {
    get(GetRequest) -> MachineType: |req| req.machine_type, Value::Null;
});

stub!(AcceleratorTypes in accelerator_types {
    get(GetRequest) -> AcceleratorType: |req| req.accelerator_type, Value::Null;
});

stub!(Regions in regions {
    get(GetRequest) -> Region: |req| req.region, Value::Null;
});

stub!(Projects in projects {
    get(GetRequest) -> Project: |req| req.project, Value::Null;
});
