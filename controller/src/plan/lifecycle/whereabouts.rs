//! Where the host that has the home is found.

use rehost_api::status::HostKind;

use super::super::Planner;
use crate::gce::model::{Instance, InstanceStatus};
use crate::seen::Seen;
use crate::watch::slim::{PodPhase, PodSeen};

/// Where the host that has the home is found.
pub(in crate::plan) enum Whereabouts {
    /// There is none.
    Nowhere,
    /// A VM at rest, without its memory.
    AtRest,
    /// A VM at rest whose memory is kept.
    Asleep,
    /// A VM that runs.
    RunsVm(Box<Instance>),
    /// A pod that has not ended.
    RunsPod(Box<PodSeen>),
    /// On its way from one to the other, by somebody's order.
    InMotion(String),
    /// It could not be looked at.
    Unclear(String),
}

impl Planner<'_> {
    pub(in crate::plan) fn whereabouts(&self) -> Whereabouts {
        let Some(host) = &self.memory.host else { return Whereabouts::Nowhere };
        match host.kind {
            HostKind::Vm => match self.instance(&host.name) {
                Seen::Absent => Whereabouts::Nowhere,
                Seen::Unknown(why) => Whereabouts::Unclear(why),
                Seen::Present(instance) => match instance.status {
                    InstanceStatus::Running => Whereabouts::RunsVm(Box::new(instance)),
                    InstanceStatus::Stopped => Whereabouts::AtRest,
                    InstanceStatus::Suspended => Whereabouts::Asleep,
                    InstanceStatus::Pending
                    | InstanceStatus::Provisioning
                    | InstanceStatus::Staging
                    | InstanceStatus::PendingStop
                    | InstanceStatus::Stopping
                    | InstanceStatus::Suspending
                    | InstanceStatus::Repairing
                    | InstanceStatus::Deprovisioning
                    | InstanceStatus::Other(_) => Whereabouts::InMotion(format!(
                        "the VM {} is {:?}, not by our order",
                        host.name, instance.status
                    )),
                },
            },
            HostKind::Pod => match self.pod(&host.name) {
                Seen::Absent => Whereabouts::Nowhere,
                Seen::Unknown(why) => Whereabouts::Unclear(why),
                Seen::Present(pod) if pod.deleting => Whereabouts::InMotion(format!("the pod {} ends", host.name)),
                Seen::Present(pod) => match pod.phase {
                    PodPhase::Failed | PodPhase::Succeeded => Whereabouts::Nowhere,
                    PodPhase::Pending | PodPhase::Running | PodPhase::Unknown => Whereabouts::RunsPod(Box::new(pod)),
                },
            },
        }
    }
}
