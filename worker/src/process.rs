//! What the commands have in common as processes: an exit code, log lines, and the signals that end them.

use std::fmt::Display;
use std::io::{self, IsTerminal};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::LogFormat;

/// The exit code for a file or an argument that cannot be used.
pub(crate) const BAD_INPUT: u8 = 2;

/// For whoever typed the command: not a log line.
#[allow(clippy::print_stderr)]
pub(crate) fn complain(message: &dyn Display) {
    eprintln!("stockwatch-worker: {message}");
}

/// Logs from this level on, unless the environment says otherwise.
pub(crate) fn log_to_stderr(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
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
