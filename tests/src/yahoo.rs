//! A server that answers as Yahoo's chart and spark endpoints do, in every shape that they are known for; its stream is
//! [`FakeStream`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::answer::Answer;
use crate::cluster::Cluster;
use crate::stream::FakeStream;

/// Yahoo's limit; more symbols and the whole request is refused.
const SPARK_SYMBOLS: usize = 20;

/// The chart's result as JSON, or nothing if the symbol is not known; `None` of what is neither.
fn result(answer: &Answer) -> Option<Option<&str>> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        chart: Chart<'a>,
    }
    #[derive(Deserialize)]
    struct Chart<'a> {
        #[serde(borrow)]
        result: Option<Vec<&'a RawValue>>,
    }
    let Answer::Whole(200 | 404, _, body) = answer else { return None };
    let body: Body<'_> = serde_json::from_str(body).ok()?;
    Some(body.chart.result.and_then(|result| result.first().map(|first| first.get())))
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

#[derive(Debug)]
struct Request {
    symbols: Vec<String>,
    is_spark: bool,
    agent: String,
    at: Instant,
}

#[derive(Debug, Default)]
struct State {
    answers: BTreeMap<String, VecDeque<Answer>>,
    sparks: VecDeque<Answer>,
    requests: Vec<Request>,
}

/// The server; its thread ends with the test's process.
#[derive(Debug, Clone)]
pub struct FakeYahoo {
    state: Arc<Mutex<State>>,
    stream: FakeStream,
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
        let yahoo = Self {
            state: Arc::default(),
            stream: FakeStream::default(),
            address: listener.local_addr().unwrap(),
        };
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

    /// Its stream.
    pub fn stream(&self) -> &FakeStream {
        &self.stream
    }

    /// Answers for a symbol, one after another; the last one again and again.
    ///
    /// They are charts: of a spark each is the symbol's part, or all of it if it is no chart.
    pub fn script(&self, symbol: &str, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().answers.insert(symbol.into(), answers.into_iter().collect());
    }

    /// Answers for the next sparks, whatever they ask for.
    pub fn script_sparks(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state.lock().unwrap().sparks.extend(answers);
    }

    /// How often a symbol was asked for.
    pub fn asked(&self, symbol: &str) -> usize {
        self.count(|request| request.symbols.iter().any(|asked| asked == symbol))
    }

    /// How often a symbol was asked for by a chart.
    pub fn charts(&self, symbol: &str) -> usize {
        self.count(|request| !request.is_spark && request.symbols == [symbol])
    }

    /// How many symbols the sparks asked for.
    pub fn sparks(&self) -> BTreeSet<usize> {
        let state = self.state.lock().unwrap();
        let sparks = state.requests.iter().filter(|request| request.is_spark);
        sparks.map(|request| request.symbols.len()).collect()
    }

    fn count(&self, is_counted: impl Fn(&Request) -> bool) -> usize {
        self.state.lock().unwrap().requests.iter().filter(|request| is_counted(request)).count()
    }

    /// The most requests that came within one second.
    pub fn most_in_a_second(&self) -> usize {
        let times = self.times();
        let within = |(i, first): (usize, &Instant)| {
            times[i..].iter().take_while(|time| time.duration_since(*first) < Duration::from_secs(1)).count()
        };
        times.iter().enumerate().map(within).max().unwrap_or(0)
    }

    /// The longest time between two requests.
    pub fn longest_silence(&self) -> Duration {
        let times = self.times();
        times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    }

    fn times(&self) -> Vec<Instant> {
        self.state.lock().unwrap().requests.iter().map(|request| request.at).collect()
    }

    /// The User-Agent headers seen.
    pub fn user_agents(&self) -> BTreeSet<String> {
        self.state.lock().unwrap().requests.iter().map(|request| request.agent.clone()).collect()
    }

    fn serve(&self, mut connection: TcpStream) -> Option<()> {
        let mut request = BufReader::new(connection.try_clone().ok()?).lines();
        let first = request.next()?.ok()?;
        let headers: Vec<String> =
            request.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let header = |wanted: &str| {
            headers.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
            })
        };
        if let Some(key) = header("sec-websocket-key") {
            return self.stream.serve(connection, &key).ok();
        }
        let agent = header("user-agent");
        let (path, query) = first.split(' ').nth(1)?.split_once('?')?;
        let is_spark = path.ends_with("/v7/finance/spark");
        let symbols = match query.split('&').find_map(|part| part.strip_prefix("symbols=")) {
            Some(symbols) if is_spark => symbols,
            _ => path.rsplit('/').next()?,
        };
        let symbols =
            symbols.split(',').map(|symbol| symbol.replace("%3D", "=").replace("%5E", "^")).collect();
        let agent = agent.unwrap_or_default();
        let answer = self.answer(Request { symbols, is_spark, agent, at: Instant::now() });
        answer.write(&mut connection).ok()
    }

    fn answer(&self, request: Request) -> Answer {
        let mut state = self.state.lock().unwrap();
        let (symbols, is_spark) = (request.symbols.clone(), request.is_spark);
        state.requests.push(request);
        if !is_spark {
            return state.next(&symbols[0]).unwrap_or_else(|| not_found("chart"));
        }
        if symbols.len() > SPARK_SYMBOLS {
            let said = r#"{"spark":{"result":null,"error":{"code":"Bad Request","description":"Number of symbols needs to be less than or equal to 20"}}}"#;
            return Answer::Whole(400, "Content-Type: application/json", said.into());
        }
        if let Some(answer) = state.sparks.pop_front() {
            return answer;
        }
        let is_no_chart = |symbol: &&String| {
            let next = state.answers.get(*symbol).and_then(VecDeque::front);
            next.is_some_and(|answer| result(answer).is_none())
        };
        if let Some(answer) = symbols.iter().find(is_no_chart).cloned().and_then(|symbol| state.next(&symbol))
        {
            return answer;
        }
        let known: Vec<String> = symbols
            .iter()
            .filter_map(|symbol| {
                let answer = state.next(symbol)?;
                let result = result(&answer)??;
                Some(format!(r#"{{"symbol":"{symbol}","response":[{result}]}}"#))
            })
            .collect();
        if known.is_empty() {
            return not_found("spark");
        }
        Answer::json(format!(r#"{{"spark":{{"result":[{}],"error":null}}}}"#, known.join(",")))
    }
}

impl State {
    fn next(&mut self, symbol: &str) -> Option<Answer> {
        let answers = self.answers.get_mut(symbol)?;
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }
}

fn not_found(endpoint: &str) -> Answer {
    let body = format!(
        r#"{{"{endpoint}":{{"result":null,"error":{{"code":"Not Found","description":"No data found, symbol may be delisted"}}}}}}"#
    );
    Answer::Whole(404, "Content-Type: application/json", body)
}
