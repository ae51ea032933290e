//! What polls have led to, and what of it is to be said.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stockwatch_crds::StockWatch;
use stockwatch_crds::flow::{FlowReport, FlowVerdict, failing_tickers, verdict};
use stockwatch_crds::v1alpha1::FailingTicker;
use tokio::time::Instant;

use super::turn::Turn;
use crate::key::Key;
use crate::status::{Condition, Holds, Quotes, Reason, Statement, no_ready_workers, said};

/// So many times in a row, at most.
const HURRIES: u32 = 20;
/// After so many polls in a row that a worker did not answer, the others are listened to without it.
const UNANSWERED: u32 = 5;
/// Between two writes of failing tickers, unless a symbol is new that the source does not know: somebody has just written
/// it, and looks.
const FAILING_EVERY: Duration = Duration::from_secs(300);
/// In this time at most so many writes of failing tickers, whatever comes and goes.
const FAILING_MOST: (Duration, usize) = (Duration::from_secs(3600), 12);
/// What a report says of a symbol that the source does not know.
const NOT_FOUND: &str = "NotFound";

/// What polls led to, by StockWatch.
#[derive(Debug, Default)]
pub struct Flows {
    known: Mutex<HashMap<Key, Polled>>,
    /// Those that are to be polled soon.
    hurried: Mutex<HashSet<Key>>,
}

/// What is known of one StockWatch.
#[derive(Debug, Default)]
pub(super) struct Polled {
    uid: String,
    turn: Turn,
    /// Polls in a row that not every ready worker answered.
    unanswered: u32,
    quotes: Quotes,
    /// How often it was polled sooner than it would be.
    hurried: u32,
    /// When the failing tickers changed in the last hour, the oldest first.
    failing_changed: Vec<Instant>,
}

impl Flows {
    /// What is to be said of a StockWatch.
    pub fn of(&self, key: &Key, uid: &str) -> Quotes {
        let flows = self.lock();
        flows
            .get(key)
            .filter(|polled| polled.uid == uid)
            .map(|polled| polled.quotes.clone())
            .unwrap_or_default()
    }

    /// Has a StockWatch polled soon if nothing is known of its quotes, although workers are ready.
    pub fn hurry(&self, key: &Key, stockwatch: &StockWatch, ready: usize) {
        let flows = self.lock();
        let said =
            flows.get(key).and_then(|polled| polled.said(stockwatch)).or_else(|| said_before(stockwatch));
        if ready > 0 && said.is_none_or(|said| said.holds == Holds::Unknown) {
            self.hurried().insert(key.clone());
        }
    }

    /// Nothing is known of it any more.
    pub fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<Key, Polled>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn hurried(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.hurried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Polled {
    /// What is known of another StockWatch of this name is forgotten.
    pub(super) fn become_of(&mut self, uid: String) {
        if self.uid != uid {
            *self = Self { uid, ..Self::default() };
        }
    }

    /// Takes note of a poll of so many ready workers; returns whether something else is to be said.
    pub(super) fn hear(
        &mut self,
        stockwatch: &StockWatch,
        ready: usize,
        reports: &[FlowReport],
        now: Instant,
    ) -> bool {
        let is_whole = reports.len() >= ready;
        self.unanswered = if is_whole { 0 } else { self.unanswered.saturating_add(1) };
        let is_patient = self.unanswered < UNANSWERED;
        let is_enough = is_whole || !(is_patient || reports.is_empty());
        let found = match ready {
            0 => Some(no_ready_workers()),
            _ if is_enough => verdict(reports).map(statement),
            _ if is_patient => None,
            _ => Some(Statement::unknown(
                Reason::WorkersUnreachable,
                "no worker can be asked over HTTP: is there a NetworkPolicy?",
            )),
        };
        let is_turn = found.is_some_and(|found| {
            let is_due = self.turn.is_due(self.said(stockwatch).as_ref(), &found);
            if is_due {
                self.quotes.statement = Some(found);
            }
            is_due
        });
        let status = stockwatch.status.as_ref();
        let named = status.map(|status| status.failing_tickers.as_slice()).unwrap_or_default();
        let is_named = ready > 0 && is_enough && self.name_failing(reports, named, now);
        is_turn || is_named
    }

    /// What is said of its quotes.
    fn said(&self, stockwatch: &StockWatch) -> Option<Statement> {
        self.quotes.statement.clone().or_else(|| said_before(stockwatch))
    }

    /// Workers that have just begun have heard nothing yet, but soon will have.
    pub(super) fn is_to_be_hurried(
        &mut self,
        stockwatch: &StockWatch,
        ready: usize,
        reports: &[FlowReport],
    ) -> bool {
        let is_unknown = self.said(stockwatch).is_none_or(|said| said.holds == Holds::Unknown);
        if !is_unknown || ready == 0 || reports.len() < ready {
            self.hurried = 0;
            return false;
        }
        self.hurried = self.hurried.saturating_add(1);
        self.hurried <= HURRIES
    }

    /// Takes the tickers to name from the reports, if they differ and may be written again.
    fn name_failing(&mut self, reports: &[FlowReport], status: &[FailingTicker], now: Instant) -> bool {
        let before = self.quotes.failing.as_deref().unwrap_or(status);
        let failing = failing_tickers(reports, before);
        let (hour, most) = FAILING_MOST;
        self.failing_changed.retain(|at| now.duration_since(*at) < hour);
        let is_early = self.failing_changed.last().is_some_and(|at| now.duration_since(*at) < FAILING_EVERY);
        let is_known = |new: &FailingTicker| {
            before.iter().any(|old| (&old.symbol, &old.reason) == (&new.symbol, &new.reason))
        };
        let is_urgent = failing.iter().any(|new| new.reason == NOT_FOUND && !is_known(new));
        if failing == before || (is_early && !is_urgent) || self.failing_changed.len() >= most {
            return false;
        }
        self.quotes.failing = Some(failing);
        self.failing_changed.push(now);
        true
    }
}

/// What the status says, whoever wrote it.
fn said_before(stockwatch: &StockWatch) -> Option<Statement> {
    let said = said(stockwatch.status.as_ref()?, Condition::QuotesFlow)?;
    let (reason, message) = (said.reason.clone(), said.message.clone());
    Some(Statement { holds: Holds::of(&said.status), reason, message })
}

fn statement(verdict: FlowVerdict) -> Statement {
    let holds = if verdict.reason.flows() { Holds::True } else { Holds::False };
    Statement { holds, reason: verdict.reason.as_str().to_owned(), message: verdict.message }
}

#[cfg(test)]
mod tests;
