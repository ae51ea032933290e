//! Yahoo's chart endpoint: one request for one symbol, no key, no cookie.

use std::time::{Duration, SystemTime};

use futures::future::{BoxFuture, FutureExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::Deserialize;
use serde_json::value::RawValue;
use stockwatch_crds::Ticker;

use super::{FetchError, Quote, Source};

/// Without a browser's name every answer is 429.
const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
/// From the start of a request to the last byte of its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 3;
/// An answer of a day's minutes has about 40 KiB.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// ISO codes have 3 letters.
const MAX_CURRENCY_BYTES: usize = 16;

/// What a symbol may not hold in a path: all but RFC 3986's unreserved characters, and the `=` of currencies.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'=');

/// The client and where it asks.
#[derive(Debug)]
pub(super) struct Yahoo {
    client: Client,
    base: Url,
}

impl Yahoo {
    /// `base_url` is the scheme and host, and a path before `/v8` if there is one. The error is a sentence.
    pub(super) fn new(base_url: &str) -> Result<Self, String> {
        let base = Url::parse(base_url).map_err(|error| error.to_string())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(format!("{:?} is not a scheme that can be fetched: http or https", base.scheme()));
        }
        let client = Client::builder()
            .user_agent(USER_AGENT)
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::limited(MAX_REDIRECTS))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, base })
    }

    fn url(&self, symbol: &str) -> Url {
        let base = self.base.path().trim_end_matches('/');
        let mut url = self.base.clone();
        url.set_path(&format!("{base}/v8/finance/chart/{}", utf8_percent_encode(symbol, ESCAPED)));
        url.set_query(Some("interval=1m&range=1d"));
        url
    }

    async fn fetch(&self, symbol: &str) -> Result<Quote, FetchError> {
        let request = self.client.get(self.url(symbol)).header(ACCEPT, "application/json");
        let response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status();
        match status.as_u16() {
            200 => read(&body(response).await?),
            404 => Err(FetchError::NotFound),
            // 999 is Yahoo's own.
            429 | 999 => Err(FetchError::RateLimited { retry_after: retry_after(response.headers()) }),
            400..=499 => Err(FetchError::Client(status.to_string())),
            500..=599 => Err(server_error(status, response.headers())),
            _ => Err(FetchError::BadBody(format!("unexpected status {status}"))),
        }
    }
}

impl Source for Yahoo {
    fn quote<'a>(&'a self, ticker: &'a Ticker) -> BoxFuture<'a, Result<Quote, FetchError>> {
        self.fetch(&ticker.symbol).boxed()
    }
}

fn server_error(status: StatusCode, headers: &HeaderMap) -> FetchError {
    FetchError::Server { status: status.to_string(), retry_after: retry_after(headers) }
}

/// Seconds or an HTTP date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok()
}

fn failure(error: &reqwest::Error) -> FetchError {
    if error.is_connect() {
        FetchError::Connect(causes(error))
    } else if error.is_timeout() {
        FetchError::Timeout
    } else if error.is_redirect() || error.is_builder() {
        FetchError::Client(causes(error))
    } else if error.is_body() || error.is_decode() {
        FetchError::BadBody(causes(error))
    } else {
        FetchError::Connect(causes(error))
    }
}

/// The innermost cause is the one that says something.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

async fn body(mut response: Response) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| match failure(&error) {
        FetchError::Timeout => FetchError::Timeout,
        other => FetchError::BadBody(other.to_string()),
    })? {
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    chart: Option<Chart<'a>>,
    /// The key of errors that the chart endpoint does not raise itself.
    #[serde(borrow)]
    finance: Option<Chart<'a>>,
}

#[derive(Deserialize)]
struct Chart<'a> {
    #[serde(borrow)]
    result: Option<Vec<Entry<'a>>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    meta: Option<Meta<'a>>,
}

/// The text of each, so that no price passes through a float.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    #[serde(borrow)]
    regular_market_price: Option<&'a RawValue>,
    #[serde(borrow)]
    regular_market_time: Option<&'a RawValue>,
    #[serde(borrow)]
    currency: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
}

fn read(body: &[u8]) -> Result<Quote, FetchError> {
    let answer: Answer<'_> =
        serde_json::from_slice(body).map_err(|error| FetchError::BadBody(error.to_string()))?;
    let Some(chart) = answer.chart.or(answer.finance) else {
        return Err(FetchError::BadBody("neither chart nor finance in it".into()));
    };
    if let Some(error) = chart.error {
        return Err(problem(error));
    }
    let Some(entry) = chart.result.unwrap_or_default().into_iter().next() else {
        return Err(FetchError::NotFound);
    };
    // Old closes may be there all the same: the last one is not the current price.
    let Some(Meta { regular_market_price: Some(price), regular_market_time: time, currency }) = entry.meta
    else {
        return Err(FetchError::NoPrice);
    };
    let currency = currency.and_then(|text| serde_json::from_str::<String>(text.get()).ok());
    let currency = currency.filter(|text| !text.is_empty() && text.len() <= MAX_CURRENCY_BYTES);
    let time = time.ok_or_else(|| FetchError::BadBody("no regularMarketTime".into()))?;
    Quote::new(price.get(), time.get(), currency)
}

fn problem(error: &RawValue) -> FetchError {
    let code = match serde_json::from_str::<Problem>(error.get()) {
        Ok(problem) => problem.code,
        Err(_) => error.get().chars().take(100).collect(),
    };
    match code.to_ascii_lowercase().as_str() {
        "not found" => FetchError::NotFound,
        "too many requests" => FetchError::RateLimited { retry_after: None },
        "internal server error" | "internal-error" | "service unavailable" => {
            FetchError::Server { status: code, retry_after: None }
        }
        _ => FetchError::Client(code),
    }
}

#[cfg(test)]
mod tests;
