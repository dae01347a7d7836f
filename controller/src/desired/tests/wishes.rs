//! The rest of what is wanted: power, requests, times, what is not acted on, and deletion.

use std::sync::Arc;

use rehost_api::labels;
use rehost_api::notebook::LifetimeAction;
use rehost_api::shape::HostShape;

use super::{file, story, yaml};
use crate::desired::{Clock, HomePolicy, Lifetime, Power, Requests, Turn, When};
use crate::seen::Seen;

#[test]
fn whose_it_is() {
    let mut story = story("{}");
    let resolution = story.resolve();
    let subject = &resolution.subject;
    assert_eq!((subject.cluster.as_str(), subject.namespace.as_str()), ("cluster-1", "team-a"));
    assert_eq!((subject.name.as_str(), subject.uid.as_str(), resolution.generation), ("taxi", "u-1", 3));
    assert!(!resolution.finalizer && resolution.deletion.is_none());
    story.notebook.metadata.finalizers = Some(vec!["other/one".into()]);
    assert!(!story.resolve().finalizer);
    story.notebook.metadata.finalizers = Some(vec!["other/one".into(), labels::FINALIZER.into()]);
    assert!(story.resolve().finalizer);
}

#[test]
fn the_samples_are_wanted_as_they_stand() {
    for (path, text, disk_type) in [
        ("config/samples/vm-notebook.yaml", "n1-standard-4", "pd-balanced"),
        ("config/samples/pod-notebook.yaml", "500m cpu, 2Gi", "pd-balanced"),
    ] {
        let mut story = story("{}");
        let sample = serde_json::from_value(yaml(&file("config/samples/class.yaml"))).expect("a class");
        story.class = Seen::Present(Arc::new(sample));
        story.notebook = serde_json::from_value(yaml(&file(path))).expect("a notebook");
        let wish = story.wish();
        assert_eq!((wish.host.shape.text().as_str(), wish.home.disk_type.as_str()), (text, disk_type), "{path}");
        assert_eq!(wish.not_acted_on_yet, Vec::<String>::new(), "{path}");
    }
}

#[test]
fn power_and_requests() {
    let mut story = story("{state: Stopped}");
    let annotations = [(labels::WAKE, "1"), (labels::STOP, "2"), (labels::RESTART, "3"), ("other", "4")];
    story.notebook.metadata.annotations =
        Some(annotations.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    let resolution = story.resolve();
    assert_eq!(resolution.power, Power::Stopped);
    let requests = Requests { wake: Some("1".into()), stop: Some("2".into()), restart: Some("3".into()) };
    assert_eq!(resolution.requests, requests);
    let resolution = super::story("{}").resolve();
    assert_eq!((resolution.power, resolution.requests), (Power::Running, Requests::default()));
}

#[test]
fn changes_of_host() {
    let given = "{defaults: {resize: {when: NextStop, how: InPlace, keepOld: 1h}}, stoppedHostKeep: 2d}";
    for (spec, class, when, in_place, keep_old_s, keep_stopped_s) in [
        ("{}", "{}", When::Now, false, 900, 604_800),
        ("{}", given, When::NextStop, true, 3600, 172_800),
        ("{resize: {when: Now, how: Handover, keepOld: 0s}}", given, When::Now, false, 0, 172_800),
        ("{resize: {when: Idle}}", "{}", When::Idle { after_s: 300 }, false, 900, 604_800),
        ("{resize: {when: Idle}, idle: {after: 2m}}", "{}", When::Idle { after_s: 120 }, false, 900, 604_800),
        ("{resize: {when: Idle}, idle: {after: 2h}}", "{}", When::Idle { after_s: 300 }, false, 900, 604_800),
    ] {
        let wish = story(spec).class(class).wish();
        let got = (wish.when, wish.in_place, wish.keep_old_s, wish.keep_stopped_s);
        assert_eq!(got, (when, in_place, keep_old_s, keep_stopped_s), "{spec}");
    }
    let wish = story("{resize: {when: Window, window: {schedule: 0 2 * * *, duration: 2h}}}").wish();
    assert!(matches!(wish.when, When::Window(window) if window.duration_s == 7200));
    assert!(story("{}").wish().return_on_stockout);
    assert!(!story("{resize: {onStockout: Wait}}").wish().return_on_stockout);
}

#[test]
fn what_a_host_offers_and_when_it_is_idle() {
    let spec = "{buckets: [{path: data, name: team-a-data, prefix: taxi/, readOnly: true}],
        source: {repository: 'git@github.com:org/course.git', ref: main, credentials: {secretManager: projects/p/secrets/s}},
        idle: {after: 90m}}";
    let wish = story(spec).class("{sourcePrefixes: ['git@github.com:']}").wish();
    let [bucket] = &wish.content.buckets[..] else { panic!("{:?}", wish.content) };
    assert_eq!(
        (bucket.name.as_str(), bucket.prefix.as_deref(), bucket.read_only),
        ("team-a-data", Some("taxi/"), true)
    );
    let source = wish.content.source.unwrap();
    assert_eq!((source.path.as_str(), source.reference.as_deref()), ("course", Some("main")));
    assert_eq!(source.secret.as_deref(), Some("projects/p/secrets/s"));
    assert_eq!(wish.idle.map(|idle| idle.after_s), Some(5400));
    let given = "{defaults: {idle: {after: 2h}}}";
    assert_eq!(story("{}").class(given).wish().idle.map(|idle| idle.after_s), Some(7200));
    assert_eq!(story("{idle: {after: 1h}}").class(given).wish().idle.map(|idle| idle.after_s), Some(3600));
    assert_eq!(story("{}").wish().idle, None);
}

