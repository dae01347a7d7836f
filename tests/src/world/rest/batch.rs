//! `POST /batch/compute/v1`: several requests in one multipart message, as gcloud sends them.
//!
//! The requests are answered one after the other. The real service answers a batch of calls as if they came alone, in
//! any order; one that waits for an operation is not sent in a batch by any client that we know.

use super::super::Response;
use super::{SharedWorld, call, error, http_answer};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use bytes::Bytes;
use std::fmt::Write as _;

/// Google's front end takes at most so many calls in one batch.
const CALLS_MAX: usize = 1000;
const BOUNDARY: &str = "batch_rehost-world";

/// One call within a batch.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    content_id: Option<String>,
    method: String,
    target: String,
    body: String,
}

/// Answers a batch.
pub(super) async fn answer(world: &SharedWorld, headers: &HeaderMap, body: &Bytes) -> axum::response::Response {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let parts = boundary(content_type)
        .and_then(|boundary| Some((boundary, std::str::from_utf8(body).ok()?)))
        .and_then(|(boundary, body)| parts(body, boundary));
    let parts = match parts {
        Some(parts) if parts.len() <= CALLS_MAX => parts,
        Some(_) => return http_answer(&error(400, "badRequest", "The batch request has more than 1000 calls")),
        None => {
            return http_answer(&error(
                400,
                "badRequest",
                "Failed to parse batch request, error: Failed to parse the multipart body",
            ));
        }
    };
    let mut text = String::new();
    for part in &parts {
        let response = match part.target.parse::<Uri>() {
            Ok(uri) => call(world, &part.method, &uri, &Bytes::from(part.body.clone())).await,
            Err(_) => error(400, "badRequest", "Bad Request"),
        };
        write_part(&mut text, part.content_id.as_deref(), &response);
    }
    let _ = write!(text, "--{BOUNDARY}--\r\n");
    let mut answer = axum::response::Response::new(Body::from(text));
    let content_type = HeaderValue::from_static("multipart/mixed; boundary=batch_rehost-world");
    answer.headers_mut().insert(header::CONTENT_TYPE, content_type);
    answer
}

fn write_part(text: &mut String, content_id: Option<&str>, response: &Response) {
    let body = response.body.to_string();
    let reason = StatusCode::from_u16(response.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("");
    let _ = write!(text, "--{BOUNDARY}\r\nContent-Type: application/http\r\n");
    if let Some(id) = content_id {
        let id = id.strip_prefix('<').map_or_else(|| format!("response-{id}"), |id| format!("<response-{id}"));
        let _ = write!(text, "Content-ID: {id}\r\n");
    }
    let _ = write!(
        text,
        "\r\nHTTP/1.1 {} {reason}\r\nContent-Type: application/json; charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}\r\n",
        response.status,
        body.len(),
    );
}

/// The boundary of a multipart content type.
fn boundary(content_type: &str) -> Option<&str> {
    let rest = content_type.strip_prefix("multipart/mixed")?;
    let value = rest.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(value.trim_matches('"')).filter(|value| !value.is_empty())
}

/// Takes a multipart body apart. Clients end lines with LF or CRLF.
fn parts(body: &str, boundary: &str) -> Option<Vec<Part>> {
    let body = body.replace("\r\n", "\n");
    let delimiter = format!("--{boundary}");
    let mut pieces = body.split(delimiter.as_str());
    pieces.next()?;
    let mut parts = Vec::new();
    for piece in pieces {
        if piece.starts_with("--") {
            return Some(parts);
        }
        parts.push(part(piece.strip_prefix('\n')?)?);
    }
    // Without a closing delimiter the message was cut short.
    None
}

fn part(text: &str) -> Option<Part> {
    let (outer, inner) = text.split_once("\n\n")?;
    let content_id = outer.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-id").then(|| value.trim().to_owned())
    });
    let (head, body) = inner.split_once("\n\n").unwrap_or((inner, ""));
    let mut request = head.lines().next()?.split_whitespace();
    let (method, target) = (request.next()?.to_owned(), request.next()?.to_owned());
    Some(Part { content_id, method, target, body: body.trim_end_matches('\n').to_owned() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const MESSAGE: &str = "--===1==\nContent-Type: application/http\nMIME-Version: 1.0\nContent-ID: <a+0>\n\n\
        POST /compute/v1/x?a=b HTTP/1.1\nContent-Type: application/json\nHost: h\n\n{\"a\":1}\n--===1==\n\
        Content-ID: <a+1>\n\nGET /compute/v1/y HTTP/1.1\nHost: h\n\n\n--===1==--\n";

    #[test]
    fn a_message_is_taken_apart() {
        assert_eq!(boundary("multipart/mixed; boundary=\"===1==\""), Some("===1=="));
        for message in [MESSAGE.to_owned(), MESSAGE.replace('\n', "\r\n")] {
            let parts = parts(&message, "===1==").expect("a whole message");
            assert_eq!(parts.len(), 2);
            assert_eq!((parts[0].method.as_str(), parts[0].target.as_str()), ("POST", "/compute/v1/x?a=b"));
            assert_eq!((parts[0].body.as_str(), parts[0].content_id.as_deref()), ("{\"a\":1}", Some("<a+0>")));
            assert_eq!((parts[1].method.as_str(), parts[1].body.as_str()), ("GET", ""));
        }
    }

    #[test]
    fn a_message_cut_short_is_refused() {
        assert_eq!(parts(MESSAGE.trim_end_matches("--\n"), "===1=="), None);
        assert_eq!(boundary("application/json"), None);
    }

    #[test]
    fn content_ids_come_back() {
        let mut text = String::new();
        write_part(&mut text, Some("<a+0>"), &error(404, "notFound", "Not Found"));
        assert!(text.contains("Content-ID: <response-a+0>\r\n"), "{text}");
        assert!(text.contains("\r\n\r\nHTTP/1.1 404 Not Found\r\n"), "{text}");
    }
}
