//! What a person sees: lines that stay, and below them on a terminal a table that lives.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rehost_api::Notebook;
use rehost_api::status::{HostKind, NotebookStatus};

use super::board;

/// The width of a terminal that does not say.
const COLUMNS: usize = 120;

/// Where to the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// Lines and the living table, as far as this is a terminal.
    Table,
    /// Lines only.
    Lines,
    /// Lines to standard error: standard output is for machines.
    Aside,
}

/// The screen. A clone is the same one.
#[derive(Clone)]
pub struct Screen {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    show: Show,
    live: bool,
    columns: usize,
    /// How many lines of the table are on the terminal.
    drawn: usize,
    table: Vec<String>,
}

impl Screen {
    /// A screen on this process's terminal, or file.
    #[must_use]
    pub fn new(show: Show) -> Self {
        let live = show == Show::Table && std::io::stdout().is_terminal();
        let columns = if live { terminal_columns() } else { COLUMNS };
        Self { inner: Arc::new(Mutex::new(Inner { show, live, columns, drawn: 0, table: Vec::new() })) }
    }

    /// Says a line that stays.
    pub fn say(&self, line: &str) {
        self.with(|inner| {
            if inner.show == Show::Aside {
                eprintln!("{line}");
                return;
            }
            let mut text = inner.erased();
            let _ = writeln!(text, "{line}");
            text.push_str(&inner.drawing());
            inner.put(&text);
        });
    }

    /// Shows the table as it is now.
    pub fn show(&self, lines: Vec<String>) {
        self.with(|inner| {
            if !inner.live || inner.table == lines {
                return;
            }
            let mut text = inner.erased();
            inner.table = lines;
            text.push_str(&inner.drawing());
            inner.put(&text);
        });
    }

    fn with(&self, act: impl FnOnce(&mut Inner)) {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Inner {
    /// The text that takes the table off the terminal.
    fn erased(&mut self) -> String {
        let drawn = std::mem::take(&mut self.drawn);
        if drawn == 0 { String::new() } else { format!("\x1b[{drawn}A\x1b[J") }
    }

    /// The text that draws it. A line that wraps would be counted wrong, so each is cut.
    fn drawing(&mut self) -> String {
        if !self.live {
            return String::new();
        }
        self.drawn = self.table.len();
        self.table.iter().fold(String::new(), |mut text, line| {
            let cut: String = line.chars().take(self.columns.saturating_sub(1)).collect();
            let _ = writeln!(text, "{cut}");
            text
        })
    }

    fn put(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // A terminal that is gone has nobody who would miss the line.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
}

/// What `stty` says; it asks the terminal that is our standard input.
fn terminal_columns() -> usize {
    let asked = Command::new("stty").arg("size").stdin(Stdio::inherit()).stderr(Stdio::null()).output();
    let columns = asked.ok().and_then(|answer| {
        let text = String::from_utf8(answer.stdout).ok()?;
        text.split_whitespace().nth(1)?.parse().ok()
    });
    columns.filter(|columns| *columns >= 40).unwrap_or(COLUMNS)
}

/// The notebooks as a table.
#[must_use]
pub fn table<'a>(cloud_time: &str, notebooks: impl IntoIterator<Item = &'a Notebook>) -> Vec<String> {
    let mut rows = vec![["NOTEBOOK", "PHASE", "HOST", "SHAPE", "DISK ID", "WHAT HAPPENS NOW"].map(str::to_owned)];
    rows.extend(notebooks.into_iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let mut lines = vec![String::new(), format!("The cloud's clock: {cloud_time}")];
    lines.extend(rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<0$}  ", *width));
        format!("{}{}", cells.collect::<String>(), row[5])
    }));
    lines
}

fn row(notebook: &Notebook) -> [String; 6] {
    let NotebookStatus { phase, host, home, .. } = board::status(notebook);
    let phase = phase.map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}"));
    let kind = host.as_ref().map_or("-", |host| match host.kind {
        HostKind::Vm => "VM",
        HostKind::Pod => "Pod",
    });
    [
        notebook.metadata.name.clone().unwrap_or_default(),
        phase,
        kind.to_owned(),
        host.map_or_else(|| "-".to_owned(), |host| host.shape),
        home.and_then(|home| home.id).unwrap_or_else(|| "-".to_owned()),
        board::message(notebook, "Ready"),
    ]
}
