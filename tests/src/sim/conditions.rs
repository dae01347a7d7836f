//! What a chapter can wait for.

use std::sync::{Arc, OnceLock};

use rehost_api::status::{HostKind, KernelState, Phase, StopReason};

use super::story::{Condition, View};
use crate::world::Place;

fn expect(holds: bool, words: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(words()) }
}

fn is_ready(view: &View<'_>) -> Result<(), String> {
    let (status, reason, message) = view.condition("Ready")?;
    expect(status == "True", || format!("Ready is {status}, {reason}: {message}"))?;
    let under_way = &view.status()?.transition;
    expect(under_way.is_none(), || format!("{under_way:?} is under way"))
}

/// Ready, and Jupyter answers on a host of this shape.
pub fn runs_on(kind: HostKind, shape: &'static str) -> Condition {
    Box::new(move |view| {
        is_ready(view)?;
        let host = view.host()?;
        expect(host.kind == kind && host.shape == shape, || format!("it is on {:?} {}", host.kind, host.shape))?;
        expect(view.serves(), || "Jupyter does not answer".to_owned())
    })
}

/// Not Ready for want of the wished host, and Jupyter answers on the one that it has.
pub fn short_of_capacity_on(shape: &'static str) -> Condition {
    Box::new(move |view| {
        let (status, reason, message) = view.condition("Ready")?;
        expect(status == "False" && reason == "Stockout", || format!("Ready is {status}, {reason}: {message}"))?;
        expect(view.status()?.transition.is_none(), || "something is still under way".to_owned())?;
        let host = view.host()?;
        expect(host.shape == shape && view.serves(), || format!("it is on {}", host.shape))
    })
}

/// Jupyter answers, whatever else.
pub fn serves() -> Condition {
    Box::new(|view| expect(view.serves(), || "Jupyter does not answer".to_owned()))
}

/// Stopped as asked, with nothing running.
pub fn is_stopped() -> Condition {
    Box::new(|view| {
        is_ready(view)?;
        let phase = view.status()?.phase;
        expect(phase == Some(Phase::Stopped), || format!("its phase is {phase:?}"))?;
        expect(!view.serves(), || "Jupyter still answers".to_owned())
    })
}

/// Stopped, and for that reason.
pub fn is_stopped_for(reason: StopReason) -> Condition {
    let stopped = is_stopped();
    Box::new(move |view| {
        stopped(view)?;
        let found = view.status()?.stopped.as_ref().map(|stopped| stopped.reason);
        expect(found == Some(reason), || format!("it is stopped for {found:?}"))
    })
}

/// Suspended because nobody used it, and which boot it is that sleeps.
pub fn is_suspended(boot: &Arc<OnceLock<String>>) -> Condition {
    let boot = boot.clone();
    Box::new(move |view| {
        is_ready(view)?;
        let status = view.status()?;
        let kept = status.kernels.as_ref().map(|kernels| kernels.state);
        expect(status.phase == Some(Phase::Suspended) && kept == Some(KernelState::Kept), || {
            format!("its phase is {:?}, its kernels {kept:?}", status.phase)
        })?;
        expect(!view.serves(), || "Jupyter still answers".to_owned())?;
        boot.get_or_init(|| view.boot().unwrap_or_default());
        Ok(())
    })
}

/// Jupyter answers in the boot that slept.
pub fn boots_as_before(boot: &Arc<OnceLock<String>>) -> Condition {
    let boot = boot.clone();
    Box::new(move |view| {
        is_ready(view)?;
        expect(view.serves(), || "Jupyter does not answer".to_owned())?;
        let (before, now) = (boot.get().cloned(), view.boot());
        expect(before.is_some() && before == now, || format!("boot {before:?} slept, and {now:?} serves"))
    })
}

/// The suspended host could not be had again, and status says so.
pub fn has_lost_kernels() -> Condition {
    Box::new(|view| {
        let (status, reason, message) = view.condition("Ready")?;
        expect(status == "False" && reason == "Stockout", || format!("Ready is {status}, {reason}: {message}"))?;
        let status = view.status()?;
        expect(status.transition.is_none(), || "something is still under way".to_owned())?;
        let lost = status.kernels.as_ref().is_some_and(|kernels| kernels.state == KernelState::Lost);
        expect(lost, || format!("its kernels are {:?}", status.kernels))
    })
}

/// Only the present host is left of all hosts.
pub fn has_one_host() -> Condition {
    Box::new(|view| {
        let status = view.status()?;
        expect(status.former.is_none(), || format!("the former host {:?} is kept", status.former))?;
        let uid = view.notebook().map(|notebook| notebook.uid.clone()).unwrap_or_default();
        let vms = view.scene.vms_of(&uid).count();
        let pods = view.scene.cluster.pods.iter().filter(|pod| pod.notebook_uid == uid).count();
        expect(vms + pods <= 1, || format!("there are {vms} VMs and {pods} pods"))
    })
}

/// The home is a disk of this type in this zone.
pub fn has_its_home_on(disk_type: &'static str, zone: &'static str) -> Condition {
    Box::new(move |view| {
        let home = view.status()?.home.as_ref().ok_or_else(|| "there is no home on record".to_owned())?;
        expect(home.disk_type == disk_type && home.zone == zone, || {
            format!("the home is on {} in {}", home.disk_type, home.zone)
        })
    })
}

/// Of all disks and hosts, only the home is left and what has it.
pub fn has_one_disk() -> Condition {
    let one_host = has_one_host();
    Box::new(move |view| {
        one_host(view)?;
        let former = &view.status()?.former_home;
        expect(former.is_none(), || format!("the disk before, {former:?}, is kept"))?;
        let uid = view.notebook().map(|notebook| notebook.uid.clone()).unwrap_or_default();
        let boots = |place: &Place| view.scene.cloud.vms.contains_key(place);
        let disks = view.scene.disks_of(&uid).filter(|(place, _)| !boots(place)).count();
        expect(disks == 1, || format!("there are {disks} disks"))
    })
}

/// The notebook is gone, and of all that it had only its disk is left, as kept.
pub fn is_gone_with_its_disk_kept(content_id_label: &'static str) -> Condition {
    Box::new(move |view| {
        expect(view.notebook().is_none(), || {
            let words = view.condition("Ready").map(|(_, _, message)| message);
            format!("the notebook is still there: {words:?}")
        })?;
        let role = |place: &Place| {
            let disk = view.scene.cloud.disks.get(place);
            disk.and_then(|disk| disk.labels.get(rehost_api::labels::GCE_ROLE).cloned())
        };
        let ours: Vec<&Place> = view
            .scene
            .cloud
            .disks
            .iter()
            .filter(|(_, disk)| disk.labels.contains_key(content_id_label))
            .map(|(place, _)| place)
            .collect();
        expect(ours.len() == 1, || format!("{} home disks are left", ours.len()))?;
        expect(ours.iter().all(|place| role(place).as_deref() == Some("kept")), || {
            "the disk is not marked as kept".to_owned()
        })
    })
}
