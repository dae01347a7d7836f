//! No secret is anywhere where it could be read: not in the cluster's objects, nor in what the cloud shows of machines, nor in a log,
//! nor on a disk.

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use rehost_tests::stand::{TOKEN, ZONE};

use super::stage::{Stage, Watched};

/// What people, and the controller itself, can read in a cluster.
const KINDS: &str = "notebooks,notebookclasses,pods,configmaps,events,services,endpointslices,leases,nodes,\
                     persistentvolumes,persistentvolumeclaims,volumeattachments";

/// Everything that this process has logged.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Logs into it whatever the controller says, however small.
    pub fn listen() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let listener = tracing_subscriber::fmt()
            .with_env_filter("rehost=trace,kube=debug")
            .with_ansi(false)
            .with_writer(move || writer.clone());
        // The first test of this process listens for all.
        let _heard = listener.try_init();
        log
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, said: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(said);
        Ok(said.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Stage {
    /// Looks for the notebook's token, the operator's key and the machines' own token.
    pub async fn secrets_are_nowhere(&self, watched: &Watched) {
        let key = self.stand.access_keys().expect("the keys");
        let secrets: Vec<&str> = key.lines().chain([watched.token.as_str(), TOKEN]).collect();
        let objects = self.kubectl.output(&["get", KINDS, "--all-namespaces", "-o", "json"]).await.expect("kubectl");
        assert!(objects.contains(&watched.name), "it is looked at what there is");
        let mut places = vec![("an object of the cluster", objects), ("the controller's log", self.log.text())];
        for instance in self.stand.cloud.instances(ZONE, "rehost-") {
            let name = instance["name"].as_str().unwrap_or_default();
            let of_it =
                |what: &str| self.stand.cloud.peek(&format!("zones/{ZONE}/instances/{name}/{what}")).to_string();
            places.push(("what the cloud shows of a machine", instance.to_string()));
            places.push(("a machine's guest attributes", of_it("getGuestAttributes")));
            places.push(("a machine's console", of_it("serialPort")));
        }
        places.push(("a machine's journal", self.journals()));
        for (place, text) in places {
            let found = secrets.iter().filter(|secret| text.contains(**secret)).count();
            assert_eq!(found, 0, "{place} holds a secret");
        }
        self.secrets_are_on_no_disk(&secrets);
    }

    /// Boot disks and homes, and whatever else the machines' folder holds.
    fn secrets_are_on_no_disk(&self, secrets: &[&str]) {
        let mut grep = Command::new("grep");
        grep.args(["--recursive", "--fixed-strings", "--files-with-matches", "--text"]);
        for secret in secrets {
            grep.args(["-e", secret]);
        }
        let found = grep.arg(self.real().folder()).output().expect("grep runs");
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "a disk holds a secret");
    }
}
