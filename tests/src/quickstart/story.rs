//! The story: one notebook is created, grows, meets a stockout, moves into a pod and back, rests, and is deleted with its disk kept.

mod on_real_machines;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rehost_api::Notebook;
use serde_json::{Value, json};

use super::board::{self, Board, TooLate};
use super::checks::Checks;
use super::course::Course;
use super::expect::Expect;
use super::look::Look;
use super::report::{Step, seconds};
use super::screen::Screen;
use super::{HERO, NAMESPACE, NEIGHBOUR};
use crate::control_plane::kubectl::CommandError;
use crate::control_plane::{ADMIN, ControlPlaneError, Kubectl};
use crate::kernel::KernelError;
use crate::manifests::root;
use crate::stand::{Ledger, Stand, Timeline, ZONE, share};

/// The longest that any step may take, in the cloud's seconds.
const STEP_S: f64 = 1_800.0;
/// Added to that in real time, for a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(1);
/// Machines with the GPU that the story wishes for.
const GPU_SHAPES: &str = "*+nvidia-tesla-t4:*";

/// Why the story could not be told to its end.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// A step did not end.
    #[error(transparent)]
    TooLate(#[from] TooLate),
    /// kubectl failed.
    #[error(transparent)]
    Kubectl(#[from] CommandError),
    /// The notebook's person could not work.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// No way into the notebook.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The control plane failed.
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
}

/// What a person types.
enum Edit<'a> {
    /// `kubectl apply -k`.
    Samples,
    /// `kubectl patch`.
    Spec(Value),
    /// `kubectl annotate`.
    Annotation(&'a str),
    /// `kubectl delete`.
    Delete,
}

/// Tells the story.
pub struct Story<'a> {
    stand: &'a Stand,
    ledger: Ledger,
    kubectl: Kubectl,
    board: Arc<Board>,
    timeline: Timeline,
    look: Look,
    course: Option<Course>,
    opened: Option<(Course, String)>,
    screen: Screen,
    scale: f64,
    /// What the steps took.
    pub steps: Vec<Step>,
    /// What they had to show.
    pub checks: Checks,
}

