//! The server without its network: one request in, one answer out, nothing waits.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::complaints::complaints;
use super::conform;
use super::defaults;
use super::events;
use super::kinds::{Kind, Kinds};
use super::managed::{self, Writer};
use super::refusal::{About, Refusal};
use super::request::{Request, Verb};
use super::store::{Key, Store};

/// What time it is.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// The outcome of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A JSON body.
    Json {
        /// The HTTP status.
        code: u16,
        /// The body.
        body: Value,
    },
    /// A watch is to be opened.
    Watch,
}

impl Answer {
    /// 200 with a body.
    pub fn ok(body: Value) -> Answer {
        Answer::Json { code: 200, body }
    }
}

/// All that a server has.
pub struct State {
    /// The kinds.
    pub kinds: Arc<Kinds>,
    /// The objects.
    pub store: Store,
    /// Act as namespace controller and garbage collector.
    pub controllers: bool,
    /// Uids of objects that are gone, until the garbage collector has looked for their dependents.
    pub orphaned_by: Vec<String>,
    seed: u64,
    made: u64,
    now: Now,
}

/// A kind, an object's key and how to name it in refusals.
pub struct Target<'a> {
    /// The kind as asked for.
    pub kind: &'a Kind,
    /// The kind under which it is stored.
    pub index: usize,
    /// The object.
    pub key: Key,
}

impl<'a> Target<'a> {
    /// For refusals.
    pub fn about(&'a self) -> About<'a> {
        About { group: &self.kind.group, resource: &self.kind.resource, kind: &self.kind.kind, name: &self.key.1 }
    }
}

impl State {
    /// A server with the four namespaces that every cluster has.
    pub fn new(kinds: Arc<Kinds>, seed: u64, now: Now, controllers: bool) -> State {
        let mut state =
            State { kinds, store: Store::default(), controllers, orphaned_by: Vec::new(), seed, made: 0, now };
        for name in ["default", "kube-node-lease", "kube-public", "kube-system"] {
            state.make_namespace(name);
        }
        state
    }

