//! The controller is cut down at its requests, in three places each, and again while it recovers; every time it converges,
//! with one host, one disk, the same disk id, and nothing left over: that is what the story and the oracles ask.

use rehost_tests::sim::{Outcome, Plan, Settings, campaign, cuts_again, cuts_at};

use super::plan;

/// Every so-manieth request is cut at, in its three places; `REHOST_CRASH_EVERY=1` takes all of them, which is a matter of hours,
/// and then cuts again while the controller recovers. The command line's `sim --every K` does the same.
const EVERY: usize = 450;

fn plans(outcome: &Outcome) -> Vec<Plan> {
    let asked = std::env::var("REHOST_CRASH_EVERY").ok().and_then(|every| every.parse().ok());
    let numbers = (1..=outcome.requests).step_by(asked.unwrap_or(EVERY));
    let again = if asked.is_some() { cuts_again(outcome.writes.iter().copied()) } else { Vec::new() };
    let all = cuts_at(numbers).into_iter().chain(again);
    all.map(|cuts| plan(Settings { cuts, ..Settings::default() })).collect()
}

#[test]
fn a_crash_at_any_request_leaves_nothing_behind() {
    let whole = plan(Settings::default()).run();
    assert!(whole.is_fine(), "{}", whole.report(&plan(Settings::default()).replay()));
    let plans = plans(&whole);
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let wrong = campaign(&plans, jobs, |_, _| ());
    println!("{} passed, {} failed", plans.len() - wrong.len(), wrong.len());
    if let Some(first) = wrong.first() {
        let others: Vec<String> = wrong.iter().map(|result| result.plan.replay()).collect();
        panic!("{}\nall that failed:\n{}", first.outcome.report(&first.plan.replay()), others.join("\n"));
    }
}