#[test]
fn the_clock_is_known_even_where_the_wish_is_refused() {
    let spec = "{storage: {size: 100GB}, schedule: {start: 0 8 * * 1-5, stop: 0 20 * * *, timeZone: Europe/Lisbon}}";
    let class = "{defaults: {lifetime: {after: 4h, then: Release}, deletionPolicy: Delete}}";
    let resolution = story(spec).class(class).resolve();
    assert!(resolution.wish.is_err());
    let schedule = resolution.clock.schedule.unwrap();
    // A Friday afternoon, and a Saturday night.
    let last = |after: &str, now: &str| schedule.last(after.parse().unwrap(), now.parse().unwrap());
    let stop = Some(("2026-07-03T19:00:00Z".parse().unwrap(), Turn::Stop));
    assert_eq!(last("2026-07-03T12:00:00Z", "2026-07-04T12:00:00Z"), stop);
    assert_eq!(last("2026-07-03T19:00:00Z", "2026-07-04T12:00:00Z"), None);
    let next = schedule.next("2026-07-03T19:00:00Z".parse().unwrap()).unwrap();
    assert_eq!(next.to_string(), "2026-07-04T19:00:00Z");
    let lifetime = Lifetime { after_s: 14_400, then: LifetimeAction::Release, home: HomePolicy::Delete };
    assert_eq!(resolution.clock.lifetime, Some(lifetime));
    let own = story("{lifetime: {after: 1h}, storage: {deletionPolicy: Retain}}").class(class).resolve().clock.lifetime;
    let own = own.map(|own| (own.after_s, own.then, own.home));
    assert_eq!(own, Some((3600, LifetimeAction::Release, HomePolicy::Retain)));
    assert_eq!(story("{}").resolve().clock, Clock::default());
}

#[test]
fn address_and_currency() {
    let wish = story("{}").class("{access: {domain: notebooks.example.org}, prices: {currency: EUR}}").wish();
    assert_eq!(wish.url.as_deref(), Some("https://taxi-team-a.notebooks.example.org"));
    assert_eq!(wish.prices.map(|prices| prices.currency).as_deref(), Some("EUR"));
    let wish = story("{}").wish();
    assert_eq!((wish.url, wish.prices), (None, None));
}

#[test]
fn every_field_that_is_not_acted_on_is_listed() {
    for (spec, lines) in [
        ("{}", &[][..]),
        ("{host: {pod: {}}}", &[]),
        ("{host: {vm: {shielded: {vtpm: true}}}, resize: {when: NextStop}, storage: {deletionPolicy: Delete}}", &[]),
        ("{host: {vm: {provisioning: Spot, onPreemption: Stop, maxRunDuration: 8h, reservation: r}}}", &[]),
        ("{storage: {deletionPolicy: Snapshot}}", &["spec.storage.deletionPolicy: Snapshot keeps the disk"]),
        ("{storage: {backups: {schedule: 0 3 * * *}}}", &["spec.storage.backups"]),
        ("{buckets: [{path: data, name: team-a-data}], source: {repository: 'https://github.com/org/x'}}", &[]),
        ("{host: {pod: {}}, buckets: [{path: data, name: team-a-data}]}", &[]),
        ("{host: {pod: {}}, source: {repository: 'https://github.com/org/x', credentials: {secret: key}}}", &[]),
        ("{host: {pod: {}}, source: {repository: 'https://github.com/org/x'}}", &[]),
        (
            "{source: {repository: 'https://github.com/org/x', credentials: {secret: key}}}",
            &["spec.source.credentials.secret"],
        ),
        ("{resize: {when: Idle}}", &[]),
        ("{resize: {when: Window, window: {schedule: 0 2 * * *, duration: 2h}}}", &[]),
        ("{idle: {after: 90m}}", &[]),
        ("{idle: {after: 90m, then: Suspend}}", &[]),
        ("{idle: {then: Stop}}", &["spec.idle: nothing says after how long"]),
        ("{host: {pod: {}}, idle: {after: 90m, then: Suspend}}", &[]),
        ("{host: {pod: {}}, fallbacks: [{vm: {}}], idle: {after: 90m, then: Suspend}}", &[]),
        ("{schedule: {stop: 0 20 * * 1-5}}", &[]),
        ("{lifetime: {after: 4h}}", &[]),
        ("{lifetime: {then: Release}}", &["spec.lifetime: nothing says after how long"]),
    ] {
        let listed = story(spec).wish().not_acted_on_yet;
        assert_eq!(listed.len(), lines.len(), "{spec}: {listed:?}");
        for (listed, line) in listed.iter().zip(lines) {
            assert!(listed.starts_with(line), "{spec}: {listed}");
        }
    }
}

