//! The people of a life: the notebooks that they declare, and what they change in them.

use rehost_api::labels;
use serde_json::{Value, json};

use super::deeds::Edit;
use super::dice::Dice;
use super::drawn::{EDITS, IMPOSSIBLE_TYPES, KEEP_OLD, MACHINE_TYPES, PODS, SIZES_GB};
use super::telling::Teller;
use crate::sim::shared::PERSON;
use crate::sim::{Act, NAMESPACE};

/// A notebook as its people mean it.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) name: String,
    pub(super) spec: Value,
    /// Whether it is declared at all; a deleted one is not.
    pub(super) there: bool,
    /// Whether it was made before under this name: its kept disk may be in the way.
    pub(super) anew: bool,
    /// Whether people asked for a stop by annotation, and it still counts. Nothing where the order of two requests cannot be told.
    pub(super) stopped: Option<bool>,
    /// What people did to its things that only people can put right, as reasons that status may then give.
    pub(super) excuses: Vec<&'static str>,
    /// How many requests by annotation were made.
    requests: u64,
}

/// A notebook, drawn.
pub(super) fn notebook(dice: &mut Dice, index: usize) -> Wish {
    let mut spec = json!({
        "class": "default",
        "state": if dice.percent(92) { "Running" } else { "Stopped" },
        "zones": ["us-central1-a", "us-central1-b"],
        "host": host(dice),
        "storage": {
            "size": format!("{}Gi", dice.one(SIZES_GB)),
            "type": "pd-balanced",
            "deletionPolicy": dice.one(&["Retain", "Delete", "Snapshot"]),
        },
        "resize": {
            "when": if dice.percent(90) { "Now" } else { "NextStop" },
            "how": if dice.percent(65) { "Handover" } else { "InPlace" },
            "onStockout": if dice.percent(70) { "Return" } else { "Wait" },
            "keepOld": dice.one(KEEP_OLD),
        },
    });
    if dice.percent(25) {
        spec["fallbacks"] = json!([host(dice)]);
    }
    if dice.percent(12) {
        spec["idle"] = idle(dice);
    }
    if dice.percent(12) {
        spec["source"] = source(dice);
    }
    if dice.percent(10) {
        spec["buckets"] = buckets(dice);
    }
    let name = format!("nb-{index}");
    Wish { name, spec, there: false, anew: false, stopped: Some(false), excuses: Vec::new(), requests: 0 }
}

fn host(dice: &mut Dice) -> Value {
    if dice.percent(30) {
        let (cpu, memory) = dice.one(PODS);
        return json!({"pod": {"resources": {"cpu": cpu, "memory": memory}}});
    }
    let mut vm = json!({"machineType": dice.one(MACHINE_TYPES)});
    if dice.percent(10) {
        vm["provisioning"] = json!("Spot");
    }
    json!({ "vm": vm })
}

fn idle(dice: &mut Dice) -> Value {
    json!({"after": dice.one(&["1m", "2m"]), "then": dice.one(&["Stop", "Suspend", "Suspend"])})
}

fn source(dice: &mut Dice) -> Value {
    json!({"repository": "https://github.com/org/course", "ref": dice.one(&["main", "week-2"])})
}

fn buckets(dice: &mut Dice) -> Value {
    json!([{"path": "data", "name": dice.one(&["team-a-data", "public-taxis"])}])
}

