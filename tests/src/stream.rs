//! Yahoo's stream, as a test plays it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Between two looks at what a client says.
const LOOK: Duration = Duration::from_millis(20);

/// What a server does on the connection that subscribed last; if there is none, on the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Sends a text.
    Text(String),
    /// Sends bytes.
    Binary(Vec<u8>),
    /// Hangs up without a word.
    HangUp,
    /// Stays connected, and neither says nor hears anything any more.
    FallSilent,
}

#[derive(Debug, Default)]
struct State {
    opened: usize,
    joined: usize,
    refuses: Option<u16>,
    subscribed: BTreeSet<String>,
    newest: Option<Sender<Act>>,
    waiting: Vec<Act>,
}

/// The stream's side of a server.
#[derive(Debug, Clone, Default)]
pub struct FakeStream {
    state: Arc<Mutex<State>>,
}

/// A frame as the stream sends it. `hours`: 0 before the opening, 1 regular, 2 after the close.
pub fn pricing(symbol: &str, price: f32, millis: u64, hours: u8) -> String {
    let mut message = vec![0x0a, u8::try_from(symbol.len()).unwrap()];
    message.extend(symbol.as_bytes());
    message.push(0x15);
    message.extend(price.to_le_bytes());
    message.push(0x18);
    // Zigzag, seven bits a byte.
    let mut time = 2 * millis;
    while time >= 0x80 {
        message.push(u8::try_from(time & 0x7f).unwrap() | 0x80);
        time >>= 7;
    }
    message.push(u8::try_from(time).unwrap());
    if hours > 0 {
        message.extend([0x38, hours]);
    }
    format!(r#"{{"type":"pricing","message":"{}"}}"#, STANDARD.encode(message))
}

impl FakeStream {
    /// Sends a price in regular hours.
    pub fn tick(&self, symbol: &str, price: f32, millis: u64) {
        self.act(Act::Text(pricing(symbol, price, millis, 1)));
    }

    /// Does something.
    pub fn act(&self, act: Act) {
        let mut state = self.state.lock().unwrap();
        let sent = state.newest.as_ref().is_some_and(|newest| newest.send(act.clone()).is_ok());
        if !sent {
            state.waiting.push(act);
        }
    }

    /// Answers connections with this status from now on; `None`: lets them in.
    pub fn refuse(&self, status: Option<u16>) {
        self.state.lock().unwrap().refuses = status;
    }

    /// How often somebody connected, those refused included.
    pub fn opened(&self) -> usize {
        self.state.lock().unwrap().opened
    }

    /// How many connections have subscribed.
    pub fn joined(&self) -> usize {
        self.state.lock().unwrap().joined
    }

    /// Every symbol that was subscribed to and not taken back.
    pub fn subscribed(&self) -> BTreeSet<String> {
        self.state.lock().unwrap().subscribed.clone()
    }

    /// Serves one connection whose handshake has this key.
    pub(crate) fn serve(&self, mut connection: TcpStream, key: &str) -> io::Result<()> {
        let refuses = {
            let mut state = self.state.lock().unwrap();
            state.opened += 1;
            state.refuses
        };
        if let Some(status) = refuses {
            return write!(
                connection,
                "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        let accept = derive_accept_key(key.as_bytes());
        write!(
            connection,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )?;
        connection.set_read_timeout(Some(LOOK))?;
        connection.set_nodelay(true)?;
        let mut socket = WebSocket::from_raw_socket(connection, Role::Server, None);
        let mut acts: Option<Receiver<Act>> = None;
        loop {
            // Once there may be something to do, that is waited for.
            socket.get_ref().set_nonblocking(acts.is_some())?;
            match socket.read() {
                Ok(Message::Text(text)) => {
                    self.heard(&text);
                    acts = Some(acts.unwrap_or_else(|| self.join()));
                }
                Ok(_) => {}
                Err(Error::Io(error))
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(_) => return Ok(()),
            }
            socket.get_ref().set_nonblocking(false)?;
            let Some(acts) = &acts else { continue };
            let first = acts.recv_timeout(LOOK);
            if first == Err(RecvTimeoutError::Disconnected) {
                // Acts are another connection's now.
                thread::park_timeout(LOOK);
            }
            for act in first.into_iter().chain(acts.try_iter()) {
                let message = match act {
                    Act::Text(text) => Message::text(text),
                    Act::Binary(bytes) => Message::binary(bytes),
                    Act::HangUp => return Ok(()),
                    Act::FallSilent => loop {
                        thread::park();
                    },
                };
                if socket.send(message).is_err() {
                    return Ok(());
                }
            }
        }
    }

    fn join(&self) -> Receiver<Act> {
        let (act, acts) = channel();
        let mut state = self.state.lock().unwrap();
        std::mem::take(&mut state.waiting).into_iter().for_each(|waiting| act.send(waiting).unwrap());
        state.newest = Some(act);
        state.joined += 1;
        acts
    }

    fn heard(&self, text: &str) {
        let Ok(said) = serde_json::from_str::<Value>(text) else { return };
        let symbols = |key: &str| {
            let symbols = said[key].as_array().into_iter().flatten();
            symbols.filter_map(|symbol| symbol.as_str().map(str::to_owned)).collect::<Vec<_>>()
        };
        let mut state = self.state.lock().unwrap();
        state.subscribed.extend(symbols("subscribe"));
        for symbol in symbols("unsubscribe") {
            state.subscribed.remove(&symbol);
        }
    }
}
