//! One question to one worker, bounded in time and size.

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use stockwatch_crds::EditReport;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For everything besides the wait that the worker is asked for.
const MARGIN: Duration = Duration::from_secs(1);
/// An answer lists at most 100 unknown fields.
const MOST_BYTES: usize = 128 * 1024;

/// A worker's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `metadata.uid` of the spec that it has.
    pub uid: String,
    /// The generation that it computes with.
    pub applied: Option<i64>,
    /// Fields that it does not know.
    pub ignored: Vec<String>,
    /// It refuses a newer spec than the one that it computes with.
    pub refuses: bool,
    /// What the last edit of tolerances changes in its partitions.
    pub last_edit: Option<EditReport>,
    /// It is still finding that out.
    pub evaluating: bool,
}

impl Answer {
    /// It does not compute with this generation yet.
    pub fn is_behind(&self, generation: i64) -> bool {
        self.applied.is_none_or(|applied| applied < generation)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("no answer in time")]
    Timeout,
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the request cannot be built: {0}")]
    Request(#[from] hyper::http::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("the answer is too large or was cut: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    uid: String,
    applied_generation: Option<i64>,
    #[serde(default)]
    ignored: Vec<String>,
    error: Option<String>,
    last_edit: Option<EditReport>,
    #[serde(default)]
    evaluating: bool,
}

/// The worker answers as soon as it computes with the generation, or else after `wait`.
pub(super) async fn ask(address: SocketAddr, generation: i64, wait: Duration) -> Result<Answer, AskError> {
    let path = format!("/config?generation={generation}&wait={}ms", wait.as_millis());
    let body: Body = get(address, &path, wait + MARGIN, MOST_BYTES).await?;
    Ok(Answer {
        uid: body.uid,
        applied: body.applied_generation,
        ignored: body.ignored,
        refuses: body.error.is_some(),
        last_edit: body.last_edit,
        evaluating: body.evaluating,
    })
}

/// Reads what a worker answers at a path, of at most `most_bytes`, within `limit`.
pub(crate) async fn get<T: DeserializeOwned>(
    address: SocketAddr,
    path: &str,
    limit: Duration,
    most_bytes: usize,
) -> Result<T, AskError> {
    match exchange(address, path, limit, most_bytes).await? {
        (StatusCode::OK, body) => Ok(serde_json::from_slice(&body)?),
        (status, _) => Err(AskError::Status(status)),
    }
}

/// Reads why a worker is not ready, of at most `most_bytes`, within `limit`; `None`: it is.
pub(crate) async fn not_ready(
    address: SocketAddr,
    limit: Duration,
    most_bytes: usize,
) -> Result<Option<String>, AskError> {
    match exchange(address, "/readyz", limit, most_bytes).await? {
        (StatusCode::OK, _) => Ok(None),
        (StatusCode::SERVICE_UNAVAILABLE, body) => {
            Ok(Some(String::from_utf8_lossy(&body).trim().to_owned()).filter(|words| !words.is_empty()))
        }
        (status, _) => Err(AskError::Status(status)),
    }
}

async fn exchange(
    address: SocketAddr,
    path: &str,
    limit: Duration,
    most_bytes: usize,
) -> Result<(StatusCode, Bytes), AskError> {
    timeout(limit, unbounded(address, path, most_bytes)).await.map_err(|_| AskError::Timeout)?
}

async fn unbounded(
    address: SocketAddr,
    path: &str,
    most_bytes: usize,
) -> Result<(StatusCode, Bytes), AskError> {
    let stream = timeout(MARGIN, TcpStream::connect(address)).await.map_err(|_| AskError::Timeout)??;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(path)
        .header(hyper::header::HOST, address.to_string())
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most_bytes).collect().await.map_err(AskError::Body)?;
        Ok((status, body.to_bytes()))
    };
    // The connection moves only while it is polled; its end says nothing that the answer does not.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        body = &mut answer => body,
        _ = connection => answer.await,
    }
}
