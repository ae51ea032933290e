//! QuotesFlow: a Secret that the source lacks, what polls of the workers have led to (`flow`), or what was said before any.

use stockwatch_crds::v1alpha1::FailingTicker;

use super::condition::{Condition, Reason, Statement};
use super::seen::{Said, Seen};
use crate::reconcile::Decision;

/// What is known of a StockWatch's quotes by this process; `None`: what the status says stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotes {
    /// Of the condition.
    pub statement: Option<Statement>,
    /// The tickers to name.
    pub failing: Option<Vec<FailingTicker>>,
}

/// Said of a StockWatch without ready workers.
pub(crate) fn no_ready_workers() -> Statement {
    Statement::unknown(Reason::NoReadyWorkers, "no worker is ready to be asked")
}

pub(super) fn statement(seen: &Seen<'_>) -> Said {
    // Workers only know that a file is not there; and a suspended StockWatch needs no quotes.
    if let Some(problem) = seen.source.filter(|_| seen.decision != Decision::Suspend) {
        return seen.now(Statement::no(problem.reason, problem.message.clone()));
    }
    let known = seen.quotes.statement.clone();
    let as_before = || seen.as_before(Condition::QuotesFlow, no_ready_workers()).statement;
    seen.now(known.unwrap_or_else(as_before))
}
