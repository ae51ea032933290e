//! A server that answers as Yahoo's chart endpoint does, in every shape that it is known for.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cluster::Cluster;

/// One answer, byte for byte.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Status, further header lines, body.
    Whole(u16, &'static str, String),
    /// Status 200 with a body that ends before its announced length.
    CutOff(String),
    /// The connection stays open and silent.
    Silence,
    /// The connection is closed without an answer.
    Close,
}

impl Answer {
    /// A body of JSON with status 200.
    pub fn json(body: impl Into<String>) -> Self {
        Self::Whole(200, "Content-Type: application/json", body.into())
    }
}

/// The usual answer for a symbol; price and time as written.
pub fn chart(symbol: &str, currency: &str, price: &str, time: u64) -> Answer {
    Answer::json(format!(
        concat!(
            r#"{{"chart":{{"result":[{{"meta":{{"currency":"{currency}","symbol":"{symbol}","instrumentType":"EQUITY","#,
            r#""regularMarketTime":{time},"regularMarketPrice":{price},"previousClose":1.5}},"#,
            r#""timestamp":[{time}],"indicators":{{"quote":[{{"close":[{price},null],"open":[0.0]}}]}}}}],"error":null}}}}"#
        ),
        currency = currency,
        symbol = symbol,
        time = time,
        price = price,
    ))
}

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<String, VecDeque<Answer>>,
    requests: Vec<(String, String, Instant)>,
}

/// The server; its thread ends with the test's process.
#[derive(Debug, Clone)]
pub struct FakeYahoo {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

impl FakeYahoo {
    /// Listens on a free port; symbols without a script are not found.
    pub fn start() -> Self {
        Self::listen("127.0.0.1")
    }

    /// The same where pods reach it.
    pub fn start_for_pods(_: &Cluster) -> Self {
        Self::listen(Cluster::HOST)
    }

    fn listen(host: &str) -> Self {
        let listener = TcpListener::bind((host, 0)).unwrap();
        let yahoo = Self { state: Arc::default(), address: listener.local_addr().unwrap() };
        let server = yahoo.clone();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(connection));
            }
        });
        yahoo
    }

    /// What goes into `source.yahoo.baseUrl`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers for a symbol, one after another; the last one again and again.
    pub fn script(&self, symbol: &str, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().answers.insert(symbol.into(), answers.into_iter().collect());
    }

    /// How often a symbol was asked for.
    pub fn asked(&self, symbol: &str) -> usize {
        self.state.lock().unwrap().requests.iter().filter(|request| request.0 == symbol).count()
    }

    /// The most requests that came within one second.
    pub fn most_in_a_second(&self) -> usize {
        let state = self.state.lock().unwrap();
        let times: Vec<Instant> = state.requests.iter().map(|request| request.2).collect();
        let within = |(i, first): (usize, &Instant)| {
            times[i..].iter().take_while(|time| time.duration_since(*first) < Duration::from_secs(1)).count()
        };
        times.iter().enumerate().map(within).max().unwrap_or(0)
    }

    /// The User-Agent headers seen.
    pub fn user_agents(&self) -> Vec<String> {
        self.state.lock().unwrap().requests.iter().map(|request| request.1.clone()).collect()
    }

    fn serve(&self, mut connection: TcpStream) -> Option<()> {
        let mut request = BufReader::new(connection.try_clone().ok()?).lines();
        let first = request.next()?.ok()?;
        let headers: Vec<String> =
            request.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let agent = headers.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("user-agent").then(|| value.trim().to_owned())
        });
        let path = first.split(' ').nth(1)?.split('?').next()?;
        let symbol = path.rsplit('/').next()?.replace("%3D", "=").replace("%5E", "^");
        match self.answer(&symbol, agent.unwrap_or_default()) {
            Answer::Whole(status, headers, body) => {
                let headers = if headers.is_empty() { String::new() } else { format!("{headers}\r\n") };
                let length = body.len();
                write!(
                    connection,
                    "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                )
            }
            Answer::CutOff(body) => {
                write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\nConnection: close\r\n\r\n{body}")
            }
            Answer::Silence => loop {
                std::thread::park();
            },
            Answer::Close => Ok(()),
        }
        .ok()
    }

    fn answer(&self, symbol: &str, agent: String) -> Answer {
        let mut state = self.state.lock().unwrap();
        state.requests.push((symbol.to_owned(), agent, Instant::now()));
        let not_found = || Answer::Whole(404, "Content-Type: application/json", NOT_FOUND.into());
        match state.answers.get_mut(symbol) {
            None => not_found(),
            Some(answers) if answers.len() > 1 => answers.pop_front().unwrap_or_else(not_found),
            Some(answers) => answers.front().cloned().unwrap_or_else(not_found),
        }
    }
}

const NOT_FOUND: &str = concat!(
    r#"{"chart":{"result":null,"error":{"code":"Not Found","#,
    r#""description":"No data found, symbol may be delisted"}}}"#
);
