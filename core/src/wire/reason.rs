//! Why a raw record cannot be computed.

/// Why a record is no quote: the reason in the dead letter's header and in the metric's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the labels say it")]
pub enum DeadLetterReason {
    ValueTooLarge,
    SchemaFramed,
    NotJson,
    NotAnObject,
    NoEntity,
    NameTooLong,
    NoPrice,
    PriceNotANumber,
    PriceNotFinite,
    PriceOutOfRange,
    NoTime,
    TimeNotANumber,
    TimeInMilliseconds,
    TimeInFuture,
    TimeOutOfRange,
    OtherCurrency,
    Unwritable,
}

impl DeadLetterReason {
    /// Every reason, in the order in which they are looked for. A quote of another currency than its entity's is neither
    /// a duplicate nor too late; the last reason is that a good quote's deduplicated record is larger than its topic takes.
    pub const ALL: [Self; 17] = [
        Self::ValueTooLarge,
        Self::SchemaFramed,
        Self::NotJson,
        Self::NotAnObject,
        Self::NoEntity,
        Self::NameTooLong,
        Self::NoPrice,
        Self::PriceNotANumber,
        Self::PriceNotFinite,
        Self::PriceOutOfRange,
        Self::NoTime,
        Self::TimeNotANumber,
        Self::TimeInMilliseconds,
        Self::TimeInFuture,
        Self::TimeOutOfRange,
        Self::OtherCurrency,
        Self::Unwritable,
    ];

    /// The reason as written on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ValueTooLarge => "value_too_large",
            Self::SchemaFramed => "schema_framed",
            Self::NotJson => "not_json",
            Self::NotAnObject => "not_an_object",
            Self::NoEntity => "no_entity",
            Self::NameTooLong => "name_too_long",
            Self::NoPrice => "no_price",
            Self::PriceNotANumber => "price_not_a_number",
            Self::PriceNotFinite => "price_not_finite",
            Self::PriceOutOfRange => "price_out_of_range",
            Self::NoTime => "no_time",
            Self::TimeNotANumber => "time_not_a_number",
            Self::TimeInMilliseconds => "time_in_milliseconds",
            Self::TimeInFuture => "time_in_future",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::OtherCurrency => "other_currency",
            Self::Unwritable => "unwritable",
        }
    }
}
