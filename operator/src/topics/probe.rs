//! Checks that any broker accepts a connection, before a client with its threads is opened.

use std::time::Duration;

use futures::future::select_ok;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::observed::KafkaReason;
use super::trouble::Failure;

/// For a name to be resolved and a connection to be accepted.
const LIMIT: Duration = Duration::from_secs(4);

/// Fails if none of these servers (`host:port`, separated by commas) accepts a connection.
pub(super) async fn probe(servers: &str) -> Result<(), Failure> {
    let connects = servers.split(',').map(|server| Box::pin(TcpStream::connect(server)));
    let unreachable = |detail: String| Failure::new(KafkaReason::KafkaUnreachable, detail);
    match timeout(LIMIT, select_ok(connects)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!("no broker accepts a connection within {LIMIT:?}"))),
    }
}
