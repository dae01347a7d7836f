//! A story: what people do, and what must come of it in what time. Plain data, told chapter by chapter.

use std::time::Duration;

use rehost_api::guest::{GuestActivity, GuestReport, GuestSeen, GuestState, REPORT_KEY, REPORT_NAMESPACE};
use rehost_api::status::{HostRecord, NotebookStatus};
use serde_json::{Value, json};

use super::chronicle::Weight;
use super::churn;
use super::scene::{NotebookScene, Scene};
use super::shared::PERSON;
use super::{NAMESPACE, Run, ZONE};
use crate::oracles::{IdleLooks, Stillness};
use crate::world::Place;

/// How long nothing must be written until a chapter counts as over.
const QUIET: Duration = Duration::from_secs(5);
/// How long stillness is watched.
const STILL: Duration = Duration::from_mins(1);

/// Something that a person does, or that befalls the cloud.
#[derive(Clone, Debug)]
pub enum Act {
    /// A manifest is applied, as `kubectl apply --server-side` does.
    Apply(Value),
    /// An annotation is set.
    Annotate(&'static str, String),
    /// Nobody uses the notebook any more, and its host says so: the simulated guests do not speak of use by themselves.
    LeaveAlone,
    /// The notebook is deleted.
    Delete,
    /// At most so many machines of the shape can be had from now on; `None` lifts that.
    Capacity(&'static str, Option<u32>),
}

/// What is asked of a moment: nothing, or what is lacking.
pub type Condition = Box<dyn Fn(&View<'_>) -> Result<(), String> + Send + Sync>;

/// One chapter of a story.
pub struct Chapter {
    /// Its name.
    pub name: &'static str,
    /// What is done.
    pub acts: Vec<Act>,
    /// What must come of it.
    pub until: Condition,
    /// What must hold from the act until then, at every step.
    pub meanwhile: Option<Condition>,
    /// The cloud's own time for it, in seconds.
    pub cloud_s: f64,
    /// Whether the notebook is then at rest, so that status must bear out the world.
    pub rests: bool,
    /// Whether stillness is watched afterwards.
    pub still: bool,
}

/// A moment, from one notebook's point of view.
pub struct View<'a> {
    /// Everything.
    pub scene: &'a Scene,
    /// The notebook's name.
    pub name: &'a str,
}

impl View<'_> {
    /// The notebook, while it is there.
    pub fn notebook(&self) -> Option<&NotebookScene> {
        self.scene.cluster.notebooks.iter().find(|one| one.namespace == NAMESPACE && one.name == self.name)
    }

    /// Its status.
    pub fn status(&self) -> Result<&NotebookStatus, String> {
        self.notebook().map(|notebook| &notebook.status).ok_or_else(|| "the notebook is not there".to_owned())
    }

    /// The host on record.
    pub fn host(&self) -> Result<&HostRecord, String> {
        self.status()?.host.as_ref().ok_or_else(|| "there is no host on record".to_owned())
    }

    /// A condition's status and reason, where it speaks of the present generation.
    pub fn condition(&self, kind: &str) -> Result<(String, String, String), String> {
        let generation = self.notebook().map(|notebook| notebook.generation);
        let status = self.status()?;
        let found = status.conditions.iter().find(|condition| condition.type_ == kind);
        let found = found.ok_or_else(|| format!("there is no condition {kind}"))?;
        if status.observed_generation != generation {
            return Err(format!(
                "status speaks of generation {:?}, spec is {generation:?}",
                status.observed_generation
            ));
        }
        Ok((found.status.clone(), found.reason.clone(), found.message.clone()))
    }

    /// The boot that its host is in, asleep or awake.
    pub fn boot(&self) -> Option<String> {
        let host = self.host().ok()?;
        let vm = self.scene.cloud.vms.get(&Place::new(&host.zone, &host.name))?;
        vm.guest.as_ref().map(|guest| guest.boot_id.clone())
    }

    /// Whether Jupyter answers on any host of the notebook.
    pub fn serves(&self) -> bool {
        self.host().is_ok_and(|host| self.scene.serves(host))
    }
}

/// Why a story ended early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failed {
    /// Something did not come about in its time.
    #[error("chapter '{chapter}': not within {bound_s:.0} s: {lacking}")]
    TooLate {
        /// Which chapter.
        chapter: String,
        /// The bound.
        bound_s: f64,
        /// What was lacking at its end.
        lacking: String,
    },
    /// Something that had to hold meanwhile did not.
    #[error("chapter '{chapter}': {what}")]
    Meanwhile {
        /// Which chapter.
        chapter: String,
        /// What did not hold.
        what: String,
    },
    /// What a person did was refused.
    #[error("chapter '{chapter}': {refusal}")]
    Refused {
        /// Which chapter.
        chapter: String,
        /// The API server's words.
        refusal: String,
    },
    /// An oracle found something.
    #[error("chapter '{chapter}': an oracle found something")]
    Violated {
        /// Which chapter.
        chapter: String,
    },
}

