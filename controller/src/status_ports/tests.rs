//! Asking a port, over real sockets and in words.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::gce::install_crypto;

const REPORT: &str = r#"{"bootId":"b","nonce":"n","state":"Serving","contentId":"c"}"#;

/// A port that knows one token, and was shown these.
struct Port {
    known: &'static str,
    says: (u16, &'static str),
    shown: Mutex<Vec<String>>,
}

impl StatusPorts for Port {
    fn ask(&self, port: SocketAddr, token: String) -> BoxFuture<'_, Result<Answer, String>> {
        assert_eq!(port.port(), STATUS_PORT);
        let (code, body) = if token == self.known { self.says } else { (401, "") };
        self.shown.lock().unwrap().push(token);
        async move { Ok(Answer { code, body: Bytes::from_static(body.as_bytes()) }) }.boxed()
    }
}

async fn ask(says: (u16, &'static str), known: &'static str) -> (Seen<GuestReport>, Vec<String>) {
    let port = Port { known, says, shown: Mutex::default() };
    let heard = report(&port, "10.0.0.1".parse().unwrap(), vec!["new".to_owned(), "old".to_owned()]).await;
    (heard, port.shown.into_inner().unwrap())
}

#[tokio::test]
async fn a_host_that_knows_the_former_key_only_is_still_heard() {
    let (heard, shown) = ask((200, REPORT), "new").await;
    assert_eq!((heard.present().map(|report| report.boot_id.as_str()), shown.len()), (Some("b"), 1));
    let (heard, shown) = ask((200, REPORT), "old").await;
    assert_eq!((heard.is_present(), shown), (true, vec!["new".to_owned(), "old".to_owned()]));
}

#[tokio::test]
async fn what_is_no_report_is_not_known_and_none_yet_is_absent() {
    assert!(ask((200, "<html>"), "new").await.0.is_unknown());
    assert!(ask((500, ""), "new").await.0.is_unknown());
    assert!(ask((200, REPORT), "another").await.0.is_unknown());
    assert!(ask((404, ""), "new").await.0.is_absent());
    assert!(report(&NoStatusPorts, "10.0.0.1".parse().unwrap(), vec!["t".to_owned()]).await.is_unknown());
    assert!(report(&NoStatusPorts, "10.0.0.1".parse().unwrap(), Vec::new()).await.is_unknown());
}

/// Answers one request with these bytes, and gives back what it was sent.
async fn once(answer: String) -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let read = socket.read(&mut request).await.unwrap();
        // Whoever has read enough hangs up.
        let _ = socket.write_all(answer.as_bytes()).await;
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    (port, served)
}

#[tokio::test]
async fn over_http_the_token_is_shown_and_the_answer_is_bounded() {
    install_crypto();
    let ports = HttpStatusPorts::new().unwrap();
    let (port, served) = once(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{REPORT}", REPORT.len())).await;
    let answer = ports.ask(port, "secret".to_owned()).await.unwrap();
    assert_eq!((answer.code, &answer.body[..]), (200, REPORT.as_bytes()));
    let request = served.await.unwrap().to_lowercase();
    assert!(
        request.starts_with("get /report http/1.1") && request.contains("authorization: bearer secret"),
        "{request}"
    );

    let long = "x".repeat(BODY_BYTES_MAX + 1);
    let (port, _served) = once(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{long}", long.len())).await;
    assert!(ports.ask(port, "secret".to_owned()).await.unwrap_err().contains("longer"));

    let (port, _served) =
        once("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned()).await;
    assert_eq!(ports.ask(port, "secret".to_owned()).await.unwrap().code, 302, "it is not followed");
}
