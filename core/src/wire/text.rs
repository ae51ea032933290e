//! Texts in raw records: symbols and currencies, and numbers that came as texts, as decimals leave many databases.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::object::{any_object, json_of};
use super::reason::DeadLetterReason;
use super::rfc3339::parse_rfc3339;
use super::scan::flat;
use crate::decimal::{parse_nanos, push_nanos};

/// Longer symbols are not repeated.
const MAX_SYMBOL_CHARS: usize = 32;
/// Longer currencies are ignored.
pub(super) const MAX_CURRENCY_CHARS: usize = 16;

/// What a quote says of itself besides price and time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels<'a> {
    /// Of at most [`MAX_SYMBOL_CHARS`] characters.
    pub(crate) symbol: Option<Cow<'a, str>>,
    /// Of at most [`MAX_CURRENCY_CHARS`] characters.
    pub(crate) currency: Option<Cow<'a, str>>,
}

impl<'a> Labels<'a> {
    /// Those of a value that is a quote.
    pub(crate) fn read(value: &'a [u8]) -> Self {
        let text = std::str::from_utf8(json_of(value)).unwrap_or_default();
        let Some(fields) = flat(text).or_else(|| any_object(text).ok()) else { return Self::default() };
        Self {
            symbol: label(fields.symbol, MAX_SYMBOL_CHARS),
            currency: label(fields.currency, MAX_CURRENCY_CHARS),
        }
    }
}

/// A field's text, if it is a string of 1 to `most` characters.
pub(super) fn label(raw: Option<&str>, most: usize) -> Option<Cow<'_, str>> {
    let text = string(raw?)?;
    (!text.is_empty() && (text.len() <= most || text.chars().count() <= most)).then_some(text)
}

/// A JSON string's text; `None` if `raw` is something else.
pub(super) fn string(raw: &str) -> Option<Cow<'_, str>> {
    match raw.strip_prefix('"')?.strip_suffix('"')? {
        plain if !plain.as_bytes().contains(&b'\\') => Some(Cow::Borrowed(plain)),
        _ => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

/// A price that is no JSON number: one in a text, as many databases' exports have it.
#[cold]
pub(super) fn price_in_text(raw: &str) -> Result<i128, DeadLetterReason> {
    let text = string(raw).ok_or(DeadLetterReason::NoPrice)?;
    if matches!(&*text, "Infinity" | "-Infinity" | "+Infinity" | "NaN" | "inf" | "-inf" | "nan") {
        return Err(DeadLetterReason::PriceNotFinite);
    }
    number(&text).ok_or(DeadLetterReason::PriceNotANumber)
}

/// A time that is no JSON number: one in a text, or an RFC 3339 time with its offset.
#[cold]
pub(super) fn time_in_text(raw: &str) -> Result<i128, DeadLetterReason> {
    let text = string(raw).ok_or(DeadLetterReason::NoTime)?;
    number(&text).or_else(|| parse_rfc3339(&text)).ok_or(DeadLetterReason::TimeNotANumber)
}

/// The value of a text that is a JSON number, in 10⁻⁹. It is written as one, so what JSON refuses, as 007, is none.
fn number(text: &str) -> Option<i128> {
    parse_nanos(text.as_bytes()).filter(|_| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// A text that is a number, or an RFC 3339 time as the number that it is.
pub(super) fn in_digits(text: Cow<'_, str>) -> Cow<'_, str> {
    match parse_rfc3339(&text).and_then(|time| i64::try_from(time).ok()) {
        Some(time) => {
            let mut digits = Vec::new();
            push_nanos(&mut digits, time);
            Cow::Owned(String::from_utf8(digits).unwrap_or_default())
        }
        None => text,
    }
}
