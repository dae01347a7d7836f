//! New instances that are refused.

use super::ZONE;
use super::disk_type;
use super::refusals::{Case, gpu, plain, post, terminate, with};
use serde_json::json;

pub(super) fn inserts() -> Vec<Case> {
    let n1 = || plain("new", "n1-standard-4");
    let insert = |what, body, status, reason, says| post(what, "instances", body, status, reason, says);
    vec![
        insert(
            "no name",
            with(n1(), "/name", json!("")),
            400,
            "required",
            "Required field 'resource.name' not specified",
        ),
        insert("bad name", with(n1(), "/name", json!("New")), 400, "invalid", "Must be a match of regex"),
        insert(
            "taken name",
            plain("up", "n1-standard-4"),
            409,
            "alreadyExists",
            "The resource 'projects/p/zones/us-central1-a/instances/up' already exists",
        ),
        insert(
            "unknown machine type",
            plain("new", "n1-standard-5"),
            400,
            "invalid",
            "Machine type with name 'n1-standard-5' does not exist in zone 'us-central1-a'.",
        ),
        insert(
            "machine type of another zone",
            with(n1(), "/machineType", json!("zones/us-east1-b/machineTypes/n1-standard-4")),
            400,
            "invalid",
            "must be in the zone of the instance",
        ),
        insert(
            "malformed machine type",
            with(n1(), "/machineType", json!("n1-standard-4")),
            400,
            "invalid",
            "The URL is malformed.",
        ),
        insert("no boot disk", with(n1(), "/disks", json!([])), 400, "invalid", "Boot disk must be specified."),
        insert(
            "unknown image",
            with(
                n1(),
                "/disks/0/initializeParams/sourceImage",
                json!("projects/debian-cloud/global/images/family/debian-1"),
            ),
            400,
            "invalid",
            "The referenced image resource cannot be found.",
        ),
        insert(
            "Arm image on x86",
            with(
                n1(),
                "/disks/0/initializeParams/sourceImage",
                json!("projects/debian-cloud/global/images/family/debian-12-arm64"),
            ),
            400,
            "badRequest",
            "incompatible with the image's architecture ARM64",
        ),
        insert(
            "boot disk smaller than the image",
            with(
                n1(),
                "/disks/0/initializeParams",
                json!({ "sourceImage": "projects/debian-cloud/global/images/family/debian-12", "diskSizeGb": "5" }),
            ),
            400,
            "invalid",
            "Requested disk size cannot be smaller than the image size (10 GB)",
        ),
        insert(
            "disk type that the series cannot attach",
            with(
                plain("new", "c4-standard-2"),
                "/disks/0/initializeParams",
                json!({ "sourceImage": "projects/debian-cloud/global/images/family/debian-12", "diskType": disk_type("pd-balanced") }),
            ),
            400,
            "badRequest",
            "pd-balanced disk type cannot be used by c4-standard-2 machine type.",
        ),
        insert(
            "GPU on E2",
            with(
                with(plain("new", "e2-standard-4"), "/guestAccelerators", gpu("nvidia-tesla-t4", 1)),
                "/scheduling",
                terminate(),
            ),
            400,
            "badRequest",
            "[nvidia-tesla-t4, e2-standard-4] features are not compatible for creating instance.",
        ),
        insert(
            "a local SSD on E2",
            with(
                plain("new", "e2-standard-4"),
                "/disks",
                json!([n1()["disks"][0], { "type": "SCRATCH", "initializeParams": { "diskType": disk_type("local-ssd") } }]),
            ),
            400,
            "badRequest",
            "[local-ssd, e2-standard-4] features are not compatible for creating instance.",
        ),
        insert(
            "GPU with live migration",
            with(n1(), "/guestAccelerators", gpu("nvidia-tesla-t4", 1)),
            400,
            "badRequest",
            "Instances with guest accelerators do not support live migration.",
        ),
        insert(
            "built-in GPU with live migration",
            plain("new", "g2-standard-4"),
            400,
            "badRequest",
            "do not support live migration.",
        ),
        insert(
            "GPU that the zone lacks",
            with(with(n1(), "/guestAccelerators", gpu("nvidia-tesla-p100", 1)), "/scheduling", terminate()),
            404,
            "notFound",
            "acceleratorTypes/nvidia-tesla-p100' was not found",
        ),
        insert(
            "three T4",
            with(with(n1(), "/guestAccelerators", gpu("nvidia-tesla-t4", 3)), "/scheduling", terminate()),
            400,
            "invalid",
            "acceleratorCount",
        ),
        insert(
            "too many processors for one GPU",
            with(
                with(plain("new", "n1-standard-96"), "/guestAccelerators", gpu("nvidia-tesla-t4", 1)),
                "/scheduling",
                terminate(),
            ),
            400,
            "invalid",
            "At most 48 vCPUs can be used along with 1 accelerator cards",
        ),
        insert(
            "Spot that restarts",
            with(n1(), "/scheduling", json!({ "provisioningModel": "SPOT", "automaticRestart": true })),
            400,
            "badRequest",
            "automatically restarted",
        ),
        insert(
            "FLEX_START without an end",
            with(n1(), "/scheduling", json!({ "provisioningModel": "FLEX_START" })),
            400,
            "invalid",
            "maxRunDuration",
        ),
        insert(
            "a run of ten seconds",
            with(n1(), "/scheduling", json!({ "maxRunDuration": { "seconds": "10" } })),
            400,
            "invalid",
            "between 30 seconds and 120 days",
        ),
        insert(
            "bad label",
            with(n1(), "/labels", json!({ "a": "Upper.Dot" })),
            400,
            "invalid",
            "violates format constraints",
        ),
        insert(
            "two of a metadata key",
            with(n1(), "/metadata", json!({ "items": [{ "key": "a", "value": "1" }, { "key": "a", "value": "2" }] })),
            400,
            "invalid",
            "duplicate keys",
        ),
        insert(
            "unknown subnetwork",
            with(n1(), "/networkInterfaces", json!([{ "subnetwork": "regions/us-central1/subnetworks/none" }])),
            400,
            "invalid",
            "The referenced subnetwork resource cannot be found.",
        ),
        insert(
            "unknown network",
            with(n1(), "/networkInterfaces", json!([{ "network": "global/networks/none" }])),
            400,
            "invalid",
            "The referenced network resource cannot be found.",
        ),
        insert(
            "no network",
            with(n1(), "/networkInterfaces", json!([])),
            400,
            "invalid",
            "At least one network interface is required.",
        ),
        insert(
            "a service account that is none",
            with(n1(), "/serviceAccounts", json!([{ "email": "me" }])),
            400,
            "invalid",
            "The service account does not exist.",
        ),
        insert(
            "a disk in use",
            with(n1(), "/disks/0", json!({ "boot": true, "source": format!("projects/p/zones/{ZONE}/disks/up") })),
            400,
            "resourceInUseByAnotherResource",
            "is already being used by 'projects/p/zones/us-central1-a/instances/up'",
        ),
    ]
}
