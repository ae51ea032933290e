//! TLS in front of a server that has none.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use tempfile::NamedTempFile;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

use crate::tls::Identity;

/// Hands on what comes encrypted (HTTP/1.1); its thread ends with the test's process.
#[derive(Debug)]
pub struct Front {
    authority: NamedTempFile,
    address: SocketAddr,
}

impl Front {
    /// In front of a server whose URL is `http://ADDRESS:PORT`.
    pub fn of(server: &str) -> Self {
        let behind: SocketAddr = server.strip_prefix("http://").unwrap().parse().unwrap();
        let host = Ipv4Addr::LOCALHOST;
        let listener = TcpListener::bind((host, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let identity = Identity::of(host.into());
        identity.serve(listener, "http/1.1", move |mut outside| async move {
            let Ok(mut inside) = TcpStream::connect(behind).await else { return };
            inside.set_nodelay(true).unwrap();
            // A connection that breaks is one that ends.
            let _ = copy_bidirectional(&mut outside, &mut inside).await;
        });
        Self { authority: identity.file(), address }
    }

    /// The URL up to its path.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The file with the authority that its certificate is from.
    pub fn authority(&self) -> PathBuf {
        self.authority.path().to_owned()
    }
}
