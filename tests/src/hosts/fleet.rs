//! Real machines behind the instances of the simulated Compute Engine.
//!
//! One thread for each instance makes its machine what the world wants of it ([`MachineWish`]), and tells the world what
//! the machine's guest has published and when the machine went off by itself. Disks are files; each keeps its content
//! under its id, whatever machine it is attached to.
//!
//! What is simplified, beside what [`super`] says: a machine has no more processors than this one; a new disk is blank,
//! also where it was asked for from a snapshot; a GPU is a stand-in for `nvidia-smi` that counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Boot, Disk, HostsError, Image, Machine, Metadata, Network};
use crate::world::rest::SharedWorld;
use crate::world::{MachineState, MachineWish, World};

/// How often a machine is looked at when nothing is wanted of it: whether it is still on, and what failed before.
const LOOK: Duration = Duration::from_millis(200);
const EXECUTABLE: u32 = 0o755;

/// What all machines have in common.
#[derive(Clone, Debug)]
pub struct FleetSettings {
    /// Their root file system.
    pub image: Image,
    /// Their network.
    pub network: Arc<Network>,
    /// The folder of their boot disks and of all other disks.
    pub folder: PathBuf,
    /// The project, as the metadata server names it.
    pub project: String,
    /// The access token that a service account gets from the metadata server.
    pub token: String,
    /// Instances that somebody else plays: the nodes of a cluster.
    pub played_elsewhere: BTreeSet<String>,
    /// Files that every boot disk has beside the image's, by their path.
    pub files: BTreeMap<PathBuf, String>,
}

/// The machines of a world. They are off when the last of its clones is dropped.
#[derive(Clone)]
pub struct Fleet {
    shared: Arc<Shared>,
    _following: Arc<Following>,
}

/// The task that follows the world, for as long as anybody has it.
struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        // The threads end with the channels that the task holds, and each takes its machine with it.
        self.0.abort();
    }
}

struct Shared {
    settings: FleetSettings,
    world: SharedWorld,
    runtime: Handle,
    disks: Mutex<BTreeMap<u64, Arc<Disk>>>,
    /// The machines that are on, by instance.
    running: Mutex<BTreeMap<u64, Arc<Machine>>>,
}

impl Fleet {
    /// Follows a world whose guests are not simulated. Answers of metadata servers are served on this runtime.
    pub fn follow(world: SharedWorld, settings: FleetSettings) -> Self {
        let shared = Arc::new(Shared {
            settings,
            world,
            runtime: Handle::current(),
            disks: Mutex::default(),
            running: Mutex::default(),
        });
        let following = tokio::spawn(follow(Arc::clone(&shared)));
        Self { shared, _following: Arc::new(Following(following)) }
    }

    /// The machine of an instance, while it is on.
    pub fn machine(&self, zone: &str, name: &str) -> Option<Arc<Machine>> {
        let wishes = self.shared.world.look(World::machines);
        let id = wishes.into_iter().find(|wish| wish.place.at == zone && wish.place.name == name)?.id;
        lock(&self.shared.running).get(&id).cloned()
    }

