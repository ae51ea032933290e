//! A quote as it is computed with, and the raw record that it comes from.

/// An accepted quote: event time in nanoseconds and price in 10⁻⁹.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// Event time, nanoseconds since the epoch.
    pub time: i64,
    /// Price, 10⁻⁹ of the currency.
    pub price: i64,
}

/// The raw record that something follows from; ids are made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The record's raw offset.
    pub offset: i64,
    /// Its own timestamp in ms; negative if it has none.
    pub timestamp: i64,
}
