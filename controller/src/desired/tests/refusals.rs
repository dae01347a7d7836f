//! Refusals in the name of the cloud, the home and the words themselves, one row each.

use rehost_api::conditions::Reason::*;

use super::{check, check_all, file, quota, story, yaml};
use crate::desired::Facts;
use crate::gce::model::MachineType;
use crate::seen::Seen;

#[test]
fn what_the_cloud_does_not_have() {
    check_all(&[
        (
            "{host: {vm: {machineType: n1-standard-5}}}",
            UnknownMachineType,
            "spec.host.vm.machineType",
            &["'n1-standard-5'", "us-central1-a", "n1-standard-4"],
        ),
        (
            "{host: {pod: {machineType: n1-standard-5}}}",
            UnknownMachineType,
            "spec.host.pod.machineType",
            &["'n1-standard-5'"],
        ),
        (
            "{host: {vm: {machineType: e2-standard-4, gpu: {type: nvidia-tesla-t4, count: 1}}}}",
            Refused,
            "spec.host.vm.gpu.type",
            &["'nvidia-tesla-t4'", "e2-standard-4", "n1 machine type"],
        ),
        (
            "{host: {vm: {machineType: g2-standard-8, gpu: {type: nvidia-tesla-t4, count: 1}}}}",
            Refused,
            "spec.host.vm.gpu.type",
            &["g2-standard-8", "brings its own"],
        ),
        (
            "{host: {vm: {machineType: f1-micro, gpu: {type: nvidia-tesla-t4, count: 1}}}}",
            Refused,
            "spec.host.vm.gpu.type",
            &["f1-micro"],
        ),
        (
            "{host: {vm: {gpu: {type: nvidia-tesla-v100, count: 1}}}}",
            Refused,
            "spec.host.vm.gpu.type",
            &["'nvidia-tesla-v100'", "us-central1-a"],
        ),
        (
            "{host: {vm: {gpu: {type: nvidia-tesla-t4, count: 3}}}}",
            Refused,
            "spec.host.vm.gpu.count",
            &["'3'", "at most 2"],
        ),
        (
            "{host: {vm: {bootDisk: {image: projects/demo-project/global/images/family/notebook-arm}}}}",
            ImageMismatch,
            "spec.host.vm.bootDisk.image",
            &["notebook-arm", "n1-standard-4", "is for Arm", "for x86"],
        ),
        (
            "{host: {vm: {machineType: t2a-standard-4, bootDisk: {image: projects/demo-project/global/images/family/notebook-cpu}}}}",
            ImageMismatch,
            "spec.host.vm.bootDisk.image",
            &["notebook-cpu", "t2a-standard-4"],
        ),
        (
            "{host: {vm: {bootDisk: {image: projects/demo-project/global/images/gone}}}}",
            ImageMismatch,
            "spec.host.vm.bootDisk.image",
            &["'projects/demo-project/global/images/gone'", "is no image"],
        ),
        ("{host: {vm: {bootDisk: {size: 10Gi}}}}", Refused, "spec.host.vm.bootDisk.size", &["'10Gi'", "20Gi or more"]),
        (
            "{host: {vm: {bootDisk: {type: hyperdisk-balanced}}}}",
            DiskTypeMismatch,
            "spec.host.vm.bootDisk.type",
            &["'hyperdisk-balanced'", "n1-standard-4", "pd-balanced"],
        ),
        (
            "{host: {vm: {machineType: e2-standard-4, localSsds: 1}}}",
            Refused,
            "spec.host.vm.localSsds",
            &["'1'", "e2-standard-4"],
        ),
        ("{host: {vm: {localSsds: 32}}}", Refused, "spec.host.vm.localSsds", &["'32'", "at most 24"]),
        (
            "{host: {vm: {provisioning: FlexStart, maxRunDuration: 8h}}}",
            NotActedOnYet,
            "spec.host.vm.provisioning",
            &["'FlexStart'", "Spot"],
        ),
        ("{host: {pod: {sharedMemory: 8Gi}}}", Refused, "spec.host.pod.sharedMemory", &["'8Gi'", "4096Mi"]),
    ]);
}

