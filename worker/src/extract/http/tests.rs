#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use stockwatch_crds::Ticker;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

/// `spec.source.http` as one line of YAML.
fn http(source: &str) -> Http {
    let text = format!(
        "apiVersion: stockwatch.dev/v1alpha1\nkind: StockWatch\nmetadata: {{name: a}}\n\
         spec: {{tickers: [{{symbol: A}}], kafka: {{bootstrapServers: 'k:1'}}, source: {{http: {source}}}}}"
    );
    match stockwatch_crds::load(&text).unwrap_or_else(|error| panic!("{error}")).spec.source {
        Source::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

fn ticker(symbol: &str) -> Arc<Ticker> {
    Arc::new(Ticker { symbol: symbol.into(), entity: symbol.into(), overrides: vec![] })
}

/// Price, time and currency of each, or why there are none.
fn quotes(source: &str, body: &str, symbols: &[&str]) -> Vec<Result<(String, String, String), FetchError>> {
    let said = |quote: FetchedQuote| {
        (quote.price().to_owned(), quote.time().to_owned(), quote.currency().unwrap_or_default().to_owned())
    };
    read(body.as_bytes(), &http(source), symbols).unwrap().into_iter().map(|quote| quote.map(said)).collect()
}

/// The one quote of an answer.
fn quote(source: &str, body: &str, symbol: &str) -> Result<(String, String, String), FetchError> {
    quotes(source, body, &[symbol]).remove(0)
}

fn good(price: &str, time: &str, currency: &str) -> Result<(String, String, String), FetchError> {
    Ok((price.into(), time.into(), currency.into()))
}

const FINNHUB: &str = "{url: 'https://p/?s={symbol}', price: /c, time: /t, currency: {literal: USD}}";
const TWELVE: &str =
    "{url: 'https://p/?s={symbol}', price: /close, time: /last_quote_at, currency: {pointer: /currency}}";
const MASSIVE: &str = "{url: 'https://p/?s={symbols}', batch: {size: 250}, items: /results, symbol: /ticker, \
    price: /last_trade/price, time: /last_trade/last_updated, timeFormat: nanos, currency: {literal: USD}}";
const TIINGO: &str = "{url: 'https://p/?s={symbols}', items: '', symbol: /ticker, price: /tngoLast, time: /timestamp, \
    timeFormat: rfc3339, currency: {literal: USD}}";
const ALPACA: &str = "{url: 'https://p/?s={symbols}', price: '/trades/{symbol}/p', time: '/trades/{symbol}/t', \
    timeFormat: rfc3339, currency: {literal: USD}}";
const KRAKEN: &str =
    "{url: 'https://p/?s={symbol}', price: '/result/{symbol}/0/0', time: '/result/{symbol}/0/2'}";

#[test]
fn each_shape_of_a_single_tickers_answer_is_read() {
    for (source, body, expected) in [
        (
            FINNHUB,
            r#"{"c":12.5,"d":0.1,"dp":0.8,"h":12.7,"l":12.3,"o":12.4,"pc":12.4,"t":1790000000}"#,
            good("12.5", "1790000000", "USD"),
        ),
        (FINNHUB, r#"{"c":0,"d":null,"dp":null,"h":0,"l":0,"o":0,"pc":0,"t":0}"#, Err(FetchError::NoPrice)),
        (
            TWELVE,
            r#"{"symbol":"ACME","currency":"USD","close":"12.50000","timestamp":1789997400,"last_quote_at":1790000000,"is_market_open":true}"#,
            good("12.50000", "1790000000", "USD"),
        ),
        (TWELVE, r#"{"code":429,"message":"…","status":"error"}"#, Err(FetchError::NoPrice)),
        (
            "{url: 'https://p/{symbol}', price: /results/p, time: /results/t, timeFormat: nanos, currency: {literal: USD}}",
            r#"{"status":"OK","results":{"T":"ACME","p":12.5,"t":1790000000000000001}}"#,
            good("12.5", "1790000000.000000001", "USD"),
        ),
        (
            "{url: 'https://p/{symbol}', price: /0/price, time: /0/timestamp}",
            r#"[{"symbol":"ACME","price":12.5,"timestamp":1790000000}]"#,
            good("12.5", "1790000000", ""),
        ),
        ("{url: 'https://p/{symbol}', price: /0/price, time: /0/timestamp}", "[]", Err(FetchError::NoPrice)),
        (
            "{url: 'https://p/{symbol}/ticker', price: /price, time: /time, timeFormat: rfc3339}",
            r#"{"trade_id":1,"price":"12.50","size":"0.1","bid":"12.49","ask":"12.51","volume":"10","time":"2026-09-21T14:13:20.511254Z"}"#,
            good("12.50", "1790000000.511254", ""),
        ),
    ] {
        assert_eq!(quote(source, body, "ACME"), expected, "{body}");
    }
    let kraken = r#"{"error":[],"result":{"XXBTZUSD":[["12.50","0.1",1790000000.8277369,"b","m","",1]],"last":"1790000000827736900"}}"#;
    assert_eq!(quote(KRAKEN, kraken, "XXBTZUSD"), good("12.50", "1790000000.8277369", ""));
    let unknown = r#"{"error":["EQuery:Unknown asset pair"]}"#;
    assert_eq!(quote(KRAKEN, unknown, "XXBTZUSD"), Err(FetchError::NoPrice));
}

#[test]
fn each_shape_of_a_batchs_answer_is_read_and_who_is_left_out_is_not_known() {
    let massive = r#"{"status":"OK","results":[{"ticker":"ACME","market_status":"open","last_trade":{"price":12.5,"last_updated":1790000000000000000}},{"ticker":"BARE"}]}"#;
    assert_eq!(
        quotes(MASSIVE, massive, &["NONE", "ACME", "BARE"]),
        [Err(FetchError::NotFound), good("12.5", "1790000000", "USD"), Err(FetchError::NoPrice)]
    );
    let tiingo = r#"[{"ticker":"acme","timestamp":"2026-09-21T10:13:20.086175744-04:00","tngoLast":12.5,"last":null,"prevClose":12.4}]"#;
    assert_eq!(
        quotes(TIINGO, tiingo, &["ACME"]),
        [good("12.5", "1790000000.086175744", "USD")],
        "in any case"
    );
    let binance = "{url: 'https://p/?s=[{symbols}]', batch: {separator: '%22,%22'}, items: '', symbol: /symbol, \
        price: /lastPrice, time: /closeTime, timeFormat: millis}";
    let answer =
        r#"[{"symbol":"BTCUSDT","lastPrice":"12.50","openTime":1789913600000,"closeTime":1790000000000}]"#;
    assert_eq!(quotes(binance, answer, &["BTCUSDT"]), [good("12.50", "1790000000", "")]);
    let alpaca = r#"{"trades":{"ACME":{"t":"2026-09-21T14:13:20.086175744Z","x":"V","p":12.5,"s":1,"c":["@"],"i":1,"z":"C"}}}"#;
    assert_eq!(
        quotes(ALPACA, alpaca, &["ACME", "NONE"]),
        [good("12.5", "1790000000.086175744", "USD"), Err(FetchError::NoPrice)]
    );
    let gecko =
        "{url: 'https://p/?ids={symbols}', price: '/{symbol}/usd', time: '/{symbol}/last_updated_at'}";
    let answer = r#"{"bitcoin":{"usd":12.5,"last_updated_at":1790000000}}"#;
    assert_eq!(quotes(gecko, answer, &["bitcoin"]), [good("12.5", "1790000000", "")]);
}

#[test]
fn an_item_that_cannot_be_used_is_one_tickers_alone() {
    let answer = r#"{"results":[1,null,{"ticker":7},{"ticker":"A","last_trade":{"price":"x","last_updated":1}},
        {"ticker":"B","last_trade":{"price":1,"last_updated":"soon"}},{"ticker":"C","last_trade":[]},
        {"ticker":"D","last_trade":{"price":"1e999","last_updated":1}},
        {"ticker":"E","last_trade":{"price":3,"last_updated":9}},{"ticker":"e","last_trade":{"price":4,"last_updated":9}}]}"#;
    let quotes = quotes(MASSIVE, answer, &["7", "A", "B", "C", "D", "E"]);
    for (index, expected) in [(0, FetchError::NoPrice), (1, FetchError::NoPrice), (3, FetchError::NoPrice)] {
        assert_eq!(quotes[index], Err(expected));
    }
    assert!(matches!(&quotes[2], Err(FetchError::BadBody(said)) if said.contains("timeFormat")));
    assert_eq!(quotes[4], Err(FetchError::NoPrice));
    assert_eq!(quotes[5], good("3", "0.000000009", "USD"), "the first of two");
}

#[test]
fn an_answer_without_its_list_has_no_price_and_one_that_is_no_json_is_bad() {
    for body in [r#"{"status":"ERROR","error":"x"}"#, r#"{"results":{}}"#, r#"{"results":null}"#, "[]"] {
        assert_eq!(
            quotes(MASSIVE, body, &["A", "B"]),
            [Err(FetchError::NoPrice), Err(FetchError::NoPrice)],
            "{body}"
        );
    }
    for body in ["", "{", r#"{"results":[}"#, "x"] {
        assert!(
            matches!(read(body.as_bytes(), &http(MASSIVE), &["A"]), Err(FetchError::BadBody(_))),
            "{body}"
        );
    }
}

#[test]
fn symbols_are_escaped_and_the_separator_stands_as_it_is() {
    let url = |source: &str, symbols: &[&str]| {
        let provider = Provider::new(&http(source), &Material::default()).unwrap();
        provider.url(symbols.iter().copied()).unwrap().to_string()
    };
    assert_eq!(url(FINNHUB, &["A&B/C=D"]), "https://p/?s=A%26B%2FC%3DD");
    let source = "{url: 'https://p/{symbols}/x?symbols=%5B%22', batch: {separator: '%22,%22'}, items: '', symbol: /s, \
        price: /p, time: /t}";
    assert_eq!(url(source, &["A.B", "C"]), "https://p/A.B%22,%22C/x?symbols=%5B%22");
}

#[test]
fn the_rate_is_the_stockwatchs_and_a_process_has_the_share_of_its_partitions() {
    let pace = |source: &str, owned, partitions| {
        let orders = Orders { spec: Source::Http(http(source)), tickers: vec![], owned, partitions };
        pace(&orders).unwrap()
    };
    let second = Duration::from_secs(1);
    assert_eq!(pace(FINNHUB, 3, 3).gap, second, "60 a minute");
    assert_eq!(pace(FINNHUB, 1, 3).gap, 3 * second);
    let slow = "{url: 'https://p/{symbol}', price: /p, time: /t, interval: 90s, perMinute: 8}";
    assert_eq!(pace(slow, 1, 1), Pace { interval: 90 * second, gap: second * 15 / 2, batch: 1, at_once: 3 });
    assert_eq!((pace(MASSIVE, 1, 1).batch, pace(MASSIVE, 1, 1).at_once), (250, 1));
}

#[tokio::test]
async fn a_single_tickers_failure_is_the_requests_and_a_batchs_is_the_tickers() {
    let server = MockServer::start().await;
    let body = r#"[{"s":"A","p":1,"t":1}]"#;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200).set_body_string(body))
        .mount(&server)
        .await;
    let source =
        format!("{{url: '{}/{{symbols}}', items: '', symbol: /s, price: /p, time: /t}}", server.uri());
    let provider = Provider::new(&http(&source), &Material::default()).unwrap();
    let ask = async |symbols: &[&str], is_alone| {
        let tickers = symbols.iter().map(|symbol| ticker(symbol)).collect();
        provider.ask(&Request { tickers, is_alone }).await
    };
    let quotes = ask(&["A", "B"], false).await.unwrap();
    assert!(quotes[0].is_ok());
    assert_eq!(quotes[1].as_ref().unwrap_err(), &FetchError::NotFound);
    assert_eq!(ask(&["B"], true).await.unwrap_err(), FetchError::NotFound);
}
