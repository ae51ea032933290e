//! A provider of quotes that answers in JSON, by configuration.

use std::time::Duration;

use super::interval::{DEFAULT_INTERVAL, LEAST, interval};
use crate::kafka::check_secret_name;
use crate::limits::{MAX_BATCH, MAX_CURRENCY, MAX_PER_MINUTE, MAX_SEPARATOR, MAX_URL};
use crate::pointer::{Pointer, SYMBOL};
use crate::problem::{Problems, shown};
use crate::url::after_host;
use crate::v1alpha1::{BatchSpec, CurrencySpec, HttpSpec, TimeFormat};

const SYMBOLS: &str = "{symbols}";
const DEFAULT_BATCH: i32 = 100;
const DEFAULT_SEPARATOR: &str = ",";
const DEFAULT_PER_MINUTE: i32 = 60;

/// A provider of quotes that answers in JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// The URL before its placeholder: `https://` (or `http://` to this very host), a host, a slash.
    pub before: String,
    /// The URL behind its placeholder.
    pub after: String,
    /// Many tickers a request; `None`: one.
    pub batch: Option<HttpBatch>,
    /// Each ticker is asked for once in this time; 1 s to 24 h.
    pub interval: Duration,
    /// Requests of the whole StockWatch in a minute; 1 to 6000.
    pub per_minute: u32,
    /// The Secret whose keys and values are headers.
    pub headers_secret: Option<String>,
    /// Where the quotes of many tickers are; `None`: the pointers start at the root.
    pub items: Option<Items>,
    /// To the price.
    pub price: Pointer,
    /// To the price's time.
    pub time: Pointer,
    /// How that is written.
    pub time_format: TimeFormat,
    /// The price's currency, if the configuration or the answer says it.
    pub currency: Option<Currency>,
}

/// Many tickers in one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpBatch {
    /// At most so many; 1 to 1000.
    pub size: usize,
    /// Between two of them, in the URL as it is.
    pub separator: String,
}

/// An array of quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items {
    /// To the array.
    pub list: Pointer,
    /// In an item, to its ticker.
    pub symbol: Pointer,
}

/// Where a price's currency is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Currency {
    /// It is the same for all.
    Literal(String),
    /// The answer has it.
    Pointer(Pointer),
}

