use std::sync::atomic::{AtomicU64, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::clock::Clock;
use crate::gce::stubs::{Cloud, not_found, refusal};

/// A clock that stands until it is moved.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        async {}.boxed()
    }
}

struct Setting {
    cloud: Arc<Cloud>,
    hand: Arc<Hand>,
    catalogue: Catalogue,
    place: Place,
}

fn setting() -> Setting {
    let (cloud, hand) = (Cloud::new(), Arc::new(Hand::default()));
    let catalogue = Catalogue::new(cloud.gce(), hand.clone());
    Setting { cloud, hand, catalogue, place: Place::new("p", "z-a") }
}

fn machine_type() -> serde_json::Value {
    json!({"name": "e2-small", "guestCpus": 2, "memoryMb": 2048, "isSharedCpu": true, "maximumPersistentDisks": 16})
}

#[tokio::test]
async fn what_is_there_is_asked_for_once_an_hour() {
    let it = setting();
    it.cloud.will("machine_types.get", Ok(machine_type()));
    it.cloud.will("machine_types.get", Ok(machine_type()));
    for (at_s, asked) in [(0, 1), (0, 0), (3599, 0), (3600, 1)] {
        it.hand.0.store(at_s, Ordering::Relaxed);
        assert!(it.catalogue.machine_type(&it.place, "e2-small").await.is_present());
        assert_eq!(it.cloud.calls().len(), asked, "at {at_s} s");
    }
}

#[tokio::test]
async fn what_is_missing_or_unknown_is_soon_asked_for_again() {
    let it = setting();
    it.cloud.will("machine_types.get", Err(not_found()));
    it.cloud.will("machine_types.get", Err(refusal(503, "backendError")));
    it.cloud.will("machine_types.get", Ok(machine_type()));
    let ask = || it.catalogue.machine_type(&it.place, "e2-small");
    assert!(ask().await.is_absent());
    it.hand.0.store(59, Ordering::Relaxed);
    assert!(ask().await.is_absent());
    it.hand.0.store(60, Ordering::Relaxed);
    assert!(ask().await.unknown().is_some(), "a failure is not what was known before");
    it.hand.0.store(65, Ordering::Relaxed);
    assert_eq!(ask().await.present().map(|it| (it.guest_cpus, it.shared_cpu)), Some((2, true)));
    assert_eq!(it.cloud.calls().len(), 3);
}

#[tokio::test]
async fn those_who_ask_at_once_share_one_answer() {
    let it = setting();
    it.cloud.will(
        "regions.get",
        Ok(json!({"quotas": [{"metric": "NVIDIA_T4_GPUS", "limit": 4.0, "usage": 1.0},
        {"metric": "A_NEW_ONE", "limit": 2.0}]})),
    );
    let asked = (0..50).map(|_| it.catalogue.region_quota("p", "us-central1"));
    for quotas in futures::future::join_all(asked).await {
        let quotas = quotas.into_present().expect("an answer");
        assert_eq!((quotas[0].metric.as_str(), quotas[1].metric.as_str()), ("NVIDIA_T4_GPUS", "A_NEW_ONE"));
    }
    assert_eq!(it.cloud.calls().len(), 1);
}

#[tokio::test]
async fn zones_and_projects_are_kept_apart_and_memory_is_bounded() {
    let it = setting();
    for n in 0..=ANSWERS_MAX {
        let _ = it.catalogue.machine_type(&it.place, &n.to_string()).await;
    }
    assert!(it.catalogue.machine_types.slots.lock().unwrap().len() <= ANSWERS_MAX);
    it.cloud.calls();
    it.cloud.will("images.get_from_family", Ok(json!({"name": "nb-7", "architecture": "ARM64", "diskSizeGb": "10"})));
    let image = it.catalogue.image("p", "projects/images/global/images/family/nb").await.into_present().expect("there");
    assert_eq!(image.link, "projects/images/global/images/nb-7");
    assert_eq!(it.cloud.calls(), [("images.get_from_family", "nb".to_owned(), json!("images"))]);
}
