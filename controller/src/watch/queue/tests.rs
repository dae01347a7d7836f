use std::collections::BTreeSet;

use futures::FutureExt;
use jiff::SignedDuration;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::line::{Line, Next, Room};
use super::*;
use crate::clock::{Clock, SystemClock, TokioClock};

fn key(name: &str) -> Key {
    Key { namespace: "team".to_owned(), name: name.to_owned(), uid: format!("uid-{name}") }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn queue(concurrency: usize) -> (Queue, SharedClock) {
    let clock: SharedClock = Arc::new(TokioClock::new(at(0)));
    let queue = Queue::new(Arc::clone(&clock), QueueSettings { concurrency, ..QueueSettings::default() });
    (queue, clock)
}

/// The names of the turns that can be had now, one after the other.
fn drain(queue: &Queue) -> Vec<String> {
    std::iter::from_fn(|| queue.next().now_or_never()).map(|ticket| ticket.key.name.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn people_go_before_transitions_and_those_before_sweeps() {
    let (queue, clock) = queue(1);
    for name in ["s1", "s2"] {
        queue.wake(key(name), Lane::Sweep);
    }
    queue.wake(key("t"), Lane::Transition);
    clock.sleep(Duration::from_secs(1)).await;
    queue.wake(key("p2"), Lane::People);
    queue.wake_at(key("p1"), Lane::People, at(0));
    queue.wake(key("a"), Lane::Sweep);
    assert_eq!(drain(&queue), ["p1", "p2", "t", "s1", "s2", "a"], "by lane, then by due time, then by key");
}

#[tokio::test(start_paused = true)]
async fn nothing_has_its_turn_before_it_is_due() {
    let (queue, clock) = queue(4);
    queue.wake_at(key("later"), Lane::People, at(100));
    queue.wake_at(key("sooner"), Lane::Sweep, at(40));
    assert!(queue.next().now_or_never().is_none());
    let ticket = queue.next().await;
    assert_eq!((ticket.key.name.as_str(), clock.now()), ("sooner", at(40)));
    let ticket = queue.next().await;
    assert_eq!((ticket.key.name.as_str(), clock.now()), ("later", at(100)), "also over a minute");
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_of_an_earlier_wake() {
    let (queue, clock) = queue(4);
    let queue = Arc::new(queue);
    queue.wake_at(key("a"), Lane::Sweep, at(50));
    let waiter = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.next().await }
    });
    clock.sleep(Duration::from_secs(10)).await;
    queue.wake(key("b"), Lane::Sweep);
    let ticket = waiter.await.unwrap();
    assert_eq!((ticket.key.name.as_str(), clock.now()), ("b", at(10)));
}

#[tokio::test(start_paused = true)]
async fn wakes_of_one_notebook_are_one() {
    let (queue, _) = queue(4);
    queue.wake_at(key("a"), Lane::Sweep, at(0));
    queue.wake_at(key("a"), Lane::People, at(60));
    queue.wake_at(key("a"), Lane::Transition, at(30));
    assert_eq!(queue.len_by_lane(), BTreeMap::from([(Lane::People, 1), (Lane::Transition, 0), (Lane::Sweep, 0)]));
    let ticket = queue.next().await;
    assert_eq!((ticket.lane, ticket.due), (Lane::People, at(0)), "the highest lane, the earliest time");
    drop(ticket);
    assert!(queue.next().now_or_never().is_none(), "and no second turn");
}

#[tokio::test(start_paused = true)]
async fn a_wake_during_a_turn_becomes_a_turn_after_it() {
    let (queue, _) = queue(4);
    queue.wake(key("a"), Lane::Sweep);
    let turn = queue.next().await;
    queue.wake(key("a"), Lane::People);
    queue.wake_at(key("a"), Lane::Sweep, at(99));
    assert!(queue.next().now_or_never().is_none(), "one turn at a time");
    assert_eq!(queue.turns_out(), 1);
    drop(turn);
    let again = queue.next().now_or_never().expect("a turn after the turn");
    assert_eq!((again.lane, again.due), (Lane::People, at(0)));
}

#[tokio::test(start_paused = true)]
async fn no_more_turns_are_out_than_agreed() {
    let (queue, clock) = queue(2);
    let queue = Arc::new(queue);
    for name in ["a", "b", "c"] {
        queue.wake(key(name), Lane::Sweep);
    }
    let (first, _second) = (queue.next().await, queue.next().await);
    let third = tokio::spawn({
        let queue = Arc::clone(&queue);
        async move { queue.next().await.key.name.clone() }
    });
    clock.sleep(Duration::from_secs(5)).await;
    assert!(!third.is_finished());
    drop(first);
    assert_eq!(third.await.unwrap(), "c");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_given_up_loses_nothing() {
    let (queue, clock) = queue(1);
    for _ in 0..3 {
        assert!(queue.next().now_or_never().is_none());
        let wait = tokio::time::timeout(Duration::from_secs(1), queue.next());
        assert!(wait.await.is_err());
    }
    queue.wake_at(key("a"), Lane::Sweep, clock.now());
    assert_eq!(drain(&queue), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_has_no_turn() {
    let (queue, _) = queue(4);
    queue.wake(key("a"), Lane::People);
    queue.forget(&key("a"));
    queue.wake(key("b"), Lane::People);
    let turn = queue.next().await;
    queue.wake(key("b"), Lane::People);
    queue.forget(&key("b"));
    drop(turn);
    assert_eq!(drain(&queue), Vec::<String>::new());
    assert_eq!(queue.len_by_lane().values().sum::<usize>(), 0);
}

#[test]
fn a_full_queue_drops_what_is_least_urgent() {
    let mut line = Line::new(QueueSettings { concurrency: 1, most: 2 });
    assert_eq!(line.wake(key("soon"), Lane::Sweep, at(0)), Room::Found);
    assert_eq!(line.wake(key("late"), Lane::Sweep, at(9)), Room::Found);
    assert_eq!(line.wake(key("more"), Lane::Sweep, at(0)), Room::Refused(key("more")));
    assert_eq!(line.wake(key("late"), Lane::Sweep, at(5)), Room::Found, "who waits already needs no room");
    assert_eq!(line.wake(key("person"), Lane::People, at(0)), Room::Displaced(key("late")));
    assert_eq!(line.refused(), 2);
    assert_eq!(line.len_by_lane()[&Lane::Sweep], 1);
}

#[derive(Clone, Debug)]
enum Step {
    Wake(u8, Lane, i64),
    Take,
    Release(usize),
    Forget(u8),
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let lane = prop::sample::select(Lane::ALL.to_vec());
    let step = prop_oneof![
        4 => (0..8_u8, lane, -3..20_i64).prop_map(|(key, lane, wait)| Step::Wake(key, lane, wait)),
        3 => Just(Step::Take),
        2 => (0..4_usize).prop_map(Step::Release),
        1 => (0..8_u8).prop_map(Step::Forget),
        1 => (0..10_i64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..200)
}

/// The same promises, kept by looking at everything each time.
#[derive(Default)]
struct Model {
    waiting: BTreeMap<Key, (Lane, Timestamp)>,
    turns: Vec<Key>,
}

impl Model {
    fn take(&mut self, now: Timestamp, concurrency: usize) -> Next {
        if self.turns.len() >= concurrency {
            return Next::None;
        }
        let free: Vec<_> = self.waiting.iter().filter(|(key, _)| !self.turns.contains(key)).collect();
        let due = free.iter().filter(|(_, (_, due))| *due <= now);
        match due.map(|(key, (lane, due))| (*lane, *due, (*key).clone())).min() {
            Some((lane, due, key)) => {
                self.waiting.remove(&key);
                self.turns.push(key.clone());
                Next::Turn { key, lane, due }
            }
            None => free.iter().map(|(_, (_, due))| *due).min().map_or(Next::None, Next::At),
        }
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 500, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..Config::default()
    })]

    #[test]
    fn the_line_does_what_a_plain_list_would(steps in steps(), concurrency in 1..4_usize) {
        let mut line = Line::new(QueueSettings { concurrency, most: 100 });
        let mut model = Model::default();
        let mut now = at(1000);
        let name = |number: u8| key(&number.to_string());
        for step in steps {
            match step {
                Step::Wake(number, lane, wait) => {
                    let due = now + SignedDuration::from_secs(wait);
                    prop_assert_eq!(line.wake(name(number), lane, due), Room::Found);
                    let former = model.waiting.get(&name(number)).copied().unwrap_or((lane, due));
                    model.waiting.insert(name(number), (lane.min(former.0), due.min(former.1)));
                }
                Step::Take => prop_assert_eq!(line.take(now), model.take(now, concurrency)),
                Step::Release(index) if index < model.turns.len() => line.release(&model.turns.remove(index)),
                Step::Release(_) => {}
                Step::Forget(number) => {
                    line.forget(&name(number));
                    model.waiting.remove(&name(number));
                }
                Step::Pass(seconds) => now += SignedDuration::from_secs(seconds),
            }
            let lens: Vec<_> = Lane::ALL.map(|lane| model.waiting.values().filter(|it| it.0 == lane).count()).into();
            prop_assert_eq!(line.len_by_lane().into_values().collect::<Vec<_>>(), lens);
            prop_assert_eq!(line.turns_out(), model.turns.iter().collect::<BTreeSet<_>>().len());
        }
    }
}

#[test]
fn ten_thousand_that_wait_cost_no_scans() {
    /// How long a thousand turns take while others wait.
    fn turns(others: i64) -> Duration {
        let mut line = Line::new(QueueSettings::default());
        for number in 0..others {
            line.wake(key(&number.to_string()), Lane::Sweep, at(1_000_000 + number));
        }
        let clock = SystemClock::new();
        for number in 0..1_000 {
            line.wake(key("x"), Lane::Transition, at(number));
            assert!(matches!(line.take(at(number)), Next::Turn { .. }));
            line.release(&key("x"));
        }
        clock.monotonic()
    }
    // A scan would take ten thousand times as long; the machine may be busy with other things.
    assert!(turns(10_000) < turns(1) * 100 + Duration::from_millis(500));
}
