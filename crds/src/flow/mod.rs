//! Whether quotes flow: what a worker answers at `/quotes`, and what follows from the answers of all workers.
//!
//! The worker writes a [`FlowReport`], the operator reads one of each ready worker; [`verdict`] and [`failing_tickers`] are
//! pure, and know no time but that of the reports.

mod failing;
mod report;
mod verdict;

pub use failing::{failing_tickers, split_tickers};
pub use report::{Down, Exchange, External, Failing, FailingNow, FlowReport, Held};
pub use verdict::{FlowReason, Verdict, verdict};

use k8s_openapi::jiff::Timestamp;

/// Seconds since 1970 as RFC 3339; a time out of range as 1970.
fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
