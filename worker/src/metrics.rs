//! What the worker counts, in OpenMetrics: every family is named `stockwatch_…` and every label's values are
//! listed here, so the number of series is fixed.

mod labels;
mod stream;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use stockwatch_core::SkipReason;
use stockwatch_core::account::Side;
use stockwatch_core::wire::DeadLetterReason;

pub use self::labels::{DuplicatePrice, FailingLabel, FetchOutcome, ReasonLabel, SideLabel, SkipLabel};
pub use self::stream::StreamConnected;

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric of the process; the fields may be written from any thread.
#[derive(Debug)]
pub struct Metrics {
    /// Raw records read.
    pub quotes_consumed: Counter,
    /// Quotes that entered the windows.
    pub quotes_accepted: Counter,
    /// Quotes with the time of one that was accepted before, by whether the price is the same.
    pub quotes_duplicate: Family<DuplicatePrice, Counter>,
    /// Accepted although older than the entity's newest.
    pub quotes_late_joined: Counter,
    /// Older than every window.
    pub quotes_late_dropped: Counter,
    /// Of an entity that the spec does not list.
    pub quotes_unlisted: Counter,
    /// Of an unlisted entity beyond the wildcard's limit.
    pub quotes_over_limit: Counter,
    /// Averages written.
    pub averages: Counter,
    /// Alarms written.
    pub alarms: Counter,
    /// Moves beyond a tolerance that the settings of alarms let pass, by reason.
    pub alarms_skipped: Family<SkipLabel, Counter>,
    /// Orders that paper accounts placed.
    pub paper_orders: Family<SideLabel, Counter>,
    /// Orders of paper accounts that quotes filled.
    pub paper_fills: Family<SideLabel, Counter>,
    /// Bad records by reason.
    pub dead_letters: Family<ReasonLabel, Counter>,
    /// Those of them that the dead-letter topic did not take in any form.
    pub dead_letters_lost: Counter,
    /// Checkpoint records written.
    pub checkpoints: Counter,
    /// Their bytes.
    pub checkpoint_bytes: Counter,
    /// Transactions committed.
    pub transactions_committed: Counter,
    /// Transactions aborted or lost.
    pub transactions_aborted: Counter,
    /// Partitions restored.
    pub restores: Counter,
    /// Raw records replayed by restores.
    pub replayed_records: Counter,
    /// Raw records that a restore needed but that the log no longer holds.
    pub restore_gap_records: Counter,
    /// Specs taken.
    pub specs_accepted: Counter,
    /// Specs refused.
    pub specs_rejected: Counter,
    /// Watches of the own resource that failed or could not begin.
    pub watch_failures: Counter,
    /// 1 while the API server tells of edits at once, 0 while it is away, or there is none.
    pub watch_connected: Gauge,
    /// Quotes written to the raw topic by the extractor.
    pub quotes_produced: Counter,
    /// Fetches by outcome.
    pub fetches: Family<FetchOutcome, Counter>,
    /// Seconds from the start of a commit to its acknowledgement.
    pub commit_seconds: Histogram,
    /// Seconds to restore one partition.
    pub restore_seconds: Histogram,
    /// Seconds of one fetch.
    pub fetch_seconds: Histogram,
    /// Raw partitions owned and restored.
    pub partitions_owned: Gauge,
    /// Entities in memory.
    pub entities: Gauge,
    /// The generation last accepted; 0 for a plain file without one.
    pub spec_generation: Gauge,
    /// Loads accepted by this process.
    pub spec_revision: Gauge,
    /// The generation that every owned partition computes with.
    pub applied_generation: Gauge,
    /// Tickers that this process fetches.
    pub tickers_owned: Gauge,
    /// Seconds between two fetches of one ticker, after stretching.
    pub fetch_interval_seconds: Gauge<f64, AtomicU64>,
    /// Whether the stream is connected, where quotes come from one.
    pub stream_connected: StreamConnected,
    /// Seconds since the newest quote of the tickers that are due one; 0 where none is.
    pub newest_quote_age_seconds: Gauge,
    /// Tickers whose last fetch gave no quote, by outcome; those of `ok` are 0.
    pub failing_tickers: Family<FailingLabel, Gauge>,
    /// Raw records that the partitions owned have not computed, as the last fetches saw it.
    pub consumer_lag_records: Gauge,
    /// Resident bytes of the process.
    pub memory_bytes: Gauge,
    /// Bytes that its container may have; 0: no limit.
    pub memory_limit_bytes: Gauge,
    /// Seconds from the timestamp of a transaction's oldest raw record to its commit.
    pub end_to_end_seconds: Histogram,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero, with every label's values present.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("stockwatch");
        let r = &mut registry;
        let metrics = Self {
            quotes_consumed: register(r, "quotes_consumed", "Raw records read"),
            quotes_accepted: register(r, "quotes_accepted", "Quotes that entered the windows"),
            quotes_duplicate: register(r, "quotes_duplicate", "Quotes with a time accepted before"),
            quotes_late_joined: register(r, "quotes_late_joined", "Quotes older than the newest, accepted"),
            quotes_late_dropped: register(r, "quotes_late_dropped", "Quotes older than every window"),
            quotes_unlisted: register(r, "quotes_unlisted", "Quotes of entities that the spec does not list"),
            quotes_over_limit: register(r, "quotes_over_limit", "Quotes beyond the wildcard's entity limit"),
            averages: register(r, "averages", "Averages written"),
            alarms: register(r, "alarms", "Alarms written"),
            alarms_skipped: register(r, "alarms_skipped", "Moves that spec.alarms takes for no alarm"),
            paper_orders: register(r, "paper_orders", "Orders placed by paper accounts"),
            paper_fills: register(r, "paper_fills", "Orders of paper accounts filled"),
            dead_letters: register(r, "dead_letters", "Raw records sent to the dead-letter topic"),
            dead_letters_lost: register(r, "dead_letters_lost", "Bad records that could not be written"),
            checkpoints: register(r, "checkpoints", "Checkpoint records written"),
            checkpoint_bytes: register(r, "checkpoint_bytes", "Bytes of checkpoint records written"),
            transactions_committed: register(r, "transactions_committed", "Transactions committed"),
            transactions_aborted: register(r, "transactions_aborted", "Transactions aborted or lost"),
            restores: register(r, "restores", "Partitions restored"),
            replayed_records: register(r, "replayed_records", "Raw records replayed by restores"),
            restore_gap_records: register(r, "restore_gap_records", "Raw records missing in restores"),
            specs_accepted: register(r, "specs_accepted", "Specs taken"),
            specs_rejected: register(r, "specs_rejected", "Specs refused"),
            watch_failures: register(r, "watch_failures", "Watches of the own StockWatch that failed"),
            watch_connected: register(r, "watch_connected", "1 while the API server tells of edits at once"),
            quotes_produced: register(r, "quotes_produced", "Quotes written to the raw topic"),
            fetches: register(r, "fetches", "Fetches of a quote"),
            commit_seconds: histogram(r, "commit_seconds", "Time to commit a transaction", 0.0005),
            restore_seconds: histogram(r, "restore_seconds", "Time to restore a partition", 0.01),
            fetch_seconds: histogram(r, "fetch_seconds", "Time to fetch a quote", 0.005),
            partitions_owned: register(r, "partitions_owned", "Raw partitions owned and restored"),
            entities: register(r, "entities", "Entities in memory"),
            spec_generation: register(r, "spec_generation", "Generation last accepted"),
            spec_revision: register(r, "spec_revision", "Loads accepted by this process"),
            applied_generation: register(r, "applied_generation", "Generation that is computed with"),
            tickers_owned: register(r, "tickers_owned", "Tickers fetched by this process"),
            fetch_interval_seconds: register(r, "fetch_interval_seconds", "Time between fetches of a ticker"),
            stream_connected: StreamConnected(register(
                r,
                "stream_connected",
                "1 while the stream of quotes is connected",
            )),
            newest_quote_age_seconds: register(
                r,
                "newest_quote_age_seconds",
                "Age of the newest quote of tickers that are due one",
            ),
            failing_tickers: register(r, "failing_tickers", "Tickers without a quote in their last fetch"),
            consumer_lag_records: register(r, "consumer_lag_records", "Raw records not computed yet"),
            memory_bytes: register(r, "memory_bytes", "Resident memory"),
            memory_limit_bytes: register(r, "memory_limit_bytes", "Memory that the container may have, or 0"),
            end_to_end_seconds: histogram(
                r,
                "end_to_end_seconds",
                "Time from a transaction's oldest raw record to its commit",
                0.002,
            ),
            registry,
        };
        for outcome in &FetchOutcome::ALL {
            drop(metrics.fetches.get_or_create(outcome));
            drop(metrics.failing_tickers.get_or_create(&FailingLabel(*outcome)));
        }
        for side in Side::ALL {
            drop(metrics.paper_orders.get_or_create(&SideLabel(side)));
            drop(metrics.paper_fills.get_or_create(&SideLabel(side)));
        }
        for price in &DuplicatePrice::ALL {
            drop(metrics.quotes_duplicate.get_or_create(price));
        }
        for reason in SkipReason::ALL {
            drop(metrics.alarms_skipped.get_or_create(&SkipLabel(reason)));
        }
        for reason in DeadLetterReason::ALL {
            drop(metrics.dead_letters.get_or_create(&ReasonLabel(reason)));
        }
        metrics
    }

    /// The text that Prometheus scrapes; its media type is [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

