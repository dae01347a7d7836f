//! What the story has only where machines are real: a course that a person runs, and a door that is open in the end.

use std::time::Duration;

use rehost_api::Notebook;
use serde_json::json;

use super::{Edit, STEP_S, Story, StoryError, runs_as};
use crate::control_plane::ADMIN;
use crate::quickstart::board::{self, TooLate};
use crate::quickstart::course::Course;
use crate::quickstart::look::kernels_are_made;
use crate::quickstart::{HERO, NAMESPACE, NEIGHBOUR};
use crate::stand::Real;

impl Story<'_> {
    /// A repository and a bucket, told to the running machine.
    pub(super) async fn add_course(&mut self, real: &Real) -> Result<(), StoryError> {
        let allowed = Course::allowed(real).to_string();
        self.kubectl.output(&["patch", "notebookclass", "default", "--type=merge", "-p", &allowed]).await?;
        let told = |notebook: Option<&Notebook>| {
            notebook.is_some_and(|one| {
                board::is_ready(one) && board::says(one, "Source") == "True" && board::says(one, "Buckets") == "True"
            })
        };
        self.step("a course and a bucket added", &Edit::Spec(Course::wished(real)), told).await?;
        Ok(())
    }

    /// The person runs the course. Until the kernels' environment is made, that goes on writing into the home.
    pub(super) async fn work(&mut self) -> Result<(), StoryError> {
        let (Some(course), Some(home)) = (&self.course, board::status(&self.hero()?).home) else { return Ok(()) };
        let began = self.stand.clock.now();
        while !kernels_are_made(&self.look.all_files(&home.disk).await) {
            if self.stand.clock.now().duration_since(began).as_secs_f64() > STEP_S {
                return Err(TooLate::gone("the kernels' environment").into());
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        course.work(&self.token(HERO)?).await?;
        self.screen.say("    the course was run: its results are in the home, in the bucket, and committed");
        for (file, sum) in self.look.on_disk(&home.disk).await.files {
            self.screen.say(&format!("    {sum}  {file}"));
        }
        Ok(())
    }

    fn token(&self, name: &str) -> Result<String, StoryError> {
        let uid = self.there(name)?.metadata.uid.unwrap_or_default();
        self.stand.access.token(&uid).ok_or_else(|| TooLate::gone("the key of the tokens").into())
    }

    /// The notebook beside it moves from its pod onto a machine, with a course, and its person is let in.
    pub(super) async fn open_neighbour(&mut self, real: &Real) -> Result<(), StoryError> {
        let mut spec = Course::wished(real);
        spec["host"] = json!({"pod": null, "vm": {"machineType": "n1-standard-2"}});
        let patch = json!({"spec": spec}).to_string();
        self.screen
            .say(&format!("\n{NEIGHBOUR} moves onto a machine\n    $ kubectl patch nb {NEIGHBOUR} -p '{patch}'"));
        self.kubectl.output(&["-n", NAMESPACE, "patch", "nb", NEIGHBOUR, "--type=merge", "-p", &patch]).await?;
        let moved = |notebook: Option<&Notebook>| {
            runs_as(notebook, "n1-standard-2") && notebook.is_some_and(|one| board::says(one, "Source") == "True")
        };
        self.board.until("runs on a machine", NAMESPACE, NEIGHBOUR, self.limit(), moved).await?;
        let client = self.stand.plane.client(ADMIN).await?;
        let course = Course::open(self.stand, real, client, NEIGHBOUR).await?;
        let token = self.token(NEIGHBOUR)?;
        course.work(&token).await?;
        let url = course.url(&token);
        let page = course.page(&token).await?;
        self.checks.that("its person is let into JupyterLab by the link", page.contains("JupyterLab"), &page);
        self.opened = Some((course, url));
        Ok(())
    }

    /// Where a browser lets the person in, once the story is told; where machines are real.
    #[must_use]
    pub fn link(&self) -> Option<&str> {
        self.opened.as_ref().map(|(_, url)| url.as_str())
    }
}
