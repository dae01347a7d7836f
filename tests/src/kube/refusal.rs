//! What the server says when it refuses: `Status` bodies, word for word those of the real one.

use serde_json::{Map, Value, json};

/// A refusal: an HTTP status and a `Status` body.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// The machine-readable reason, empty if the real server gives none.
    pub reason: String,
    /// The sentence.
    pub message: String,
    /// `details`, if any.
    pub details: Option<Value>,
}

/// A fault in one field of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `FieldValueInvalid` and the like.
    pub reason: &'static str,
    /// The field's path.
    pub field: String,
    /// What is wrong, without the field.
    pub message: String,
}

impl Fault {
    /// A value that is wrong; `value` is printed as JSON.
    pub fn invalid(field: &str, value: &Value, why: &str) -> Fault {
        Fault::invalid_printed(field, &value.to_string(), why)
    }

    /// A value that is wrong, printed by the caller.
    pub fn invalid_printed(field: &str, value: &str, why: &str) -> Fault {
        Fault {
            reason: "FieldValueInvalid",
            field: field.to_owned(),
            message: format!("Invalid value: {value}: {why}"),
        }
    }

    /// A field that must be there.
    pub fn required(field: &str, why: &str) -> Fault {
        let message = if why.is_empty() { "Required value".to_owned() } else { format!("Required value: {why}") };
        Fault { reason: "FieldValueRequired", field: field.to_owned(), message }
    }

    /// A change that is not allowed.
    pub fn forbidden(field: &str, why: &str) -> Fault {
        Fault { reason: "FieldValueForbidden", field: field.to_owned(), message: format!("Forbidden: {why}") }
    }

    /// A value outside the list.
    pub fn not_supported(field: &str, value: &Value, allowed: &[String]) -> Fault {
        Fault {
            reason: "FieldValueNotSupported",
            field: field.to_owned(),
            message: format!("Unsupported value: {value}: supported values: {}", allowed.join(", ")),
        }
    }

    /// An item that is there twice.
    pub fn duplicate(field: &str, value: &Value) -> Fault {
        Fault { reason: "FieldValueDuplicate", field: field.to_owned(), message: format!("Duplicate value: {value}") }
    }

    fn sentence(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// API group, empty for core.
    pub group: &'a str,
    /// Plural.
    pub resource: &'a str,
    /// Kind.
    pub kind: &'a str,
    /// Object name, empty if there is none yet.
    pub name: &'a str,
}

impl About<'_> {
    fn qualified(&self, what: &str) -> String {
        if self.group.is_empty() { what.to_owned() } else { format!("{what}.{}", self.group) }
    }

    fn details(&self, what: &str) -> Map<String, Value> {
        let mut details = Map::new();
        if !self.name.is_empty() {
            details.insert("name".to_owned(), json!(self.name));
        }
        if !self.group.is_empty() {
            details.insert("group".to_owned(), json!(self.group));
        }
        if !what.is_empty() {
            details.insert("kind".to_owned(), json!(what));
        }
        details
    }
}

impl Refusal {
    /// A refusal without details.
    pub fn plain(code: u16, reason: &str, message: impl Into<String>) -> Refusal {
        Refusal { code, reason: reason.to_owned(), message: message.into(), details: None }
    }

    /// 400.
    pub fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::plain(400, "BadRequest", message)
    }

    /// 500 with only a sentence, as the real server answers for errors that it has no reason for.
    pub fn internal(message: impl Into<String>) -> Refusal {
        Refusal::plain(500, "", message)
    }

    fn with(code: u16, reason: &str, message: String, details: Map<String, Value>) -> Refusal {
        Refusal { code, reason: reason.to_owned(), message, details: Some(Value::Object(details)) }
    }

    /// 404 for an object.
    pub fn not_found(about: &About<'_>) -> Refusal {
        let message = format!("{} \"{}\" not found", about.qualified(about.resource), about.name);
        Refusal::with(404, "NotFound", message, about.details(about.resource))
    }

    /// 404 for a path that the server does not know.
    pub fn no_such_path() -> Refusal {
        let message = "the server could not find the requested resource".to_owned();
        Refusal::with(404, "NotFound", message, Map::new())
    }

    /// 409 for a name that is taken.
    pub fn already_exists(about: &About<'_>) -> Refusal {
        let message = format!("{} \"{}\" already exists", about.qualified(about.resource), about.name);
        Refusal::with(409, "AlreadyExists", message, about.details(about.resource))
    }

    /// 409 with a reason of its own.
    pub fn conflict(about: &About<'_>, why: &str) -> Refusal {
        let what = about.qualified(about.resource);
        let message = format!("Operation cannot be fulfilled on {what} \"{}\": {why}", about.name);
        Refusal::with(409, "Conflict", message, about.details(about.resource))
    }

    /// 409 for a stale resourceVersion.
    pub fn stale(about: &About<'_>) -> Refusal {
        Refusal::conflict(
            about,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 403.
    pub fn forbidden(about: &About<'_>, why: &str) -> Refusal {
        let what = about.qualified(about.resource);
        let message = if about.name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} \"{}\" is forbidden: {why}", about.name)
        };
        Refusal::with(403, "Forbidden", message, about.details(about.resource))
    }

    /// 403 for a create in a namespace that is going away.
    pub fn namespace_terminating(about: &About<'_>, namespace: &str) -> Refusal {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let mut refusal = Refusal::forbidden(about, &why);
        let cause = json!({
            "reason": "NamespaceTerminating",
            "message": format!("namespace {namespace} is being terminated"),
            "field": "metadata.namespace",
        });
        if let Some(Value::Object(details)) = &mut refusal.details {
            details.insert("causes".to_owned(), json!([cause]));
        }
        refusal
    }

    /// 422.
    pub fn invalid(about: &About<'_>, faults: &[Fault]) -> Refusal {
        let sentences: Vec<String> = faults.iter().map(Fault::sentence).collect();
        let said = match sentences.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} \"{}\" is invalid: {said}", about.qualified(about.kind), about.name);
        let mut details = about.details(about.kind);
        let causes: Vec<Value> = faults
            .iter()
            .map(|fault| json!({"reason": fault.reason, "message": fault.message, "field": fault.field}))
            .collect();
        details.insert("causes".to_owned(), json!(causes));
        Refusal::with(422, "Invalid", message, details)
    }

    /// 405.
    pub fn not_allowed() -> Refusal {
        let message = "the server does not allow this method on the requested resource".to_owned();
        Refusal::with(405, "MethodNotAllowed", message, Map::new())
    }

    /// 410: the version asked for is no longer kept.
    pub fn expired(message: impl Into<String>) -> Refusal {
        Refusal::plain(410, "Expired", message)
    }

    /// The body.
    pub fn to_status(&self) -> Value {
        let mut body = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if let Some(map) = body.as_object_mut() {
            if !self.reason.is_empty() {
                map.insert("reason".to_owned(), json!(self.reason));
            }
            if let Some(details) = &self.details {
                map.insert("details".to_owned(), details.clone());
            }
        }
        body
    }
}
