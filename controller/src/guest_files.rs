//! The guest's own files, as a VM finds them in its metadata and a pod in its ConfigMap: the first step, and the program that it
//! starts. They are part of this binary, so that host and controller always speak the same words.

use std::collections::BTreeMap;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use rehost_api::guest::{FILES_KEY, STARTUP_KEY};
use serde_json::{Map, Value};

const SCRIPT: &str = include_str!("../guest/startup.sh");
const POD_SCRIPT: &str = include_str!("../guest/start.py");
/// The first step of a pod's containers, as its ConfigMap calls it.
pub(crate) const POD_SCRIPT_KEY: &str = "start.py";
/// The files that it lays out: the same JSON as a VM's, compressed, since every notebook has one in the cluster's memory.
const POD_FILES_KEY: &str = "guest.json.gz";

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(($name, include_str!(concat!("../guest/rehost_guest/", $name)))),+]
    };
}

/// The program's files. A test holds the list against the folder.
const FILES: &[(&str, &str)] = files![
    "__init__.py",
    "__main__.py",
    "accelerators.py",
    "access.py",
    "account.py",
    "activity.py",
    "buckets.py",
    "commands.py",
    "credentials.py",
    "device.py",
    "home.py",
    "identity.py",
    "init.py",
    "jupyter.py",
    "kernel_environment.py",
    "launch.py",
    "making.py",
    "metadata.py",
    "mounts.py",
    "observer.py",
    "paths.py",
    "pod.py",
    "report.py",
    "server_environment.py",
    "service.py",
    "settings.py",
    "source.py",
    "status_port.py",
    "supervisor.py",
    "task.py",
    "unfinished.py",
    "units.py",
    "vm.py",
];

/// What makes a machine or a pod a host of ours. Made once in a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestFiles {
    /// A VM's metadata.
    metadata: BTreeMap<String, String>,
    /// The `data` of a pod's ConfigMap.
    data: BTreeMap<String, String>,
    /// Its `binaryData`.
    binary_data: BTreeMap<String, String>,
}

impl GuestFiles {
    /// Those of this version.
    #[must_use]
    pub fn built_in() -> Self {
        let files: Map<String, Value> =
            FILES.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect();
        let files = Value::Object(files).to_string();
        Self {
            data: BTreeMap::from([(POD_SCRIPT_KEY.to_owned(), POD_SCRIPT.to_owned())]),
            binary_data: BTreeMap::from([(POD_FILES_KEY.to_owned(), STANDARD.encode(compressed(&files)))]),
            metadata: BTreeMap::from([(STARTUP_KEY.to_owned(), SCRIPT.to_owned()), (FILES_KEY.to_owned(), files)]),
        }
    }

    /// None: for machines that are only imagined.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Puts them among an instance's metadata, in place of what an earlier version put there.
    pub(crate) fn add_to(&self, metadata: &mut BTreeMap<String, String>) {
        metadata.extend(self.metadata.iter().map(|(key, value)| (key.clone(), value.clone())));
    }

    /// What the ConfigMap of a pod has beside its settings: its `data` and its `binaryData`.
    pub(crate) fn of_a_pod(&self) -> (&BTreeMap<String, String>, &BTreeMap<String, String>) {
        (&self.data, &self.binary_data)
    }
}

fn compressed(text: &str) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    let _ = packer.write_all(text.as_bytes());
    packer.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read as _;

    use super::*;

    /// Compute Engine's bound for one value of an instance's metadata, and for all of it.
    const VALUE_BYTES_MAX: usize = 256 * 1024;
    const ALL_BYTES_MAX: usize = 512 * 1024;

    #[test]
    fn every_file_of_the_guest_is_sent() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/guest/rehost_guest");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| std::path::Path::new(name).extension().is_some_and(|it| it == "py"))
            .collect();
        assert_eq!(there, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
    }

    #[test]
    fn there_is_room_for_them_and_for_as_much_again() {
        let all = GuestFiles::built_in().metadata;
        assert!(all.values().all(|value| value.len() < VALUE_BYTES_MAX));
        assert!(all.values().map(String::len).sum::<usize>() < ALL_BYTES_MAX / 2);
    }

    /// Ten thousand notebooks in pods have ten thousand `ConfigMap`s, and etcd by default 2 GiB.
    #[test]
    fn a_pods_files_are_small_and_what_a_vm_gets() {
        let files = GuestFiles::built_in();
        let packed = STANDARD.decode(&files.binary_data[POD_FILES_KEY]).unwrap();
        let text = &files.data[POD_SCRIPT_KEY];
        assert!(packed.len() + text.len() < 60 << 10, "{} bytes", packed.len());
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&*packed).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, files.metadata[FILES_KEY]);
    }

    #[test]
    fn those_of_an_earlier_version_are_replaced_and_nothing_else() {
        let mut metadata = BTreeMap::from([
            (STARTUP_KEY.to_owned(), "echo old".to_owned()),
            ("ssh-keys".to_owned(), "a person's".to_owned()),
        ]);
        GuestFiles::built_in().add_to(&mut metadata);
        assert_eq!(metadata[STARTUP_KEY], SCRIPT);
        assert_eq!(metadata["ssh-keys"], "a person's");
        GuestFiles::none().add_to(&mut metadata);
        assert_eq!(metadata.len(), 3);
    }
}
