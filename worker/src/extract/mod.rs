//! The extractor: asks a source for quotes and writes them to the raw topic.
//!
//! A process fetches just the tickers whose raw partition it owns, so that each is fetched once. Spec, interval,
//! source and ownership change while it runs.

pub mod answer;
mod backoff;
mod client;
mod extractor;
mod fetched;
pub mod http;
mod leaf;
pub mod once;
mod pause;
pub mod pointers;
mod poll;
mod publish;
mod schedule;
mod secrets;
mod simulated;
mod source;
mod stream;
mod text;
pub mod tick;
mod yahoo;

use std::path::PathBuf;
use std::sync::Arc;

use futures::future::FutureExt;
use stockwatch_crds::{Source, YahooMode};
use tokio::sync::{mpsc, watch};

pub use self::fetched::{FetchError, FetchedQuote};
use self::pause::Pause;
use self::poll::poll;
use self::secrets::{Material, SourceSecrets, with_secrets};
use self::source::{Batch, Orders, RunningSource};
pub(crate) use self::text::printable;
use crate::config::SpecReceiver;
use crate::flow::Flow;
use crate::kafka::Connection;
use crate::metrics::{Metrics, StreamConnected};
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
    /// Where the Secrets of sources are: `DIRECTORY/<secret name>/<key>`.
    pub source_secrets: PathBuf,
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
    let secrets = SourceSecrets::new(&deps.source_secrets);
    let connected = deps.metrics.stream_connected.clone();
    let start: extractor::StartSource =
        Box::new(move |spec, orders, batches| Ok(start(&secrets, &connected, spec, orders, batches)));
    let extractor = extractor::Extractor::new(deps.spec, deps.owned, deps.metrics, deps.flow, sink, start);
    let sink = extractor.run(deps.stop).await;
    sink.close().await;
}

/// Starts the source that a spec names; `None` asks nobody.
fn start(
    secrets: &SourceSecrets,
    connected: &StreamConnected,
    spec: &Source,
    orders: watch::Receiver<Orders>,
    batches: mpsc::Sender<Batch>,
) -> Option<RunningSource> {
    match spec {
        Source::External { .. } => None,
        Source::Simulated { seed, .. } => {
            Some(poll(simulated::Simulated::new(*seed), Pause::default(), orders, batches).boxed())
        }
        Source::Yahoo { .. } | Source::Http(_) => {
            let (spec, connected) = (spec.clone(), connected.clone());
            let start = move |material: &Material, orders, batches| {
                asked(&spec, &connected, material, orders, batches)
            };
            Some(with_secrets(secrets.clone(), orders, batches, Box::new(start)).boxed())
        }
    }
}

/// Starts a source that is asked over a network. The error is a sentence.
fn asked(
    spec: &Source,
    connected: &StreamConnected,
    material: &Material,
    orders: watch::Receiver<Orders>,
    batches: mpsc::Sender<Batch>,
) -> Result<RunningSource, String> {
    match spec {
        Source::Yahoo { mode, base_url, user_agent, .. } => {
            let named = |error| format!("spec.source.yahoo, {base_url:?}: {error}");
            if *mode == YahooMode::Stream {
                let stream = stream::Stream::new(base_url, user_agent, material).map_err(named)?;
                return Ok(stream.run(connected.clone(), orders, batches).boxed());
            }
            let yahoo = yahoo::Yahoo::new(base_url, user_agent, material).map_err(named)?;
            Ok(poll(yahoo, Pause::default(), orders, batches).boxed())
        }
        Source::Http(http) => {
            let provider = http::Provider::new(http, material)?;
            Ok(poll(provider, Pause::default(), orders, batches).boxed())
        }
        Source::External { .. } | Source::Simulated { .. } => Err("nobody is asked".into()),
    }
}
