use futures::FutureExt;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::api::Api as Server;
use super::*;
use crate::clock::TokioClock;
use crate::metrics::Metrics;
use crate::watch::queue::{Lane, QueueSettings};

/// The watches, run against a server that the test speaks for.
struct Run {
    server: Server,
    caches: Arc<Caches>,
    queue: Arc<Queue>,
    clock: SharedClock,
    metrics: Metrics,
    watches: tokio::task::JoinHandle<()>,
}

impl Run {
    fn start(server: Server) -> Self {
        let clock: SharedClock = Arc::new(TokioClock::new(Timestamp::UNIX_EPOCH));
        let caches = Arc::new(Caches::new());
        let queue = Arc::new(Queue::new(Arc::clone(&clock), QueueSettings::default()));
        let metrics = Metrics::new();
        let counted = metrics.clone();
        let watches = run_watches(
            server.client(),
            Arc::clone(&caches),
            Arc::clone(&queue),
            Arc::clone(&clock),
            Arc::new(move |kind| counted.watch_failed(kind)),
        );
        Self { watches: tokio::spawn(watches), server, caches, queue, clock, metrics }
    }

    async fn pass(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds)).await;
    }

    fn woken(&self) -> Vec<(String, Lane)> {
        let turns = std::iter::from_fn(|| self.queue.next().now_or_never());
        turns.map(|turn| (turn.key.name.clone(), turn.lane)).collect()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.watches.abort();
    }
}

fn notebook(name: &str, generation: u32) -> Value {
    json!({"apiVersion": "rehost.dev/v1alpha1", "kind": "Notebook", "spec": {}, "status": {"observedGeneration": 1},
        "metadata": {"namespace": "team", "name": name, "uid": format!("u-{name}"), "generation": generation,
            "resourceVersion": "2"}})
}

fn pod(name: &str, uid: &str, phase: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "spec": {"containers": []}, "status": {"phase": phase},
        "metadata": {"namespace": "team", "name": name, "labels": {"rehost.dev/uid": uid}, "resourceVersion": "3"}})
}

#[test]
fn a_watch_waits_longer_after_each_error_and_starts_over_after_a_quiet_time() {
    let mut backoff = Backoff::default();
    let mut now = Duration::from_secs(1);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let wait = backoff.next(now);
        now += wait;
        waits.push(wait.as_secs_f64());
    }
    assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
    assert_eq!(backoff.next(now + QUIET), BACKOFF_FIRST);
}

#[tokio::test(start_paused = true)]
async fn watches_fill_the_caches_and_wake_notebooks() {
    let server = Server::default();
    server.has("notebooks", vec![notebook("a", 1), notebook("b", 1), json!({"metadata": {"name": "odd"}, "spec": 7})]);
    server.has("pods", vec![pod("one", "u-a", "Pending")]);
    let run = Run::start(server);
    run.caches.until_synced().await;
    assert_eq!(run.caches.objects_of("u-a").pods.present().map(Vec::len), Some(1));
    assert_eq!(run.woken(), [("a".to_owned(), Lane::Sweep), ("b".to_owned(), Lane::Sweep)]);
    run.pass(1).await;

    let asked = run.server.asked();
    let list = |plural: &str| &asked.iter().find(|(its, query)| its == plural && !query.contains("watch=")).unwrap().1;
    assert!(list("notebooks").contains("limit=500") && !list("notebooks").contains("labelSelector"));
    for labelled in ["pods", "services", "endpointslices", "persistentvolumeclaims"] {
        assert!(list(labelled).contains("labelSelector=rehost.dev%2Fuid"), "{labelled}: {}", list(labelled));
    }
    for all in ["persistentvolumes", "volumeattachments", "namespaces", "notebookclasses"] {
        assert!(!list(all).contains("labelSelector"), "{all}");
    }

    run.server.tell("notebooks", "MODIFIED", &notebook("b", 2));
    run.server.tell("pods", "MODIFIED", &pod("one", "u-a", "Running"));
    run.server.tell("pods", "MODIFIED", &json!({"metadata": {"name": "odd", "resourceVersion": "4"}, "spec": 7}));
    run.server.tell("pods", "DELETED", &pod("one", "u-a", "Running"));
    run.pass(1).await;
    assert_eq!(run.woken(), [("b".to_owned(), Lane::People), ("a".to_owned(), Lane::Transition)]);
    assert_eq!(run.caches.objects_of("u-a").pods, crate::seen::Seen::Present(Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_lost_its_place_lists_again_and_finds_what_went() {
    let server = Server::default();
    server.has("notebooks", vec![notebook("a", 1), notebook("b", 1)]);
    server.has("pods", vec![pod("one", "u-a", "Running"), pod("two", "u-b", "Running")]);
    let run = Run::start(server);
    run.pass(1).await;
    run.woken();
    run.server.asked();

    run.server.has("pods", vec![pod("one", "u-a", "Running")]);
    run.server.expire("pods");
    run.server.set_down("pods", true);
    run.pass(60).await;
    assert_eq!(run.caches.objects_of("u-b").pods.present().map(Vec::len), Some(1), "not gone while nobody answers");
    assert!(run.woken().is_empty());
    let tries = run.server.asked().iter().filter(|(plural, _)| plural == "pods").count();
    assert!((3..=10).contains(&tries), "{tries} requests in a minute");
    let failures = format!("rehost_watch_errors_total{{kind=\"Pod\"}} {}\n", tries + 1);
    let counted = run.metrics.encode();
    assert!(counted.contains(&failures), "each of them, and the lost place before them: {counted}");

    run.server.set_down("pods", false);
    run.pass(60).await;
    assert_eq!(run.woken(), [("b".to_owned(), Lane::Transition)]);
    assert_eq!(run.caches.objects_of("u-b").pods, crate::seen::Seen::Present(Vec::new()));
}

/// One eventful run: what was asked for, and who was woken.
async fn trace() -> (Vec<(String, String)>, Vec<(String, Lane)>) {
    let server = Server::default();
    server.has("notebooks", ["a", "b", "c", "d"].map(|name| notebook(name, 1)).into());
    server.set_down("services", true);
    let run = Run::start(server);
    run.pass(3).await;
    run.server.set_down("services", false);
    for name in ["d", "b"] {
        run.server.tell("pods", "ADDED", &pod(name, &format!("u-{name}"), "Pending"));
    }
    run.server.tell("notebooks", "MODIFIED", &notebook("c", 2));
    run.pass(300).await;
    (run.server.asked(), run.woken())
}

#[tokio::test(start_paused = true)]
async fn equal_worlds_give_equal_runs() {
    let first = trace().await;
    assert_eq!(first.1.len(), 4);
    for _ in 0..5 {
        assert_eq!(trace().await, first);
    }
}
