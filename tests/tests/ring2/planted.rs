//! Each oracle is shown the fault that it is there for, and it alone must speak.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use rehost_api::Notebook;
use rehost_tests::sim::scene::NotebookScene;
use rehost_tests::sim::{Act, Extent, Failed, NAME, NAMESPACE, PROJECT, Run, Settings, ZONE, chapters, simulate, tell};
use rehost_tests::world::hand::Status;
use rehost_tests::world::{GuestFault, Method, Request};
use serde_json::{Value, json};

/// Tells the first chapter, then does the deed; those oracles, and no others, must have spoken.
fn caught_by<F>(oracle: &str, deed: impl FnOnce(Arc<Run>) -> F)
where
    F: Future<Output = ()>,
{
    let settings = Settings { check_shapes: true, ..Settings::default() };
    let outcome = simulate(settings, |run| async move {
        run.start_controller();
        tell(&run, NAME, &chapters(Extent::Machines)[..1]).await?;
        deed(run).await;
        Ok(())
    });
    let accusers: BTreeSet<&str> = outcome.violations.iter().map(|violation| violation.oracle).collect();
    assert_eq!(accusers, BTreeSet::from([oracle]), "{}", outcome.report("this test"));
    assert_eq!(outcome.failed, None);
}

fn notebook(run: &Run) -> NotebookScene {
    let scene = run.shared().scene();
    scene.cluster.notebooks.iter().find(|one| one.name == NAME).cloned().expect("the notebook")
}

fn host(run: &Run) -> String {
    notebook(run).status.host.expect("a host").name
}

fn home(run: &Run) -> String {
    notebook(run).status.home.expect("a home").disk
}

fn request(method: Method, path: &str, body: Option<Value>) -> Request {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let query = query.split('&').filter_map(|pair| pair.split_once('='));
    let query = query.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Request { method, path: format!("projects/{PROJECT}/zones/{ZONE}/{path}"), query, body }
}

fn labels(run: &Run, role: &str) -> Value {
    json!({
        "rehost-cluster": "sim", "rehost-uid": notebook(run).uid, "rehost-namespace": NAMESPACE, "rehost-name": NAME,
        "rehost-transition": "t9", "rehost-role": role,
    })
}

fn machine(name: &str, labels: &Value) -> Value {
    json!({
        "name": name,
        "machineType": format!("zones/{ZONE}/machineTypes/n1-standard-1"),
        "labels": labels,
        "disks": [{"boot": true, "autoDelete": true, "initializeParams": {
            "sourceImage": format!("projects/{PROJECT}/global/images/family/notebook-cpu"), "diskSizeGb": "20"}}],
        "networkInterfaces": [{"network": "global/networks/default"}],
    })
}

fn notebooks(run: &Run) -> Api<Notebook> {
    Api::namespaced(run.forging_client(), NAMESPACE)
}

/// A controller that makes up names as it goes makes a second machine when it does not see its first.
#[test]
fn a_host_that_no_record_names_is_seen_by_hosts() {
    caught_by("hosts", |run| async move {
        let body = machine("stray", &labels(&run, "host"));
        let answer = run.forge_in_cloud(&request(Method::Post, "instances", Some(body)));
        assert_eq!(answer.status, 200, "{}", answer.body);
    });
}

/// A disk that was ordered before it was recorded, and forgotten.
#[test]
fn a_disk_that_no_record_names_is_seen_by_accounts() {
    caught_by("accounts", |run| async move {
        let body = json!({"name": "stray", "sizeGb": "10", "labels": labels(&run, "home")});
        let answer = run.forge_in_cloud(&request(Method::Post, "disks", Some(body)));
        assert_eq!(answer.status, 200, "{}", answer.body);
        run.wait(Duration::from_secs(30)).await;
        run.shared().rests();
    });
}

/// A snapshot that a copy was made from, and forgotten.
#[test]
fn a_snapshot_that_is_left_of_a_copy_is_seen_by_accounts() {
    caught_by("accounts", |run| async move {
        let body = json!({"name": "stray", "labels": labels(&run, "copy")});
        let answer =
            run.forge_in_cloud(&request(Method::Post, &format!("disks/{}/createSnapshot", home(&run)), Some(body)));
        assert_eq!(answer.status, 200, "{}", answer.body);
        run.wait(Duration::from_secs(30)).await;
        run.shared().rests();
    });
}

