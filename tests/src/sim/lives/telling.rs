//! A life, told: people and weather do what they do, one deed after the other; then it is calm, everything converges, nothing
//! is written any more, and the accounts are made up.

use std::time::Duration;

use serde_json::Value;

use super::coverage::Reached;
use super::deeds::Sort;
use super::dice::Dice;
use super::drawn::SORTS;
use super::people::{Wish, notebook};
use super::settled::{Standing, standing};
use super::weather::Mend;
use crate::sim::chapters::cloud_s;
use crate::sim::{Failed, Run, Weight};
use crate::world::Place;

/// The time that everything may take beyond the cloud's own, once nothing goes wrong any more.
const BEYOND_THE_CLOUD_S: f64 = 60.0;
/// How often is looked whether everything has converged.
const LOOK: Duration = Duration::from_secs(3);
/// How often a named wait may be followed by another: each round of tries, each guest that hangs, each host that is removed before the
/// next is one.
const WAITS_MAX: usize = 12;
/// How long nothing must be written.
const STILL: Duration = Duration::from_mins(1);

/// What a life is told by.
pub(super) struct Teller<'a> {
    pub(super) run: &'a Run,
    pub(super) dice: Dice,
    pub(super) wishes: Vec<Wish>,
    pub(super) mends: Vec<(Duration, Mend)>,
    pub(super) relabelled: Vec<(&'static str, Place, Value)>,
    pub(super) edits_made: usize,
    pub(super) faults_made: usize,
    pub(super) reached: Reached,
}

/// What became of the telling.
pub(super) struct Told {
    pub(super) edits: usize,
    pub(super) faults: usize,
    pub(super) reached: Reached,
    pub(super) ended: Result<(), Failed>,
}

/// Tells one life.
pub(super) async fn tell(run: &Run, dice: Dice) -> Told {
    let mut teller = Teller {
        run,
        dice,
        wishes: Vec::new(),
        mends: Vec::new(),
        relabelled: Vec::new(),
        edits_made: 0,
        faults_made: 0,
        reached: Reached::default(),
    };
    let ended = teller.life().await;
    let Teller { edits_made: edits, faults_made: faults, reached, .. } = teller;
    Told { edits, faults, reached, ended }
}

