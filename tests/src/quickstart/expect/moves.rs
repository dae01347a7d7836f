//! The changes of host.

use rehost_api::Notebook;
use rehost_api::status::HostKind;

use super::{Expect, host};
use crate::control_plane::kubectl::CommandError;
use crate::quickstart::board;
use crate::quickstart::checks::Checks;
use crate::quickstart::look::text;
use crate::quickstart::report::Step;
use crate::quickstart::{HERO, NAMESPACE};
use crate::stand::ZONE;

/// The changes of host in which the new one was there first.
const HANDOVERS: [&str; 4] = ["machine type raised", "GPU added", "moved into a pod", "moved back"];
/// Stopping, setting and starting keeps people away for at least so many times as long as a handover, whatever the machine that
/// this runs on is busy with.
const IN_PLACE_PER_HANDOVER: f64 = 3.0;
/// The same where machines are real: they do not hurry with the cloud's clock, so that the same seconds of theirs count several times
/// on both sides. A real pod takes what kubelet and attacher take, and is not compared.
const IN_PLACE_PER_REAL_HANDOVER: f64 = 2.0;

impl Expect {
    /// n1-standard-4 to n1-standard-8, by handover.
    pub async fn machine_type_raised(&mut self, checks: &mut Checks, hero: &Notebook) {
        let title = "machine type raised";
        let old = self.hosts.last().cloned().unwrap_or_default();
        self.still_the_same(checks, title, hero).await;
        let record = host(hero);
        let machine = text(&self.look.instance(&record.name)["machineType"]);
        checks.that(format!("{title}: the VM is of the new type"), machine.ends_with("/n1-standard-8"), &machine);
        checks.that(format!("{title}: it is another VM"), record.name != old, (&record.name, &old));
        let machines = self.look.machines(&self.stem());
        checks.same(format!("{title}: there are two VMs at most, the old and the new"), &machines.len(), &2);
        self.old_host_rests(checks, title, &old).await;
        let former = board::status(hero).former.map(|former| former.host.name);
        checks.same(format!("{title}: status remembers the old one"), &former, &Some(old));
    }

    /// A GPU that cannot be had.
    pub async fn stockout(&mut self, checks: &mut Checks, hero: &Notebook, step: &Step) -> Result<(), CommandError> {
        let title = "GPU out of stock";
        let (ready, message) = (board::says(hero, "Ready"), board::message(hero, "Ready"));
        checks.same(
            format!("{title}: Ready is False, and says why"),
            &(ready, board::reason(hero, "Ready")),
            &("False".to_owned(), "Stockout".to_owned()),
        );
        checks.says(
            format!("{title}: the sentence says what it serves on, and when it is tried again"),
            &message,
            &["serves on n1-standard-8", "The next try is at"],
        );
        checks.same(format!("{title}: it serves on"), &board::says(hero, "Serving"), &"True".to_owned());
        checks.same(format!("{title}: nobody needs to act"), &board::says(hero, "Stalled"), &"False".to_owned());
        let untouched = step.unready_longest_s <= 0.0;
        checks.that(format!("{title}: the Service had an address all the time"), untouched, step.unready_longest_s);
        let record = host(hero);
        checks.same(format!("{title}: it is on the same VM"), &Some(&record.name), &self.hosts.last());
        let disk = self.first.home.as_ref().map(|home| home.disk.clone()).unwrap_or_default();
        checks.same(format!("{title}: the home was not touched"), &self.look.users(&disk), &vec![record.name.clone()]);
        let wide = self.kubectl.output(&["-n", NAMESPACE, "get", "nb", HERO, "-o", "wide"]).await?;
        checks.says(
            format!("{title}: kubectl get nb -o wide shows what is pending"),
            &wide,
            &["n1-standard-8 -> n1-standard-8 + 1 nvidia-tesla-t4"],
        );
        let events = self.look.events(HERO).await;
        let warned = events.iter().any(|event| event.starts_with("Stockout: "));
        checks.that(format!("{title}: an event says so"), warned, &events);
        let running = self.look.machines(&self.stem()).into_iter().filter(|(_, status)| status == "RUNNING");
        checks.same(
            format!("{title}: no half-made VM is left"),
            &running.map(|(name, _)| name).collect(),
            &vec![record.name],
        );
        Ok(())
    }

    /// The same GPU, once there is one.
    pub async fn gpu_added(&mut self, checks: &mut Checks, hero: &Notebook) {
        let title = "GPU added";
        self.still_the_same(checks, title, hero).await;
        let instance = self.look.instance(&host(hero).name);
        let gpu = &instance["guestAccelerators"][0];
        let attached = text(&gpu["acceleratorType"]).ends_with("/nvidia-tesla-t4") && gpu["acceleratorCount"] == 1;
        checks.that(format!("{title}: the VM has it"), attached, &instance["guestAccelerators"]);
        let policy = text(&instance["scheduling"]["onHostMaintenance"]);
        checks.same(
            format!("{title}: the VM is one that is stopped for maintenance"),
            &policy,
            &"TERMINATE".to_owned(),
        );
        let wake = board::status(hero).handled.and_then(|handled| handled.wake);
        checks.same(
            format!("{title}: the annotation was handled, and is still the person's"),
            &wake,
            &Some("now".to_owned()),
        );
        let machines = self.look.machines(&self.stem());
        checks.that(
            format!("{title}: the VM of the first handover is gone"),
            !names(&machines).contains(&self.hosts[0]),
            &machines,
        );
        let image = text(&self.look.disk(&host(hero).name)["sourceImage"]);
        checks.that(
            format!("{title}: it boots from the class's image for GPUs"),
            image.contains("notebook-gpu"),
            &image,
        );
    }