/// Tells chapters, one after the other, of the notebook `name`.
pub async fn tell(run: &Run, name: &str, chapters: &[Chapter]) -> Result<(), Failed> {
    for chapter in chapters {
        run.tell_chapter(name, chapter).await?;
    }
    Ok(())
}

/// Tells chapters until one has begun and ended after the last cut, and then the last of all. Without a cut, all of them.
pub async fn tell_recovery(run: &Run, name: &str, chapters: &[Chapter]) -> Result<(), Failed> {
    let Some((ending, before)) = chapters.split_last() else { return Ok(()) };
    for chapter in before {
        let has_recovered = run.shared().crashes() > 0 && run.shared().cuts_left() == 0;
        run.tell_chapter(name, chapter).await?;
        if has_recovered {
            break;
        }
    }
    run.tell_chapter(name, ending).await
}

impl Run {
    async fn tell_chapter(&self, name: &str, chapter: &Chapter) -> Result<(), Failed> {
        self.shared().note(Weight::Headline, "story", chapter.name, "");
        for act in &chapter.acts {
            self.act(name, act).map_err(|refusal| Failed::Refused { chapter: chapter.name.to_owned(), refusal })?;
        }
        let bound_s = chapter.cloud_s + self.allowance_s();
        self.until(name, chapter.name, bound_s, &chapter.until, chapter.meanwhile.as_ref()).await?;
        if chapter.rests {
            self.quiet(chapter.name).await?;
            self.shared().rests();
            self.in_order(chapter.name)?;
        }
        if chapter.still {
            self.still(name, chapter.name).await?;
        }
        Ok(())
    }

    /// The time beyond the cloud's own that a change may take: a minute, and what was inflicted on the controller.
    fn allowance_s(&self) -> f64 {
        let cuts = u32::try_from(self.settings.cuts.len()).unwrap_or(u32::MAX);
        let absence_s = self.settings.absence.as_secs_f64();
        let faults_s = if self.settings.faults.is_some() { 240.0 } else { 0.0 };
        60.0 + f64::from(cuts) * (absence_s + 30.0) + faults_s
    }

    /// Does something, and lets the oracles look.
    pub fn act(&self, name: &str, act: &Act) -> Result<(), String> {
        let told = match act {
            Act::Apply(manifest) => format!("applies {}", manifest["spec"]),
            other => format!("{other:?}"),
        };
        self.shared().note(Weight::Headline, PERSON, told, "");
        let hand = self.hand(PERSON);
        let done = match act {
            Act::Apply(manifest) => hand.apply(manifest).map(|_| ()),
            Act::Annotate(key, value) => {
                let patch = json!({"metadata": {"annotations": {*key: value}}});
                hand.patch("Notebook", NAMESPACE, name, "", &patch).map(|_| ())
            }
            Act::LeaveAlone => {
                self.is_left_alone(name);
                Ok(())
            }
            Act::Delete => hand.delete("Notebook", NAMESPACE, name).map(|_| ()),
            Act::Capacity(pattern, most) => {
                self.with_world(|world| world.capacity_set(ZONE, pattern, *most));
                Ok(())
            }
        };
        self.shared().stepped();
        done.map_err(|refusal| refusal.message)
    }

    /// The serving host reports once more, with what it sees of its use: nothing, from now on.
    fn is_left_alone(&self, name: &str) {
        let scene = self.shared().scene();
        let view = View { scene: &scene, name };
        let Ok(status) = view.status() else { return };
        let (Some(host), Some(home)) = (&status.host, &status.home) else { return };
        let activity = GuestActivity {
            last_activity: scene.now,
            kernels: 1,
            busy_kernels: 0,
            connections: 0,
            terminals: 0,
            busy_terminals: 0,
        };
        let report = GuestReport {
            boot_id: host.boot_id.clone().unwrap_or_default(),
            nonce: host.nonce.clone(),
            state: GuestState::Serving,
            content_id: Some(home.content_id.clone()),
            failure: None,
            message: String::new(),
            seen: GuestSeen { activity: Some(activity), ..GuestSeen::default() },
        };
        let text = serde_json::to_string(&report).unwrap_or_default();
        self.with_world(|world| {
            world.guest_attribute_set(&host.zone, &host.name, REPORT_NAMESPACE, REPORT_KEY, &text);
        });
    }

