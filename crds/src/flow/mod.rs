//! Whether quotes flow: what a worker answers at `/quotes`, and what follows from the answers of all workers.
//!
//! The worker writes a [`FlowReport`], the operator reads one of each ready worker; [`verdict`] and [`failing_tickers`] are
//! pure, and know no time but that of the reports.

mod failing;
mod report;
mod verdict;

pub use failing::{failing_tickers, split_tickers};
pub use report::{Down, Exchange, External, Failing, FailingNow, FlowReport, Held, Stretched};
pub use verdict::{FlowReason, Verdict, verdict};

use k8s_openapi::jiff::Timestamp;

/// Seconds without a quote after which a ticker no longer trades, or its source no longer has it. The longest holidays are
/// shorter: Shenzhen was closed for 10.8 days in February 2024.
pub const UNTRADED: i64 = 12 * 24 * 3600;

/// Seconds since 1970 as RFC 3339; a time before 1970, or out of range, as 1970.
fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds.max(0)).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// The text, or as many of its characters as a status has room for: reports are what others answer.
fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
