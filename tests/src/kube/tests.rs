use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use kube::runtime::watcher;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{ApiServer, Call, Cut, Ending, Intercept, Kinds, Settings, Verb, Verdict, Which};

fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}, "data": {"v": value}})
}

fn maps(server: &ApiServer, user: &str) -> Api<ConfigMap> {
    Api::namespaced(server.client(user), "default")
}

/// Watches until it has heard of so many changes, and says when each was heard.
async fn heard(server: &ApiServer, user: &str, count: usize, config: watcher::Config) -> Vec<(String, Duration)> {
    let start = Instant::now();
    watcher(maps(server, user), config)
        .filter_map(|event| async {
            match event {
                Ok(watcher::Event::Apply(map) | watcher::Event::InitApply(map)) => map.metadata.name,
                Ok(watcher::Event::Delete(map)) => map.metadata.name.map(|name| format!("-{name}")),
                Ok(watcher::Event::Init | watcher::Event::InitDone) => None,
                Err(error) => Some(format!("error {error}")),
            }
        })
        .map(|name| (name, start.elapsed()))
        .take(count)
        .collect()
        .await
}

#[tokio::test(start_paused = true)]
async fn watchers_of_both_kinds_hear_of_everything() {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let server = ApiServer::new(Settings::default());
        server.hand("person").create(&config_map("a", "1")).unwrap();
        let changes = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            server.hand("person").create(&config_map("b", "1")).unwrap();
            server.hand("person").delete("ConfigMap", "default", "a").unwrap();
        };
        let (heard, ()) = tokio::join!(heard(&server, "one", 3, config), changes);
        let names: Vec<&str> = heard.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "-a"]);
        assert_eq!(heard[1].1, Duration::from_secs(5));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lagging_watch_hears_later_and_others_do_not() {
    let server = ApiServer::new(Settings::default());
    let which = Which { user: Some("slow".to_owned()), resource: Some("configmaps".to_owned()) };
    server.set_watch_lag(which, Duration::from_secs(30));
    let changes = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        server.hand("person").create(&config_map("a", "1")).unwrap();
    };
    let config = watcher::Config::default;
    let (slow, quick, ()) =
        tokio::join!(heard(&server, "slow", 1, config()), heard(&server, "quick", 1, config()), changes);
    assert_eq!(slow[0].1, Duration::from_secs(35));
    assert_eq!(quick[0].1, Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_cut_watch_goes_on_where_it_was() {
    for cut in [Cut::End, Cut::Break, Cut::Gone] {
        let server = ApiServer::new(Settings::default());
        let changes = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            server.hand("person").create(&config_map("a", "1")).unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(server.cut_watches(&Which::default(), cut), 1);
            server.hand("person").create(&config_map("b", "1")).unwrap();
        };
        let expected = match cut {
            Cut::End => vec!["a", "b"],
            Cut::Break => vec!["a", "error", "b"],
            // After a 410 everything is listed again.
            Cut::Gone => vec!["a", "error", "a", "b"],
        };
        let (heard, ()) = tokio::join!(heard(&server, "one", expected.len(), watcher::Config::default()), changes);
        let names: Vec<&str> = heard.iter().filter_map(|(name, _)| name.split(' ').next()).collect();
        assert_eq!(names, expected, "{cut:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_compacted_version_is_gone() {
    let server = ApiServer::new(Settings::default());
    let api = maps(&server, "one");
    for name in ["a", "b", "c"] {
        server.hand("person").create(&config_map(name, "1")).unwrap();
    }
    let first = api.list(&ListParams::default().limit(1)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(2));
    let token = first.metadata.continue_.unwrap();
    server.hand("person").delete("ConfigMap", "default", "b").unwrap();
    let second = api.list(&ListParams::default().limit(1).continue_token(&token)).await.unwrap();
    assert_eq!(second.items[0].metadata.name.as_deref(), Some("b"), "a page shows the state of the first one");
    server.hand("person").create(&config_map("d", "1")).unwrap();
    server.compact();
    let error = api.list(&ListParams::default().limit(1).continue_token(&token)).await.unwrap_err();
    assert!(matches!(error, kube::Error::Api(status) if status.code == 410 && status.reason == "Expired"));
    let wp = kube::api::WatchParams::default();
    let event = api.watch(&wp, "1").await.unwrap().boxed().try_next().await.unwrap().unwrap();
    assert!(matches!(event, kube::api::WatchEvent::Error(status) if status.code == 410));
    server.refuse_old_watches_by_status(true);
    assert!(matches!(api.watch(&wp, "1").await.err(), Some(kube::Error::Api(status)) if status.code == 410));
}

struct Trouble;

impl Intercept for Trouble {
    fn before<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            match call.name.as_str() {
                "slow" => {
                    tokio::time::sleep(Duration::from_secs(9)).await;
                    Verdict::Pass
                }
                "lost" => Verdict::Break("connection reset".to_owned()),
                _ => Verdict::Pass,
            }
        })
    }

    fn after<'a>(&'a self, call: &'a Call, status: u16) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            assert_ne!(status, 500);
            match call.name.as_str() {
                "unheard" => Verdict::Break("connection reset".to_owned()),
                "silent" => Verdict::Silence,
                _ => Verdict::Pass,
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_delay_lose_and_silence() {
    let server = ApiServer::new(Settings::default());
    server.intercept(Some(Arc::new(Trouble)));
    let api = maps(&server, "one");
    let put = |name: &'static str| {
        let api = api.clone();
        async move { api.patch(name, &PatchParams::apply("me"), &Patch::Apply(config_map(name, "1"))).await }
    };
    let start = Instant::now();
    put("slow").await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(9));
    assert!(put("lost").await.is_err());
    assert!(server.get("ConfigMap", "default", "lost").is_none(), "it broke before the effect");
    assert!(put("unheard").await.is_err());
    assert!(server.get("ConfigMap", "default", "unheard").is_some(), "it broke after the effect");
    assert!(tokio::time::timeout(Duration::from_hours(1), put("silent")).await.is_err());
    assert!(server.get("ConfigMap", "default", "silent").is_some());
    let trace = server.trace();
    assert_eq!(trace.count("one", Verb::Patch), 4);
    let endings: Vec<bool> = trace.lines().iter().map(|line| line.ending == Some(Ending::Broken)).collect();
    assert_eq!(endings, [false, true, true, false]);
    assert_eq!(trace.lines()[1].effect, None);
    assert_eq!(trace.lines()[2].effect, Some(201));
}

