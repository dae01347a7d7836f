//! Ring 4: real machines. The start-up script, run by Google's own runner on Debian with systemd, serves a real
//! JupyterLab from a real disk, and lets go of it for the next machine.
#![allow(clippy::expect_used, reason = "a test ends where its world is not as it must be")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rehost_api::guest::{
    FILES_KEY, GuestBucket, GuestFailure, GuestHome, GuestOffer, GuestReport, GuestRole, GuestSettings, GuestState,
    HOME_DEVICE, JUPYTER_PORT, REPORT_KEY, REPORT_NAMESPACE, SETTINGS_KEY, STARTUP_KEY,
};
use rehost_tests::hosts::{Boot, Disk, GATEWAY, Image, Machine, Metadata, Network, missing};
use sha2::{Digest, Sha256};

const TOKEN: &str = "a-token-of-the-operators";
const WITHIN: Duration = Duration::from_mins(2);

struct Hosts {
    folder: tempfile::TempDir,
    image: Image,
    network: Arc<Network>,
}

/// One machine, with what it was told.
struct Host {
    machine: Machine,
    metadata: Metadata,
    settings: GuestSettings,
}

impl Hosts {
    fn new() -> Option<Self> {
        if let Some(why) = missing() {
            assert!(std::env::var_os("REHOST_HOSTS").is_none(), "real hosts were asked for: {why}");
            eprintln!("left out: {why}");
            return None;
        }
        let image = Image::find_or_build().expect("the image");
        let folder = tempfile::tempdir().expect("a folder");
        let network = Arc::new(Network::new(folder.path()).expect("the network"));
        Some(Self { folder, image, network })
    }

    fn disk(&self, name: &str) -> Disk {
        Disk::open(&self.folder.path().join(name), 1 << 30).expect("a disk")
    }

    fn start(&self, name: &str, last: u8, settings: GuestSettings, disks: &[(&str, &Disk)]) -> Host {
        let attributes = BTreeMap::from([
            ("enable-guest-attributes".to_owned(), "TRUE".to_owned()),
            (STARTUP_KEY.to_owned(), std::fs::read_to_string(guest("startup.sh")).expect("the script")),
            (FILES_KEY.to_owned(), guest_files()),
            (SETTINGS_KEY.to_owned(), serde_json::to_string(&settings).expect("JSON")),
        ]);
        let runtime = tokio::runtime::Handle::current();
        let metadata = Metadata::new(runtime, "p", name, &attributes, None);
        let boot = Boot {
            name: name.to_owned(),
            cpus: 2,
            memory_bytes: 2 << 30,
            address: Ipv4Addr::new(10, 128, 0, last),
            folder: self.folder.path().join(name),
        };
        let machine = Machine::start(&self.image, &self.network, boot, disks, &metadata).expect("a machine");
        Host { machine, metadata, settings }
    }
}

impl Host {
    fn report(&self) -> Option<GuestReport> {
        let text = self.metadata.guest_attribute(REPORT_NAMESPACE, REPORT_KEY)?;
        Some(serde_json::from_str(&text).expect("a report"))
    }

