//! What a run has shown: a table for people, one JSON document for machines.

use std::fmt::Write as _;

use serde::Serialize;

use super::checks::{Check, Checks};
use crate::stand::{Operation, Share};

/// One change asked of the cloud within a step.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// What was asked, as `attachDisk`.
    pub verb: String,
    /// The instance or disk.
    pub target: String,
    /// When, in seconds after the edit.
    pub at_s: f64,
    /// How long it took; none while it ran on when the step was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_s: Option<f64>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One step of the story. All times are the cloud's.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What the step is.
    pub title: String,
    /// What a person would type for it.
    pub command: String,
    /// From the edit until it was as declared.
    pub took_s: f64,
    /// The longest time without a ready address.
    pub unready_longest_s: f64,
    /// All times without a ready address together.
    pub unready_s: f64,
    /// The longest time without an answer to somebody who asked `GET /api` all the time; where machines are real.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswered_longest_s: Option<f64>,
    /// In which operations were under way.
    pub operations_s: f64,
    /// Between operations, until guests had reported.
    pub guests_s: f64,
    /// The controller's own: from the edit to the first operation.
    pub controller_first_s: f64,
    /// The controller's own: between operations, and for a pod the cluster's.
    pub controller_between_s: f64,
    /// Where the notebook is afterwards.
    pub host: String,
    /// Its shape afterwards.
    pub shape: String,
    /// The home disk's id afterwards.
    pub disk_id: String,
    /// What was asked of the cloud.
    pub calls: Vec<Call>,
}

impl Step {
    /// Takes over what the cloud was asked.
    pub fn account(&mut self, operations: &[Operation], share: Share, edited: jiff::Timestamp) {
        let Share { operations_s, guests_s, first_s, between_s } = share;
        (self.operations_s, self.guests_s) = (operations_s, guests_s);
        (self.controller_first_s, self.controller_between_s) = (first_s, between_s);
        self.calls = operations
            .iter()
            .filter(|operation| operation.insert >= edited)
            .map(|operation| Call {
                verb: operation.verb.clone(),
                target: operation.target.clone(),
                at_s: operation.insert.duration_since(edited).as_secs_f64(),
                took_s: operation.end.map(|end| end.duration_since(operation.insert).as_secs_f64()),
                error: operation.error.clone(),
            })
            .collect();
    }
}

/// The whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Document<'a> {
    /// Seconds of the cloud in a real one.
    pub time_scale: f64,
    /// The steps in order.
    pub steps: &'a [Step],
    /// The checks in order.
    pub checks: &'a [Check],
    /// How many passed.
    pub passed: usize,
    /// How many failed.
    pub failed: usize,
    /// Why the story could not be told to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub broke_off: Option<String>,
}

impl<'a> Document<'a> {
    /// Puts a run together.
    #[must_use]
    pub fn new(time_scale: f64, steps: &'a [Step], checks: &'a Checks, broke_off: Option<String>) -> Self {
        Self { time_scale, steps, checks: checks.all(), passed: checks.passed(), failed: checks.failed(), broke_off }
    }
}

const HEADINGS: [&str; 11] = [
    "step",
    "took",
    "no address",
    "no answer",
    "operations",
    "guests",
    "to 1st call",
    "between",
    "host",
    "shape",
    "disk id",
];

/// The steps as a table, times in the cloud's seconds.
#[must_use]
pub fn table(steps: &[Step]) -> String {
    let mut rows: Vec<[String; 11]> = vec![HEADINGS.map(str::to_owned)];
    rows.extend(steps.iter().map(row));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let width = widths[column];
                // Figures stand under each other at their right end.
                if (1..=7).contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
    }
    text
}

fn row(step: &Step) -> [String; 11] {
    [
        step.title.clone(),
        seconds(step.took_s),
        seconds(step.unready_longest_s),
        seconds(step.unanswered_longest_s.unwrap_or(0.0)),
        seconds(step.operations_s),
        seconds(step.guests_s),
        seconds(step.controller_first_s),
        seconds(step.controller_between_s),
        step.host.clone(),
        step.shape.clone(),
        step.disk_id.clone(),
    ]
}

/// Seconds as people read them; nothing for none.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    if seconds < 0.05 { "-".to_owned() } else { format!("{seconds:.1} s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let step = Step {
            title: "moved".to_owned(),
            command: String::new(),
            took_s: 61.04,
            unready_longest_s: 9.5,
            unready_s: 9.5,
            unanswered_longest_s: None,
            operations_s: 40.0,
            guests_s: 20.0,
            controller_first_s: 0.2,
            controller_between_s: 0.0,
            host: "VM".to_owned(),
            shape: "n1-standard-8".to_owned(),
            disk_id: "42".to_owned(),
            calls: Vec::new(),
        };
        let text = table(&[step]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].find("host"), lines[1].find("VM"));
        assert!(lines[1].contains("61.0 s") && lines[1].contains("  -  "), "{text}");
    }
}
