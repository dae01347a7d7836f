//! Deletion: preconditions, finalizers, grace, namespaces.

use serde_json::{Map, Value, json};

use super::kinds::Kind;
use super::refusal::{About, Refusal};
use super::request::Request;
use super::state::{Answer, State, Target};

/// `DeleteOptions`.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Seconds of grace.
    pub grace_s: Option<i64>,
    uid: Option<String>,
    version: Option<String>,
    propagation: Option<String>,
    dry: bool,
}

impl Options {
    /// From a request's body and query.
    pub fn of(request: &Request) -> Options {
        let body = request.json().unwrap_or(Value::Null);
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let query = |name: &str| request.parameter(name).map(str::to_owned);
        Options {
            grace_s: body["gracePeriodSeconds"]
                .as_i64()
                .or_else(|| query("gracePeriodSeconds").and_then(|seconds| seconds.parse().ok())),
            uid: text("/preconditions/uid"),
            version: text("/preconditions/resourceVersion"),
            propagation: text("/propagationPolicy").or_else(|| query("propagationPolicy")),
            dry: body["dryRun"].as_array().is_some_and(|list| !list.is_empty()) || query("dryRun").is_some(),
        }
    }
}

/// What became of the object.
struct Outcome {
    object: Value,
    /// The real server answers with the object, whatever the kind usually does.
    show: bool,
}

impl State {
    /// DELETE of one object.
    pub fn delete(&mut self, kind: &Kind, request: &Request) -> Result<Answer, Refusal> {
        let target = State::target(kind, request);
        let options = Options::of(request);
        if kind.is("namespaces") {
            return self.delete_namespace(&target, &options);
        }
        let outcome = self.delete_one(&target, &options)?;
        let body = if outcome.show || kind.returns_deleted { outcome.object } else { done(&target, &outcome.object) };
        Ok(Answer::ok(body))
    }

