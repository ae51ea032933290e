//! A window is lengthened to a day over a day of quotes while alarms of other tickers are awaited: their latency before,
//! and until the longer window is filled everywhere.

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
use crate::report::{Report, percentile};
use crate::systems::{Bench, TOLERANCE};

/// Tickers with a quote a minute. The first of them has had none for a month.
const TICKERS: u64 = 1000;
const DAY: u32 = 24 * 60;
const DAY_SECONDS: u64 = DAY as u64 * 60;
const RATE: u64 = 1000;
/// Measured before the edit, after as much that is not.
const BEFORE: Duration = Duration::from_secs(20);
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
    std::thread::sleep(2 * BEFORE);
    let averages = Reader::from_now(cluster, &[&job.averages()])?;
    let edited = Instant::now();
    bench.write_windows(&job, &[5, DAY], TOLERANCE)?;
    let mut filled = BTreeSet::new();
    let filled = averages.find("average of the longer window in every partition", LIMIT, |record| {
        let average = AverageRecord::parse(record.payload()?).ok()?;
        (average.minutes == DAY).then(|| filled.insert(record.partition()));
        (filled.len() == cluster.partitions as usize).then(Instant::now)
    })?;
    let latencies = meter.stop()?;
    quotes(1..TICKERS, DAY.into()..u64::from(DAY) + 1, day).write(cluster, raw)?;
    let short = short(&averages)?;
    program.check()?;

    let before = percentile(&mut latencies.between(edited - BEFORE, edited), 99);
    let meanwhile = percentile(&mut latencies.between(edited, filled), 99);
    report.note(format!(
        "lengthened window: filled after {:.1} s; p99 of alarms {before:.1} ms before, {meanwhile:.1} ms until then",
        (filled - edited).as_secs_f64()
    ));
    report.at_most("alarm latency while a window is filled, p99 ms", meanwhile, before + ALLOWANCE);
    report.at_most("tickers whose longer window is not full", short, 0.0);
    Ok(())
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