impl<'a> Story<'a> {
    /// A story on this installation, whose exchanges with the cloud `ledger` sees.
    pub async fn new(
        stand: &'a Stand,
        ledger: Ledger,
        board: Arc<Board>,
        screen: Screen,
        checks: Checks,
    ) -> Result<Story<'a>, StoryError> {
        let client = stand.plane.client(ADMIN).await?;
        let timeline = Timeline::watch(client.clone(), stand.clock.clone(), NAMESPACE, HERO);
        let fleet = stand.real.as_ref().map(|real| real.fleet.clone());
        let look = Look::new(client.clone(), stand.cloud.clone()).at_disks_of(fleet);
        let course = match &stand.real {
            Some(real) => Some(Course::open(stand, real, client, HERO).await?),
            None => None,
        };
        let scale = stand.cloud.world.clock().scale();
        let kubectl = stand.plane.kubectl();
        Ok(Self {
            stand,
            ledger,
            kubectl,
            board,
            timeline,
            look,
            course,
            opened: None,
            screen,
            scale,
            steps: Vec::new(),
            checks,
        })
    }

    /// Tells it.
    pub async fn tell(&mut self) -> Result<(), StoryError> {
        let mut expect = Expect::new(self.look.clone(), self.kubectl.clone(), self.ledger.clone());
        expect.definitions(&mut self.checks).await?;

        self.create().await?;
        let (hero, neighbour) = (self.hero()?, self.neighbour()?);
        expect.created(&mut self.checks, &hero, &neighbour).await?;

        if let Some(real) = &self.stand.real {
            self.add_course(real).await?;
            self.work().await?;
            expect.worked(&mut self.checks).await;
        }

        self.raise_machine_type().await?;
        let hero = self.hero()?;
        expect.machine_type_raised(&mut self.checks, &hero).await;

        let step = self.meet_stockout().await?;
        let hero = self.hero()?;
        expect.stockout(&mut self.checks, &hero, &step).await?;

        self.get_gpu().await?;
        let hero = self.hero()?;
        expect.gpu_added(&mut self.checks, &hero).await;

        self.move_into_pod().await?;
        let hero = self.hero()?;
        expect.in_a_pod(&mut self.checks, &hero).await;

        let step = self.raise_cpu().await?;
        let hero = self.hero()?;
        expect.cpu_raised(&mut self.checks, &hero, &step).await;

        self.move_back().await?;
        let hero = self.hero()?;
        expect.moved_back(&mut self.checks, &hero).await;

        self.change_in_place().await?;
        let hero = self.hero()?;
        expect.changed_in_place(&mut self.checks, &hero, &self.steps).await;

        self.stop().await?;
        let hero = self.hero()?;
        expect.stopped(&mut self.checks, &hero).await;

        self.delete().await?;
        expect.deleted(&mut self.checks, self.board.get(NAMESPACE, HERO).is_none()).await;
        self.come_back().await?;
        let hero = self.hero()?;
        expect.kept_disk_named(&mut self.checks, &hero);
        self.go_again().await?;
        let neighbour = self.neighbour()?;
        expect.throughout(&mut self.checks, &neighbour).await;
        if let Some(real) = &self.stand.real {
            self.open_neighbour(real).await?;
        }
        Ok(())
    }

    async fn create(&mut self) -> Result<(), StoryError> {
        let both = |notebook: Option<&Notebook>| notebook.is_some_and(board::is_ready);
        self.step("created", &Edit::Samples, both).await?;
        let within = self.limit();
        self.board.until("is ready", NAMESPACE, NEIGHBOUR, within, both).await?;
        Ok(())
    }

    async fn raise_machine_type(&mut self) -> Result<Step, StoryError> {
        let edit = Edit::Spec(json!({"host": {"vm": {"machineType": "n1-standard-8"}}}));
        self.step("machine type raised", &edit, |notebook| runs_as(notebook, "n1-standard-8")).await
    }

    async fn meet_stockout(&mut self) -> Result<Step, StoryError> {
        self.screen.say("    (the zone has no such GPU left)");
        self.stand.cloud.capacity(ZONE, GPU_SHAPES, Some(0));
        let edit = Edit::Spec(json!({"host": {"vm": {"gpu": {"type": "nvidia-tesla-t4", "count": 1}}}}));
        let short = |notebook: Option<&Notebook>| {
            notebook.is_some_and(|notebook| {
                let resting = notebook.status.as_ref().is_some_and(|status| status.transition.is_none());
                board::is_current(notebook) && resting && board::reason(notebook, "Ready") == "Stockout"
            })
        };
        self.step("GPU out of stock, serves on", &edit, short).await
    }

    async fn get_gpu(&mut self) -> Result<Step, StoryError> {
        self.screen.say("    (the zone has such GPUs again)");
        self.stand.cloud.capacity(ZONE, GPU_SHAPES, None);
        let edit = Edit::Annotation("rehost.dev/wake=now");
        self.step("GPU added", &edit, |notebook| runs_as(notebook, "n1-standard-8 + 1 nvidia-tesla-t4")).await
    }

    async fn move_into_pod(&mut self) -> Result<Step, StoryError> {
        let pod = json!({"resources": {"cpu": "500m", "memory": "2Gi"}});
        let edit = Edit::Spec(json!({"host": {"vm": null, "pod": pod}}));
        self.step("moved into a pod", &edit, |notebook| runs_as(notebook, "500m cpu, 2Gi")).await
    }

    async fn raise_cpu(&mut self) -> Result<Step, StoryError> {
        let edit = Edit::Spec(json!({"host": {"pod": {"resources": {"cpu": "1"}}}}));
        self.step("cpu raised live", &edit, |notebook| runs_as(notebook, "1 cpu, 2Gi")).await
    }

    async fn move_back(&mut self) -> Result<Step, StoryError> {
        let edit = Edit::Spec(json!({"host": {"pod": null, "vm": {"machineType": "n1-standard-4"}}}));
        self.step("moved back", &edit, |notebook| runs_as(notebook, "n1-standard-4")).await
    }

    async fn change_in_place(&mut self) -> Result<Step, StoryError> {
        let edit = Edit::Spec(json!({"host": {"vm": {"machineType": "n1-standard-8"}}, "resize": {"how": "InPlace"}}));
        self.step("the same in place", &edit, |notebook| runs_as(notebook, "n1-standard-8")).await
    }

    async fn stop(&mut self) -> Result<Step, StoryError> {
        let edit = Edit::Spec(json!({"state": "Stopped"}));
        let stopped = |notebook: Option<&Notebook>| {
            notebook.is_some_and(|notebook| board::is_ready(notebook) && board::says(notebook, "Serving") == "False")
        };
        self.step("stopped", &edit, stopped).await
    }

    async fn delete(&mut self) -> Result<Step, StoryError> {
        self.step("deleted, disk retained", &Edit::Delete, |notebook| notebook.is_none()).await
    }

    /// The same notebook is made again: its kept disk is not passed over in silence.
    async fn come_back(&mut self) -> Result<(), StoryError> {
        let manifest = std::fs::read_to_string(root().join("config/samples/vm-notebook.yaml")).unwrap_or_default();
        self.kubectl.apply(&manifest).await?;
        let told = |notebook: Option<&Notebook>| notebook.is_some_and(|one| board::says(one, "Stalled") == "True");
        self.board.until("says what became of its disk", NAMESPACE, HERO, self.limit(), told).await?;
        Ok(())
    }

    async fn go_again(&mut self) -> Result<(), StoryError> {
        self.kubectl.output(&["-n", NAMESPACE, "delete", "nb", HERO, "--wait=false"]).await?;
        self.board.until("is gone", NAMESPACE, HERO, self.limit(), |notebook| notebook.is_none()).await?;
        Ok(())
    }

    /// One edit, and what came of it.
    async fn step(
        &mut self,
        title: &str,
        edit: &Edit<'_>,
        done: impl Fn(Option<&Notebook>) -> bool,
    ) -> Result<Step, StoryError> {
        let command = shown(edit);
        self.screen.say(&format!("\n{title}\n    $ {command}"));
        let before = self.stand.clock.now();
        self.make(edit).await?;
        // From when the API server had it: kubectl's own time is nobody's here.
        let edited = self.board.edited(NAMESPACE, HERO).filter(|at| *at > before).unwrap_or(before);
        let after = self.board.until(title, NAMESPACE, HERO, self.limit(), done).await?;
        self.address_follows(after.as_ref()).await;
        let ended = self.stand.clock.now();
        let step = self.account(title, command, after.as_ref(), edited, ended);
        self.screen.say(&format!(
            "    done in {} of the cloud; without a ready address at most {}; disk {}",
            seconds(step.took_s),
            seconds(step.unready_longest_s),
            step.disk_id,
        ));
        self.steps.push(step.clone());
        Ok(step)
    }

    async fn make(&self, edit: &Edit<'_>) -> Result<(), StoryError> {
        match edit {
            Edit::Samples => {
                let samples = root().join("config/samples").display().to_string();
                self.kubectl.output(&["apply", "-k", &samples]).await?;
            }
            Edit::Spec(spec) => {
                let patch = json!({"spec": spec}).to_string();
                self.kubectl.output(&["-n", NAMESPACE, "patch", "nb", HERO, "--type=merge", "-p", &patch]).await?;
            }
            Edit::Annotation(value) => {
                self.kubectl.output(&["-n", NAMESPACE, "annotate", "--overwrite", "nb", HERO, value]).await?;
            }
            Edit::Delete => {
                self.kubectl.output(&["-n", NAMESPACE, "delete", "nb", HERO, "--wait=false"]).await?;
            }
        }
        Ok(())
    }

    /// The watch of the addresses can be a moment behind the status that it is compared with.
    async fn address_follows(&self, notebook: Option<&Notebook>) {
        let serves = notebook.is_some_and(|notebook| board::says(notebook, "Serving") == "True");
        for _ in 0..100 {
            if self.timeline.address().is_some() == serves {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn account(
        &self,
        title: &str,
        command: String,
        after: Option<&Notebook>,
        edited: Timestamp,
        ended: Timestamp,
    ) -> Step {
        let gaps: Vec<f64> =
            self.timeline.unready(edited, ended).iter().map(|gap| gap.lasted().as_secs_f64()).collect();
        let status = after.map(board::status).unwrap_or_default();
        let disk = status.home.as_ref().map(|home| home.disk.clone());
        let mut step = Step {
            title: title.to_owned(),
            command,
            took_s: ended.duration_since(edited).as_secs_f64(),
            unready_longest_s: gaps.iter().copied().fold(0.0, f64::max),
            unready_s: gaps.iter().sum(),
            unanswered_longest_s: self.course.as_ref().map(|course| course.caller.longest_gap_s(edited, ended)),
            operations_s: 0.0,
            guests_s: 0.0,
            controller_first_s: 0.0,
            controller_between_s: 0.0,
            host: status.host.as_ref().map(|host| format!("{:?}", host.kind)).unwrap_or_default(),
            shape: status.host.as_ref().map(|host| host.shape.clone()).unwrap_or_default(),
            disk_id: status.home.and_then(|home| home.id).or_else(|| self.last_disk()).unwrap_or_default(),
            calls: Vec::new(),
        };
        let stem = disk.map(|disk| stem(&disk)).or_else(|| self.stem());
        if let Some(stem) = stem {
            let operations = self.ledger.of(&self.stand.cloud, &stem, edited, ended);
            let machines: Vec<String> = self.look.machines(&stem).into_iter().map(|(name, _)| name).collect();
            let reports = self.stand.cloud.reports(ZONE, &machines);
            step.account(&operations, share(&operations, &reports, edited, ended), edited);
        }
        step
    }

    fn last_disk(&self) -> Option<String> {
        self.steps.last().map(|step| step.disk_id.clone())
    }

    /// The part of names in the cloud that stands for the notebook, from an earlier step.
    fn stem(&self) -> Option<String> {
        let calls = self.steps.iter().flat_map(|step| &step.calls);
        calls.map(|call| call.target.as_str()).find(|target| target.contains("-home-t")).map(stem)
    }

    fn limit(&self) -> Duration {
        PATIENCE + Duration::from_secs_f64(STEP_S / self.scale)
    }

    fn hero(&self) -> Result<Notebook, StoryError> {
        self.there(HERO)
    }

    fn neighbour(&self) -> Result<Notebook, StoryError> {
        self.there(NEIGHBOUR)
    }

    fn there(&self, name: &str) -> Result<Notebook, StoryError> {
        self.board.get(NAMESPACE, name).ok_or_else(|| TooLate::gone(name).into())
    }
}

/// The part of a disk's or machine's name that stands for the notebook: `rehost-0123456789abcdef-`.
fn stem(name: &str) -> String {
    let words: Vec<&str> = name.split('-').take(2).collect();
    format!("{}-", words.join("-"))
}

fn runs_as(notebook: Option<&Notebook>, shape: &str) -> bool {
    notebook.is_some_and(|notebook| board::is_ready(notebook) && board::shape(notebook) == shape)
}

fn shown(edit: &Edit<'_>) -> String {
    match edit {
        Edit::Samples => "kubectl apply -k config/samples".to_owned(),
        Edit::Spec(spec) => {
            format!("kubectl -n {NAMESPACE} patch nb {HERO} --type=merge -p '{}'", json!({"spec": spec}))
        }
        Edit::Annotation(value) => format!("kubectl -n {NAMESPACE} annotate --overwrite nb {HERO} {value}"),
        Edit::Delete => format!("kubectl -n {NAMESPACE} delete nb {HERO}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_is_what_all_names_of_a_notebook_share() {
        assert_eq!(stem("rehost-0123456789abcdef-home-t1"), "rehost-0123456789abcdef-");
        assert_eq!(stem("rehost-0123456789abcdef-t4-a1"), "rehost-0123456789abcdef-");
    }
}
