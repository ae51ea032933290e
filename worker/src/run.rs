//! `stockwatch-worker run`: one StockWatch of a file against its Kafka, until told to stop.

use std::fmt::Display;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::args::{LogFormat, Run};
use crate::config::{self, FileWatch, Live, Refusal};
use crate::health::Health;
use crate::http::{self, Limits, Shared};
use crate::kafka::{Connection, ConnectionError};
use crate::metrics::Metrics;
use crate::worker::{Ended, Worker};

/// The exit code for a file or an argument that cannot be used.
pub(crate) const BAD_INPUT: u8 = 2;

/// Why the worker does not run; the message says what to do.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("{0}")]
    File(#[from] Refusal),
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
    log_to_stderr(arguments.log_format);
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ (RunError::File(_) | RunError::Connection(_))) => {
            complain(&format!("{} cannot be used:\n{error}", arguments.watch_file.display()));
            ExitCode::from(BAD_INPUT)
        }
        Err(error) => {
            tracing::error!(%error, "the worker ended");
            ExitCode::FAILURE
        }
    }
}

/// For whoever typed the command: not a log line.
#[allow(clippy::print_stderr)]
pub(crate) fn complain(message: &dyn Display) {
    eprintln!("stockwatch-worker: {message}");
}

fn log_to_stderr(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}

fn start(arguments: &Run) -> Result<(), RunError> {
    let text = config::read(&arguments.watch_file)?;
    let metrics = Arc::new(Metrics::new());
    let live = Arc::new(Live::new(&text, Arc::clone(&metrics))?);
    let spec = live.current();
    let connection = Connection::new(&spec.spec.kafka, &arguments.credentials)?;
    if spec.spec.suspend {
        tracing::warn!("spec.suspend does nothing here: stop this process instead");
    }
    let shared = Shared { live: Arc::clone(&live), health: Arc::new(Health::default()), metrics };
    let _watch = FileWatch::start(&arguments.watch_file, text, live)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(arguments, connection, shared));
    // A call to Kafka may still block a thread; nothing waits for it.
    runtime.shutdown_background();
    result
}

/// HTTP comes first, so that it can say why there is no worker yet.
async fn serve(arguments: &Run, connection: Connection, shared: Shared) -> Result<(), RunError> {
    let mut signals = Signals::new()?;
    let address = arguments.http;
    let listen = |source| RunError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let (stop, stopped) = watch::channel(false);
    let server =
        tokio::spawn(http::serve(listener, http::router(shared.clone()), Limits::default(), stopped));
    tracing::info!(%address, file = %arguments.watch_file.display(), version = env!("CARGO_PKG_VERSION"), "started");

    let result = work(arguments.id(), connection, &shared, &mut signals).await;
    stop.send_replace(true);
    let _ = server.await;
    result
}

/// Runs the worker until a signal comes.
async fn work(
    id: String,
    connection: Connection,
    shared: &Shared,
    signals: &mut Signals,
) -> Result<(), RunError> {
    tracing::info!(id, "the work begins");
    let mut worker = Worker::start(connection, id, true, shared)?;
    tokio::select! {
        ended = worker.ended() => return Err(ended.into()),
        signal = signals.next() => tracing::info!(signal, "stopping"),
    }
    shared.health.set_not_ready(Some("stopping".into()));
    worker.stop().await?;
    tracing::info!("stopped");
    Ok(())
}

/// The two signals that ask a process to end.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
