#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use stockwatch_crds::{DEFAULT_USER_AGENT, YahooMode};
use stockwatch_tests::{Act, Answer, FakeYahoo, chart, pricing};

use super::*;
use crate::extract::source::Quote;

const T: u64 = 1_790_000_000;

fn ticker(symbol: &str) -> Arc<Ticker> {
    Arc::new(Ticker { symbol: symbol.into(), entity: symbol.into(), overrides: vec![] })
}

/// A stream of these symbols whose sparks wait for an hour, but for the first ones.
fn start(yahoo: &FakeYahoo, symbols: &[&str]) -> (watch::Sender<Orders>, mpsc::Receiver<Batch>) {
    let spec = SourceSpec::Yahoo {
        mode: YahooMode::Stream,
        interval: Duration::from_secs(3600),
        base_url: yahoo.url(),
        user_agent: DEFAULT_USER_AGENT.into(),
        proxy: None,
    };
    let tickers = symbols.iter().map(|symbol| ticker(symbol)).collect();
    let (told, orders) = watch::channel(Orders { spec, tickers, owned: 1, partitions: 1 });
    let (batches, heard) = mpsc::channel(16);
    let stream = Stream::new(&yahoo.url(), DEFAULT_USER_AGENT, &Material::default()).unwrap();
    tokio::spawn(stream.run(orders, batches));
    (told, heard)
}

async fn next(heard: &mut mpsc::Receiver<Batch>) -> Vec<(String, Quote)> {
    let batch = heard.recv().await.unwrap();
    batch.quotes.into_iter().map(|(ticker, quote)| (ticker.symbol.clone(), quote)).collect()
}

fn said(quotes: &[(String, Quote)]) -> Vec<(&str, &str, &str, Option<&str>)> {
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