    fn until(&self, wanted: impl Fn(&GuestReport) -> bool) -> GuestReport {
        for _ in 0..WITHIN.as_millis() / 50 {
            match self.report() {
                Some(report) if report.nonce == self.settings.nonce && wanted(&report) => return report,
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
        panic!("it said at last {:?}\n{}", self.report(), self.machine.journal());
    }

    fn tell(&mut self, role: GuestRole, nonce: &str) {
        self.settings.role = role;
        self.settings.nonce = nonce.to_owned();
        self.metadata.set(SETTINGS_KEY, &serde_json::to_string(&self.settings).expect("JSON"));
    }

    fn sh(&self, script: &str) -> String {
        let output = self.machine.run(&["sh", "-c", script]).expect("it runs");
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// What Jupyter answers from outside the machine.
    fn ask(&self, path: &str, token: Option<&str>) -> (u16, String) {
        let at = self.machine.reach(JUPYTER_PORT).expect("a relay");
        let (url, token) = (format!("http://{at}{path}"), token.map(str::to_owned));
        let asking = async move {
            let client = reqwest::Client::builder().no_proxy().build().expect("a client");
            let mut request = client.get(url);
            if let Some(token) = token {
                request = request.header("Authorization", format!("token {token}"));
            }
            let answer = request.send().await.expect("an answer");
            (answer.status().as_u16(), answer.text().await.expect("a text"))
        };
        tokio::runtime::Handle::current().block_on(asking)
    }
}

fn guest(name: &str) -> String {
    format!("{}/../controller/guest/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn guest_files() -> String {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(guest("rehost_guest")).expect("the guest").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|extension| extension == "py") {
            files.insert(name, std::fs::read_to_string(entry.path()).expect("a file"));
        }
    }
    serde_json::to_string(&files).expect("JSON")
}

fn settings(nonce: &str, format: bool) -> GuestSettings {
    let digest = Sha256::digest(TOKEN).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    GuestSettings {
        notebook: "team-a/taxi".to_owned(),
        uid: "6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned(),
        role: GuestRole::Serve,
        nonce: nonce.to_owned(),
        home: GuestHome {
            device: HOME_DEVICE.to_owned(),
            content_id: "content-1".to_owned(),
            format,
            copied_from: None,
        },
        port: JUPYTER_PORT,
        offer: Box::new(GuestOffer { token_hashes: vec![digest], ..GuestOffer::default() }),
    }
}

/// Machines and their disks are driven by blocking calls; a runtime beside serves their metadata.
fn blocking(test: impl FnOnce() + Send + 'static) {
    rehost::gce::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::task::spawn_blocking(test).await.expect("the test's thread") });
}

#[test]
fn a_home_moves_from_one_machine_to_the_next() {
    blocking(|| {
        let Some(hosts) = Hosts::new() else { return };
        let home = hosts.disk("home.raw");
        let mut old = hosts.start("old", 11, settings("t1-serve", true), &[(HOME_DEVICE, &home)]);
        let first = old.until(|report| report.state == GuestState::Serving);
        assert_eq!(first.content_id.as_deref(), Some("content-1"));
        assert_eq!(old.ask("/api", None).0, 200);
        assert_eq!(old.ask("/api/status", None).0, 403);
        assert_eq!(old.ask("/api/status", Some(TOKEN)).0, 200);
        assert_eq!(old.sh("nproc"), "2");
        let sum = old.sh("cd /home/jupyter && head -c 50000000 /dev/urandom >work.bin && chown 1000:1000 work.bin \
             && mkdir -m 700 .ssh && touch .ssh/id && chmod 600 .ssh/id && chown -R 1000:1000 .ssh && sha256sum work.bin");

        let new = hosts.start("new", 12, settings("t2-serve", false), &[]);
        let standby = new.until(|report| report.state == GuestState::Standby);
        assert_eq!(standby.content_id, None);
        assert_eq!(old.ask("/api/status", Some(TOKEN)).0, 200, "the old one serves meanwhile");

        old.tell(GuestRole::Release, "t2-release");
        old.until(|report| report.state == GuestState::Released);
        old.machine.detach(HOME_DEVICE).expect("detached");
        new.machine.attach(HOME_DEVICE, &home).expect("attached");
        let second = new.until(|report| report.state == GuestState::Serving);
        assert_ne!(second.boot_id, first.boot_id);
        assert_eq!(new.sh("cd /home/jupyter && sha256sum work.bin"), sum);
        assert_eq!(new.sh("stat -c '%a %u' /home/jupyter/.ssh/id"), "600 1000");
        assert_eq!(new.ask("/api/status", Some(TOKEN)).0, 200);
        new.until(|report| report.seen.activity.is_some() && report.seen.kernels.is_some());
        let log = new.machine.journal();
        assert!(!log.contains(TOKEN), "a token was said: {log}");
        assert!(new.machine.power_off(Duration::from_mins(1)).expect("the end"), "it went by itself");
    });
}

