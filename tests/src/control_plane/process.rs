//! Processes that never outlive the run that started them, however it ends.
//!
//! Each program runs under a keeper: a small shell that waits for the end of its own standard input, which this process
//! holds open. A drop, a panic, SIGTERM or SIGKILL of this process all close it, and the keeper then ends the program
//! and removes what it was told to remove. Nothing here depends on a signal handler or on a destructor being run, so
//! a program in a `static` is ended too. Programs are in a process group of their own: a Ctrl-C is for the run, which
//! then ends them in its own order.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

/// `$1` is the time to end by itself in tenths of a second, `$2` the log, `$3` what to remove in the end, or nothing.
/// `setpriv`, where it is, sees to the program even if the keeper itself is killed.
const KEEPER: &str = r#"
grace=$1 log=$2 remove=$3
shift 3
exec 3<&0
if command -v setpriv >/dev/null 2>&1; then set -- setpriv --pdeathsig KILL -- "$@"; fi
"$@" </dev/null >>"$log" 2>&1 3<&- &
program=$!
echo "$program" >"$log.pid"
(
  while read -r _; do :; done <&3
  : >"$log.over"
  kill -TERM "$program" 2>/dev/null
  while [ "$grace" -gt 0 ] && kill -0 "$program" 2>/dev/null; do
    sleep 0.1
    grace=$((grace - 1))
  done
  kill -KILL "$program" 2>/dev/null
) &
watcher=$!
exec 3<&-
wait "$program"
status=$?
over=
if [ -e "$log.over" ]; then over=yes; fi
kill "$watcher" 2>/dev/null
if [ -n "$over" ] && [ -n "$remove" ]; then
  # Another program may write its last line into it meanwhile.
  rm -rf "$remove" 2>/dev/null || { sleep 0.3; rm -rf "$remove"; }
fi
exit "$status"
"#;

/// What to run, and how it is to end.
#[derive(Debug)]
pub struct Start<'a> {
    /// The program's name in messages and of its log.
    pub name: &'a str,
    /// The executable.
    pub program: &'a Path,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Added to the environment.
    pub environment: Vec<(String, String)>,
    /// Where its output is appended; the file beside it with `.pid` at its end holds the process id.
    pub log: PathBuf,
    /// How long it may take to end after SIGTERM, before SIGKILL.
    pub grace: Duration,
    /// A folder that goes with it.
    pub remove: Option<PathBuf>,
}

/// A program that runs until this is dropped or stopped.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    keeper: Child,
    line: Option<ChildStdin>,
    grace: Duration,
}

impl Process {
    /// Starts a program under its keeper.
    pub fn start(start: Start<'_>) -> io::Result<Self> {
        let Start { name, program, arguments, environment, log, grace, remove } = start;
        let _ = std::fs::remove_file(beside(&log, "over"));
        let mut keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper"])
            .arg((grace.as_millis() / 100).to_string())
            .arg(&log)
            .arg(remove.as_deref().map_or(OsStr::new(""), Path::as_os_str))
            .arg(program)
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let line = keeper.stdin.take();
        Ok(Self { name: name.to_owned(), log, keeper, line, grace })
    }

    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The program's own process id, once its keeper has written it down.
    pub fn id(&self) -> Option<u32> {
        std::fs::read_to_string(beside(&self.log, "pid")).ok()?.trim().parse().ok()
    }

    /// How the program ended, if it did.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.keeper.try_wait()
    }

    /// The last lines of its output, for messages.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Sends the program a signal by name, as `KILL` for a crash, `STOP` and `CONT` for a pause.
    pub fn signal(&self, signal: &str) -> io::Result<()> {
        let id = self.id().ok_or_else(|| io::Error::other(format!("{} has no process id yet", self.name)))?;
        let status = Command::new("/bin/sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "signal", signal, &id.to_string()])
            .status()?;
        if status.success() { Ok(()) } else { Err(io::Error::other(format!("{signal} did not reach {}", self.name))) }
    }

    /// Ends the program, and returns when it is gone. Once is enough; a second call does nothing.
    pub fn stop(&mut self) -> io::Result<()> {
        drop(self.line.take());
        // The keeper ends on its own within the grace; a bound all the same, so that a drop cannot hang.
        let tries = self.grace.as_millis() / 20 + 250;
        for _ in 0..tries {
            if self.keeper.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.keeper.kill()?;
        self.keeper.wait().map(|_| ())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // There is nobody left to tell, and the keeper ends the program in any case.
        let _ = self.stop();
    }
}

fn beside(log: &Path, suffix: &str) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lives(id: u32) -> bool {
        Command::new("/bin/sh")
            .args(["-c", "kill -0 \"$1\" 2>/dev/null", "lives", &id.to_string()])
            .status()
            .expect("sh runs")
            .success()
    }

    fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..500 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("never: {what}");
    }

    fn start(folder: &Path, script: &str, grace: Duration, remove: Option<PathBuf>) -> Process {
        Process::start(Start {
            name: "sleeper",
            program: Path::new("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: vec![("GREETING".to_owned(), "hello".to_owned())],
            log: folder.join("sleeper.log"),
            grace,
            remove,
        })
        .expect("sh starts")
    }

    fn wait_for_id(process: &Process) -> u32 {
        eventually("a process id", || process.id().is_some());
        process.id().expect("seen above")
    }

    #[test]
    fn a_dropped_process_ends_and_takes_its_folder_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("data");
        std::fs::create_dir(&inner).expect("a folder");
        let process = start(&inner, "sleep 600", Duration::ZERO, Some(inner.clone()));
        let id = wait_for_id(&process);
        assert!(lives(id), "it runs");
        drop(process);
        eventually("the program is gone", || !lives(id));
        assert!(!inner.exists(), "the folder is removed");
    }

    #[test]
    fn a_program_that_ignores_the_request_is_killed_after_its_grace() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "trap '' TERM; while :; do sleep 0.05; done";
        let mut process = start(folder.path(), script, Duration::from_millis(300), None);
        let id = wait_for_id(&process);
        process.stop().expect("it stops");
        eventually("the program is gone", || !lives(id));
    }

    #[test]
    fn a_program_that_ends_by_itself_is_seen_and_its_words_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("data");
        std::fs::create_dir(&inner).expect("a folder");
        let mut process =
            start(&inner, "echo first; echo \"$GREETING\" >&2; exit 7", Duration::ZERO, Some(inner.clone()));
        eventually("the end", || process.ended().expect("it can be asked").is_some());
        assert_eq!(process.ended().expect("it can be asked").and_then(|status| status.code()), Some(7));
        assert_eq!(process.log_tail(1), "hello");
        assert!(inner.exists(), "an early end keeps its log");
    }

    /// The run's own death: another process stands in for it, which holds the keeper's input and is killed.
    #[test]
    fn a_program_ends_when_its_run_is_killed() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join("sleeper.log");
        let mut run = Command::new("sleep").arg("600").stdout(Stdio::piped()).spawn().expect("sleep starts");
        let line = run.stdout.take().expect("a pipe was asked for");
        let mut keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper", "0"])
            .arg(&log)
            .args(["", "sleep", "600"])
            .stdin(Stdio::from(line))
            .spawn()
            .expect("sh starts");
        let id = || std::fs::read_to_string(beside(&log, "pid")).ok()?.trim().parse::<u32>().ok();
        eventually("a process id", || id().is_some());
        let id = id().expect("seen above");
        assert!(lives(id), "it runs");
        run.kill().expect("it is ours");
        run.wait().expect("it was started");
        keeper.wait().expect("it was started");
        assert!(!lives(id), "the program ended before its keeper");
    }
}
