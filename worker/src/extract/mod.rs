//! The extractor: asks a source for quotes and writes them to the raw topic.
//!
//! A process fetches only the tickers whose raw partition it owns, so that each is fetched once in all. Tickers,
//! interval, source and ownership may change while it runs.

mod backoff;
pub mod chart;
mod extractor;
mod fetched;
mod publish;
mod schedule;
mod simulated;
mod source;
mod yahoo;

use std::sync::Arc;

use tokio::sync::watch;

use self::extractor::Extractor;
pub use self::fetched::{FetchError, FetchedQuote};
pub use self::source::Source;
use self::source::unix_time;
use crate::config::SpecReceiver;
use crate::kafka::Connection;
use crate::metrics::Metrics;
use crate::ownership::OwnedPartitions;

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

/// Runs the extractor until it is stopped; then requests are dropped, and what was fetched is sent within 2 s or lost.
///
/// It never fails: errors are logged and counted, and the fetch is tried again.
pub async fn run(deps: Deps) {
    let sink = publish::Producer::new(deps.connection, Arc::clone(&deps.metrics));
    let make_source = Box::new(source_of);
    let extractor = Extractor::new(deps.spec, deps.owned, deps.metrics, sink, make_source, unix_time());
    let sink = extractor.run(deps.stop).await;
    sink.close().await;
}

/// Returns the source that a spec names; `None` for an external one. The error is a sentence.
fn source_of(spec: &stockwatch_crds::Source) -> Result<Option<Arc<dyn Source>>, String> {
    use stockwatch_crds::Source as SourceSpec;
    Ok(match spec {
        SourceSpec::External => None,
        SourceSpec::Simulated { seed, .. } => Some(Arc::new(simulated::Simulated::new(*seed))),
        SourceSpec::Yahoo { base_url, .. } => Some(Arc::new(
            yahoo::Yahoo::new(base_url)
                .map_err(|error| format!("spec.source.yahoo.baseUrl {base_url:?}: {error}"))?,
        )),
    })
}
