//! What only a serving host can say: whether somebody uses it, and how its buckets and its repository are. It is asked when the
//! answer could matter, not on a grid, and nothing of it is remembered in status but what people read there.

use jiff::{SignedDuration, Timestamp};
use rehost_api::conditions::{self, ConditionType, Reason};
use rehost_api::guest::{GuestActivity, GuestReport};
use rehost_api::labels;
use rehost_api::notebook::IdleAction;
use rehost_api::status::{HostKind, HostRecord, StopReason, Stopped};

use super::Planner;
use crate::desired::{Desired, obstacle_to_suspension};
use crate::observe::Heard;

/// How soon a host is asked again whose buckets or repository are not as wished: soon at first, then ever less often.
const UNSETTLED_S: [i64; 2] = [10, 300];
/// How soon a host is asked again that does not say how it is used, in seconds.
const BLIND_S: i64 = 60;
/// How often every host is asked whether its home is well, in seconds: three reads a second for ten thousand notebooks.
const HEALTH_S: i64 = 3600;
/// Over how long a time the first questions of a new leader are spread at most, in seconds.
const SPREAD_S_MAX: i64 = 1800;
/// An answer is evidence for a stop only while it is this young, in seconds.
const FRESH_S: i64 = 5;

impl Planner<'_> {
    /// Begins to stop or suspend a notebook that nobody uses. Only on an answer of this very look, of this very boot.
    pub(super) fn begin_idle_stop(&mut self, desired: &Desired, host: &HostRecord) -> bool {
        let Some(idle) = &desired.idle else { return false };
        let Some(since) = self.unused_since(host, idle.after_s) else { return false };
        self.memory.stopped = Some(Stopped { at: self.now, reason: StopReason::Idle, declared: false });
        let since = since.strftime("%Y-%m-%dT%H:%M:%SZ");
        let what = match (idle.then, obstacle_to_suspension(&host.last_shape)) {
            (IdleAction::Stop, _) => "is stopped; the home is kept".to_owned(),
            (IdleAction::Suspend, None) => "is suspended; kernels are kept".to_owned(),
            (IdleAction::Suspend, Some(why)) => format!("is stopped, because {why}; the home is kept"),
        };
        self.note(
            false,
            Reason::Idle,
            format!(
                "Nothing was going on since {since}, so the notebook {what}. Annotate it with {} to go on.",
                labels::WAKE
            ),
        );
        self.begin_rest(desired, StopReason::Idle);
        true
    }

    /// Since when nothing goes on, where that is for so long, by an answer of this very look and of this very boot.
    pub(super) fn unused_since(&self, host: &HostRecord, after_s: i64) -> Option<Timestamp> {
        let heard = self.heard(host)?;
        let fresh = self.observed.fresh && self.now.duration_since(heard.at).as_secs() <= FRESH_S;
        let since = heard.report.present().and_then(|report| idle_since(report, host))?;
        (fresh && self.now >= since + SignedDuration::from_secs(after_s)).then_some(since)
    }

    /// Whether the host says how it is used; nothing where it has not been asked yet.
    pub(super) fn speaks_of_use(&self, host: &HostRecord) -> Option<bool> {
        if !self.can_be_heard(host) {
            return Some(false);
        }
        Some(self.heard(host)?.report.present()?.seen.activity.is_some())
    }

    /// Asks for evidence where it is time for it, and otherwise looks again when it will be.
    pub(super) fn look_for_evidence(&mut self, desired: &Desired, host: &HostRecord) {
        let waits_s = self.waits_for_idle_s(desired, host);
        if !self.can_be_heard(host) {
            return;
        }
        let due = match self.heard(host) {
            Some(heard) => next_look(desired, waits_s, host, heard),
            None if waits_s.is_some() => self.now,
            None => self.first_look(desired, host),
        };
        match due {
            at if at > self.now => self.look_again_at(at),
            _ if self.observed.fresh => self.look_again_in(super::bounds::POLL_SLOW_S),
            _ => self.wants_evidence = true,
        }
    }

    /// Whether the host has a way to say something: a pod's status port asks for a token, which derives from a key.
    fn can_be_heard(&self, host: &HostRecord) -> bool {
        match host.kind {
            HostKind::Vm => true,
            HostKind::Pod => self.resolution.access.status.is_some(),
        }
    }

    /// A container that the kubelet started again is another boot, whose word counts from now on.
    pub(super) fn notice_boot(&mut self, host: &HostRecord) {
        let fresh = self.observed.fresh;
        let said = self.heard(host).filter(|_| fresh).and_then(|heard| heard.report.present());
        let boot_id = said.filter(|report| report.nonce == host.nonce).map(|report| report.boot_id.clone());
        if let (Some(host), Some(_)) = (&mut self.memory.host, &boot_id) {
            host.boot_id = boot_id;
        }
    }

    /// When a host is first asked. What people wait to read is asked for at once; whether it is used, each notebook at a time of its
    /// own, so that a new leader does not ask all of them together.
    fn first_look(&self, desired: &Desired, host: &HostRecord) -> Timestamp {
        let previous = &self.observed.previous.conditions;
        let content = &desired.content;
        let unread = (content.source.is_some() && !conditions::holds(previous, ConditionType::Source))
            || (!content.buckets.is_empty() && !conditions::holds(previous, ConditionType::Buckets))
            || conditions::find(previous, ConditionType::Home)
                .is_some_and(|home| home.reason == Reason::HomeFull.as_str());
        if unread {
            return self.now;
        }
        let spread_s = desired.idle.map_or(HEALTH_S, |idle| idle.after_s.clamp(1, SPREAD_S_MAX));
        let since = host.serving_since.map_or(self.observed.known_since, |since| since.max(self.observed.known_since));
        let share = labels::content_id(&self.resolution.subject.uid).as_u128() % u128::try_from(spread_s).unwrap_or(1);
        since + SignedDuration::from_secs(i64::try_from(share).unwrap_or(0))
    }

    /// What the host last said, where it is the host that we mean, in the boot that we mean.
    fn heard(&self, host: &HostRecord) -> Option<&Heard> {
        let heard = self.observed.heard.as_ref()?;
        (heard.host == host.name && host.serving_since.is_some_and(|since| heard.at >= since)).then_some(heard)
    }
}

