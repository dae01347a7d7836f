//! Facts as they are gathered: by name, all at once, with names like the one that is missing.

use std::collections::BTreeMap;
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
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::clock::TokioClock;
use crate::desired::{Facts, Needs};
use crate::gce::catalogue::Catalogue;
use crate::gce::errors::GceError;
use crate::gce::{Clients, Gce, Sweep};
use crate::guest_files::GuestFiles;
use crate::seen::Seen;

/// A cloud with a few things in it, which remembers what it was asked.
#[derive(Debug, Default)]
struct Shelf {
    things: BTreeMap<String, Value>,
    asked: Mutex<Vec<String>>,
}

impl Shelf {
    fn get<T: DeserializeOwned>(&self, what: String) -> SdkResult<Response<T>> {
        let found = self.things.get(&what).cloned();
        self.asked.lock().unwrap().push(what);
        let (status, reason) = match found {
            Some(Value::Null) => (503, "backendError"),
            Some(thing) => return Ok(Response::from(serde_json::from_value(thing).expect("it is of its type"))),
            None => (404, "notFound"),
        };
        let body =
            json!({"error": {"code": status, "message": reason, "errors": [{"domain": "global", "reason": reason}]}});
        let details = Status::try_from(&Bytes::from(body.to_string()))?;
        Err(SdkError::service_with_http_metadata(details, Some(status), Some(HeaderMap::new())))
    }
}

macro_rules! shelves {
    ($($kind:ident { $($method:ident($request:path) -> $answer:ident: |$req:ident| $key:expr;)* })+) => {
        $(impl stub::$kind for Shelf {
            $(async fn $method(&self, $req: $request, _: RequestOptions) -> SdkResult<Response<model::$answer>> {
                self.get($key)
            })*
        })+
    };
}

shelves! {
    MachineTypes {
        get(model::machine_types::GetRequest) -> MachineType: |req| format!("{}/{}/{}", req.project, req.zone, req.machine_type);
    }
    AcceleratorTypes {
        get(model::accelerator_types::GetRequest) -> AcceleratorType: |req| format!("{}/{}", req.zone, req.accelerator_type);
    }
    Images {
        get_from_family(model::images::GetFromFamilyRequest) -> Image: |req| format!("{}/{}", req.project, req.family);
    }
    Regions {
        get(model::regions::GetRequest) -> Region: |req| req.region;
    }
    Instances {}
    Disks {}
    Snapshots {}
    ZoneOperations {}
    RegionOperations {}
    GlobalOperations {}
    Projects {
        get(model::projects::GetRequest) -> Project: |req| req.project;
    }
}

impl Sweep for Shelf {
    fn get(&self, path: &str, _: Vec<(String, String)>) -> BoxFuture<'_, Result<Bytes, GceError>> {
        let path = path.to_owned();
        async move { panic!("nobody lists here: {path}") }.boxed()
    }
}

fn catalogue(shelf: &Arc<Shelf>) -> Catalogue {
    let clients = Clients {
        instances: client::Instances::from_stub::<Shelf>(shelf.clone()),
        disks: client::Disks::from_stub::<Shelf>(shelf.clone()),
        images: client::Images::from_stub::<Shelf>(shelf.clone()),
        snapshots: client::Snapshots::from_stub::<Shelf>(shelf.clone()),
        zone_operations: client::ZoneOperations::from_stub::<Shelf>(shelf.clone()),
        region_operations: client::RegionOperations::from_stub::<Shelf>(shelf.clone()),
        global_operations: client::GlobalOperations::from_stub::<Shelf>(shelf.clone()),
        machine_types: client::MachineTypes::from_stub::<Shelf>(shelf.clone()),
        accelerator_types: client::AcceleratorTypes::from_stub::<Shelf>(shelf.clone()),
        regions: client::Regions::from_stub::<Shelf>(shelf.clone()),
        projects: client::Projects::from_stub::<Shelf>(shelf.clone()),
    };
    Catalogue::new(
        Gce::from_parts(clients, shelf.clone(), GuestFiles::none()),
        Arc::new(TokioClock::new(Timestamp::UNIX_EPOCH)),
    )
}

fn machine(name: &str) -> (String, Value) {
    (format!("p/r1-a/{name}"), json!({"name": name, "guestCpus": 4, "memoryMb": 4096}))
}

#[tokio::test]
async fn each_answer_is_found_under_its_name() {
    let family = "projects/images/global/images/family/notebook-cpu";
    let things = [
        machine("n1-standard-4"),
        machine("n1-standard-2"),
        ("p/r1-a/n1-standard-8".into(), Value::Null),
        machine("n1-standard-12"),
        ("r1-a/nvidia-tesla-t4".into(), json!({"name": "nvidia-tesla-t4", "maximumCardsPerInstance": 4})),
        ("images/notebook-cpu".into(), json!({"name": "notebook-cpu-7", "architecture": "ARM64", "diskSizeGb": "10"})),
        ("r1".into(), json!({"quotas": [{"metric": "CPUS", "limit": 24, "usage": 1}]})),
        ("p".into(), json!({"quotas": [{"metric": "GPUS_ALL_REGIONS", "limit": 1, "usage": 1}]})),
    ];
    let shelf = Arc::new(Shelf { things: things.into(), asked: Mutex::default() });
    let needs = Needs {
        project: "p".into(),
        zone: "r1-a".into(),
        machine_types: ["n1-standard-4", "n1-standard-5", "n1-standard-8"].map(str::to_owned).into(),
        accelerator_types: ["nvidia-tesla-t4", "nvidia-tesla-k80"].map(str::to_owned).into(),
        images: [family.to_owned()].into(),
        quotas: true,
    };
    let facts = Facts::gather(&catalogue(&shelf), &needs).await;
    assert!(facts.machine_types["n1-standard-4"].is_present());
    assert!(facts.machine_types["n1-standard-5"].is_absent());
    assert!(facts.machine_types["n1-standard-8"].unknown().is_some());
    // The nearest first, and only what is there: 1 and 8 are not.
    assert_eq!(
        facts.near,
        [(
            "n1-standard-5".to_owned(),
            ["n1-standard-4", "n1-standard-2", "n1-standard-12"].map(str::to_owned).to_vec()
        )]
        .into()
    );
    assert_eq!(facts.accelerator_types["nvidia-tesla-t4"].present().map(|gpu| gpu.maximum_cards_per_instance), Some(4));
    assert!(facts.accelerator_types["nvidia-tesla-k80"].is_absent());
    let link = facts.images[family].present().map(|image| image.link.as_str());
    assert_eq!(link, Some("projects/images/global/images/notebook-cpu-7"));
    assert!(matches!(&facts.quotas, Some(Seen::Present(quotas)) if quotas[0].metric == "CPUS"));
    assert!(matches!(&facts.project_quotas, Some(Seen::Present(quotas)) if quotas[0].metric == "GPUS_ALL_REGIONS"));
}

#[tokio::test]
async fn who_needs_nothing_asks_nothing() {
    let shelf = Arc::new(Shelf::default());
    let facts = Facts::gather(&catalogue(&shelf), &Needs::default()).await;
    assert!(facts.quotas.is_none() && facts.machine_types.is_empty());
    assert_eq!(*shelf.asked.lock().unwrap(), Vec::<String>::new());
}
