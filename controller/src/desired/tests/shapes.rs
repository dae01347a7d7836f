//! Shapes and homes with every default filled in.

use std::collections::{BTreeMap, BTreeSet};

use rehost_api::shape::{Gpu, Provisioning, VmShape};

use super::{machine, story};
use crate::desired::Facts;
use crate::gce::model::MachineType;
use crate::seen::Seen;

const CPU_IMAGE: &str = "projects/demo-project/global/images/notebook-cpu-20260101";
const GPU_IMAGE: &str = "projects/demo-project/global/images/notebook-gpu-20260101";
const ARM_IMAGE: &str = "projects/demo-project/global/images/notebook-arm-20260101";

#[test]
fn a_vm_of_which_nothing_is_said() {
    let expected = VmShape {
        machine_type: "n1-standard-4".into(),
        boot_image: CPU_IMAGE.into(),
        boot_size_gb: 50,
        boot_type: "pd-balanced".into(),
        service_account: "notebooks@demo-project.iam.gserviceaccount.com".into(),
        subnetwork: "regions/us-central1/subnetworks/default".into(),
        tags: vec!["notebooks".into()],
        ..VmShape::default()
    };
    assert_eq!(story("{}").vm(), expected);
    assert_eq!(story("{host: {vm: {}}}").vm(), expected);
}

#[test]
fn a_vm_of_which_everything_is_said() {
    let spec = "{host: {vm: {machineType: n1-standard-8, gpu: {type: nvidia-tesla-t4, count: 1}, provisioning: Spot,
        bootDisk: {image: projects/demo-project/global/images/family/silent, size: 80Gi, type: pd-ssd},
        serviceAccount: me@demo-project.iam.gserviceaccount.com, subnetwork: regions/us-central1/subnetworks/default,
        tags: [team-a, notebooks], labels: {cost: a}, externalAddress: Ephemeral, shielded: {secureBoot: true},
        minCpuPlatform: Intel Skylake, localSsds: 2}}}";
    let story = story(spec).class("{network: {externalAddresses: true}}");
    let expected = VmShape {
        machine_type: "n1-standard-8".into(),
        gpu: Some(Gpu { kind: "nvidia-tesla-t4".into(), count: 1 }),
        provisioning: Provisioning::Spot,
        boot_image: "projects/demo-project/global/images/silent-20260101".into(),
        boot_size_gb: 80,
        boot_type: "pd-ssd".into(),
        service_account: "me@demo-project.iam.gserviceaccount.com".into(),
        subnetwork: "regions/us-central1/subnetworks/default".into(),
        // The class's first, each once.
        tags: vec!["notebooks".into(), "team-a".into()],
        labels: BTreeMap::from([("cost".into(), "a".into())]),
        external_address: true,
        min_cpu_platform: "Intel Skylake".into(),
        local_ssds: 2,
        secure_boot: true,
        ..VmShape::default()
    };
    assert_eq!(story.vm(), expected);
}

#[test]
fn image_and_disk_types_go_by_the_machine() {
    for (machine_type, image, boot_type) in [
        ("n1-standard-4", CPU_IMAGE, "pd-balanced"),
        ("g2-standard-8", GPU_IMAGE, "pd-balanced"),
        ("t2a-standard-4", ARM_IMAGE, "pd-balanced"),
        ("c4-standard-4", CPU_IMAGE, "hyperdisk-balanced"),
        ("z9-standard-4", CPU_IMAGE, "hyperdisk-balanced"),
    ] {
        let story = story(&format!("{{host: {{vm: {{machineType: {machine_type}}}}}}}"));
        let vm = story.vm();
        assert_eq!((vm.boot_image.as_str(), vm.boot_type.as_str()), (image, boot_type), "{machine_type}");
        assert_eq!(story.wish().home.disk_type, boot_type, "{machine_type}");
    }
    let attached = story("{host: {vm: {gpu: {type: nvidia-tesla-t4, count: 1}}}}");
    assert_eq!(attached.vm().boot_image, GPU_IMAGE);
}

