//! What a request asks for: its path, verb and query.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;

use super::kinds::Kinds;
use super::refusal::Refusal;

/// What is asked for, in the words of RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// GET of one object.
    Get,
    /// GET of a collection.
    List,
    /// GET of a collection with `watch=true`.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE of one object.
    Delete,
    /// DELETE of a collection.
    DeleteCollection,
}

impl Verb {
    /// As RBAC and audit logs write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    /// Can it change anything?
    pub fn is_write(self) -> bool {
        match self {
            Verb::Get | Verb::List | Verb::Watch => false,
            Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => true,
        }
    }
}

/// A request that names a known kind.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks.
    pub user: String,
    /// What for.
    pub verb: Verb,
    /// The kind's index.
    pub kind: usize,
    /// The namespace; none for cluster-scoped kinds and for lists over all namespaces.
    pub namespace: Option<String>,
    /// The object.
    pub name: Option<String>,
    /// `status`, `resize`, ...
    pub subresource: Option<String>,
    /// Query parameters.
    pub query: BTreeMap<String, String>,
    /// `Content-Type`, without parameters.
    pub content_type: String,
    /// `Accept`.
    pub accept: String,
    /// `User-Agent`.
    pub user_agent: String,
    /// The body.
    pub body: Bytes,
}

impl Request {
    /// A query parameter, if it is there and not empty.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A boolean query parameter.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.parameter(name), Some("true" | "1"))
    }

    /// The field manager: as asked for, or the first word of the user agent.
    pub fn manager(&self) -> String {
        match self.parameter("fieldManager") {
            Some(manager) => manager.to_owned(),
            None => self.user_agent.split('/').next().unwrap_or("").to_owned(),
        }
    }

    /// Does the client want metadata only?
    pub fn metadata_only(&self) -> bool {
        self.accept.contains("as=PartialObjectMetadata")
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

struct Place {
    kind: usize,
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

fn place(path: &str, kinds: &Kinds) -> Option<Place> {
    let mut segments: Vec<String> = path.split('/').filter(|segment| !segment.is_empty()).map(unescape).collect();
    segments.reverse();
    let (group, version) = match segments.pop()?.as_str() {
        "api" => (String::new(), segments.pop()?),
        "apis" => (segments.pop()?, segments.pop()?),
        _ => return None,
    };
    let mut namespace = None;
    // `namespaces/x` alone, or with a subresource of namespaces, is about the namespace itself.
    let depth = segments.len();
    let own = depth <= 2 || matches!(segments[0].as_str(), "status" | "finalize") && depth == 3;
    if segments.last().is_some_and(|segment| segment == "namespaces") && !own {
        segments.pop();
        namespace = segments.pop();
    }
    let kind = kinds.find(&group, &version, &segments.pop()?)?;
    let name = segments.pop();
    let subresource = segments.pop();
    segments.is_empty().then_some(Place { kind, namespace, name, subresource })
}

/// Reads an HTTP request.
pub fn parse(user: &str, parts: &http::request::Parts, body: Bytes, kinds: &Kinds) -> Result<Request, Refusal> {
    let place = place(parts.uri.path(), kinds).ok_or_else(Refusal::no_such_path)?;
    let query = parse_query(parts.uri.query().unwrap_or(""));
    let one = place.name.is_some();
    let watching = matches!(query.get("watch").map(String::as_str), Some("true" | "1"));
    let verb = match parts.method.as_str() {
        "GET" if one => Verb::Get,
        "GET" if watching => Verb::Watch,
        "GET" => Verb::List,
        "POST" => Verb::Create,
        "PUT" if one => Verb::Update,
        "PATCH" if one => Verb::Patch,
        "DELETE" if one => Verb::Delete,
        "DELETE" => Verb::DeleteCollection,
        _ => return Err(Refusal::not_allowed()),
    };
    let header =
        |name: http::HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned();
    let content_type = header(http::header::CONTENT_TYPE);
    Ok(Request {
        user: user.to_owned(),
        verb,
        kind: place.kind,
        namespace: place.namespace,
        name: place.name,
        subresource: place.subresource,
        query,
        content_type: content_type.split(';').next().unwrap_or("").trim().to_owned(),
        accept: header(http::header::ACCEPT),
        user_agent: header(http::header::USER_AGENT),
        body,
    })
}

/// Reads `a=b&c=d`.
pub fn parse_query(text: &str) -> BTreeMap<String, String> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(&name.replace('+', " ")), unescape(&value.replace('+', " ")))
        })
        .collect()
}

fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let escaped = (bytes[index] == b'%')
            .then(|| text.get(index + 1..index + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = escaped {
            out.push(byte);
            index += 3;
        } else {
            out.push(bytes[index]);
            index += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::parse_query;

    #[test]
    fn reads_escaped_queries() {
        let query = parse_query("labelSelector=a%3Db%2Cc&force=true");
        assert_eq!(query["labelSelector"], "a=b,c");
        assert_eq!(query["force"], "true");
    }
}
