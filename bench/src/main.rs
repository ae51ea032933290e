//! Benchmarks of the worker against Kafka Streams and against librdkafka alone: one real broker, one run, one
//! table of figures, and which of the project's bars hold. And of the operator, in a cluster of its own.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "figures are what this program is for")]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts, for display")]

mod bare;
mod broker;
mod cluster;
mod error;
mod http;
mod job;
mod limit;
mod measure;
mod meter;
mod operator;
mod process;
mod program;
mod quotes;
mod reader;
mod report;
mod shape;
mod soak;
mod speed;
mod systems;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::broker::Broker;
use crate::cluster::Cluster;
use crate::error::Result;
use crate::measure::{
    alarms, catch_up, edits, failover, idle, largest, latency, lengthen, one_partition, outage, quota,
    restore, restore_large, slow_feed, start, stream, tolerance, whatif, windows,
};
use crate::report::Report;
use crate::systems::{Bench, build_peer};

// The worker's allocator: with glibc's the floor would cost a sixth more.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Measures the StockWatch worker against Kafka Streams and librdkafka alone, and the operator against bare clients.
#[derive(Debug, Parser)]
struct CommandLine {
    #[command(subcommand)]
    measurement: Option<Measurement>,
    #[command(flatten)]
    place: Place,
}

/// Where things are.
#[derive(Debug, Args)]
struct Place {
    /// The script that runs a broker.
    #[arg(long, env = "STOCKWATCH_KAFKA", global = true)]
    kafka: Option<PathBuf>,
    /// First of the broker's three ports.
    #[arg(long, default_value_t = 29_500, global = true)]
    port: u16,
    /// The worker's executable; the one beside this program if absent.
    #[arg(long, global = true)]
    worker: Option<PathBuf>,
    /// Keep the programs' logs and spec files in this directory.
    #[arg(long, global = true)]
    keep: Option<PathBuf>,
    /// Leave the worker out.
    #[arg(long, global = true)]
    without_worker: bool,
}

impl Place {
    fn worker(&self) -> Result<PathBuf> {
        let worker = match &self.worker {
            Some(worker) => worker.clone(),
            None => std::env::current_exe()?.with_file_name("stockwatch-worker"),
        };
        if worker.exists() {
            return Ok(worker);
        }
        Err(format!("no worker at {}: build it, or name it by --worker", worker.display()).into())
    }
}

/// What to measure; everything if absent.
#[derive(Debug, Subcommand)]
enum Measurement {
    /// Everything.
    All,
    /// CPU for each quote, quotes a second, peak memory.
    CatchUp,
    /// Alarm latency, in turn with librdkafka alone.
    Latency,
    /// Start to the first output.
    Start,
    /// SIGKILL to the first output with 100,000 entities.
    Restore,
    /// Idle memory.
    Idle,
    /// Cost of a quote as windows grow.
    Windows,
    /// SIGKILL of one of two workers.
    Failover,
    /// Changed tolerance to the first alarm by it.
    Tolerance,
    /// A thousand edits of the largest StockWatch; not part of "all".
    Largest,
    /// A restart with 2 × 100,000 entities in 512 MiB.
    RestoreLarge,
    /// Alarm latency while a window is lengthened to a day.
    Lengthen,
    /// Alarm latency while one partition cannot be restored.
    OnePartition,
    /// Bytes of checkpoints with a quote a minute of each ticker.
    SlowFeed,
    /// A backlog on a broker with a quota.
    Quota,
    /// A day of quotes judged anew by one candidate and by forty, against a plain consumer; and after an edit.
    Whatif,
    /// Instructions of the core against the release before episodes; not part of "all".
    Instructions(alarms::Arguments),
    /// CPU of the worker against the release before episodes; not part of "all".
    Alarms(alarms::Arguments),
    /// Workers whose broker goes away and comes back; not part of "all".
    Outage,
    /// A thousand tickers with five ticks a second each by Yahoo's stream; not part of "all".
    Stream(stream::Arguments),
    /// Edits of a StockWatch in a cluster; not part of "all".
    Edits(edits::Arguments),
    /// The operator with a thousand StockWatches, in a cluster and with a broker that it starts; not part of "all".
    Operator(operator::Arguments),
    /// Many StockWatches at work under random edits and faults; not part of "all".
    Soak(soak::Arguments),
    /// The floor itself, until it is killed.
    #[command(hide = true)]
    Bare(bare::Arguments),
}