#[test]
fn a_machine_has_the_name_that_the_cloud_answers_with() {
    let story = story("{host: {vm: {machineType: n1-custom-32-212992, provisioning: Spot}}}")
        .facts(|facts| facts.quotas = None);
    assert_eq!(story.needs().machine_types, BTreeSet::from(["n1-highmem-32".to_owned()]));
    assert_eq!(story.vm().machine_type, "n1-highmem-32");
    // Where no table says so, the answer does.
    let answered = super::story("{host: {vm: {machineType: e2-custom-4-16384}}}").facts(|facts| {
        facts.machine_types.insert("e2-custom-4-16384".into(), Seen::Present(machine("e2-standard-4", 4)));
    });
    assert_eq!(answered.vm().machine_type, "e2-standard-4");
}

#[test]
fn a_machine_may_be_allowed_under_either_name() {
    for (allowed, fits) in [("custom-*", true), ("n1-highmem-*", true), ("e2-*", false)] {
        let story = story("{host: {vm: {machineType: custom-32-212992}}}")
            .facts(|facts| facts.quotas = None)
            .class(&format!("{{machineTypes: {{allowed: [{allowed}]}}}}"));
        assert_eq!(story.resolve().wish.is_ok(), fits, "{allowed}");
    }
}

#[test]
fn an_image_that_asks_for_more_gets_it() {
    let story = story("{}").facts(|facts| {
        for image in facts.images.values_mut() {
            if let Seen::Present(image) = image {
                image.disk_size_gb = 75;
            }
        }
    });
    assert_eq!(story.vm().boot_size_gb, 75);
}

#[test]
fn a_pod_of_which_nothing_is_said() {
    let pod = story("{host: {pod: {}}}").pod();
    assert_eq!((pod.cpu_milli, pod.memory_bytes, pod.ephemeral_storage_bytes), (2000, 4 << 30, 0));
    assert_eq!((pod.shared_memory_bytes, pod.image.as_str()), (2 << 30, "quay.io/jupyter/scipy-notebook:1"));
    assert_eq!((pod.machine_type.as_str(), pod.service_account.as_str(), pod.gpu), ("", "", None));
}

/// Shared memory follows the memory by default; in a pod that runs, a change of memory must not become a move for it.
#[test]
fn a_running_pods_memory_is_raised_without_its_shared_memory() {
    let runs = story("{host: {pod: {resources: {memory: 4Gi}}}}").runs();
    let raised = runs.edit("{host: {pod: {resources: {memory: 16Gi}}}}");
    let pod = raised.pod();
    assert_eq!((pod.memory_bytes, pod.shared_memory_bytes), (16 << 30, 2 << 30));
    let asked = raised.edit("{host: {pod: {sharedMemory: 8Gi}}}").pod();
    assert_eq!(asked.shared_memory_bytes, 8 << 30, "what is asked for is given");
}

#[test]
fn a_pod_takes_what_it_leaves_out_from_the_class() {
    let class = "{defaults: {host: {pod: {resources: {cpu: 500m, memory: 32Gi, ephemeralStorage: 10Gi},
        serviceAccountName: notebooks, nodeSelector: {a: b}}}}}";
    let pod = story("{host: {pod: {resources: {cpu: '4'}, sharedMemory: 1Gi}}}").class(class).pod();
    assert_eq!((pod.cpu_milli, pod.memory_bytes), (4000, 32 << 30));
    assert_eq!((pod.ephemeral_storage_bytes, pod.shared_memory_bytes), (10 << 30, 1 << 30));
    assert_eq!(pod.service_account, "notebooks");
    // Where a pod runs is said as a whole.
    assert!(pod.node_selector.is_empty());
    let whole = story("{}").class(class).pod();
    assert_eq!((whole.cpu_milli, whole.shared_memory_bytes, whole.node_selector.len()), (500, 8 << 30, 1));
}

#[test]
fn a_pod_of_which_everything_is_said() {
    let spec =
        "{host: {pod: {image: quay.io/jupyter/x, machineType: n1-standard-8, gpu: {type: nvidia-tesla-t4, count: 2},
        serviceAccountName: me, nodeSelector: {pool: gpu}, tolerations: [{key: gpu, operator: Exists}],
        resources: {memory: 512Mi}}}}";
    let pod = story(spec).pod();
    assert_eq!((pod.image.as_str(), pod.machine_type.as_str()), ("quay.io/jupyter/x", "n1-standard-8"));
    assert_eq!((pod.gpu.map(|gpu| gpu.count), pod.service_account.as_str()), (Some(2), "me"));
    assert_eq!((pod.node_selector.len(), pod.tolerations.len()), (1, 1));
    assert_eq!(pod.shared_memory_bytes, 256 << 20);
}

