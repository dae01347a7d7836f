//! As much of an API server as a watch needs: lists, streams that the test writes to, and refusals.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body as Answer;
use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// What it has, and what it was asked.
#[derive(Clone, Default)]
pub(super) struct Api {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// By the kind's plural.
    objects: BTreeMap<String, Vec<Value>>,
    streams: BTreeMap<String, UnboundedSender<Bytes>>,
    down: BTreeSet<String>,
    asked: Vec<(String, String)>,
}

impl Api {
    pub(super) fn client(&self) -> Client {
        let api = self.clone();
        Client::new(
            tower::service_fn(move |request: Request<Body>| {
                let answer = api.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            }),
            "default",
        )
    }

    /// What lists of this kind tell from now on.
    pub(super) fn has(&self, plural: &str, objects: Vec<Value>) {
        self.state.lock().unwrap().objects.insert(plural.to_owned(), objects);
    }

    /// Tells the watch of this kind something.
    pub(super) fn tell(&self, plural: &str, word: &str, object: &Value) {
        let line = format!("{}\n", json!({"type": word, "object": object}));
        self.state.lock().unwrap().streams[plural].unbounded_send(Bytes::from(line)).unwrap();
    }

    /// The watch of this kind has lost its place, so that it has to list again.
    pub(super) fn expire(&self, plural: &str) {
        let status =
            json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
        self.tell(plural, "ERROR", &status);
    }

    /// Whether requests for this kind fail from now on.
    pub(super) fn set_down(&self, plural: &str, down: bool) {
        let mut state = self.state.lock().unwrap();
        if down {
            state.down.insert(plural.to_owned());
            state.streams.remove(plural);
        } else {
            state.down.remove(plural);
        }
    }

    /// The requests since the last time: the kind's plural and the query.
    pub(super) fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }

    fn answer(&self, request: &Request<Body>) -> Response<Answer> {
        let plural = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let mut state = self.state.lock().unwrap();
        state.asked.push((plural.clone(), query.clone()));
        if state.down.contains(&plural) {
            let status = json!({"kind": "Status", "status": "Failure", "code": 503, "reason": "x", "message": "down"});
            return Response::builder().status(503).body(Answer::from(status.to_string())).unwrap();
        }
        if query.contains("watch=true") {
            let (sender, lines) = unbounded();
            state.streams.insert(plural, sender);
            return Response::new(Answer::from_stream(lines.map(Ok::<_, Infallible>)));
        }
        let items = state.objects.get(&plural).cloned().unwrap_or_default();
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "10"}, "items": items});
        Response::new(Answer::from(list.to_string()))
    }
}
