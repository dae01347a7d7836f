//! What was resolved stays: only other words of the spec resolve it again (invariant 12).

use rehost_api::conditions::Reason;

use super::{Story, check, class, story};
use crate::desired::{Facts, NamespaceFacts, WishedHost};
use crate::seen::Seen;

const SPEC: &str =
    "{zones: [us-central1-a, us-central1-b], host: {vm: {machineType: n1-standard-8}}, fallbacks: [{pod: {}}]}";

/// A notebook that runs, with its home and its hosts on record.
fn running() -> Story {
    story(SPEC).home(|_| {}).remembered()
}

#[test]
fn nothing_but_words_resolves_again() {
    let first = running().wish().host;
    let others: Vec<(&str, Story)> = vec![
        ("no facts", running().facts(|facts| *facts = Facts::default())),
        ("a stricter class", running().class("{machineTypes: {default: null, allowed: null}, images: null}")),
        ("a class with another zone", running().class("{zones: [us-central1-b]}")),
        ("a class for other namespaces", Story { namespace: Seen::Present(NamespaceFacts::default()), ..running() }),
        ("a namespace that cannot be seen", Story { namespace: Seen::Unknown("503".into()), ..running() }),
        ("the order of zones", running().edit("{zones: [us-central1-b, us-central1-a]}")),
        (
            "a larger home, other buckets, stopped",
            running().edit("{state: Stopped, storage: {size: 1Ti}, buckets: []}"),
        ),
    ];
    for (what, story) in others {
        assert!(story.needs().is_empty(), "{what}");
        assert_eq!(story.wish().host, first, "{what}");
    }
    // Another image is another image only for the next new words.
    let moved = |story: Story| {
        story.facts(|facts| {
            for image in facts.images.values_mut() {
                if let Seen::Present(image) = image {
                    image.link = "projects/demo-project/global/images/newer".into();
                }
            }
        })
    };
    assert_eq!(moved(running()).wish().host, first);
    let edited = moved(running()).edit("{host: {vm: {machineType: n1-standard-4}}}");
    assert!(!edited.needs().is_empty());
    assert_eq!(edited.vm().boot_image, "projects/demo-project/global/images/newer");
}

#[test]
fn other_words_do() {
    let first = running().wish().host.digest;
    for edit in [
        "{class: other}",
        "{host: {vm: {machineType: n1-standard-4}}}",
        "{host: {vm: {labels: {a: b}}}}",
        "{fallbacks: []}",
        "{fallbacks: [{pod: {}}, {vm: {}}]}",
    ] {
        let story = running().edit(edit);
        assert!(!story.needs().machine_types.is_empty(), "{edit}");
        assert_ne!(story.wish().host.digest, first, "{edit}");
    }
    let elsewhere = running().home(|home| home.zone = "us-central1-b".into());
    assert_ne!(elsewhere.wish().host.digest, first);
}

#[test]
fn the_default_class_is_the_same_word_as_its_name() {
    let digest = |spec: &str| story(spec).wish().host.digest;
    assert_eq!(digest("{}"), digest("{class: default}"));
    assert_eq!(digest("{}"), digest("{state: Stopped, resize: {when: NextStop}}"));
    assert_ne!(digest("{}"), digest("{host: {vm: {}}}"));
}

/// A change of what is written here would re-host every notebook at the next version.
#[test]
fn digests_are_for_ever() {
    assert_eq!(story("{}").wish().host.digest, "96cf261b9b3fa8c7");
    assert_eq!(running().wish().host.digest, "4c10f8c843122c6b");
}

#[test]
fn the_record_of_a_home_changes_no_digest() {
    for (spec, claim, zone) in [("{}", false, "us-central1-a"), ("{host: {pod: {}}}", true, "")] {
        let story = story(spec).class(if claim { "{pods: {homes: Claim}}" } else { "{}" });
        let before = story.wish().host;
        let after = story.remembered().home(|home| {
            home.claim = claim;
            home.zone = zone.into();
        });
        assert_eq!(after.wish().host, before);
        assert!(after.needs().is_empty());
    }
}

#[test]
fn a_pinned_host_keeps_its_home_as_it_is() {
    // The recorded type is not held against the table again, nor the project against the class.
    let mut odd = running().home(|home| {
        home.disk_type = "pd-older".into();
        home.project = "old-project".into();
    });
    // A status of an earlier version does not say of which type the home is to be.
    odd.status().resolved.as_mut().expect("it is remembered").home_type.clear();
    let home = odd.wish().home;
    assert_eq!((home.disk_type.as_str(), home.project.as_str()), ("pd-older", "old-project"));
    // What the spec asks of the home is.
    assert_eq!(running().edit("{storage: {type: pd-ssd}}").wish().home.disk_type, "pd-ssd");
    let n1 = running().edit("{storage: {type: hyperdisk-balanced}}");
    check(&n1, Reason::DiskTypeMismatch, "spec.storage.type", &["'hyperdisk-balanced'", "n1-standard-8", "pd-ssd"]);
    // A copy that is under way leads to the type that was resolved when it began.
    let mut converting = running();
    converting.status().resolved.as_mut().expect("it is remembered").home_type = "pd-ssd".into();
    assert_eq!(converting.wish().home.disk_type, "pd-ssd");
}

#[test]
fn content_is_held_against_the_class_each_time_but_not_to_stop() {
    let bucket = "{buckets: [{path: data, name: team-a-data}]}";
    running().edit(bucket).wish();
    let stricter = || running().edit(bucket).class("{buckets: null}");
    check(&stricter(), Reason::NotAllowedByClass, "spec.buckets[0].name", &["'team-a-data'", "it allows none"]);
    stricter().edit("{state: Stopped}").wish();
}

#[test]
fn a_class_that_is_gone_is_said_even_of_what_is_pinned() {
    let mut story = running();
    story.class = Seen::Absent;
    check(&story, Reason::ClassNotFound, "spec.class", &["'default'"]);
    story.class = class("{}");
    let WishedHost { fallbacks, .. } = story.wish().host;
    assert_eq!(fallbacks.len(), 1);
}
