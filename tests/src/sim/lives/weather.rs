//! What goes wrong by itself, and for how long.

use std::time::Duration;

use jiff::SignedDuration;
use rehost_api::guest::GuestFailure;

use super::deeds::Weather;
use super::drawn::WEATHER;
use super::telling::Teller;
use crate::sim::{Weight, ZONE};
use crate::world::{Fault, FaultKind, GuestFault, OperationFailure, Place};

/// Something that is put right again at a time.
pub(super) type Mend = Box<dyn FnOnce(&mut crate::world::World)>;

impl Teller<'_> {
    /// Something goes wrong, drawn.
    pub(super) fn storms(&mut self, index: usize) {
        let weather = self.dice.weighted(WEATHER);
        self.faults_made += 1;
        self.reached.deed(format!("fault {weather:?}"));
        self.run.shared().note(Weight::Headline, "weather", format!("{weather:?}"), "");
        match weather {
            Weather::ServerError => self.lies_in_wait(http(503, "backendError", "Internal error. Please try again.")),
            Weather::RateLimit => self.lies_in_wait(FaultKind::RateLimit),
            Weather::ConcurrentOperations => self.lies_in_wait(FaultKind::ConcurrentOperations),
            Weather::AnswerLost => self.lies_in_wait(FaultKind::TimeoutAfterEffect),
            Weather::Permission => {
                let words = "Required 'compute.instances.create' permission for 'projects/demo-project'";
                self.lies_in_wait(http(403, "forbidden", words));
            }
            Weather::Fingerprint => {
                let words = "Supplied fingerprint does not match current metadata fingerprint.";
                self.add("instances.setMetadata", http(412, "conditionNotMet", words));
            }
            Weather::Slow => {
                let longer = self.dice.between(1, 30);
                self.lies_in_wait(FaultKind::Latency(SignedDuration::from_secs(i64::try_from(longer).unwrap_or(1))));
            }
            Weather::OperationFails => {
                let failure = OperationFailure::new("INTERNAL_ERROR", 500, "Internal error. Please try again.");
                self.lies_in_wait(FaultKind::OperationError(failure));
            }
            Weather::PartialList => self.add("*.aggregatedList", FaultKind::PartialList(vec![ZONE.to_owned()])),
            Weather::HiddenList => self.add("*.aggregatedList", FaultKind::HiddenList),
            Weather::ListsLag => {
                let lag = SignedDuration::from_secs(i64::try_from(self.dice.between(2, 20)).unwrap_or(2));
                self.for_a_while(|world| world.list_lag_set(lag), |world| world.list_lag_set(SignedDuration::ZERO));
            }
            Weather::ZoneUnreachable => self.for_a_while(
                |world| world.zone_unreachable_set(ZONE, true),
                |world| world.zone_unreachable_set(ZONE, false),
            ),
            Weather::Stockout => {
                let pattern = self.dice.one(&["*", "n1-*", "*nvidia-tesla-t4*", "n2-*", "e2-*", "c3-*"]);
                self.for_a_while(
                    move |world| world.capacity_set(ZONE, pattern, Some(0)),
                    move |world| world.capacity_set(ZONE, pattern, None),
                );
            }
            Weather::Quota => {
                let (metric, usual) =
                    self.dice.one(&[("CPUS", 2_400.0), ("NVIDIA_T4_GPUS", 16.0), ("INSTANCES", 2_000.0)]);
                let left = if metric == "CPUS" { 24.0 } else { 1.0 };
                self.for_a_while(
                    move |world| world.quota_set("us-central1", metric, left),
                    move |world| world.quota_set("us-central1", metric, usual),
                );
            }
            Weather::BootNever => self.guests_fail(GuestFault::BootNever),
            Weather::StandbyNever => self.guests_fail(GuestFault::StandbyNever),
            Weather::ServeNever => self.guests_fail(GuestFault::ServeNever),
            Weather::ServeFails => {
                let failure = self.dice.one(&[
                    GuestFailure::JupyterFailed,
                    GuestFailure::JupyterFailed,
                    GuestFailure::AcceleratorMissing,
                ]);
                self.guests_fail(GuestFault::ServeFails(failure));
            }
            Weather::ReleaseNever => self.guests_fail(GuestFault::ReleaseNever),
            Weather::Hangs => {
                if let Some(vm) = self.a_vm_of(index) {
                    self.tears(&vm);
                    self.run.with_world(|world| world.hang_guest(&vm.at, &vm.name));
                }
            }
            Weather::Preemption => {
                if let Some(vm) = self.a_vm_of(index) {
                    self.run.with_world(|world| world.preempt(&vm.at, &vm.name));
                }
            }
            Weather::HostError => {
                if let Some(vm) = self.a_vm_of(index) {
                    self.tears(&vm);
                    self.run.with_world(|world| world.host_error(&vm.at, &vm.name));
                }
            }
            Weather::Maintenance => {
                if let Some(vm) = self.a_vm_of(index) {
                    self.run.with_world(|world| world.maintenance(&vm.at, &vm.name));
                }
            }
        }
    }

    fn a_vm_of(&mut self, index: usize) -> Option<Place> {
        let notebook = self.stored(index)?;
        let scene = self.run.shared().scene();
        let vms: Vec<Place> = scene.vms_of(&notebook.uid).map(|(place, _)| place.clone()).collect();
        if vms.is_empty() { None } else { Some(self.dice.one(&vms)) }
    }

    /// One of the next requests of some sort suffers it.
    fn lies_in_wait(&mut self, kind: FaultKind) {
        let method =
            self.dice.one(&["instances.*", "instances.*", "disks.*", "zoneOperations.*", "instances.insert", "*"]);
        self.add(method, kind);
    }

    fn add(&mut self, method: &str, kind: FaultKind) {
        let after = u32::try_from(self.dice.between(0, 3)).unwrap_or(0);
        let times = u32::try_from(self.dice.between(1, 3)).unwrap_or(1);
        let fault = Fault { method: method.to_owned(), target: "*".to_owned(), after, times, kind };
        self.run.with_world(|world| world.fault_add(fault));
    }

    fn guests_fail(&mut self, fault: GuestFault) {
        self.run.with_world(|world| world.fail_guest("rehost-*", fault, 1));
    }

    /// It is so for a while, and then it is not.
    fn for_a_while(
        &mut self,
        begins: impl FnOnce(&mut crate::world::World),
        ends: impl FnOnce(&mut crate::world::World) + 'static,
    ) {
        self.run.with_world(begins);
        let until = self.run.shared().clock.monotonic() + Duration::from_secs(self.dice.between(5, 90));
        self.mends.push((until, Box::new(ends)));
    }

    /// What has lasted its time is put right; all of it, when things calm down.
    pub(super) fn mends(&mut self, all: bool) {
        let now = self.run.shared().clock.monotonic();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.mends).into_iter().partition(|(at, _)| all || *at <= now);
        self.mends = later;
        for (_, mend) in due {
            self.run.shared().note(Weight::Headline, "weather", "something is put right", "");
            self.run.with_world(|world| mend(world));
        }
    }
}

fn http(status: u16, reason: &str, message: &str) -> FaultKind {
    FaultKind::HttpError { status, reason: reason.to_owned(), message: message.to_owned() }
}
