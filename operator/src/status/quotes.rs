//! QuotesFlow: a Secret that the source lacks, what polls of the workers have led to (`flow`), or what was said before any.

use super::condition::{Condition, Holds, Reason, Statement};
use super::seen::{Said, Seen};
use crate::reconcile::Decision;

/// Said of a StockWatch without ready workers.
pub(crate) fn no_ready_workers() -> Statement {
    Statement::unknown(Reason::NoReadyWorkers, "no worker is ready to be asked")
}

/// `applied`: the generation that the workers who said it compute with.
pub(super) fn statement(seen: &Seen<'_>, applied: Option<i64>) -> Said {
    // Workers only know that a file is not there; and a suspended StockWatch needs no quotes.
    if let Some(problem) = seen.source.filter(|_| seen.decision != Decision::Suspend) {
        return seen.now(Statement::no(problem.reason, problem.message.clone()));
    }
    let said = match seen.quotes.statement.clone() {
        Some(statement) => Said { statement, generation: applied },
        None => seen.as_before(Condition::QuotesFlow, no_ready_workers()),
    };
    // That nothing is known claims nothing of any generation.
    if said.statement.holds == Holds::Unknown { seen.now(said.statement) } else { said }
}

#[cfg(test)]
mod tests;
