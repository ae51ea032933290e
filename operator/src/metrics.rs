//! What the operator counts, in OpenMetrics: every family is named `stockwatch_operator_…`, and every label's
//! values are listed here, so the number of series is fixed.

use std::fmt;
use std::sync::Mutex;

use prometheus_client::encoding::{EncodeLabel, EncodeLabelSet, LabelSetEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

/// The media type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

macro_rules! label {
    ($(#[$doc:meta])* $name:ident as $key:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As the label has it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl EncodeLabelSet for $name {
            fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
                ($key, self.as_str()).encode(encoder.encode_label())
            }
        }
    };
}

label! {
    /// A step of a reconcile; the label `step`.
    Step as "step" {
        /// Secrets are read.
        Dereference = "dereference",
        /// Objects are built.
        Build = "build",
        /// Objects are applied.
        Apply = "apply",
        /// The status is written.
        Status = "status",
        /// The finalizer is set or removed, and what stands before that.
        Finalize = "finalize",
    }
}

label! {
    /// A write to the API server; the label `write`.
    Write as "write" {
        /// An owned object is applied.
        Apply = "apply",
        /// A status is applied.
        Status = "status",
        /// Finalizers are set.
        Finalizer = "finalizer",
        /// A Deployment is deleted.
        Delete = "delete",
        /// An event is created.
        Event = "event",
    }
}

label! {
    /// What a StockWatch's condition Ready says; the label `ready`.
    Ready as "ready" {
        /// It works.
        True = "true",
        /// It does not.
        False = "false",
        /// It is under way.
        Unknown = "unknown",
        /// Nobody looks: the annotation `stockwatch.dev/paused`.
        Paused = "paused",
    }
}

label! {
    /// What a StockWatch's condition QuotesFlow says; the label `flow`.
    Flow as "flow" {
        /// Quotes flow, or none are expected.
        True = "true",
        /// They do not.
        False = "false",
        /// No worker is there to say so.
        Unknown = "unknown",
    }
}

