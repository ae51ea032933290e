#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Mutex;

use futures::future::{BoxFuture, FutureExt};
use stockwatch_crds::{DEFAULT_USER_AGENT, YahooMode};
use stockwatch_tests::{Act, Answer, FakeYahoo, chart, pricing};
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::extract::source::{FetchResult, Pace, QuoteResult, Request};
use crate::extract::yahoo;
use crate::metrics::Metrics;

const T: u64 = 1_790_000_000;

fn ticker(symbol: &str) -> Arc<Ticker> {
    Arc::new(Ticker { symbol: symbol.into(), entity: symbol.into(), overrides: vec![] })
}

/// A stream of these symbols whose sparks wait for an hour, but for the first ones.
fn start(yahoo: &FakeYahoo, symbols: &[&str]) -> (watch::Sender<Orders>, mpsc::Receiver<Batch>) {
    let (told, orders) = watch::channel(orders(3600, symbols));
    let (batches, heard) = mpsc::channel(16);
    let stream = Stream::new(&yahoo.url(), DEFAULT_USER_AGENT, &Material::default()).unwrap();
    tokio::spawn(stream.run(StreamConnected::default(), orders, batches));
    (told, heard)
}

fn orders(interval: u64, symbols: &[&str]) -> Orders {
    let spec = Source::Yahoo {
        mode: YahooMode::Stream,
        interval: Duration::from_secs(interval),
        base_url: String::new(),
        user_agent: DEFAULT_USER_AGENT.into(),
        proxy: None,
    };
    let tickers = symbols.iter().map(|symbol| ticker(symbol)).collect();
    Orders { spec, tickers, owned: 1, partitions: 1 }
}

/// Says what a request gets at a time since the beginning; `None` is good.
type Fate = fn(Duration) -> Option<FetchError>;

/// A stream or a spark endpoint that writes down when it was asked.
struct Asked {
    began: Instant,
    times: Arc<Mutex<Vec<Duration>>>,
    fate: Fate,
}

impl Asked {
    fn new(fate: Fate) -> Self {
        Self { began: Instant::now(), times: Arc::default(), fate }
    }

    fn note(&self) -> Option<FetchError> {
        let since = self.began.elapsed();
        self.times.lock().unwrap().push(since);
        (self.fate)(since)
    }
}

impl Dial for Asked {
    /// Whoever is not refused does not get through.
    async fn dial(&self) -> Result<line::Socket, FetchError> {
        Err(self.note().unwrap_or(FetchError::Timeout))
    }
}

impl Ask for Asked {
    fn pace(&self, orders: &Orders) -> Option<Pace> {
        yahoo::pace(orders)
    }

