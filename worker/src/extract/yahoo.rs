//! Yahoo's chart endpoint: one request for one symbol, no key, no cookie.

use std::time::{Duration, SystemTime};

use futures::future::{BoxFuture, FutureExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use stockwatch_crds::Ticker;

use super::source::Source;
use super::{FetchError, FetchedQuote, chart};

/// Yahoo answers 429 to clients that do not call themselves a browser.
const USER_AGENT: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
/// From the start of a request to the last byte of its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 3;
/// An answer of a day's minutes has about 40 KiB.
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Escaped in a path: all but RFC 3986's unreserved characters and the `=` of currency pairs.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'=');

/// An HTTP client and Yahoo's address.
#[derive(Debug)]
pub(super) struct Yahoo {
    client: Client,
    base: Url,
}

impl Yahoo {
    /// Returns a source at `base_url`: scheme, host, and the path before `/v8` if there is one. The error is a sentence.
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

    async fn fetch(&self, symbol: &str) -> Result<FetchedQuote, FetchError> {
        let request = self.client.get(self.url(symbol)).header(ACCEPT, "application/json");
        let response = request.send().await.map_err(|error| failure(&error))?;
        let status = response.status();
        match status.as_u16() {
            200 => chart::read(&body(response).await?),
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
    fn quote<'a>(&'a self, ticker: &'a Ticker) -> BoxFuture<'a, Result<FetchedQuote, FetchError>> {
        self.fetch(&ticker.symbol).boxed()
    }
}

fn server_error(status: StatusCode, headers: &HeaderMap) -> FetchError {
    FetchError::Server { status: status.to_string(), retry_after: retry_after(headers) }
}

/// Returns the header's time: seconds, or an HTTP date.
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

/// Returns the innermost cause: those around it do not name the reason.
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

#[cfg(test)]
mod tests;
