//! Create, update and patch.

use serde_json::{Map, Value, json};

use super::defaults;
use super::kinds::Kind;
use super::managed;
use super::patch::{json_patch, merge_patch, strategic};
use super::refusal::{About, Fault, Refusal};
use super::request::Request;
use super::state::{Answer, State, Target};
use super::strategy;

impl State {
    /// POST.
    pub fn create(&mut self, kind: &Kind, request: &Request) -> Result<Answer, Refusal> {
        if request.subresource.is_some() {
            self.admit_namespace(&State::target(kind, request))?;
        }
        match request.subresource.as_deref() {
            Some("binding") => return self.bind(kind, request),
            Some("eviction") => return self.evict(kind, request),
            _ => {}
        }
        let body = body_of(kind, request)?;
        let mut object = self.decode(kind, body, request)?;
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            remove_meta(&mut object, field);
        }
        match_namespace(&mut object, request)?;
        let object = self.record_update(kind, None, object, request);
        if object["metadata"]["resourceVersion"].as_str().is_some_and(|version| version != "0") {
            // The real server only notices when it stores, so other faults are told first.
            self.check_insert(kind, request, object)?;
            return Err(Refusal::internal("resourceVersion should not be set on objects to be created"));
        }
        let created = self.insert(kind, request, object)?;
        Ok(Answer::Json { code: 201, body: created })
    }

    /// The second half of every create: admission, strategy, validation, storage.
    pub fn insert(&mut self, kind: &Kind, request: &Request, object: Value) -> Result<Value, Refusal> {
        let (target, mut object) = self.check_insert(kind, request, object)?;
        if let Some(existing) = self.load(&target) {
            let mut refusal = Refusal::already_exists(&target.about());
            if existing["metadata"].get("deletionTimestamp").is_some() {
                refusal.message = format!("object is being deleted: {}", refusal.message);
            }
            return Err(refusal);
        }
        if kind.is("services") && request.subresource.is_none() {
            self.allocate_address(&mut object["spec"]);
        }
        if is_dry(request) {
            return Ok(object);
        }
        let saved = self.save(&target, object);
        if kind.is("persistentvolumeclaims") || strategy::first_status(kind).is_some() {
            self.store.mark_fresh(target.index, target.key);
        }
        Ok(saved)
    }

    fn check_insert<'a>(
        &mut self,
        kind: &'a Kind,
        request: &Request,
        mut object: Value,
    ) -> Result<(Target<'a>, Value), Refusal> {
        let mut target = State::target(kind, request);
        object["metadata"]["name"].as_str().unwrap_or("").clone_into(&mut target.key.1);
        let prefix = object["metadata"]["generateName"].as_str().unwrap_or("").to_owned();
        if target.key.1.is_empty() {
            // Until there is a name, refusals show what it will start with.
            let shown = if prefix.is_empty() { "Unknown".to_owned() } else { prefix.clone() };
            let named = Target { kind, index: target.index, key: (target.key.0.clone(), shown) };
            self.admit_namespace(&named)?;
        } else {
            self.admit_namespace(&target)?;
        }
        self.admit(kind, &mut object)?;
        object["metadata"]["uid"] = json!(self.uid());
        object["metadata"]["creationTimestamp"] = json!(self.time());
        if target.key.1.is_empty() && !prefix.is_empty() {
            target.key.1 = self.generated_name(&target, &prefix);
            object["metadata"]["name"] = json!(target.key.1);
            defaults::on_decode(&kind.resource, &mut object);
        }
        let now = self.time();
        strategy::prepare_create(kind, &mut object, &now);
        let mut faults = strategy::create_faults(kind, &object);
        let given = object["spec"].get("clusterIP").is_some() && object["spec"].get("clusterIPs").is_none();
        if kind.is("services") && request.subresource.is_some() && given {
            // Through the status endpoint nothing is allocated.
            faults.push(Fault::required("spec.clusterIPs", ""));
        }
        if !faults.is_empty() {
            return Err(Refusal::invalid(&validation_about(&target), &faults));
        }
        Ok((target, object))
    }

    fn generated_name(&mut self, target: &Target<'_>, prefix: &str) -> String {
        const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let prefix: String = prefix.chars().take(58).collect();
        loop {
            let mut number = self.number().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16;
            let mut name = prefix.clone();
            for _ in 0..5 {
                let base = LETTERS.len() as u64;
                name.push(char::from(LETTERS[usize::try_from(number % base).unwrap_or(0)]));
                number /= base;
            }
            if self.store.get(target.index, &(target.key.0.clone(), name.clone())).is_none() {
                return name;
            }
        }
    }

    /// PUT.
    pub fn update(&mut self, kind: &Kind, request: &Request) -> Result<Answer, Refusal> {
        let body = body_of(kind, request)?;
        let mut object = self.decode(kind, body, request)?;
        match_namespace(&mut object, request)?;
        match_name(&object, request)?;
        let target = State::target(kind, request);
        let live = self.load(&target);
        if let Some(live) = &live {
            check_uid(&target, &object, live)?;
        } else if kind.create_on_update && object["metadata"].get("uid").is_some() {
            check_uid(&target, &object, &Value::Null)?;
        } else if !kind.create_on_update {
            return Err(Refusal::not_found(&target.about()));
        }
        let new = self.record_update(kind, live.as_ref(), object, request);
        self.replace(kind, request, live, new)
    }

    /// PATCH.
    pub fn patch(&mut self, kind: &Kind, request: &Request) -> Result<Answer, Refusal> {
        let target = State::target(kind, request);
        let apply = request.content_type == "application/apply-patch+yaml";
        if apply && request.parameter("fieldManager").is_none() {
            let about = About { group: "meta.k8s.io", resource: "", kind: "PatchOptions", name: "" };
            let fault = Fault::required("fieldManager", "is required for apply patch");
            return Err(Refusal::invalid(&about, &[fault]));
        }
        if !apply && request.parameter("force").is_some() {
            let about = About { group: "meta.k8s.io", resource: "", kind: "PatchOptions", name: "" };
            let fault = Fault::forbidden("force", "may not be specified for non-apply patch");
            return Err(Refusal::invalid(&about, &[fault]));
        }
        let live = self.load(&target);
        let new = if apply {
            if live.is_none() && request.subresource.is_some() && !kind.create_on_update {
                return Err(Refusal::not_found(&target.about()));
            }
            self.apply(kind, request, live.as_ref())?
        } else {
            let Some(live) = &live else {
                check_patch_type(kind, request)?;
                return Err(Refusal::not_found(&target.about()));
            };
            let patched = self.patched(kind, request, live)?;
            self.record_update(kind, Some(live), patched, request)
        };
        let mut new = new;
        match_namespace(&mut new, request)?;
        match_name(&new, request)?;
        self.replace(kind, request, live, new)
    }

    fn patched(&self, kind: &Kind, request: &Request, live: &Value) -> Result<Value, Refusal> {
        check_patch_type(kind, request)?;
        let patch = request.json().ok_or_else(|| Refusal::bad_request("error decoding patch: not JSON"))?;
        let mut object = live.clone();
        match request.content_type.as_str() {
            "application/json-patch+json" => json_patch(&mut object, &patch)?,
            "application/strategic-merge-patch+json" => strategic(&mut object, &patch, &kind.schema),
            _ => merge_patch(&mut object, &patch),
        }
        let mut unknown = Vec::new();
        let object = self.conform(kind, object, &mut unknown);
        if request.parameter("fieldValidation") == Some("Strict") && !unknown.is_empty() {
            let list: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
            let why = format!("strict decoding error: {}", list.join(", "));
            let about = About { group: "", resource: "", kind: "", name: "" };
            return Err(Refusal::invalid(&about, &[Fault::invalid("patch", &patch, &why)]));
        }
        Ok(object)
    }

    /// The second half of every change: preconditions, strategy, validation, storage.
    pub fn replace(
        &mut self,
        kind: &Kind,
        request: &Request,
        live: Option<Value>,
        mut new: Value,
    ) -> Result<Answer, Refusal> {
        let target = State::target(kind, request);
        let Some(old) = live else {
            let body = self.insert(kind, request, new)?;
            return Ok(Answer::Json { code: 201, body });
        };
        if kind.is("pods") && request.subresource.is_none() {
            defaults::admit_tolerations(&mut new["spec"]);
        }
        check_version(&target, &mut new, &old)?;
        keep_system_fields(&mut new, &old);
        let subresource = request.subresource.as_deref().unwrap_or("");
        let mut faults = Vec::new();
        match subresource {
            "status" => strategy::prepare_status(kind, &mut new, &old, &self.time()),
            "resize" => super::pods::prepare_resize(&mut new, &old, &mut faults),
            _ => strategy::prepare_update(kind, &mut new, &old),
        }
        faults.extend(strategy::update_faults(kind, &new, &old, subresource));
        if !faults.is_empty() {
            return Err(Refusal::invalid(&validation_about(&target), &faults));
        }
        managed::ignore_times(&mut new, &old);
        self.admit_change(&target, subresource, &new, &old)?;
        if ends(kind, &new, &old) {
            if !is_dry(request) {
                self.erase(&target);
            }
            return Ok(Answer::ok(new));
        }
        if !kind.custom {
            super::conform::stored(&mut new, &kind.schema);
        }
        if (new == old && !self.store.is_fresh(target.index, &target.key)) || is_dry(request) {
            return Ok(Answer::ok(new));
        }
        Ok(Answer::ok(self.save(&target, new)))
    }
}

