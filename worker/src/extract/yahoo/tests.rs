#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use stockwatch_crds::{DEFAULT_USER_AGENT, Ticker};
use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::super::FetchedQuote;
use super::*;

fn ticker(symbol: &str) -> Ticker {
    Ticker { symbol: symbol.into(), entity: "entity".into(), overrides: vec![] }
}

fn request(symbols: &[&str], is_alone: bool) -> Request {
    Request { tickers: symbols.iter().map(|symbol| Arc::new(ticker(symbol))).collect(), is_alone }
}

fn yahoo(base_url: &str) -> Yahoo {
    Yahoo::new(base_url, DEFAULT_USER_AGENT, &Material::default()).unwrap()
}

async fn quote(yahoo: &Yahoo) -> Result<FetchedQuote, FetchError> {
    yahoo.ask(&request(&["META"], true)).await?.remove(0)
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(answer).mount(&server).await;
    server
}

/// The answer to one chart, whatever it asks.
async fn fetch(answer: ResponseTemplate) -> Result<FetchedQuote, FetchError> {
    quote(&yahoo(&answering(answer).await.uri())).await
}

async fn fetch_body(body: &str) -> Result<FetchedQuote, FetchError> {
    fetch(ResponseTemplate::new(200).set_body_raw(body, "application/json")).await
}

fn written(quote: &FetchedQuote) -> String {
    String::from_utf8(quote.to_json(&ticker("META")).unwrap()).unwrap()
}

