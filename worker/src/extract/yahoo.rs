//! Yahoo's spark endpoint, twenty symbols a request, and its chart endpoint, one: no key, no cookie.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use stockwatch_crds::{Source, YahooMode};

use super::answer;
use super::client::{Dialect, SourceClient};
use super::fetched::FetchError;
use super::secrets::Material;
use super::source::{Ask, FetchResult, Orders, Pace, Request};

/// With one symbol more, Yahoo refuses the whole request.
pub(super) const SPARK_SYMBOLS: usize = 20;
/// Between two sparks of a StockWatch.
const SPARK_GAP: Duration = Duration::from_secs(1);
/// Between two charts of a StockWatch.
const CHART_GAP: Duration = Duration::from_millis(200);
/// Charts under way at once, so that a slow answer does not hold up all others.
const CHARTS_AT_ONCE: usize = 3;

/// What a symbol may not hold in a query: all but RFC 3986's unreserved characters.
pub(super) const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// In a path the `=` of currencies may stand.
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'=');

/// The client and where it asks.
#[derive(Debug, Clone)]
pub(super) struct Yahoo {
    client: SourceClient,
    base: Url,
}

impl Yahoo {
    /// `base_url` is the scheme and host, and a path before `/v7` if there is one. The error is a sentence.
    pub(super) fn new(base_url: &str, user_agent: &str, material: &Material) -> Result<Self, String> {
        let base = Url::parse(base_url).map_err(|error| error.to_string())?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(format!("{:?} is not a scheme that can be fetched: http or https", base.scheme()));
        }
        Ok(Self { client: SourceClient::new(user_agent, Dialect::Yahoo, material)?, base })
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

    fn ask(&self, request: &Request) -> BoxFuture<'static, FetchResult> {
        let fetched = self.client.clone().fetch(self.url(request));
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
    let Source::Yahoo { mode, interval, .. } = orders.spec else { return None };
    let (gap, batch, at_once) = match mode {
        // Of a stream, sparks are what it leaves out.
        YahooMode::Spark | YahooMode::Stream => (SPARK_GAP, SPARK_SYMBOLS, 1),
        YahooMode::Chart => (CHART_GAP, 1, CHARTS_AT_ONCE),
    };
    Some(Pace { interval, gap: orders.share_of(gap), batch, at_once })
}

#[cfg(test)]
mod tests;
