#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use stockwatch_crds::DEFAULT_USER_AGENT;
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

fn client(dialect: Dialect) -> SourceClient {
    SourceClient::new(DEFAULT_USER_AGENT, dialect, &Material::default()).unwrap()
}

async fn get(url: &str) -> Result<Vec<u8>, FetchError> {
    client(Dialect::Yahoo).fetch(Url::parse(url).unwrap()).await
}

async fn answering(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(answer).mount(&server).await;
    server
}

async fn fetch(answer: ResponseTemplate) -> Result<Vec<u8>, FetchError> {
    get(&answering(answer).await.uri()).await
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
    let error =
        fetch(ResponseTemplate::new(200).set_body_string(" ".repeat(MAX_BODY_BYTES + 1))).await.unwrap_err();
    assert_eq!(error, FetchError::TooLarge);
}

#[tokio::test]
async fn redirects_are_followed_a_few_times_only() {
    let server = MockServer::start().await;
    let target = format!("{}/again", server.uri());
    let answer = ResponseTemplate::new(302).insert_header("location", target.as_str());
    Mock::given(method("GET")).respond_with(answer).mount(&server).await;
    let result = get(&server.uri()).await;
    assert!(matches!(result, Err(FetchError::Refused { .. })), "{result:?}");
    assert_eq!(server.received_requests().await.unwrap().len(), MAX_REDIRECTS + 1);
}

#[tokio::test]
async fn a_redirect_to_another_host_is_a_refusal_and_not_followed() {
    let other = answering(ResponseTemplate::new(200).set_body_string("{}")).await;
    let target = other.uri().replace("127.0.0.1", "localhost");
    let error =
        fetch(ResponseTemplate::new(302).insert_header("location", target.as_str())).await.unwrap_err();
    assert!(error.is_refusal() && error.to_string().ends_with("a redirect to localhost"), "{error}");
    assert!(other.received_requests().await.unwrap().is_empty());
}

#[test]
fn redirects_stay_with_the_host_or_among_yahoos_for_quotes() {
    let may =
        |asked: &str, to: &str| may_redirect(&Url::parse(asked).unwrap(), &Url::parse(to).unwrap(), false);
    let yahoo = "https://query1.finance.yahoo.com/v7";
    for to in [
        "https://query1.finance.yahoo.com/x",
        "https://query2.finance.yahoo.com/",
        "https://finance.yahoo.com/",
    ] {
        assert!(may(yahoo, to), "{to}");
    }
    for to in [
        "http://query1.finance.yahoo.com/",
        "https://guce.yahoo.com/consent",
        "https://consent.yahoo.com/",
        "https://notfinance.yahoo.com/",
        "https://finance.yahoo.com.example/",
        "https://169.254.169.254/",
    ] {
        assert!(!may(yahoo, to), "{to}");
    }
    assert!(may("http://gateway.example.co.uk/a", "https://gateway.example.co.uk:8443/b"));
    assert!(!may("https://example.co.uk/", "https://other.co.uk/"));
    assert!(!may("https://gateway.example/", "https://query1.finance.yahoo.com/"));
}

#[tokio::test]
async fn a_source_that_is_not_there_is_a_failed_connection() {
    let result = get("http://127.0.0.1:1").await;
    assert!(matches!(result, Err(FetchError::Connect(_))), "{result:?}");
}

#[test]
fn with_keys_a_redirect_stays_with_the_very_same_server() {
    let may =
        |to: &str| may_redirect(&Url::parse("https://p.example/a").unwrap(), &Url::parse(to).unwrap(), true);
    assert!(may("https://p.example/b") && may("https://p.example:443/"));
    for to in
        ["https://p.example:8443/", "http://p.example/", "https://q.p.example/", "https://p.example.org/"]
    {
        assert!(!may(to), "{to}");
    }
}

#[tokio::test]
async fn a_404_without_json_is_a_limit_of_yahoos_alone() {
    for (dialect, body, status, expected) in [
        (Dialect::Yahoo, "", 404, FetchError::RateLimited { retry_after: None }),
        (Dialect::Yahoo, "{}", 404, FetchError::NotFound),
        (Dialect::Plain, "", 404, FetchError::NotFound),
        (Dialect::Yahoo, "", 999, FetchError::RateLimited { retry_after: None }),
    ] {
        let server = answering(ResponseTemplate::new(status).set_body_string(body)).await;
        let fetched = client(dialect).fetch(Url::parse(&server.uri()).unwrap()).await;
        assert_eq!(fetched.unwrap_err(), expected, "{dialect:?} {status} {body:?}");
    }
}

#[tokio::test]
async fn a_status_about_what_is_asked_is_the_requests_and_all_others_are_refusals_with_their_wait() {
    let status = async |status| {
        let answer = ResponseTemplate::new(status).insert_header("retry-after", "120");
        let server = answering(answer.set_body_string(r#"{"error":"no"}"#)).await;
        client(Dialect::Plain).fetch(Url::parse(&server.uri()).unwrap()).await.unwrap_err()
    };
    for about_what in [400, 413, 414, 422, 431] {
        let error = status(about_what).await;
        assert!(matches!(error, FetchError::Client(_)), "{about_what}: {error}");
    }
    for about_whom in [401, 402, 403, 405, 407, 408, 410, 418, 451] {
        let error = status(about_whom).await;
        assert!(error.is_refusal(), "{about_whom}: {error}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(120)), "{about_whom}");
    }
}

#[tokio::test]
async fn headers_of_a_secret_go_with_each_request() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(200).set_body_string("{}");
    let is_sent = header("x-token", "hunter2");
    Mock::given(is_sent).respond_with(answer).expect(1).mount(&server).await;
    let mut material = Material::default();
    material.headers.insert("x-token", "hunter2".parse().unwrap());
    let client = SourceClient::new(DEFAULT_USER_AGENT, Dialect::Plain, &material).unwrap();
    assert_eq!(client.fetch(Url::parse(&server.uri()).unwrap()).await.unwrap(), b"{}");
}

#[tokio::test]
async fn what_is_said_of_a_failure_has_no_url() {
    let said = get("http://127.0.0.1:1/?apikey=hunter2").await.unwrap_err().to_string();
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn an_authority_that_is_no_certificate_is_refused() {
    let mut material = Material::default();
    material.authorities = Some(b"none".to_vec());
    let said = SourceClient::new(DEFAULT_USER_AGENT, Dialect::Plain, &material).unwrap_err();
    assert!(said.contains("no PEM certificate"), "{said}");
}

#[tokio::test]
async fn an_answer_may_be_compressed_and_the_limit_is_that_of_its_content() {
    let compressed = |text: &str| {
        let body = STANDARD.decode(text).unwrap();
        ResponseTemplate::new(200).insert_header("content-encoding", "gzip").set_body_bytes(body)
    };
    let small = fetch(compressed("H4sIAAAAAAACA6tWSlSyMqwFAK+sG1YHAAAA")).await.unwrap();
    assert_eq!(small, br#"{"a":1}"#);
    // 1.1 MiB of spaces.
    let bomb = format!("H4sIAAAAAAACA+3BgQAAAADDIJX5Ux7kVQE{}8GBtqT4LADARAA==", "A".repeat(1453));
    assert_eq!(fetch(compressed(&bomb)).await.unwrap_err(), FetchError::TooLarge);
}
