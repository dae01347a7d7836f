//! The guest's own files, as a VM finds them in its metadata: the start-up script, and the program that it starts. They are
//! part of this binary, so that host and controller always speak the same words.

use std::collections::BTreeMap;

use rehost_api::guest::{FILES_KEY, STARTUP_KEY};
use serde_json::{Map, Value};

const SCRIPT: &str = include_str!("../guest/startup.sh");

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

/// The metadata that makes a VM a host of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestFiles(BTreeMap<String, String>);

impl GuestFiles {
    /// Those of this version.
    #[must_use]
    pub fn built_in() -> Self {
        let files: Map<String, Value> =
            FILES.iter().map(|(name, text)| ((*name).to_owned(), Value::from(*text))).collect();
        Self(BTreeMap::from([
            (STARTUP_KEY.to_owned(), SCRIPT.to_owned()),
            (FILES_KEY.to_owned(), Value::Object(files).to_string()),
        ]))
    }

    /// None: for machines that are only imagined.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Puts them among an instance's metadata, in place of what an earlier version put there.
    pub(crate) fn add_to(&self, metadata: &mut BTreeMap<String, String>) {
        metadata.extend(self.0.iter().map(|(key, value)| (key.clone(), value.clone())));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
        let GuestFiles(all) = GuestFiles::built_in();
        assert!(all.values().all(|value| value.len() < VALUE_BYTES_MAX));
        assert!(all.values().map(String::len).sum::<usize>() < ALL_BYTES_MAX / 2);
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