    /// Waits until the condition holds, at most `bound_s` virtual seconds.
    pub async fn until(
        &self,
        name: &str,
        chapter: &str,
        bound_s: f64,
        condition: &Condition,
        meanwhile: Option<&Condition>,
    ) -> Result<(), Failed> {
        let mut steps = self.shared().steps();
        let deadline = tokio::time::Instant::now() + Duration::from_secs_f64(bound_s);
        loop {
            steps.borrow_and_update();
            self.in_order(chapter)?;
            let scene = self.shared().scene();
            let view = View { scene: &scene, name };
            if let Some(Err(what)) = meanwhile.map(|meanwhile| meanwhile(&view)) {
                return Err(Failed::Meanwhile { chapter: chapter.to_owned(), what });
            }
            let Err(lacking) = condition(&view) else { return Ok(()) };
            if tokio::time::timeout_at(deadline, steps.changed()).await.is_err() {
                return Err(Failed::TooLate { chapter: chapter.to_owned(), bound_s, lacking });
            }
        }
    }

    /// Waits until nothing has been written or changed for a while.
    pub async fn quiet(&self, chapter: &str) -> Result<(), Failed> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs_f64(60.0 + self.allowance_s());
        loop {
            self.shared().watch_doings();
            self.wait(QUIET).await;
            let (stillness, _) = self.shared().doings();
            self.in_order(chapter)?;
            if stillness.found().is_empty() {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                let lacking = format!("it does not come to rest: {}", stillness.found().join("; "));
                return Err(Failed::TooLate { chapter: chapter.to_owned(), bound_s: 60.0, lacking });
            }
        }
    }

    /// Sixty seconds without a write or a look, then sixty with churn beside and without a write.
    pub async fn still(&self, name: &str, chapter: &str) -> Result<(), Failed> {
        self.shared().calm(true);
        let watched = self.watch_stillness(name, chapter).await;
        self.shared().calm(false);
        watched
    }

    /// Once the sweeps have seen the end of what was before, nothing is written for so long.
    pub async fn rests_after_sweeps(&self, time: Duration) {
        self.sweeps_catch_up().await;
        self.shared().watch_doings();
        self.wait(time).await;
        let (stillness, _) = self.shared().doings();
        for found in stillness.found() {
            self.shared().found(Stillness::NAME, Stillness::SENTENCE, found);
        }
    }

    async fn watch_stillness(&self, name: &str, chapter: &str) -> Result<(), Failed> {
        self.sweeps_catch_up().await;
        self.watch_window(async || {
            self.wait(STILL).await;
            0
        })
        .await;
        self.watch_window(async || churn::churn(self, name, STILL).await).await;
        self.shared().rests();
        self.in_order(chapter)
    }

    /// The sweeps have yet to see what has just ended: that is a cause to look. So is a new process, which looks at everything once:
    /// whoever was cut down meanwhile is waited for anew.
    async fn sweeps_catch_up(&self) {
        loop {
            let crashes = self.shared().crashes();
            self.wait(Duration::from_secs(2 * self.settings.sweep_interval_s)).await;
            if self.shared().crashes() == crashes {
                return;
            }
        }
    }

    /// Watches while `time` passes, which gives back how many looks there were causes for. Nothing may be written, come what may;
    /// but a controller that was cut down meanwhile has looked at everything once, so that its looks are counted in another
    /// window.
    async fn watch_window(&self, time: impl AsyncFn() -> usize) {
        loop {
            let crashes = self.shared().crashes();
            self.shared().watch_doings();
            let causes = time().await;
            let (stillness, looks) = self.shared().doings();
            for found in stillness.found() {
                self.shared().found(Stillness::NAME, Stillness::SENTENCE, found);
            }
            if self.shared().crashes() == crashes {
                for found in looks.found(causes) {
                    self.shared().found(IdleLooks::NAME, IdleLooks::SENTENCE, found);
                }
                return;
            }
            self.sweeps_catch_up().await;
        }
    }

    /// Nothing is wrong so far.
    pub fn in_order(&self, chapter: &str) -> Result<(), Failed> {
        if self.shared().violations().is_empty() {
            return Ok(());
        }
        Err(Failed::Violated { chapter: chapter.to_owned() })
    }
}