fn register<M: Metric + Default + Clone>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// Sixteen buckets, each twice the one before, from `least` seconds.
fn histogram(registry: &mut Registry, name: &str, help: &str, least: f64) -> Histogram {
    let metric = Histogram::new(exponential_buckets(least, 2.0, 16));
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_value_is_there_before_anything_happened() {
        let text = Metrics::new().encode();
        for outcome in FetchOutcome::ALL {
            let line = format!("stockwatch_fetches_total{{outcome=\"{}\"}} 0\n", outcome.as_str());
            assert!(text.contains(&line), "{line}");
        }
        for what in ["orders", "fills"] {
            let line = format!("stockwatch_paper_{what}_total{{side=\"uninvest\"}} 0\n");
            assert!(text.contains(&line), "{line}");
        }
        for reason in SkipReason::ALL {
            let line = format!("stockwatch_alarms_skipped_total{{reason=\"{}\"}} 0\n", reason.as_str());
            assert!(text.contains(&line), "{line}");
        }
        for reason in DeadLetterReason::ALL {
            let line = format!("stockwatch_dead_letters_total{{reason=\"{}\"}} 0\n", reason.as_str());
            assert!(text.contains(&line), "{line}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn what_is_counted_is_what_is_scraped() {
        let metrics = Metrics::new();
        metrics.quotes_consumed.inc_by(7);
        metrics.applied_generation.set(3);
        metrics.fetch_interval_seconds.set(1.5);
        metrics.dead_letters.get_or_create(&ReasonLabel(DeadLetterReason::NotJson)).inc();
        let text = metrics.encode();
        for line in [
            "stockwatch_quotes_consumed_total 7\n",
            "stockwatch_applied_generation 3\n",
            "stockwatch_fetch_interval_seconds 1.5\n",
            "stockwatch_dead_letters_total{reason=\"not_json\"} 1\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
