//! What the process tells over HTTP: `/livez`, `/readyz` and `/metrics`.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::health::Health;
use crate::metrics::{self, Metrics};

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS: usize = 64;
/// For a request's head to come, also for the next one of a kept connection.
const HEAD: Duration = Duration::from_secs(5);
/// For a connection in all: a client that does not read its answer ends here.
const CONNECTION: Duration = Duration::from_secs(120);
/// A request's head is at most this large.
const HEAD_BYTES: usize = 16 * 1024;

/// What is told of.
#[derive(Debug, Clone)]
pub struct Shared {
    /// Liveness and readiness.
    pub health: Arc<Health>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Listens on an address. `[::]` takes IPv4 as well, and stands for `0.0.0.0` where there is no IPv6.
pub async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        // A port that is taken says nothing of IPv6.
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && error.kind() != io::ErrorKind::AddrInUse => {
            tracing::info!(%error, "no IPv6 here: listening on IPv4 alone");
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        listening => listening,
    }
}

/// Serves until the future is dropped; no client costs more than a bounded amount.
pub async fn serve(listener: TcpListener, shared: Shared) {
    let router = router(shared);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(timeout(CONNECTION, connection(stream, router.clone())));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: trying at once would only burn time.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
}

/// A client's errors are its own: they are nobody's news.
fn connection(stream: TcpStream, router: Router) -> impl Future<Output = ()> {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    async { drop(served.await) }
}

fn router(shared: Shared) -> Router {
    Router::new()
        .route("/livez", get(async |State(shared): State<Shared>| answer(shared.health.not_alive(), &[])))
        .route("/readyz", get(ready))
        .route("/metrics", get(scrape))
        .fallback(async || (StatusCode::NOT_FOUND, "there are /livez, /readyz and /metrics\n"))
        .with_state(shared)
}

async fn ready(State(shared): State<Shared>) -> Response {
    answer(shared.health.not_ready(), &shared.health.notes())
}

fn answer(problem: Option<String>, notes: &[String]) -> Response {
    match problem {
        None => {
            let lines = ["ok"].into_iter().chain(notes.iter().map(String::as_str));
            lines.map(|line| format!("{line}\n")).collect::<String>().into_response()
        }
        Some(problem) => (StatusCode::SERVICE_UNAVAILABLE, problem + "\n").into_response(),
    }
}

async fn scrape(State(shared): State<Shared>) -> Response {
    ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], shared.metrics.encode()).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn every_address_takes_ipv4_and_ipv6_alike() {
        let listener = listen("[::]:0".parse().unwrap()).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for address in ["127.0.0.1", "::1"] {
            let connected = timeout(HEAD, TcpStream::connect((address, port))).await.unwrap();
            assert!(connected.is_ok(), "{address}: {connected:?}");
        }
    }
}