impl Teller<'_> {
    /// A notebook is declared for the first time, or again under its old name.
    pub(super) fn makes(&mut self, index: usize) {
        let Some(wish) = self.wishes.get_mut(index) else { return };
        wish.there = true;
        let manifest = manifest(wish);
        let name = wish.name.clone();
        self.does(&name, &Act::Apply(manifest));
    }

    /// A person changes something, drawn.
    pub(super) fn edits(&mut self, index: usize) {
        let edit = self.dice.weighted(EDITS);
        let Some(mut wish) = self.wishes.get(index).cloned() else { return };
        self.edits_made += 1;
        self.reached.deed(format!("edit {edit:?}"));
        match edit {
            Edit::Stop | Edit::Wake | Edit::Restart | Edit::LeaveAlone if !wish.there => {}
            Edit::Stop | Edit::Wake | Edit::Restart => self.asks(&mut wish, edit),
            Edit::LeaveAlone => {
                self.does(&wish.name, &Act::LeaveAlone);
            }
            Edit::Delete => {
                if wish.there {
                    self.does(&wish.name, &Act::Delete);
                    wish.there = false;
                }
            }
            Edit::MakeAnew => self.makes_anew(&mut wish),
            Edit::Host
            | Edit::Gpu
            | Edit::Impossible
            | Edit::Fallbacks
            | Edit::Grow
            | Edit::Shrink
            | Edit::State
            | Edit::How
            | Edit::When
            | Edit::DeletionPolicy
            | Edit::Idle
            | Edit::Source
            | Edit::Buckets
            | Edit::Zones
            | Edit::Class => self.applies(&mut wish, edit),
        }
        if let Some(known) = self.wishes.get_mut(index) {
            *known = wish;
        }
    }

    /// The spec is changed and applied; what the API server refuses changes nothing.
    fn applies(&mut self, wish: &mut Wish, edit: Edit) {
        let before = wish.clone();
        self.changes(&mut wish.spec, edit);
        if edit == Edit::State {
            // While an earlier word has not been heard, nobody can say whether it ever was.
            let heard = self.has_heard(wish);
            let runs = wish.spec["state"] == "Running";
            wish.stopped = if runs { heard.then_some(false) } else { wish.stopped };
        }
        if !wish.there {
            return;
        }
        if !self.does(&wish.name, &Act::Apply(manifest(wish))) {
            *wish = before;
        }
    }

    fn changes(&mut self, spec: &mut Value, edit: Edit) {
        let dice = &mut self.dice;
        match edit {
            Edit::Host => spec["host"] = host(dice),
            Edit::Gpu => {
                spec["host"] = json!({"vm": {
                    "machineType": dice.one(&["n1-standard-4", "n1-standard-8"]),
                    "gpu": {"type": "nvidia-tesla-t4", "count": dice.one(&[1, 1, 2])},
                }});
            }
            Edit::Impossible => spec["host"] = json!({"vm": {"machineType": dice.one(IMPOSSIBLE_TYPES).0}}),
            Edit::Fallbacks => {
                let count = dice.between(0, 2);
                spec["fallbacks"] = (0..count).map(|_| host(dice)).collect();
            }
            Edit::Grow => spec["storage"]["size"] = json!(format!("{}Gi", size_gb(spec) + dice.one(&[10, 30]))),
            Edit::Shrink => spec["storage"]["size"] = json!(format!("{}Gi", size_gb(spec) / 2)),
            Edit::State => {
                let runs = spec["state"] == "Running";
                spec["state"] = json!(if runs { "Stopped" } else { "Running" });
            }
            Edit::How => spec["resize"]["how"] = json!(dice.one(&["Handover", "InPlace"])),
            Edit::When => spec["resize"]["when"] = json!(dice.one(&["Now", "NextStop"])),
            Edit::DeletionPolicy => {
                spec["storage"]["deletionPolicy"] = json!(dice.one(&["Retain", "Delete", "Snapshot"]));
            }
            Edit::Idle => spec["idle"] = if dice.percent(70) { idle(dice) } else { Value::Null },
            Edit::Source => spec["source"] = if dice.percent(70) { source(dice) } else { Value::Null },
            Edit::Buckets => spec["buckets"] = if dice.percent(70) { buckets(dice) } else { json!([]) },
            Edit::Zones => {
                spec["zones"] = dice.one(&[
                    json!(["us-central1-a", "us-central1-b"]),
                    json!(["us-central1-b", "us-central1-a"]),
                    json!(["us-central1-b"]),
                ]);
            }
            Edit::Class => spec["class"] = json!(dice.one(&["default", "default", "nobodys"])),
            Edit::Stop | Edit::Wake | Edit::Restart | Edit::LeaveAlone | Edit::Delete | Edit::MakeAnew => {}
        }
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|_, value| !value.is_null());
        }
    }

    /// A request by annotation.
    fn asks(&mut self, wish: &mut Wish, edit: Edit) {
        wish.requests += 1;
        let heard = self.has_heard(wish);
        let key = match edit {
            Edit::Stop => labels::STOP,
            Edit::Wake => labels::WAKE,
            _ => labels::RESTART,
        };
        let value = format!("{}", wish.requests);
        if !self.does(&wish.name, &Act::Annotate(key, value)) {
            return;
        }
        let declared = wish.spec["state"] == "Stopped";
        match edit {
            // Of two requests that were made while nobody listened, the order cannot be told.
            Edit::Stop if !declared => wish.stopped = heard.then_some(true),
            Edit::Wake => wish.stopped = heard.then_some(false),
            _ => {}
        }
        if !heard && declared {
            wish.stopped = None;
        }
    }

    /// Whether status answers everything that people have said of this notebook so far.
    pub(super) fn has_heard(&self, wish: &Wish) -> bool {
        let scene = self.run.shared().scene();
        let found = scene.cluster.notebooks.iter().find(|one| one.name == wish.name && one.namespace == NAMESPACE);
        found.is_some_and(|notebook| {
            let handled = notebook.status.handled.clone().unwrap_or_default();
            let annotation = |key: &str| notebook.annotations[key].as_str().map(str::to_owned);
            notebook.status.observed_generation == Some(notebook.generation)
                && handled.stop == annotation(labels::STOP)
                && handled.wake == annotation(labels::WAKE)
                && notebook.status.transition.is_none()
        })
    }

    /// A notebook is deleted and declared again, as soon as its name is free.
    fn makes_anew(&mut self, wish: &mut Wish) {
        if wish.there {
            self.does(&wish.name, &Act::Delete);
            wish.there = false;
            return;
        }
        let is_free = self.run.shared().server.get("Notebook", NAMESPACE, &wish.name).is_none();
        if !is_free {
            return;
        }
        wish.anew = true;
        wish.excuses.clear();
        wish.stopped = Some(false);
        if self.dice.percent(60) {
            wish.spec["storage"]["from"] = json!({"blank": true});
        }
        wish.there = self.does(&wish.name, &Act::Apply(manifest(wish)));
    }

    /// A person does something; whether the API server took it.
    pub(super) fn does(&mut self, name: &str, act: &Act) -> bool {
        match self.run.act(name, act) {
            Ok(()) => true,
            Err(refusal) => {
                self.run.shared().note(crate::sim::Weight::Headline, PERSON, format!("is refused: {refusal}"), "");
                false
            }
        }
    }
}

pub(super) fn size_gb(spec: &Value) -> u64 {
    let text = spec["storage"]["size"].as_str().unwrap_or_default();
    text.strip_suffix("Gi").and_then(|number| number.parse().ok()).unwrap_or(10)
}

fn manifest(wish: &Wish) -> Value {
    json!({
        "apiVersion": "rehost.dev/v1alpha1",
        "kind": "Notebook",
        "metadata": {"name": wish.name, "namespace": NAMESPACE},
        "spec": wish.spec,
    })
}