/// A name that is the same is taken for ownership.
#[test]
fn a_change_of_what_is_others_is_seen_by_ownership() {
    caught_by("ownership", |run| async move {
        let body = machine("somebodys", &json!({"team": "b"}));
        run.with_world(|world| {
            let made = world.handle(world.now(), &request(Method::Post, "instances", Some(body)));
            assert_eq!(made.status, 200, "{}", made.body);
        });
        run.wait(Duration::from_mins(1)).await;
        let answer = run.forge_in_cloud(&request(Method::Delete, "instances/somebodys", None));
        assert_eq!(answer.status, 200, "{}", answer.body);
    });
}

/// What sleeps is changed as if it were stopped.
#[test]
fn a_change_of_what_sleeps_is_seen_by_sleepers() {
    caught_by("sleepers", |run| async move {
        let name = host(&run);
        let asked = request(Method::Post, &format!("instances/{name}/suspend"), None);
        run.with_world(|world| assert_eq!(world.handle(world.now(), &asked).status, 200));
        let sleeps = || run.shared().scene().cloud.vms.values().any(|vm| vm.status == Status::Suspended);
        while !sleeps() {
            run.wait(Duration::from_millis(50)).await;
        }
        run.forge_in_cloud(&request(Method::Post, &format!("instances/{name}/setMetadata"), Some(json!({}))));
    });
}

/// The disk is detached in haste, before the guest has let go of it.
#[test]
fn a_disk_torn_out_is_seen_by_content() {
    caught_by("content", |run| async move {
        let path = format!("instances/{}/detachDisk?deviceName=home", host(&run));
        let answer = run.forge_in_cloud(&request(Method::Post, &path, None));
        assert_eq!(answer.status, 200, "{}", answer.body);
        // What a person has just written is still in the machine's memory when the disk goes.
        for _ in 0..60 {
            let name = host(&run);
            run.with_world(|world| world.guest_write(ZONE, &name, b"a cell"));
            run.wait(Duration::from_millis(100)).await;
        }
    });
}

/// The disk that is kept is another one of the same name.
#[test]
fn another_disk_kept_in_its_place_is_seen_by_content() {
    caught_by("content", |run| async move {
        let name = home(&run);
        let body = json!({"name": name, "sizeGb": "100", "labels": labels(&run, "kept")});
        run.act(NAME, &Act::Delete).unwrap();
        run.wait(Duration::from_mins(3)).await;
        let send = |method, path: &str, body| {
            let answer = run.with_world(|world| world.handle(world.now(), &request(method, path, body)));
            assert_eq!(answer.status, 200, "{}", answer.body);
        };
        send(Method::Delete, &format!("disks/{name}"), None);
        run.wait(Duration::from_mins(1)).await;
        send(Method::Post, "disks", Some(body));
        run.wait(Duration::from_mins(1)).await;
    });
}

/// The controller writes although there is nothing to write.
#[test]
fn a_write_at_rest_is_seen_by_stillness() {
    caught_by("stillness", |run| async move {
        let events = ApiResource::from_gvk(&GroupVersionKind::gvk("events.k8s.io", "v1", "Event"));
        let api: Api<DynamicObject> = Api::namespaced_with(run.forging_client(), NAMESPACE, &events);
        let event: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": "hello", "namespace": NAMESPACE},
            "eventTime": "2026-03-02T12:00:00.000000Z", "type": "Normal", "action": "Reconcile", "reason": "StillHere",
            "reportingController": "rehost.dev/controller", "reportingInstance": "rehost-0",
            "regarding": {"kind": "Notebook", "namespace": NAMESPACE, "name": NAME}, "note": "nothing new",
        }))
        .unwrap();
        let told = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(30)).await;
            api.create(&PostParams::default(), &event).await.expect("the event is taken");
        });
        // It stops where the oracle speaks, which is what is wanted.
        let _ = run.still(NAME, "planted").await;
        told.await.unwrap();
    });
}

