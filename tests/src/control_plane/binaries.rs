//! Where the programs of the control plane come from.
//!
//! Each program is looked for in `KUBEBUILDER_ASSETS`, then in the project's cache (`$REHOST_CACHE`, else
//! `~/.cache/rehost`), and else built from its Go modules into that cache by `tests/control-plane/build`, which also
//! holds two runs apart. With `REHOST_SETUP_ENVTEST` set, `setup-envtest` is asked for a prebuilt download before
//! anything is built; it is not asked by itself, since its downloads come from a host that closed networks do not reach.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program that the tests run as it is, not an imitation of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The store behind the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The command of most users.
    Kubectl,
    /// The command that installs the chart.
    Helm,
    /// What runs pods on a node.
    Kubelet,
    /// What makes the objects of a cluster follow each other.
    KubeControllerManager,
    /// What chooses nodes for pods.
    KubeScheduler,
    /// What makes the addresses of Services answer on a node.
    KubeProxy,
    /// Our own CSI drivers for a node.
    NodePlugin,
}

impl Program {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::Kubectl,
        Self::Helm,
        Self::Kubelet,
        Self::KubeControllerManager,
        Self::KubeScheduler,
        Self::KubeProxy,
        Self::NodePlugin,
    ];

    /// The name of the executable file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::Kubelet => "kubelet",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::KubeScheduler => "kube-scheduler",
            Self::KubeProxy => "kube-proxy",
            Self::NodePlugin => "node-plugin",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why a program could not be had.
#[derive(Debug, thiserror::Error)]
pub enum BinariesError {
    /// The build script did not start, or a file of the cache could not be read.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// The build ended with an error, which it explained.
    #[error("{program} could not be built: {explanation}")]
    Build {
        /// What was to be built.
        program: Program,
        /// The last lines of the build.
        explanation: String,
    },
}

/// How far a build has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being built.
    pub program: Program,
    /// Since this run began to build, or to wait for another run that builds.
    pub elapsed: Duration,
    /// What the build does.
    pub step: BuildStep,
}

/// What a build does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildStep {
    /// Modules are downloaded, so many until now.
    Downloading(usize),
    /// Packages are compiled: so many, of about so many; Go's own build cache may know some of them.
    Compiling(usize, usize),
}

impl fmt::Display for Progress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs();
        write!(formatter, "building {} from source, once: {}:{:02}, ", self.program, seconds / 60, seconds % 60)?;
        match self.step {
            BuildStep::Downloading(modules) => write!(formatter, "{modules} modules downloaded"),
            BuildStep::Compiling(built, total) => write!(formatter, "{built} of about {total} packages compiled"),
        }
    }
}

/// Finds every one of `programs`, building what is not there, and shows the progress of builds on standard error.
pub fn find_or_build(programs: &[Program]) -> Result<BTreeMap<Program, PathBuf>, BinariesError> {
    let mut display = Display::new();
    let found = find_or_build_with(programs, &mut |progress| display.show(progress));
    display.finish();
    found
}

/// As [`find_or_build`], with somebody else's eyes on the progress.
pub fn find_or_build_with(
    programs: &[Program],
    report: &mut dyn FnMut(&Progress),
) -> Result<BTreeMap<Program, PathBuf>, BinariesError> {
    let mut found = BTreeMap::new();
    for program in programs.iter().copied() {
        let path = match find(program)? {
            Some(path) => path,
            None => build(program, report)?,
        };
        found.insert(program, path);
    }
    Ok(found)
}

/// Where `program` is, if it needs no build.
pub fn find(program: Program) -> Result<Option<PathBuf>, BinariesError> {
    if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS") {
        let path = Path::new(&assets).join(program.name());
        if path.is_file() {
            return Ok(Some(path));
        }
    }
    let cached = cached(program)?;
    if cached.is_file() {
        return Ok(Some(cached));
    }
    Ok(prebuilt(program))
}