impl Measurement {
    /// Whether Kafka Streams is measured as well.
    fn has_peer(&self) -> bool {
        matches!(self, Self::All | Self::CatchUp | Self::Latency | Self::Start | Self::Restore)
    }
}

fn main() -> ExitCode {
    let CommandLine { measurement, place } = CommandLine::parse();
    let result = match measurement.unwrap_or(Measurement::All) {
        Measurement::Bare(arguments) => bare::run(&arguments).map(|()| true),
        Measurement::Instructions(arguments) => alarms::instructions(&arguments),
        Measurement::Outage => place.worker().and_then(outage::run),
        Measurement::Stream(arguments) => place.worker().and_then(|worker| stream::run(worker, &arguments)),
        Measurement::Edits(arguments) => edits::run(&arguments),
        Measurement::Operator(arguments) => operator::run(&arguments),
        Measurement::Soak(arguments) => soak::run(&arguments),
        measurement => measure(&measurement, &place),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every bar that was measured holds.
fn measure(measurement: &Measurement, place: &Place) -> Result<bool> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let worker = if place.without_worker { PathBuf::new() } else { place.worker()? };
    let classes =
        if measurement.has_peer() { build_peer(&project.join("kafka-streams"))? } else { String::new() };
    let script = place.kafka.clone().unwrap_or_else(|| project.join("../tests/kafka/kafka.sh"));
    let dir = tempfile::Builder::new().prefix("stockwatch-bench-").tempdir()?;
    let broker = Broker::start(&script, &dir.path().join("kafka"), place.port)?;
    let cluster = Cluster::at(&broker.bootstrap);
    let kept = place.keep.clone().unwrap_or_else(|| dir.path().to_owned());
    std::fs::create_dir_all(&kept)?;
    let bench = Bench { cluster, dir: kept, worker, classes };
    let mut report = Report::begin()?;
    let result = chosen(measurement, &bench, &mut report, !place.without_worker);
    let held = report.print();
    result.map(|()| held)
}

fn chosen(measurement: &Measurement, bench: &Bench, report: &mut Report, worker: bool) -> Result<()> {
    match measurement {
        Measurement::All => {
            // Before catching up, whose writes keep the disk busy for minutes.
            latency::run(bench, report, worker)?;
            catch_up::run(bench, report, worker)?;
            start::run(bench, report, worker)?;
            restore::run(bench, report, worker)?;
            if worker {
                idle::run(bench, report)?;
                windows::run(bench, report)?;
                failover::run(bench, report)?;
                tolerance::run(bench, report)?;
                restore_large::run(bench, report)?;
                lengthen::run(bench, report)?;
                one_partition::run(bench, report)?;
                slow_feed::run(bench, report)?;
                quota::run(bench, report)?;
                whatif::run(bench, report)?;
            }
            Ok(())
        }
        Measurement::CatchUp => catch_up::run(bench, report, worker),
        Measurement::Latency => latency::run(bench, report, worker),
        Measurement::Start => start::run(bench, report, worker),
        Measurement::Restore => restore::run(bench, report, worker),
        Measurement::Idle => idle::run(bench, report),
        Measurement::Windows => windows::run(bench, report),
        Measurement::Failover => failover::run(bench, report),
        Measurement::Tolerance => tolerance::run(bench, report),
        Measurement::Largest => largest::run(bench, report),
        Measurement::RestoreLarge => restore_large::run(bench, report),
        Measurement::Lengthen => lengthen::run(bench, report),
        Measurement::OnePartition => one_partition::run(bench, report),
        Measurement::SlowFeed => slow_feed::run(bench, report),
        Measurement::Quota => quota::run(bench, report),
        Measurement::Whatif => whatif::run(bench, report),
        Measurement::Alarms(arguments) => alarms::run(bench, report, arguments),
        Measurement::Outage
        | Measurement::Instructions(_)
        | Measurement::Stream(_)
        | Measurement::Edits(_)
        | Measurement::Operator(_)
        | Measurement::Soak(_)
        | Measurement::Bare(_) => Err("this measurement does not use the benchmark's broker".into()),
    }
}
