use std::collections::BTreeMap;

use rehost_api::guest::{GuestHome, GuestRole, GuestSettings, SETTINGS_KEY};
use serde_json::{Value, json};

use super::*;
use crate::gce::errors::Cause;
use crate::gce::model::{Accelerator, OnHostMaintenance};
use crate::gce::mutation::{
    BootDisk, Network, NewDisk, NewInstance, NewSnapshot, Place, Provisioning, Scheduling, Shielded, TerminationAction,
};
use crate::gce::stubs::{Cloud, refusal};

const ID: Uuid = Uuid::from_u128(0x5ca4_0000_0000_5000_8000_0000_0000_0001);

fn place() -> Place {
    Place::new("p", "us-central1-a")
}

fn settings() -> GuestSettings {
    GuestSettings {
        notebook: "team/taxi".into(),
        uid: "u".into(),
        role: GuestRole::Serve,
        nonce: "n".into(),
        home: GuestHome { device: "home".into(), content_id: "c".into(), format: false, copied_from: None },
        port: 8888,
        offer: Box::default(),
    }
}

fn scheduling() -> Scheduling {
    Scheduling {
        provisioning: Provisioning::Standard,
        on_host_maintenance: OnHostMaintenance::Terminate,
        automatic_restart: true,
        on_termination: None,
        max_run_duration_s: None,
    }
}

fn new_instance() -> NewInstance {
    NewInstance {
        name: "vm".into(),
        description: "a notebook's host".into(),
        machine_type: "n1-standard-4".into(),
        accelerators: vec![Accelerator { kind: "nvidia-tesla-t4".into(), count: 1 }],
        scheduling: scheduling(),
        boot: BootDisk {
            image: "projects/i/global/images/nb-1".into(),
            size_gb: 50,
            disk_type: "pd-balanced".into(),
            labels: BTreeMap::from([("rehost-uid".into(), "u".into())]),
        },
        network: Network {
            subnetwork: Some("regions/us-central1/subnetworks/nb".into()),
            tags: vec!["nb".into()],
            external_address: false,
        },
        service_account: Some("nb@p.iam.gserviceaccount.com".into()),
        labels: BTreeMap::from([("rehost-uid".into(), "u".into())]),
        metadata: BTreeMap::from([("startup-script".into(), "#!/bin/sh".into())]),
        settings: settings(),
        home: Some("home-u".into()),
        min_cpu_platform: None,
        local_ssds: 0,
        shielded: None,
        reservation: None,
    }
}