    /// From the VM into a pod, on the same disk.
    pub async fn in_a_pod(&mut self, checks: &mut Checks, hero: &Notebook) {
        let title = "moved into a pod";
        self.still_the_same(checks, title, hero).await;
        let record = host(hero);
        checks.same(format!("{title}: the host is a pod"), &record.kind, &HostKind::Pod);
        let pods = self.look.pods(&hero.metadata.uid.clone().unwrap_or_default()).await;
        let found: Vec<String> = pods.iter().map(|pod| text(&pod["metadata"]["name"])).collect();
        checks.same(format!("{title}: its placeholder is gone, and it is alone"), &found, &vec![record.name.clone()]);
        let volume = self.look.at(&format!("/api/v1/persistentvolumes/{}", self.home_name())).await;
        let handle = text(&volume["spec"]["csi"]["volumeHandle"]);
        let same = handle.ends_with(&format!("zones/{ZONE}/disks/{}", self.home_name()));
        checks.that(format!("{title}: its volume is the disk that the VM had"), same, &handle);
        let old = self.hosts.iter().rev().nth(1).cloned().unwrap_or_default();
        self.old_host_rests(checks, title, &old).await;
        self.pod_uid = pods.first().map(|pod| text(&pod["metadata"]["uid"])).unwrap_or_default();
        self.calls_before = self.ledger.count();
    }

    /// The running pod is given another processor.
    pub async fn cpu_raised(&mut self, checks: &mut Checks, hero: &Notebook, step: &Step) {
        let title = "cpu raised live";
        self.still_the_same(checks, title, hero).await;
        let untouched = step.unready_longest_s <= 0.0;
        checks.that(format!("{title}: the Service had an address all the time"), untouched, step.unready_longest_s);
        let pod = self.look.core("pods", &host(hero).name).await;
        checks.same(format!("{title}: it is the same pod"), &text(&pod["metadata"]["uid"]), &self.pod_uid);
        let container = &pod["status"]["containerStatuses"][0];
        checks.same(format!("{title}: its container was not restarted"), &container["restartCount"].as_i64(), &Some(0));
        let granted = text(&container["resources"]["requests"]["cpu"]);
        checks.same(format!("{title}: the kubelet has granted it"), &granted, &"1".to_owned());
        let own: Vec<&str> =
            step.calls.iter().map(|call| call.verb.as_str()).filter(|verb| is_of_a_change(verb)).collect();
        checks.same(format!("{title}: nothing was asked of the cloud for it"), &own, &Vec::new());
    }

    /// Back to a VM.
    pub async fn moved_back(&mut self, checks: &mut Checks, hero: &Notebook) {
        let title = "moved back";
        self.still_the_same(checks, title, hero).await;
        let record = host(hero);
        checks.same(
            format!("{title}: the host is a VM"),
            &(record.kind, record.shape),
            &(HostKind::Vm, "n1-standard-4".to_owned()),
        );
        let uid = hero.metadata.uid.clone().unwrap_or_default();
        let pods = self.soon(async || self.look.pods(&uid).await, Vec::is_empty).await;
        checks.that(format!("{title}: no pod is left"), pods.is_empty(), &pods);
        let attachments = self.look.at("/apis/storage.k8s.io/v1/volumeattachments").await;
        let ours = attachments["items"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|one| text(&one["spec"]["source"]["persistentVolumeName"]) == self.home_name());
        checks.same(format!("{title}: no node holds the volume"), &ours.count(), &0);
    }

    /// The same change as the first, but without a second VM.
    pub async fn changed_in_place(&mut self, checks: &mut Checks, hero: &Notebook, steps: &[Step]) {
        let title = "the same in place";
        let old = self.hosts.last().cloned().unwrap_or_default();
        self.still_the_same(checks, title, hero).await;
        let record = host(hero);
        checks.same(format!("{title}: it is the same VM"), &record.name, &old);
        let machine = text(&self.look.instance(&record.name)["machineType"]);
        checks.that(format!("{title}: of another type"), machine.ends_with("/n1-standard-8"), &machine);
        let Some(last) = steps.last() else { return };
        let verbs: Vec<&str> =
            last.calls.iter().map(|call| call.verb.as_str()).filter(|verb| is_of_a_change(verb)).collect();
        let all = ["stop", "setMachineType", "start"].iter().all(|verb| verbs.contains(verb));
        checks.that(format!("{title}: it was stopped, set and started"), all && !verbs.contains(&"insert"), &verbs);
        let real = last.unanswered_longest_s.is_some();
        let times = if real { IN_PLACE_PER_REAL_HANDOVER } else { IN_PLACE_PER_HANDOVER };
        let compared = |step: &&Step| HANDOVERS.contains(&step.title.as_str()) && !(real && step.host == "Pod");
        for handover in steps.iter().filter(compared) {
            let (short_s, long_s) = (handover.unready_longest_s, last.unready_longest_s);
            checks.that(
                format!(
                    "{title}: '{}' left the Service without an address for a fraction of that time",
                    handover.title
                ),
                short_s > 0.0 && times * short_s < long_s,
                (short_s, long_s),
            );
        }
    }
}

fn names(machines: &[(String, String)]) -> Vec<String> {
    machines.iter().map(|(name, _)| name.clone()).collect()
}

/// What is asked of the cloud to change a host; the end of an earlier host's time is none of it.
fn is_of_a_change(verb: &str) -> bool {
    verb != "delete"
}
