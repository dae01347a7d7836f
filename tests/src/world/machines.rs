//! Real machines behind the instances: what the world wants of whoever plays them, and what they tell it.
//!
//! With [`super::WorldSettings::guests`] off nobody is simulated: an instance that runs wants a machine to be on. The
//! wish is whole at any time (a level, not an edge), so whoever plays a machine looks at it when something has changed
//! and makes it so. The cloud's own delays are in it: a machine is wanted on when the boot's time is over, and shows a
//! change of metadata when a waiting request would hear of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use jiff::Timestamp;
use rehost_api::guest::{GuestReport, REPORT_KEY, REPORT_NAMESPACE};
use serde_json::Value;

use super::guest::GuestStep;
use super::instances::{Instance, InstanceStatus};
use super::wire::{elements, text};
use super::{Place, World};

/// How the machine of an instance should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineState {
    /// Without power; what is not flushed is lost.
    Off,
    /// Powered.
    On,
    /// Its power button was pressed.
    ShuttingDown,
    /// Suspended: nothing runs, memory is kept.
    Asleep,
}

/// What is wanted of the machine of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineWish {
    /// The instance.
    pub place: Place,
    /// The incarnation's id: another id is another boot disk.
    pub id: u64,
    /// Another number is another boot, however short the time without power was.
    pub power: u64,
    /// How it should be.
    pub state: MachineState,
    /// Processors.
    pub cpus: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// GPUs.
    pub accelerators: u32,
    /// Its address.
    pub address: Option<Ipv4Addr>,
    /// Its disks, the boot disk left out: device name to the disk's id.
    pub disks: BTreeMap<String, u64>,
    /// Its metadata, as its metadata server shows it.
    pub metadata: BTreeMap<String, String>,
    /// The service account that it runs as.
    pub account: Option<String>,
}

/// What a machine should be like, as far as the instance itself does not say.
#[derive(Clone, Debug, Default)]
pub(super) struct Backing {
    /// Whether it has booted in this round of power.
    on: bool,
    /// The metadata that it has been shown.
    metadata: BTreeMap<String, String>,
}

impl World {
    /// What is wanted of the machines of all instances.
    pub fn machines(&self) -> Vec<MachineWish> {
        self.instances.iter().map(|(place, instance)| self.machine_wish(place, instance)).collect()
    }

    fn machine_wish(&self, place: &Place, instance: &Instance) -> MachineWish {
        let attached = instance.attachments.iter().filter(|one| !one.boot);
        let disks = attached.filter_map(|one| Some((one.device.clone(), self.disks.get(one.disk.as_ref()?)?.id)));
        let interface = instance.shown.get("networkInterfaces").and_then(|all| all.get(0));
        let account = instance.shown.get("serviceAccounts").and_then(|all| all.get(0));
        MachineWish {
            place: place.clone(),
            id: instance.id,
            power: instance.power,
            state: state_of(instance),
            cpus: instance.machine.guest_cpus,
            memory_bytes: u64::from(instance.machine.memory_mb) << 20,
            accelerators: instance.accelerators.iter().map(|(_, count)| count).sum(),
            address: interface.and_then(|one| text(one, "networkIP").parse().ok()),
            disks: disks.collect(),
            metadata: instance.backing.metadata.clone(),
            account: account.map(|account| text(account, "email").to_owned()),
        }
    }

    /// The size of every disk that is there, by its id.
    pub fn disk_sizes_gb(&self) -> BTreeMap<u64, u64> {
        self.disks.values().map(|disk| (disk.id, u64::try_from(disk.size_gb).unwrap_or(0))).collect()
    }

    /// A step of a boot that no simulated guest takes.
    pub(super) fn machine_step(&mut self, place: &Place, step: GuestStep) {
        let now = self.now;
        let Some(instance) = self.instances.get_mut(place) else { return };
        match step {
            GuestStep::Boots => {
                instance.backing = Backing { on: true, metadata: metadata_of(instance) };
                instance.console(now, "power is on");
            }
            GuestStep::ReadsSettings => instance.backing.metadata = metadata_of(instance),
            GuestStep::SeesDevice(_)
            | GuestStep::Serves(_)
            | GuestStep::LetsGo(_)
            | GuestStep::NoticesLoss(_)
            | GuestStep::Grows
            | GuestStep::ShutsDown => {}
        }
    }

    /// The guest of a real machine has published something. The metadata server has judged whether it may.
    pub fn machine_publishes(&mut self, at: Timestamp, place: &Place, id: u64, key: (&str, &str), value: &str) {
        self.version += 1;
        let Some(instance) = self.instances.get_mut(place).filter(|instance| instance.id == id) else { return };
        if key == (REPORT_NAMESPACE, REPORT_KEY)
            && let Ok(report) = serde_json::from_str::<GuestReport>(value)
        {
            instance.console(at, &format!("rehost: {:?} {}", report.state, report.message));
        }
        instance.guest_attributes.insert((key.0.to_owned(), key.1.to_owned()), value.to_owned());
    }
}

fn state_of(instance: &Instance) -> MachineState {
    if !instance.backing.on || !instance.powered && instance.status != InstanceStatus::Suspended {
        return MachineState::Off;
    }
    match instance.status {
        InstanceStatus::Running => MachineState::On,
        InstanceStatus::Stopping => MachineState::ShuttingDown,
        // Only what slept can be on and not run yet.
        InstanceStatus::Suspending
        | InstanceStatus::Suspended
        | InstanceStatus::Provisioning
        | InstanceStatus::Staging => MachineState::Asleep,
        InstanceStatus::Terminated | InstanceStatus::Repairing => MachineState::Off,
    }
}

fn metadata_of(instance: &Instance) -> BTreeMap<String, String> {
    let metadata = instance.shown.get("metadata").unwrap_or(&Value::Null);
    elements(metadata, "items").iter().map(|one| (text(one, "key").to_owned(), text(one, "value").to_owned())).collect()
}
