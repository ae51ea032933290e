//! The extractor's loop: follows spec and ownership, starts the requests that are due, and publishes their quotes.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{FuturesUnordered, StreamExt};
use stockwatch_core::wire::{partition_for_key, raw_key};
use stockwatch_crds::{Source as SourceSpec, Ticker};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::backoff::{self, Throttle};
use super::publish::{Publisher, Record};
use super::schedule::Schedule;
use super::source::Source;
use super::{FetchError, FetchedQuote};
use crate::config::SpecReceiver;
use crate::metrics::{FetchOutcome, Metrics};
use crate::ownership::OwnedPartitions;

/// Between the starts of two requests to a real source: at most 10 a second for each process.
const LEAST_GAP: Duration = Duration::from_millis(100);
/// Requests in flight at a time: enough for 10 a second of a source that takes 3 s to answer.
const MAX_IN_FLIGHT: usize = 32;

/// Makes the source that a spec names.
pub(super) type MakeSource =
    Box<dyn Fn(&SourceSpec) -> Result<Option<Arc<dyn Source>>, String> + Send + Sync>;

/// A ticker that this process fetches, with the key and the partition of its records.
#[derive(Debug)]
struct Job {
    ticker: Ticker,
    key: String,
    partition: i32,
}

/// A ticker whose last fetches failed.
#[derive(Debug, Default)]
struct Failing {
    /// Failures in a row.
    times: u32,
    /// The outcome that was logged last.
    outcome: Option<FetchOutcome>,
}

/// A request that ended.
struct Fetched {
    job: Arc<Job>,
    began: Instant,
    result: Result<FetchedQuote, FetchError>,
}

pub(super) struct Extractor<S> {
    spec: SpecReceiver,
    owned: watch::Receiver<OwnedPartitions>,
    metrics: Arc<Metrics>,
    sink: S,
    make_source: MakeSource,
    /// The source and the spec it was made from.
    source: Option<(SourceSpec, Option<Arc<dyn Source>>)>,
    topic: String,
    jobs: HashMap<String, Arc<Job>>,
    failing: HashMap<String, Failing>,
    schedule: Schedule,
    /// The interval that is kept, longer than the spec's if the tickers exceed the rate.
    kept: Duration,
    throttle: Throttle,
    in_flight: FuturesUnordered<BoxFuture<'static, Fetched>>,
}

impl<S: Publisher> Extractor<S> {
    /// `unix_time` is now, since 1970.
    pub(super) fn new(
        spec: SpecReceiver,
        owned: watch::Receiver<OwnedPartitions>,
        metrics: Arc<Metrics>,
        sink: S,
        make_source: MakeSource,
        unix_time: Duration,
    ) -> Self {
        Self {
            spec,
            owned,
            metrics,
            sink,
            make_source,
            source: None,
            topic: String::new(),
            jobs: HashMap::new(),
            failing: HashMap::new(),
            schedule: Schedule::new(Instant::now(), unix_time),
            kept: Duration::ZERO,
            throttle: Throttle::default(),
            in_flight: FuturesUnordered::new(),
        }
    }

