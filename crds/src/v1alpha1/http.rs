//! A provider of quotes that answers in JSON.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::durations::{IS_INTERVAL, SAY_INTERVAL};
use super::secret::SourceSecretRef;
use crate::limits::{MAX_BATCH, MAX_CURRENCY, MAX_PER_MINUTE, MAX_POINTER, MAX_SEPARATOR, MAX_URL};

// One placeholder, and that not in the host; braces and fragments nowhere else.
const IS_URL: &str = "self.matches('^(https://([A-Za-z0-9._-]+|\\\\[[0-9A-Fa-f:.]+\\\\])\
    |http://(localhost|127[.]0[.]0[.]1|\\\\[::1\\\\]))(:[0-9]{1,5})?/[!\"$-z|~]*[{]symbols?[}][!\"$-z|~]*$')";
const SAY_URL: &str = "a URL is https:// (http:// for localhost, 127.0.0.1 and [::1] alone), a host, a path and perhaps a \
    query, with {symbol} or {symbols} once after the host, without user and fragment";
const IS_POINTER: &str = "self.matches('^(/([^/~]|~[01])*)+$')";
const SAY_POINTER: &str = "a JSON Pointer (RFC 6901) is /key for each step, such as /data/price or /0/price; \
    in a key ~ is ~0 and / is ~1";

/// A provider of quotes that answers in JSON.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.batch) || self.url.contains('{symbols}')")
        .message("batch is allowed only with {symbols} in url: {symbol} asks for one ticker a request"),
    validation = Rule::new("has(self.items) == has(self.symbol)")
        .message("items and symbol are allowed only together: symbol tells whose quote an item is"),
    validation = Rule::new("!has(self.items) || self.url.contains('{symbols}')")
        .message("items and symbol are allowed only with {symbols} in url: with {symbol} the pointers start at the root"),
    validation = Rule::new(
        "has(self.items) || self.url.contains('{symbol}') || \
         (self.price.contains('{symbol}') && self.time.contains('{symbol}'))"
    )
        .message("with {symbols} in url, items and symbol say whose quote is whose, or {symbol} in both price and time"),
)]
pub struct HttpSpec {
    /// Where to ask: {symbol} stands for one ticker a request, {symbols} for many. No key belongs here: put it into
    /// headersSecret.
    #[schemars(length(min = 8, max = MAX_URL))]
    #[x_kube(validation = Rule::new(IS_URL).message(SAY_URL))]
    pub url: String,

    /// How {symbols} is made up. Absent: 100 tickers, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchSpec>,

    /// Each ticker is asked for once in this time, such as 60s or 5m; 1s to 1440m. Absent: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 10))]
    #[x_kube(validation = Rule::new(IS_INTERVAL).message(SAY_INTERVAL))]
    pub interval: Option<String>,

    /// Requests of the whole StockWatch in a minute; what does not fit stretches the interval. Absent: 60.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_PER_MINUTE))]
    pub per_minute: Option<i32>,

    /// A Secret: each of its keys is the name of a header, its value the header's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers_secret: Option<SourceSecretRef>,

    /// JSON Pointer to the array of quotes; "" is the root. Absent: the other pointers start at the root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_POINTER))]
    #[x_kube(validation = Rule::new("self.matches('^(/([^/~]|~[01])*)*$')").message(SAY_POINTER))]
    pub items: Option<String>,

    /// JSON Pointer to an item's ticker, which is compared without regard to case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_POINTER))]
    #[x_kube(validation = Rule::new(IS_POINTER).message(SAY_POINTER))]
    pub symbol: Option<String>,

    /// JSON Pointer to the price, a number or a text that is one; {symbol} in it stands for the ticker.
    #[schemars(length(min = 1, max = MAX_POINTER))]
    #[x_kube(validation = Rule::new(IS_POINTER).message(SAY_POINTER))]
    pub price: String,

    /// JSON Pointer to the price's time; {symbol} in it stands for the ticker.
    #[schemars(length(min = 1, max = MAX_POINTER))]
    #[x_kube(validation = Rule::new(IS_POINTER).message(SAY_POINTER))]
    pub time: String,

    /// How the time is written. Absent: seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_format: Option<TimeFormat>,

    /// The prices' currency. Absent: quotes have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<CurrencySpec>,
}

/// How {symbols} is made up.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BatchSpec {
    /// Tickers of one request, at most. Absent: 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_BATCH))]
    pub size: Option<i32>,

    /// What stands between two tickers, in the URL as it is. Absent: a comma.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_SEPARATOR))]
    #[x_kube(validation = Rule::new("self.matches('^[!\"$-z|~]+$')")
        .message("a separator is visible ASCII characters but for #, { and }"))]
    pub separator: Option<String>,
}

/// How a provider writes times: since 1970, or as text with a date. Absent: seconds.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum TimeFormat {
    /// 1790000000, perhaps with a fraction.
    #[default]
    Seconds,
    /// 1790000000000.
    Millis,
    /// 1790000000000000000.
    Nanos,
    /// 2026-09-21T14:13:20.086175744Z.
    Rfc3339,
}

/// The prices' currency: exactly one member.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.literal) != has(self.pointer)")
    .message("exactly one of literal and pointer is allowed"))]
pub struct CurrencySpec {
    /// The same for all, such as USD.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_CURRENCY))]
    #[x_kube(validation = Rule::new("self.matches('^[A-Za-z0-9]+$')")
        .message("a currency is letters and digits, such as USD or GBp"))]
    pub literal: Option<String>,

    /// JSON Pointer to it; {symbol} in it stands for the ticker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_POINTER))]
    #[x_kube(validation = Rule::new(IS_POINTER).message(SAY_POINTER))]
    pub pointer: Option<String>,
}