#[test]
fn what_the_class_gives_is_listed_as_its_own() {
    let class = "{defaults: {idle: {after: 90m, then: Suspend}, lifetime: {after: 4h}, backups: {schedule: 0 3 * * *},
        deletionPolicy: Snapshot, resize: {when: Idle}}}";
    let listed = story("{}").class(class).wish().not_acted_on_yet;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed.iter().all(|line| line.contains("(of class default)")), "{listed:?}");
    let own = "{idle: {after: 1h}, lifetime: {after: 1h}, resize: {when: Now}, storage: {deletionPolicy: Retain}}";
    let listed = story(own).class(class).wish().not_acted_on_yet;
    assert_eq!(listed.iter().filter(|line| line.contains("(of class default)")).count(), 1, "{listed:?}");
}

#[test]
fn what_a_class_says_of_its_namespaces_and_names_is_listed_while_nobody_acts_on_it() {
    let class = "{limits: {runningNotebooks: 3}, adoptByName: true}";
    let listed = story("{}").class(class).wish().not_acted_on_yet;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed[0].starts_with("spec.class: the limits of class 'default'"), "{listed:?}");
    assert!(listed[1].starts_with("spec.class: class 'default' adopts by name"), "{listed:?}");
}

#[test]
fn the_type_of_a_claim_is_its_storage_classes() {
    let claim = story("{host: {pod: {}}, storage: {type: pd-ssd}}").class("{pods: {homes: Claim}}").home(|home| {
        home.claim = true;
        home.disk_type = String::new();
    });
    let wish = claim.wish();
    assert!(wish.not_acted_on_yet[0].starts_with("spec.storage.type"), "{:?}", wish.not_acted_on_yet);
    assert_eq!(wish.home.disk_type, "");
}

#[test]
fn deletion_goes_by_policy_even_without_a_class() {
    let since = "2026-01-01T00:00:00Z".parse().expect("a time");
    for (spec, class, policy) in [
        ("{}", Some("{}"), HomePolicy::Retain),
        ("{}", Some("{defaults: {deletionPolicy: Delete}}"), HomePolicy::Delete),
        ("{storage: {deletionPolicy: Retain}}", Some("{defaults: {deletionPolicy: Delete}}"), HomePolicy::Retain),
        ("{storage: {deletionPolicy: Snapshot}}", Some("{}"), HomePolicy::Retain),
        ("{}", Some("{defaults: {deletionPolicy: Snapshot}}"), HomePolicy::Retain),
        ("{storage: {deletionPolicy: Delete}}", None, HomePolicy::Delete),
        ("{}", None, HomePolicy::Retain),
    ] {
        let mut story = story(spec);
        story.class = class.map_or(Seen::Unknown("503".into()), super::class);
        story.notebook.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(since));
        let deletion = story.resolve().deletion.expect("a deletion");
        assert_eq!((deletion.since, deletion.policy), (since, policy), "{spec} {class:?}");
        assert!(story.needs().is_empty());
    }
}

#[test]
fn buckets_and_the_credentials_of_a_repository_are_a_part_of_a_pod_and_not_of_a_vm() {
    let spec = "{fallbacks: [{pod: {}}], buckets: [{path: data, name: team-a-data}],
        source: {repository: 'https://github.com/org/x', credentials: {secret: key}}}";
    let wish = story(spec).wish();
    let HostShape::Pod(shape) = &wish.host.fallbacks[0] else { panic!("a pod") };
    assert_eq!((shape.buckets.clone(), shape.source_secret.as_str()), (wish.content.buckets, "key"));
    assert_eq!(wish.host.digest, story("{fallbacks: [{pod: {}}]}").wish().host.digest, "no part of what is pinned");
}

#[test]
fn a_prefix_that_a_pod_cannot_mount_is_refused_for_pods_only() {
    let buckets = "buckets: [{path: data, name: team-a-data, prefix: 'a,b/'}]";
    assert!(story(&format!("{{{buckets}}}")).resolve().wish.is_ok());
    let refusal = story(&format!("{{host: {{pod: {{}}}}, {buckets}}}")).resolve().wish.unwrap_err();
    assert_eq!(refusal.field, "spec.buckets[0].prefix");
    assert!(refusal.message.contains("'a,b/' has a comma"), "{}", refusal.message);
}