#[test]
fn a_shape_that_takes_no_second_disk_or_no_gpu() {
    let one_disk = story("{}").facts(|facts| {
        let small = MachineType { maximum_persistent_disks: 1, ..super::machine("n1-standard-4", 4) };
        facts.machine_types.insert("n1-standard-4".into(), Seen::Present(small));
    });
    check(&one_disk, Refused, "spec.host.vm.machineType", &["'n1-standard-4'", "takes 1 disk"]);
    let shared = story("{host: {vm: {gpu: {type: nvidia-tesla-t4, count: 1}}}}").facts(|facts| {
        let shared = MachineType { shared_cpu: true, ..super::machine("n1-standard-4", 4) };
        facts.machine_types.insert("n1-standard-4".into(), Seen::Present(shared));
    });
    check(&shared, Refused, "spec.host.vm.gpu.type", &["processor is shared"]);
}

#[test]
fn a_subnetwork_of_another_region() {
    let story = story("{}").class("{network: {subnetwork: regions/europe-west1/subnetworks/x}}");
    check(&story, Refused, "spec.host.vm.subnetwork", &["europe-west1", "us-central1-a"]);
}

#[test]
fn quotas_that_one_host_alone_exceeds() {
    let large = "{host: {vm: {machineType: n1-highmem-32}}}";
    check(
        &story(large),
        QuotaExceeded,
        "spec.host.vm.machineType",
        &["needs 32", "CPUS", "us-central1", "limit is 24"],
    );
    let gpus = story("{host: {vm: {gpu: {type: nvidia-tesla-t4, count: 2}}}}");
    gpus.wish();
    let fewer = gpus.facts(|facts| facts.quotas = Some(Seen::Present(vec![quota("NVIDIA_T4_GPUS", 1.0)])));
    check(&fewer, QuotaExceeded, "spec.host.vm.gpu.count", &["'2'", "NVIDIA_T4_GPUS", "limit is 1"]);
    let built_in = story("{host: {vm: {machineType: g2-standard-8}}}");
    built_in.wish();
    let none = built_in.facts(|facts| facts.quotas = Some(Seen::Present(vec![quota("NVIDIA_L4_GPUS", 0.0)])));
    check(&none, QuotaExceeded, "spec.host.vm.machineType", &["NVIDIA_L4_GPUS"]);
}

#[test]
fn a_quota_that_may_do_is_tried() {
    let large = "{host: {vm: {machineType: n1-highmem-32}}}";
    story(large).facts(|facts| facts.quotas = None).wish();
    story(large).facts(|facts| facts.quotas = Some(Seen::Unknown("503".into()))).wish();
    story(large).facts(|facts| facts.quotas = Some(Seen::Present(vec![quota("OTHER", 0.0)]))).wish();
    story("{fallbacks: [{vm: {machineType: n1-highmem-32}}]}").wish();
    let spot = "{host: {vm: {machineType: n1-highmem-32, provisioning: Spot}}}";
    check(&story(spot), QuotaExceeded, "spec.host.vm.machineType", &["needs 32"]);
    story(spot)
        .facts(|facts| facts.quotas = Some(Seen::Present(vec![quota("CPUS", 24.0), quota("PREEMPTIBLE_CPUS", 100.0)])))
        .wish();
}

#[test]
fn what_the_home_cannot_be() {
    check_all(&[
        (
            "{storage: {type: hyperdisk-balanced}}",
            DiskTypeMismatch,
            "spec.storage.type",
            &["'hyperdisk-balanced'", "n1-standard-4", "pd-balanced"],
        ),
        (
            "{storage: {type: pd-balanced}, fallbacks: [{vm: {machineType: c4-standard-4}}]}",
            DiskTypeMismatch,
            "spec.storage.type",
            &["'pd-balanced'", "c4-standard-4", "spec.fallbacks[0]", "hyperdisk-balanced"],
        ),
        (
            "{fallbacks: [{vm: {machineType: c4-standard-4}}]}",
            DiskTypeMismatch,
            "spec.storage.type",
            &["not set", "n1-standard-4 takes pd-balanced", "c4-standard-4 takes hyperdisk-balanced"],
        ),
        (
            "{host: {pod: {}}, storage: {type: hyperdisk-fancy}}",
            DiskTypeMismatch,
            "spec.storage.type",
            &["'hyperdisk-fancy'", "pd-balanced"],
        ),
        (
            "{host: {pod: {machineType: c4-standard-4}}, storage: {type: pd-ssd}}",
            DiskTypeMismatch,
            "spec.storage.type",
            &["'pd-ssd'", "c4-standard-4"],
        ),
        (
            "{host: {vm: {machineType: c4-standard-4}}, storage: {size: 2Gi}}",
            Refused,
            "spec.storage.size",
            &["'2Gi'", "4Gi or more"],
        ),
        ("{storage: {from: {snapshot: s-1}}}", NotActedOnYet, "spec.storage.from.snapshot", &["'s-1'", "blank: true"]),
        ("{storage: {from: {disk: d-1}}}", NotActedOnYet, "spec.storage.from.disk", &["'d-1'"]),
        ("{storage: {from: {notebook: n-1}}}", NotActedOnYet, "spec.storage.from.notebook", &["'n-1'"]),
    ]);
}

