//! Yahoo's spark endpoint, twenty symbols a request, and its chart endpoint, one: no key, no cookie.

use std::time::{Duration, SystemTime};

use futures::future::{BoxFuture, FutureExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, Url, redirect};
use serde::de::IgnoredAny;
use stockwatch_crds::{Source as SourceSpec, YahooMode};

use super::source::{Answer, Ask, Orders, Pace, Request};
use super::{FetchError, answer};

/// With one symbol more, Yahoo refuses the whole request.
const SPARK_SYMBOLS: usize = 20;
/// Between two sparks of a StockWatch.
const SPARK_GAP: Duration = Duration::from_secs(1);
/// Between two charts of a StockWatch.
const CHART_GAP: Duration = Duration::from_millis(200);
/// Charts under way at once, so that a slow answer does not hold up all others.
const CHARTS_AT_ONCE: usize = 3;
/// From the start of a request to the last byte of its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_REDIRECTS: usize = 3;
/// A chart of a day's minutes has about 40 KiB, a spark of twenty symbols about 25.
const MAX_BODY_BYTES: usize = 1024 * 1024;
/// The hosts below it are one, as far as redirects go; those that ask for consent are not below it.
const QUOTE_HOSTS: &str = "finance.yahoo.com";

/// What a symbol may not hold in a query: all but RFC 3986's unreserved characters.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path the `=` of currencies may stand.
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'=');

/// The client and where it asks.
#[derive(Debug)]
pub(super) struct Yahoo {
    client: Client,
    base: Url,
}

impl Yahoo {
    /// `base_url` is the scheme and host, and a path before `/v7` if there is one. The error is a sentence.
    pub(super) fn new(base_url: &str, user_agent: &str) -> Result<Self, String> {
        let base = Url::parse(base_url).map_err(|error| error.to_string())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(format!("{:?} is not a scheme that can be fetched: http or https", base.scheme()));
        }
        let client = Client::builder()
            .user_agent(user_agent)
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(redirect::Policy::custom(|attempt| {
                let asked = attempt.previous();
                let stays = asked.first().is_some_and(|first| may_redirect(first, attempt.url()));
                if stays && asked.len() <= MAX_REDIRECTS { attempt.follow() } else { attempt.stop() }
            }))
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, base })
    }

    fn url(&self, request: &Request) -> Url {
        let mut symbols = request.tickers.iter().map(|ticker| ticker.symbol.as_str());
        let base = self.base.path().trim_end_matches('/');
        let mut url = self.base.clone();
        if request.is_alone {
            let symbol = utf8_percent_encode(symbols.next().unwrap_or_default(), IN_PATH);
            url.set_path(&format!("{base}/v8/finance/chart/{symbol}"));
            url.set_query(Some("interval=1m&range=1d"));
        } else {
            let symbols: Vec<String> =
                symbols.map(|symbol| utf8_percent_encode(symbol, IN_QUERY).to_string()).collect();
            url.set_path(&format!("{base}/v7/finance/spark"));
            url.set_query(Some(&format!("symbols={}&range=1d&interval=1d", symbols.join(","))));
        }
        url
    }
}

impl Ask for Yahoo {
    fn pace(&self, orders: &Orders) -> Option<Pace> {
        pace(orders)
    }

    fn ask(&self, request: &Request) -> BoxFuture<'static, Answer> {
        let fetched = fetch(self.client.clone(), self.url(request));
        let Request { tickers, is_alone } = request.clone();
        async move {
            let body = fetched.await;
            if is_alone {
                return Ok(vec![Ok(answer::chart(&body?)?)]);
            }
            let symbols: Vec<&str> = tickers.iter().map(|ticker| ticker.symbol.as_str()).collect();
            match body.and_then(|body| answer::spark(&body, &symbols)) {
                // None of them is known.
                Err(FetchError::NotFound) => Ok(vec![Err(FetchError::NotFound); tickers.len()]),
                quotes => quotes,
            }
        }
        .boxed()
    }
}

/// Sparks follow one another; charts may overlap a little.
pub(super) fn pace(orders: &Orders) -> Option<Pace> {
    let SourceSpec::Yahoo { mode, interval, .. } = orders.spec else { return None };
    let (gap, batch, at_once) = match mode {
        YahooMode::Spark => (SPARK_GAP, SPARK_SYMBOLS, 1),
        YahooMode::Chart => (CHART_GAP, 1, CHARTS_AT_ONCE),
    };
    Some(Pace { interval, gap: orders.share_of(gap), batch, at_once })
}

/// Only to the host that was asked, or among Yahoo's for quotes, and never to an unencrypted one. A list of registered
/// domains (the crates psl and publicsuffix) would be needed to tell more hosts of one owner, and is soon out of date.
fn may_redirect(asked: &Url, to: &Url) -> bool {
    let is_below = |url: &Url| {
        let host = url.host_str().and_then(|host| host.strip_suffix(QUOTE_HOSTS));
        host.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    let is_encrypted = to.scheme() == "https" || asked.scheme() == "http";
    is_encrypted && (asked.host() == to.host() || (is_below(asked) && is_below(to)))
}

/// The body of a good answer.
async fn fetch(client: Client, url: Url) -> Result<Vec<u8>, FetchError> {
    let request = client.get(url).header(ACCEPT, "application/json");
    let response = request.send().await.map_err(|error| failure(&error))?;
    let status = response.status();
    let retry_after = retry_after(response.headers());
    let refused = |said: String| FetchError::Refused { said, retry_after };
    Err(match status.as_u16() {
        200 => match body(response).await? {
            page if is_page(&page) => refused("a page for people, perhaps for their consent".into()),
            body => return Ok(body),
        },
        300..=399 => {
            let to = response.headers().get(LOCATION).and_then(|to| Url::parse(to.to_str().ok()?).ok());
            let host = to.as_ref().and_then(Url::host_str);
            refused(format!("a redirect to {}", host.unwrap_or("another place")))
        }
        401 | 403 => refused(status.to_string()),
        404 => match serde_json::from_slice::<IgnoredAny>(&body(response).await?) {
            Ok(_) => FetchError::NotFound,
            // What is not known is said in JSON: too much was asked.
            Err(_) => FetchError::RateLimited { retry_after },
        },
        // 999 is Yahoo's own.
        429 | 999 => FetchError::RateLimited { retry_after },
        400..=499 => FetchError::Client(status.to_string()),
        500..=599 => FetchError::Server { status: status.to_string(), retry_after },
        _ => FetchError::BadBody(format!("unexpected status {status}")),
    })
}

fn is_page(body: &[u8]) -> bool {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    body.trim_ascii_start().starts_with(b"<")
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
    } else if error.is_builder() {
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

#[cfg(test)]
mod tests;
