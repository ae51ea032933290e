//! Serves connections so that no client, slow, silent, huge or many, costs more than a bounded amount.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// What a client may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// For a request's head to come, also for the next one of a kept connection.
    pub head: Duration,
    /// For a connection in all: a client that does not read its answer ends here.
    pub connection: Duration,
    /// For answers under way when the process stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(5),
            connection: Duration::from_secs(120),
            drain: Duration::from_millis(500),
        }
    }
}

/// A request's head is at most this large.
const HEAD_BYTES: usize = 16 * 1024;

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

/// Serves until `stop` is true or its sender gone, then lets answers under way end.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, mut stop: watch::Receiver<bool>) {
    let stopped = stop.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = told_to(&mut stop) => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), limits.clone(), stopped.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: trying at once would only burn time.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, router: Router, limits: Limits, mut stop: watch::Receiver<bool>) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    // A client's errors are its own: they are nobody's news.
    tokio::select! {
        _ = served.as_mut() => return,
        () = sleep(limits.connection) => {}
        () = told_to(&mut stop) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = timeout(limits.drain, served).await;
}

async fn told_to(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone says the same.
    let _ = stop.wait_for(|stop| *stop).await;
}