/// The last finalizer of a deleted object is gone.
pub fn ends(kind: &Kind, new: &Value, old: &Value) -> bool {
    let none = |value: &Value| value.as_array().is_none_or(Vec::is_empty);
    let graceful = old["metadata"]["deletionGracePeriodSeconds"].as_i64().unwrap_or(0) > 0;
    let held = kind.is("namespaces") && !none(&new["spec"]["finalizers"]);
    old["metadata"].get("deletionTimestamp").is_some() && none(&new["metadata"]["finalizers"]) && !graceful && !held
}

/// Events are validated as core events under both of their names.
fn validation_about<'a>(target: &'a Target<'_>) -> About<'a> {
    let group = if target.kind.stored_as.is_some() { "" } else { &target.kind.group };
    About { group, ..target.about() }
}

fn is_dry(request: &Request) -> bool {
    request.parameter("dryRun").is_some()
}

fn remove_meta(object: &mut Value, field: &str) {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove(field);
    }
}

/// The body as an object of the kind.
fn body_of(kind: &Kind, request: &Request) -> Result<Value, Refusal> {
    let wrong = |why: &str| {
        let body = String::from_utf8_lossy(&request.body);
        Refusal::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): {why} ({body})",
            kind.kind
        ))
    };
    let mut body = request.json().ok_or_else(|| wrong("couldn't get version/kind; json parse error"))?;
    let Some(map) = body.as_object_mut() else { return Err(wrong("not an object")) };
    map.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    Ok(body)
}

