//! The WebSocket of a stream: connects, subscribes again and again, and connects anew. What a server sends costs bounded
//! memory, whatever it sends. A refusal is the whole source's, as one of a spark is: both keep the same pause.

use std::convert::Infallible;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use reqwest::header::{
    CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::{Client, StatusCode, Upgraded, Url};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message};

use crate::extract::backoff;
use crate::extract::client::{Dialect, TIMEOUT, failure, read};
use crate::extract::fetched::FetchError;
use crate::extract::pause::Pause;
use crate::extract::schedule::OWN_REFUSALS;
use crate::extract::text::short;
use crate::extract::tick::{self, Tick};
use crate::metrics::StreamConnected;

/// The subscription is repeated so often: servers close a connection that says nothing.
const REPEAT: Duration = Duration::from_secs(15);
/// A connection on which nothing came for so long, not even the answer to a ping, is dead.
const SILENCE: Duration = Duration::from_secs(60);
/// After a pause sparks that are due try first: they are the smaller question.
const BEHIND_SPARKS: Duration = Duration::from_secs(5);
/// A connection that lasted so long was no failed try.
const STEADY: Duration = Duration::from_secs(60);
/// A frame of a price has about 300 bytes; a larger message than this ends the connection.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// Frames handed on at once, at most.
const CHUNK: usize = 256;
const PAGE_OF_STREAM: &str = "https://finance.yahoo.com";

/// Connects to a stream.
pub(in crate::extract) trait Dial: Send + Sync {
    /// Connects, without subscribing, in bounded time. The error says what the status or the connection says is wrong.
    fn dial(&self) -> impl Future<Output = Result<Socket, FetchError>> + Send;
}

/// Where Yahoo's stream is.
#[derive(Debug)]
pub(in crate::extract) struct Dialler {
    pub(super) client: Client,
    pub(super) url: Url,
}

pub(in crate::extract) type Socket = WebSocketStream<Upgraded>;

impl Dial for Dialler {
    async fn dial(&self) -> Result<Socket, FetchError> {
        timeout(TIMEOUT, self.shake_hands()).await.map_err(|_| FetchError::Timeout)?
    }
}

impl Dialler {
    async fn shake_hands(&self) -> Result<Socket, FetchError> {
        let key = generate_key();
        let request =
            self.client.get(self.url.clone()).header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_KEY, &key).header(SEC_WEBSOCKET_VERSION, "13");
        let response = request.header(ORIGIN, PAGE_OF_STREAM).send().await.map_err(failure)?;
        let status = response.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            read(response, Dialect::Yahoo).await?;
            return Err(FetchError::BadBody(format!("status {status} instead of a WebSocket")));
        }
        let accepted = response.headers().get(SEC_WEBSOCKET_ACCEPT).map(|accept| accept.as_bytes().to_vec());
        if accepted != Some(derive_accept_key(key.as_bytes()).into_bytes()) {
            return Err(FetchError::BadBody("the server speaks no WebSocket".into()));
        }
        let upgraded = response.upgrade().await.map_err(failure)?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(MAX_MESSAGE_BYTES))
            .max_frame_size(Some(MAX_MESSAGE_BYTES));
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    }
}

/// A stream that is listened to.
#[derive(Debug)]
pub(super) struct Line<D> {
    pub(super) dial: D,
    pub(super) pause: Pause,
    pub(super) connected: StreamConnected,
}

/// Without a line there is none to be connected.
impl<D> Drop for Line<D> {
    fn drop(&mut self) {
        self.connected.clear();
    }
}

impl<D: Dial> Line<D> {
    /// Hands ticks on until it is dropped; connects again whenever the connection ends.
    pub(super) async fn listen(
        self,
        mut symbols: watch::Receiver<Vec<String>>,
        ticks: mpsc::Sender<Vec<Tick>>,
    ) -> Infallible {
        let (mut failures, mut refusals, mut was_refused) = (0_u32, 0_u32, false);
        loop {
            self.connected.set(false);
            // A connection without a subscription is closed by the server.
            let _ = symbols.wait_for(|symbols| !symbols.is_empty()).await;
            // A stream that alone is refused must not hold sparks up for ever, as no symbol may.
            self.pause.over(BEHIND_SPARKS, refusals < OWN_REFUSALS).await;
            let began = Instant::now();
            let ended = match self.connect(&mut refusals).await {
                Ok(socket) => follow(socket, &mut symbols, &ticks).await,
                Err(error) => error,
            };
            let is_another = began.elapsed() >= STEADY || was_refused != ended.is_refusal();
            failures = if is_another { 1 } else { failures.saturating_add(1) };
            was_refused = ended.is_refusal();
            let wait = backoff::of_stream(&ended, failures);
            tracing::warn!(again_seconds = wait.as_secs_f64(), "the stream ended: {ended}");
            self.connected.set(false);
            sleep(wait).await;
        }
    }

