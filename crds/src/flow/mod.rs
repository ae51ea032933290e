//! Whether quotes flow: what a worker answers at `/quotes`, and what follows from the answers of all workers.
//!
//! The worker writes a [`FlowReport`], the operator reads one of each ready worker; [`verdict`] and [`failing_tickers`] are
//! pure, and know no time but that of the reports.

mod failing;
mod report;
mod text;
mod verdict;

pub use failing::{failing_tickers, split_tickers};
pub use report::{Down, Exchange, External, Failing, FailingNow, FlowReport, Held, Stretched, UNTRADED};
pub use verdict::{FlowReason, FlowVerdict, verdict};
