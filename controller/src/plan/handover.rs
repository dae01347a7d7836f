//! Handover: the new host first, then the disk, then the old host goes. Whatever fails on the way, the disk goes back to the
//! host that had it.

use rehost_api::conditions::Reason;
use rehost_api::guest::GuestRole;
use rehost_api::status::{FormerHost, HostKind, HostRecord, Step, Transition, TransitionKind};

use super::bounds::{LET_GO_S, SCHEDULE_S, SERVE_S, STANDBY_S};
use super::pod::placeholder_of;
use super::{Failure, Planner, Progress, Weight};
use crate::gce::model::InstanceStatus;
use crate::seen::Seen;

/// How long the disk may be on its way before the change is turned back.
const MOVE_S: i64 = LET_GO_S + SCHEDULE_S;

impl Planner<'_> {
    pub(super) fn handover_step(&mut self) {
        let Some(transition) = self.memory.transition.clone() else { return };
        let (Some(from), Some(to)) = (transition.from.clone(), transition.to.clone()) else { return self.lost_step() };
        match transition.step {
            Step::Snapshot => self.copy_ahead(&to),
            Step::Halt => self.halt_first(&from, &to),
            Step::Obtain => self.obtain(&to),
            Step::Copy => self.copy(&from),
            Step::LetGo => self.let_go(&transition, &from),
            Step::Move => self.hand_over(&from, &to),
            Step::Prove => self.prove(&from, &to),
            Step::TakeBack => self.take_back(&transition, &to),
            Step::Return => self.give_back(&transition, &from),
            Step::ProveBack => self.prove_back(&transition, &from),
            Step::Abandon => self.abandon_handover(&transition, &to),
            Step::Home
            | Step::Boot
            | Step::Suspend
            | Step::Resume
            | Step::Set
            | Step::Resize
            | Step::Grow
            | Step::Release
            | Step::Dispose => self.lost_step(),
        }
    }

    /// The new host is made without the home. The old one serves on, so nothing is lost by failing here.
    fn obtain(&mut self, to: &HostRecord) {
        if self.wish_has_changed(to) {
            return self.turn_back(Step::Abandon, &Failure::superseded());
        }
        let progress = match to.kind {
            HostKind::Vm => match self.vm_obtained(to, false) {
                Progress::Done => self.vm_standing_by(to),
                other => other,
            },
            // What the pod will be told is there before anything is interrupted.
            HostKind::Pod => self.place_kept(to, None).and(self.settings_made(to)),
        };
        match progress {
            Progress::Done => self.advance(Step::LetGo),
            Progress::Busy if self.overdue(STANDBY_S) => self.obtain_failed(Failure::too_late(to, STANDBY_S)),
            Progress::Busy => {}
            Progress::Failed(failure) => self.obtain_failed(failure),
        }
    }

    fn obtain_failed(&mut self, failure: Failure) {
        if let Some(failure) = self.again_or(failure) {
            self.turn_back(Step::Abandon, &failure);
        }
    }

    /// The old host lets go: asked first, stopped when it does not answer in its time.
    fn let_go(&mut self, transition: &Transition, from: &HostRecord) {
        if self.has_been_asked(transition, from) {
            // Only from here on is nobody sent there any more: until its guest hears of it, the old host serves.
            self.serve_no_more();
        }
        let progress = match from.kind {
            HostKind::Vm => self.vm_let_go(from, &release_nonce(transition)),
            HostKind::Pod => self.pod_let_go(from),
        };
        match progress {
            Progress::Done => {
                self.forget_kernels();
                self.advance(if transition.home.is_some() { Step::Copy } else { Step::Move });
            }
            Progress::Busy => {}
            Progress::Failed(failure) => {
                if let Some(failure) = self.again_or(failure) {
                    self.turn_back(Step::TakeBack, &failure);
                }
            }
        }
    }

    fn has_been_asked(&self, transition: &Transition, from: &HostRecord) -> bool {
        match from.kind {
            HostKind::Vm => match self.instance(&from.name) {
                Seen::Present(instance) => {
                    instance.status != InstanceStatus::Running
                        || instance
                            .settings
                            .as_ref()
                            .is_some_and(|settings| settings.nonce == release_nonce(transition))
                }
                Seen::Absent => true,
                Seen::Unknown(_) => false,
            },
            HostKind::Pod => match self.pod(&from.name) {
                Seen::Present(pod) => pod.deleting,
                Seen::Absent => true,
                Seen::Unknown(_) => false,
            },
        }
    }

    /// The host that has the home does not serve, or is about to stop serving.
    pub(super) fn serve_no_more(&mut self) {
        if let Some(host) = &mut self.memory.host {
            host.serving_since = None;
        }
    }

    /// A pod lets go by ending; a placeholder keeps its place for the case that it must come back.
    fn pod_let_go(&mut self, from: &HostRecord) -> Progress {
        if let (Seen::Absent, Some(node)) = (self.pod(&placeholder_of(from)), &from.node) {
            // Whether it finds its place at once does not matter: it cannot before the pod is gone.
            let _kept = self.place_kept(from, Some(node.clone()));
        }
        match self.pod_host_gone(from) {
            Progress::Done if self.home_is_free(from) => Progress::Done,
            Progress::Done => {
                self.look_again_in(super::bounds::POLL_URGENT_S);
                self.waiting_for("the cluster detaches the home");
                Progress::Busy
            }
            other => other,
        }
    }

    /// The disk changes hands.
    fn hand_over(&mut self, from: &HostRecord, to: &HostRecord) {
        let freed = match from.kind {
            HostKind::Vm => self.home_detached(from),
            HostKind::Pod => Progress::Done,
        };
        let progress = match freed {
            Progress::Done => match to.kind {
                HostKind::Vm => self.home_attached(to),
                HostKind::Pod => self.pod_in_place(to),
            },
            other => other,
        };
        match progress {
            Progress::Done => self.advance(Step::Prove),
            Progress::Busy if self.overdue(MOVE_S) => self.turn_back(Step::TakeBack, &Failure::too_late(to, MOVE_S)),
            Progress::Busy => {}
            Progress::Failed(failure) => {
                if let Some(failure) = self.again_or(failure) {
                    self.turn_back(Step::TakeBack, &failure);
                }
            }
        }
    }

    /// The real pod takes its placeholder's node, once nothing else has the disk.
    fn pod_in_place(&mut self, to: &HostRecord) -> Progress {
        if self.pod(&to.name).is_absent() && !self.home_is_free(to) {
            self.look_again_in(super::bounds::POLL_URGENT_S);
            self.waiting_for("the home is still attached elsewhere");
            return Progress::Busy;
        }
        let node = match self.pod(&placeholder_of(to)) {
            Seen::Present(place) => place.node,
            Seen::Absent => to.node.clone(),
            Seen::Unknown(_) => return Progress::Busy,
        };
        match self.pod_made(to, node) {
            // The placeholder goes only once the pod waits for its room, so that nobody else has long to take it.
            Progress::Done => self.pod_gone(&placeholder_of(to)),
            other => other,
        }
    }

    fn prove(&mut self, from: &HostRecord, to: &HostRecord) {
        match self.serving(to) {
            Progress::Done => self.handed_over(from, to),
            Progress::Busy if self.overdue(SERVE_S) => self.turn_back(Step::TakeBack, &Failure::too_late(to, SERVE_S)),
            Progress::Busy => {}
            Progress::Failed(failure) => self.turn_back(Step::TakeBack, &failure),
        }
    }

    fn handed_over(&mut self, from: &HostRecord, to: &HostRecord) {
        self.take_new_home();
        self.settle_on(to);
        let keep_s = self.wish().map_or(0, |desired| desired.keep_old_s);
        let mut former = from.clone();
        former.serving_since = None;
        self.memory.former = match from.kind {
            HostKind::Vm => Some(FormerHost {
                host: former,
                keep_until: self.now + jiff::SignedDuration::from_secs(keep_s),
                attempt: 1,
                not_before: None,
            }),
            HostKind::Pod => None,
        };
        self.succeed();
    }

    /// The new host, which cannot serve, gives the disk up again.
    fn take_back(&mut self, transition: &Transition, to: &HostRecord) {
        let progress = match to.kind {
            HostKind::Vm => match self.vm_let_go(to, &format!("{}-takeback", transition.id)) {
                Progress::Done => self.home_detached(to),
                other => other,
            },
            HostKind::Pod => match self.pod_host_gone(to) {
                Progress::Done if self.home_is_free(to) || self.never_had_home(transition, to) => Progress::Done,
                Progress::Done | Progress::Busy => {
                    self.look_again_in(super::bounds::POLL_URGENT_S);
                    Progress::Busy
                }
                other @ Progress::Failed(_) => other,
            },
        };
        self.onward(progress, Step::Return);
    }

    /// Whether there is nothing to take back: the old host could not be asked to give the home up, or the copy was never made.
    fn never_had_home(&self, transition: &Transition, to: &HostRecord) -> bool {
        let from = transition.from.as_ref().filter(|from| from.kind == HostKind::Vm);
        let holds = |from: &HostRecord| {
            self.instance(&from.name).present().is_some_and(|it| it.attachment(&self.home_name_of(from)).is_some())
        };
        let copy = transition.home.as_ref().filter(|_| self.home_of(to) == transition.home.as_ref());
        from.is_some_and(holds) || copy.is_some_and(|copy| self.disk_of(copy).is_absent())
    }

    /// The disk returns to the host that had it.
    fn give_back(&mut self, transition: &Transition, from: &HostRecord) {
        let back = returned(from, transition);
        let progress = match from.kind {
            HostKind::Vm => self.vm_taken_back(&back),
            HostKind::Pod => {
                let node = match self.pod(&placeholder_of(from)) {
                    Seen::Present(place) => place.node,
                    Seen::Absent | Seen::Unknown(_) => None,
                };
                match self.pod_made(&back, node.or_else(|| from.node.clone())) {
                    Progress::Done => self.pod_gone(&placeholder_of(from)),
                    other => other,
                }
            }
        };
        if matches!(progress, Progress::Done) {
            self.memory.host = Some(back);
        }
        self.onward(progress, Step::ProveBack);
    }

    /// The old VM, running or stopped meanwhile, has the disk and is told to serve again.
    fn vm_taken_back(&mut self, back: &HostRecord) -> Progress {
        match self.home_attached(back) {
            Progress::Done => {}
            other => return other,
        }
        let Seen::Present(instance) = self.instance(&back.name) else { return Progress::Busy };
        let told = instance
            .settings
            .as_ref()
            .is_some_and(|settings| settings.role == GuestRole::Serve && settings.nonce == back.nonce);
        if !told {
            return self.set_settings("serve", back, &instance, GuestRole::Serve, &back.nonce);
        }
        match instance.status {
            InstanceStatus::Running => Progress::Done,
            _ => self.vm_started(back),
        }
    }

    fn prove_back(&mut self, transition: &Transition, from: &HostRecord) {
        let back = returned(from, transition);
        match self.serving(&back) {
            Progress::Done => {
                self.settle_on(&back);
                self.advance(Step::Abandon);
            }
            // Neither serves: the new host is removed all the same, and the old one is restarted from rest.
            Progress::Busy if self.overdue(SERVE_S) => self.advance(Step::Abandon),
            Progress::Busy => {}
            Progress::Failed(_) => self.advance(Step::Abandon),
        }
    }

    fn abandon_handover(&mut self, transition: &Transition, to: &HostRecord) {
        self.abandon_step(to);
        let over = self.memory.transition.is_none() && transition.home.is_none();
        let quota = transition.reason.as_ref().is_some_and(|reason| reason.reason == Reason::QuotaExceeded.to_string());
        if over
            && quota
            && let Some(desired) = self.wish()
            && self.can_change_in_place(&to.last_shape)
            && desired.host.candidate(transition.candidate).is_some_and(|shape| *shape == to.last_shape)
        {
            // Two hosts do not fit the quota, one may: the same host is stopped, set and started, and status says so.
            self.memory.retry = None;
            self.begin_in_place(&to.last_shape, transition.candidate);
            self.note(
                true,
                Reason::QuotaExceeded,
                "The quota does not allow two hosts at once, so this one is stopped first.",
            );
        }
    }

    fn onward(&mut self, progress: Progress, step: Step) {
        match progress {
            Progress::Done => self.advance(step),
            Progress::Busy => {}
            Progress::Failed(failure) => {
                // On the way back there is nothing to fall back to: every attempt is worth a next one.
                let failure = Failure { weight: Weight::Passing, ..failure };
                if let Some(failure) = self.again_or(failure) {
                    self.note(true, failure.reason, failure.message.clone());
                    let now = self.now;
                    if let Some(transition) = &mut self.memory.transition {
                        transition.attempt += 1;
                        transition.not_before = Some(now + jiff::SignedDuration::from_secs(30));
                    }
                }
            }
        }
    }

    /// The host left by the last handover is stopped at once, and deleted when its time has come.
    pub(super) fn retire_former(&mut self) {
        let Some(former) = self.memory.former.clone() else { return };
        if self.memory.transition.as_ref().is_some_and(|transition| transition.kind == TransitionKind::Delete) {
            return;
        }
        match self.instance(&former.host.name) {
            Seen::Absent => self.memory.former = None,
            Seen::Unknown(_) => {}
            Seen::Present(instance) if !self.is_ours(&instance.labels) => self.memory.former = None,
            // Never a host that has the home, whatever the memory says.
            Seen::Present(instance) if instance.attachment(&self.home_name()).is_some() => {}
            Seen::Present(instance) => self.retire(&former, &instance),
        }
    }
}

/// The nonce that asks the old host to let go.
pub(super) fn release_nonce(transition: &Transition) -> String {
    format!("{}-release", transition.id)
}

/// The old host as it is when the home has come back to it: told to serve again, under a new nonce; a pod under a new name.
fn returned(from: &HostRecord, transition: &Transition) -> HostRecord {
    let mut back = from.clone();
    back.nonce = format!("{}-back", transition.id);
    back.boot_id = None;
    back.serving_since = None;
    if back.kind == HostKind::Pod {
        back.name = returned_name(from, transition);
        back.address = None;
        back.told = None;
    }
    back
}

/// The name of the pod that takes the place of `from` when the home comes back: without what earlier transitions appended.
pub fn returned_name(from: &HostRecord, transition: &Transition) -> String {
    let base = from.name.rsplit_once("-back-").map_or(from.name.as_str(), |(base, _)| base);
    format!("{base}-back-{}", transition.id)
}
