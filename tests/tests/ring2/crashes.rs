//! The controller is cut down at its requests, in three places each, and again while it recovers; every time it converges,
//! with one host, one disk, the same disk id, and nothing left over: that is what the story and the oracles ask.

use rehost_tests::sim::{Outcome, Plan, Settings, campaign, cuts_again, cuts_at};

use super::plan;

/// Every so-manieth request that only reads gets its cuts here; the command line's `sim --every 1` takes all of them. A
/// crash between two reads differs from its neighbour's by some milliseconds alone.
const READS_STEP: usize = 97;

fn plans(outcome: &Outcome) -> Vec<Plan> {
    let reads = (1..=outcome.requests).filter(|number| !outcome.writes.contains(number)).step_by(READS_STEP);
    let writes = outcome.writes.iter().copied();
    let once = cuts_at(writes.clone()).into_iter().chain(cuts_at(reads));
    let all = once.chain(cuts_again(writes));
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
