//! Every wait has a bound. All of them are here, with the reason for the figure.

/// How long a new VM may take from its order to its standby report: a boot takes half a minute, a GPU image with a driver
/// to install some minutes.
pub(super) const STANDBY_S: i64 = 900;
/// How long a placeholder may wait for a node: a cluster's autoscaler needs one to four minutes for one.
pub(super) const SCHEDULE_S: i64 = 300;
/// How long a host may take to let go: Compute Engine itself gives a guest 120 s to shut down.
pub(super) const LET_GO_S: i64 = 120;
/// How long a host may take to be suspended: Compute Engine writes its memory to storage, which takes minutes where there is much
/// (<https://cloud.google.com/compute/docs/troubleshooting/troubleshooting-suspend-resume>).
pub(super) const SUSPEND_S: i64 = 900;
/// How long a suspended host may take to run again: ten times what it usually takes.
pub(super) const RESUME_S: i64 = 300;
/// How long a host that has the disk may take until it serves: a file system check of a large disk included.
pub(super) const SERVE_S: i64 = 300;
/// How long a pod's live resize may be deferred by the kubelet before the pod moves instead.
pub(super) const RESIZE_DEFERRED_S: i64 = 60;
/// How long a grown disk may take to be seen.
pub(super) const GROW_S: i64 = 600;
/// How long a home may be on its way from one disk to another while nobody serves it: its second snapshot has only what was
/// written since the first.
pub(super) const COPY_S: i64 = 1800;
/// The pause after Compute Engine took no more snapshots of a disk: it takes six in an hour.
pub(super) const SNAPSHOT_PAUSE_S: i64 = 600;
/// The same where the host had already let go: the next try finds the whole hour's snapshots, so that it interrupts only once.
pub(super) const SNAPSHOT_HOUR_S: i64 = 3600;
/// How often a step is tried again before it counts as failed.
pub(super) const ATTEMPTS: i64 = 6;
/// How often a guest is asked while the notebook is unreachable: every second counts then.
pub(super) const POLL_URGENT_S: f64 = 0.5;
/// How often a guest is asked while the old host still serves.
pub(super) const POLL_S: f64 = 2.0;
/// How often something is looked at that usually wakes us by itself.
pub(super) const POLL_SLOW_S: f64 = 10.0;
/// How often is looked whether an object that is not ours has made room: a person has to act first.
pub(super) const NOT_OURS_S: f64 = 30.0;
/// The pause before the first new attempt; it doubles with each.
const BACKOFF_FIRST_S: i64 = 2;
/// The longest pause between attempts of one step.
const BACKOFF_MOST_S: i64 = 60;
/// The pause before the first new round after a stockout; it doubles with each.
const ROUND_FIRST_S: i64 = 60;
/// The longest pause between rounds: capacity comes and goes within minutes.
const ROUND_MOST_S: i64 = 900;

/// For how long nothing must have been going on before a notebook whose changes are made at once returns from a fallback: its people
/// asked for nothing at that moment.
pub(super) const RETURN_IDLE_S: i64 = 300;

/// The pause before attempt `attempt + 1`.
pub(super) fn backoff_s(attempt: i64) -> i64 {
    doubled(BACKOFF_FIRST_S, attempt - 1, BACKOFF_MOST_S)
}

/// The pause before round `rounds + 1`.
pub(super) fn round_pause_s(rounds: i64) -> i64 {
    doubled(ROUND_FIRST_S, rounds - 1, ROUND_MOST_S)
}

fn doubled(first: i64, times: i64, most: i64) -> i64 {
    let times = u32::try_from(times.clamp(0, 20)).unwrap_or(0);
    (first << times).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound() {
        assert_eq!([1, 2, 3, 9].map(backoff_s), [2, 4, 8, 60]);
        assert_eq!([1, 2, 5, 50].map(round_pause_s), [60, 120, 900, 900]);
    }
}
