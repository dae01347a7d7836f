//! Brings a whole installation up on this machine, with no cloud account, and tells the story of one notebook.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use rehost_tests::control_plane::{ADMIN, ControlPlaneError};
use rehost_tests::node;
use rehost_tests::quickstart::board::Board;
use rehost_tests::quickstart::checks::{Check, Checks};
use rehost_tests::quickstart::report::{Document, table};
use rehost_tests::quickstart::screen::{self, Screen, Show};
use rehost_tests::quickstart::story::Story;
use rehost_tests::quickstart::{HERO, NAMESPACE, NEIGHBOUR};
use rehost_tests::stand::{Hosts, Ledger, Stand, StandError, StandSettings};
use tokio::signal::unix::{SignalKind, signal};

/// How often the living table is looked at.
const REDRAWN_EVERY: Duration = Duration::from_millis(200);

/// Shows Rehost on this machine: a real API server, the real controller, a simulated Compute Engine.
#[derive(Parser)]
struct Arguments {
    /// Tells the story without staying, checks what each step shows, and fails if one does not.
    #[arg(long)]
    check: bool,
    /// Tells the story without staying, and writes one JSON document.
    #[arg(long)]
    json: bool,
    /// Appends one JSON line for every request to the simulated cloud.
    #[arg(long, value_name = "FILE")]
    world_log: Option<PathBuf>,
    /// How many seconds of the cloud pass in a real one. Real machines take their own time, so there it is less by default.
    #[arg(long, value_name = "FACTOR", value_parser = factor)]
    time_scale: Option<f64>,
    /// Goes on without real machines, also where there could be some.
    #[arg(long)]
    simulated: bool,
}

fn factor(text: &str) -> Result<f64, String> {
    let factor: f64 = text.parse().map_err(|_| format!("{text} is not a number"))?;
    if factor.is_finite() && (0.1..=100.0).contains(&factor) {
        Ok(factor)
    } else {
        Err(format!("{text} is not between 0.1 and 100"))
    }
}

/// Why there was nothing to show.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Stand(#[from] StandError),
    #[error(transparent)]
    ControlPlane(#[from] ControlPlaneError),
    #[error("cannot wait for signals: {0}")]
    Signal(std::io::Error),
    #[error("the document could not be written: {0}")]
    Json(#[from] serde_json::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("RUST_LOG").unwrap_or_else(|_| "off".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let stopped = async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signal)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signal)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok::<ExitCode, Failure>(ExitCode::from(130))
    };
    let stays = !arguments.check && !arguments.json;
    // Whichever ends first: what was brought up goes with the future that is dropped.
    let outcome = tokio::select! {
        outcome = run(arguments) => outcome,
        outcome = stopped => outcome.map(|code| if stays { ExitCode::SUCCESS } else { code }),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("quickstart: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { check, json, world_log, time_scale, simulated } = arguments;
    let lacking = if simulated { Some("they were not asked for".to_owned()) } else { node::missing() };
    let hosts = if lacking.is_none() { Hosts::Real } else { Hosts::Simulated };
    let time_scale = time_scale.unwrap_or(match hosts {
        Hosts::Real => 3.0,
        Hosts::Simulated => 5.0,
    });
    let show = match (json, check) {
        (true, _) => Show::Aside,
        (false, true) => Show::Lines,
        (false, false) => Show::Table,
    };
    let screen = Screen::new(show);
    if let Some(why) = &lacking {
        screen.say(&format!("without real machines: {why}"));
    }
    let ledger = Ledger::default();
    let said = screen.clone();
    let settings = StandSettings {
        time_scale,
        hosts,
        world_log,
        progress: Arc::new(move |part| said.say(&format!("bringing up {part}"))),
        ..StandSettings::default()
    };
    let stand = Stand::start(settings, vec![ledger.observer()]).await?;
    screen.say(&format!(
        "up; one second here is {time_scale} of the simulated cloud, and all times below are the cloud's"
    ));
    let board = Arc::new(Board::watch(stand.plane.client(ADMIN).await?, stand.clock.clone()));
    let drawing = tokio::spawn(draw(screen.clone(), board.clone(), stand.clock.clone()));
    let checks = Checks::new(shown_on(screen.clone(), check));

    let mut story = match Story::new(&stand, ledger, board, screen.clone(), checks).await {
        Ok(story) => story,
        Err(error) => {
            screen.say(&format!("the story could not begin: {error}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let broke_off = story.tell().await.err().map(|error| error.to_string());
    if let Some(why) = &broke_off {
        story.checks.that("the story is told to its end", false, why);
    }
    if json {
        let document = Document::new(time_scale, &story.steps, &story.checks, broke_off);
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        screen.say(&format!("\n{}", table(&story.steps)));
        if check {
            screen.say(&format!("{} passed, {} failed", story.checks.passed(), story.checks.failed()));
        }
    }
    if !check && !json {
        screen.say(&invitation(&stand, story.link()));
        // Until Ctrl-C drops this future.
        std::future::pending::<()>().await;
    }
    drawing.abort();
    Ok(if story.checks.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every check when they are what is asked for, otherwise those that fail: a story that is not true says so.
fn shown_on(screen: Screen, all: bool) -> Arc<dyn Fn(&Check) + Send + Sync> {
    Arc::new(move |check: &Check| match (check.passed, all) {
        (true, true) => screen.say(&format!("    ok      {}", check.name)),
        (true, false) => {}
        (false, _) => screen.say(&format!("    FAILED  {}: {}", check.name, check.found)),
    })
}

async fn draw(screen: Screen, board: Arc<Board>, clock: rehost::clock::SharedClock) {
    loop {
        let notebooks = board.all();
        if !notebooks.is_empty() {
            let now = clock.now().strftime("%H:%M:%S UTC").to_string();
            screen.show(screen::table(&now, notebooks.values()));
        }
        tokio::time::sleep(REDRAWN_EVERY).await;
    }
}

fn invitation(stand: &Stand, link: Option<&str>) -> String {
    let door = link.map_or_else(String::new, |url| {
        format!("{NEIGHBOUR} is open, with its course and its bucket:\n\n    {url}\n\n")
    });
    let kubectl = stand.plane.kubectl();
    let folder = kubectl.program().parent().map(|folder| folder.display().to_string()).unwrap_or_default();
    let to_vm = r#"{"spec":{"host":{"pod":null,"vm":{"machineType":"n1-standard-8"}}}}"#;
    format!(
        "{door}It stays up until Ctrl-C, and leaves nothing behind. In another terminal:

    export KUBECONFIG={} PATH=$PATH:{folder}

Three things to try:
  1. Move the pod's home to a machine, and watch:
       kubectl -n {NAMESPACE} patch nb {NEIGHBOUR} --type=merge -p '{to_vm}'
       kubectl -n {NAMESPACE} get nb -w
  2. Make {HERO} again, and read what it says about the disk that was kept:
       kubectl apply -f config/samples/vm-notebook.yaml
       kubectl -n {NAMESPACE} describe nb {HERO}
  3. Ask for what cannot be, and read why:
       kubectl -n {NAMESPACE} patch nb {NEIGHBOUR} --type=merge -p '{{\"spec\":{{\"storage\":{{\"size\":\"10Gi\"}}}}}}'
       kubectl explain nb.spec.host
",
        stand.plane.kubeconfig().display(),
    )
}
