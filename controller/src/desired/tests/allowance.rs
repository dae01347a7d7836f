//! Refusals in the class's name: what it does not allow, and who may not use it.

use rehost_api::conditions::Reason::*;

use super::{Story, check, check_all, class, story};
use crate::desired::NamespaceFacts;
use crate::seen::Seen;

#[test]
fn what_the_class_does_not_allow() {
    check_all(&[
        (
            "{host: {vm: {machineType: m1-ultramem-40}}}",
            NotAllowedByClass,
            "spec.host.vm.machineType",
            &["'m1-ultramem-40'", "class 'default'", "it allows n1-standard-4, n1-*"],
        ),
        (
            "{fallbacks: [{vm: {}}, {vm: {machineType: m1-ultramem-40}}]}",
            NotAllowedByClass,
            "spec.fallbacks[1].vm.machineType",
            &["'m1-ultramem-40'"],
        ),
        (
            "{host: {vm: {gpu: {type: nvidia-h100-80gb, count: 1}}}}",
            NotAllowedByClass,
            "spec.host.vm.gpu.type",
            &["'nvidia-h100-80gb'", "it allows nvidia-tesla-*"],
        ),
        (
            "{host: {vm: {gpu: {type: nvidia-tesla-t4, count: 8}}}}",
            NotAllowedByClass,
            "spec.host.vm.gpu.count",
            &["'8'", "at most 4"],
        ),
        (
            "{host: {vm: {bootDisk: {image: projects/elsewhere/global/images/family/mine}}}}",
            NotAllowedByClass,
            "spec.host.vm.bootDisk.image",
            &["'projects/elsewhere/global/images/family/mine'", "projects/demo-project/global/images/*"],
        ),
        (
            "{host: {vm: {serviceAccount: owner@elsewhere.iam.gserviceaccount.com}}}",
            NotAllowedByClass,
            "spec.host.vm.serviceAccount",
            &["'owner@elsewhere.iam.gserviceaccount.com'", "*@demo-project.iam.gserviceaccount.com"],
        ),
        (
            "{host: {vm: {subnetwork: regions/us-central1/subnetworks/secret}}}",
            NotAllowedByClass,
            "spec.host.vm.subnetwork",
            &["'regions/us-central1/subnetworks/secret'", "it allows regions/us-central1/subnetworks/default"],
        ),
        (
            "{host: {vm: {tags: [team-a, open]}}}",
            NotAllowedByClass,
            "spec.host.vm.tags",
            &["'open'", "notebooks, team-*"],
        ),
        (
            "{host: {vm: {externalAddress: Ephemeral}}}",
            NotAllowedByClass,
            "spec.host.vm.externalAddress",
            &["'Ephemeral'", "it allows None"],
        ),
        (
            "{zones: [europe-west1-b]}",
            NotAllowedByClass,
            "spec.zones",
            &["'europe-west1-b'", "us-central1-a, us-central1-b"],
        ),
        ("{zones: [us-central1-a, us-central1-q]}", NotAllowedByClass, "spec.zones", &["'us-central1-q'"]),
        (
            "{host: {pod: {image: 'docker.io/me/mine:1'}}}",
            NotAllowedByClass,
            "spec.host.pod.image",
            &["'docker.io/me/mine:1'", "quay.io/jupyter/*"],
        ),
        ("{host: {pod: {machineType: m3-ultramem-32}}}", NotAllowedByClass, "spec.host.pod.machineType", &["m3"]),
        (
            "{host: {pod: {gpu: {type: nvidia-l4, count: 1}}}}",
            NotAllowedByClass,
            "spec.host.pod.gpu.type",
            &["'nvidia-l4'"],
        ),
        (
            "{buckets: [{path: a, name: team-a-x}, {path: b, name: team-b-x}]}",
            NotAllowedByClass,
            "spec.buckets[1].name",
            &["'team-b-x'", "it allows team-a-*"],
        ),
        (
            "{source: {repository: 'https://gitlab.com/org/course.git'}}",
            NotAllowedByClass,
            "spec.source.repository",
            &["'https://gitlab.com/org/course.git'", "https://github.com/"],
        ),
    ]);
}

