//! A server that answers as a provider of quotes does, over TLS.

mod http2;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use openssl::ssl::SslAcceptor;
use tempfile::NamedTempFile;

use crate::answer::Answer;
use crate::tls::Identity;

/// What a provider was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Path and query, as they were sent.
    pub target: String,
    /// Headers by their names in small letters.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

type Answers = dyn Fn(&Asked) -> Answer + Send + Sync;

/// The server; its threads end with the test's process.
#[derive(Clone)]
pub struct Provider {
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Answers>,
    authority: Arc<NamedTempFile>,
    address: SocketAddr,
}

impl Provider {
    /// Listens on a free port of this host for HTTP/1.1, a request a connection.
    pub fn start(answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(Ipv4Addr::LOCALHOST.into(), answers)
    }

    /// The same on another address of this machine.
    pub(crate) fn on(host: IpAddr, answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let (provider, listener, identity) = Self::new(host, Arc::new(answers));
        let (server, acceptor) = (provider.clone(), Arc::new(identity.acceptor()));
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (server, acceptor) = (server.clone(), Arc::clone(&acceptor));
                std::thread::spawn(move || server.serve(&acceptor, connection));
            }
        });
        provider
    }

    /// Listens for HTTP/2, and nothing else; only answers that are whole can be given.
    pub fn over_http2(answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let (provider, listener, identity) = Self::new(Ipv4Addr::LOCALHOST.into(), Arc::new(answers));
        let server = provider.clone();
        identity.serve(listener, "h2", move |connection| http2::serve(server.clone(), connection));
        provider
    }

    fn new(host: IpAddr, answers: Arc<Answers>) -> (Self, TcpListener, Identity) {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let identity = Identity::of(host);
        let (authority, address) = (Arc::new(identity.file()), listener.local_addr().unwrap());
        (Self { asked: Arc::default(), answers, authority, address }, listener, identity)
    }

    /// The URL up to its path.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The file with the authority that its certificate is from.
    pub fn authority(&self) -> PathBuf {
        self.authority.path().to_owned()
    }

    /// All that it was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Answers one request; whoever hangs up early, or does not trust it, gets none.
    fn serve(&self, acceptor: &SslAcceptor, connection: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(acceptor.accept(connection).ok()?);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let target = lines.first()?.split(' ').nth(1)?.to_owned();
        let header = |line: &String| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        };
        let headers: BTreeMap<_, _> = lines.iter().skip(1).filter_map(header).collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked = Asked { target, headers, body: String::from_utf8(body).ok()? };
        let mut connection = reader.into_inner();
        self.answer(asked).write(&mut connection).ok()?;
        let _ = connection.shutdown();
        Some(())
    }

    fn answer(&self, asked: Asked) -> Answer {
        let answer = (self.answers)(&asked);
        self.asked.lock().unwrap().push(asked);
        answer
    }
}
