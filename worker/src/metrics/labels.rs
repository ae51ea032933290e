//! The labels of metrics, with all values of each.

use std::fmt;

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder};
use stockwatch_core::SkipReason;
use stockwatch_core::account::Side;
use stockwatch_core::wire::DeadLetterReason;

/// How the fetch of one quote ended; the label `outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FetchOutcome {
    /// A quote came and was produced.
    Ok,
    /// The answer is well-formed but has no price.
    NoPrice,
    /// The source does not know the symbol.
    NotFound,
    /// 429 and its like: too many requests.
    RateLimited,
    /// 401, 403, a page for consent or a redirect to another host: the source refuses this client.
    Refused,
    /// A Secret of the source is missing or cannot be used: nobody was asked.
    NotConfigured,
    /// A 5xx.
    ServerError,
    /// Another 4xx.
    ClientError,
    /// No whole answer in time.
    Timeout,
    /// No connection: name resolution, refusal or TLS.
    Connect,
    /// The answer is over the size limit.
    TooLarge,
    /// The answer cannot be read.
    BadBody,
    /// The quote came but Kafka did not take it.
    ProduceFailed,
}

impl FetchOutcome {
    /// Every value, in the order of the declaration.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::NoPrice,
        Self::NotFound,
        Self::RateLimited,
        Self::Refused,
        Self::NotConfigured,
        Self::ServerError,
        Self::ClientError,
        Self::Timeout,
        Self::Connect,
        Self::TooLarge,
        Self::BadBody,
        Self::ProduceFailed,
    ];

    /// The label's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoPrice => "no_price",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::Refused => "refused",
            Self::NotConfigured => "not_configured",
            Self::ServerError => "server_error",
            Self::ClientError => "client_error",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::TooLarge => "too_large",
            Self::BadBody => "bad_body",
            Self::ProduceFailed => "produce_failed",
        }
    }
}

impl EncodeLabelSet for FetchOutcome {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("outcome", self.as_str()).encode(encoder.encode_label())
    }
}

/// The label that dead letters are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReasonLabel(pub DeadLetterReason);

impl EncodeLabelSet for ReasonLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("reason", self.0.as_str()).encode(encoder.encode_label())
    }
}

/// The label that failing tickers are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FailingLabel(pub FetchOutcome);

impl EncodeLabelSet for FailingLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("reason", self.0.as_str()).encode(encoder.encode_label())
    }
}

/// How a duplicate's price compares with that of the quote that was accepted; the label `price`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DuplicatePrice {
    /// It is the same.
    Same,
    /// It is another one: the first quote of a time wins.
    Other,
}

impl DuplicatePrice {
    /// Every value, in the order of the declaration.
    pub const ALL: [Self; 2] = [Self::Same, Self::Other];
}

impl EncodeLabelSet for DuplicatePrice {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let price = match self {
            Self::Same => "same",
            Self::Other => "other",
        };
        ("price", price).encode(encoder.encode_label())
    }
}

/// The label that skipped alarms are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SkipLabel(pub SkipReason);

impl EncodeLabelSet for SkipLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("reason", self.0.as_str()).encode(encoder.encode_label())
    }
}

/// The label that orders and fills of paper accounts are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SideLabel(pub Side);

impl EncodeLabelSet for SideLabel {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        ("side", self.0.as_str()).encode(encoder.encode_label())
    }
}
