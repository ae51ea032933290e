//! A proxy between a client and the servers of a test, for those who log in.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The user and the password that it lets in.
const LOGIN: &str = "user:hunter2";

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP's method CONNECT, with `Proxy-Authorization: Basic`.
    Connect,
    /// SOCKS 5 (RFC 1928), with user and password (RFC 1929).
    Socks5,
}

/// The proxy; its threads end with the test's process.
#[derive(Debug, Clone)]
pub struct Proxy {
    protocol: Protocol,
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Listens on a free port of this host.
    pub fn start(protocol: Protocol) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let proxy = Self { protocol, address: listener.local_addr().unwrap(), asked: Arc::default() };
        let server = proxy.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let server = server.clone();
                thread::spawn(move || server.serve(connection));
            }
        });
        proxy
    }

    /// Its URL for a client that logs in with this password.
    pub fn url(&self, password: &str) -> String {
        let scheme = if self.protocol == Protocol::Connect { "http" } else { "socks5h" };
        format!("{scheme}://user:{password}@{}", self.address)
    }

    /// To which `host:port` it has led, for those who were let in.
    pub fn led_to(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        let to = match self.protocol {
            Protocol::Connect => connect(&mut client)?,
            Protocol::Socks5 => socks5(&mut client)?,
        };
        let Some(to) = to else { return Ok(()) };
        self.asked.lock().unwrap().push(to.clone());
        let server = TcpStream::connect(&to)?;
        let back = (server.try_clone()?, client.try_clone()?);
        thread::spawn(move || pass(back.0, back.1));
        pass(client, server);
        Ok(())
    }
}

/// Until one of them hangs up.
fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}

/// Where the client wants to be led, if it may be. It says nothing more before it is answered.
fn connect(client: &mut TcpStream) -> io::Result<Option<String>> {
    let lines: Vec<String> = BufReader::new(client.try_clone()?)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    let login = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then_some(value)
    });
    if login != Some(&format!("Basic {}", STANDARD.encode(LOGIN))) {
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")?;
        return Ok(None);
    }
    let first: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!((first[0], first[2]), ("CONNECT", "HTTP/1.1"), "what is encrypted stays so");
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    Ok(Some(first[1].to_owned()))
}

fn socks5(client: &mut TcpStream) -> io::Result<Option<String>> {
    let [version, methods] = exactly(client)?;
    let mut offered = vec![0; methods.into()];
    client.read_exact(&mut offered)?;
    assert!(version == 5 && offered.contains(&2), "user and password: {offered:?}");
    client.write_all(&[5, 2])?;
    let [_] = exactly(client)?;
    let (user, password) = (text(client)?, text(client)?);
    if format!("{user}:{password}") != LOGIN {
        client.write_all(&[1, 1])?;
        return Ok(None);
    }
    client.write_all(&[1, 0])?;
    let [_, command, _, kind] = exactly(client)?;
    assert_eq!(command, 1, "CONNECT");
    let host = match kind {
        1 => Ipv4Addr::from(exactly::<4>(client)?).to_string(),
        3 => text(client)?,
        _ => format!("[{}]", Ipv6Addr::from(exactly::<16>(client)?)),
    };
    let port = u16::from_be_bytes(exactly(client)?);
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(Some(format!("{host}:{port}")))
}

fn exactly<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A byte of length, then the text.
fn text(client: &mut TcpStream) -> io::Result<String> {
    let [length] = exactly(client)?;
    let mut text = vec![0; length.into()];
    client.read_exact(&mut text)?;
    Ok(String::from_utf8(text).unwrap())
}
