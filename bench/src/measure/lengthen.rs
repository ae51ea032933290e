//! A window is lengthened to a day over a day of quotes while alarms of other tickers are awaited: their latency before,
//! and until the longer window is filled everywhere. A fill takes some seconds, in which anything else on the machine counts:
//! the medians of several are compared.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use rdkafka::message::Message;
use stockwatch_core::wire::AverageRecord;

use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::meter::Meter;
use crate::quotes::{Bulk, now};
use crate::reader::Reader;
use crate::report::{Report, median, percentile};
use crate::systems::{Bench, TOLERANCE};

/// Tickers with a quote a minute. The first of them has had none for a month.
const TICKERS: u64 = 1000;
const DAY: u32 = 24 * 60;
const DAY_SECONDS: u64 = DAY as u64 * 60;
const RATE: u64 = 1000;
/// Odd, so that one of them is the median.
const FILLS: usize = 5;
/// Measured before each fill.
const BEFORE: Duration = Duration::from_secs(10);
/// How much longer alarms may take while the window is filled, in milliseconds.
const ALLOWANCE: f64 = 50.0;
const LIMIT: Duration = Duration::from_secs(300);
const HTTP: u16 = 29_621;

/// Measures the worker.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let cluster = &bench.cluster;
    let raw = "lengthen.raw";
    cluster.create_with(&[raw], &[("retention.ms", "-1")])?;
    let job = Job::new(cluster, "lengthen", raw)?;
    let day = now() - DAY_SECONDS;
    let quotes = |tickers, steps, since| Bulk { tickers, steps, since: Some(since), ..Bulk::default() };
    quotes(0..1, 0..15, day - 30 * DAY_SECONDS).write(cluster, raw)?;
    quotes(1..TICKERS, 0..DAY.into(), day).write(cluster, raw)?;
    bench.write_windows(&job, &[5, 15], TOLERANCE)?;
    let mut program = bench.start_worker(&job, "a", HTTP)?;
    cluster.catch_up(&mut program, &job.name, raw, LIMIT)?;
    http::ready(&mut program, HTTP, LIMIT)?;

    let meter = Meter::start(cluster, &job, RATE)?;
    std::thread::sleep(BEFORE);
    let mut fills = vec![fill(bench, &job)?];
    while fills.len() < FILLS {
        apply(bench, &job, 15)?;
        fills.push(fill(bench, &job)?);
    }
    let latencies = meter.stop()?;
    let averages = Reader::from_now(cluster, &[&job.averages()])?;
    quotes(1..TICKERS, DAY.into()..u64::from(DAY) + 1, day).write(cluster, raw)?;
    let short = short(&averages)?;
    program.check()?;

    let p99 = |from, to| percentile(&mut latencies.between(from, to), 99);
    let mut before: Vec<f64> = fills.iter().map(|fill| p99(fill.start - BEFORE, fill.start)).collect();
    let mut meanwhile: Vec<f64> = fills.iter().map(|fill| p99(fill.start, fill.end)).collect();
    let took: Vec<f64> = fills.iter().map(|fill| (fill.end - fill.start).as_secs_f64()).collect();
    report.note(format!(
        "lengthened window: filled after {took:.1?} s; p99 of alarms {before:.1?} ms before, {meanwhile:.1?} ms until then"
    ));
    report.at_most(
        "alarm latency while a window is filled, p99 ms",
        median(&mut meanwhile),
        median(&mut before) + ALLOWANCE,
    );
    report.at_most("tickers whose longer window is not full", short, 0.0);
    Ok(())
}

/// From the edit to the first average of the longer window in every partition.
struct Fill {
    start: Instant,
    end: Instant,
}

/// Has the window lengthened, after some time by the shorter one.
fn fill(bench: &Bench, job: &Job) -> Result<Fill> {
    std::thread::sleep(BEFORE);
    apply(bench, job, DAY)
}

/// Edits the second window, and awaits an average of it in every partition.
fn apply(bench: &Bench, job: &Job, minutes: u32) -> Result<Fill> {
    let averages = Reader::from_now(&bench.cluster, &[&job.averages()])?;
    let start = Instant::now();
    bench.write_windows(job, &[5, minutes], TOLERANCE)?;
    let mut seen = BTreeSet::new();
    averages.find("average of the edited window in every partition", LIMIT, |record| {
        let average = AverageRecord::parse(record.payload()?).ok()?;
        (average.minutes == minutes).then(|| seen.insert(record.partition()));
        (seen.len() == bench.cluster.partitions as usize).then(|| Fill { start, end: Instant::now() })
    })
}

/// How many of the day's tickers do not have a whole day of quotes in their next average.
fn short(averages: &Reader) -> Result<f64> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let all = usize::try_from(TICKERS - 1)?;
    averages.find("an average of a day for each ticker", LIMIT, |record| {
        let average = AverageRecord::parse(record.payload()?).ok()?;
        if average.minutes == DAY && average.entity.starts_with('T') {
            counts.insert(average.entity, average.count);
        }
        (counts.len() == all).then_some(())
    })?;
    Ok(counts.values().filter(|count| **count != u64::from(DAY)).count() as f64)
}