#[test]
fn the_class_names_the_host_of_those_who_name_none() {
    // What is a default of the class is allowed, whatever its lists say.
    let class = "{defaults: {host: {vm: {machineType: c3-standard-4, bootDisk: {size: 60Gi, type: pd-ssd}}}},
        machineTypes: {default: null, allowed: null}}";
    let vm = story("{}").class(class).vm();
    assert_eq!((vm.machine_type.as_str(), vm.boot_size_gb, vm.boot_type.as_str()), ("c3-standard-4", 60, "pd-ssd"));
    let named = story("{host: {vm: {machineType: c3-standard-4, bootDisk: {size: 70Gi}}}}").class(class).vm();
    assert_eq!((named.boot_size_gb, named.boot_type.as_str()), (70, "pd-ssd"));
}

#[test]
fn a_home_of_which_nothing_is_said() {
    let home = story("{zones: [us-central1-b, us-central1-a]}").wish().home;
    assert_eq!((home.project.as_str(), home.zone.as_str(), home.claim), ("demo-project", "us-central1-b", false));
    assert_eq!(
        (home.size_gb, home.disk_type.as_str(), home.storage_class.as_str()),
        (100, "pd-balanced", "rehost-home")
    );
    assert!(home.families.contains(&"n1".to_owned()) && !home.families.contains(&"c4".to_owned()));
    assert_eq!(story("{}").wish().home.zone, "us-central1-a");
}

#[test]
fn a_home_takes_what_it_leaves_out_from_the_class() {
    let class = "{defaults: {storage: {size: 1Ti, type: pd-ssd}}, pods: {storageClassName: fast}}";
    let home = story("{}").class(class).wish().home;
    assert_eq!((home.size_gb, home.disk_type.as_str(), home.storage_class.as_str()), (1024, "pd-ssd", "fast"));
    let said = story("{storage: {size: 10Gi, type: pd-standard}}").class(class).wish().home;
    assert_eq!((said.size_gb, said.disk_type.as_str()), (10, "pd-standard"));
    // A default is no demand: what the host cannot attach is passed over.
    let other = story("{host: {vm: {machineType: c4-standard-4}}}").class(class).wish().home;
    assert_eq!(other.disk_type, "hyperdisk-balanced");
    let both = story("{host: {vm: {machineType: c3-standard-4}}, fallbacks: [{vm: {machineType: c4-standard-4}}]}");
    assert_eq!(both.class(class).wish().home.disk_type, "hyperdisk-balanced");
}

#[test]
fn a_recorded_home_stays_what_it_is() {
    let class = "{defaults: {storage: {size: 1Ti, type: pd-ssd}}}";
    let kept = story("{zones: [us-central1-b, us-central1-a]}").class(class).home(|_| {}).wish().home;
    assert_eq!((kept.size_gb, kept.disk_type.as_str(), kept.zone.as_str()), (200, "pd-balanced", "us-central1-a"));
    let grown = story("{storage: {size: 300Gi, from: {snapshot: s}}}").home(|_| {}).wish().home;
    assert_eq!((grown.size_gb, grown.start_blank), (300, false));
}

#[test]
fn a_blank_start_is_said_only_for_a_new_home() {
    let blank = "{storage: {from: {blank: true}}}";
    assert!(story(blank).wish().home.start_blank);
    assert!(!story(blank).home(|_| {}).wish().home.start_blank);
    assert!(!story("{}").wish().home.start_blank);
}

#[test]
fn a_claim_needs_nothing_of_the_cloud() {
    let class = "{pods: {homes: Claim}}";
    let story =
        story("{host: {pod: {machineType: n1-standard-4}}}").class(class).facts(|facts| *facts = Facts::default());
    assert!(story.needs().is_empty());
    let home = story.wish().home;
    assert!(home.claim && home.families.is_empty());
    assert_eq!((home.project.as_str(), home.zone.as_str(), home.disk_type.as_str()), ("", "", ""));
    assert_eq!((home.size_gb, home.storage_class.as_str()), (100, ""));
    let named = super::story("{host: {pod: {}}}").class("{pods: {homes: Claim, storageClassName: local}}");
    assert_eq!(named.wish().home.storage_class, "local");
    // A VM of such a class has a disk, and a class of claims has no StorageClass for it.
    let vm = super::story("{}").class("{pods: {homes: Claim, storageClassName: local}}").wish().home;
    assert_eq!((vm.claim, vm.storage_class.as_str()), (false, "rehost-home"));
}