#[test]
fn what_a_recorded_home_cannot_become() {
    let fixed = story("{storage: {type: pd-balanced}, host: {vm: {machineType: c4-standard-4}}}").home(|_| {});
    let says = ["'pd-balanced' cannot be attached to c4-standard-4", "which takes hyperdisk-balanced"];
    check(&fixed, DiskTypeMismatch, "spec.storage.type", &says);
    let apart = story("{fallbacks: [{pod: {machineType: c4-standard-4}}]}").home(|_| {});
    check(&apart, DiskTypeMismatch, "spec.storage.type", &["all listed hosts can attach", "c4-standard-4 takes"]);
    let small = story("{storage: {size: 2Gi, type: hyperdisk-balanced}, host: {vm: {machineType: c4-standard-4}}}");
    let small = small.home(|home| home.size_gb = 2);
    check(&small, Refused, "spec.storage.size", &["'2Gi'", "hyperdisk-balanced"]);
    let elsewhere = story("{}").home(|home| home.project = "old-project".into());
    check(&elsewhere, Refused, "spec.class", &["demo-project", "old-project"]);
    let withdrawn = story("{}").class("{zones: [us-central1-b]}").home(|_| {});
    check(&withdrawn, NotAllowedByClass, "spec.zones", &["'us-central1-a'", "it allows us-central1-b"]);
}

#[test]
fn a_home_is_a_disk_or_a_claim_and_stays_so() {
    let claims = "{pods: {homes: Claim}}";
    let to_vm = story("{host: {vm: {}}}").class(claims).home(|home| home.claim = true);
    check(&to_vm, Refused, "spec.host", &["'vm'", "home-1", "claim", "write pod"]);
    let to_pod = story("{host: {pod: {}}}").class(claims).home(|_| {});
    check(&to_pod, Refused, "spec.host", &["'pod'", "home-1", "Compute Engine disk", "write vm"]);
    let mixed = story("{host: {pod: {}}, fallbacks: [{vm: {}}]}").class(claims);
    // The wished host decides; nothing of the cloud is asked for a cluster that may be elsewhere.
    assert!(mixed.needs().is_empty());
    check(&mixed, Refused, "spec.fallbacks[0]", &["'vm'", "claim"]);
    let mixed = story("{host: {vm: {}}, fallbacks: [{pod: {}}]}").class(claims);
    check(&mixed, Refused, "spec.fallbacks[0]", &["'pod'", "write vm"]);
}

#[test]
fn what_is_not_known_is_never_absent() {
    type Blind = fn(&mut Facts);
    let cases: [(&str, Blind, &str); 5] = [
        ("{}", |facts| facts.machine_types.clear(), "spec.host.vm.machineType"),
        (
            "{}",
            |facts| {
                facts.machine_types.insert("n1-standard-4".into(), Seen::Unknown("503".into()));
            },
            "spec.host.vm.machineType",
        ),
        ("{}", |facts| facts.images.clear(), "spec.host.vm.bootDisk.image"),
        (
            "{host: {vm: {gpu: {type: nvidia-tesla-t4, count: 1}}}}",
            |facts| facts.accelerator_types.clear(),
            "spec.host.vm.gpu.type",
        ),
        (
            "{host: {pod: {machineType: n1-standard-4}}}",
            |facts| facts.machine_types.clear(),
            "spec.host.pod.machineType",
        ),
    ];
    for (spec, blind, field) in cases {
        let story = story(spec).facts(blind);
        check(&story, CloudUnknown, field, &["is not known at the moment"]);
        assert!(!story.refusal().needs_a_person());
    }
    // What is forbidden is said also while the cloud cannot be seen.
    let blind = story("{fallbacks: [{vm: {machineType: m1-ultramem-40}}]}").facts(|facts| *facts = Facts::default());
    check(&blind, NotAllowedByClass, "spec.fallbacks[0].vm.machineType", &[]);
}

