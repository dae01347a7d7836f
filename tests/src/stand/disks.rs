//! The disks of the cloud, as a CSI driver's side of the cloud attaches them to the machines of nodes.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use futures::FutureExt;
use futures::future::BoxFuture;
use rehost_api::labels;
use serde_json::json;

use super::{Cloud, ZONE};
use crate::hosts::Fleet;
use crate::kubelet::Disks;

/// The disks of a cloud whose guests are simulated: what is on one is a log of records.
pub(super) struct Imagined(pub(super) Cloud);

impl Disks for Imagined {
    fn attach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>> {
        let cloud = self.0.clone();
        async move {
            attach(&cloud, &node, disk_of(&handle)).await?;
            format_blank(&cloud, disk_of(&handle));
            Ok(())
        }
        .boxed()
    }

    fn detach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>> {
        let cloud = self.0.clone();
        async move { detach(&cloud, &node, disk_of(&handle)).await }.boxed()
    }

    fn grow(&self, handle: String, size_gb: u64) -> BoxFuture<'static, Result<(), String>> {
        let cloud = self.0.clone();
        async move { grow(&cloud, disk_of(&handle), size_gb).await }.boxed()
    }
}

/// The disks of real machines, for a real node: it finds a link to the device of each that is attached to it.
#[derive(Clone)]
pub(super) struct Linked {
    pub(super) cloud: Cloud,
    pub(super) fleet: Fleet,
    /// Where the node looks.
    pub(super) devices: PathBuf,
}

impl Linked {
    fn file(&self, disk: &str) -> Result<std::sync::Arc<crate::hosts::Disk>, String> {
        let shown = self.cloud.peek(&format!("zones/{ZONE}/disks/{disk}"));
        let id = shown["id"].as_str().and_then(|id| id.parse().ok()).ok_or_else(|| format!("{disk} is not there"))?;
        self.fleet.disk(id).map_err(|error| error.to_string())
    }

    fn link(&self, disk: &str) -> Result<(), String> {
        let file = self.file(disk)?;
        // Whoever had it before must have let go of it.
        file.await_free().map_err(|error| error.to_string())?;
        let link = self.devices.join(disk);
        let _stale = std::fs::remove_file(&link);
        symlink(file.device(), link).map_err(|error| error.to_string())
    }

    fn unlink(&self, disk: &str) -> Result<(), String> {
        self.file(disk)?.await_free().map_err(|error| error.to_string())?;
        // It was never linked where attaching was cut off before.
        let _gone = std::fs::remove_file(self.devices.join(disk));
        Ok(())
    }
}

impl Disks for Linked {
    fn attach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>> {
        let disks = self.clone();
        async move {
            attach(&disks.cloud, &node, disk_of(&handle)).await?;
            blocking(move || disks.link(disk_of(&handle))).await
        }
        .boxed()
    }

    fn detach(&self, node: String, handle: String) -> BoxFuture<'static, Result<(), String>> {
        let (disks, cloud, disk) = (self.clone(), self.cloud.clone(), disk_of(&handle).to_owned());
        async move {
            if is_on(&cloud, &disk, &node) {
                let gone = disk.clone();
                blocking(move || disks.unlink(&gone)).await?;
            }
            detach(&cloud, &node, &disk).await
        }
        .boxed()
    }

    fn grow(&self, handle: String, size_gb: u64) -> BoxFuture<'static, Result<(), String>> {
        let disks = self.clone();
        async move {
            grow(&disks.cloud, disk_of(&handle), size_gb).await?;
            let file = disks.file(disk_of(&handle))?;
            blocking(move || file.grow(size_gb << 30).map_err(|error| error.to_string())).await
        }
        .boxed()
    }
}

async fn blocking(act: impl FnOnce() -> Result<(), String> + Send + 'static) -> Result<(), String> {
    tokio::task::spawn_blocking(act).await.unwrap_or_else(|error| Err(error.to_string()))
}

/// As the driver does: a disk that is there already is there.
async fn attach(cloud: &Cloud, node: &str, disk: &str) -> Result<(), String> {
    if is_on(cloud, disk, node) { Ok(()) } else { cloud.attach(ZONE, node, disk).await }
}

async fn detach(cloud: &Cloud, node: &str, disk: &str) -> Result<(), String> {
    if is_on(cloud, disk, node) { cloud.detach(ZONE, node, disk).await } else { Ok(()) }
}

async fn grow(cloud: &Cloud, disk: &str, size_gb: u64) -> Result<(), String> {
    let path = format!("zones/{ZONE}/disks/{disk}/resize");
    cloud.change(&path, &[], Some(json!({"sizeGb": size_gb.to_string()}))).await
}

fn is_on(cloud: &Cloud, disk: &str, node: &str) -> bool {
    let shown = cloud.peek(&format!("zones/{ZONE}/disks/{disk}"));
    let mut users = shown["users"].as_array().into_iter().flatten();
    users.any(|user| user.as_str().is_some_and(|user| user.ends_with(&format!("/instances/{node}"))))
}

/// What the driver and the pod's start do with a blank disk: a file system, with the content id that its label says.
fn format_blank(cloud: &Cloud, disk: &str) {
    cloud.world.with(|world, _| {
        let blank =
            world.home_content(ZONE, disk).is_some_and(|content| content.content_id.is_none() && !content.foreign);
        if let Some(content_id) = world.disk_labels(ZONE, disk).get(labels::GCE_CONTENT).filter(|_| blank) {
            world.disk_set_content(ZONE, disk, content_id);
        }
    });
}

fn disk_of(handle: &str) -> &str {
    handle.rsplit('/').next().unwrap_or(handle)
}