#[test]
fn a_vm_with_an_end_a_reservation_and_switches() {
    let spec = "{host: {vm: {provisioning: Spot, onPreemption: Stop, maxRunDuration: 8h, reservation: team-a,
        shielded: {vtpm: false}}}, fallbacks: [{vm: {machineType: g2-standard-8}}]}";
    let host = story(spec).wish().host;
    let rehost_api::shape::HostShape::Vm(vm) = &host.shape else { panic!("{host:?}") };
    assert_eq!((vm.max_run_duration_s, vm.reservation.as_str()), (28_800, "team-a"));
    assert!(vm.without_vtpm && vm.without_integrity_monitoring && !vm.secure_boot);
    assert_eq!(host.stay_preempted, [host.shape]);
    let plain = story("{}").wish().host;
    assert!(
        matches!(&plain.shape, rehost_api::shape::HostShape::Vm(vm) if vm.max_run_duration_s == 0 && !vm.without_vtpm)
    );
    assert!(plain.stay_preempted.is_empty());
}

#[test]
fn fallbacks_are_resolved_in_order() {
    let host = story("{fallbacks: [{pod: {}}, {vm: {machineType: g2-standard-8}}]}").wish().host;
    let texts: Vec<String> = (0..host.candidates()).filter_map(|index| Some(host.candidate(index)?.text())).collect();
    assert_eq!(texts, ["n1-standard-4", "2 cpu, 4Gi", "g2-standard-8"]);
}

#[test]
fn what_is_asked_of_the_cloud() {
    let story = story(
        "{host: {vm: {machineType: custom-4-15360, gpu: {type: nvidia-tesla-t4, count: 1}}},
        fallbacks: [{vm: {bootDisk: {image: projects/demo-project/global/images/x}}}, {pod: {machineType: n1-standard-8}}]}",
    );
    let needs = story.needs();
    assert_eq!((needs.project.as_str(), needs.zone.as_str(), needs.quotas), ("demo-project", "us-central1-a", true));
    assert_eq!(needs.machine_types, ["n1-standard-4", "n1-standard-8"].map(str::to_owned).into());
    assert_eq!(needs.accelerator_types, ["nvidia-tesla-t4".to_owned()].into());
    let family = |name: &str| format!("projects/demo-project/global/images/family/{name}");
    let exact = "projects/demo-project/global/images/x".to_owned();
    let families = ["notebook-cpu", "notebook-gpu", "notebook-arm"].map(family);
    assert_eq!(needs.images, families.into_iter().chain([exact]).collect());
    let pod = super::story("{host: {pod: {}}}");
    assert!(pod.needs().is_empty());
    pod.facts(|facts| *facts = Facts::default()).wish();
}

#[test]
fn a_machine_that_does_not_say_how_many_disks_it_takes_is_tried() {
    let story = story("{}").facts(|facts| {
        let silent = MachineType { maximum_persistent_disks: 0, ..machine("n1-standard-4", 4) };
        facts.machine_types.insert("n1-standard-4".into(), Seen::Present(silent));
    });
    story.wish();
}

/// What is asked of a recorded home, and where that leads.
#[test]
fn a_recorded_home_moves_only_where_it_must() {
    for (spec, zone, disk_type) in [
        ("{}", "us-central1-a", "pd-balanced"),
        ("{zones: [us-central1-b, us-central1-a]}", "us-central1-a", "pd-balanced"),
        ("{zones: [us-central1-b]}", "us-central1-b", "pd-balanced"),
        ("{storage: {type: pd-ssd}}", "us-central1-a", "pd-ssd"),
        ("{host: {vm: {machineType: c4-standard-4}}}", "us-central1-a", "hyperdisk-balanced"),
        ("{host: {pod: {machineType: c4-standard-4}}}", "us-central1-a", "hyperdisk-balanced"),
    ] {
        let home = story(spec).home(|_| {}).wish().home;
        assert_eq!((home.zone.as_str(), home.disk_type.as_str()), (zone, disk_type), "{spec}");
    }
}
