#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use wiremock::matchers::{method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn ticker(symbol: &str) -> Ticker {
    Ticker { symbol: symbol.into(), entity: "entity".into(), overrides: vec![] }
}

/// The answer to one request, whatever it asks.
async fn fetch(answer: ResponseTemplate) -> Result<FetchedQuote, FetchError> {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(answer).mount(&server).await;
    Yahoo::new(&server.uri()).unwrap().quote(&ticker("META")).await
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

#[tokio::test]
async fn what_yahoo_does_not_know_is_not_found() {
    let unknown = r#"{"chart":{"result":null,"error":{"code":"Not Found","description":"No data found"}}}"#;
    for body in [unknown, r#"{"chart":{"result":[],"error":null}}"#] {
        assert_eq!(fetch_body(body).await.unwrap_err(), FetchError::NotFound, "{body}");
    }
    let answer = ResponseTemplate::new(404).set_body_raw(unknown, "application/json");
    assert_eq!(fetch(answer).await.unwrap_err(), FetchError::NotFound);
}

#[tokio::test]
async fn a_refusal_is_the_clients_error_in_each_of_its_shapes() {
    let finance =
        r#"{"finance":{"result":null,"error":{"code":"Unauthorized","description":"Invalid Crumb"}}}"#;
    let plain = r#"{"finance":{"result":null,"error":"Unauthorized"}}"#;
    for body in [finance, plain] {
        assert!(matches!(fetch_body(body).await, Err(FetchError::Client(_))), "{body}");
    }
    for body in [finance, "Invalid Cookie", "<html>Unauthorized</html>"] {
        let answer = ResponseTemplate::new(401).set_body_string(body);
        assert!(matches!(fetch(answer).await, Err(FetchError::Client(_))), "{body}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_bad_body() {
    for body in [
        "<!DOCTYPE html><html>Consent</html>",
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
async fn too_many_requests_in_plain_text_says_how_long_to_wait() {
    let limited = |value: &str| {
        let answer = ResponseTemplate::new(429).set_body_string("Too Many Requests");
        if value.is_empty() { answer } else { answer.insert_header("retry-after", value) }
    };
    let wait = |seconds| FetchError::RateLimited { retry_after: Some(Duration::from_secs(seconds)) };
    assert_eq!(fetch(limited("17")).await.unwrap_err(), wait(17));
    let none = FetchError::RateLimited { retry_after: None };
    for value in ["", "soon", "Fri, 15 May 2015 15:34:21 GMT", "-1"] {
        assert_eq!(fetch(limited(value)).await.unwrap_err(), none, "{value}");
    }
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(1000));
    let Err(FetchError::RateLimited { retry_after: Some(wait) }) = fetch(limited(&soon)).await else {
        panic!("a date is honoured too");
    };
    assert!(wait > Duration::from_secs(900) && wait <= Duration::from_secs(1000));
}

#[tokio::test]
async fn a_server_error_is_one_with_its_wait() {
    let answer = ResponseTemplate::new(503).insert_header("retry-after", "5");
    let error = fetch(answer).await.unwrap_err();
    assert!(matches!(&error, FetchError::Server { status, .. } if status.starts_with("503")));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
}

#[tokio::test]
async fn an_answer_without_an_end_is_cut_at_the_limit() {
    let error = fetch_body(&" ".repeat(MAX_BODY_BYTES + 1)).await.unwrap_err();
    assert_eq!(error, FetchError::TooLarge);
}

#[tokio::test]
async fn redirects_are_followed_a_few_times_only() {
    let server = MockServer::start().await;
    let target = format!("{}/again", server.uri());
    let answer = ResponseTemplate::new(302).insert_header("location", target.as_str());
    Mock::given(method("GET")).respond_with(answer).mount(&server).await;
    let result = Yahoo::new(&server.uri()).unwrap().quote(&ticker("META")).await;
    assert!(matches!(result, Err(FetchError::Client(_))), "{result:?}");
    assert_eq!(server.received_requests().await.unwrap().len(), MAX_REDIRECTS + 1);
}

#[tokio::test]
async fn a_source_that_is_not_there_is_a_failed_connection() {
    let result = Yahoo::new("http://127.0.0.1:1").unwrap().quote(&ticker("META")).await;
    assert!(matches!(result, Err(FetchError::Connect(_))), "{result:?}");
}

#[tokio::test]
async fn symbols_are_escaped_and_the_request_looks_like_a_browsers() {
    let server = MockServer::start().await;
    let meta = r#"{"regularMarketPrice":5.0,"regularMarketTime":1699000000}"#;
    Mock::given(path("/base/v8/finance/chart/%5EGSPC"))
        .and(query_param("interval", "1m"))
        .and(query_param("range", "1d"))
        .respond_with(ResponseTemplate::new(200).set_body_raw(chart(meta, ""), "application/json"))
        .expect(1)
        .mount(&server)
        .await;
    let yahoo = Yahoo::new(&format!("{}/base/", server.uri())).unwrap();
    yahoo.quote(&ticker("^GSPC")).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert!(requests[0].headers["user-agent"].to_str().unwrap().starts_with("Mozilla/5.0 "));
    for (symbol, segment) in [("GM.MX", "GM.MX"), ("EUR=X", "EUR=X"), ("A/B?c#d e%", "A%2FB%3Fc%23d%20e%25")]
    {
        assert_eq!(yahoo.url(symbol).path(), format!("/base/v8/finance/chart/{segment}"), "{symbol}");
    }
}

#[test]
fn an_address_that_cannot_be_fetched_is_refused() {
    for address in ["", "query1.finance.yahoo.com", "ftp://host/", "mailto:x"] {
        assert!(Yahoo::new(address).is_err(), "{address}");
    }
}