/// What setup-envtest has of `program`, where the person allows it to be asked.
fn prebuilt(program: Program) -> Option<PathBuf> {
    let version = std::env::var("REHOST_SETUP_ENVTEST").ok().filter(|version| !version.is_empty())?;
    let answer = Command::new("setup-envtest").args(["use", &version, "-p", "path"]).output();
    let explanation = match answer {
        Ok(output) if output.status.success() => {
            let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            let path = Path::new(&folder).join(program.name());
            if path.is_file() {
                return Some(path);
            }
            format!("{folder} holds no {program}")
        }
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    eprintln!("setup-envtest has no {program} for us ({explanation}), so it is built");
    None
}

/// Where the cache keeps `program`, built or not. The build script decides, so that there is one rule.
fn cached(program: Program) -> Result<PathBuf, BinariesError> {
    ask_script("where", program).map(PathBuf::from)
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("control-plane/build")
}

fn ask_script(question: &str, program: Program) -> Result<String, BinariesError> {
    let output = Command::new(script())
        .args([question, program.name()])
        .output()
        .map_err(|source| BinariesError::Io { what: format!("asking {} for {program}", script().display()), source })?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(BinariesError::Build { program, explanation: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }
}

#[allow(clippy::disallowed_methods, reason = "a person waits for this build by the wall clock")]
fn build(program: Program, report: &mut dyn FnMut(&Progress)) -> Result<PathBuf, BinariesError> {
    let log = PathBuf::from(ask_script("log", program)?);
    let started = Instant::now();
    let mut building = Command::new(script())
        .arg(program.name())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| BinariesError::Io { what: format!("starting {}", script().display()), source })?;
    loop {
        let ended = building
            .try_wait()
            .map_err(|source| BinariesError::Io { what: "waiting for the build".to_owned(), source })?;
        if ended.is_some() {
            break;
        }
        // A log that is not there yet is a build that has not begun.
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        report(&Progress { program, elapsed: started.elapsed(), step: step_of(&text) });
        std::thread::sleep(Duration::from_millis(500));
    }
    let output = building
        .wait_with_output()
        .map_err(|source| BinariesError::Io { what: "reading what the build said".to_owned(), source })?;
    if output.status.success() {
        cached(program)
    } else {
        Err(BinariesError::Build { program, explanation: String::from_utf8_lossy(&output.stderr).trim().to_owned() })
    }
}

/// Reads how far a build has come from what Go has written: downloads, our own count, then a package a line.
fn step_of(log: &str) -> BuildStep {
    let downloads = log.lines().filter(|line| line.starts_with("go: downloading")).count();
    let total = log.lines().find_map(|line| line.strip_prefix("packages ")?.trim().parse().ok());
    match total {
        None => BuildStep::Downloading(downloads),
        Some(total) => {
            let lines = log.lines().skip_while(|line| !line.starts_with("packages ")).skip(1);
            BuildStep::Compiling(lines.filter(|line| !line.starts_with("go: ")).count(), total)
        }
    }
}

/// Shows progress where a person looks: one line that changes on a terminal, a line now and then in a log.
struct Display {
    on_terminal: bool,
    shown_s: Option<u64>,
}

impl Display {
    const LOG_EVERY_S: u64 = 15;

    fn new() -> Self {
        Self { on_terminal: io::stderr().is_terminal(), shown_s: None }
    }

    fn show(&mut self, progress: &Progress) {
        let now_s = progress.elapsed.as_secs();
        let every_s = if self.on_terminal { 1 } else { Self::LOG_EVERY_S };
        // Less than before: another program's build began.
        if self.shown_s.is_some_and(|shown_s| now_s >= shown_s && now_s < shown_s + every_s) {
            return;
        }
        self.shown_s = Some(now_s);
        // A display that cannot be written is no reason to stop a build.
        if self.on_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K{progress}");
        } else {
            let _ = writeln!(io::stderr(), "{progress}");
        }
    }

    fn finish(&self) {
        if self.on_terminal && self.shown_s.is_some() {
            let _ = writeln!(io::stderr());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_what_go_writes() {
        assert_eq!(step_of(""), BuildStep::Downloading(0));
        let downloading = "go: downloading k8s.io/api v0.36.3\ngo: downloading k8s.io/klog/v2 v2.140.0\n";
        assert_eq!(step_of(downloading), BuildStep::Downloading(2));
        let compiling = format!("{downloading}packages 2333\nunicode/utf8\ngo: downloading x v1\nk8s.io/api/core/v1\n");
        assert_eq!(step_of(&compiling), BuildStep::Compiling(2, 2333));
    }

    #[test]
    fn progress_reads_as_a_sentence() {
        let progress = Progress {
            program: Program::KubeApiserver,
            elapsed: Duration::from_secs(65),
            step: BuildStep::Compiling(12, 2333),
        };
        assert_eq!(
            progress.to_string(),
            "building kube-apiserver from source, once: 1:05, 12 of about 2333 packages compiled"
        );
    }

    #[test]
    fn the_script_has_a_place_for_every_program() {
        for program in Program::ALL {
            let path = cached(program).expect("the build script answers");
            assert_eq!(path.file_name().and_then(|name| name.to_str()), Some(program.name()));
        }
    }
}