    /// DELETE of a collection; the answer is the list as it was.
    pub fn delete_collection(&mut self, kind: &Kind, request: &Request) -> Result<Value, Refusal> {
        let list = self.list(kind, request)?;
        let options = Options::of(request);
        for item in list["items"].as_array().into_iter().flatten() {
            let mut target = State::target(kind, request);
            item["metadata"]["name"].as_str().unwrap_or("").clone_into(&mut target.key.1);
            match self.delete_one(&target, &options) {
                Ok(_) => {}
                Err(refusal) if refusal.code == 404 => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(list)
    }

    fn check_preconditions(target: &Target<'_>, object: &Value, options: &Options) -> Result<(), Refusal> {
        // The real server names the kind here where it elsewhere names the resource.
        let group = if target.kind.stored_as.is_some() { "" } else { &target.kind.group };
        let about = About { group, resource: &target.kind.kind, ..target.about() };
        let found = |name: &str| object["metadata"][name].as_str().unwrap_or("").to_owned();
        if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != found("uid")) {
            let why = format!(
                "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
                found("uid")
            );
            return Err(Refusal::conflict(&about, &why));
        }
        if let Some(version) = options.version.as_ref().filter(|version| **version != found("resourceVersion")) {
            let why = format!(
                "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({}). The object might have been modified",
                found("resourceVersion")
            );
            return Err(Refusal::conflict(&about, &why));
        }
        Ok(())
    }

    fn delete_one(&mut self, target: &Target<'_>, options: &Options) -> Result<Outcome, Refusal> {
        let Some(old) = self.load(target) else { return Err(Refusal::not_found(&target.about())) };
        Self::check_preconditions(target, &old, options)?;
        let mut new = old.clone();
        let grace_s = if target.kind.is("pods") { self.pod_grace(&mut new, options) } else { Grace::None };
        if let Grace::Pending = grace_s {
            return Ok(Outcome { object: old, show: false });
        }
        if target.kind.resource != "events" || target.kind.custom {
            set_deletion_finalizers(&mut new, options);
        }
        let pending = new["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty());
        match grace_s {
            Grace::Given(seconds) => {
                if options.dry {
                    return Ok(Outcome { object: new, show: true });
                }
                let stored = if new == old { new } else { self.save(target, new) };
                if pending || seconds > 0 {
                    return Ok(Outcome { object: stored, show: true });
                }
            }
            Grace::None | Grace::Pending if pending => {
                self.mark_deleting(&mut new);
                let stored = if new == old || options.dry { new } else { self.save(target, new) };
                return Ok(Outcome { object: stored, show: true });
            }
            Grace::None | Grace::Pending => {}
        }
        if options.dry {
            return Ok(Outcome { object: old, show: false });
        }
        let gone = self.erase(target).unwrap_or(old);
        Ok(Outcome { object: gone, show: false })
    }

    /// Deletion without grace of an object that finalizers hold.
    fn mark_deleting(&self, object: &mut Value) {
        let metadata = &mut object["metadata"];
        if metadata.get("deletionTimestamp").is_none() {
            if let Some(generation) = metadata["generation"].as_i64().filter(|generation| *generation > 0) {
                metadata["generation"] = json!(generation + 1);
            }
            metadata["deletionTimestamp"] = json!(self.time());
        } else if metadata["deletionTimestamp"].as_str().is_some_and(|time| time > self.time().as_str()) {
            metadata["deletionTimestamp"] = json!(self.time());
        }
        metadata["deletionGracePeriodSeconds"] = json!(0);
    }

    /// Pods are given time to end. Those that run nowhere need none.
    fn pod_grace(&self, pod: &mut Value, options: &Options) -> Grace {
        let asked = options.grace_s.map(|seconds| if seconds < 0 { 1 } else { seconds });
        if pod["metadata"].get("deletionTimestamp").is_some() {
            let current = pod["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0);
            return match asked {
                _ if current == 0 => Grace::None,
                Some(seconds) if seconds < current => {
                    let (shortened, seconds) = self.shortened(pod, current, seconds);
                    pod["metadata"]["deletionTimestamp"] = json!(shortened);
                    pod["metadata"]["deletionGracePeriodSeconds"] = json!(seconds);
                    Grace::Given(seconds)
                }
                _ => Grace::Pending,
            };
        }
        let default = pod["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
        let placed = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
        let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        let seconds = if placed && !over { asked.unwrap_or(default) } else { 0 };
        pod["metadata"]["deletionTimestamp"] = json!(self.time_after(seconds));
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(seconds);
        let generation = pod["metadata"]["generation"].as_i64().unwrap_or(0);
        pod["metadata"]["generation"] = json!(generation + 1);
        Grace::Given(seconds)
    }

    /// A later, shorter grace counts from the first request, but never ends in the past.
    fn shortened(&self, pod: &Value, current: i64, asked: i64) -> (String, i64) {
        let old = pod["metadata"]["deletionTimestamp"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        let moved = old.map(|time| {
            let moved = time + jiff::SignedDuration::from_secs(asked - current);
            moved.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
        });
        let now = self.time();
        match moved {
            Some(moved) if moved >= now => (moved, asked),
            _ => (now, asked.min(1)),
        }
    }

    fn delete_namespace(&mut self, target: &Target<'_>, options: &Options) -> Result<Answer, Refusal> {
        let Some(old) = self.load(target) else { return Err(Refusal::not_found(&target.about())) };
        if matches!(target.key.1.as_str(), "default" | "kube-system" | "kube-public") {
            return Err(Refusal::forbidden(&target.about(), "this namespace may not be deleted"));
        }
        Self::check_preconditions(target, &old, options)?;
        if old["metadata"].get("deletionTimestamp").is_some() {
            return Ok(Answer::ok(old));
        }
        let mut new = old;
        new["metadata"]["deletionTimestamp"] = json!(self.time());
        new["status"]["phase"] = json!("Terminating");
        Ok(Answer::ok(self.save(target, new)))
    }

    /// Deletes as a controller inside the server does: whatever comes of it.
    pub fn delete_quietly(&mut self, index: usize, namespace: &str, name: &str) {
        let kinds = self.kinds.clone();
        let target = Target { kind: kinds.get(index), index, key: (namespace.to_owned(), name.to_owned()) };
        // The object was listed a moment ago, and there are no preconditions: nothing can refuse.
        drop(self.delete_one(&target, &Options::default()));
    }
}

#[derive(Clone, Copy)]
enum Grace {
    /// The kind knows no grace, or it is over.
    None,
    /// Already ending, and no sooner than asked for.
    Pending,
    /// Ends in so many seconds.
    Given(i64),
}

/// Foreground and orphan deletion are finalizers that the garbage collector takes away.
fn set_deletion_finalizers(object: &mut Value, options: &Options) {
    let Some(policy) = options.propagation.as_deref() else { return };
    let Some(metadata) = object["metadata"].as_object_mut() else { return };
    let mut list: Vec<Value> = metadata.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    list.retain(|finalizer| finalizer != "orphan" && finalizer != "foregroundDeletion");
    match policy {
        "Orphan" => list.push(json!("orphan")),
        "Foreground" => list.push(json!("foregroundDeletion")),
        _ => {}
    }
    if list.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".to_owned(), Value::Array(list));
    }
}

/// The `Status` of a deletion that is done.
fn done(target: &Target<'_>, object: &Value) -> Value {
    let mut details = Map::new();
    details.insert("name".to_owned(), json!(target.key.1));
    if !target.kind.group.is_empty() {
        details.insert("group".to_owned(), json!(target.kind.group));
    }
    details.insert("kind".to_owned(), json!(target.kind.resource));
    details.insert("uid".to_owned(), object["metadata"]["uid"].clone());
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
