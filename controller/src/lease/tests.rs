//! Replicas that want one Lease, over links that break.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::replica::{Link, Replica, Server};
use super::*;

async fn seconds(count: u64) {
    tokio::time::sleep(Duration::from_secs(count)).await;
}

/// Two replicas, `a` of which leads.
async fn pair() -> (Arc<Mutex<Server>>, Replica, Replica) {
    let server = Arc::<Mutex<Server>>::default();
    let a = Replica::start(&server, "a");
    a.leadership.wait_for(true).await;
    let b = Replica::start(&server, "b");
    seconds(30).await;
    assert!(a.leads() && !b.leads());
    (server, a, b)
}

/// Watches both until `b` leads: when `a` was first seen not to, and when `b` was first seen to, from now.
async fn handover(a: &Replica, b: &Replica) -> (Duration, Duration) {
    let step = Duration::from_millis(20);
    let (mut passed, mut stopped) = (Duration::ZERO, None);
    while !b.leads() {
        assert!(passed < Duration::from_mins(1), "nobody leads");
        tokio::time::sleep(step).await;
        passed += step;
        if !a.leads() {
            stopped.get_or_insert(passed);
        }
    }
    assert!(!a.leads(), "both lead");
    (stopped.unwrap(), passed)
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_lease_says_so() {
    let (server, a, _b) = pair().await;
    assert!(a.leadership.time_left() + RETRY + Duration::from_secs(1) > RENEW_DEADLINE);
    assert!(a.leadership.time_left() <= RENEW_DEADLINE);
    let server = server.lock().unwrap();
    assert_eq!(server.spec("holderIdentity"), "a");
    assert_eq!(server.spec("leaseDurationSeconds"), 15);
    assert_eq!(server.spec("leaseTransitions"), 0);
    assert_eq!(server.spec("acquireTime"), "2027-01-15T08:00:00.000000Z");
    assert_eq!(server.spec("renewTime").as_str().unwrap().len(), "2027-01-15T08:00:00.000000Z".len());
    assert!(server.writes.iter().all(|write| *write == ("a".to_owned(), write.1) && write.1 < 300));
    assert_eq!(server.writes.len(), 15, "one write every two seconds, and none of the other's");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_the_next_one_starts() {
    let (server, a, b) = pair().await;
    a.link(Link::Cut);
    let (stopped, started) = handover(&a, &b).await;
    assert!(stopped <= RENEW_DEADLINE, "{stopped:?}");
    assert!(started + RENEW_DEADLINE >= stopped + DURATION, "{started:?} after {stopped:?}");
    assert!(started <= DURATION + RETRY * 2, "{started:?}");
    a.leadership.wait_for(false).await;
    assert_eq!(a.leadership.time_left(), Duration::ZERO);

    a.link(Link::Up);
    seconds(60).await;
    assert!(b.leads() && !a.leads(), "who comes back follows");
    assert_eq!(server.lock().unwrap().spec("leaseTransitions"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_answers_are_lost_stops_too() {
    let (_server, a, b) = pair().await;
    a.link(Link::Deaf);
    let (stopped, started) = handover(&a, &b).await;
    assert!(stopped <= RENEW_DEADLINE && started > stopped, "{stopped:?}, {started:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_alone_costs_no_leadership() {
    let (server, a, _b) = pair().await;
    let first = server.lock().unwrap().spec("acquireTime");
    a.link(Link::Deaf);
    seconds(4).await;
    a.link(Link::Up);
    for _ in 0..20 {
        seconds(1).await;
        assert!(a.leads());
    }
    let server = server.lock().unwrap();
    assert_eq!((server.spec("leaseTransitions"), server.spec("acquireTime")), (json!(0), first));
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_the_first_write_may_be_lost() {
    let server = Arc::<Mutex<Server>>::default();
    let a = Replica::start(&server, "a");
    a.link(Link::LosesWrites);
    seconds(6).await;
    assert_eq!(server.lock().unwrap().version, 1);
    assert!(!a.leads(), "it cannot know");
    a.link(Link::Up);
    seconds(3).await;
    assert!(a.leads(), "what it wrote itself it need not wait for");
    assert_eq!(server.lock().unwrap().spec("leaseTransitions"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_leaders_time_counts_from_before_its_write() {
    let (_server, a, _b) = pair().await;
    a.link(Link::Slow(4));
    seconds(30).await;
    assert!(a.leads());
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert!(a.leadership.time_left() + Duration::from_secs(4) <= RENEW_DEADLINE);
    }
}

#[tokio::test(start_paused = true)]
async fn times_of_day_decide_nothing() {
    let (server, a, b) = pair().await;
    for off_s in [86_400, -86_400, 0, 3_600] {
        a.off_s.store(off_s, Ordering::Relaxed);
        b.off_s.store(-off_s, Ordering::Relaxed);
        for _ in 0..40 {
            seconds(1).await;
            assert!(a.leads() && !b.leads(), "with clocks {off_s} s off");
        }
    }
    assert_eq!(server.lock().unwrap().spec("leaseTransitions"), 0);
    a.link(Link::Cut);
    let (stopped, started) = handover(&a, &b).await;
    assert!(stopped <= RENEW_DEADLINE && started <= DURATION + RETRY * 2, "{stopped:?}, {started:?}");
}

#[tokio::test(start_paused = true)]
async fn who_goes_hands_over_at_once() {
    let (server, a, b) = pair().await;
    a.leadership.release();
    a.leadership.wait_for(false).await;
    a.task.await.unwrap();
    assert_eq!(server.lock().unwrap().spec("holderIdentity"), "");
    tokio::time::timeout(RETRY + Duration::from_millis(50), b.leadership.wait_for(true)).await.unwrap();
    assert_eq!(server.lock().unwrap().spec("leaseTransitions"), 1);
}

#[tokio::test(start_paused = true)]
async fn who_goes_and_never_led_writes_nothing() {
    let (server, a, b) = pair().await;
    let writes = server.lock().unwrap().writes.len();
    b.leadership.release();
    b.task.await.unwrap();
    assert!(a.leads());
    assert!(server.lock().unwrap().writes[writes..].iter().all(|(holder, _)| holder == "a"));
}

#[tokio::test(start_paused = true)]
async fn who_goes_while_cut_off_does_not_hang() {
    let (_server, a, b) = pair().await;
    a.link(Link::Cut);
    a.leadership.release();
    tokio::time::timeout(TRY_TIMEOUT + Duration::from_secs(1), a.task).await.unwrap().unwrap();
    b.leadership.wait_for(true).await;
}

#[tokio::test(start_paused = true)]
async fn of_two_that_take_it_at_once_one_gets_it() {
    let server = Arc::<Mutex<Server>>::default();
    let (a, b) = (Replica::start(&server, "a"), Replica::start(&server, "b"));
    seconds(1).await;
    assert!(a.leads() != b.leads());
    let (leader, other) = if a.leads() { (a, b) } else { (b, a) };
    let third = Replica::start(&server, "c");
    leader.link(Link::Cut);
    seconds(20).await;
    assert!(!leader.leads() && (other.leads() != third.leads()));
    let refused = server.lock().unwrap().writes.iter().filter(|(_, code)| *code == 409).count();
    assert!(refused >= 1, "they met");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_takes_nothing_away_is_read_and_written_over() {
    let (server, a, _b) = pair().await;
    {
        let mut server = server.lock().unwrap();
        server.version += 1;
        let version = json!(server.version.to_string());
        let lease = server.lease.as_mut().unwrap();
        lease["metadata"]["resourceVersion"] = version;
        lease["metadata"]["annotations"] = json!({"seen-by": "somebody"});
    }
    for _ in 0..15 {
        seconds(1).await;
        assert!(a.leadership.time_left() + RETRY + Duration::from_secs(1) > RENEW_DEADLINE, "at once");
    }
    let server = server.lock().unwrap();
    assert_eq!(server.writes.iter().filter(|(_, code)| *code == 409).count(), 1);
    assert_eq!(server.lease.as_ref().unwrap()["metadata"]["annotations"]["seen-by"], "somebody");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_away_ends_leading_with_the_next_write() {
    let (server, a, b) = pair().await;
    b.link(Link::Cut);
    {
        let mut server = server.lock().unwrap();
        server.version += 1;
        let version = json!(server.version.to_string());
        let lease = server.lease.as_mut().unwrap();
        lease["metadata"]["resourceVersion"] = version;
        lease["spec"]["holderIdentity"] = json!("z");
    }
    tokio::time::timeout(RETRY + Duration::from_millis(50), a.leadership.wait_for(false)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_deleted_is_made_again() {
    let (server, a, b) = pair().await;
    b.link(Link::Cut);
    server.lock().unwrap().lease = None;
    for _ in 0..30 {
        seconds(1).await;
        assert!(a.leads());
    }
    assert_eq!(server.lock().unwrap().spec("holderIdentity"), "a");
}

#[tokio::test(start_paused = true)]
async fn two_replicas_of_one_name_do_not_both_lead() {
    let server = Arc::<Mutex<Server>>::default();
    let first = Replica::start(&server, "same");
    first.leadership.wait_for(true).await;
    seconds(1).await;
    let second = Replica::start(&server, "same");
    for _ in 0..60 {
        seconds(1).await;
        assert!(first.leads() && !second.leads());
    }
    first.task.abort();
    tokio::time::timeout(DURATION + RETRY * 2, second.leadership.wait_for(true)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn leading_ends_by_itself_when_nobody_runs_the_election() {
    let (_server, a, _b) = pair().await;
    a.task.abort();
    tokio::time::timeout(RENEW_DEADLINE, a.leadership.wait_for(false)).await.unwrap();
    assert!(!a.leads());
}

/// Links that break and heal at random, and clocks that jump: at no moment do two lead, and when all is well again one
/// does.
#[tokio::test(start_paused = true)]
async fn never_two() {
    use Link::{Cut, Deaf, Late, LosesWrites, Slow, Up};
    for seed in 1..=8_u64 {
        let server = Arc::<Mutex<Server>>::default();
        let replicas = ["a", "b", "c"].map(|name| Replica::start(&server, name));
        let mut state = seed;
        let mut draw = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut leaders = std::collections::BTreeSet::new();
        for step in 0..4_000 {
            tokio::time::sleep(Duration::from_millis(100 + draw(50))).await;
            let leading: Vec<usize> = (0..3).filter(|index| replicas[*index].leads()).collect();
            assert!(leading.len() <= 1, "seed {seed}, step {step}: {leading:?}");
            leaders.extend(leading);
            if draw(40) == 0 {
                let links = [Up, Up, Cut, Deaf, LosesWrites, Slow(4), Late(3), Late(9)];
                let which = usize::try_from(draw(3)).unwrap();
                replicas[which].link(links[usize::try_from(draw(8)).unwrap()]);
                replicas[which].off_s.store(i64::try_from(draw(7_200)).unwrap() - 3_600, Ordering::Relaxed);
            }
        }
        assert!(leaders.len() > 1, "seed {seed}: the Lease never moved");
        for replica in &replicas {
            replica.link(Up);
        }
        seconds(30).await;
        assert_eq!(replicas.iter().filter(|replica| replica.leads()).count(), 1, "seed {seed}");
        for replica in &replicas {
            replica.task.abort();
        }
    }
}
