//! Valid fields that this version does not act on yet: each is listed in status, so that nothing is silently ignored.
//!
//! A line begins with the field, in full; status looks for `spec.source` and `spec.idle`.

use rehost_api::Notebook;
use rehost_api::notebook::DeletionPolicy;

use super::words::{Asked, ClassWord, Listed};

/// As many lines, and of that length, as status takes.
const LINES_MAX: usize = 32;
const LINE_LENGTH_MAX: usize = 256;

/// The lines, in the order of the spec.
pub(super) fn lines(notebook: &Notebook, class: &ClassWord<'_>, hosts: &[Listed]) -> Vec<String> {
    let mut lines = storage_lines(notebook, class);
    let spec = &notebook.spec;
    let only_pods = hosts.iter().all(|host| matches!(host.asked, Asked::Pod(_)));
    let secret = spec.source.as_ref().and_then(|source| source.credentials.as_ref()?.secret.as_ref());
    if secret.is_some() && !only_pods {
        let words = "a VM cannot read a Secret of the cluster: use secretManager";
        lines.push(format!("spec.source.credentials.secret: {words}"));
    }
    let given = class.spec.defaults.as_ref();
    if let Some(whose) = whose(spec.idle.is_some(), given.is_some_and(|given| given.idle.is_some()), class) {
        lines.extend(idle_line(notebook, class, &whose));
    }
    if let Some(whose) = whose(spec.lifetime.is_some(), given.is_some_and(|given| given.lifetime.is_some()), class) {
        let own = spec.lifetime.as_ref().and_then(|it| it.after.as_ref());
        let after = own.or_else(|| given.and_then(|given| given.lifetime.as_ref()?.after.as_ref()));
        if after.is_none() {
            lines.push(format!("spec.lifetime{whose}: nothing says after how long, so the notebook runs without end"));
        }
    }
    lines.extend(class_lines(class));
    bounded(lines)
}

/// What the class says and nobody acts on yet: a person reads it where it matters, at the notebook.
fn class_lines(class: &ClassWord<'_>) -> Vec<String> {
    let name = class.name;
    let limits =
        class.spec.limits.as_ref().map(|_| format!("spec.class: the limits of class '{name}' are not counted yet"));
    let adopts = class.spec.adopt_by_name.then(|| {
        format!(
            "spec.class: class '{name}' adopts by name, yet a kept disk is still asked about instead of being taken"
        )
    });
    limits.into_iter().chain(adopts).collect()
}

/// What of idleness is not acted on: without a time nothing is.
fn idle_line(notebook: &Notebook, class: &ClassWord<'_>, whose: &str) -> Option<String> {
    let given = class.spec.defaults.as_ref().and_then(|given| given.idle.as_ref());
    let own = notebook.spec.idle.as_ref();
    let after = own.and_then(|idle| idle.after.as_ref()).or_else(|| given.and_then(|idle| idle.after.as_ref()));
    after
        .is_none()
        .then(|| format!("spec.idle{whose}: nothing says after how long, so an idle notebook is not stopped"))
}

/// Whether something is set, and by whom.
fn whose(own: bool, given: bool, class: &ClassWord<'_>) -> Option<String> {
    match (own, given) {
        (true, _) => Some(String::new()),
        (false, true) => Some(format!(" (of class {})", class.name)),
        (false, false) => None,
    }
}

fn storage_lines(notebook: &Notebook, class: &ClassWord<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let storage = notebook.spec.storage.as_ref();
    let given = class.spec.defaults.as_ref();
    let policy = storage.and_then(|storage| storage.deletion_policy);
    let given_policy = given.and_then(|given| given.deletion_policy);
    if policy.or(given_policy) == Some(DeletionPolicy::Snapshot)
        && let Some(whose) = whose(policy.is_some(), given_policy.is_some(), class)
    {
        lines.push(format!("spec.storage.deletionPolicy{whose}: Snapshot keeps the disk itself yet"));
    }
    let backups = storage.is_some_and(|storage| storage.backups.is_some());
    if let Some(whose) = whose(backups, given.is_some_and(|given| given.backups.is_some()), class) {
        lines.push(format!("spec.storage.backups{whose}: no snapshots are scheduled yet"));
    }
    let claim = notebook.status.as_ref().and_then(|status| status.home.as_ref()).is_some_and(|home| home.claim);
    if claim && storage.is_some_and(|storage| storage.disk_type.is_some()) {
        lines.push("spec.storage.type: the home is a claim, whose StorageClass says the type".to_owned());
    }
    lines
}

/// Status has a bound, and a status that is refused would stop everything: the last line says how many are left out.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
    let over = lines.len().saturating_sub(LINES_MAX);
    if over > 0 {
        lines.truncate(LINES_MAX - 1);
        lines.push(format!("and {} more", over + 1));
    }
    for line in &mut lines {
        line.truncate(line.floor_char_boundary(LINE_LENGTH_MAX));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_within_what_status_takes() {
        let lines = bounded((0..40).map(|_| "é".repeat(200)).collect());
        assert_eq!((lines.len(), lines[31].as_str()), (32, "and 9 more"));
        assert_eq!(lines[0], "é".repeat(128));
    }
}