impl Teller<'_> {
    async fn life(&mut self) -> Result<(), Failed> {
        let notebooks = if self.dice.percent(75) { 3 } else { 4 };
        self.wishes = (0..notebooks).map(|index| notebook(&mut self.dice, index)).collect();
        self.run.start_controller();
        for index in 0..notebooks {
            self.makes(index);
            self.passes(0, 4_000).await;
        }
        self.passes(20_000, 60_000).await;
        let deeds = self.dice.between(9, 15);
        for _ in 0..deeds {
            self.run.in_order("deeds")?;
            self.mends(false);
            self.one_deed().await;
            // Mostly while the change before is under way, now and then long after.
            let long = self.dice.percent(20);
            self.passes(if long { 40_000 } else { 500 }, if long { 90_000 } else { 20_000 }).await;
        }
        self.calm().await;
        self.converges().await?;
        self.is_still().await?;
        if self.dice.percent(20) {
            self.ends().await?;
        }
        Ok(())
    }

    async fn passes(&mut self, low_ms: u64, high_ms: u64) {
        let time = Duration::from_millis(self.dice.between(low_ms, high_ms));
        self.run.wait(time).await;
    }

    async fn one_deed(&mut self) {
        let sort = match (self.edits_made, self.faults_made) {
            // At least so many of each in every life, soon enough to be followed by others.
            (0..4, _) if self.dice.percent(50) => Sort::Edit,
            (_, 0..3) if self.dice.percent(40) => Sort::Weather,
            _ => self.dice.weighted(SORTS),
        };
        let index = self.dice.below(self.wishes.len());
        match sort {
            Sort::Edit => self.edits(index),
            Sort::Weather => self.storms(index),
            Sort::Cloud => self.meddles_in_cloud(index),
            Sort::Cluster => self.meddles_in_cluster(index),
            Sort::Clock => self.clock_jumps(),
            Sort::Lease => self.lease_moves().await,
        }
    }

    fn clock_jumps(&mut self) {
        let seconds = i64::try_from(self.dice.between(1, 240)).unwrap_or(1);
        let jump_s = if self.dice.percent(50) { seconds } else { -seconds };
        self.reached.deed("clock jumps".to_owned());
        self.run.shared().clock_jumps(jump_s);
    }

    async fn lease_moves(&mut self) {
        let (released, time) = (self.dice.percent(50), Duration::from_secs(self.dice.between(12, 30)));
        if self.run.lease_moves(released, time).await {
            self.reached.deed(format!("lease {}", if released { "given up" } else { "lost" }));
        }
    }

    /// From here on nothing goes wrong any more, and nobody meddles. What people took away for a while is put back.
    async fn calm(&mut self) {
        let enough = |made: usize, least: usize| least.saturating_sub(made);
        for _ in 0..enough(self.edits_made, 4) {
            let index = self.dice.below(self.wishes.len());
            self.edits(index);
            self.passes(500, 5_000).await;
        }
        for _ in 0..enough(self.faults_made, 3) {
            let index = self.dice.below(self.wishes.len());
            self.storms(index);
            self.passes(500, 5_000).await;
        }
        if self.run.shared().crashes() == 0 {
            self.run.shared().forget_cuts();
            self.run.restart().await;
        }
        for index in 0..self.wishes.len() {
            self.anew_in_the_end(index);
        }
        self.run.shared().note(Weight::Headline, "story", "calm", "");
        self.run.shared().forget_cuts();
        self.mends(true);
        self.puts_labels_back();
        self.restarts_what_hangs();
        self.run.shared().calm(true);
        self.run.with_world(crate::world::World::faults_clear);
    }

    /// A VM that serves is not asked whether it still does: whose kernels hang restarts it.
    fn restarts_what_hangs(&mut self) {
        let scene = self.run.shared().scene();
        let hung: Vec<Place> = scene
            .cloud
            .vms
            .iter()
            .filter(|(_, vm)| vm.guest.as_ref().is_some_and(|guest| guest.hung))
            .map(|(place, _)| place.clone())
            .collect();
        for vm in hung {
            self.resets(&vm);
        }
    }

    /// Half of those that were deleted are declared again at last.
    fn anew_in_the_end(&mut self, index: usize) {
        let Some(wish) = self.wishes.get(index) else { return };
        let name = wish.name.clone();
        let is_free = self.run.shared().server.get("Notebook", crate::sim::NAMESPACE, &name).is_none();
        if !wish.there && is_free && self.dice.percent(30) {
            if let Some(wish) = self.wishes.get_mut(index) {
                wish.anew = true;
                wish.stopped = Some(false);
                wish.excuses.clear();
            }
            self.makes(index);
        }
    }

    /// Everything comes to where it should be, within the cloud's own times and a minute; a wait with a name and a time is waited
    /// for, and then the same bound counts anew.
    async fn converges(&mut self) -> Result<(), Failed> {
        let bound = Duration::from_secs_f64(longest_change_s() + BEYOND_THE_CLOUD_S);
        let clock = self.run.shared().clock.clone();
        let mut deadline = clock.monotonic() + bound;
        let mut waits = 0;
        loop {
            self.run.in_order("converging")?;
            let found = self.standings();
            if found.iter().all(|(_, standing)| *standing == Standing::Settled) {
                return Ok(());
            }
            if clock.monotonic() >= deadline {
                let now = self.run.shared().controller_now();
                let until =
                    found.iter().filter_map(|(_, standing)| standing.until()).filter(|until| *until > now).max();
                let lacking =
                    found.iter().filter_map(|(name, standing)| standing.words(name)).collect::<Vec<_>>().join("; ");
                let Some(until) = until.filter(|_| waits < WAITS_MAX) else {
                    let bound_s = bound.as_secs_f64();
                    return Err(Failed::TooLate { chapter: "converging".to_owned(), bound_s, lacking });
                };
                waits += 1;
                deadline = clock.monotonic() + until.duration_since(now).unsigned_abs() + bound;
            }
            self.run.wait(LOOK).await;
        }
    }

    fn standings(&self) -> Vec<(String, Standing)> {
        let scene = self.run.shared().scene();
        let now = self.run.shared().controller_now();
        self.wishes.iter().map(|wish| (wish.name.clone(), standing(&scene, wish, now))).collect()
    }

    /// Nothing is written, and the accounts are in order.
    async fn is_still(&mut self) -> Result<(), Failed> {
        self.run.shared().note(Weight::Headline, "story", "still", "");
        self.run.quiet("still").await?;
        self.run.rests_after_sweeps(STILL).await;
        // Something that waits for its time may have become due meanwhile: then it must converge again.
        self.converges().await?;
        self.run.quiet("still").await?;
        self.run.shared().rests();
        self.run.in_order("still")
    }

    /// Everything is deleted, and nothing is left but what is kept.
    async fn ends(&mut self) -> Result<(), Failed> {
        self.run.shared().note(Weight::Headline, "story", "the end", "");
        for index in 0..self.wishes.len() {
            let Some(wish) = self.wishes.get_mut(index) else { continue };
            if std::mem::take(&mut wish.there) {
                let name = wish.name.clone();
                self.does(&name, &crate::sim::Act::Delete);
            }
        }
        self.converges().await?;
        self.run.quiet("the end").await?;
        self.run.shared().rests();
        self.run.in_order("the end")
    }
}

/// The longest that one change, and what it has to do before, takes the cloud: the host of the last but one is removed, the change
/// under way turns back, its host is removed, then the home moves once more.
fn longest_change_s() -> f64 {
    let removed = ["instances.stop", "instances.delete"];
    let moved = [
        "instances.insert.gpu",
        "guest.boot.gpu",
        "instances.setMetadata",
        "metadata.wait_for_change",
        "instances.detachDisk",
        "instances.attachDisk",
        "instances.setMetadata",
        "metadata.wait_for_change",
    ];
    let grown = ["disks.resize", "instances.setMetadata", "metadata.wait_for_change"];
    cloud_s(&removed) + cloud_s(&moved) + cloud_s(&removed) + cloud_s(&moved) + cloud_s(&grown) + 20.0
}
