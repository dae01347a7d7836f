//! The test's own hand: it plays people and other controllers, past hooks and trace.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;

use super::ApiServer;
use super::refusal::Refusal;
use super::request::{Request, Verb};
use super::state::Answer;
use super::watch::lock;

/// Direct access to the objects of a server.
///
/// Kinds are named as in objects (`Pod`, `Notebook`), or with their group where that is not enough
/// (`Event.events.k8s.io`). Everything obeys the server's rules: a hand can be refused too.
pub struct Hand<'a> {
    server: &'a ApiServer,
    user: String,
}

impl ApiServer {
    /// A hand that acts as a user.
    pub fn hand(&self, user: &str) -> Hand<'_> {
        Hand { server: self, user: user.to_owned() }
    }

    /// An object as it is now. The namespace of cluster-scoped kinds is empty.
    ///
    /// # Panics
    /// When the server has no such kind.
    pub fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let request = Hand { server: self, user: String::new() }.request(Verb::Get, kind, namespace, name);
        match self.inner.operate(&request) {
            Ok(Answer::Json { body, .. }) => Some(body),
            Ok(Answer::Watch) | Err(_) => None,
        }
    }

    /// All objects of a kind, of all namespaces, in order.
    ///
    /// # Panics
    /// When the server has no such kind.
    pub fn all(&self, kind: &str) -> Vec<Value> {
        let state = lock(&self.inner.source.state);
        let index = kind_index(&state, kind);
        let shown = state.kinds.get(index);
        let stored = shown.stored_as.unwrap_or(index);
        state.store.all(stored).map(|(_, object)| super::state::served(shown, object)).collect()
    }

    /// The version that the last change of any object of a kind made; 0 if there was none.
    ///
    /// # Panics
    /// When the server has no such kind.
    pub fn version_of(&self, kind: &str) -> u64 {
        let state = lock(&self.inner.source.state);
        state.store.version_of(kind_index(&state, kind))
    }

    /// All objects of a kind as they are stored, of all namespaces, in order; nothing is copied.
    ///
    /// # Panics
    /// When the server has no such kind.
    pub fn stored(&self, kind: &str) -> Vec<Arc<Value>> {
        let state = lock(&self.inner.source.state);
        state.store.all(kind_index(&state, kind)).map(|(_, object)| object.clone()).collect()
    }
}

fn kind_index(state: &super::state::State, kind: &str) -> usize {
    state.kinds.by_name(kind).unwrap_or_else(|| panic!("the server has no kind {kind}"))
}

impl Hand<'_> {
    fn request(&self, verb: Verb, kind: &str, namespace: &str, name: &str) -> Request {
        let state = lock(&self.server.inner.source.state);
        let index = kind_index(&state, kind);
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Request {
            user: self.user.clone(),
            verb,
            kind: index,
            namespace: some(namespace),
            name: some(name),
            subresource: None,
            query: BTreeMap::from([("fieldManager".to_owned(), self.user.clone())]),
            content_type: "application/json".to_owned(),
            accept: String::new(),
            user_agent: self.user.clone(),
            body: Bytes::new(),
        }
    }

    fn run(&self, request: &Request) -> Result<Value, Refusal> {
        match self.server.inner.operate(request)? {
            Answer::Json { body, .. } => Ok(body),
            Answer::Watch => Ok(Value::Null),
        }
    }

    /// Creates an object; kind and namespace are read from it.
    pub fn create(&self, object: &Value) -> Result<Value, Refusal> {
        let mut request = self.request(Verb::Create, &kind_of(object), namespace_of(object), "");
        request.body = object.to_string().into();
        self.run(&request)
    }

    /// Replaces an object.
    pub fn replace(&self, object: &Value) -> Result<Value, Refusal> {
        let name = object["metadata"]["name"].as_str().unwrap_or("");
        let mut request = self.request(Verb::Update, &kind_of(object), namespace_of(object), name);
        request.body = object.to_string().into();
        self.run(&request)
    }

    /// Applies a manifest with force, as `kubectl apply --server-side --force-conflicts` does.
    pub fn apply(&self, object: &Value) -> Result<Value, Refusal> {
        let name = object["metadata"]["name"].as_str().unwrap_or("");
        let mut request = self.request(Verb::Patch, &kind_of(object), namespace_of(object), name);
        "application/apply-patch+yaml".clone_into(&mut request.content_type);
        request.query.insert("force".to_owned(), "true".to_owned());
        request.body = object.to_string().into();
        self.run(&request)
    }

    /// Changes an object by a merge patch; `subresource` may be empty.
    pub fn patch(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: &Value,
    ) -> Result<Value, Refusal> {
        let mut request = self.request(Verb::Patch, kind, namespace, name);
        request.subresource = (!subresource.is_empty()).then(|| subresource.to_owned());
        "application/merge-patch+json".clone_into(&mut request.content_type);
        request.body = patch.to_string().into();
        self.run(&request)
    }

    /// Deletes an object, with the kind's own grace.
    pub fn delete(&self, kind: &str, namespace: &str, name: &str) -> Result<Value, Refusal> {
        self.run(&self.request(Verb::Delete, kind, namespace, name))
    }

    /// Deletes an object at once, whatever its grace (finalizers still hold it).
    pub fn delete_now(&self, kind: &str, namespace: &str, name: &str) -> Result<Value, Refusal> {
        let mut request = self.request(Verb::Delete, kind, namespace, name);
        request.body = serde_json::json!({"gracePeriodSeconds": 0}).to_string().into();
        self.run(&request)
    }
}

/// `Kind` or `Kind.group`.
fn kind_of(object: &Value) -> String {
    let kind = object["kind"].as_str().unwrap_or("");
    match object["apiVersion"].as_str().unwrap_or("").split_once('/') {
        Some((group, _)) => format!("{kind}.{group}"),
        None => kind.to_owned(),
    }
}

fn namespace_of(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or("")
}
