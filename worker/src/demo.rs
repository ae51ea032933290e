//! `stockwatch-worker demo`: the whole worker in one process, on librdkafka's mock cluster, with simulated quotes.
//!
//! Pipeline, extractor and live configuration are the real ones; `feed` reads their topics as any reader would,
//! `table` keeps what it read, `screen` and `lines` show it.

mod feed;
mod lines;
mod screen;
mod table;
mod view;

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyCode, KeyModifiers};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use stockwatch_crds::Topics;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tracing_subscriber::EnvFilter;

use self::feed::{Feed, FeedError};
use self::lines::Lines;
use self::table::Table;
use self::view::View;
use crate::args;
use crate::config::{self, FileWatch, Live, Refusal};
use crate::kafka::Connection;
use crate::metrics::Metrics;
use crate::process::{BAD_INPUT, Signals, complain};
use crate::shared::Shared;
use crate::worker::{Ended, Worker};

/// Six tickers with windows and tolerances that alarm now and then.
const EXAMPLE: &str = include_str!("demo/example.yaml");

/// Partitions where the file does not say how many.
const PARTITIONS: i32 = 3;

/// Between two reads of the keyboard and, while records come, two frames.
const FRAME: Duration = Duration::from_millis(50);

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    File(#[from] Refusal),
    #[error("spec.kafka.topics: the table must have as many partitions as the raw topic")]
    Partitions,
    #[error("librdkafka's mock cluster: {0}")]
    Cluster(#[from] KafkaError),
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("the terminal or a temporary file cannot be used: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Ended(#[from] Ended),
}

/// Runs until `q`, Ctrl-C, a signal or `--seconds`. 0: so ended, 1: failed, 2: the file is bad.
pub fn run(arguments: &args::Demo) -> ExitCode {
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(if matches!(error, DemoError::File(_)) { BAD_INPUT } else { 1 })
        }
    }
}

fn start(arguments: &args::Demo) -> Result<(), DemoError> {
    let directory = tempfile::Builder::new().prefix("stockwatch-demo-").tempdir()?;
    let log = directory.path().join("demo.log");
    log_to(&log)?;
    let file = match &arguments.file {
        Some(file) => file.clone(),
        None => {
            let file = directory.path().join("stockwatch.yaml");
            std::fs::write(&file, EXAMPLE)?;
            file
        }
    };
    let text = config::read(&file)?;
    let metrics = Arc::new(Metrics::new());
    let live = Arc::new(Live::new(&text, Arc::clone(&metrics))?);
    let shared = Shared { live: Arc::clone(&live), health: Arc::default(), flow: Arc::default(), metrics };
    let _watch = FileWatch::start(&file, text, live)?;

    let cluster = MockCluster::new(1)?;
    let topics = shared.live.current().spec.kafka.topics.clone();
    let partitions = create_topics(&cluster, &topics)?;
    let connection = Connection::plaintext(&cluster.bootstrap_servers());
    let (events, received) = mpsc::channel(10_000);
    let _feed = Feed::start(&connection, &topics, partitions, events)?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let demo = Demo { shared, received, table: Table::default(), file, log };
    let result = runtime.block_on(async {
        let worker =
            Worker::start(connection, "demo".into(), false, Path::new(args::SOURCE_SECRETS), &demo.shared)?;
        let end = arguments.seconds.map(Duration::from_secs);
        if io::stdout().is_terminal() {
            let mut terminal = ratatui::try_init()?;
            let result = demo.show(worker, end, &mut Display::Screen(&mut terminal)).await;
            ratatui::restore();
            result
        } else {
            demo.show(worker, end, &mut Display::Lines(Lines::default(), Instant::now())).await
        }
    });
    runtime.shutdown_background();
    match result {
        // The reader of the lines, such as `head`, has closed the pipe.
        Err(DemoError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Logs to a file: lines on the terminal would garble the screen.
fn log_to(path: &Path) -> io::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(Mutex::new(File::create(path)?))
        .init();
    Ok(())
}

/// The mock cluster has no admin calls: topics are created beside the protocol.
fn create_topics(
    cluster: &MockCluster<'_, rdkafka::producer::DefaultProducerContext>,
    topics: &Topics,
) -> Result<i32, DemoError> {
    let raw = topics.raw_input.partitions.unwrap_or(PARTITIONS);
    if topics.after_dedup_storage_table.partitions.is_some_and(|table| table != raw) {
        return Err(DemoError::Partitions);
    }
    let all = [
        &topics.raw_input,
        &topics.after_dedup_stream,
        &topics.after_dedup_storage_table,
        &topics.averages_output,
        &topics.deviation_alarm,
        &topics.dead_letter,
        // Accounts may come with an edit.
        &topics.ledger,
    ];
    for topic in all {
        cluster.create_topic(&topic.name, raw, 1)?;
    }
    Ok(raw)
}

enum Display<'a> {
    Screen(&'a mut DefaultTerminal),
    Lines(Lines, Instant),
}

impl Display<'_> {
    fn show(&mut self, view: &View<'_>) -> io::Result<()> {
        match self {
            Self::Screen(terminal) => terminal.draw(|frame| screen::draw(frame, view)).map(drop),
            Self::Lines(lines, began) => {
                let mut out = io::stdout().lock();
                out.write_all(lines.news(view, began.elapsed()).as_bytes())?;
                out.flush()
            }
        }
    }

    /// Whether a key that quits was pressed.
    fn quit(&self) -> io::Result<bool> {
        if matches!(self, Self::Lines(..)) {
            return Ok(false);
        }
        while event::poll(Duration::ZERO)? {
            if let Input::Key(key) = event::read()? {
                let control_c =
                    key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
                if control_c || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

struct Demo {
    shared: Shared,
    received: mpsc::Receiver<table::ShownRecord>,
    table: Table,
    file: PathBuf,
    log: PathBuf,
}

impl Demo {
    async fn show(
        mut self,
        mut worker: Worker,
        end: Option<Duration>,
        output: &mut Display<'_>,
    ) -> Result<(), DemoError> {
        let mut signals = Signals::new()?;
        let (mut spec, mut error) = (self.shared.live.subscribe(), self.shared.live.error());
        let mut applied = self.shared.health.applied();
        let mut frame = interval(FRAME);
        frame.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let began = Instant::now();
        output.show(&self.view())?;
        loop {
            tokio::select! {
                Some(event) = self.received.recv() => {
                    self.table.take(event);
                    // Shown with the next frame.
                    continue;
                }
                // A saved file is shown at once, and again when the pipeline computes with it.
                Ok(()) = spec.changed() => {}
                Ok(()) = error.changed() => {}
                Ok(()) = applied.changed() => {}
                _ = frame.tick() => {
                    if output.quit()? || end.is_some_and(|end| began.elapsed() >= end) {
                        break;
                    }
                }
                _ = signals.next() => break,
                ended = worker.ended() => return Err(ended.into()),
            }
            output.show(&self.view())?;
        }
        worker.stop().await?;
        Ok(())
    }

    fn view(&self) -> View<'_> {
        let live = self.shared.live.current();
        let idle = live
            .spec
            .source
            .is_external()
            .then(|| "spec.source.external: the demo has no writer of quotes; use simulated".to_owned());
        View {
            table: &self.table,
            error: self.shared.live.error().borrow().clone(),
            not_ready: self.shared.health.not_ready().or(idle),
            applied: *self.shared.health.applied().borrow(),
            live,
            file: &self.file,
            log: &self.log,
        }
    }
}
