//! The definitions, and the notebooks as they are first.

use rehost_api::Notebook;
use rehost_api::status::{HostKind, Phase};
use serde_json::Value;

use super::{Expect, host, labels, whose};
use crate::control_plane::kubectl::CommandError;
use crate::quickstart::board;
use crate::quickstart::checks::Checks;
use crate::quickstart::look::text;
use crate::quickstart::{HERO, NAMESPACE, NEIGHBOUR};
use crate::stand::ZONE;

/// Two hosts at once.
const TWO_HOSTS: &str = "
apiVersion: rehost.dev/v1alpha1
kind: Notebook
metadata: {name: broken, namespace: default}
spec: {host: {vm: {machineType: n1-standard-4}, pod: {}}}
";

impl Expect {
    /// Before there is any notebook.
    pub async fn definitions(&mut self, checks: &mut Checks) -> Result<(), CommandError> {
        let explained = self.kubectl.output(&["explain", "nb.spec.host"]).await?;
        let parts = [
            "exactly one of `vm` and `pod`",
            "the new host is obtained and booted while the old one still serves",
            "vm <",
            "pod <",
        ];
        checks.says("kubectl explain nb.spec.host says in words what a host is", &one_line(&explained), &parts);
        let explained = self.kubectl.output(&["explain", "nb.status.transition"]).await?;
        let parts = ["The change that is under way", "before the first call", "How far it has come"];
        checks.says("kubectl explain knows what a change under way is", &one_line(&explained), &parts);
        let refusal = self.kubectl.run_with_input(&["apply", "-f", "-"], TWO_HOSTS).await?;
        let refused = !refusal.status.success();
        let says = refusal.stderr.contains("vm and pod both") && refusal.stderr.contains("exactly one");
        checks.that("two hosts at once are refused when they are applied, in words", refused && says, &refusal.stderr);
        Ok(())
    }

    /// After the samples were applied.
    pub async fn created(
        &mut self,
        checks: &mut Checks,
        hero: &Notebook,
        neighbour: &Notebook,
    ) -> Result<(), CommandError> {
        self.hero_runs(checks, hero).await;
        self.neighbour_runs(checks, neighbour).await;
        self.columns(checks).await?;
        self.home_is_labelled(checks, hero).await;
        let events = self.look.events(HERO).await;
        let told = |words: &str| events.iter().any(|event| event.contains(words));
        let plain = told("A host is being made: n1-standard-4") && told("Jupyter answers on n1-standard-4");
        checks.that("created: events say in plain words what happened", plain, &events);
        let raw = self.look.hero().await;
        let finalizers = raw["metadata"]["finalizers"].clone();
        checks.same("created: the finalizer is there", &finalizers, &serde_json::json!(["rehost.dev/release"]));
        checks.that(
            "created: the controller owns no field of the spec",
            owns_no_spec(&raw),
            &raw["metadata"]["managedFields"],
        );
        self.calls_before = self.ledger.count();
        Ok(())
    }

    async fn hero_runs(&mut self, checks: &mut Checks, hero: &Notebook) {
        let status = board::status(hero);
        checks.same("created: the phase is Running", &status.phase, &Some(Phase::Running));
        let record = host(hero);
        let found = (record.kind, record.shape.clone());
        checks.same("created: it runs on a VM n1-standard-4", &found, &(HostKind::Vm, "n1-standard-4".to_owned()));
        let machines = self.look.machines(&stem_of(&record.name));
        checks.same("created: there is one VM for it", &machines, &vec![(record.name.clone(), "RUNNING".to_owned())]);
        let instance = self.look.instance(&record.name);
        checks.same("created: the VM's labels say whose it is", &labels(&instance), &whose(hero));
        let closed = instance["networkInterfaces"][0]["accessConfigs"].is_null();
        checks.that("created: the VM has no address on the internet", closed, &instance["networkInterfaces"]);
        let service = self.look.core("services", HERO).await;
        let selects = &service["spec"]["selector"];
        checks.that(
            "created: the Service selects no pods",
            service["spec"].is_object() && selects.is_null(),
            &service["spec"],
        );
        self.first.service_uid = text(&service["metadata"]["uid"]);
        self.first.service_address = text(&service["spec"]["clusterIP"]);
        self.first.home.clone_from(&status.home);
        self.still_the_same(checks, "created", hero).await;
    }

