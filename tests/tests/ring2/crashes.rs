//! The controller is cut down at its requests, in three places each, and again while it recovers; every time it converges,
//! with one host, one disk, the same disk id, and nothing left over: that is what the story and the oracles ask.

use rehost_tests::sim::{Cut, CutPlace, Extent, Length, Outcome, Plan, Settings, campaign, cuts_again, cuts_at};

/// At every so-manieth request the controller is cut down, in each place, and once more while it recovers from that. Not a divisor
/// of any rhythm in the story. `REHOST_CRASH_EVERY=1` takes all of them; the command line's `sim --every K` does the same.
const EVERY: usize = 29;
/// After how many runs the test says how far it is.
const PROGRESS_EVERY: usize = 50;

fn plan(settings: Settings) -> Plan {
    Plan { extent: Extent::Whole, length: Length::Recovery, settings }
}

fn plans(outcome: &Outcome) -> Vec<Plan> {
    let asked = std::env::var("REHOST_CRASH_EVERY").ok();
    let every = asked.map_or(EVERY, |every| every.parse().expect("REHOST_CRASH_EVERY is a number from 1 up"));
    let numbers = || (1..=outcome.requests).step_by(every);
    let all = cuts_at(numbers()).into_iter().chain(cuts_again(numbers()));
    all.map(|cuts| plan(Settings { cuts, ..Settings::default() })).collect()
}

#[test]
fn a_crash_at_any_request_leaves_nothing_behind() {
    let whole = plan(Settings::default()).run();
    assert!(whole.is_fine(), "{}", whole.report(&plan(Settings::default()).replay()));
    let plans = plans(&whole);
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let mut wrong = Vec::new();
    let tally = campaign(&plans, jobs, |plan, outcome, tally| {
        if !outcome.is_fine() {
            println!("{}", outcome.report(&plan.replay()));
            wrong.push(plan.replay());
        }
        if tally.done.is_multiple_of(PROGRESS_EVERY) {
            println!("{} of {}, {} failed", tally.done, plans.len(), tally.failed);
        }
    });
    tally.beyond_words().iter().for_each(|beyond| println!("{beyond}"));
    println!("{}", tally.closing_words());
    assert!(wrong.is_empty(), "all that failed:\n{}", wrong.join("\n"));
}

#[test]
fn after_the_recovery_one_chapter_more_is_told_and_the_ending() {
    let cuts =
        vec![Cut { number: 40, place: CutPlace::BeforeAnswer }, Cut { number: 20, place: CutPlace::BeforeStatus }];
    let plan = plan(Settings { cuts, ..Settings::default() });
    let outcome = plan.run();
    assert!(outcome.is_fine() && outcome.cuts_left == 0, "{}", outcome.report(&plan.replay()));
    let told: Vec<&str> = outcome.story.lines().filter_map(|line| line.split_once(" story: ")).map(|it| it.1).collect();
    assert_eq!(told, ["created", "machine type raised", "deleted, the disk retained"], "{}", outcome.story);
}
