//! Public images and their families.

use super::{Links, put, stable_id};
use serde_json::{Value, json};

/// A public image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// The project that publishes it, for example `debian-cloud`.
    pub project: &'static str,
    /// For example `debian-12-bookworm-v20250910`.
    pub name: &'static str,
    /// For example `debian-12`.
    pub family: &'static str,
    /// `X86_64` or `ARM64`.
    pub architecture: &'static str,
    /// A disk from it is at least this large.
    pub size_gb: u64,
    /// As shown to people.
    pub description: &'static str,
    /// When it was published.
    pub created: &'static str,
    /// The newest of its family is what the family answers; older ones are deprecated.
    pub newest: bool,
}

impl Image {
    /// As `images.get` answers it.
    pub fn to_json(&self, links: Links<'_>) -> Value {
        let Image { project, name, family, architecture, size_gb, description, created, newest } = *self;
        let license = links.elsewhere(project, &format!("global/licenses/{family}"));
        let mut image = json!({
            "kind": "compute#image",
            "id": stable_id(name).to_string(),
            "creationTimestamp": created,
            "name": name,
            "description": description,
            "sourceType": "RAW",
            "rawDisk": {"source": "", "containerType": "TAR"},
            "status": "READY",
            "archiveSizeBytes": (size_gb * 100_000_000).to_string(),
            "diskSizeGb": size_gb.to_string(),
            "licenses": [license],
            "licenseCodes": [(stable_id(family) % 10_000_000_000).to_string()],
            "family": family,
            "selfLink": self.link(links),
            "labelFingerprint": "42WmSpB8rSM=",
            "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}, {"type": "VIRTIO_SCSI_MULTIQUEUE"}, {"type": "GVNIC"}],
            "storageLocations": ["eu", "us"],
            "architecture": architecture,
            "enableConfidentialCompute": false,
        });
        if !newest {
            put(&mut image, "deprecated", json!({"state": "DEPRECATED"}));
        }
        image
    }

    /// Its link.
    pub fn link(&self, links: Links<'_>) -> String {
        links.elsewhere(self.project, &format!("global/images/{}", self.name))
    }
}

const X86: &str = "X86_64";
const ARM: &str = "ARM64";
const DEBIAN: &str = "debian-cloud";
const UBUNTU: &str = "ubuntu-os-cloud";
const DEEP_LEARNING: &str = "deeplearning-platform-release";

const fn public(
    project: &'static str,
    name: &'static str,
    family: &'static str,
    architecture: &'static str,
    size_gb: u64,
    description: &'static str,
) -> Image {
    let created = "2025-09-10T12:16:59.000-07:00";
    Image { project, name, family, architecture, size_gb, description, created, newest: true }
}

/// Every public image, by project and name.
const IMAGES: &[Image] = &[
    public(
        DEBIAN,
        "debian-11-bullseye-v20250910",
        "debian-11",
        X86,
        10,
        "Debian, Debian GNU/Linux, 11 (bullseye), amd64",
    ),
    Image {
        created: "2025-08-12T12:16:59.000-07:00",
        newest: false,
        ..public(
            DEBIAN,
            "debian-12-bookworm-v20250812",
            "debian-12",
            X86,
            10,
            "Debian, Debian GNU/Linux, 12 (bookworm), amd64",
        )
    },
    public(
        DEBIAN,
        "debian-12-bookworm-v20250910",
        "debian-12",
        X86,
        10,
        "Debian, Debian GNU/Linux, 12 (bookworm), amd64",
    ),
    public(
        DEBIAN,
        "debian-12-bookworm-arm64-v20250910",
        "debian-12-arm64",
        ARM,
        10,
        "Debian, Debian GNU/Linux, 12 (bookworm), arm64",
    ),
    public(DEBIAN, "debian-13-trixie-v20250910", "debian-13", X86, 10, "Debian, Debian GNU/Linux, 13 (trixie), amd64"),
    public(
        DEBIAN,
        "debian-13-trixie-arm64-v20250910",
        "debian-13-arm64",
        ARM,
        10,
        "Debian, Debian GNU/Linux, 13 (trixie), arm64",
    ),
    public(
        DEEP_LEARNING,
        "common-cpu-v20250905-debian-11",
        "common-cpu",
        X86,
        50,
        "Google, Deep Learning VM, Base, CPU only",
    ),
    public(
        DEEP_LEARNING,
        "common-cpu-v20250905-debian-11-py310",
        "common-cpu-debian-11",
        X86,
        50,
        "Google, Deep Learning VM, Base, CPU only, Debian 11",
    ),
    public(
        DEEP_LEARNING,
        "common-cu124-v20250905-debian-11",
        "common-cu124-debian-11",
        X86,
        50,
        "Google, Deep Learning VM, Base, CUDA 12.4",
    ),
    public(
        DEEP_LEARNING,
        "common-cu128-v20250905-ubuntu-2204-nvidia-570",
        "common-cu128-ubuntu-2204-nvidia-570",
        X86,
        50,
        "Google, Deep Learning VM, Base, CUDA 12.8",
    ),
    public(
        DEEP_LEARNING,
        "common-gpu-v20250905-debian-11",
        "common-gpu",
        X86,
        50,
        "Google, Deep Learning VM, Base, GPU",
    ),
    public(
        DEEP_LEARNING,
        "common-arm64-v20250905-ubuntu-2404",
        "common-cpu-arm64",
        ARM,
        50,
        "Google, Deep Learning VM, Base, CPU only, arm64",
    ),
    public(
        UBUNTU,
        "ubuntu-2204-jammy-v20250910",
        "ubuntu-2204-lts",
        X86,
        10,
        "Canonical, Ubuntu, 22.04 LTS, amd64 jammy",
    ),
    public(
        UBUNTU,
        "ubuntu-2404-noble-amd64-v20250910",
        "ubuntu-2404-lts-amd64",
        X86,
        10,
        "Canonical, Ubuntu, 24.04 LTS, amd64 noble",
    ),
    public(
        UBUNTU,
        "ubuntu-2404-noble-arm64-v20250910",
        "ubuntu-2404-lts-arm64",
        ARM,
        10,
        "Canonical, Ubuntu, 24.04 LTS, arm64 noble",
    ),
];

/// A public image by project and name.
pub fn image(project: &str, name: &str) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.project == project && image.name == name)
}

/// The newest image of a family.
pub fn image_from_family(project: &str, family: &str) -> Option<&'static Image> {
    IMAGES.iter().find(|image| image.project == project && image.family == family && image.newest)
}

/// Every image that a project publishes, by name.
pub fn images(project: &str) -> impl Iterator<Item = &'static Image> {
    IMAGES.iter().filter(move |image| image.project == project)
}