#[test]
fn words_that_only_an_older_definition_let_through() {
    for (spec, field) in [
        ("{host: {vm: {}, pod: {}}}", "spec.host"),
        ("{fallbacks: [{}]}", "spec.fallbacks[0]"),
        ("{storage: {size: 100GB}}", "spec.storage.size"),
        ("{resize: {keepOld: soon}}", "spec.resize.keepOld"),
        ("{lifetime: {after: long}}", "spec.lifetime.after"),
        ("{host: {vm: {maxRunDuration: long}}}", "spec.host.vm.maxRunDuration"),
        (
            "{host: {vm: {shielded: {vtpm: false, integrityMonitoring: true}}}}",
            "spec.host.vm.shielded.integrityMonitoring",
        ),
        ("{resize: {when: Window}}", "spec.resize.window"),
        ("{resize: {when: Window, window: {schedule: 0 2 * * *, duration: long}}}", "spec.resize.window.duration"),
        ("{host: {pod: {resources: {cpu: two}}}}", "spec.host.pod.resources.cpu"),
        ("{host: {pod: {resources: {memory: much}}}}", "spec.host.pod.resources.memory"),
        ("{host: {pod: {resources: {ephemeralStorage: some}}}}", "spec.host.pod.resources.ephemeralStorage"),
        ("{host: {vm: {bootDisk: {size: large}}}}", "spec.host.vm.bootDisk.size"),
    ] {
        check(&story(spec), Refused, field, &[]);
    }
    check(&story("{}").class("{stoppedHostKeep: ever}"), Refused, "spec.class", &["stoppedHostKeep", "'ever'"]);
}

#[test]
fn times_that_never_come_and_zones_that_are_none() {
    let window = |window: &str| story(&format!("{{resize: {{when: Window, window: {window}}}}}"));
    let never = window("{schedule: 0 2 30 2 *, duration: 2h}");
    check(&never, Refused, "spec.resize.window.schedule", &["'0 2 30 2 *' never comes"]);
    let nowhere = window("{schedule: 0 2 * * *, duration: 2h, timeZone: Europe/Atlantis}");
    let schedule = |schedule: &str| story(&format!("{{schedule: {schedule}}}"));
    check(&schedule("{stop: 0 25 * * *}"), Refused, "spec.schedule.stop", &["'0 25 * * *'"]);
    check(&schedule("{start: 0 8 * * *, timeZone: Mars/One}"), Refused, "spec.schedule.timeZone", &["'Mars/One'"]);
    check(&nowhere, Refused, "spec.resize.window.timeZone", &["'Europe/Atlantis'", "Europe/Lisbon"]);
}

/// The manifests that the API server takes and the controller must refuse, with the very class of the samples.
#[test]
fn every_broken_manifest_that_needs_the_class_is_refused() {
    let (table, sample) = (yaml(&file("tests/tests/broken_manifests.yaml")), file("config/samples/class.yaml"));
    let cases = table["cases"].as_array().expect("cases").iter();
    let mut tried = 0;
    // A case with `then` is about a change of the recorded home, which the planner refuses.
    for case in cases.filter(|case| case["expect"] == "stalled" && case.get("then").is_none()) {
        let mut value = table["base"].clone();
        super::merge(&mut value, &case["patch"]);
        value["metadata"]["namespace"] = "team-a".into();
        let mut story = story("{}");
        story.class =
            Seen::Present(std::sync::Arc::new(serde_json::from_value(yaml(&sample)).expect("the sample class")));
        story.notebook = serde_json::from_value(value).expect("a notebook");
        if story.notebook.spec.class_name() != "default" {
            story.class = Seen::Absent;
        }
        let refusal = story.refusal();
        // As status writes it.
        let message = format!("{}: {}", refusal.field, refusal.message);
        assert!(refusal.needs_a_person(), "{}: {message}", case["name"]);
        for part in case["says"].as_array().expect("says") {
            let part = part.as_str().expect("a text");
            assert!(message.contains(part), "{}: '{part}' is not in: {message}", case["name"]);
        }
        tried += 1;
    }
    assert!(tried >= 15, "{tried}");
}