#[tokio::test(start_paused = true)]
async fn a_namespace_goes_when_its_content_has_gone() {
    let server = ApiServer::new(Settings::default());
    let hand = server.hand("person");
    hand.create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})).unwrap();
    let mut held = config_map("held", "1");
    held["metadata"]["namespace"] = json!("n");
    held["metadata"]["finalizers"] = json!(["example.org/hold"]);
    hand.create(&held).unwrap();
    let namespaces: Api<Namespace> = Api::all(server.client("one"));
    namespaces.delete("n", &DeleteParams::default()).await.unwrap();
    assert!(server.get("ConfigMap", "n", "held").unwrap()["metadata"]["deletionTimestamp"].is_string());
    held["metadata"]["name"] = json!("late");
    let refusal = hand.create(&held).unwrap_err();
    assert_eq!((refusal.code, refusal.reason.as_str()), (403, "Forbidden"));
    hand.patch("ConfigMap", "n", "held", "", &json!({"metadata": {"finalizers": null}})).unwrap();
    assert!(server.get("Namespace", "", "n").is_none());
}

#[tokio::test(start_paused = true)]
async fn dependents_go_with_their_owners() {
    let server = ApiServer::new(Settings::default());
    let hand = server.hand("person");
    let owner = hand.create(&config_map("owner", "1")).unwrap();
    let mut dependent = config_map("dependent", "1");
    dependent["metadata"]["ownerReferences"] = json!([
        {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    ]);
    hand.create(&dependent).unwrap();
    hand.delete("ConfigMap", "default", "owner").unwrap();
    assert!(server.get("ConfigMap", "default", "dependent").is_none());
}

/// A little of everything, with concurrent clients.
async fn run(seed: u64) -> String {
    let server = ApiServer::new(Settings { seed, ..Settings::default() });
    let worker = |user: &'static str, delay_ms: u64| {
        let server = server.clone();
        async move {
            let api = maps(&server, user);
            for number in 0..5 {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                let name = format!("m{number}");
                let patch = Patch::Apply(config_map(&name, user));
                api.patch(&name, &PatchParams::apply(user).force(), &patch).await.unwrap();
                let pod: Pod = serde_json::from_value(
                    json!({"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "a", "image": "i:1"}]}}),
                )
                .unwrap();
                Api::<Pod>::namespaced(server.client(user), "default")
                    .create(&PostParams::default(), &pod)
                    .await
                    .unwrap();
            }
        }
    };
    let watch = heard(&server, "three", 8, watcher::Config::default());
    let ((), (), heard) = tokio::join!(worker("one", 30), worker("two", 20), watch);
    format!("{} {heard:?}", server.trace().hash())
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_is_the_same_run() {
    let first = run(3).await;
    assert_eq!(first, run(3).await);
    assert_ne!(first, run(4).await, "uids follow from the seed");
}

/// A channel that wakes its receivers in any order would make equal runs differ.
#[tokio::test(start_paused = true)]
async fn watches_hear_of_a_change_in_the_order_in_which_they_were_opened() {
    let server = ApiServer::new(Settings::default());
    let heard = Arc::<Mutex<Vec<usize>>>::default();
    for number in 0..20 {
        let (api, heard) = (maps(&server, "person"), heard.clone());
        tokio::spawn(async move {
            let events = api.watch(&WatchParams::default(), "0").await.unwrap();
            events.boxed().try_next().await.unwrap();
            heard.lock().unwrap().push(number);
        });
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}});
    server.hand("person").create(&map).unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(*heard.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn it_serves_the_operators_own_kinds() {
    let definition = |text| serde_saphyr::from_str::<Value>(text).unwrap();
    let crds = vec![
        definition(include_str!("../../../crds/yaml/notebooks.rehost.dev.yaml")),
        definition(include_str!("../../../crds/yaml/notebookclasses.rehost.dev.yaml")),
    ];
    let server = ApiServer::new(Settings { kinds: Arc::new(Kinds::new(&crds)), ..Settings::default() });
    let hand = server.hand("person");
    let notebook = json!({
        "apiVersion": "rehost.dev/v1alpha1", "kind": "Notebook", "metadata": {"name": "taxi", "namespace": "default"},
        "spec": {"host": {"vm": {"machineType": "e2-standard-4"}}, "unheardOf": true},
    });
    let stored = hand.create(&notebook).unwrap();
    assert_eq!(stored["metadata"]["generation"], 1);
    assert_eq!(stored["spec"].get("unheardOf"), None, "what the schema does not know is dropped");
    let condition = |status: &str| {
        let condition = json!({
            "type": "Ready", "status": status, "reason": "Because", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        json!({"status": {"conditions": [condition]}})
    };
    hand.patch("Notebook", "default", "taxi", "status", &condition("False")).unwrap();
    let patched = hand.patch("Notebook", "default", "taxi", "", &condition("True")).unwrap();
    assert_eq!(patched["status"]["conditions"][0]["status"], "False", "status has its own endpoint");
    assert_eq!(patched["metadata"]["generation"], 1);
    let refusal = hand.patch("Notebook", "default", "taxi", "", &json!({"spec": {"host": 5}})).unwrap_err();
    assert_eq!((refusal.code, refusal.reason.as_str()), (422, "Invalid"));
}