impl Http {
    pub(super) fn parse(http: &HttpSpec, problems: &mut Problems) -> Self {
        const AT: &str = "spec.source.http";
        let url = split(&http.url);
        if url.is_none() {
            problems.add(
                format!("{AT}.url"),
                format!(
                    "{} is not a URL to ask: https:// (http:// for localhost, 127.0.0.1 and [::1] alone), a host, a path \
                     and perhaps a query are allowed, at most {MAX_URL} characters, with {SYMBOL} or {SYMBOLS} once \
                     after the host, without user and fragment",
                    shown(&http.url)
                ),
            );
        }
        let (before, after, is_batch) = url.unwrap_or_default();
        let is_known = url.is_some();
        let pointer = |field: &str, text: &str, problems: &mut Problems| {
            let pointer = problems.ok(format!("{AT}.{field}"), Pointer::parse(text))?;
            if pointer.is_root() && field != "items" {
                problems.add(
                    format!("{AT}.{field}"),
                    "\"\" is the whole answer: name a value in it, such as /price",
                );
            }
            Some(pointer)
        };
        let price = pointer("price", &http.price, problems);
        let time = pointer("time", &http.time, problems);
        let list = http.items.as_deref().map(|text| pointer("items", text, problems).unwrap_or_default());
        let symbol = http.symbol.as_deref().map(|text| pointer("symbol", text, problems).unwrap_or_default());
        let currency = http.currency.as_ref().and_then(|currency| match currency {
            CurrencySpec { literal: Some(literal), pointer: None } => {
                if !is_currency(literal) {
                    problems.add(
                        format!("{AT}.currency.literal"),
                        format!(
                            "{} is not a currency: 1 to {MAX_CURRENCY} letters and digits are allowed, such as USD",
                            shown(literal)
                        ),
                    );
                }
                Some(Currency::Literal(literal.clone()))
            }
            CurrencySpec { literal: None, pointer: Some(text) } => {
                pointer("currency.pointer", text, problems).map(Currency::Pointer)
            }
            _ => {
                problems.add(format!("{AT}.currency"), "exactly one of literal and pointer is allowed");
                None
            }
        });
        if is_known && http.batch.is_some() && !is_batch {
            problems.add(
                AT,
                format!(
                    "batch is allowed only with {SYMBOLS} in url: {SYMBOL} asks for one ticker a request"
                ),
            );
        }
        if list.is_some() != symbol.is_some() {
            problems
                .add(AT, "items and symbol are allowed only together: symbol tells whose quote an item is");
        }
        if is_known && list.is_some() && !is_batch {
            problems.add(
                AT,
                format!("items and symbol are allowed only with {SYMBOLS} in url: with {SYMBOL} the pointers start at the root"),
            );
        }
        let all_have_symbol = [&price, &time].into_iter().flatten().all(Pointer::has_symbol);
        if is_batch && list.is_none() && !all_have_symbol {
            problems.add(
                AT,
                format!("with {SYMBOLS} in url, items and symbol say whose quote is whose, or {SYMBOL} in both price and time"),
            );
        }
        if let Some(secret) = &http.headers_secret {
            check_secret_name(&secret.name, &format!("{AT}.headersSecret.name"), problems);
        }
        let batch = http.batch.clone().unwrap_or_default();
        let batch = HttpBatch::parse(&batch, problems);
        let per_minute = http.per_minute.unwrap_or(DEFAULT_PER_MINUTE);
        Self {
            before: before.to_owned(),
            after: after.to_owned(),
            batch: is_batch.then_some(batch),
            interval: interval(
                http.interval.as_deref(),
                DEFAULT_INTERVAL,
                LEAST,
                "60s",
                "spec.source.http.interval",
                problems,
            ),
            per_minute: within(per_minute, MAX_PER_MINUTE, "spec.source.http.perMinute", problems),
            headers_secret: http.headers_secret.as_ref().map(|secret| secret.name.clone()),
            items: list.zip(symbol).map(|(list, symbol)| Items { list, symbol }),
            price: price.unwrap_or_default(),
            time: time.unwrap_or_default(),
            time_format: http.time_format.unwrap_or_default(),
            currency,
        }
    }
}

impl HttpBatch {
    fn parse(batch: &BatchSpec, problems: &mut Problems) -> Self {
        let separator = batch.separator.as_deref().unwrap_or(DEFAULT_SEPARATOR);
        if !(1..=MAX_SEPARATOR).contains(&separator.len()) || !separator.bytes().all(is_url_byte) {
            problems.add(
                "spec.source.http.batch.separator",
                format!(
                    "{} is not a separator: 1 to {MAX_SEPARATOR} visible ASCII characters but for #, {{ and }} are allowed",
                    shown(separator)
                ),
            );
        }
        let size = batch.size.unwrap_or(DEFAULT_BATCH);
        let size = within(size, MAX_BATCH, "spec.source.http.batch.size", problems);
        Self { size: size as usize, separator: separator.to_owned() }
    }
}

/// A number from 1 to `most`.
fn within(number: i32, most: i32, path: &str, problems: &mut Problems) -> u32 {
    if !(1..=most).contains(&number) {
        problems.add(path, format!("{number} is out of range: 1 to {most} is allowed"));
    }
    u32::try_from(number).unwrap_or(1).max(1)
}

/// Splits a URL at its one placeholder; true if that stands for many tickers. `None` if it is no URL to ask.
fn split(url: &str) -> Option<(&str, &str, bool)> {
    let (before, after, is_batch) = match (url.split_once(SYMBOLS), url.split_once(SYMBOL)) {
        (Some((before, after)), None) => (before, after, true),
        (None, Some((before, after))) => (before, after, false),
        _ => return None,
    };
    let path = after_host(before)?.strip_prefix('/')?;
    let is_url = url.len() <= MAX_URL && path.bytes().chain(after.bytes()).all(is_url_byte);
    is_url.then_some((before, after, is_batch))
}

/// `[!"$-z|~]`: visible, no fragment, no brace.
fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"#{}".contains(&byte)
}

fn is_currency(text: &str) -> bool {
    (1..=MAX_CURRENCY).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}
