#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::config::Live;
use crate::metrics::Metrics;

const DEADLINE: Duration = Duration::from_secs(20);

fn document(metadata: &str, symbol: &str) -> String {
    format!(
        "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {{name: tech{metadata}}}\nspec: \
         {{tickers: [{{symbol: {symbol}}}], kafka: {{bootstrapServers: 'kafka:9092'}}}}\n"
    )
}

struct Server {
    shared: Shared,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(document: &str, limits: Limits) -> Self {
        let metrics = Arc::new(Metrics::new());
        let live = Arc::new(Live::new(document, Arc::clone(&metrics)).unwrap());
        let shared = Shared { live, health: Arc::default(), flow: Arc::default(), metrics };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(serve(listener, router(shared.clone()), limits, stopped));
        Self { shared, address, stop, task }
    }

    async fn plain() -> Self {
        Self::start(&document("", "META"), Limits::default()).await
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.address)).await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn config(&self, query: &str) -> Value {
        let (status, text) = self.get(&format!("/config{query}")).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }
}

#[tokio::test]
async fn every_address_takes_ipv4_and_ipv6_alike() {
    let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for address in ["127.0.0.1", "::1"] {
        let connected = timeout(DEADLINE, TcpStream::connect((address, port))).await.unwrap();
        assert!(connected.is_ok(), "{address}: {connected:?}");
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_not_shared_with_who_has_it_for_ipv6() {
    let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
    let taken = listen(listener.local_addr().unwrap()).await;
    assert_eq!(taken.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_pipeline_silent_for_half_a_minute_is_dead() {
    assert_eq!(liveness(30_000).0, StatusCode::OK);
    let (status, sentence) = liveness(31_000);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(sentence.contains("31 s"));
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let server = Server::plain().await;
    assert_eq!(server.get("/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, "starting\n".into()));
    server.shared.health.set_causes(vec!["Kafka at kafka:9092 does not answer".into()]);
    let (status, reason) = server.get("/readyz").await;
    assert_eq!(
        (status, reason.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "Kafka at kafka:9092 does not answer\n")
    );
    server.shared.health.set_causes(vec![]);
    assert_eq!(server.get("/readyz").await, (StatusCode::OK, "ok\n".into()));
    assert_eq!(server.get("/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_have_the_type_that_prometheus_reads() {
    let server = Server::plain().await;
    let answer = reqwest::get(format!("http://{}/metrics", server.address)).await.unwrap();
    assert_eq!(answer.headers()["content-type"], metrics::CONTENT_TYPE);
    assert!(answer.text().await.unwrap().contains("stockwatch_spec_revision 1\n"));
}

#[tokio::test]
async fn quotes_tells_whose_it_is_and_what_is_known() {
    let server = Server::start(&document(", uid: a", "META"), Limits::default()).await;
    server.shared.flow.follow(["META"]);
    let (status, text) = server.get("/quotes").await;
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&said["uid"], &said["tickers"], &said["heard"]), (&json!("a"), &json!(1), &json!(0)));
    assert_eq!((&said["external"], &said["down"]), (&json!(null), &json!(null)));
    let (_, metrics) = server.get("/metrics").await;
    assert!(metrics.contains("stockwatch_newest_quote_age_seconds 0\n"), "{metrics}");
}

#[tokio::test]
async fn config_tells_what_was_taken_ignored_and_refused() {
    let metadata = ", uid: a, generation: 7";
    let server = Server::start(&(document(metadata, "META") + "colour: red\n"), Limits::default()).await;
    server.shared.live.offer("nonsense: [");
    server.shared.health.set_applied(Some(6));
    server.shared.health.set_evaluated(1);
    let mut config = server.config("").await;
    let error = config["error"].take();
    assert!(error.as_str().unwrap().contains("not one YAML or JSON document"), "{error}");
    let ignored = config["ignored"].take();
    assert!(ignored.as_array().unwrap().contains(&json!("colour")), "{ignored}");
    let expected = json!({"uid": "a", "generation": 7, "appliedGeneration": 6, "ignored": null, "error": null,
        "evaluating": false, "version": env!("CARGO_PKG_VERSION")});
    assert_eq!(config, expected);
    server.shared.live.offer(&document(metadata, "META"));
    assert_eq!(server.config("").await["error"], Value::Null);
}

#[tokio::test]
async fn a_plain_file_has_the_generation_that_the_pipeline_gave_it() {
    let server = Server::plain().await;
    assert_eq!(server.config("").await["generation"], Value::Null);
    server.shared.health.set_generation(1, 12);
    assert_eq!(server.config("").await["generation"], 12);
    server.shared.live.offer(&document("", "MSFT"));
    assert_eq!(server.config("").await["generation"], Value::Null, "the pipeline has not heard of it");
}

#[tokio::test]
async fn a_generation_that_is_applied_is_answered_at_once() {
    let server = Server::plain().await;
    server.shared.health.set_applied(Some(7));
    let config = timeout(DEADLINE, server.config("?generation=7&wait=30s")).await.unwrap();
    assert_eq!(config["appliedGeneration"], 7);
}

#[tokio::test]
async fn a_long_poll_is_answered_when_its_generation_is_applied() {
    let server = Server::plain().await;
    server.shared.health.set_applied(Some(6));
    let apply = async {
        // One that is too low does not end the wait.
        server.shared.health.set_applied(Some(7));
        tokio::task::yield_now().await;
        server.shared.health.set_applied(Some(8));
    };
    let (config, ()) =
        timeout(DEADLINE, async { tokio::join!(server.config("?generation=8&wait=30s"), apply) })
            .await
            .unwrap();
    assert_eq!(config["appliedGeneration"], 8);
}

#[tokio::test]
async fn a_long_poll_ends_with_its_wait() {
    let server = Server::plain().await;
    let config = timeout(DEADLINE, server.config("?generation=8&wait=10ms")).await.unwrap();
    assert_eq!(config["appliedGeneration"], Value::Null);
}

#[tokio::test]
async fn a_bad_query_is_refused_with_a_sentence() {
    let server = Server::plain().await;
    let (status, sentence) = server.get("/config?generation=new").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(sentence.contains("whole number"), "{sentence}");
    assert_eq!(server.get("/").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_client_that_never_ends_its_request_is_cut_off_and_others_are_served() {
    let limits = Limits { head: Duration::from_millis(50), connections: 2, ..Limits::default() };
    let server = Server::start(&document("", "META"), limits).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: a").await.unwrap();
        slow.push(stream);
    }
    timeout(DEADLINE, server.get("/livez")).await.expect("slow clients block the others");
    for mut stream in slow {
        // An answer of 408 or none, but an end; a reset is one too.
        let _ = timeout(DEADLINE, stream.read_to_end(&mut Vec::new())).await.expect("kept open");
    }
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let server = Server::plain().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET /readyz HTTP/1.1\r\nHost: {}\r\n", "a".repeat(100_000));
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = timeout(DEADLINE, stream.read_to_end(&mut answer)).await.expect("kept open");
    assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(server.get("/livez").await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_server_ends_although_a_client_waits() {
    let server = Server::plain().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /config?generation=9&wait=30s HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    // Served once, so the first connection was accepted before.
    server.get("/livez").await;
    server.stop.send_replace(true);
    timeout(DEADLINE, server.task).await.expect("still serving").unwrap();
}
