//! One quote as its source gave it, and why there is none.

use std::time::Duration;

use serde_json::value::RawValue;
use stockwatch_core::parse_nanos;
use stockwatch_core::wire::RawQuote;
use stockwatch_crds::Ticker;

use crate::metrics::FetchOutcome;

/// No price or time of a source has so many digits.
const MAX_NUMBER_BYTES: usize = 40;

/// A price at a time, both as the source wrote them: they never pass through a float.
#[derive(Debug, Clone)]
pub struct FetchedQuote {
    pub(super) price: Box<RawValue>,
    pub(super) time: Box<RawValue>,
    currency: Option<String>,
}

impl FetchedQuote {
    /// From the texts of two JSON numbers, the price, which is not 0, in `currency` and the time in seconds since 1970.
    pub fn new(price: &str, time: &str, currency: Option<String>) -> Result<Self, FetchError> {
        // Sources that do not know a price have 0 for it; a future sold below is another thing.
        let is_known = parse_nanos(price.as_bytes()).is_some_and(|nanos| nanos != 0);
        let price = number(price).filter(|_| is_known).ok_or(FetchError::NoPrice)?;
        let time = number(time).ok_or_else(|| FetchError::BadBody("the quote's time is no number".into()))?;
        Ok(Self { price, time, currency })
    }

    /// The raw record's value. The symbol is the one asked for: an answer may call it otherwise.
    ///
    /// # Errors
    /// None in practice: texts and numbers can always be written.
    pub fn to_json(&self, ticker: &Ticker) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&RawQuote {
            entity: &ticker.entity,
            price: &self.price,
            time: &self.time,
            symbol: &ticker.symbol,
            currency: self.currency.as_deref(),
        })
    }
}

/// The text of a finite JSON number of sensible length.
fn number(text: &str) -> Option<Box<RawValue>> {
    let is_finite = text.len() <= MAX_NUMBER_BYTES && text.parse::<f64>().is_ok_and(f64::is_finite);
    let number = RawValue::from_string(text.to_owned()).ok().filter(|_| is_finite)?;
    Some(number)
}

/// Why a fetch gave no quote.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FetchError {
    /// The answer is well-formed but has no price.
    #[error("the answer has no current price")]
    NoPrice,
    /// The source does not know the symbol.
    #[error("the source does not know the symbol; check spec.tickers")]
    NotFound,
    /// Too many requests, as the source sees it: every other one would be refused too.
    #[error("the source refuses: too many requests")]
    RateLimited {
        /// How long the source wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The source refuses whoever asks, not what is asked for.
    #[error("the source refuses this client: {said}")]
    Refused {
        /// Its status, code or kind of answer.
        said: String,
        /// How long the source wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The source failed.
    #[error("the source failed: {status}")]
    Server {
        /// Its status or code.
        status: String,
        /// How long the source wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The source refuses what this request asks for.
    #[error("the source refused the request: {0}")]
    Client(String),
    /// No whole answer in time.
    #[error("no whole answer in time")]
    Timeout,
    /// No connection.
    #[error("no connection to the source: {0}")]
    Connect(String),
    /// The answer is over the size limit.
    #[error("the answer is larger than the limit")]
    TooLarge,
    /// The answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    BadBody(String),
}

impl FetchError {
    /// The label to count it by.
    pub fn outcome(&self) -> FetchOutcome {
        match self {
            Self::NoPrice => FetchOutcome::NoPrice,
            Self::NotFound => FetchOutcome::NotFound,
            Self::RateLimited { .. } => FetchOutcome::RateLimited,
            Self::Refused { .. } => FetchOutcome::Refused,
            Self::Server { .. } => FetchOutcome::ServerError,
            Self::Client(_) => FetchOutcome::ClientError,
            Self::Timeout => FetchOutcome::Timeout,
            Self::Connect(_) => FetchOutcome::Connect,
            Self::TooLarge => FetchOutcome::TooLarge,
            Self::BadBody(_) => FetchOutcome::BadBody,
        }
    }

    /// True if the source refuses all requests, whatever they ask for.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Refused { .. })
    }

    /// How long the source wants to be left alone, as it says.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after }
            | Self::Refused { retry_after, .. }
            | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
mod tests {
    use super::*;

    fn ticker() -> Ticker {
        Ticker { symbol: "META".into(), entity: "meta \"x\"".into(), overrides: vec![] }
    }

    #[test]
    fn the_raw_value_keeps_every_digit_and_the_old_order() {
        let quote = FetchedQuote::new("512.340000000000000000001", "1700000000", Some("GBp".into())).unwrap();
        assert_eq!(
            String::from_utf8(quote.to_json(&ticker()).unwrap()).unwrap(),
            r#"{"entityname":"meta \"x\"","currentstockprice":512.340000000000000000001,"lastupdatedate":1700000000,"symbol":"META","currency":"GBp"}"#
        );
        let quote = FetchedQuote::new("1", "1700000000.5", None).unwrap();
        assert!(!String::from_utf8(quote.to_json(&ticker()).unwrap()).unwrap().contains("currency"));
    }

    #[test]
    fn what_is_no_finite_number_or_zero_is_no_price() {
        for text in [
            "\"Infinity\"",
            "\"512.3\"",
            "null",
            "{}",
            "NaN",
            "1e999",
            "",
            &"9".repeat(41),
            "inf",
            "+1",
            "0",
            "-0.0",
            "1e-10",
        ] {
            assert_eq!(FetchedQuote::new(text, "1", None).unwrap_err(), FetchError::NoPrice, "{text}");
        }
        assert!(FetchedQuote::new("-37.63", "1", None).is_ok(), "oil was sold at that");
    }
}