/// When the next answer could say something new that matters.
fn next_look(desired: &Desired, waits_s: Option<i64>, host: &HostRecord, heard: &Heard) -> Timestamp {
    let content = &desired.content;
    let matters =
        desired.idle.is_some() || waits_s.is_some() || content.source.is_some() || !content.buckets.is_empty();
    let soon = |seconds: i64| heard.at + SignedDuration::from_secs(if matters { seconds } else { HEALTH_S });
    let report = match heard.report.present() {
        None => return soon(BLIND_S),
        // It has not taken over yet what it was told last.
        Some(report) if report.nonce != host.nonce => return soon(UNSETTLED_S[0]),
        Some(report) => report,
    };
    let settled = (!is_settled(desired, host, report)).then(|| {
        let served_s = heard.at.duration_since(host.serving_since.unwrap_or(heard.at)).as_secs();
        heard.at + SignedDuration::from_secs((served_s / 2).clamp(UNSETTLED_S[0], UNSETTLED_S[1]))
    });
    let afters = desired.idle.map(|idle| idle.after_s).into_iter().chain(waits_s);
    let idle = afters.map(|after_s| next_idle_look(after_s, host, heard, report));
    let health = heard.at + SignedDuration::from_secs(HEALTH_S);
    settled.into_iter().chain(idle).fold(health, Timestamp::min)
}

/// When the notebook could first have been idle for so long.
fn next_idle_look(after_s: i64, host: &HostRecord, heard: &Heard, report: &GuestReport) -> Timestamp {
    let after = SignedDuration::from_secs(after_s);
    match (&report.seen.activity, idle_since(report, host)) {
        (None, _) => heard.at + SignedDuration::from_secs(BLIND_S),
        (Some(_), Some(since)) => since + after,
        // Whatever works now is at work now: it cannot have been idle for so long any earlier.
        (Some(_), None) => heard.at + after,
    }
}

/// Since when nothing goes on, by the host's own evidence in this boot; none while anything does, or where it is not known.
fn idle_since(report: &GuestReport, host: &HostRecord) -> Option<Timestamp> {
    let of_this_boot = host.boot_id.as_ref() == Some(&report.boot_id) && report.nonce == host.nonce;
    let activity = report.seen.activity.as_ref().filter(|_| of_this_boot)?;
    let GuestActivity { last_activity, kernels: _, busy_kernels, connections: _, terminals: _, busy_terminals } =
        activity;
    // What happened before the host came to serve is no evidence against those who have just woken it.
    let since = host.serving_since.map_or(*last_activity, |serving| serving.max(*last_activity));
    (*busy_kernels == 0 && *busy_terminals == 0).then_some(since)
}

/// Whether home, buckets and repository are as wished, or will not come to be so by waiting.
fn is_settled(desired: &Desired, host: &HostRecord, report: &GuestReport) -> bool {
    let content = &desired.content;
    let mounted = |path: &String| report.seen.buckets.iter().any(|bucket| bucket.path == *path && bucket.mounted);
    // A pod's are its volumes: what is not there when it starts does not come.
    let buckets = match host.kind {
        HostKind::Vm => content.buckets.iter().all(|bucket| mounted(&bucket.path)),
        HostKind::Pod => true,
    };
    let source = content.source.is_none()
        || report.seen.source.as_ref().is_some_and(|source| source.revision.is_some() && source.failure.is_none());
    buckets && source && report.seen.home_trouble.is_none()
}
