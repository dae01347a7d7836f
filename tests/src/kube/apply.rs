//! Server-side apply.

use serde_json::{Value, json};

use super::complaints::complaints;
use super::kinds::Kind;
use super::managed::{self, Conflict, Writer};
use super::refusal::{About, Refusal};
use super::request::Request;
use super::state::State;

impl State {
    /// Server-side apply: the object as it would become, managers included.
    pub fn apply(&self, kind: &Kind, request: &Request, live: Option<&Value>) -> Result<Value, Refusal> {
        let mut config = request.json().ok_or_else(|| Refusal::bad_request("error decoding YAML: not JSON"))?;
        let (given_version, given_kind) =
            (config["apiVersion"].as_str().unwrap_or(""), config["kind"].as_str().unwrap_or(""));
        if given_version != kind.api_version() || given_kind != kind.kind {
            let (group, version) = given_version.rsplit_once('/').unwrap_or(("", given_version));
            let message = format!("invalid object type: {group}/{version}, Kind={given_kind}");
            return Err(Refusal::bad_request(message));
        }
        if config.pointer("/metadata/managedFields").is_some_and(|list| !list.is_null()) {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        if let Some(metadata) = config["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let wrong = complaints(&config, &kind.schema, false);
        if !wrong.is_empty() {
            return Err(Refusal::internal(typed_complaint(kind, &config, &wrong)));
        }
        let empty = State::empty(kind);
        let mut before = live.cloned().unwrap_or_else(|| empty.clone());
        let known = managed::read(managed::take(&mut before).as_ref());
        let (manager, api_version, time) = (request.manager(), kind.api_version(), self.time());
        let subresource = request.subresource.as_deref().unwrap_or("");
        let writer = Writer {
            manager: &manager,
            api_version: &api_version,
            subresource,
            schema: &kind.schema,
            reset: if subresource == "status" { &kind.reset_status } else { &kind.reset },
            time: &time,
        };
        let force = request.flag("force");
        let (new, managers) =
            managed::applied(&before, &empty, &config, known, &writer, force).map_err(|c| apply_conflict(&c))?;
        let mut new = self.conform_applied(kind, new);
        if live.is_none()
            && let Some(uid) = new["metadata"]["uid"].as_str()
        {
            let about = About {
                group: &kind.group,
                resource: &kind.resource,
                kind: &kind.kind,
                name: request.name.as_deref().unwrap_or(""),
            };
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Refusal::conflict(&about, &why));
        }
        managed::write(&mut new, &managers);
        Ok(new)
    }
}

fn typed_complaint(kind: &Kind, config: &Value, wrong: &[String]) -> String {
    let text = |name: &str| config["metadata"][name].as_str().unwrap_or("").to_owned();
    let said = match wrong {
        [one] => one.clone(),
        many => format!("errors:\n  {}", many.join("\n  ")),
    };
    let group_version = if kind.group.is_empty() { format!("/{}", kind.version) } else { kind.api_version() };
    format!(
        "failed to create typed patch object ({}/{}; {group_version}, Kind={}): {said}",
        text("namespace"),
        text("name"),
        kind.kind
    )
}

fn apply_conflict(conflicts: &[Conflict]) -> Refusal {
    let message = match conflicts {
        [one] => format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.field),
        many => {
            let mut managers: Vec<&str> = many.iter().map(|conflict| conflict.manager.as_str()).collect();
            managers.sort_unstable();
            managers.dedup();
            let mut lines = Vec::new();
            for manager in managers {
                lines.push(format!("conflicts with {manager}:"));
                let fields = many.iter().filter(|conflict| conflict.manager == manager);
                lines.extend(fields.map(|conflict| format!("- {}", conflict.field)));
            }
            format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n"))
        }
    };
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|conflict| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", conflict.manager),
                "field": conflict.field,
            })
        })
        .collect();
    Refusal { details: Some(json!({"causes": causes})), ..Refusal::plain(409, "Conflict", message) }
}
