//! People who act behind the controller's back: in the cloud, and on the objects that it made in the cluster.

use rehost_api::labels;
use rehost_api::status::HostKind;
use serde_json::{Value, json};

use super::deeds::{CloudDeed, ClusterDeed};
use super::drawn::{CLOUD_DEEDS, CLUSTER_DEEDS, MACHINE_TYPES};
use super::telling::Teller;
use crate::sim::scene::NotebookScene;
use crate::sim::{NAMESPACE, PROJECT, Weight};
use crate::world::{Method, Place, Request};

const MEDDLER: &str = "meddler";

impl Teller<'_> {
    /// The notebook as it is stored, by its place among the wishes.
    pub(super) fn stored(&self, index: usize) -> Option<NotebookScene> {
        let name = self.wishes.get(index)?.name.clone();
        let scene = self.run.shared().scene();
        scene.cluster.notebooks.iter().find(|one| one.name == name && one.namespace == NAMESPACE).cloned()
    }

    /// Somebody acts in the cloud on what a notebook has there.
    pub(super) fn meddles_in_cloud(&mut self, index: usize) {
        let deed = self.dice.weighted(CLOUD_DEEDS);
        let Some(notebook) = self.stored(index) else { return };
        let scene = self.run.shared().scene();
        let vms: Vec<Place> = scene.vms_of(&notebook.uid).map(|(place, _)| place.clone()).collect();
        let vm = if vms.is_empty() { None } else { Some(self.dice.one(&vms)) };
        let home = notebook.status.home.as_ref().filter(|home| !home.claim);
        let home = home.map(|home| Place::new(&home.zone, &home.disk));
        self.run.shared().note(Weight::Headline, MEDDLER, format!("{deed:?} of {}", notebook.name), "");
        self.reached.deed(format!("cloud {deed:?}"));
        match (deed, vm, home) {
            (CloudDeed::Stop, Some(vm), _) => self.calls_vm(&vm, "stop", &[], None),
            (CloudDeed::Start, Some(vm), _) => self.calls_vm(&vm, "start", &[], None),
            (CloudDeed::Suspend, Some(vm), _) => self.calls_vm(&vm, "suspend", &[], None),
            (CloudDeed::Resume, Some(vm), _) => self.calls_vm(&vm, "resume", &[], None),
            (CloudDeed::Reset, Some(vm), _) => self.resets(&vm),
            (CloudDeed::Delete, Some(vm), _) => self.sends(Method::Delete, &vm, "instances", "", &[], None),
            (CloudDeed::PowerOff, Some(vm), _) => {
                self.run.with_world(|world| world.guest_power_off(&vm.at, &vm.name));
            }
            (CloudDeed::DetachHome, Some(vm), Some(home)) => {
                let attached = self
                    .run
                    .shared()
                    .scene()
                    .cloud
                    .attachments
                    .iter()
                    .any(|one| one.instance == vm && one.disk == home);
                if attached {
                    self.tears(&vm);
                    self.calls_vm(&vm, "detachDisk", &[("deviceName", "home")], None);
                }
            }
            (CloudDeed::RelabelHost, Some(vm), _) => self.relabels("instances", &vm),
            (CloudDeed::RelabelHome, _, Some(home)) => self.relabels("disks", &home),
            (CloudDeed::SetMachineType, Some(vm), _) => {
                let machine_type = self.dice.one(MACHINE_TYPES);
                let body = json!({"machineType": format!("zones/{}/machineTypes/{machine_type}", vm.at)});
                self.calls_vm(&vm, "setMachineType", &[], Some(body));
            }
            (CloudDeed::GrowHome, _, Some(home)) => {
                let size_gb = self.dice.one(&[110, 150]);
                self.sends(Method::Post, &home, "disks", "/resize", &[], Some(json!({"sizeGb": size_gb.to_string()})));
            }
            (CloudDeed::DeleteHome, _, Some(home)) => {
                if self.sends_well(Method::Delete, &home, "disks", "", &[], None) {
                    self.excuses(index, "HomeMissing");
                    self.run.shared().excuse_home(&notebook.uid);
                }
            }
            (
                CloudDeed::Stop
                | CloudDeed::Start
                | CloudDeed::Suspend
                | CloudDeed::Resume
                | CloudDeed::Reset
                | CloudDeed::Delete
                | CloudDeed::PowerOff
                | CloudDeed::DetachHome
                | CloudDeed::RelabelHost
                | CloudDeed::RelabelHome
                | CloudDeed::SetMachineType
                | CloudDeed::GrowHome
                | CloudDeed::DeleteHome,
                _,
                _,
            ) => {}
        }
    }

    /// A person resets a machine.
    pub(super) fn resets(&self, vm: &Place) {
        self.run.shared().note(Weight::Headline, MEDDLER, format!("resets {}", vm.name), "");
        self.tears(vm);
        self.calls_vm(vm, "reset", &[], None);
    }

    /// What this host's guest had not flushed is lost by somebody else's deed.
    pub(super) fn tears(&self, vm: &Place) {
        self.run.shared().excuse_tear(vm);
    }

    pub(super) fn excuses(&mut self, index: usize, reason: &'static str) {
        if let Some(wish) = self.wishes.get_mut(index) {
            wish.excuses.push(reason);
        }
    }

    fn calls_vm(&self, vm: &Place, verb: &str, query: &[(&str, &str)], body: Option<Value>) {
        self.sends(Method::Post, vm, "instances", &format!("/{verb}"), query, body);
    }

    fn sends(
        &self,
        method: Method,
        target: &Place,
        kind: &str,
        verb: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) {
        let _taken = self.sends_well(method, target, kind, verb, query, body);
    }

    /// A request by somebody; whether the cloud took it.
    fn sends_well(
        &self,
        method: Method,
        target: &Place,
        kind: &str,
        verb: &str,
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> bool {
        let query = query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let path = format!("projects/{PROJECT}/zones/{}/{kind}/{}{verb}", target.at, target.name);
        let request = Request { method, path, query, body };
        self.run.shared().speaks(MEDDLER);
        self.run.with_world(|world| world.handle(world.now(), &request)).status == 200
    }

    /// Somebody takes our labels off for a while; at the latest when things calm down they are put back.
    fn relabels(&mut self, kind: &'static str, place: &Place) {
        let path = format!("projects/{PROJECT}/zones/{}/{kind}/{}", place.at, place.name);
        let get = Request { method: Method::Get, path, query: Vec::new(), body: None };
        let shown = self.run.with_world(|world| world.peek(&get)).body;
        let (before, fingerprint) = (shown["labels"].clone(), shown["labelFingerprint"].clone());
        let mut after = before.clone();
        let Some(all) = after.as_object_mut() else { return };
        if self.dice.percent(50) {
            all.remove(labels::GCE_UID);
        } else {
            all.insert(labels::GCE_CLUSTER.to_owned(), json!("another"));
        }
        if self.sends_well(
            Method::Post,
            place,
            kind,
            "/setLabels",
            &[],
            Some(json!({"labels": after, "labelFingerprint": fingerprint})),
        ) {
            self.relabelled.push((kind, place.clone(), before));
        }
    }

    /// The labels that were taken off are put back, where the thing is still there.
    pub(super) fn puts_labels_back(&mut self) {
        for (kind, place, before) in std::mem::take(&mut self.relabelled) {
            // What was not ours when its notebook went was left alone, and is nobody's now.
            let lives = |uid: &str| self.run.shared().scene().cluster.notebook(uid).is_some();
            if !before[labels::GCE_UID].as_str().is_some_and(lives) {
                continue;
            }
            let path = format!("projects/{PROJECT}/zones/{}/{kind}/{}", place.at, place.name);
            let get = Request { method: Method::Get, path, query: Vec::new(), body: None };
            let shown = self.run.with_world(|world| world.peek(&get)).body;
            let body = json!({"labels": before, "labelFingerprint": shown["labelFingerprint"]});
            self.run.shared().note(Weight::Headline, MEDDLER, format!("puts the labels of {} back", place.name), "");
            self.sends(Method::Post, &place, kind, "/setLabels", &[], Some(body));
        }
    }

    /// Somebody deletes what the controller made in the cluster.
    pub(super) fn meddles_in_cluster(&mut self, index: usize) {
        let deed = self.dice.weighted(CLUSTER_DEEDS);
        let Some(notebook) = self.stored(index) else { return };
        let kind = match deed {
            ClusterDeed::Pod => "Pod",
            ClusterDeed::Service => "Service",
            ClusterDeed::Slice => "EndpointSlice",
            ClusterDeed::Claim => "PersistentVolumeClaim",
            ClusterDeed::Settings => "ConfigMap",
        };
        let ours = |object: &&Value| object["metadata"]["labels"][labels::UID] == json!(notebook.uid);
        let all = self.run.shared().server.all(kind);
        let names: Vec<String> = all
            .iter()
            .filter(ours)
            .filter_map(|object| object["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        if names.is_empty() {
            return;
        }
        let name = self.dice.one(&names);
        self.run.shared().note(Weight::Headline, MEDDLER, format!("deletes the {kind} {name}"), "");
        self.reached.deed(format!("cluster {deed:?}"));
        let _gone = self.run.hand(MEDDLER).delete(kind, NAMESPACE, &name);
        self.run.shared().stepped();
        if notebook.status.host.as_ref().is_some_and(|host| host.kind == HostKind::Pod && host.name == name) {
            self.run.shared().agenda.notify_one();
        }
    }
}