/// Sends a change, and gives back the one call that came of it.
async fn sent(mutation: Mutation) -> (&'static str, String, Value) {
    let cloud = Cloud::new();
    for method in METHODS {
        cloud.will(method, Ok(json!({"name": "operation-1", "status": "RUNNING"})));
    }
    let operation = cloud.gce().start(&mutation, ID).await.expect("accepted");
    assert_eq!((operation.name.as_str(), operation.request_id), ("operation-1", Some(ID)));
    assert_eq!(operation.scope, mutation.scope());
    let mut calls = cloud.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

const METHODS: [&str; 21] = [
    "disks.insert",
    "disks.resize",
    "disks.delete",
    "disks.set_labels",
    "disks.create_snapshot",
    "snapshots.delete",
    "instances.insert",
    "instances.delete",
    "instances.stop",
    "instances.start",
    "instances.suspend",
    "instances.resume",
    "instances.reset",
    "instances.set_machine_type",
    "instances.set_machine_resources",
    "instances.set_scheduling",
    "instances.set_metadata",
    "instances.set_labels",
    "instances.attach_disk",
    "instances.detach_disk",
    "instances.set_disk_auto_delete",
];

fn new_snapshot(labels: &BTreeMap<String, String>) -> NewSnapshot {
    NewSnapshot { name: "copy".into(), labels: labels.clone(), description: "d".into() }
}

/// Every change but the two long ones, with the method, the target and the body (or the one parameter) that it sends.
fn changes() -> Vec<(Mutation, &'static str, Value)> {
    let (place, name) = (place(), "vm".to_owned());
    let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
    let fingerprint = "-_8=".to_owned();
    let zone = "projects/p/zones/us-central1-a";
    let labelled = json!({"labelFingerprint": "-_8=", "labels": {"a": "1"}});
    let id = json!(ID.to_string());
    vec![
        (
            Mutation::ResizeDisk { place: place.clone(), name: name.clone(), size_gb: 200 },
            "disks.resize",
            json!({"sizeGb": "200"}),
        ),
        (Mutation::DeleteDisk { place: place.clone(), name: name.clone(), id: 1 }, "disks.delete", id.clone()),
        (
            Mutation::LabelDisk {
                place: place.clone(),
                name: name.clone(),
                labels: labels.clone(),
                fingerprint: fingerprint.clone(),
            },
            "disks.set_labels",
            labelled.clone(),
        ),
        (
            Mutation::CreateSnapshot { place: place.clone(), disk: name.clone(), snapshot: new_snapshot(&labels) },
            "disks.create_snapshot",
            json!({"name": "copy", "labels": {"a": "1"}, "description": "d"}),
        ),
        (Mutation::DeleteSnapshot { place: place.clone(), name: name.clone(), id: 1 }, "snapshots.delete", id.clone()),
        (Mutation::DeleteInstance { place: place.clone(), name: name.clone(), id: 1 }, "instances.delete", id.clone()),
        (
            Mutation::StopInstance { place: place.clone(), name: name.clone(), id: 1, discard_local_ssd: true },
            "instances.stop",
            json!(true),
        ),
        (Mutation::StartInstance { place: place.clone(), name: name.clone(), id: 1 }, "instances.start", id.clone()),
        (
            Mutation::SuspendInstance { place: place.clone(), name: name.clone(), id: 1, discard_local_ssd: false },
            "instances.suspend",
            Value::Null,
        ),
        (Mutation::ResumeInstance { place: place.clone(), name: name.clone(), id: 1 }, "instances.resume", id.clone()),
        (Mutation::ResetInstance { place: place.clone(), name: name.clone(), id: 1 }, "instances.reset", id),
        (
            Mutation::SetMachineType { place: place.clone(), name: name.clone(), machine_type: "n2-standard-8".into() },
            "instances.set_machine_type",
            json!({"machineType": format!("{zone}/machineTypes/n2-standard-8")}),
        ),
        (
            Mutation::SetAccelerators { place: place.clone(), name: name.clone(), accelerators: Vec::new() },
            "instances.set_machine_resources",
            json!({}),
        ),
        (
            Mutation::SetScheduling { place: place.clone(), name: name.clone(), scheduling: scheduling() },
            "instances.set_scheduling",
            json!({"automaticRestart": true, "onHostMaintenance": "TERMINATE", "provisioningModel": "STANDARD"}),
        ),
        (
            Mutation::LabelInstance { place: place.clone(), name: name.clone(), labels, fingerprint },
            "instances.set_labels",
            labelled,
        ),
        (
            Mutation::AttachDisk { place: place.clone(), instance: name.clone(), disk: "home-u".into() },
            "instances.attach_disk",
            json!({"autoDelete": false, "boot": false, "deviceName": "home", "mode": "READ_WRITE",
                "source": format!("{zone}/disks/home-u")}),
        ),
        (
            Mutation::DetachDisk { place: place.clone(), instance: name.clone(), device_name: "home".into() },
            "instances.detach_disk",
            json!("home"),
        ),
        (
            Mutation::SetDiskAutoDelete {
                place: place.clone(),
                instance: name,
                device_name: "home".into(),
                auto_delete: false,
            },
            "instances.set_disk_auto_delete",
            json!(["home", false]),
        ),
    ]
}

#[tokio::test]
async fn every_change_is_one_request_with_its_own_body() {
    for (mutation, method, body) in changes() {
        let shown = format!("{mutation:?}");
        assert_eq!(sent(mutation).await, (method, "vm".to_owned(), body), "{shown}");
    }
}

#[tokio::test]
async fn a_disk_is_made_with_its_labels_blank_or_of_a_snapshot() {
    let labels = BTreeMap::from([("rehost-uid".to_owned(), "u".to_owned())]);
    let disk = NewDisk {
        name: "home-u".into(),
        size_gb: 100,
        disk_type: "pd-balanced".into(),
        labels,
        description: "d".into(),
        snapshot: None,
    };
    let copy = NewDisk { snapshot: Some("copy".into()), ..disk.clone() };
    let (_, _, body) = sent(Mutation::InsertDisk { place: place(), disk: copy }).await;
    assert_eq!(body["sourceSnapshot"], "projects/p/global/snapshots/copy");
    let (method, request_id, body) = sent(Mutation::InsertDisk { place: place(), disk }).await;
    assert_eq!((method, request_id), ("disks.insert", ID.to_string()));
    assert_eq!(
        body,
        json!({"name": "home-u", "sizeGb": "100", "description": "d", "labels": {"rehost-uid": "u"},
            "type": "projects/p/zones/us-central1-a/diskTypes/pd-balanced"})
    );
}

#[tokio::test]
async fn an_instance_is_made_around_its_home() {
    let instance = Box::new(new_instance());
    let (_, request_id, body) = sent(Mutation::InsertInstance { place: place(), instance }).await;
    assert_eq!(request_id, ID.to_string());
    let zone = "projects/p/zones/us-central1-a";
    assert_eq!(body["machineType"], json!(format!("{zone}/machineTypes/n1-standard-4")));
    assert_eq!(
        body["guestAccelerators"],
        json!([{"acceleratorCount": 1, "acceleratorType": format!("{zone}/acceleratorTypes/nvidia-tesla-t4")}])
    );
    assert_eq!(
        body["disks"],
        json!([
            {"autoDelete": true, "boot": true, "initializeParams": {"diskSizeGb": "50", "labels": {"rehost-uid": "u"},
                "diskType": format!("{zone}/diskTypes/pd-balanced"), "sourceImage": "projects/i/global/images/nb-1"}},
            {"autoDelete": false, "boot": false, "deviceName": "home", "mode": "READ_WRITE",
                "source": format!("{zone}/disks/home-u")},
        ])
    );
    assert_eq!(body["networkInterfaces"], json!([{"subnetwork": "regions/us-central1/subnetworks/nb"}]));
    assert_eq!(body["tags"], json!({"items": ["nb"]}));
    assert_eq!(body["serviceAccounts"][0]["email"], "nb@p.iam.gserviceaccount.com");
    let items: BTreeMap<String, String> = metadata_items(&body["metadata"]);
    assert_eq!(
        items.keys().map(String::as_str).collect::<Vec<_>>(),
        ["enable-guest-attributes", SETTINGS_KEY, "startup-script"]
    );
    assert_eq!(serde_json::from_str::<GuestSettings>(&items[SETTINGS_KEY]).expect("settings"), settings());
    for absent in ["minCpuPlatform", "shieldedInstanceConfig", "reservationAffinity"] {
        assert_eq!(body.get(absent), None, "{absent}");
    }
}

fn metadata_items(metadata: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    metadata["items"].as_array().expect("items").iter().map(|it| (text(&it["key"]), text(&it["value"]))).collect()
}

#[tokio::test]
async fn capacity_that_is_queued_for_is_bounded_in_time_and_not_reserved() {
    let mut instance = new_instance();
    instance.home = None;
    instance.local_ssds = 2;
    instance.network = Network { subnetwork: None, tags: Vec::new(), external_address: true };
    instance.service_account = None;
    instance.shielded = Some(Shielded { secure_boot: true, vtpm: true, integrity_monitoring: false });
    instance.scheduling = Scheduling {
        provisioning: Provisioning::FlexStart,
        automatic_restart: false,
        on_termination: Some(TerminationAction::Delete),
        max_run_duration_s: Some(3600),
        ..scheduling()
    };
    let (_, _, body) = sent(Mutation::InsertInstance { place: place(), instance: Box::new(instance) }).await;
    assert_eq!(
        body["scheduling"],
        json!({"automaticRestart": false, "instanceTerminationAction": "DELETE", "maxRunDuration": {"seconds": "3600"},
            "onHostMaintenance": "TERMINATE", "provisioningModel": "FLEX_START"})
    );
    assert_eq!(body["reservationAffinity"], json!({"consumeReservationType": "NO_RESERVATION"}));
    assert_eq!(body["disks"].as_array().map(Vec::len), Some(3), "boot and two local SSDs");
    assert_eq!(body["disks"][2]["type"], "SCRATCH");
    assert_eq!(body["networkInterfaces"][0]["accessConfigs"][0]["type"], "ONE_TO_ONE_NAT");
    assert_eq!((body.get("serviceAccounts"), body.get("tags")), (None, None));
    assert_eq!(body["shieldedInstanceConfig"]["enableSecureBoot"], true);
}

#[tokio::test]
async fn settings_keep_the_other_metadata() {
    let keep = BTreeMap::from([("enable-guest-attributes".to_owned(), "TRUE".to_owned())]);
    let mutation = Mutation::SetSettings {
        place: place(),
        name: "vm".into(),
        settings: settings(),
        fingerprint: "-_8=".into(),
        keep,
    };
    let (_, _, body) = sent(mutation).await;
    assert_eq!(body["fingerprint"], "-_8=");
    assert_eq!(metadata_items(&body).len(), 2);
}

#[tokio::test]
async fn a_refusal_keeps_its_cause_and_nothing_is_sent_twice() {
    let cloud = Cloud::new();
    cloud.will("instances.start", Err(refusal(503, "backendError")));
    let start = Mutation::StartInstance { place: place(), name: "vm".into(), id: 1 };
    let error = cloud.gce().start(&start, ID).await.expect_err("refused");
    assert_eq!((error.cause.clone(), error.is_definite()), (Cause::Server, false));
    assert_eq!(cloud.calls().len(), 1, "no layer below the plan retries");
}

#[tokio::test]
async fn a_fingerprint_that_cannot_be_sent_is_a_stale_one() {
    let cloud = Cloud::new();
    let label = Mutation::LabelDisk {
        place: place(),
        name: "d".into(),
        labels: BTreeMap::new(),
        fingerprint: "not base64!".into(),
    };
    let error = cloud.gce().start(&label, ID).await.expect_err("refused");
    assert_eq!((error.cause, cloud.calls().len()), (Cause::StaleFingerprint, 0));
}
