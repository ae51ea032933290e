//! From a quote's send to its committed alarm being read, at 1,000 quotes a second: the worker and the floor in turn,
//! then Kafka Streams, of which nothing is claimed.

use std::time::{Duration, Instant};

use crate::bare::{Mode, Output};
use crate::error::Result;
use crate::job::Job;
use crate::meter::Meter;
use crate::program::Program;
use crate::report::{Column, FAST, PLAIN, Report, STREAMS, WORKER, median, percentile};
use crate::shape;
use crate::systems::{Bench, TOLERANCE};

/// Quotes a second.
const RATE: u64 = 1000;
/// Pairs of runs of the worker and of the floor; the medians count. One more before them warms the broker.
const PAIRS: usize = 5;
const SPAN: Duration = Duration::from_secs(20);
/// Before it, for what is started.
const WARM_UP: Duration = Duration::from_secs(10);
/// A JVM needs more.
const STREAMS_WARM_UP: Duration = Duration::from_secs(40);
const HTTP: u16 = 29_602;

/// Partitions of each topic: Kafka's default. librdkafka sends one request for each partition that a transaction
/// touches, so the worker's latency and the floor's grow with them; Kafka Streams waits for its commit interval.
const PARTITIONS: i32 = 1;

/// p50 and p99 in milliseconds.
type Latency = [f64; 2];
/// The worker's, against the floor's, at most.
const BARS: [(&str, f64); 2] = [("p50", 1.25), ("p99", 1.5)];

/// Measures the worker (if `worker`), Kafka Streams and the floor with and without transactions.
pub(crate) fn run(bench: &Bench, report: &mut Report, worker: bool) -> Result<()> {
    let bench = &bench.with_partitions(PARTITIONS);
    let mut outputs: Option<Vec<Output>> = None;
    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for pair in 0..=PAIRS {
        if worker {
            let job = Job::with_raw(&bench.cluster, &format!("latency.worker-{pair}"))?;
            bench.write_spec(&job, TOLERANCE)?;
            ours.push(measure(bench, report, WORKER, WARM_UP, &job, bench.start_worker(&job, "a", HTTP)?)?);
            if outputs.is_none() {
                let raw: i64 = bench.cluster.ends(&job.raw)?.iter().sum();
                let observed = shape::observe(&bench.cluster, &job, raw.try_into()?)?;
                report.note(format!("its output for each raw record: {}", shape::describe(&observed)));
                outputs = Some(observed);
            }
        }
        floors.push(floor(bench, report, FAST, &format!("latency.bare-{pair}"), outputs.as_deref())?);
    }
    ours.drain(..1.min(ours.len()));
    floors.remove(0);
    for (row, latencies) in [(WORKER, &ours), (FAST, &floors)] {
        table(report, row, latencies);
    }
    let plain = floor(bench, report, PLAIN, "latency.plain", outputs.as_deref())?;
    table(report, PLAIN, &[plain]);
    let job = Job::with_raw(&bench.cluster, "latency.streams")?;
    let program = bench.start_streams(&job, &["-Xmx1g"])?;
    let streams = measure(bench, report, STREAMS, STREAMS_WARM_UP, &job, program)?;
    table(report, STREAMS, &[streams]);
    if worker {
        for (i, (name, limit)) in BARS.into_iter().enumerate() {
            let mut pairs: Vec<f64> =
                ours.iter().zip(&floors).map(|(ours, floor)| ours[i] / floor[i]).collect();
            let bar = format!("{name} against {FAST}, median of {PAIRS} pairs");
            report.at_most(&bar, median(&mut pairs), limit);
            let mut ours: Vec<f64> = ours.iter().map(|ours| ours[i]).collect();
            report.plain(&format!("{name} against {STREAMS}"), median(&mut ours) / streams[i]);
        }
    }
    Ok(())
}

/// The latency of the floor with the worker's records, or as many as it usually writes.
fn floor(
    bench: &Bench,
    report: &mut Report,
    row: &'static str,
    name: &str,
    outputs: Option<&[Output]>,
) -> Result<Latency> {
    let job = Job::with_raw(&bench.cluster, name)?;
    bench.cluster.create(&[&job.table()])?;
    // Prices alternate: the windows with an odd number of quotes alarm, the shortest and the longest.
    let usual = shape::usual(1.0, 2.0);
    let outputs = shape::rename(outputs.unwrap_or(&usual), &job);
    let mode = if row == PLAIN { Mode::Plain } else { Mode::Latency };
    measure(bench, report, row, WARM_UP, &job, bench.start_bare(&job, &outputs, mode)?)
}

fn measure(
    bench: &Bench,
    report: &mut Report,
    row: &str,
    warm_up: Duration,
    job: &Job,
    mut program: Program,
) -> Result<Latency> {
    let meter = Meter::start(&bench.cluster, job, RATE)?;
    std::thread::sleep(warm_up);
    let from = Instant::now();
    std::thread::sleep(SPAN);
    let to = Instant::now();
    let mut millis = meter.stop()?.between(from, to);
    program.check()?;
    let [p50, p99, most] = [50, 99, 100].map(|percent| percentile(&mut millis, percent));
    report.note(format!("latency, {row}: p50 {p50:.1} ms, p99 {p99:.1} ms, at most {most:.1} ms"));
    Ok([p50, p99])
}

/// The medians of some runs.
fn table(report: &mut Report, row: &'static str, latencies: &[Latency]) {
    if !latencies.is_empty() {
        for (i, column) in [Column::Median, Column::Tail].into_iter().enumerate() {
            let mut millis: Vec<f64> = latencies.iter().map(|latency| latency[i]).collect();
            report.figure(row, column, median(&mut millis));
        }
    }
}