    fn ask(&self, request: &Request) -> BoxFuture<'static, FetchResult> {
        let quotes = request.tickers.iter().map(|_| FetchedQuote::new("1", "1", None)).collect();
        let answer: FetchResult = self.note().map_or(Ok(quotes), Err);
        async move {
            tokio::time::sleep(Duration::from_millis(150)).await;
            answer
        }
        .boxed()
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// When the stream and when sparks were asked, in a time that passes at once.
async fn asked(long: Duration, dialled: Fate, sparked: Fate) -> [Vec<Duration>; 2] {
    let symbols: Vec<String> = (0..44).map(|i| format!("S{i}")).collect();
    let symbols: Vec<&str> = symbols.iter().map(String::as_str).collect();
    let (_told, orders) = watch::channel(orders(60, &symbols));
    let (batches, mut heard) = mpsc::channel(16);
    let (dial, sparks) = (Asked::new(dialled), Asked::new(sparked));
    let times = [&dial, &sparks].map(|asked| Arc::clone(&asked.times));
    let running = tokio::spawn(Stream { dial, sparks }.run(StreamConnected::default(), orders, batches));
    let drained = tokio::spawn(async move { while heard.recv().await.is_some() {} });
    tokio::time::sleep(long).await;
    running.abort();
    drained.await.unwrap();
    times.map(|times| times.lock().unwrap().clone())
}

fn within(times: &[Duration], from: Duration, to: Duration) -> usize {
    times.iter().filter(|time| (from..to).contains(*time)).count()
}

#[tokio::test(start_paused = true)]
async fn an_hours_ban_costs_ten_requests_of_the_stream_and_of_sparks_together() {
    let (from, to) = (10 * MINUTE, 70 * MINUTE);
    let limited: Fate = |since| {
        let is_banned = (10 * MINUTE..70 * MINUTE).contains(&since);
        is_banned.then_some(FetchError::RateLimited { retry_after: None })
    };
    for _ in 0..20 {
        let [dialled, sparked] = asked(110 * MINUTE, limited, limited).await;
        let cost = within(&dialled, from, to) + within(&sparked, from, to);
        assert!((4..=10).contains(&cost), "{cost}: {dialled:?} {sparked:?}");
        let again = *sparked.iter().find(|time| **time >= to).unwrap();
        assert!(again < to + 31 * MINUTE, "{again:?}");
        assert!(within(&sparked, again, again + 2 * MINUTE) >= 3, "all symbols come again");
        assert!(within(&dialled, again, again + 3 * MINUTE) >= 1, "and the stream is tried");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_alone_is_refused_does_not_hold_sparks_up() {
    let refused: Fate = |_| Some(FetchError::Refused { said: "403".into(), retry_after: None });
    let [dialled, sparked] = asked(180 * MINUTE, refused, |_| None).await;
    assert!((4..=17).contains(&dialled.len()), "{dialled:?}");
    let minutes = (30..180_u32).filter(|i| within(&sparked, *i * MINUTE, (*i + 1) * MINUTE) >= 3).count();
    assert!(minutes >= 140, "{minutes} of 150");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_tried_while_sparks_are_refused_but_to_see_whether_that_is_over() {
    let limited: Fate = |_| Some(FetchError::RateLimited { retry_after: None });
    let [dialled, sparked] = asked(60 * MINUTE, |_| None, limited).await;
    assert!(dialled.len() + sparked.len() <= 12, "{dialled:?} {sparked:?}");
}

#[tokio::test]
async fn an_answer_that_is_no_websocket_means_what_it_means_to_a_spark() {
    let handshake = async |status: u16, body: &str| {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_string(body);
        Mock::given(method("GET")).respond_with(answer).mount(&server).await;
        let stream = Stream::new(&server.uri(), DEFAULT_USER_AGENT, &Material::default()).unwrap();
        stream.once(&[ticker("META")], MINUTE).await.unwrap_err()
    };
    for (status, body) in [(404, ""), (404, "<html>"), (999, ""), (429, "")] {
        assert_eq!(handshake(status, body).await, FetchError::RateLimited { retry_after: None }, "{status}");
    }
    for (status, body) in [(200, "<html>Your privacy choices"), (401, "{}"), (418, ""), (302, "")] {
        assert!(handshake(status, body).await.is_refusal(), "{status}");
    }
    assert_eq!(handshake(404, "{}").await, FetchError::NotFound);
    for body in ["", "{}"] {
        assert!(matches!(handshake(200, body).await, FetchError::BadBody(_)));
    }
}

#[tokio::test]
async fn whether_the_stream_is_connected_is_said_while_there_is_one() {
    let (yahoo, metrics) = (FakeYahoo::start(), Metrics::new());
    let value = || {
        let text = metrics.encode();
        let line = text.lines().find(|line| line.starts_with("stockwatch_stream_connected"));
        line.and_then(|line| line.split(' ').nth(1)).map(str::to_owned)
    };
    let becomes = async |expected: Option<&str>| {
        while value().as_deref() != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    yahoo.stream().refuse(Some(503));
    let (_told, orders) = watch::channel(orders(3600, &["META"]));
    let (batches, _heard) = mpsc::channel(16);
    let start = || {
        let stream = Stream::new(&yahoo.url(), DEFAULT_USER_AGENT, &Material::default()).unwrap();
        tokio::spawn(stream.run(metrics.stream_connected.clone(), orders.clone(), batches.clone()))
    };
    let refused = start();
    becomes(Some("0")).await;
    refused.abort();
    becomes(None).await;
    yahoo.stream().refuse(None);
    let _connected = start();
    becomes(Some("1")).await;
}

async fn next(heard: &mut mpsc::Receiver<Batch>) -> Vec<(String, QuoteResult)> {
    let batch = heard.recv().await.unwrap();
    batch.quotes.into_iter().map(|(ticker, quote)| (ticker.symbol.clone(), quote)).collect()
}

fn said(quotes: &[(String, QuoteResult)]) -> Vec<(&str, &str, &str, Option<&str>)> {
    quotes
        .iter()
        .map(|(symbol, quote)| {
            let quote = quote.as_ref().unwrap();
            (symbol.as_str(), quote.price(), quote.time(), quote.currency())
        })
        .collect()
}

#[tokio::test]
async fn a_tick_is_a_quote_in_the_currency_that_a_spark_told() {
    let yahoo = FakeYahoo::start();
    yahoo.script("META", [chart("META", "USD", "512.30", T)]);
    let (_told, mut heard) = start(&yahoo, &["META"]);
    assert_eq!(said(&next(&mut heard).await), [("META", "512.30", "1790000000", Some("USD"))]);
    yahoo.stream().act(Act::Text(pricing("META", 600.0, T * 1000, 2)));
    yahoo.stream().act(Act::Text(pricing("OTHER", 600.0, T * 1000, 1)));
    yahoo.stream().tick("META", 512.34, (T + 1) * 1000 + 500);
    let quotes = loop {
        let quotes = next(&mut heard).await;
        if !quotes.is_empty() {
            break quotes;
        }
    };
    assert_eq!(said(&quotes), [("META", "512.34", "1790000001.5", Some("USD"))]);
}

#[tokio::test]
async fn a_connection_that_ends_or_sends_too_much_is_made_again() {
    let yahoo = FakeYahoo::start();
    yahoo.script("META", [chart("META", "USD", "1", T)]);
    let (_told, mut heard) = start(&yahoo, &["META"]);
    next(&mut heard).await;
    for (round, end) in (1_u16..).zip([Act::HangUp, Act::Text("x".repeat(10 << 20)), Act::HangUp]) {
        yahoo.stream().tick("META", f32::from(round), (T + u64::from(round)) * 1000);
        yahoo.stream().act(Act::Text("{\"type\":\"unknown\"}".into()));
        yahoo.stream().act(Act::Binary(vec![0xff; 8]));
        assert_eq!(next(&mut heard).await[0].1.as_ref().unwrap().price(), round.to_string());
        let joined = yahoo.stream().joined();
        yahoo.stream().act(end);
        while yahoo.stream().joined() == joined {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    yahoo.stream().tick("META", 9.0, (T + 9) * 1000);
    assert_eq!(next(&mut heard).await[0].1.as_ref().unwrap().price(), "9");
    assert!(yahoo.stream().opened() >= 4);
}

#[tokio::test]
async fn whoever_sparks_do_not_know_is_said_to_be_unknown() {
    let yahoo = FakeYahoo::start();
    yahoo.script("META", [chart("META", "USD", "1", T)]);
    yahoo.script(
        "NONE",
        [Answer::Whole(404, "", r#"{"chart":{"result":null,"error":{"code":"Not Found"}}}"#.into())],
    );
    let (_told, mut heard) = start(&yahoo, &["META", "NONE"]);
    let mut quotes = Vec::new();
    while quotes.len() < 2 {
        quotes.extend(next(&mut heard).await);
    }
    assert!(
        quotes.iter().any(|(symbol, quote)| symbol == "NONE" && matches!(quote, Err(FetchError::NotFound)))
    );
}

#[tokio::test]
async fn who_listens_once_hears_of_each_or_why_not() {
    let yahoo = FakeYahoo::start();
    let once = async |patience| {
        let stream = Stream::new(&yahoo.url(), DEFAULT_USER_AGENT, &Material::default()).unwrap();
        stream.once(&[ticker("META"), ticker("IBM")], Duration::from_millis(patience)).await
    };
    yahoo.stream().tick("IBM", 2.0, T * 1000);
    yahoo.stream().tick("META", 1.0, T * 1000);
    let quotes = once(60_000).await.unwrap();
    assert!(quotes.iter().all(|quote| matches!(quote, Some(Ok(_)))));
    assert!(once(1).await.unwrap().iter().all(Option::is_none));
    yahoo.stream().refuse(Some(429));
    assert_eq!(once(60_000).await.unwrap_err(), FetchError::RateLimited { retry_after: None });
}

#[test]
fn a_gateway_has_the_stream_as_well_and_yahoo_has_it_elsewhere() {
    for (base, expected) in [
        ("https://query1.finance.yahoo.com", "https://streamer.finance.yahoo.com/?version=2"),
        ("https://query2.finance.yahoo.com", "https://streamer.finance.yahoo.com/?version=2"),
        ("https://gateway.example/yahoo", "https://gateway.example/yahoo/?version=2"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/?version=2"),
    ] {
        assert_eq!(url(base).unwrap().as_str(), expected);
    }
}
