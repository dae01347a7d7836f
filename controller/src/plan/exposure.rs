//! Where people reach the notebook: one Service without a selector, one EndpointSlice, for VM and pod alike.

use std::net::IpAddr;

use rehost_api::guest::JUPYTER_PORT;
use rehost_api::labels;
use rehost_api::status::HostKind;

use super::action::{KubeChange, ServicePlan, SlicePlan};
use super::{Action, Planner};
use crate::seen::Seen;

impl Planner<'_> {
    pub(super) fn expose(&mut self) {
        if self.memory.home.is_none() {
            return;
        }
        self.retain_dynamic_volume();
        let name = labels::service_name(&self.resolution.subject.name);
        let service = ServicePlan { name: name.clone(), port: JUPYTER_PORT };
        let as_planned = match &self.observed.service {
            Seen::Unknown(_) => true,
            Seen::Absent => false,
            Seen::Present(seen) if !self.is_our_object(&seen.notebook_uid) => true,
            Seen::Present(seen) => {
                !seen.has_selector
                    && seen.ports.iter().any(|(_, port, _)| *port == JUPYTER_PORT)
                    && seen.ports.len() == 1
            }
        };
        if !as_planned {
            self.actions.push(Action::Kube(KubeChange::ApplyService(service)));
        }
        let slice = SlicePlan { name: name.clone(), service: name, port: JUPYTER_PORT, endpoint: self.endpoint() };
        let as_planned = match &self.observed.slice {
            Seen::Unknown(_) => true,
            Seen::Absent => false,
            Seen::Present(seen) if !self.is_our_object(&seen.notebook_uid) => true,
            Seen::Present(seen) => {
                let wanted: Vec<_> = slice.endpoint.iter().copied().collect();
                seen.endpoints == wanted
            }
        };
        if !as_planned {
            self.actions.push(Action::Kube(KubeChange::ApplySlice(slice)));
        }
    }

    /// The host's address, and whether Jupyter answers there as far as we know.
    fn endpoint(&self) -> Option<(IpAddr, bool)> {
        let host = self.memory.host.as_ref()?;
        let address = host.address.as_ref()?.parse().ok()?;
        Some((address, self.serves()))
    }

    /// Whether Jupyter answers on the host that has the home.
    pub(super) fn serves(&self) -> bool {
        let Some(host) = self.memory.host.as_ref().filter(|host| host.serving_since.is_some()) else { return false };
        match host.kind {
            HostKind::Vm => true,
            HostKind::Pod => match self.pod(&host.name) {
                Seen::Present(pod) => pod.ready && !pod.deleting,
                Seen::Absent => false,
                Seen::Unknown(_) => true,
            },
        }
    }
}
