//! The extractor: asks a source for quotes and writes them to the raw topic.
//!
//! A process fetches just the tickers whose raw partition it owns, so that each is fetched once. Spec, interval,
//! source and ownership change while it runs.

pub mod answer;
mod backoff;
mod extractor;
mod fetched;
mod poll;
mod publish;
mod schedule;
mod simulated;
mod source;
mod yahoo;

use std::sync::Arc;

use futures::future::FutureExt;
use stockwatch_crds::Source as SourceSpec;
use tokio::sync::{mpsc, watch};

pub use self::fetched::{FetchError, FetchedQuote};
use self::poll::poll;
use self::source::{Batch, Orders, Source};
use crate::config::SpecReceiver;
use crate::flow::Flow;
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
    /// Hears how every fetch ended.
    pub flow: Arc<Flow>,
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
    let extractor =
        extractor::Extractor::new(deps.spec, deps.owned, deps.metrics, deps.flow, sink, Box::new(start));
    let sink = extractor.run(deps.stop).await;
    sink.close().await;
}

/// Starts the source that a spec names; `None` asks nobody. The error is a sentence.
fn start(
    spec: &SourceSpec,
    orders: watch::Receiver<Orders>,
    batches: mpsc::Sender<Batch>,
) -> Result<Option<Source>, String> {
    Ok(match spec {
        SourceSpec::External => None,
        SourceSpec::Simulated { seed, .. } => {
            Some(poll(simulated::Simulated::new(*seed), orders, batches).boxed())
        }
        SourceSpec::Yahoo { base_url, user_agent, .. } => {
            let yahoo = yahoo::Yahoo::new(base_url, user_agent)
                .map_err(|error| format!("spec.source.yahoo.baseUrl {base_url:?}: {error}"))?;
            Some(poll(yahoo, orders, batches).boxed())
        }
    })
}