    /// Connects, and keeps the pause; `refusals` are those in a row while sparks were answered.
    async fn connect(&self, refusals: &mut u32) -> Result<Socket, FetchError> {
        let is_trial = self.pause.starts();
        let dialled = self.dial.dial().await;
        let now = Instant::now();
        if is_trial {
            self.pause.tried();
        }
        match &dialled {
            Ok(_) => {
                *refusals = 0;
                self.connected.set(true);
                tracing::info!("the stream is connected");
                if self.pause.answered(now) {
                    tracing::info!("the source answers again");
                }
            }
            Err(error) if error.is_refusal() && (is_trial || *refusals < OWN_REFUSALS) => {
                *refusals += u32::from(!is_trial);
                if let Some(pause) = self.pause.refused(now, error.retry_after()) {
                    let pause_seconds = pause.as_secs_f64();
                    tracing::warn!(pause_seconds, "{error}: nothing is asked until the pause ends");
                }
            }
            Err(_) => {}
        }
        dialled
    }
}

/// Subscribes to the symbols, which are sorted, and hands ticks on until the connection ends; returns why it did.
pub(super) async fn follow(
    mut socket: Socket,
    symbols: &mut watch::Receiver<Vec<String>>,
    ticks: &mpsc::Sender<Vec<Tick>>,
) -> FetchError {
    let mut repeat = interval(REPEAT);
    repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut subscribed: Vec<String> = Vec::new();
    let mut heard = Instant::now();
    loop {
        let done = tokio::select! {
            _ = repeat.tick() => {
                if heard.elapsed() >= SILENCE {
                    return FetchError::Timeout;
                }
                subscribe(&mut socket, symbols, &mut subscribed).await
            }
            Ok(()) = symbols.changed() => subscribe(&mut socket, symbols, &mut subscribed).await,
            chunk = next_chunk(&mut socket) => {
                let taken = take(chunk, ticks).await;
                // While nobody takes what has come, more cannot be heard.
                heard = Instant::now();
                taken
            }
        };
        if let Err(ended) = done {
            return ended;
        }
    }
}

/// What has come; empty when the connection is closed.
async fn next_chunk(socket: &mut Socket) -> Vec<Result<Message, Error>> {
    socket.ready_chunks(CHUNK).next().await.unwrap_or_default()
}

/// Hands on the ticks among the messages.
async fn take(chunk: Vec<Result<Message, Error>>, ticks: &mpsc::Sender<Vec<Tick>>) -> Result<(), FetchError> {
    let mut ended = if chunk.is_empty() { Err(closed()) } else { Ok(()) };
    let mut read = Vec::new();
    for message in chunk {
        match message {
            Ok(Message::Text(frame)) => read.extend(tick::read(&frame)),
            Ok(Message::Close(_)) => ended = Err(closed()),
            Ok(_) => {}
            Err(error) => ended = Err(broken(&error)),
        }
    }
    if !read.is_empty() {
        // Its receiver goes with this source.
        let _ = ticks.send(read).await;
    }
    ended
}

/// Sends the whole list, as every client does, and takes back what is no longer on it. The ping has the server show that
/// it lives while markets are closed.
async fn subscribe(
    socket: &mut Socket,
    symbols: &mut watch::Receiver<Vec<String>>,
    subscribed: &mut Vec<String>,
) -> Result<(), FetchError> {
    let wanted = symbols.borrow_and_update().clone();
    let gone: Vec<&String> =
        subscribed.iter().filter(|symbol| wanted.binary_search(symbol).is_err()).collect();
    let mut messages = Vec::new();
    if !gone.is_empty() {
        messages.push(Message::text(json!({ "unsubscribe": gone }).to_string()));
    }
    if !wanted.is_empty() {
        messages.push(Message::text(json!({ "subscribe": wanted }).to_string()));
    }
    messages.push(Message::Ping(Bytes::new()));
    for message in messages {
        let sent = timeout(TIMEOUT, socket.send(message)).await;
        sent.map_err(|_| FetchError::Timeout)?.map_err(|error| broken(&error))?;
    }
    *subscribed = wanted;
    Ok(())
}

fn closed() -> FetchError {
    FetchError::Connect("the server closed the connection".into())
}

fn broken(error: &Error) -> FetchError {
    match error {
        Error::Capacity(_) => FetchError::TooLarge,
        error => FetchError::Connect(short(&error.to_string())),
    }
}
