//! From a quote's send to its committed alarm being read, at 1,000 quotes a second.

use crate::error::Result;
use crate::job::Job;
use crate::program::Program;
use crate::report::{BARE, Column, PLAIN, Report, STREAMS, WORKER};
use crate::shape;
use crate::systems::{Bench, TOLERANCE};

/// Quotes a second.
const RATE: u64 = 1000;
/// Measured seconds.
const SECONDS: u64 = 30;
/// Seconds before them: a JVM (the meter's, too) and a cold broker need them.
const WARM_UP: u64 = 40;
const HTTP: u16 = 29_602;

/// Partitions of each topic: Kafka's default. librdkafka sends one request for each partition that a transaction
/// touches, so the worker's latency and the floor's grow with them; Kafka Streams waits for its commit interval.
const PARTITIONS: i32 = 1;

/// Measures the worker (if `worker`), Kafka Streams and the floor with and without transactions.
pub(crate) fn run(bench: &Bench, report: &mut Report, worker: bool) -> Result<()> {
    let bench = &bench.with_partitions(PARTITIONS);
    if worker {
        measure(bench, report, WORKER, |job| {
            bench.write_spec(job, TOLERANCE)?;
            bench.start_worker(job, "a", HTTP)
        })?;
    }
    measure(bench, report, STREAMS, |job| bench.start_streams(job, &["-Xmx1g"]))?;
    for (row, plain) in [(BARE, false), (PLAIN, true)] {
        // Prices alternate: each quote raises an alarm of each window; the meter looks at the shortest.
        let outputs = shape::usual(1.0, 3.0);
        measure(bench, report, row, |job| bench.start_bare(job, &shape::rename(&outputs, job), plain))?;
    }
    report.ratio_at_most(Column::Median, STREAMS, 0.2);
    report.ratio_at_most(Column::Tail, STREAMS, 0.2);
    Ok(())
}

fn measure(
    bench: &Bench,
    report: &mut Report,
    row: &'static str,
    start: impl Fn(&Job) -> Result<Program>,
) -> Result<()> {
    let job = Job::with_raw(&bench.cluster, &format!("latency.{}", row.replace([' ', ','], "-")))?;
    let mut program = start(&job)?;
    let line = bench.latency_meter(&job, RATE, SECONDS, WARM_UP)?;
    program.check()?;
    report.note(format!("latency, {row}: {}", line.trim()));
    let after = |name: &str| -> Result<f64> {
        let (_, rest) =
            line.split_once(&format!(" {name} ")).ok_or_else(|| format!("the meter says {line:?}"))?;
        Ok(rest.split(' ').next().unwrap_or_default().parse()?)
    };
    report.figure(row, Column::Median, after("p50")?);
    report.figure(row, Column::Tail, after("p99")?);
    Ok(())
}
