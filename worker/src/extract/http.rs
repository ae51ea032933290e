//! Any provider that answers in JSON: one configuration says what to ask and where in the answer quotes are.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use percent_encoding::utf8_percent_encode;
use reqwest::Url;
use serde_json::value::RawValue;
use stockwatch_crds::{Currency, DEFAULT_USER_AGENT, Http, Pointer, Source};

use super::client::{Dialect, SourceClient};
use super::fetched::{FetchError, FetchedQuote};
use super::leaf::{self, NoTime};
use super::pointers::Pointers;
use super::secrets::Material;
use super::source::{Ask, FetchResult, Orders, Pace, Request};
use super::text::short;
use super::yahoo::IN_QUERY;

const MINUTE: Duration = Duration::from_secs(60);
/// Requests for one ticker under way at once, so that a slow answer does not hold up all others.
const SINGLES_AT_ONCE: usize = 3;
/// A longer text is no currency.
const MAX_CURRENCY_BYTES: usize = 16;

/// The client and what it asks.
#[derive(Debug)]
pub(super) struct Provider {
    client: SourceClient,
    http: Http,
}

impl Provider {
    /// The error is a sentence, without a secret.
    pub(super) fn new(http: &Http, material: &Material) -> Result<Self, String> {
        let client = SourceClient::new(DEFAULT_USER_AGENT, Dialect::Plain, material)?;
        let provider = Self { client, http: http.clone() };
        provider.url(["A"]).map_err(|error| format!("spec.source.http.url: {error}"))?;
        Ok(provider)
    }

    fn url<'a>(&self, symbols: impl IntoIterator<Item = &'a str>) -> Result<Url, String> {
        let Http { before, after, batch, .. } = &self.http;
        let separator = batch.as_ref().map_or("", |batch| batch.separator.as_str());
        let symbols: Vec<String> =
            symbols.into_iter().map(|symbol| utf8_percent_encode(symbol, IN_QUERY).to_string()).collect();
        Url::parse(&format!("{before}{}{after}", symbols.join(separator))).map_err(|error| error.to_string())
    }
}

impl Ask for Provider {
    fn pace(&self, orders: &Orders) -> Option<Pace> {
        pace(orders)
    }

    fn ask(&self, request: &Request) -> BoxFuture<'static, FetchResult> {
        let url = self.url(request.tickers.iter().map(|ticker| ticker.symbol.as_str()));
        let (client, http) = (self.client.clone(), self.http.clone());
        let Request { tickers, is_alone } = request.clone();
        async move {
            let body = client.fetch(url.map_err(FetchError::Client)?).await?;
            let symbols: Vec<&str> = tickers.iter().map(|ticker| ticker.symbol.as_str()).collect();
            let quotes = read(&body, &http, &symbols)?;
            // A single ticker's failure is the request's, so that it backs off.
            if is_alone { quotes.into_iter().map(|quote| quote.map(Ok)).collect() } else { Ok(quotes) }
        }
        .boxed()
    }
}

/// Batches follow one another; requests for one ticker may overlap a little.
pub(super) fn pace(orders: &Orders) -> Option<Pace> {
    let Source::Http(http) = &orders.spec else { return None };
    let batch = http.batch.as_ref().map_or(1, |batch| batch.size.max(1));
    Some(Pace {
        interval: http.interval,
        gap: orders.share_of(MINUTE / http.per_minute.max(1)),
        batch,
        at_once: if batch == 1 { SINGLES_AT_ONCE } else { 1 },
    })
}

/// Returns the quotes of `symbols` in an answer, in their order.
///
/// # Errors
/// The answer is no JSON.
pub fn read(
    body: &[u8],
    http: &Http,
    symbols: &[&str],
) -> Result<Vec<Result<FetchedQuote, FetchError>>, FetchError> {
    match &http.items {
        None => {
            let mut pointers = Pointers::default();
            let places: Vec<Places> =
                symbols.iter().map(|symbol| Places::add(http, symbol, &mut pointers)).collect();
            let found = pointers.find(body).map_err(bad)?;
            Ok(places.iter().map(|places| places.quote(http, &found)).collect())
        }
        Some(items) => {
            let mut pointers = Pointers::default();
            pointers.add(items.list.steps(""));
            let list = pointers.find(body).map_err(bad)?.into_iter().next().flatten();
            let list: Option<Vec<&RawValue>> = list.and_then(|list| serde_json::from_str(list.get()).ok());
            // An answer without a list is one that tells of an error.
            let Some(list) = list else { return Ok(vec![Err(FetchError::NoPrice); symbols.len()]) };
            Ok(of_items(&list, http, &items.symbol, symbols))
        }
    }
}

/// The quotes of a list. Of several items of one ticker the first one counts; whom it leaves out is not known.
fn of_items(
    list: &[&RawValue],
    http: &Http,
    symbol: &Pointer,
    symbols: &[&str],
) -> Vec<Result<FetchedQuote, FetchError>> {
    let mut asked: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, symbol) in symbols.iter().enumerate() {
        asked.entry(symbol.to_lowercase()).or_default().push(index);
    }
    let mut quotes = vec![Err(FetchError::NotFound); symbols.len()];
    let mut named = Pointers::default();
    named.add(symbol.steps(""));
    for item in list {
        let item = item.get().as_bytes();
        let name = named.find(item).ok().and_then(|found| leaf::text(found.into_iter().next().flatten()));
        let indexes = name.and_then(|name| asked.remove(&name.to_lowercase())).unwrap_or_default();
        for index in indexes {
            let mut pointers = Pointers::default();
            let places = Places::add(http, symbols[index], &mut pointers);
            quotes[index] = pointers.find(item).map_err(bad).and_then(|found| places.quote(http, &found));
        }
    }
    quotes
}

/// Where a ticker's quote is among the values looked up.
struct Places {
    price: usize,
    time: usize,
    currency: Option<usize>,
}

impl Places {
    fn add(http: &Http, symbol: &str, pointers: &mut Pointers) -> Self {
        Self {
            price: pointers.add(http.price.steps(symbol)),
            time: pointers.add(http.time.steps(symbol)),
            currency: match &http.currency {
                Some(Currency::Pointer(pointer)) => Some(pointers.add(pointer.steps(symbol))),
                _ => None,
            },
        }
    }

    fn quote(&self, http: &Http, found: &[Option<&RawValue>]) -> Result<FetchedQuote, FetchError> {
        let at = |place: usize| found.get(place).copied().flatten();
        let price = leaf::price(at(self.price)).ok_or(FetchError::NoPrice)?;
        let time = leaf::time(at(self.time), http.time_format).map_err(|error| match error {
            NoTime::Absent => FetchError::NoPrice,
            NoTime::Unreadable => FetchError::BadBody(format!(
                "the time is not in the format of spec.source.http.timeFormat ({:?})",
                http.time_format
            )),
        })?;
        let currency = match (&http.currency, self.currency) {
            (Some(Currency::Literal(currency)), _) => Some(currency.clone()),
            (_, Some(place)) => leaf::text(at(place)).filter(|text| text.len() <= MAX_CURRENCY_BYTES),
            _ => None,
        };
        FetchedQuote::new(&price, &time, currency)
    }
}

fn bad(error: serde_json::Error) -> FetchError {
    FetchError::BadBody(short(&error.to_string()))
}

#[cfg(test)]
mod tests;
