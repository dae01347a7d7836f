//! Disks of the cloud as loop devices: attached to one machine at a time.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Node;
use crate::hosts::Disk;
use crate::kubelet::Disks;

/// The disks, and who has them. A machine that is no node here may have one too: then only that counts.
#[derive(Clone, Debug, Default)]
pub struct LoopDisks {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    disks: BTreeMap<String, Attached>,
    /// Where each node finds its links.
    nodes: BTreeMap<String, PathBuf>,
}

#[derive(Debug)]
struct Attached {
    disk: Arc<Disk>,
    to: Option<String>,
}

impl LoopDisks {
    /// Adds a disk under the name that is the last part of its volume's handle.
    pub fn add(&self, name: &str, disk: Disk) {
        self.with(|inner| inner.disks.insert(name.to_owned(), Attached { disk: Arc::new(disk), to: None }));
    }

    /// Serves a node: what is attached to it shows up among its devices.
    pub fn serve(&self, node: &Node) {
        self.with(|inner| inner.nodes.insert(node.name().to_owned(), node.devices()));
    }

    /// To whom a disk is attached.
    pub fn attached_to(&self, disk: &str) -> Option<String> {
        self.with(|inner| inner.disks.get(disk)?.to.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn blocking(
        &self,
        act: impl FnOnce(Self) -> Result<(), String> + Send + 'static,
    ) -> BoxFuture<'static, Result<(), String>> {
        let disks = self.clone();
        async move { tokio::task::spawn_blocking(move || act(disks)).await.unwrap_or_else(|error| Err(error.to_string())) }
            .boxed()
    }
}

impl Inner {
    fn find(&mut self, handle: &str) -> Result<&mut Attached, String> {
        let name = name_of(handle);
        self.disks.get_mut(name).ok_or_else(|| format!("The resource 'disks/{name}' was not found"))
    }

    fn attach(&mut self, node: &str, handle: &str) -> Result<(), String> {
        let devices = self.nodes.get(node).cloned();
        let disk = self.find(handle)?;
        match &disk.to {
            Some(other) if other == node => return Ok(()),
            Some(other) => {
                let name = name_of(handle);
                return Err(format!("The disk resource 'disks/{name}' is already being used by 'instances/{other}'"));
            }
            None => {}
        }
        if let Some(devices) = devices {
            let link = devices.join(name_of(handle));
            symlink(disk.disk.device(), &link).map_err(|error| format!("{}: {error}", link.display()))?;
        }
        disk.to = Some(node.to_owned());
        Ok(())
    }

    fn detach(&mut self, node: &str, handle: &str) -> Result<(), String> {
        let devices = self.nodes.get(node).cloned();
        let disk = self.find(handle)?;
        if disk.to.as_deref() != Some(node) {
            return Ok(());
        }
        if let Some(devices) = devices {
            let link = devices.join(name_of(handle));
            std::fs::remove_file(&link).map_err(|error| format!("{}: {error}", link.display()))?;
        }
        disk.to = None;
        Ok(())
    }
}

impl Disks for LoopDisks {
    fn attach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>> {
        self.blocking(move |disks| disks.with(|inner| inner.attach(&node, &handle)))
    }

    fn detach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>> {
        self.blocking(move |disks| {
            let disk = disks.with(|inner| inner.find(&handle).map(|found| Arc::clone(&found.disk)))?;
            // A node must have let go of it: what the next one reads is what was written.
            disk.await_free().map_err(|error| error.to_string())?;
            disks.with(|inner| inner.detach(&node, &handle))
        })
    }

    fn grow(&self, handle: String, size_gb: u64) -> BoxFuture<'static, Result<(), String>> {
        self.blocking(move |disks| {
            let disk = disks.with(|inner| inner.find(&handle).map(|found| Arc::clone(&found.disk)))?;
            disk.grow(size_gb << 30).map_err(|error| error.to_string())
        })
    }
}

fn name_of(handle: &str) -> &str {
    handle.rsplit('/').next().unwrap_or(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_the_last_name_of_its_handle() {
        assert_eq!(name_of("projects/p/zones/z/disks/home"), "home");
        assert_eq!(name_of("home"), "home");
    }
}
