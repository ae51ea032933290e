//! Whether quotes flow: each ready worker is asked now and then, and what all of them say becomes one statement.
//!
//! Asking is a read. Of the answers nothing is kept but the statement and the names of failing tickers; the StockWatch
//! comes into the queue when one of them is to be said.

mod polled;
mod schedule;
mod turn;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use stockwatch_crds::flow::FlowReport;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub use self::polled::Flows;
use self::schedule::Schedule;
use crate::context::Context;
use crate::key::Key;
use crate::store::Watched;
use crate::workers::{AskError, Endpoint, get};

/// Between two looks at who is due.
const STEP: Duration = Duration::from_millis(250);
/// Before a StockWatch is polled whose workers have just become ready.
const SOON: Duration = Duration::from_secs(3);
/// StockWatches polled at once.
const AT_ONCE: usize = 32;
/// Workers of one StockWatch asked at once.
const WORKERS_AT_ONCE: usize = 4;
/// For one answer.
const LIMIT: Duration = Duration::from_secs(3);
/// A thousand tickers of the longest symbols, in thousands of partitions.
const MOST_BYTES: usize = 256 * 1024;

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
    polled.become_of(uid);
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
