//! A server that answers as a provider of quotes does, over TLS.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use openssl::ssl::SslAcceptor;
use tempfile::NamedTempFile;

use crate::answer::Answer;
use crate::tls::identity;

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
    acceptor: Arc<SslAcceptor>,
    authority: Arc<NamedTempFile>,
    address: SocketAddr,
}

impl Provider {
    /// Listens on a free port of this host.
    pub fn start(answers: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let host = Ipv4Addr::LOCALHOST;
        let listener = TcpListener::bind((host, 0)).unwrap();
        let (acceptor, certificate) = identity(host.into());
        let mut authority = NamedTempFile::new().unwrap();
        authority.write_all(&certificate).unwrap();
        let provider = Self {
            asked: Arc::default(),
            answers: Arc::new(answers),
            acceptor: Arc::new(acceptor),
            authority: Arc::new(authority),
            address: listener.local_addr().unwrap(),
        };
        let server = provider.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(connection));
            }
        });
        provider
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
    fn serve(&self, connection: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(self.acceptor.accept(connection).ok()?);
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
        self.asked.lock().unwrap().push(asked.clone());
        let mut connection = reader.into_inner();
        (self.answers)(&asked).write(&mut connection).ok()?;
        let _ = connection.shutdown();
        Some(())
    }
}