/// Every metric of the process; the fields may be written from any thread.
#[derive(Debug)]
pub struct Metrics {
    /// Reconciles ended, well or not.
    pub reconciles: Counter,
    /// Reconciles that failed, by the step that did.
    pub errors: Family<Step, Counter>,
    /// Seconds of one reconcile.
    pub reconcile_seconds: Histogram,
    /// StockWatches that wait to be reconciled.
    pub queue_depth: Gauge,
    /// StockWatches that are being reconciled.
    pub active: Gauge,
    /// StockWatches by readiness.
    pub stockwatches: Family<Ready, Gauge>,
    /// Writes to the API server, failed ones included but for those that it refused.
    pub writes: Family<Write, Counter>,
    /// Writes that the API server refused.
    pub refused: Family<Write, Counter>,
    /// Breaks of watches.
    pub watch_errors: Counter,
    /// Namespaces (or the cluster) that are to be looked after and are not: they may not be watched, or are another
    /// release's.
    pub namespaces_left_out: Gauge,
    /// Times that workers were asked.
    pub worker_requests: Counter,
    /// Times that a worker did not answer.
    pub worker_request_errors: Counter,
    /// Times that workers were asked whether quotes flow.
    pub quotes_requests: Counter,
    /// Times that a worker did not answer that.
    pub quotes_request_errors: Counter,
    /// StockWatches by whether their quotes flow.
    pub quotes: Family<Flow, Gauge>,
    /// StockWatches deleted whose topics were to go but stayed.
    pub topics_left: Counter,
    /// 1 while an upgrade of the workers is halted: those that took it do not become ready.
    pub upgrade_halted: Gauge,
    /// 1 while this process leads.
    pub leading: Gauge,
    registry: Mutex<Registry>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero, with every label's values present.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("stockwatch_operator");
        let r = &mut registry;
        let metrics = Self {
            reconciles: register(r, "reconciles", "Reconciles ended, well or not"),
            errors: register(r, "reconcile_errors", "Reconciles that failed, by step"),
            reconcile_seconds: histogram(r, "reconcile_seconds", "Time of one reconcile", 0.001),
            queue_depth: register(r, "queue_depth", "StockWatches that wait to be reconciled"),
            active: register(r, "active", "StockWatches that are being reconciled"),
            stockwatches: register(r, "stockwatches", "StockWatches by readiness"),
            writes: register(r, "writes", "Writes to the API server, the Lease and refused ones apart"),
            refused: register(r, "refused", "Writes that the API server refused"),
            watch_errors: register(r, "watch_errors", "Breaks of watches"),
            namespaces_left_out: register(
                r,
                "namespaces_left_out",
                "Namespaces not looked after: gone, forbidden, or another release's",
            ),
            worker_requests: register(r, "worker_requests", "Times that workers were asked"),
            worker_request_errors: register(r, "worker_request_errors", "Times that a worker did not answer"),
            quotes_requests: register(r, "quotes_requests", "Times that workers were asked for /quotes"),
            quotes_request_errors: register(
                r,
                "quotes_request_errors",
                "Times that a worker did not answer /quotes",
            ),
            quotes: register(r, "quotes", "StockWatches by whether quotes flow"),
            topics_left: register(
                r,
                "topics_left",
                "StockWatches deleted whose topics were to go but stayed",
            ),
            upgrade_halted: register(
                r,
                "upgrade_halted",
                "1 while no more workers are upgraded, since those that were do not become ready",
            ),
            leading: register(r, "leading", "1 while this process leads"),
            registry: Mutex::default(),
        };
        for step in Step::ALL {
            drop(metrics.errors.get_or_create(step));
        }
        for write in Write::ALL {
            drop(metrics.writes.get_or_create(write));
            drop(metrics.refused.get_or_create(write));
        }
        for ready in Ready::ALL {
            drop(metrics.stockwatches.get_or_create(ready));
        }
        for flow in Flow::ALL {
            drop(metrics.quotes.get_or_create(flow));
        }
        Self { registry: Mutex::new(registry), ..metrics }
    }

    /// Sets what only a leader can tell to zero: another process tells it from now on.
    pub fn stand_by(&self) {
        for gauge in [&self.queue_depth, &self.active, &self.upgrade_halted, &self.leading] {
            gauge.set(0);
        }
        for ready in Ready::ALL {
            self.stockwatches.get_or_create(ready).set(0);
        }
        for flow in Flow::ALL {
            self.quotes.get_or_create(flow).set(0);
        }
    }

    /// Lets another part of the process register its own families.
    pub fn register_with<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// The text that Prometheus scrapes; its media type is [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut out = String::new();
        // Writing into a string cannot fail.
        let _ = text::encode(&mut out, &registry);
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
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_label_value_is_there_before_anything_happened() {
        let text = Metrics::new().encode();
        for line in [
            "stockwatch_operator_reconcile_errors_total{step=\"apply\"} 0\n",
            "stockwatch_operator_writes_total{write=\"status\"} 0\n",
            "stockwatch_operator_refused_total{write=\"finalizer\"} 0\n",
            "stockwatch_operator_stockwatches{ready=\"unknown\"} 0\n",
            "stockwatch_operator_stockwatches{ready=\"paused\"} 0\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn who_leads_no_more_tells_nothing_of_what_a_leader_knows() {
        let metrics = Metrics::new();
        for gauge in [&metrics.queue_depth, &metrics.active, &metrics.upgrade_halted, &metrics.leading] {
            gauge.set(1);
        }
        metrics.stockwatches.get_or_create(&Ready::False).set(3);
        metrics.quotes.get_or_create(&Flow::False).set(3);
        metrics.stand_by();
        let lines =
            |metrics: &Metrics| -> BTreeSet<String> { metrics.encode().lines().map(str::to_owned).collect() };
        assert_eq!(lines(&metrics), lines(&Metrics::new()));
    }

    #[test]
    fn what_is_counted_is_what_is_scraped() {
        let metrics = Metrics::new();
        metrics.reconciles.inc();
        metrics.writes.get_or_create(&Write::Apply).inc_by(7);
        let text = metrics.encode();
        assert!(text.contains("stockwatch_operator_reconciles_total 1\n"), "{text}");
        assert!(text.contains("stockwatch_operator_writes_total{write=\"apply\"} 7\n"), "{text}");
    }
}