    /// The disk of an id, at its present size.
    pub fn disk(&self, id: u64) -> Result<Arc<Disk>, HostsError> {
        self.shared.disk(id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands every instance's thread what is wanted of it, whenever the world has changed.
async fn follow(shared: Arc<Shared>) {
    let mut changes = shared.world.changes();
    let mut threads: BTreeMap<u64, (MachineWish, Sender<MachineWish>)> = BTreeMap::new();
    loop {
        changes.borrow_and_update();
        let (mut wishes, sizes_gb) = shared.world.look(|world| (world.machines(), world.disk_sizes_gb()));
        wishes.retain(|wish| !shared.settings.played_elsewhere.contains(&wish.place.name));
        // A thread whose channel is closed cuts the power and removes the boot disk.
        threads.retain(|id, _| wishes.iter().any(|wish| wish.id == *id));
        shared.settle_disks(&sizes_gb);
        for wish in wishes {
            let known = threads.entry(wish.id).or_insert_with(|| {
                let (sender, receiver) = channel();
                let player = Player::new(Arc::clone(&shared), &wish);
                std::thread::spawn(move || player.play(&receiver));
                let _first = sender.send(wish.clone());
                (wish.clone(), sender)
            });
            if known.0 != wish {
                let _told = known.1.send(wish.clone());
                known.0 = wish;
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

impl Shared {
    fn disk(&self, id: u64) -> Result<Arc<Disk>, HostsError> {
        let sizes_gb = self.world.look(World::disk_sizes_gb);
        let size_gb = sizes_gb.get(&id).copied().ok_or_else(|| HostsError::TimedOut(format!("disk {id} is gone")))?;
        let mut disks = lock(&self.disks);
        if let Some(disk) = disks.get(&id) {
            return Ok(Arc::clone(disk));
        }
        let folder = self.settings.folder.join("disks");
        std::fs::create_dir_all(&folder).map_err(HostsError::io("the folder of the disks"))?;
        let disk = Arc::new(Disk::open(&folder.join(format!("{id}.raw")), size_gb << 30)?);
        disks.insert(id, Arc::clone(&disk));
        Ok(disk)
    }

    /// Disks that have grown grow; those that are gone are removed.
    fn settle_disks(&self, sizes_gb: &BTreeMap<u64, u64>) {
        lock(&self.disks).retain(|id, disk| {
            let kept = sizes_gb.get(id).map(|size_gb| disk.grow(size_gb << 30));
            if let Some(Err(error)) = &kept {
                tracing::warn!(%error, "a disk did not grow");
            }
            if kept.is_none() {
                let _gone = std::fs::remove_file(disk.file());
            }
            kept.is_some()
        });
    }
}

/// The machine of one instance, and what it was last told.
struct Player {
    shared: Arc<Shared>,
    folder: PathBuf,
    id: u64,
    on: Option<Running>,
}

struct Running {
    machine: Arc<Machine>,
    metadata: Metadata,
    power: u64,
    pressed: bool,
    asleep: bool,
    attributes: BTreeMap<String, String>,
    /// Device name to the disk's id. What is attached is held, so that its device stays.
    disks: BTreeMap<String, (u64, Arc<Disk>)>,
}

impl Player {
    fn new(shared: Arc<Shared>, wish: &MachineWish) -> Self {
        let folder = shared.settings.folder.join("instances").join(wish.id.to_string());
        Self { shared, folder, id: wish.id, on: None }
    }

    fn play(mut self, wishes: &Receiver<MachineWish>) {
        let Ok(mut wish) = wishes.recv() else { return };
        loop {
            if let Err(error) = self.bring(&wish) {
                tracing::warn!(%error, instance = wish.place.name, "a machine is not as it should be yet");
            }
            match wishes.recv_timeout(LOOK) {
                Ok(newer) => wish = wishes.try_iter().last().unwrap_or(newer),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.cut();
        let _gone = std::fs::remove_dir_all(&self.folder);
    }

    /// Makes the machine what it should be. What fails is tried again a moment later.
    fn bring(&mut self, wish: &MachineWish) -> Result<(), HostsError> {
        if wish.state == MachineState::Off || self.on.as_ref().is_some_and(|on| on.power != wish.power) {
            self.cut();
        }
        if wish.state == MachineState::On && self.on.is_none() {
            self.start(wish)?;
        }
        let Some(on) = self.on.as_mut() else { return Ok(()) };
        on.sleep(wish.state == MachineState::Asleep)?;
        on.show(&wish.metadata);
        if wish.state == MachineState::ShuttingDown && !on.pressed {
            on.machine.press_power_button()?;
            on.pressed = true;
        }
        if !on.machine.is_on() {
            if wish.state == MachineState::On {
                let place = &wish.place;
                self.shared.world.with(|world, _| world.guest_power_off(&place.at, &place.name));
            }
            return Ok(());
        }
        on.have(&self.shared, &wish.disks)
    }

    /// Pulls the plug.
    fn cut(&mut self) {
        lock(&self.shared.running).remove(&self.id);
        self.on = None;
    }

    fn start(&mut self, wish: &MachineWish) -> Result<(), HostsError> {
        let settings = &self.shared.settings;
        self.write_files(wish)?;
        let account = wish.account.as_deref().map(|email| (email, settings.token.as_str()));
        let (runtime, name) = (self.shared.runtime.clone(), &wish.place.name);
        let metadata = Metadata::new(runtime, &settings.project, name, &wish.metadata, account);
        self.pass_on(&metadata, wish);
        let boot = Boot {
            name: name.clone(),
            cpus: wish.cpus,
            memory_bytes: wish.memory_bytes,
            address: wish.address.unwrap_or(Ipv4Addr::UNSPECIFIED),
            folder: self.folder.clone(),
        };
        let mut disks = BTreeMap::new();
        for (device, id) in &wish.disks {
            disks.insert(device.clone(), (*id, self.shared.disk(*id)?));
        }
        let attached: Vec<(&str, &Disk)> = disks.iter().map(|(device, (_, disk))| (device.as_str(), &**disk)).collect();
        let machine = Arc::new(Machine::start(&settings.image, &settings.network, boot, &attached, &metadata)?);
        lock(&self.shared.running).insert(self.id, Arc::clone(&machine));
        let (power, attributes) = (wish.power, wish.metadata.clone());
        self.on = Some(Running { machine, metadata, power, pressed: false, asleep: false, attributes, disks });
        Ok(())
    }

    /// What the guest publishes is read through the world, as from the real API.
    fn pass_on(&self, metadata: &Metadata, wish: &MachineWish) {
        let (world, place, id) = (self.shared.world.clone(), wish.place.clone(), wish.id);
        metadata.on_publication(Arc::new(move |namespace, key, value| {
            world.with(|world, now| world.machine_publishes(now, &place, id, (namespace, key), value));
        }));
    }

    fn write_files(&self, wish: &MachineWish) -> Result<(), HostsError> {
        let root = self.folder.join("upper");
        for (path, text) in &self.shared.settings.files {
            write(&root, path, text)?;
        }
        let shown = "GPU-stand-in\n".repeat(usize::try_from(wish.accelerators).unwrap_or(0));
        let driver = Path::new("/usr/local/bin/nvidia-smi");
        write(&root, driver, &format!("#!/bin/sh\nprintf '%s' '{shown}'\n"))?;
        let file = root.join("usr/local/bin/nvidia-smi");
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(EXECUTABLE))
            .map_err(HostsError::io("the stand-in for nvidia-smi"))
    }
}

fn write(root: &Path, path: &Path, text: &str) -> Result<(), HostsError> {
    let file = root.join(path.strip_prefix("/").unwrap_or(path));
    let failed = || HostsError::io(format!("a boot disk's {}", path.display()));
    file.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed())?;
    std::fs::write(file, text).map_err(failed())
}

impl Running {
    fn sleep(&mut self, asleep: bool) -> Result<(), HostsError> {
        match (self.asleep, asleep) {
            (false, true) => self.machine.suspend()?,
            (true, false) => self.machine.resume()?,
            (true, true) | (false, false) => {}
        }
        self.asleep = asleep;
        Ok(())
    }

    fn show(&mut self, attributes: &BTreeMap<String, String>) {
        if self.attributes != *attributes {
            self.metadata.show(attributes);
            self.attributes.clone_from(attributes);
        }
    }

    fn have(&mut self, shared: &Shared, wanted: &BTreeMap<String, u64>) -> Result<(), HostsError> {
        let gone: Vec<String> = self
            .disks
            .iter()
            .filter(|(device, (id, _))| wanted.get(*device) != Some(id))
            .map(|(device, _)| device.clone())
            .collect();
        for device in gone {
            self.machine.detach(&device)?;
            self.disks.remove(&device);
        }
        for (device, id) in wanted {
            if !self.disks.contains_key(device) {
                let disk = shared.disk(*id)?;
                self.machine.attach(device, &disk)?;
                self.disks.insert(device.clone(), (*id, disk));
            }
        }
        Ok(())
    }
}
