//! The examples load, without a field that nobody knows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use stockwatch_crds::{Loaded, Source, load};

fn example(text: &str) -> Loaded {
    let loaded = load(text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(loaded.ignored, Vec::<String>::new());
    loaded
}

#[test]
fn the_seed_has_the_old_names() {
    let spec = example(include_str!("../../examples/seed.yaml")).spec;
    let tickers: Vec<_> = spec.tickers.iter().map(|t| (t.symbol.as_str(), t.entity.as_str())).collect();
    let expected = [
        ("META", "meta"),
        ("IBM", "ibm"),
        ("AMZN", "amazon"),
        ("AAPL", "apple"),
        ("GM.MX", "general motors"),
        ("VWCE.DE", "vanguard etf"),
    ];
    assert_eq!(tickers, expected);
    assert_eq!(spec.windows.iter().map(|w| w.minutes).collect::<Vec<_>>(), [5, 10, 15]);
    assert_eq!(spec.kafka.bootstrap_servers, "kafka.kafka:9092");
    let topics: Vec<_> = spec.kafka.topics.iter().map(|topic| topic.name.as_str()).collect();
    let expected = [
        "yfinance-raw-input",
        "yfinance-after-dedup-stream",
        "yfinance-after-dedup-storage-table",
        "yfinance-averages-output",
        "yfinance-deviation-alarm",
        "default.seed.dead-letter",
    ];
    assert_eq!(topics, expected);
}

#[test]
fn the_simulated_example_runs_on_a_local_kafka() {
    let spec = example(include_str!("../../examples/simulated.yaml")).spec;
    assert!(matches!(spec.source, Source::Simulated { seed: 1, .. }));
    assert_eq!(spec.kafka.bootstrap_servers, "localhost:9092");
}

#[test]
fn the_external_example_takes_every_entity() {
    let spec = example(include_str!("../../examples/external.yaml")).spec;
    assert!(spec.wildcard);
    assert_eq!(spec.source, Source::External { expect_every: None });
    assert_eq!(spec.tickers.len(), 1, "the wildcard is no ticker");
}

#[test]
fn each_source_of_the_examples_loads() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sources");
    let mut names = Vec::new();
    for file in std::fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        let spec = example(&std::fs::read_to_string(&path).unwrap()).spec;
        assert_eq!(path.file_stem().unwrap().to_str().unwrap(), spec.name);
        assert!(matches!(spec.source, Source::Http(_) | Source::Yahoo { .. }), "{}", spec.name);
        names.push(spec.name);
    }
    names.sort();
    let expected = [
        "alpaca",
        "binance",
        "coinbase",
        "coingecko",
        "finnhub",
        "fmp",
        "kraken",
        "massive",
        "massive-single",
        "tiingo",
        "twelve-data",
        "yahoo-proxy",
        "yahoo-stream",
    ];
    assert_eq!(names, expected);
}

#[test]
fn the_paper_example_has_an_account() {
    let spec = example(include_str!("../../examples/paper.yaml")).spec;
    let trade = spec.trade.unwrap();
    assert_eq!((trade.minutes, trade.stop_loss), (1, Some(5_000_000_000)));
    assert_eq!(spec.kafka.topics.ledger.name, "default.paper.ledger");
}

#[test]
fn the_example_with_tokens_says_where_they_come_from() {
    let spec = example(include_str!("../../examples/oauth.yaml")).spec;
    let sasl = spec.kafka.sasl.unwrap();
    assert_eq!((sasl.password.name.as_str(), sasl.password.key.as_str()), ("kafka-client", "client-secret"));
    assert!(sasl.oauth.unwrap().token_url.ends_with("/openid-connect/token"));
}
