//! When a change that interrupts may be made: at once, once nothing goes on, with the next stop, or in a window; and the
//! way back from a fallback, which follows the same policy.

use rehost_api::status::{HostKind, HostRecord};

use super::bounds::{RETURN_IDLE_S, round_pause_s};
use super::{Planner, Situation};
use crate::desired::{Desired, When};

impl Planner<'_> {
    /// For how long nothing must be going on before something that waits may be done; none where nothing waits for that, or
    /// where it could not be done yet anyhow.
    pub(super) fn waits_for_idle_s(&self, desired: &Desired, host: &HostRecord) -> Option<i64> {
        let pauses = self.memory.retry.as_ref().and_then(|retry| retry.next_try).is_some_and(|at| self.now < at);
        let moves_home = self.next_home(desired).is_some();
        let interrupts =
            moves_home || (host.last_shape != desired.host.shape && !self.can_resize_live(&desired.host.shape));
        if !interrupts || pauses {
            return None;
        }
        let returns = self.is_on_fallback(desired, host);
        match &desired.when {
            When::Idle { after_s } => Some(*after_s),
            When::Now if returns => Some(RETURN_IDLE_S),
            When::Now | When::NextStop | When::Window(_) => None,
        }
    }

    /// Whether the change may interrupt now; otherwise what it waits for, in words, and the plan looks again by then.
    fn may_interrupt(&mut self, desired: &Desired, host: &HostRecord) -> Result<(), String> {
        match &desired.when {
            When::Now if !self.is_on_fallback(desired, host) => Ok(()),
            When::Now => self.is_idle(host, RETURN_IDLE_S),
            When::Idle { after_s } => self.is_idle(host, *after_s),
            When::NextStop => Err("waits for the next stop".to_owned()),
            When::Window(window) if window.is_open(self.now) => Ok(()),
            When::Window(window) => match window.opens.next(self.now) {
                Some(at) => {
                    self.look_again_at(at);
                    Err(format!("waits for the window that opens at {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")))
                }
                None => Err("waits for a window that never opens, or the next stop".to_owned()),
            },
        }
    }

    fn is_idle(&self, host: &HostRecord, after_s: i64) -> Result<(), String> {
        if self.unused_since(host, after_s).is_some() {
            return Ok(());
        }
        let pause = in_words(after_s);
        Err(match self.speaks_of_use(host) {
            Some(false) if host.kind == HostKind::Pod && self.resolution.access.status.is_none() => {
                "waits for the next stop, because nobody can ask this pod whether it is idle".to_owned()
            }
            Some(false) => format!(
                "waits until nothing has been going on for {pause}, of which the host does not speak, or for the next stop"
            ),
            Some(true) | None => format!("waits until nothing has been going on for {pause}, or for the next stop"),
        })
    }

    /// Whether the present host is a substitute for the wished one.
    fn is_on_fallback(&self, desired: &Desired, host: &HostRecord) -> bool {
        // A home that must go to another disk is what keeps a host from being a substitute.
        let moves_home = self.next_home(desired).is_some();
        self.memory.retry.is_some() && !moves_home && desired.host.fallbacks.contains(&host.last_shape)
    }

    /// Whether the change to the wished host may be made now. Where it may not, the situation says what it waits for.
    pub(super) fn is_due(&mut self, desired: &Desired, host: &HostRecord) -> bool {
        if self.is_on_fallback(desired, host) {
            return self.may_return(desired, host);
        }
        if self.pauses_until_a_window(desired) {
            // What it lacked last is what people want to read until it is tried again.
            return true;
        }
        match self.may_interrupt(desired, host) {
            Ok(()) => true,
            Err(words) => {
                let difference = self.difference(host, desired);
                let room = Self::words_of_room(desired);
                self.situation = Situation::ChangePending(format!("{difference}, {words}{room}"));
                false
            }
        }
    }

    /// Whether the next try has not come yet. Where there is a window, it comes in the next one.
    fn pauses_until_a_window(&mut self, desired: &Desired) -> bool {
        let now = self.now;
        let Some(next_try) = self.memory.retry.as_mut().and_then(|retry| retry.next_try.as_mut()) else { return false };
        if now >= *next_try {
            return false;
        }
        if let When::Window(window) = &desired.when
            && !window.is_open(*next_try)
        {
            *next_try = window.opens.next(*next_try).unwrap_or(*next_try);
        }
        true
    }

    /// A substitute is left for a better host in rounds, each at its time, and only when that may interrupt.
    fn may_return(&mut self, desired: &Desired, host: &HostRecord) -> bool {
        let place = desired.host.fallbacks.iter().position(|shape| *shape == host.last_shape);
        let place = place.and_then(|place| i64::try_from(place).ok()).unwrap_or(i64::MAX).saturating_add(1);
        let by_itself = desired.when != When::NextStop;
        let now = self.now;
        if let Some(retry) = self.memory.retry.as_mut().filter(|retry| retry.next_try.is_none() && by_itself)
            && !(1..place).contains(&retry.tried)
        {
            // All that would be better was tried: the next round comes in its time.
            retry.rounds += 1;
            retry.tried = 0;
            retry.next_try = Some(now + jiff::SignedDuration::from_secs(round_pause_s(retry.rounds)));
        }
        let next_try = self.memory.retry.as_ref().and_then(|retry| retry.next_try);
        let early = next_try.filter(|at| now < *at);
        if let Some(at) = early {
            self.look_again_at(at);
        }
        let may = self.may_interrupt(desired, host);
        if may.is_ok() && early.is_none() {
            if let Some(retry) = self.memory.retry.as_mut().filter(|_| next_try.is_some()) {
                retry.tried = 0;
            }
            return true;
        }
        let words = may.err().unwrap_or_else(|| "waits for capacity".to_owned());
        self.situation = Situation::Substituted(match early {
            Some(at) => format!("{words}, and is not tried before {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
            None => words,
        });
        false
    }
}

fn in_words(seconds: i64) -> String {
    if seconds % 60 == 0 { format!("{} min", seconds / 60) } else { format!("{seconds} s") }
}
