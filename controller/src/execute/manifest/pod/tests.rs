//! The pod's words, as the API reads them and as the guest does.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use k8s_openapi::api::core::v1::{Container, Pod};

use super::*;

fn subject() -> Subject {
    Subject { cluster: "c".into(), namespace: "team-a".into(), name: "taxi".into(), uid: "uid-1".into() }
}

fn shape() -> PodShape {
    PodShape {
        image: "jupyter:1".into(),
        cpu_milli: 2000,
        memory_bytes: 8 << 30,
        shared_memory_bytes: 4 << 30,
        ..PodShape::default()
    }
}

fn made(role: PodRole, shape: PodShape) -> Pod {
    let plan = PodPlan {
        name: "taxi-t1-a1".into(),
        role,
        mounts_buckets: !shape.buckets.is_empty(),
        shape,
        claim: (role == PodRole::Host).then(|| "the-home".into()),
        node: None,
        reach: None,
        labels: std::collections::BTreeMap::new(),
    };
    serde_json::from_value(pod(&subject(), &plan)).expect("a pod")
}

/// What the scheduler counts: the larger of the containers together and of each that runs before them.
fn effective(pod: &Pod, resource: &str) -> Option<u64> {
    let spec = pod.spec.as_ref().unwrap();
    let asked = |container: &Container| {
        let quantity = container.resources.as_ref()?.requests.as_ref()?.get(resource)?.0.clone();
        if resource == "cpu" { crate::watch::slim::millis(&quantity) } else { crate::watch::slim::bytes(&quantity) }
    };
    let together = spec.containers.iter().filter_map(asked).sum::<u64>();
    spec.init_containers.iter().flatten().filter_map(asked).chain([together]).max().filter(|sum| *sum > 0)
}

#[test]
fn a_placeholder_takes_exactly_the_place_of_its_pod() {
    let small = PodShape { cpu_milli: 100, memory_bytes: 64 << 20, ..shape() };
    for shape in [shape(), small] {
        let (host, place) = (made(PodRole::Host, shape.clone()), made(PodRole::Placeholder, shape));
        for resource in ["cpu", "memory"] {
            assert_eq!(effective(&host, resource), effective(&place, resource), "{resource}");
        }
        assert!(place.spec.unwrap().volumes.is_none(), "it keeps a place, and nothing else");
    }
}

#[test]
fn each_container_is_restricted_and_guaranteed_its_amounts() {
    let spec = made(PodRole::Host, shape()).spec.unwrap();
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    for container in all {
        let security = container.security_context.as_ref().unwrap();
        assert_eq!(security.allow_privilege_escalation, Some(false));
        assert_eq!(security.capabilities.as_ref().unwrap().drop.as_deref(), Some(&["ALL".to_owned()][..]));
        let resources = container.resources.as_ref().unwrap();
        assert_eq!(resources.requests, resources.limits);
    }
    let security = spec.security_context.unwrap();
    assert_eq!(
        (security.run_as_non_root, security.run_as_user, security.fs_group),
        (Some(true), Some(1000), Some(1000))
    );
}

fn with_buckets() -> PodShape {
    let bucket = |path: &str, prefix: Option<&str>, read_only| GuestBucket {
        path: path.into(),
        name: "team-a-data".into(),
        prefix: prefix.map(str::to_owned),
        read_only,
    };
    let buckets = vec![bucket("data", Some("taxi/"), true), bucket("results/2026", None, false)];
    PodShape { buckets, source_secret: "deploy-key".into(), ..shape() }
}

#[test]
fn buckets_are_volumes_and_the_credentials_a_secret_that_may_be_missing() {
    let pod = made(PodRole::Host, with_buckets());
    let spec = pod.spec.unwrap();
    let volumes = spec.volumes.unwrap();
    let csi: Vec<_> = volumes.iter().filter_map(|volume| volume.csi.clone()).collect();
    assert_eq!(csi.len(), 2);
    assert_eq!((csi[0].driver.as_str(), csi[0].read_only, csi[1].read_only), (BUCKET_DRIVER, Some(true), Some(false)));
    let attributes = csi[0].volume_attributes.as_ref().unwrap();
    assert_eq!(attributes["bucketName"], "team-a-data");
    assert_eq!(attributes["mountOptions"], "implicit-dirs,uid=1000,gid=1000,file-mode=664,dir-mode=775,only-dir=taxi");
    let secret = volumes.iter().find_map(|volume| volume.secret.clone()).unwrap();
    assert_eq!((secret.secret_name.as_deref(), secret.optional), (Some("deploy-key"), Some(true)));
    let places: Vec<_> =
        spec.containers[0].volume_mounts.as_ref().unwrap().iter().map(|mount| mount.mount_path.clone()).collect();
    for place in ["/home/jupyter/data", "/home/jupyter/results/2026", POD_CREDENTIALS] {
        assert!(places.iter().any(|mounted| mounted == place), "{place}: {places:?}");
    }
    assert!(
        spec.init_containers.unwrap()[0].volume_mounts.as_ref().unwrap().iter().all(|mount| mount.name != "source")
    );
    assert_eq!(pod.metadata.annotations.unwrap()["gke-gcsfuse/volumes"], "true");
}

/// What the cluster adds to the real pod asks for what the annotations say.
#[test]
fn the_place_of_what_mounts_the_buckets_is_kept_too() {
    let (host, place) = (made(PodRole::Host, with_buckets()), made(PodRole::Placeholder, with_buckets()));
    let added = host.metadata.annotations.as_ref().unwrap();
    let cpu = crate::watch::slim::millis(&added["gke-gcsfuse/cpu-request"]).unwrap();
    assert_eq!(effective(&place, "cpu"), effective(&host, "cpu").map(|own| own + cpu));
    assert!(!place.metadata.annotations.unwrap().contains_key("gke-gcsfuse/volumes"), "it mounts nothing");
}

/// The folders are those that the guest itself uses.
#[test]
fn what_is_mounted_is_where_the_guest_looks() {
    let guest = [
        include_str!("../../../../guest/rehost_guest/pod.py"),
        include_str!("../../../../guest/rehost_guest/paths.py"),
        include_str!("../../../../guest/start.py"),
    ]
    .concat();
    for (place, written) in [
        (SETTINGS, format!("Path(\"{SETTINGS}/settings.json\")")),
        (DISK, format!("Path(\"{DISK}\")")),
        (RUN, "self.root / \"run/rehost\"".to_owned()),
        (RUN, format!("Path(\"{RUN}/guest\")")),
        (HOME, "self.root / \"home/jupyter\"".to_owned()),
    ] {
        assert!(guest.contains(&written), "the guest does not name {place} as {written}");
    }
    let spec = made(PodRole::Host, shape()).spec.unwrap();
    let names: Vec<_> = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
    let mounts = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    for mount in mounts.flat_map(|container| container.volume_mounts.iter().flatten()) {
        assert!(names.contains(&mount.name.as_str()), "{} is mounted and not there", mount.name);
    }
    let home = spec.containers[0].volume_mounts.as_ref().unwrap().iter().find(|mount| mount.name == "home").unwrap();
    assert_eq!(home.sub_path.as_deref(), Some("home"), "what lies beside the home is out of the person's way");
}
