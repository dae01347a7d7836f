//! The machines' network: a bridge in a network namespace of its own. Nothing of it is seen from this machine, which
//! reaches in by sockets made inside, and through relays on the loopback.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{HostsError, run};
use crate::control_plane::process::{Process, Start};

/// The gateway, where the test's own servers for the machines listen.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 128, 0, 1);
/// Every subnetwork of an auto mode network lies in this range (
/// <https://cloud.google.com/vpc/docs/subnets#ip-ranges>): here they are one.
const PREFIX: u8 = 9;
const BRIDGE: &str = "bridge";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: u32 = 250;

/// A network of machines.
#[derive(Debug)]
pub struct Network {
    holder: Process,
}

impl Network {
    /// Makes an empty network. `folder` is for the log of the process that holds it, and for all else of the run's: it is
    /// removed when the network ends, also when the run was killed.
    pub fn new(folder: &Path) -> Result<Self, HostsError> {
        let holder = Process::start(Start {
            name: "network",
            program: Path::new("unshare"),
            arguments: ["--net", "sleep", "infinity"].map(str::to_owned).to_vec(),
            environment: Vec::new(),
            log: folder.join("network.log"),
            grace: Duration::ZERO,
            remove: Some(folder.to_owned()),
        })
        .map_err(HostsError::io("the network's holder"))?;
        let network = Self { holder };
        await_namespace(&network.holder)?;
        network.ip(&["link", "set", "lo", "up"])?;
        network.ip(&["link", "add", BRIDGE, "type", "bridge"])?;
        network.ip(&["address", "add", &format!("{GATEWAY}/{PREFIX}"), "dev", BRIDGE])?;
        network.ip(&["link", "set", BRIDGE, "up"])?;
        Ok(network)
    }

    fn ip(&self, arguments: &[&str]) -> Result<(), HostsError> {
        ip_in(&self.namespace()?, arguments)
    }

    fn namespace(&self) -> Result<String, HostsError> {
        namespace_of(&self.holder)
    }

    /// Plugs a machine in, with an address.
    pub(super) fn plug(&self, machine: &Process, address: Ipv4Addr) -> Result<(), HostsError> {
        let id = machine.id().ok_or_else(|| HostsError::TimedOut("the machine has no process".to_owned()))?.to_string();
        let port = format!("p{id}");
        self.ip(&["link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &id])?;
        self.ip(&["link", "set", &port, "master", BRIDGE, "up"])?;
        let inside = namespace_of(machine)?;
        ip_in(&inside, &["address", "add", &format!("{address}/{PREFIX}"), "dev", "eth0"])?;
        ip_in(&inside, &["link", "set", "eth0", "up"])?;
        ip_in(&inside, &["route", "add", "default", "via", &GATEWAY.to_string()])
    }

    /// Plugs in a node of a cluster: a process that goes into a network namespace of its own. Its address is the way to
    /// `subnets`, those of its pods and Services, for this run and for machines.
    pub(crate) fn plug_node(&self, node: &Process, address: Ipv4Addr, subnets: &[&str]) -> Result<(), HostsError> {
        await_namespace(node)?;
        ip_in(&namespace_of(node)?, &["link", "set", "lo", "up"])?;
        self.plug(node, address)?;
        for subnet in subnets {
            self.ip(&["route", "replace", subnet, "via", &address.to_string()])?;
        }
        let forward = "echo 1 >/proc/sys/net/ipv4/ip_forward";
        run(&["nsenter", &format!("--net={}", self.namespace()?), "sh", "-c", forward]).map(|_| ())
    }

    /// Lets machines reach a server on this machine's loopback at [`GATEWAY`], under `port`, or a free one where that is 0;
    /// for as long as this process lives.
    pub(crate) fn publish(&self, port: u16, server: SocketAddr) -> Result<SocketAddr, HostsError> {
        let listener = self.listen(port)?;
        let at = listener.local_addr().map_err(HostsError::io("a published port"))?;
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    // A server that does not answer is a closed connection, as it would be without us.
                    if let Ok(far) = TcpStream::connect_timeout(&server, CONNECT_TIMEOUT) {
                        join(near, far);
                    }
                });
            }
        });
        Ok(at)
    }

    /// Connects to a machine.
    pub fn connect(&self, address: SocketAddr) -> Result<TcpStream, HostsError> {
        let namespace = self.namespace()?;
        inside(&namespace, move || TcpStream::connect_timeout(&address, CONNECT_TIMEOUT))
            .map_err(HostsError::io(format!("connecting to {address}")))
    }

    /// Starts a server of the test's own inside the network, where machines reach it at [`GATEWAY`].
    pub fn start(&self, name: &str, program: &Path, arguments: &[&str], log: PathBuf) -> Result<Process, HostsError> {
        let enter = format!("--net={}", self.namespace()?);
        let program = program.to_string_lossy();
        let all = [enter.as_str(), &program].into_iter().chain(arguments.iter().copied());
        Process::start(Start {
            name,
            program: Path::new("nsenter"),
            arguments: all.map(str::to_owned).collect(),
            environment: Vec::new(),
            log,
            grace: Duration::from_secs(1),
            remove: None,
        })
        .map_err(HostsError::io(format!("starting {name}")))
    }

    /// A listener that machines reach at [`GATEWAY`]; on a free port where `port` is 0.
    pub fn listen(&self, port: u16) -> Result<TcpListener, HostsError> {
        inside(&self.namespace()?, move || TcpListener::bind((GATEWAY, port)))
            .map_err(HostsError::io(format!("listening on {GATEWAY}:{port}")))
    }
}

