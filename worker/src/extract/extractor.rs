//! The extractor's loop: follows spec and ownership, tells the source, hands on and counts what it hears.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use stockwatch_core::wire::{partition_for_key, raw_key};
use stockwatch_crds::{Http, Source, Ticker, YahooMode};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::fetched::FetchError;
use super::publish::{Publisher, Record};
use super::source::{Batch, Orders, QuoteResult, RunningSource};
use crate::config::SpecReceiver;
use crate::flow::Flow;
use crate::metrics::{FetchOutcome, Metrics};
use crate::ownership::OwnedPartitions;

/// Batches that a source may be ahead.
const AHEAD: usize = 16;
/// Between two looks at whether the sink has room again.
const NO_ROOM: Duration = Duration::from_millis(50);

/// Starts the source that a spec names; `None` asks nobody. The error is a sentence.
pub(super) type StartSource = Box<
    dyn Fn(&Source, watch::Receiver<Orders>, mpsc::Sender<Batch>) -> Result<Option<RunningSource>, String>
        + Send
        + Sync,
>;

/// A ticker of this process and its record's key and partition.
#[derive(Debug)]
struct Job {
    ticker: Arc<Ticker>,
    key: String,
    partition: i32,
}

/// How a ticker's last fetches went.
#[derive(Debug, Default)]
struct Failing {
    times: u32,
    outcome: Option<FetchOutcome>,
}

pub(super) struct Extractor<S> {
    spec: SpecReceiver,
    owned: watch::Receiver<OwnedPartitions>,
    metrics: Arc<Metrics>,
    flow: Arc<Flow>,
    sink: S,
    start_source: StartSource,
    source: Option<RunningSource>,
    /// What the source is told; at first, nothing.
    orders: Option<watch::Sender<Orders>>,
    batches: mpsc::Receiver<Batch>,
    topic: String,
    jobs: HashMap<String, Job>,
    failing: HashMap<String, Failing>,
}

impl<S: Publisher> Extractor<S> {
    pub(super) fn new(
        spec: SpecReceiver,
        owned: watch::Receiver<OwnedPartitions>,
        metrics: Arc<Metrics>,
        flow: Arc<Flow>,
        sink: S,
        start_source: StartSource,
    ) -> Self {
        Self {
            spec,
            owned,
            metrics,
            flow,
            sink,
            start_source,
            source: None,
            orders: None,
            batches: mpsc::channel(AHEAD).1,
            topic: String::new(),
            jobs: HashMap::new(),
            failing: HashMap::new(),
        }
    }

