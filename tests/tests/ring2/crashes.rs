//! The controller is cut down at its requests, in three places each, and again while it recovers; every time it converges,
//! with one host, one disk, the same disk id, and nothing left over: that is what the story and the oracles ask.

use std::collections::BTreeMap;

use rehost_tests::sim::{Cut, CutPlace, Cuts, Extent, Left, Length, Outcome, Plan, Settings, campaign, left_by};

/// At every so-manieth request the controller is cut down, in each place, and once more while it recovers from that. Not a divisor
/// of any rhythm in the story. `REHOST_CRASH_EVERY=1` takes all of them; the command line's `sim --every K` does the same.
const EVERY: usize = 29;
/// The same for the story of a notebook that sleeps, most of whose requests are looks whether it sleeps by now.
const EVERY_ASLEEP: usize = 97;
/// The same for the story of a home that goes from disk to disk, which waits for snapshots for minutes.
const EVERY_REHOMED: usize = 397;
/// After how many runs the test says how far it is.
const PROGRESS_EVERY: usize = 50;

fn plan(settings: Settings) -> Plan {
    plan_of(Extent::Whole, settings)
}

fn plan_of(extent: Extent, settings: Settings) -> Plan {
    Plan { extent, length: Length::Recovery, settings }
}

fn plans(extent: Extent, every: usize, outcome: &Outcome) -> Vec<Plan> {
    let asked = std::env::var("REHOST_CRASH_EVERY").ok();
    let every = asked.map_or(every, |every| every.parse().expect("REHOST_CRASH_EVERY is a number from 1 up"));
    let cuts = Cuts::of(outcome, every, 1, outcome.requests());
    println!("{cuts}");
    cuts.runs.into_iter().map(|cuts| plan_of(extent, Settings { cuts, ..Settings::default() })).collect()
}

#[test]
fn a_crash_at_any_request_leaves_nothing_behind() {
    nothing_is_left_behind(Extent::Whole, EVERY);
}

#[test]
fn a_crash_at_any_request_leaves_a_sleeper_as_it_is() {
    nothing_is_left_behind(Extent::Asleep, EVERY_ASLEEP);
}

#[test]
fn a_crash_at_any_request_leaves_a_home_on_one_disk() {
    nothing_is_left_behind(Extent::Rehomed, EVERY_REHOMED);
}

fn nothing_is_left_behind(extent: Extent, every: usize) {
    let whole = plan_of(extent, Settings::default());
    let told = whole.run();
    assert!(told.is_fine(), "{}", told.report(&whole.replay()));
    let plans = plans(extent, every, &told);
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

/// What a campaign leaves out: of the cuts that leave the worlds in one state, all but the first.
#[test]
fn cuts_that_leave_the_same_state_tell_the_same_story() {
    let whole = plan(Settings::default()).run();
    let mut alike: BTreeMap<Left, Vec<Cut>> = BTreeMap::new();
    for number in 1..=whole.requests() {
        for place in CutPlace::ALL {
            let cut = Cut { number, place };
            alike.entry(left_by(&whole.exchanges, cut)).or_default().push(cut);
        }
    }
    let groups: Vec<&[Cut]> = alike.values().map(Vec::as_slice).filter(|cuts| cuts.len() > 1).collect();
    for cuts in groups.iter().step_by(groups.len() / 12) {
        let ends = [cuts.first(), cuts.get(cuts.len() / 2), cuts.last()].into_iter().flatten();
        let stories: Vec<(Cut, String)> = ends.map(|cut| (*cut, after_the_crash(*cut))).collect();
        for (cut, story) in &stories {
            assert!(*story == stories[0].1, "{cut} and {} differ:\n{}\n\n{story}", stories[0].0, stories[0].1);
        }
    }
}

/// The story from the start of the new process. In the moment of the crash others may have had their turn before it or after.
fn after_the_crash(cut: Cut) -> String {
    let outcome = plan(Settings { cuts: vec![cut], tell_reads: true, ..Settings::default() }).run();
    let (_, after) = outcome.story.split_once(" controller: starts, for the 2. time").expect("the cut came");
    after.to_owned()
}
