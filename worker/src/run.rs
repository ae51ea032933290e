//! `stockwatch-worker run`: one StockWatch, of a file or of an API server, against its Kafka, until told to stop.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::sync::watch;

use crate::args::Run;
use crate::config::cluster::{self, Api, ApiError, Copies, DocumentJudge, Following, Resource, StartError};
use crate::config::{self, FileWatch, Live, Refusal};
use crate::http::{self, Limits};
use crate::kafka::{Connection, ConnectionError};
use crate::metrics::Metrics;
use crate::process::{BAD_INPUT, Signals, complain, log_to_stderr};
use crate::shared::Shared;
use crate::worker::{Ended, Worker};

/// Why the worker does not run; the message says what to do.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{0}")]
    File(#[from] Refusal),
    #[error(transparent)]
    Cluster(#[from] StartError),
    #[error("--watch: {0}")]
    Api(#[from] ApiError),
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    #[error("--http {address}: cannot listen: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("the process cannot start: {0}")]
    Start(#[from] io::Error),
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Runs until a signal comes or the worker fails. 0: stopped, 1: failed, 2: the file or an argument is bad.
pub fn run(arguments: &Run) -> ExitCode {
    log_to_stderr(arguments.log_format, "info");
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ (RunError::File(_) | RunError::Connection(_) | RunError::Api(_))) => {
            complain(&format!("{} cannot be used:\n{error}", named(arguments)));
            ExitCode::from(BAD_INPUT)
        }
        Err(error) => {
            tracing::error!(%error, "the worker ended");
            ExitCode::FAILURE
        }
    }
}

/// What is run, for people.
fn named(arguments: &Run) -> String {
    let file = arguments.watch_file.as_ref().map(|file| file.display().to_string());
    let resource = arguments.watch.as_ref().map(|resource| format!("StockWatch {resource}"));
    file.or(resource).unwrap_or_default()
}

fn start(arguments: &Run) -> Result<(), RunError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(arguments));
    // A call to Kafka may still block a thread; nothing waits for it.
    runtime.shutdown_background();
    result
}

/// Who delivers edits for as long as this lives.
enum Edits {
    File { _watch: FileWatch },
    Cluster { _following: Following },
}

/// The spec to start with, and who delivers edits of it.
async fn spec(arguments: &Run, metrics: &Arc<Metrics>) -> Result<(Arc<Live>, Edits), RunError> {
    if let (Some(resource), Some(uid)) = (&arguments.watch, &arguments.uid) {
        return in_cluster(arguments, resource, uid, metrics).await;
    }
    let file = arguments.watch_file.as_deref().unwrap_or(Path::new(""));
    let text = config::read(file)?;
    let live = Arc::new(Live::new(&text, Arc::clone(metrics))?);
    if live.current().spec.suspend {
        tracing::warn!("spec.suspend does nothing here: stop this process instead");
    }
    let watch = FileWatch::start(file, text, Arc::clone(&live))?;
    Ok((live, Edits::File { _watch: watch }))
}

async fn in_cluster(
    arguments: &Run,
    resource: &Resource,
    uid: &str,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<Live>, Edits), RunError> {
    let copies = Copies::new(&arguments.spec_directory, &arguments.state_directory);
    let mut api = Api::of_pod(resource.clone(), &arguments.service_account)?;
    let start = cluster::start(&mut api, uid, &copies).await?;
    let live = Arc::new(Live::starting_with(start.spec, Arc::clone(metrics)));
    let refused = start.refused.map(|(generation, refusal)| {
        live.refuse(&refusal);
        generation
    });
    let judge = Arc::new(DocumentJudge::new(Arc::clone(&live), start.document, refused));
    let following = cluster::follow(api, judge, copies, Arc::clone(metrics))?;
    Ok((live, Edits::Cluster { _following: following }))
}

/// HTTP comes before the work, so that it can say why there is none yet.
async fn serve(arguments: &Run) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let metrics = Arc::new(Metrics::new());
    let (live, _edits) = tokio::select! {
        spec = spec(arguments, &metrics) => spec?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before there was a spec");
            return Ok(());
        }
    };
    let connection = Connection::new(&live.current().spec.kafka, &arguments.credentials)?;
    let shared = Shared { live, health: Arc::default(), flow: Arc::default(), metrics };
    let address = arguments.http;
    let listener = http::listen(address).await.map_err(|source| RunError::Listen { address, source })?;
    let (stop, stopped) = watch::channel(false);
    let server =
        tokio::spawn(http::serve(listener, http::router(shared.clone()), Limits::default(), stopped));
    tracing::info!(%address, stockwatch = named(arguments), version = env!("CARGO_PKG_VERSION"), "started");

    let result = work(arguments, connection, &shared, &mut signals).await;
    stop.send_replace(true);
    let _ = server.await;
    result
}

/// Runs the worker until a signal comes.
async fn work(
    arguments: &Run,
    connection: Connection,
    shared: &Shared,
    signals: &mut Signals,
) -> Result<(), RunError> {
    let id = arguments.id();
    tracing::info!(id, "the work begins");
    // With an operator, missing topics are its own to create.
    let creates_topics = arguments.watch.is_none();
    let mut worker = Worker::start(connection, id, creates_topics, &arguments.source_secrets, shared)?;
    tokio::select! {
        ended = worker.ended() => return Err(ended.into()),
        signal = signals.next() => tracing::info!(signal, "stopping"),
    }
    shared.health.set_stopping();
    worker.stop().await?;
    tracing::info!("stopped");
    Ok(())
}