/// Twenty times the power is cut somewhere between the first program and a served notebook. Each next boot finds what the
/// last one left on the disk, and in the end everything that was ever saved is there.
#[test]
fn a_power_cut_at_any_point_of_a_boot_loses_nothing() {
    blocking(|| {
        let Some(hosts) = Hosts::new() else { return };
        let mut dice = SmallRng::seed_from_u64(20);
        let mut home = hosts.disk("home-0.raw");
        let mut format = true;
        let mut saved = Vec::new();
        for cut in 1..=20 {
            let host = hosts.start("cut", 21, settings(&format!("cut-{cut}"), format), &[(HOME_DEVICE, &home)]);
            // Some come as far as serving, however slow this machine is; the others are cut somewhere on the way.
            if cut % 4 == 0 {
                host.until(|report| report.state == GuestState::Serving);
            } else {
                std::thread::sleep(Duration::from_millis(dice.random_range(0..8_000)));
            }
            if host.report().is_some_and(|report| report.state == GuestState::Serving) {
                // The controller has heard of it, so from now on the disk is expected to hold the content.
                format = false;
                host.sh(&format!("cd /home/jupyter && echo {cut} >saved-{cut} && sync saved-{cut}"));
                saved.push(cut);
                std::thread::sleep(Duration::from_millis(dice.random_range(0..500)));
            }
            let left = home.cut(&hosts.folder.path().join(format!("home-{cut}.raw"))).expect("what is left");
            drop(host);
            std::fs::remove_file(home.file()).expect("the file of the disk");
            home = left;
        }
        let host = hosts.start("cut", 21, settings("whole", format), &[(HOME_DEVICE, &home)]);
        host.until(|report| report.state == GuestState::Serving);
        for cut in &saved {
            assert_eq!(host.sh(&format!("cat /home/jupyter/saved-{cut}")), cut.to_string());
        }
        assert!(saved.len() >= 5, "every fourth boot serves");
        eprintln!("{} of 20 boots served before their power was cut", saved.len());
    });
}

/// A bucket is mounted through real gcsfuse against a stand-in for Cloud Storage; one that is not there is said so, and
/// Jupyter serves all the same.
#[test]
fn buckets_are_mounted_and_those_that_cannot_be_are_said() {
    blocking(|| {
        let Some(hosts) = Hosts::new() else { return };
        let address = format!("http://{GATEWAY}:14443");
        let (port, host) = ("14443", GATEWAY.to_string());
        // gcsfuse reads objects by the public host's own face.
        let public = format!("{GATEWAY}:14443");
        let mut arguments = vec!["-scheme", "http", "-host", &host, "-port", port, "-backend", "memory"];
        arguments.extend(["-external-url", &address, "-public-host", &public]);
        let program = Image::program("fake-gcs-server").expect("fake-gcs-server");
        let log = hosts.folder.path().join("storage.log");
        let _server = hosts.network.start("fake-gcs-server", &program, &arguments, log).expect("a server");
        let flags = hosts.folder.path().join("b/upper/etc");
        std::fs::create_dir_all(&flags).expect("a folder");
        let flags_text = format!("--anonymous-access --custom-endpoint={address}/storage/v1/ --enable-hns=false");
        std::fs::write(flags.join("gcsfuse-flags"), flags_text).expect("the flags");
        let home = hosts.disk("home.raw");
        let mut wanted = settings("b1-serve", true);
        let bucket = |path: &str, name: &str, prefix: Option<&str>| GuestBucket {
            path: path.to_owned(),
            name: name.to_owned(),
            prefix: prefix.map(str::to_owned),
            read_only: false,
        };
        wanted.offer.buckets = vec![bucket("data/taxi", "team-data", Some("taxi/")), bucket("none", "no-such", None)];
        let mut host = hosts.start("b", 41, wanted, &[(HOME_DEVICE, &home)]);
        host.until(|report| report.state == GuestState::Serving);
        let post = "curl -sSf -o /dev/null -X POST -H Content-Type:application/json";
        host.sh(&format!("{post} -d '{{\"name\":\"team-data\"}}' '{address}/storage/v1/b?project=p'"));
        let upload = format!("{address}/upload/storage/v1/b/team-data/o?uploadType=media&name=taxi/fares.csv");
        host.sh(&format!("printf 'fare\\n12\\n' | {post} --data-binary @- '{upload}'"));
        let said = |report: &GuestReport, path: &str| report.seen.buckets.iter().find(|it| it.path == path).cloned();
        host.until(|report| said(report, "data/taxi").is_some_and(|bucket| bucket.mounted));
        let as_person = |script: &str| host.sh(&format!("runuser -u jupyter -- sh -c '{script}'"));
        assert_eq!(as_person("cat /home/jupyter/data/taxi/fares.csv"), "fare\n12");
        as_person("echo 13 >/home/jupyter/data/taxi/out.csv");
        let object = format!("{address}/storage/v1/b/team-data/o/taxi%2Fout.csv?alt=media");
        assert_eq!(host.sh(&format!("curl -sSf '{object}'")), "13");
        let missing = host.until(|report| {
            said(report, "none").is_some_and(|bucket| bucket.reason.is_some_and(|reason| reason != "Mounting"))
        });
        let missing = said(&missing, "none").expect("seen above");
        assert_eq!(missing.reason.as_deref(), Some("BucketNotFound"), "{}", missing.message);
        host.tell(GuestRole::Release, "b1-release");
        host.until(|report| report.state == GuestState::Released);
        assert_eq!(host.sh("findmnt --noheadings --list | grep -c jupyter || true"), "0");
        // Cut off in its own unmounting, gcsfuse waits for its time to be over, and everybody with it.
        let log = host.sh("journalctl --no-pager -o cat");
        assert!(!log.contains("Failed to unmount"), "gcsfuse was not let finish: {log}");
    });
}