    /// Until `stop` is true or nobody holds it, or nobody says any more what is owned; gives the sink back.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> S {
        self.follow();
        loop {
            let has_room = self.sink.has_room();
            tokio::select! {
                // A revoked partition's tickers stop before anything else starts.
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                changed = self.owned.changed() => match changed {
                    Ok(()) => self.follow(),
                    Err(_) => break,
                },
                () = changed(&mut self.spec) => self.follow(),
                // A source that is not heard waits, and so does the server of a stream in the end.
                Some(batch) = self.batches.recv(), if has_room => self.hear(batch),
                never = work(&mut self.source) => match never {},
                () = sleep(NO_ROOM), if !has_room => {}
            }
        }
        self.sink
    }

    /// Takes the current spec and ownership.
    fn follow(&mut self) {
        let live = Arc::clone(&self.spec.borrow_and_update());
        let owned = self.owned.borrow_and_update().clone();
        let spec = &live.spec;
        self.topic.clone_from(&spec.kafka.topics.raw_input.name);
        let is_asked = !spec.suspend && !spec.source.is_external();
        let tickers = spec.tickers.iter().filter(|_| is_asked);
        self.jobs = tickers.filter_map(|ticker| job(ticker, &owned)).collect();
        self.failing.retain(|symbol, _| self.jobs.contains_key(symbol));
        self.flow.follow(self.jobs.keys().map(String::as_str));
        self.metrics.tickers_owned.set(i64::try_from(self.jobs.len()).unwrap_or(i64::MAX));
        if !is_asked {
            self.metrics.fetch_interval_seconds.set(0.0);
        }
        let orders = Orders {
            spec: spec.source.clone(),
            tickers: self.jobs.values().map(|job| Arc::clone(&job.ticker)).collect(),
            owned: u32::try_from(owned.partitions.len()).unwrap_or(u32::MAX),
            partitions: u32::try_from(owned.partition_count).unwrap_or(0),
        };
        match &self.orders {
            Some(sender) if same_source(&sender.borrow().spec, &orders.spec) => {
                sender.send_replace(orders);
            }
            _ => self.start(orders),
        }
    }

    /// Starts another source. What the one before had under way or said is dropped: it must not be taken for this one's.
    fn start(&mut self, orders: Orders) {
        self.failing.clear();
        // At first there was no other source: what partitions hold may be this one's.
        if self.orders.is_some() {
            self.flow.forget();
        }
        let (sender, batches) = mpsc::channel(AHEAD);
        let spec = orders.spec.clone();
        let (told, orders) = watch::channel(orders);
        (self.orders, self.batches) = (Some(told), batches);
        self.source = (self.start_source)(&spec, orders, sender).unwrap_or_else(|error| {
            tracing::error!("no quotes are fetched: {error}");
            None
        });
    }

    /// Counts and publishes what a source heard.
    fn hear(&mut self, batch: Batch) {
        if let Some(took) = batch.took {
            self.metrics.fetch_seconds.observe(took.as_secs_f64());
        }
        self.metrics.fetch_interval_seconds.set(batch.interval.as_secs_f64());
        let heard = batch.quotes.iter().map(|(ticker, quote)| {
            let heard = quote.as_ref().map(|quote| (quote.seconds(), quote.session()));
            (ticker.symbol.as_str(), heard.map_err(FetchError::outcome))
        });
        self.flow.heard(batch.is_apart, heard);
        for (ticker, quote) in batch.quotes {
            let outcome = quote.as_ref().map_or_else(FetchError::outcome, |_| FetchOutcome::Ok);
            self.metrics.fetches.get_or_create(&outcome).inc();
            // Otherwise the ticker was revoked, removed or renamed meanwhile.
            if self.jobs.get(&ticker.symbol).is_some_and(|job| job.ticker.entity == ticker.entity) {
                self.publish(&ticker, &quote);
                self.note(&ticker.symbol, outcome, quote.err());
            }
        }
    }

    fn publish(&mut self, ticker: &Ticker, quote: &QuoteResult) {
        let (Some(job), Ok(quote)) = (self.jobs.get(&ticker.symbol), quote) else { return };
        match quote.to_json(ticker) {
            Ok(value) => self.sink.publish(&Record {
                topic: self.topic.clone(),
                partition: job.partition,
                key: job.key.clone(),
                value,
            }),
            Err(error) => {
                tracing::error!(ticker = ticker.symbol, %error, "a quote cannot be written as JSON")
            }
        }
    }

    /// One log line when a ticker begins to fail, fails otherwise, or works again. Of a refusal the source tells.
    fn note(&mut self, symbol: &str, outcome: FetchOutcome, error: Option<FetchError>) {
        let Some(error) = error else {
            if let Some(failing) = self.failing.remove(symbol) {
                tracing::info!(ticker = symbol, failures = failing.times, "quotes come again");
            }
            return;
        };
        tracing::debug!(ticker = symbol, %error, "no quote");
        if error.is_refusal() {
            return;
        }
        let failing = self.failing.entry(symbol.to_owned()).or_default();
        failing.times = failing.times.saturating_add(1);
        if failing.outcome.replace(outcome) != Some(outcome) {
            tracing::warn!(ticker = symbol, %error, "no quote");
        }
    }
}

/// Another interval, rate, or way to ask is no other source: connections stay, and so does a pause.
fn same_source(one: &Source, other: &Source) -> bool {
    match (one, other) {
        (
            Source::Yahoo { mode: one, base_url: at_one, user_agent: as_one, proxy: by_one, .. },
            Source::Yahoo { mode: other, base_url: at_other, user_agent: as_other, proxy: by_other, .. },
        ) => {
            let is_stream = |mode: &YahooMode| *mode == YahooMode::Stream;
            (is_stream(one), at_one, as_one, by_one) == (is_stream(other), at_other, as_other, by_other)
        }
        (Source::Http(one), Source::Http(other)) => {
            Http { interval: other.interval, per_minute: other.per_minute, ..one.clone() } == *other
        }
        (Source::Simulated { seed: one, .. }, Source::Simulated { seed: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

/// The ticker's job under its symbol, if this process owns its partition.
fn job(ticker: &Ticker, owned: &OwnedPartitions) -> Option<(String, Job)> {
    if owned.partition_count < 1 {
        return None;
    }
    let key = raw_key(&ticker.entity);
    let partition = partition_for_key(key.as_bytes(), owned.partition_count);
    let job = Job { ticker: Arc::new(ticker.clone()), key, partition };
    owned.partitions.contains(&partition).then(|| (ticker.symbol.clone(), job))
}

/// Lets the source work.
async fn work(source: &mut Option<RunningSource>) -> Infallible {
    match source {
        Some(source) => source.await,
        None => pending().await,
    }
}

/// The next accepted spec; never, once no more can come: the last one holds.
async fn changed(spec: &mut SpecReceiver) {
    if spec.changed().await.is_err() {
        pending().await
    }
}

#[cfg(test)]
mod tests;