    /// Runs until `stop` is true or the sender of `stop` or of the ownership is gone; returns the sink.
    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) -> S {
        self.follow();
        loop {
            let has_room = self.in_flight.len() < MAX_IN_FLIGHT;
            let next = self.schedule.next().filter(|_| has_room);
            let due = async {
                match next {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                // A revoked partition's tickers stop before anything else starts.
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                changed = self.owned.changed() => match changed {
                    Ok(()) => self.follow(),
                    Err(_) => break,
                },
                () = changed(&mut self.spec) => self.follow(),
                Some(fetched) = self.in_flight.next() => self.finish(fetched),
                () = due => self.start(),
            }
        }
        self.sink
    }

    /// Applies the current spec and ownership.
    fn follow(&mut self) {
        let live = Arc::clone(&self.spec.borrow_and_update());
        let owned = self.owned.borrow_and_update().clone();
        let spec = &live.spec;
        self.topic.clone_from(&spec.kafka.topics.raw_input.name);
        self.follow_source(&spec.source);
        let (interval, least_gap) = match spec.source {
            SourceSpec::Yahoo { interval, .. } => (interval, LEAST_GAP),
            SourceSpec::Simulated { interval, .. } => (interval, Duration::ZERO),
            SourceSpec::External => (Duration::ZERO, Duration::ZERO),
        };
        let is_asked = !spec.suspend && matches!(self.source, Some((_, Some(_))));
        let tickers = spec.tickers.iter().filter(|_| is_asked);
        self.jobs = tickers.filter_map(|ticker| job(ticker, &owned)).collect();
        self.failing.retain(|symbol, _| self.jobs.contains_key(symbol));
        let symbols: HashSet<&str> = self.jobs.keys().map(String::as_str).collect();
        let kept = self.schedule.set(Instant::now(), &symbols, interval, least_gap);
        self.metrics.tickers_owned.set(i64::try_from(self.jobs.len()).unwrap_or(i64::MAX));
        let shown = if is_asked { kept } else { Duration::ZERO };
        self.metrics.fetch_interval_seconds.set(shown.as_secs_f64());
        if is_asked && kept > interval && kept != self.kept {
            tracing::warn!(
                tickers = symbols.len(),
                interval_seconds = interval.as_secs_f64(),
                kept_seconds = kept.as_secs_f64(),
                "the tickers of this process do not fit 10 requests a second: the interval is stretched; add replicas"
            );
        }
        self.kept = kept;
    }

    fn follow_source(&mut self, wanted: &SourceSpec) {
        if self.source.as_ref().is_some_and(|(made_from, _)| same_source(made_from, wanted)) {
            return;
        }
        // Answers of the previous source must not count as answers of this one.
        self.in_flight.clear();
        self.schedule.restart(Instant::now());
        self.throttle = Throttle::default();
        self.failing.clear();
        let source = (self.make_source)(wanted).unwrap_or_else(|error| {
            tracing::error!("no quotes are fetched: {error}");
            None
        });
        self.source = Some((wanted.clone(), source));
    }

    /// Starts the requests that are due, within the limit of requests in flight.
    fn start(&mut self) {
        let now = Instant::now();
        let Some((_, Some(source))) = &self.source else { return };
        while self.in_flight.len() < MAX_IN_FLIGHT {
            let Some(symbol) = self.schedule.start(now) else { return };
            let Some(job) = self.jobs.get(&symbol) else { continue };
            let (source, job) = (Arc::clone(source), Arc::clone(job));
            self.in_flight.push(
                async move {
                    let result = source.quote(&job.ticker).await;
                    Fetched { job, began: now, result }
                }
                .boxed(),
            );
        }
    }

    fn finish(&mut self, Fetched { job, began, result }: Fetched) {
        let now = Instant::now();
        self.metrics.fetch_seconds.observe((now - began).as_secs_f64());
        let outcome = match &result {
            Ok(_) => FetchOutcome::Ok,
            Err(error) => error.outcome(),
        };
        self.metrics.fetches.get_or_create(&outcome).inc();
        let symbol = &job.ticker.symbol;
        let earliest = match &result {
            Err(FetchError::RateLimited { retry_after }) => {
                let until = self.throttle.refused(began, now, *retry_after);
                self.schedule.pause(until);
                until
            }
            Err(error) => {
                let times = self.failing.get(symbol).map_or(1, |failing| failing.times + 1);
                now + backoff::of_symbol(times, error.retry_after())
            }
            Ok(_) => {
                self.throttle.answered();
                now
            }
        };
        self.schedule.done(now, symbol, earliest);
        // The ticker was revoked, removed or renamed meanwhile: the quote is dropped.
        let Some(current) = self.jobs.get(symbol).filter(|now| now.ticker.entity == job.ticker.entity) else {
            return;
        };
        match &result {
            Ok(quote) => match quote.to_json(&current.ticker) {
                Ok(value) => self.sink.publish(&Record {
                    topic: self.topic.clone(),
                    partition: current.partition,
                    key: current.key.clone(),
                    value,
                }),
                Err(error) => tracing::error!(ticker = symbol, %error, "a quote cannot be written as JSON"),
            },
            Err(error) => tracing::debug!(ticker = symbol, %error, "no quote"),
        }
        self.note(symbol, outcome, result.err());
    }

    /// Logs when a ticker begins to fail, fails in another way, or works again: one line each.
    fn note(&mut self, symbol: &str, outcome: FetchOutcome, error: Option<FetchError>) {
        let Some(error) = error else {
            if let Some(failing) = self.failing.remove(symbol) {
                tracing::info!(ticker = symbol, failures = failing.times, "quotes come again");
            }
            return;
        };
        let failing = self.failing.entry(symbol.to_owned()).or_default();
        failing.times = failing.times.saturating_add(1);
        if failing.outcome.replace(outcome) != Some(outcome) {
            tracing::warn!(ticker = symbol, %error, "no quote");
        }
    }
}

/// Whether two specs name the same source: another interval keeps its connections.
fn same_source(one: &SourceSpec, other: &SourceSpec) -> bool {
    match (one, other) {
        (SourceSpec::Yahoo { base_url: one, .. }, SourceSpec::Yahoo { base_url: other, .. }) => one == other,
        (SourceSpec::Simulated { seed: one, .. }, SourceSpec::Simulated { seed: other, .. }) => one == other,
        (one, other) => one == other,
    }
}

/// Returns the ticker's job with its symbol if this process owns its partition.
fn job(ticker: &Ticker, owned: &OwnedPartitions) -> Option<(String, Arc<Job>)> {
    if owned.partition_count < 1 {
        return None;
    }
    let key = raw_key(&ticker.entity);
    let partition = partition_for_key(key.as_bytes(), owned.partition_count);
    let job = Job { ticker: ticker.clone(), key, partition };
    owned.partitions.contains(&partition).then(|| (ticker.symbol.clone(), Arc::new(job)))
}

/// Waits for the next accepted spec; for ever if no more can come.
async fn changed(spec: &mut SpecReceiver) {
    if spec.changed().await.is_err() {
        pending().await
    }
}

#[cfg(test)]
mod tests;
