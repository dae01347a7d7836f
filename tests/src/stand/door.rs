//! A notebook's door on the loopback: whoever connects is led to where its `EndpointSlice` points, as a cluster's proxy does.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::hosts::Network;

/// An open door. It closes when this is dropped.
pub struct Door {
    /// Where it is.
    pub address: SocketAddr,
    parts: [JoinHandle<()>; 2],
}

impl Drop for Door {
    fn drop(&mut self) {
        self.parts.iter().for_each(JoinHandle::abort);
    }
}

impl Door {
    /// Opens the door of a notebook whose hosts are in that network.
    pub async fn open(client: Client, network: Arc<Network>, namespace: &str, name: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let slices: Api<EndpointSlice> = Api::namespaced(client, namespace);
        let (told, mut known) = watch::channel(Known::Nothing);
        let watching = tokio::spawn(follow(slices, format!("metadata.name={name}"), told));
        let first_look = known.wait_for(|known| *known != Known::Nothing).await;
        drop(first_look.map_err(std::io::Error::other)?);
        let serving = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let to = match *known.borrow() {
                    Known::Address(address) => Some(address),
                    Known::Nothing | Known::NoAddress => None,
                };
                let network = Arc::clone(&network);
                tokio::spawn(lead(near, network, to));
            }
        });
        Ok(Self { address, parts: [watching, serving] })
    }
}

/// What is known of where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Not looked at yet.
    Nothing,
    /// Nobody is ready.
    NoAddress,
    Address(SocketAddr),
}

async fn follow(slices: Api<EndpointSlice>, field: String, told: watch::Sender<Known>) {
    let mut events = std::pin::pin!(watcher(slices, Config::default().fields(&field)));
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Apply(slice) | Event::InitApply(slice)) => {
                told.send_replace(ready(&slice).map_or(Known::NoAddress, Known::Address));
            }
            Ok(Event::Delete(_)) => {
                told.send_replace(Known::NoAddress);
            }
            Ok(Event::InitDone) => {
                told.send_if_modified(|known| {
                    let first = *known == Known::Nothing;
                    if first {
                        *known = Known::NoAddress;
                    }
                    first
                });
            }
            Ok(Event::Init) => {}
            Err(error) => {
                tracing::debug!(%error, "the door's watch failed");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

fn ready(slice: &EndpointSlice) -> Option<SocketAddr> {
    let endpoint = slice
        .endpoints
        .iter()
        .find(|one| one.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true))?;
    let address: IpAddr = endpoint.addresses.first()?.parse().ok()?;
    let port = slice.ports.as_ref()?.first()?.port?;
    Some(SocketAddr::new(address, u16::try_from(port).ok()?))
}

/// Without an address, or where nobody answers, the connection is closed.
async fn lead(mut near: TcpStream, network: Arc<Network>, to: Option<SocketAddr>) {
    let Some(to) = to else { return };
    let Ok(Ok(far)) = tokio::task::spawn_blocking(move || network.connect(to)).await else { return };
    if far.set_nonblocking(true).is_ok()
        && let Ok(mut far) = TcpStream::from_std(far)
    {
        let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}
