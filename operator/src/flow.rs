//! Whether quotes flow: each ready worker is asked now and then, and what all of them say becomes one statement.
//!
//! Asking is a read. Of the answers nothing is kept but the statement and the names of failing tickers; the StockWatch
//! comes into the queue when one of them is to be said.

mod schedule;
mod turn;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, stream};
use stockwatch_crds::StockWatch;
use stockwatch_crds::flow::{FlowReport, FlowVerdict, failing_tickers, verdict};
use stockwatch_crds::v1alpha1::FailingTicker;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::schedule::Schedule;
use self::turn::Turn;
use crate::context::Context;
use crate::key::Key;
use crate::status::{Condition, Holds, Quotes, Reason, Statement, no_ready_workers, said};
use crate::store::Watched;
use crate::workers::{AskError, Endpoint, get};

/// Between two looks at who is due.
const STEP: Duration = Duration::from_millis(250);
/// Before a StockWatch is polled whose workers have just become ready.
const SOON: Duration = Duration::from_secs(3);
/// So many times in a row, at most.
const HURRIES: u32 = 20;
/// StockWatches polled at once.
const AT_ONCE: usize = 32;
/// Workers of one StockWatch asked at once.
const WORKERS_AT_ONCE: usize = 4;
/// For one answer.
const LIMIT: Duration = Duration::from_secs(3);
/// A thousand tickers of the longest symbols, in thousands of partitions.
const MOST_BYTES: usize = 256 * 1024;
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
struct Polled {
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

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Polled>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hurried(&self) -> MutexGuard<'_, HashSet<Key>> {
        self.hurried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Polls for as long as it is polled itself: the operator leads.
pub async fn run(context: Arc<Context>) {
    let every = context.settings.quotes_interval;
    let mut schedule = Schedule::new(every);
    let mut polls = JoinSet::new();
    let mut tick = interval(STEP.min(every / 4));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        while polls.try_join_next().is_some() {}
        let now = Instant::now();
        schedule.follow(context.store.stockwatches.keys(), now, fastrand::f64);
        for key in context.flows.hurried().drain() {
            schedule.hurry(&key, now + SOON);
        }
        for key in schedule.take(now, AT_ONCE.saturating_sub(polls.len()), fastrand::f64) {
            let context = Arc::clone(&context);
            polls.spawn(async move { poll(&context, &key).await });
        }
    }
}

/// Asks the workers of one StockWatch, and has it reconciled if something else is to be said.
async fn poll(context: &Context, key: &Key) {
    let Some(Watched::Readable(stockwatch)) = context.store.stockwatches.get(key, "") else { return };
    let Some(uid) = stockwatch.metadata.uid.clone() else { return };
    if stockwatch.metadata.deletion_timestamp.is_some() {
        return;
    }
    let workers = context.store.workers_of(key);
    let ready = workers.len();
    let answers = stream::iter(workers).map(|worker| ask(context, key, worker, &uid));
    let reports: Vec<FlowReport> =
        answers.buffer_unordered(WORKERS_AT_ONCE).filter_map(async |answer| answer).collect().await;
    let mut flows = context.flows.lock();
    let polled = flows.entry(key.clone()).or_default();
    if polled.uid != uid {
        *polled = Polled { uid, ..Polled::default() };
    }
    let is_news = polled.hear(&stockwatch, ready, &reports, Instant::now());
    if polled.is_to_be_hurried(&stockwatch, ready, &reports) {
        context.flows.hurried().insert(key.clone());
    }
    drop(flows);
    if is_news {
        context.queue.add(key.clone());
    }
}

/// `None`: there is no answer, or it is of another StockWatch of this name.
async fn ask(context: &Context, key: &Key, worker: Endpoint, uid: &str) -> Option<FlowReport> {
    context.metrics.quotes_requests.inc();
    let address = SocketAddr::new(worker.address, worker.port);
    let answer: Result<FlowReport, AskError> = get(address, "/quotes", LIMIT, MOST_BYTES).await;
    match answer {
        Ok(report) if report.uid == uid => Some(report),
        Ok(_) => None,
        Err(error) => {
            context.metrics.quotes_request_errors.inc();
            tracing::debug!(stockwatch = %key, pod = worker.pod, %error, "a worker does not say whether quotes flow");
            None
        }
    }
}

impl Polled {
    /// Takes note of a poll of so many ready workers; returns whether something else is to be said.
    fn hear(&mut self, stockwatch: &StockWatch, ready: usize, reports: &[FlowReport], now: Instant) -> bool {
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
    fn is_to_be_hurried(&mut self, stockwatch: &StockWatch, ready: usize, reports: &[FlowReport]) -> bool {
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
