//! What was asked of the API server, from its own audit log: counts come from the server, not from who is counted.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

/// The audit log of a control plane.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

impl Mark {
    /// The beginning of everything.
    pub const START: Self = Self(0);
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file could not be read.
    #[error("reading {path}: {source}", path = path.display())]
    Io {
        /// The log.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not an audit event.
    #[error("a line of the audit log is not an event ({source}): {line}")]
    Line {
        /// The line.
        line: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

/// One request, as the API server saw it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// Who asked; an impersonated user, where there is one.
    pub user: String,
    /// The verb of authorization: get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    /// The API group, empty for the core one.
    pub group: String,
    /// The resource, with its subresource as in `pods/resize`. Empty for a request that names none, as discovery.
    pub resource: String,
    /// The namespace, empty for what has none.
    pub namespace: String,
    /// The object's name, empty for a list, and for a create that leaves it to the server.
    pub name: String,
    /// The HTTP status of the answer.
    pub code: u16,
    /// Whether authorization refused it, as opposed to admission or a conflict.
    pub forbidden: bool,
}

/// How a request counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It changes something, or tries to.
    Write,
    /// It reads.
    Read,
    /// It opens a watch.
    Watch,
    /// It is about a Lease, reading or writing: a heartbeat is neither idle nor work.
    Lease,
}

impl Request {
    /// How this request counts.
    pub fn kind(&self) -> Kind {
        if self.group == "coordination.k8s.io" && self.resource == "leases" {
            return Kind::Lease;
        }
        match self.verb.as_str() {
            "watch" => Kind::Watch,
            "create" | "update" | "patch" | "delete" | "deletecollection" => Kind::Write,
            _ => Kind::Read,
        }
    }
}

/// What is counted apart: who, what they did, and to which resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Who asked.
    pub user: String,
    /// The verb of authorization.
    pub verb: String,
    /// The resource, with its subresource as in `notebooks/status`.
    pub resource: String,
}

/// Requests counted by user, verb and resource.
pub type Counts = BTreeMap<Key, u64>;

/// The requests of some time, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Requests that change something, Leases apart.
    pub writes: Counts,
    /// Gets and lists, Leases apart.
    pub reads: Counts,
    /// Watches opened, Leases apart.
    pub watches: Counts,
    /// Everything about Leases.
    pub leases: Counts,
}

impl Traffic {
    /// Counts `requests`; those that name no resource (discovery, readiness) are left out.
    pub fn of<'a>(requests: impl IntoIterator<Item = &'a Request>) -> Self {
        let mut traffic = Self::default();
        for request in requests.into_iter().filter(|request| !request.resource.is_empty()) {
            let counts = match request.kind() {
                Kind::Write => &mut traffic.writes,
                Kind::Read => &mut traffic.reads,
                Kind::Watch => &mut traffic.watches,
                Kind::Lease => &mut traffic.leases,
            };
            let Request { user, verb, resource, .. } = request.clone();
            *counts.entry(Key { user, verb, resource }).or_default() += 1;
        }
        traffic
    }

    /// The part of one user.
    #[must_use]
    pub fn by(&self, user: &str) -> Self {
        let part = |counts: &Counts| {
            counts.iter().filter(|(key, _)| key.user == user).map(|(key, count)| (key.clone(), *count)).collect()
        };
        let Self { writes, reads, watches, leases } = self;
        Self { writes: part(writes), reads: part(reads), watches: part(watches), leases: part(leases) }
    }

    /// How many requests changed something, or tried to, Leases apart.
    pub fn writes_total(&self) -> u64 {
        self.writes.values().sum()
    }

    /// How many requests there were, of every kind.
    pub fn total(&self) -> u64 {
        let Self { writes, reads, watches, leases } = self;
        [writes, reads, watches, leases].into_iter().flat_map(BTreeMap::values).sum()
    }
}

/// A table, for the message of a test that found a write where there should be none.
impl fmt::Display for Traffic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writes, reads, watches, leases } = self;
        for (title, counts) in [("writes", writes), ("reads", reads), ("watches", watches), ("leases", leases)] {
            writeln!(formatter, "{title}: {}", counts.values().sum::<u64>())?;
            for (Key { user, verb, resource }, count) in counts {
                writeln!(formatter, "  {count:6} {verb} {resource} by {user}")?;
            }
        }
        Ok(())
    }
}

impl AuditLog {
    /// Reads the log at `path`, which need not exist yet.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The end of the log as it is now.
    ///
    /// # Caveats
    /// The server writes a request down when it has answered it, so a client can be some microseconds ahead of the log.
    pub fn mark(&self) -> Result<Mark, AuditError> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Ok(Mark(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Mark::START),
            Err(source) => Err(self.io_error(source)),
        }
    }

    /// The requests since `mark`, in the order in which they were answered; a watch counts when it is opened.
    pub fn requests_since(&self, mark: Mark) -> Result<Vec<Request>, AuditError> {
        let text = self.text_since(mark)?;
        let mut requests = Vec::new();
        for line in text.lines() {
            let event: Event =
                serde_json::from_str(line).map_err(|source| AuditError::Line { line: line.to_owned(), source })?;
            requests.extend(event.into_request());
        }
        Ok(requests)
    }

    /// The requests since `mark`, counted.
    pub fn since(&self, mark: Mark) -> Result<Traffic, AuditError> {
        Ok(Traffic::of(&self.requests_since(mark)?))
    }

    /// The whole lines after `mark`. What follows the last line's end is a line that is being written.
    fn text_since(&self, mark: Mark) -> Result<String, AuditError> {
        let mut file = match std::fs::File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(source) => return Err(self.io_error(source)),
        };
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(mark.0)).map_err(|source| self.io_error(source))?;
        file.read_to_end(&mut bytes).map_err(|source| self.io_error(source))?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        Ok(String::from_utf8_lossy(&bytes[..whole]).into_owned())
    }

    fn io_error(&self, source: io::Error) -> AuditError {
        AuditError::Io { path: self.path.clone(), source }
    }
}