/// Jupyter and the guest's own supervisor are killed, and the start-up script is run again: the notebook goes on, and
/// what need not be disturbed is not.
#[test]
fn what_is_killed_comes_back_and_what_runs_is_left_alone() {
    blocking(|| {
        let Some(hosts) = Hosts::new() else { return };
        let home = hosts.disk("home.raw");
        let host = hosts.start("killed", 51, settings("k1-serve", true), &[(HOME_DEVICE, &home)]);
        host.until(|report| report.state == GuestState::Serving);
        let pid = |unit: &str| host.sh(&format!("systemctl show --property=MainPID --value {unit}"));
        let (jupyter, guest) = (pid("rehost-jupyter"), pid("rehost-guest"));
        host.sh("google_metadata_script_runner startup");
        assert_eq!((pid("rehost-jupyter"), pid("rehost-guest")), (jupyter.clone(), guest.clone()), "run again");
        host.sh("systemctl kill --signal=KILL rehost-guest");
        host.sh("for i in $(seq 100); do systemctl is-active -q rehost-guest && break; sleep 0.1; done");
        assert_ne!(pid("rehost-guest"), guest);
        host.until(|report| report.state == GuestState::Serving);
        assert_eq!(pid("rehost-jupyter"), jupyter, "a supervisor that is started again finds Jupyter");
        host.sh("systemctl kill --signal=KILL rehost-jupyter");
        host.sh("for i in $(seq 600); do curl -sf -o /dev/null http://127.0.0.1:8888/api && exit 0; sleep 0.1; done; exit 1");
        assert_ne!(pid("rehost-jupyter"), jupyter);
        assert_eq!(host.ask("/api/status", Some(TOKEN)).0, 200);
    });
}

/// A suspended machine hears nothing; when it goes on it does what was asked meanwhile.
#[test]
fn a_machine_that_slept_does_what_was_asked_meanwhile() {
    blocking(|| {
        let Some(hosts) = Hosts::new() else { return };
        let home = hosts.disk("home.raw");
        let mut host = hosts.start("sleeps", 61, settings("s1-serve", true), &[(HOME_DEVICE, &home)]);
        host.until(|report| report.state == GuestState::Serving);
        host.machine.suspend().expect("frozen");
        host.tell(GuestRole::Release, "s1-release");
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(host.report().map(|report| report.state), Some(GuestState::Serving), "it sleeps");
        host.machine.resume().expect("thawed");
        host.until(|report| report.state == GuestState::Released);
    });
}

/// A disk that is not this notebook's is left as it is, and the host says why it does not serve.
#[test]
fn a_disk_of_somebody_elses_is_refused_and_left_as_it_is() {
    blocking(|| {
        let Some(hosts) = Hosts::new() else { return };
        let home = hosts.disk("foreign.raw");
        let made = std::process::Command::new("mke2fs").args(["-q", "-t", "ext4"]).arg(home.file()).status();
        assert!(made.expect("mke2fs runs").success());
        let before = std::fs::read(home.file()).expect("the disk");
        let mut host = hosts.start("refuses", 31, settings("r1-serve", false), &[(HOME_DEVICE, &home)]);
        let refused = host.until(|report| report.state == GuestState::Failed);
        assert_eq!(refused.failure, Some(GuestFailure::ContentMismatch), "{}", refused.message);
        host.tell(GuestRole::Release, "r1-release");
        host.until(|report| report.state == GuestState::Released);
        drop(host);
        assert!(std::fs::read(home.file()).expect("the disk") == before, "the disk was changed");
    });
}
