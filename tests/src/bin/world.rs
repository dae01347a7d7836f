//! The simulated Compute Engine alone, over HTTP.

use clap::Parser;
use jiff::Timestamp;
use rehost_tests::world::exchange::log_file;
use rehost_tests::world::rest::{ServeError, SharedWorld, WorldClock, serve};
use rehost_tests::world::{World, WorldSettings};
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serves a simulated Compute Engine API on this machine until it is told to stop.
#[derive(Parser)]
struct Arguments {
    /// A loopback address; port 0 chooses a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The only project that the world has, beside those of public images.
    #[arg(long, default_value = "demo-project")]
    project: String,
    /// How many seconds of the world pass in a real one.
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
    /// What chance is drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Appends one JSON line a request.
    #[arg(long)]
    log: Option<PathBuf>,
}

#[derive(Debug, Error)]
enum Failure {
    #[error("--time-scale must be a positive number, not {0}")]
    TimeScale(f64),
    #[error("cannot open the log {}: {error}", path.display())]
    Log { path: PathBuf, error: std::io::Error },
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: std::io::Error },
    #[error("cannot wait for signals: {0}")]
    Signal(std::io::Error),
    #[error(transparent)]
    Serve(#[from] ServeError),
}

#[tokio::main]
async fn main() -> std::process::ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(Arguments::parse()).await {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("world: {failure}");
            std::process::ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { listen, project, time_scale, seed, log } = arguments;
    if !(time_scale.is_finite() && time_scale > 0.0) {
        return Err(Failure::TimeScale(time_scale));
    }
    let observers = match log {
        Some(path) => vec![log_file(&path).map_err(|error| Failure::Log { path, error })?],
        None => Vec::new(),
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Signal)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Signal)?;
    let listener = TcpListener::bind(listen).await.map_err(|error| Failure::Listen { address: listen, error })?;
    let address = listener.local_addr().map_err(ServeError::Io)?;
    let start = now();
    let world = World::new(WorldSettings {
        project: project.clone(),
        project_number: 123_456_789_012,
        seed,
        start,
        base_url: "https://www.googleapis.com/compute/v1".to_owned(),
        guests: true,
    });
    let world = SharedWorld::new(world, WorldClock::new(start, time_scale), observers);
    println!(
        "listening: CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE=http://{address}/compute/v1/ CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true CLOUDSDK_CORE_PROJECT={project}"
    );
    serve(listener, world, async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
    .await?;
    Ok(())
}

/// A world that a person talks to shows the person's own time, as gcloud compares it with its own.
#[allow(clippy::disallowed_methods, reason = "the program's one look at the wall clock; all else is the world's time")]
fn now() -> Timestamp {
    Timestamp::now()
}