#[test]
fn a_class_that_lists_nothing_allows_nothing() {
    let nothing = "{machineTypes: null, gpus: null, network: null, serviceAccounts: null, images: null, buckets: null}";
    for (spec, field) in [
        ("{host: {vm: {machineType: n1-standard-4}}}", "spec.host.vm.machineType"),
        ("{host: {vm: {gpu: {type: nvidia-tesla-t4, count: 1}}}}", "spec.host.vm.gpu.type"),
        ("{host: {vm: {tags: [a]}}}", "spec.host.vm.tags"),
        ("{host: {vm: {serviceAccount: a@b.c}}}", "spec.host.vm.serviceAccount"),
        ("{host: {vm: {externalAddress: Ephemeral}}}", "spec.host.vm.externalAddress"),
        ("{host: {pod: {image: x}}}", "spec.host.pod.image"),
    ] {
        let says: &[&str] = if spec.contains("Ephemeral") { &["None"] } else { &["it allows none"] };
        check(&story(spec).class(nothing), NotAllowedByClass, field, says);
    }
    check(&story("{}").class(nothing), Refused, "spec.host.vm.machineType", &["class 'default' has no default"]);
    check(
        &story("{host: {pod: {}}}").class("{pods: null}"),
        NotAllowedByClass,
        "spec.host.pod",
        &["virtual machines only"],
    );
    check(&story("{host: {pod: {}}}").class("{images: null}"), ImageMismatch, "spec.host.pod.image", &["no default"]);
    check(
        &story("{host: {vm: {machineType: t2a-standard-4}}}").class("{images: {vm: {arm: null}}}"),
        ImageMismatch,
        "spec.host.vm.bootDisk.image",
        &["no image for Arm machines"],
    );
    // No default for a GPU is no reason to boot it from the image without drivers.
    check(
        &story("{host: {vm: {machineType: g2-standard-8}}}").class("{images: {vm: {gpu: null}}}"),
        ImageMismatch,
        "spec.host.vm.bootDisk.image",
        &["no image for x86 GPU machines"],
    );
}

#[test]
fn what_is_forbidden_is_not_even_asked_for() {
    for spec in [
        "{host: {vm: {bootDisk: {image: projects/elsewhere/global/images/family/mine}}}}",
        "{fallbacks: [{vm: {machineType: m1-ultramem-40}}]}",
        "{zones: [europe-west1-b]}",
    ] {
        assert!(story(spec).needs().is_empty(), "{spec}");
    }
}

#[test]
fn who_may_use_the_class() {
    let mut story = story("{class: gold}");
    story.class = Seen::Absent;
    check(&story, ClassNotFound, "spec.class", &["'gold'"]);
    story.class = Seen::Unknown("the watch is down".into());
    check(&story, CloudUnknown, "spec.class", &["'gold'", "the watch is down"]);
    assert!(story.needs().is_empty());
    story.class = class("{}");
    story.namespace = Seen::Present(NamespaceFacts::default());
    check(&story, NotAllowedByClass, "spec.class", &["'gold'", "'team-a'", "namespaceSelector"]);
    assert!(story.refusal().needs_a_person());
    for namespace in [Seen::Absent, Seen::Unknown("503".into())] {
        story.namespace = namespace;
        check(&story, CloudUnknown, "spec.class", &["namespace"]);
        assert!(!story.refusal().needs_a_person());
    }
    let open = Story { class: class("{namespaceSelector: null}"), ..story };
    open.wish();
    let ends = NamespaceFacts { terminating: true, ..NamespaceFacts::default() };
    let ends = Story { namespace: Seen::Present(ends), ..open };
    check(&ends, Deleting, "metadata.namespace", &["'team-a'"]);
    assert!(!ends.refusal().needs_a_person());
}