    async fn neighbour_runs(&mut self, checks: &mut Checks, neighbour: &Notebook) {
        let record = host(neighbour);
        checks.same("created: the notebook beside it runs in a pod", &record.kind, &HostKind::Pod);
        let pod = self.look.core("pods", &record.name).await;
        let security = &pod["spec"]["securityContext"];
        let container = &pod["spec"]["containers"][0];
        let restricted = security["runAsNonRoot"] == true
            && security["seccompProfile"]["type"] == "RuntimeDefault"
            && container["securityContext"]["allowPrivilegeEscalation"] == false
            && container["securityContext"]["capabilities"]["drop"][0] == "ALL";
        checks.that("created: the pod is a restricted one", restricted, &pod["spec"]);
        let evictable = &pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"];
        checks.that("created: the autoscaler leaves the pod alone", evictable == "false", evictable);
        let expected = vec![(text(&pod["status"]["podIP"]), true)];
        let endpoints = self.look.endpoints(NEIGHBOUR).await;
        checks.same("created: its EndpointSlice has the pod's address", &endpoints, &expected);
        let disk = board::status(neighbour).home.map(|home| home.disk).unwrap_or_default();
        let volume = self.look.at(&format!("/api/v1/persistentvolumes/{disk}")).await;
        let spec = &volume["spec"];
        let handle = text(&spec["csi"]["volumeHandle"]);
        let ours = handle.ends_with(&format!("zones/{ZONE}/disks/{disk}"))
            && spec["persistentVolumeReclaimPolicy"] == "Retain"
            && spec["accessModes"][0] == "ReadWriteOncePod";
        checks.that("created: the pod's volume is the home disk, kept, for one pod at a time", ours, spec);
        self.first.neighbour_host = record.name;
        self.first.neighbour_disk = disk;
    }

    async fn columns(&self, checks: &mut Checks) -> Result<(), CommandError> {
        let shown = self.kubectl.output(&["-n", NAMESPACE, "get", "nb"]).await?;
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        let headings = vec!["NAME", "STATE", "PHASE", "HOST", "SHAPE", "READY", "REASON", "AGE"];
        checks.same(
            "created: kubectl get nb has the columns that people need",
            &lines.first().cloned(),
            &Some(headings),
        );
        let hero = lines.iter().find(|line| line.first() == Some(&HERO)).cloned().unwrap_or_default();
        let expected = ["Running", "Running", "VM", "n1-standard-4", "True", "AsDeclared"];
        checks.that("created: its row says how it is", hero.get(1..7) == Some(&expected[..]), &hero);
        let wide = self.kubectl.output(&["-n", NAMESPACE, "get", "nb", HERO, "-o", "wide"]).await?;
        let disk = self.first.home.as_ref().map(|home| home.disk.clone()).unwrap_or_default();
        checks.says("created: the wide row names zone and disk", &wide, &["ZONE", "DISK", "PENDING", ZONE, &disk]);
        Ok(())
    }

    async fn home_is_labelled(&mut self, checks: &mut Checks, hero: &Notebook) {
        let home = board::status(hero).home;
        let (name, content_id) = home.map(|home| (home.disk, home.content_id)).unwrap_or_default();
        let disk = self.look.disk(&name);
        checks.same("created: the disk's labels say whose it is", &labels(&disk), &whose(hero));
        checks.same("created: a label says what is on the disk", &text(&disk["labels"]["rehost-content"]), &content_id);
        let found = self.look.on_disk(&name).await;
        checks.same("created: what is on the disk has that id", &found.content_id, &content_id);
        self.first.on_disk = found;
    }
}

/// A text without its line ends and indents.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The part of a machine's name that all names of its notebook share.
pub(super) fn stem_of(name: &str) -> String {
    format!("{}-", name.split('-').take(2).collect::<Vec<_>>().join("-"))
}

/// By the API server's own record of who wrote what.
pub(super) fn owns_no_spec(raw: &Value) -> bool {
    let writers = raw["metadata"]["managedFields"].as_array();
    let ours = writers.into_iter().flatten().filter(|entry| text(&entry["manager"]).starts_with("rehost"));
    let mut ours = ours.peekable();
    ours.peek().is_some() && ours.all(|entry| entry["fieldsV1"]["f:spec"].is_null())
}