fn chart(meta: &str, rest: &str) -> String {
    format!(r#"{{"chart":{{"result":[{{"meta":{meta}{rest}}}],"error":null}}}}"#)
}

#[tokio::test]
async fn a_usual_answer_is_a_quote() {
    let meta = r#"{"currency":"USD","symbol":"META","instrumentType":"EQUITY","regularMarketTime":1700000000,"regularMarketPrice":512.340000000000001,"newKey":[1]}"#;
    let rest = r#","timestamp":[1699999940,1700000000],"indicators":{"quote":[{"close":[512.1,null],"open":[0.0,0.0]}]}"#;
    let quote = fetch_body(&chart(meta, rest)).await.unwrap();
    assert_eq!(
        written(&quote),
        r#"{"entityname":"entity","currentstockprice":512.340000000000001,"lastupdatedate":1700000000,"symbol":"META","currency":"USD"}"#
    );
}

#[tokio::test]
async fn a_weekend_without_bars_is_a_quote() {
    let meta = r#"{"regularMarketPrice":5.0,"regularMarketTime":1699000000,"currency":"GBp"}"#;
    let quote = fetch_body(&chart(meta, r#","indicators":{"quote":[{}]}"#)).await.unwrap();
    assert!(written(&quote).contains(r#""currency":"GBp""#), "pence stay pence");
}

#[tokio::test]
async fn a_renamed_symbol_is_the_one_that_was_asked_for() {
    let meta =
        r#"{"symbol":"EUR=X","regularMarketPrice":0.9,"regularMarketTime":1700000000,"currency":null}"#;
    let quote = fetch_body(&chart(meta, "")).await.unwrap();
    assert!(written(&quote).ends_with(r#""symbol":"META"}"#));
}

#[tokio::test]
async fn an_answer_without_a_current_price_has_no_price_whatever_closes_it_has() {
    let closes = r#","timestamp":[1],"indicators":{"quote":[{"close":[7.5]}]}"#;
    for meta in [
        r#"{"currency":"USD","symbol":"OLD","regularMarketTime":1300000000}"#,
        r#"{"regularMarketPrice":null,"regularMarketTime":1300000000}"#,
        r#"{"regularMarketPrice":"Infinity","regularMarketTime":1700000000}"#,
        r#"{"instrumentType":"NONE"}"#,
        "null",
    ] {
        assert_eq!(fetch_body(&chart(meta, closes)).await.unwrap_err(), FetchError::NoPrice, "{meta}");
    }
}

const UNKNOWN: &str =
    r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}"#;

#[tokio::test]
async fn what_yahoo_does_not_know_is_not_found() {
    for body in [UNKNOWN, r#"{"chart":{"result":[],"error":null}}"#] {
        assert_eq!(fetch_body(body).await.unwrap_err(), FetchError::NotFound, "{body}");
    }
    let answer = ResponseTemplate::new(404).set_body_raw(UNKNOWN, "application/json");
    assert_eq!(fetch(answer).await.unwrap_err(), FetchError::NotFound);
}

#[tokio::test]
async fn a_refusal_is_the_sources_in_each_of_its_shapes() {
    let finance =
        r#"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#;
    let plain = r#"{"finance":{"result":null,"error":"Unauthorized"}}"#;
    let page = "\u{feff}\r\n<!DOCTYPE html><html>Consent</html>";
    for body in [finance, plain, page] {
        assert!(matches!(fetch_body(body).await, Err(FetchError::Refused { .. })), "{body}");
    }
    for body in [finance, "Invalid Cookie", "<html>Unauthorized</html>"] {
        for status in [401, 403] {
            let answer =
                ResponseTemplate::new(status).set_body_string(body).insert_header("retry-after", "9");
            let error = fetch(answer).await.unwrap_err();
            assert!(matches!(error, FetchError::Refused { .. }), "{error}");
            assert_eq!(error.retry_after(), Some(Duration::from_secs(9)));
        }
    }
    for (status, body) in
        [(429, "Edge: Too Many Requests"), (429, UNKNOWN), (999, ""), (404, ""), (404, "<html>")]
    {
        let answer = ResponseTemplate::new(status).set_body_string(body);
        assert_eq!(
            fetch(answer).await.unwrap_err(),
            FetchError::RateLimited { retry_after: None },
            "{status} {body}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_bad_body() {
    for body in [
        r#"{"chart":{"result":[{"meta":{"regularMarketPrice":51"#,
        r#"{"spark":{}}"#,
        "[]",
        "",
        r#"{"chart":{"result":[{"meta":{"regularMarketPrice":5.0}}],"error":null}}"#,
        r#"{"chart":{"result":[{"meta":{"regularMarketPrice":5.0,"regularMarketTime":"x"}}],"error":null}}"#,
    ] {
        assert!(matches!(fetch_body(body).await, Err(FetchError::BadBody(_))), "{body}");
    }
    let deep = "[".repeat(100_000);
    assert!(matches!(fetch_body(&deep).await, Err(FetchError::BadBody(_))));
}

#[tokio::test]
async fn symbols_are_escaped_and_the_request_says_who_asks() {
    let server = MockServer::start().await;
    let meta = r#"{"regularMarketPrice":5.0,"regularMarketTime":1699000000}"#;
    Mock::given(path("/base/v8/finance/chart/%5EGSPC"))
        .and(query_param("interval", "1m"))
        .and(query_param("range", "1d"))
        .respond_with(ResponseTemplate::new(200).set_body_raw(chart(meta, ""), "application/json"))
        .expect(1)
        .mount(&server)
        .await;
    let yahoo = yahoo(&format!("{}/base/", server.uri()));
    yahoo.ask(&request(&["^GSPC"], true)).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    let expected = format!("Mozilla/5.0 (compatible; StockWatch/{})", env!("CARGO_PKG_VERSION"));
    assert_eq!(requests[0].headers["user-agent"], *expected);
    for (symbol, segment) in [("GM.MX", "GM.MX"), ("EUR=X", "EUR=X"), ("A/B?c#d e%", "A%2FB%3Fc%23d%20e%25")]
    {
        let url = yahoo.url(&request(&[symbol], true));
        assert_eq!(url.path(), format!("/base/v8/finance/chart/{segment}"), "{symbol}");
    }
    let url = yahoo.url(&request(&["^GSPC", "M&M.NS", "EUR=X"], false));
    assert_eq!(
        url.as_str(),
        format!(
            "{}/base/v7/finance/spark?symbols=%5EGSPC,M%26M.NS,EUR%3DX&range=1d&interval=1d",
            server.uri()
        )
    );
}

#[tokio::test]
async fn of_a_batch_whoever_is_known_has_a_quote() {
    let meta = r#"{"symbol":"META","regularMarketPrice":5.0,"regularMarketTime":1699000000}"#;
    let body = format!(
        r#"{{"spark":{{"result":[{{"symbol":"META","response":[{{"meta":{meta}}}]}}],"error":null}}}}"#
    );
    let ask =
        async |answer| yahoo(&answering(answer).await.uri()).ask(&request(&["NONE", "META"], false)).await;
    let quotes = ask(ResponseTemplate::new(200).set_body_raw(body, "application/json")).await.unwrap();
    assert_eq!(quotes[0].as_ref().unwrap_err(), &FetchError::NotFound);
    assert_eq!(
        written(quotes[1].as_ref().unwrap()),
        r#"{"entityname":"entity","currentstockprice":5.0,"lastupdatedate":1699000000,"symbol":"META"}"#
    );
    let none = r#"{"spark":{"result":null,"error":{"code":"Not Found","description":"No data found for spark symbols"}}}"#;
    for status in [200, 404] {
        let quotes = ask(ResponseTemplate::new(status).set_body_raw(none, "application/json")).await.unwrap();
        assert_eq!(
            quotes.iter().map(|quote| quote.as_ref().unwrap_err()).collect::<Vec<_>>(),
            [&FetchError::NotFound; 2]
        );
    }
    let answer =
        ResponseTemplate::new(400).set_body_string("Number of symbols needs to be less than or equal to 20");
    assert!(matches!(ask(answer).await, Err(FetchError::Client(_))));
}

#[test]
fn an_address_that_cannot_be_fetched_is_refused() {
    for address in ["", "query1.finance.yahoo.com", "ftp://host/", "mailto:x"] {
        assert!(Yahoo::new(address, DEFAULT_USER_AGENT, &Material::default()).is_err(), "{address}");
    }
}