/// A timer that goes off for nothing costs looks.
#[test]
fn a_look_without_a_cause_is_seen_by_idle_looks() {
    caught_by("idle looks", |run| async move {
        let waking = run.clone();
        let waker = tokio::spawn(async move {
            // Once the sweeps have seen the end of what was before: until then a look has a cause.
            tokio::time::sleep(Duration::from_secs(45)).await;
            waking.wake_for_nothing(NAME);
        });
        let _ = run.still(NAME, "planted").await;
        waker.await.unwrap();
    });
}

/// The finalizer goes when the deletion of the machine was ordered, not when the machine is gone.
#[test]
fn a_finalizer_dropped_too_soon_is_seen_by_finalizer() {
    caught_by("finalizer", |run| async move {
        run.act(NAME, &Act::Delete).unwrap();
        run.wait(Duration::from_secs(20)).await;
        let patch = Patch::Merge(json!({"metadata": {"finalizers": []}}));
        notebooks(&run).patch(NAME, &PatchParams::default(), &patch).await.expect("the patch is taken");
    });
}

/// The finalizer is held although everything is gone: here because somebody else's hand keeps putting it back.
#[test]
fn a_finalizer_held_too_long_is_seen_by_finalizer() {
    caught_by("finalizer", |run| async move {
        run.act(NAME, &Act::Delete).unwrap();
        run.wait(Duration::from_secs(2)).await;
        // A controller that hangs: it is not there any more when the machine is gone.
        run.wait(Duration::from_secs(5)).await;
        run.crash().await;
        run.wait(Duration::from_mins(5)).await;
        run.shared().stepped();
    });
}

/// Defaults are written into the spec, and GitOps sees drift for ever.
#[test]
fn a_written_spec_is_seen_by_words() {
    caught_by("words", |run| async move {
        let patch = Patch::Merge(json!({"spec": {"resize": {"keepOld": "60s"}}}));
        notebooks(&run).patch(NAME, &PatchParams::default(), &patch).await.expect("the patch is taken");
    });
}

/// A machine is stopped and nobody can say why.
#[test]
fn a_stop_without_a_reason_is_seen_by_reasons() {
    caught_by("reasons", |run| async move {
        let path = format!("instances/{}/stop", host(&run));
        let answer = run.forge_in_cloud(&request(Method::Post, &path, None));
        assert_eq!(answer.status, 200, "{}", answer.body);
    });
}

/// Status says what is not so.
#[test]
fn a_lie_in_status_is_seen_by_truth() {
    caught_by("truth", |run| async move {
        let patch = Patch::Merge(json!({"status": {"host": {"machineType": "n1-standard-64"}}}));
        notebooks(&run).patch_status(NAME, &PatchParams::default(), &patch).await.expect("the patch is taken");
        run.wait(Duration::from_secs(30)).await;
        run.shared().rests();
    });
}

/// A request that the discovery document does not know.
#[test]
fn a_field_that_does_not_exist_is_seen_by_shapes() {
    caught_by("shapes", |run| async move {
        let path = format!("disks/{}/resize", home(&run));
        run.forge_in_cloud(&request(Method::Post, &path, Some(json!({"sizeInGigabytes": 200}))));
    });
}

/// What does not come about in its time is the story's to say.
#[test]
fn a_machine_that_never_boots_is_too_late() {
    let outcome = simulate(Settings::default(), |run| async move {
        run.with_world(|world| world.fail_guest("rehost-*", GuestFault::BootNever, 1));
        run.start_controller();
        tell(&run, NAME, &chapters(Extent::Machines)[..1]).await
    });
    assert!(outcome.failed.as_deref().is_some_and(|words| words.contains("not within")), "{:?}", outcome.failed);
    assert!(outcome.violations.is_empty(), "{}", outcome.report("this test"));
}

/// A task that panics takes its look with it, silently but for this.
#[test]
fn a_panic_anywhere_is_a_failure() {
    let outcome = simulate(Settings::default(), |_run| async move {
        let died = tokio::spawn(async { panic!("planted") }).await;
        assert!(died.is_err());
        Ok::<(), Failed>(())
    });
    assert!(outcome.failed.as_deref().is_some_and(|words| words.contains("planted")), "{:?}", outcome.failed);
}
