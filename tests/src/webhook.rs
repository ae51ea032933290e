//! The servers of admission webhooks, in this process.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use openssl::base64::encode_block;
use openssl::ssl::SslAcceptor;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::namespace::Namespace;
use crate::tls::Identity;

/// Serves answers to reviews until the process ends, HTTP status 500 for none. Gives the `clientConfig` that names it.
pub(crate) fn serve(answer: impl Fn(&Value) -> Option<Value> + Send + Sync + 'static) -> Value {
    let identity = Identity::of(Cluster::HOST.parse().unwrap());
    let listener = TcpListener::bind((Cluster::HOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let shared = Arc::new((identity.acceptor(), answer));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let shared = Arc::clone(&shared);
            thread::spawn(move || reply(&shared.0, stream, &shared.1));
        }
    });
    json!({"url": format!("https://{}:{port}/", Cluster::HOST), "caBundle": encode_block(&identity.pem())})
}

/// The answer to a review, from its members but for its uid.
pub(crate) fn answer(review: &Value, mut response: Value) -> Value {
    response["uid"] = review["request"]["uid"].clone();
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

/// Selects a namespace.
pub(crate) fn only(home: &Namespace) -> Value {
    json!({"matchLabels": {"kubernetes.io/metadata.name": home.name()}})
}

/// Answers one request; whoever hangs up early gets none.
fn reply(acceptor: &SslAcceptor, stream: TcpStream, answer: &impl Fn(&Value) -> Option<Value>) -> Option<()> {
    let mut reader = BufReader::new(acceptor.accept(stream).ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let (name, value) = line.split_once(':').unwrap_or_default();
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (status, text) = match answer(&serde_json::from_slice(&body).ok()?) {
        Some(review) => ("200 OK", review.to_string()),
        None => ("500 Internal Server Error", "what?".to_owned()),
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}", text.len());
    write!(reader.get_mut(), "{head}\r\nConnection: close\r\n\r\n{text}").ok()
}
