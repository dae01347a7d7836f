//! The way from the controller to the pods' status ports, which are inside the machines' network.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use rehost::status_ports::{Answer, HttpStatusPorts, StatusPorts};

use crate::hosts::{Network, relay};

/// The controller's own way, through a relay on the loopback for each port.
pub(super) struct Relayed {
    network: Arc<Network>,
    ports: HttpStatusPorts,
    relays: Mutex<BTreeMap<SocketAddr, SocketAddr>>,
}

impl Relayed {
    pub(super) fn new(network: Arc<Network>) -> Result<Self, reqwest::Error> {
        Ok(Self { network, ports: HttpStatusPorts::new()?, relays: Mutex::default() })
    }

    fn near(&self, port: SocketAddr) -> Result<SocketAddr, String> {
        let mut relays = self.relays.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(near) = relays.get(&port) {
            return Ok(*near);
        }
        let near = relay(&self.network, port).map_err(|error| error.to_string())?;
        relays.insert(port, near);
        Ok(near)
    }
}

impl StatusPorts for Relayed {
    fn ask(&self, port: SocketAddr, token: String) -> BoxFuture<'_, Result<Answer, String>> {
        async move { self.ports.ask(self.near(port)?, token).await }.boxed()
    }
}