/// Opens a way from a free port of the loopback to a machine, for as long as the network is there.
pub fn relay(network: &Arc<Network>, to: SocketAddr) -> Result<SocketAddr, HostsError> {
    let failed = || HostsError::io("a relay on the loopback");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed())?;
    let at = listener.local_addr().map_err(failed())?;
    let network = Arc::downgrade(network);
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let Some(network) = network.upgrade() else { return };
            std::thread::spawn(move || {
                // A machine that does not answer is a closed connection, as it would be without us.
                if let Ok(far) = network.connect(to) {
                    drop(network);
                    join(near, far);
                }
            });
        }
    });
    Ok(at)
}

fn join(near: TcpStream, far: TcpStream) {
    let (Ok(near_too), Ok(far_too)) = (near.try_clone(), far.try_clone()) else { return };
    let there = std::thread::spawn(move || pump(near, far_too));
    pump(far, near_too);
    let _ = there.join();
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    // An end, orderly or not, is passed on.
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// A listener on an address of a machine's own, made in its namespace. The socket stays there, whoever serves it.
pub(super) fn listen_in(machine: &Process, address: SocketAddr) -> Result<TcpListener, HostsError> {
    inside(&namespace_of(machine)?, move || TcpListener::bind(address))
        .map_err(HostsError::io(format!("listening on {address}")))
}

/// Runs something on a thread that has gone into a network namespace, and ends there.
fn inside<T: Send + 'static>(namespace: &str, act: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    let namespace = File::open(namespace)?;
    let thread = std::thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        act()
    });
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread inside the namespace panicked")))
}

fn namespace_of(process: &Process) -> Result<String, HostsError> {
    let id = process.id().ok_or_else(|| HostsError::TimedOut(format!("{} has no process", process.name())))?;
    Ok(format!("/proc/{id}/ns/net"))
}

/// Waits until a process has left this machine's network namespace.
pub(super) fn await_namespace(process: &Process) -> Result<(), HostsError> {
    let ours = std::fs::read_link("/proc/self/ns/net").map_err(HostsError::io("our own network namespace"))?;
    for _ in 0..TRIES {
        let theirs = namespace_of(process).ok().and_then(|path| std::fs::read_link(path).ok());
        if theirs.is_some_and(|theirs| theirs != ours) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(HostsError::TimedOut(format!("{} has no namespace of its own: {}", process.name(), process.log_tail(5))))
}

fn ip_in(namespace: &str, arguments: &[&str]) -> Result<(), HostsError> {
    let enter = format!("--net={namespace}");
    let mut argv = vec!["nsenter", enter.as_str(), "ip"];
    argv.extend(arguments);
    run(&argv).map(|_| ())
}