/// The part of an audit event (`audit.k8s.io/v1`) that is read.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: Stage,
    verb: String,
    user: EventUser,
    impersonated_user: Option<EventUser>,
    object_ref: Option<ObjectReference>,
    response_status: Option<ResponseStatus>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

#[derive(Debug, Deserialize)]
struct EventUser {
    #[serde(default)]
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectReference {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
    api_group: String,
}

#[derive(Debug, Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl Event {
    /// One request has one or two events: a watch is written down when it begins and when it ends, and counts when it
    /// begins; one that is refused only ends.
    fn into_request(self) -> Option<Request> {
        let code = self.response_status.map_or(0, |status| status.code);
        let counts = match self.stage {
            Stage::RequestReceived => false,
            Stage::ResponseStarted => true,
            Stage::ResponseComplete | Stage::Panic => self.verb != "watch" || code >= 400,
        };
        if !counts {
            return None;
        }
        let object = self.object_ref.unwrap_or_default();
        let resource = if object.subresource.is_empty() {
            object.resource
        } else {
            format!("{}/{}", object.resource, object.subresource)
        };
        Some(Request {
            user: self.impersonated_user.unwrap_or(self.user).username,
            verb: self.verb,
            group: object.api_group,
            resource,
            namespace: object.namespace,
            name: object.name,
            code,
            forbidden: self.annotations.get("authorization.k8s.io/decision").is_some_and(|word| word == "forbid"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(lines: &[&str]) -> (tempfile::TempDir, AuditLog) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.log");
        std::fs::write(&path, lines.concat()).expect("it can be written");
        (folder, AuditLog::new(path))
    }

    const PATCH: &str = concat!(
        r#"{"stage":"ResponseComplete","verb":"patch","user":{"username":"controller"},"objectRef":{"resource":"notebooks","#,
        r#""subresource":"status","namespace":"team-a","name":"taxi","apiGroup":"rehost.dev"},"responseStatus":{"code":200},"#,
        r#""annotations":{"authorization.k8s.io/decision":"allow"}}"#,
        "\n"
    );
    const WATCH_BEGINS: &str = concat!(
        r#"{"stage":"ResponseStarted","verb":"watch","user":{"username":"controller"},"#,
        r#""objectRef":{"resource":"pods"},"responseStatus":{"code":200}}"#,
        "\n"
    );
    const WATCH_ENDS: &str = concat!(
        r#"{"stage":"ResponseComplete","verb":"watch","user":{"username":"controller"},"#,
        r#""objectRef":{"resource":"pods"},"responseStatus":{"code":200}}"#,
        "\n"
    );
    const WATCH_REFUSED: &str = concat!(
        r#"{"stage":"ResponseComplete","verb":"watch","user":{"username":"guest"},"objectRef":{"resource":"pods"},"#,
        r#""responseStatus":{"code":403},"annotations":{"authorization.k8s.io/decision":"forbid"}}"#,
        "\n"
    );
    const LEASE: &str = concat!(
        r#"{"stage":"ResponseComplete","verb":"update","user":{"username":"controller"},"#,
        r#""objectRef":{"resource":"leases","apiGroup":"coordination.k8s.io"},"responseStatus":{"code":200}}"#,
        "\n"
    );
    const READINESS: &str =
        concat!(r#"{"stage":"ResponseComplete","verb":"get","user":{"username":"system:anonymous"}}"#, "\n");

    #[test]
    fn writes_reads_watches_and_leases_are_counted_apart() {
        let (_folder, log) = log(&[PATCH, PATCH, WATCH_BEGINS, WATCH_ENDS, WATCH_REFUSED, LEASE, READINESS]);
        let traffic = log.since(Mark::START).expect("it reads");
        let key = |user: &str, verb: &str, resource: &str| Key {
            user: user.to_owned(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
        };
        assert_eq!(traffic.writes, BTreeMap::from([(key("controller", "patch", "notebooks/status"), 2)]));
        assert_eq!(traffic.reads, BTreeMap::new());
        let watches = [(key("controller", "watch", "pods"), 1), (key("guest", "watch", "pods"), 1)];
        assert_eq!(traffic.watches, BTreeMap::from(watches));
        assert_eq!(traffic.leases, BTreeMap::from([(key("controller", "update", "leases"), 1)]));
        assert_eq!(traffic.by("guest").total(), 1);
        assert_eq!(traffic.by("controller").writes_total(), 2);
    }

    #[test]
    fn a_mark_cuts_off_what_was_before_it_and_a_line_that_is_not_whole_waits() {
        let (_folder, log) = log(&[PATCH]);
        let mark = log.mark().expect("it is there");
        let half = &LEASE[..20];
        std::fs::write(&log.path, [PATCH, WATCH_REFUSED, half].concat()).expect("it can be written");
        let requests = log.requests_since(mark).expect("it reads");
        assert_eq!(requests.len(), 1, "{requests:?}");
        assert!(requests[0].forbidden);
    }

    #[test]
    fn a_line_that_is_no_event_is_an_error() {
        let (_folder, log) = log(&["nonsense\n"]);
        assert!(matches!(log.since(Mark::START), Err(AuditError::Line { .. })));
    }
}