    fn make_namespace(&mut self, name: &str) {
        let Some(index) = self.kinds.find("", "v1", "namespaces") else { return };
        let object = json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": name,
                "uid": self.uid(),
                "creationTimestamp": self.time(),
                "labels": {"kubernetes.io/metadata.name": name},
            },
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        });
        self.store.put(index, (String::new(), name.to_owned()), object);
    }

    /// The time to the second, as metadata writes it.
    pub fn time(&self) -> String {
        (self.now)().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The time plus some seconds.
    pub fn time_after(&self, seconds: i64) -> String {
        let later = (self.now)() + jiff::SignedDuration::from_secs(seconds);
        later.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The next uid.
    pub fn uid(&mut self) -> String {
        self.made += 1;
        Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{}/{}", self.seed, self.made).as_bytes()).to_string()
    }

    /// The next number, for generated names and addresses.
    pub fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// Serves a request.
    pub fn operate(&mut self, request: &Request) -> Result<Answer, Refusal> {
        let kinds = self.kinds.clone();
        let kind = kinds.get(request.kind);
        State::check_place(kind, request)?;
        let answer = match request.verb {
            Verb::Get => self.read_one(kind, request),
            Verb::List => self.list(kind, request).map(Answer::ok),
            Verb::Watch => State::check_watch(kind, request).map(|()| Answer::Watch),
            Verb::Create => self.create(kind, request),
            Verb::Update => self.update(kind, request),
            Verb::Patch => self.patch(kind, request),
            Verb::Delete => self.delete(kind, request),
            Verb::DeleteCollection => self.delete_collection(kind, request).map(Answer::ok),
        };
        if request.verb.is_write() {
            self.settle();
        }
        answer
    }

    /// Does the kind have such a path?
    fn check_place(kind: &Kind, request: &Request) -> Result<(), Refusal> {
        let spread = matches!(request.verb, Verb::List | Verb::Watch);
        let fits = match (&request.namespace, kind.namespaced) {
            (Some(_), namespaced) => namespaced,
            (None, true) => spread,
            (None, false) => true,
        };
        let allowed = match request.subresource.as_deref() {
            None => true,
            Some("status") => kind.has_status,
            Some("resize") => kind.is("pods"),
            Some("binding" | "eviction") => kind.is("pods") && request.verb == Verb::Create,
            Some("finalize") => kind.is("namespaces"),
            Some(_) => false,
        };
        if !fits || !allowed {
            return Err(Refusal::no_such_path());
        }
        if request.verb == Verb::Create && request.name.is_some() && request.subresource.is_none() {
            return Err(Refusal::not_allowed());
        }
        Ok(())
    }

    /// The target of a request about one object.
    pub fn target<'a>(kind: &'a Kind, request: &Request) -> Target<'a> {
        let key = (request.namespace.clone().unwrap_or_default(), request.name.clone().unwrap_or_default());
        Target { kind, index: kind.stored_as.unwrap_or(request.kind), key }
    }

    /// A stored object as the kind asked for shows it.
    pub fn load(&self, target: &Target<'_>) -> Option<Value> {
        self.store.get(target.index, &target.key).map(|object| served(target.kind, &object))
    }

    /// Stores an object and returns it as the kind asked for shows it.
    pub fn save(&mut self, target: &Target<'_>, object: Value) -> Value {
        let stored = if target.kind.stored_as.is_some() {
            let core = self.kinds.get(target.index);
            conform::built_in(&events::to_core(&object), &core.schema, &mut Vec::new())
        } else {
            object
        };
        let mut stored = stored;
        if !target.kind.custom {
            conform::stored(&mut stored, &self.kinds.get(target.index).schema);
        }
        let stored = self.store.put(target.index, target.key.clone(), stored);
        served(target.kind, &stored)
    }

    /// Removes an object; the garbage collector will look for what it owned.
    pub fn erase(&mut self, target: &Target<'_>) -> Option<Value> {
        let gone = self.store.remove(target.index, &target.key)?;
        if let Some(uid) = gone["metadata"]["uid"].as_str() {
            self.orphaned_by.push(uid.to_owned());
        }
        Some(served(target.kind, &gone))
    }

    /// Decodes a body: right version, right namespace, unknown fields gone, defaults set.
    pub fn decode(&self, kind: &Kind, body: Value, request: &Request) -> Result<Value, Refusal> {
        let given = body["apiVersion"].as_str().unwrap_or("");
        let expected = kind.api_version();
        if !given.is_empty() && given != expected {
            return Err(Refusal::bad_request(format!(
                "the API version in the data ({given}) does not match the expected API version ({expected})"
            )));
        }
        let mut unknown = Vec::new();
        let object = self.conform(kind, body, &mut unknown);
        if request.parameter("fieldValidation") == Some("Strict") && !unknown.is_empty() {
            let list: Vec<String> = unknown.iter().map(|field| format!("unknown field {field:?}")).collect();
            return Err(Refusal::bad_request(format!("strict decoding error: {}", list.join(", "))));
        }
        Ok(object)
    }

    /// The object in the form that the server keeps.
    pub fn conform(&self, kind: &Kind, mut object: Value, unknown: &mut Vec<String>) -> Value {
        if kind.custom {
            conform::metadata(&mut object, &self.kinds.object_meta);
            conform::prune(&mut object, &kind.schema, "", unknown);
            conform::default_custom(&mut object, &kind.schema, true);
        } else {
            if kind.is("secrets") {
                defaults::fold_string_data(&mut object);
            }
            object = conform::built_in(&object, &kind.schema, unknown);
            defaults::on_decode(&kind.resource, &mut object);
        }
        if let Some(map) = object.as_object_mut() {
            map.insert("apiVersion".to_owned(), json!(kind.api_version()));
            map.insert("kind".to_owned(), json!(kind.kind));
            map.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
        }
        object
    }

    /// An applied object: the schema has already been checked, and explicit nulls stay to be refused.
    pub fn conform_applied(&self, kind: &Kind, mut object: Value) -> Value {
        if !kind.custom {
            return self.conform(kind, object, &mut Vec::new());
        }
        conform::metadata(&mut object, &self.kinds.object_meta);
        conform::default_custom(&mut object, &kind.schema, false);
        object
    }

    /// The empty object that a create starts from.
    pub fn empty(kind: &Kind) -> Value {
        conform::empty(&kind.api_version(), &kind.kind, &kind.schema, kind.custom)
    }

    /// Records who now owns what, for every write but apply.
    pub fn record_update(&self, kind: &Kind, live: Option<&Value>, mut new: Value, request: &Request) -> Value {
        let subresource = request.subresource.as_deref().unwrap_or("");
        let offered = managed::take(&mut new);
        let known = live.and_then(|live| live.pointer("/metadata/managedFields")).cloned();
        let reset = offered.as_ref().is_some_and(|list| *list == json!([{}]) || *list == json!([]));
        let chosen = if subresource.is_empty() && offered.is_some() { offered } else { known };
        if live.is_some() && (reset || chosen.is_none()) {
            return new;
        }
        if kind.custom && !complaints(&new, &kind.schema, true).is_empty() {
            // Nobody owns anything any more after a body that does not fit the schema, for instance in the part of it
            // that a write to status ignores.
            return new;
        }
        let mut before = live.cloned().unwrap_or_else(|| State::empty(kind));
        managed::take(&mut before);
        let (manager, api_version, time) = (request.manager(), kind.api_version(), self.time());
        let writer = Writer {
            manager: &manager,
            api_version: &api_version,
            subresource,
            schema: &kind.schema,
            reset: if subresource == "status" { &kind.reset_status } else { &kind.reset },
            time: &time,
        };
        let managers = managed::updated(&before, &new, managed::read(chosen.as_ref()), &writer);
        managed::write(&mut new, &managers);
        new
    }
}

/// A stored object as a kind shows it.
pub fn served(kind: &Kind, object: &Value) -> Value {
    if kind.stored_as.is_none() {
        return object.clone();
    }
    let object = events::from_core(object);
    let mut out = conform::built_in(&object, &kind.schema, &mut Vec::new());
    if let Some(map) = out.as_object_mut() {
        map.insert("apiVersion".to_owned(), json!(kind.api_version()));
        map.insert("kind".to_owned(), json!(kind.kind));
    }
    out
}
