//! The extractor: asks a source for quotes and writes them to the raw topic.
//!
//! A process fetches just the tickers whose raw partition it owns, so that each is fetched once. Spec, interval,
//! source and ownership change while it runs.

mod backoff;
pub mod chart;
mod fetched;
mod publish;
mod run;
mod schedule;
mod simulated;
mod yahoo;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use stockwatch_crds::Ticker;
use tokio::sync::watch;

pub use self::fetched::{FetchError, FetchedQuote};
use crate::config::SpecReceiver;
use crate::kafka::Connection;
use crate::metrics::Metrics;
use crate::ownership::OwnedPartitions;

/// Between the starts of two requests to a real source: at most 10 a second for each process.
const LEAST_GAP: Duration = Duration::from_millis(100);

/// Asks for quotes.
pub trait Source: Send + Sync {
    /// The current quote of a ticker; it must end in bounded time.
    fn quote<'a>(&'a self, ticker: &'a Ticker) -> BoxFuture<'a, Result<FetchedQuote, FetchError>>;
}

/// What the extractor needs of the process.
#[derive(Debug)]
pub struct Deps {
    /// Where the quotes go.
    pub connection: Connection,
    /// Tickers, source and the raw topic's name.
    pub spec: SpecReceiver,
    /// The raw partitions whose tickers are fetched; when its sender is gone, the extractor ends.
    pub owned: watch::Receiver<OwnedPartitions>,
    /// Counts fetches and quotes.
    pub metrics: Arc<Metrics>,
    /// `true`, or a sender that is gone, ends the extractor.
    pub stop: watch::Receiver<bool>,
}

/// Extracts until stopped: then requests are dropped and what was fetched is sent, for at most 2 s.
///
/// It never fails: what goes wrong is logged, counted and tried again.
pub async fn run(deps: Deps) {
    let sink = publish::Producer::new(deps.connection, Arc::clone(&deps.metrics));
    let make_source = Box::new(source_of);
    let extractor = run::Extractor::new(deps.spec, deps.owned, deps.metrics, sink, make_source, unix_time());
    let sink = extractor.run(deps.stop).await;
    sink.close().await;
}

/// Since 1970, by the system's clock.
fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The source that a spec names; `None` asks nobody. The error is a sentence.
fn source_of(spec: &stockwatch_crds::Source) -> Result<Option<Arc<dyn Source>>, String> {
    use stockwatch_crds::Source as Spec;
    Ok(match spec {
        Spec::External => None,
        Spec::Simulated { seed, .. } => Some(Arc::new(simulated::Simulated::new(*seed))),
        Spec::Yahoo { base_url, .. } => Some(Arc::new(
            yahoo::Yahoo::new(base_url)
                .map_err(|error| format!("spec.source.yahoo.baseUrl {base_url:?}: {error}"))?,
        )),
    })
}