/// The namespace of the path goes into the object, unless it has another one.
fn match_namespace(object: &mut Value, request: &Request) -> Result<(), Refusal> {
    let given = object["metadata"]["namespace"].as_str().unwrap_or("").to_owned();
    let expected = request.namespace.clone().unwrap_or_default();
    if given.is_empty() && !expected.is_empty() {
        object["metadata"]["namespace"] = json!(expected);
    } else if expected.is_empty() {
        remove_meta(object, "namespace");
    } else if given != expected {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}

fn match_name(object: &Value, request: &Request) -> Result<(), Refusal> {
    let given = object["metadata"]["name"].as_str().unwrap_or("");
    let expected = request.name.as_deref().unwrap_or("");
    if given == expected {
        return Ok(());
    }
    if given.is_empty() {
        return Err(Refusal::bad_request(format!(
            "the name of the object ({expected} based on URL) was undeterminable: name must be provided"
        )));
    }
    Err(Refusal::bad_request(format!(
        "the name of the object ({given}) does not match the name on the URL ({expected})"
    )))
}

/// A PUT that names a uid is only for that object.
fn check_uid(target: &Target<'_>, object: &Value, live: &Value) -> Result<(), Refusal> {
    let (given, found) = (&object["metadata"]["uid"], &live["metadata"]["uid"]);
    let Some(given) = given.as_str().filter(|given| Some(*given) != found.as_str() && !given.is_empty()) else {
        return Ok(());
    };
    let group = if target.kind.custom { format!("{}/", target.kind.group) } else { String::new() };
    let place = if target.key.0.is_empty() { String::new() } else { format!("{}/", target.key.0) };
    let resource = match target.kind.resource.as_str() {
        "services" => "services/specs",
        "nodes" => "minions",
        other => other,
    };
    Err(Refusal::conflict(
        &target.about(),
        &format!(
            "StorageError: invalid object, Code: 4, Key: /registry/{group}{resource}/{place}{}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {given}, UID in object meta: {}",
            target.key.1,
            found.as_str().unwrap_or("")
        ),
    ))
}

fn check_version(target: &Target<'_>, new: &mut Value, old: &Value) -> Result<(), Refusal> {
    let given = new["metadata"]["resourceVersion"].as_str().unwrap_or("").to_owned();
    if given.is_empty() || given == "0" {
        if !target.kind.unconditional_update {
            let fault = Fault::invalid("metadata.resourceVersion", &json!(0), "must be specified for an update");
            let about = About { kind: &target.kind.resource, ..target.about() };
            return Err(Refusal::invalid(&about, &[fault]));
        }
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
    } else if new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"] {
        return Err(Refusal::stale(&target.about()));
    }
    Ok(())
}

/// What no client can change.
fn keep_system_fields(new: &mut Value, old: &Value) {
    for field in ["creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
        match old["metadata"].get(field) {
            Some(value) => new["metadata"][field] = value.clone(),
            None => remove_meta(new, field),
        }
    }
    if new["metadata"]["uid"].as_str().is_none_or(str::is_empty) {
        new["metadata"]["uid"] = old["metadata"]["uid"].clone();
    }
}

fn check_patch_type(kind: &Kind, request: &Request) -> Result<(), Refusal> {
    let mut known = vec!["application/json-patch+json", "application/merge-patch+json"];
    if !kind.custom {
        known.push("application/strategic-merge-patch+json");
    }
    known.push("application/apply-patch+yaml");
    if known.contains(&request.content_type.as_str()) {
        return Ok(());
    }
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        known.join(", ")
    );
    Err(Refusal::plain(415, "UnsupportedMediaType", message))
}
