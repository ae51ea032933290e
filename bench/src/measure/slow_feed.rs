//! Tickers with a quote a minute: what is written to the storage table beside what comes, and what a restart replays.

use std::time::Duration;

use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::quotes::Bulk;
use crate::reader::Reader;
use crate::report::Report;
use crate::systems::{Bench, TOLERANCE};

const TICKERS: u64 = 1000;
/// Quotes in the longest window.
const HELD: u64 = 15;
/// How long a minute of the feed takes. What a worker does after some seconds it does in each, as in a whole one.
const MINUTE: Duration = Duration::from_secs(6);
/// Minutes that are not measured: the windows are full by then, but the feed is not at its pace.
const LEAD: u64 = 2;
const MINUTES: u64 = 30;
/// Bytes of checkpoints for each byte of the raw topic, at most.
const TIMES_RAW: f64 = 3.0;
const LIMIT: Duration = Duration::from_secs(120);
const HTTP: u16 = 29_622;

/// Measures the worker.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let cluster = &bench.cluster;
    let job = Job::with_raw(cluster, "slow-feed")?;
    let quotes = |steps, pace| Bulk { tickers: 0..TICKERS, steps, pace, ..Bulk::default() };
    quotes(0..HELD, Duration::ZERO).write(cluster, &job.raw)?;
    bench.write_spec(&job, TOLERANCE)?;
    let mut program = bench.start_worker(&job, "a", HTTP)?;
    cluster.catch_up(&mut program, &job.name, &job.raw, LIMIT)?;
    let begin = HELD + LEAD;
    quotes(HELD..begin, MINUTE).write(cluster, &job.raw)?;
    let [raw, table] = [job.raw.clone(), job.table()].map(|topic| Reader::from_now(cluster, &[&topic]));
    let (raw, table) = (raw?, table?);
    quotes(begin..begin + MINUTES, MINUTE).write(cluster, &job.raw)?;
    program.kill()?;
    let bytes = |reader: Reader| -> Result<f64> { Ok(reader.sizes()?.iter().sum::<usize>() as f64) };
    let (raw, table) = (bytes(raw)?, bytes(table)?);

    let mut program = bench.start_worker(&job, "a", HTTP)?;
    let ready = http::ready(&mut program, HTTP, LIMIT)? - program.started();
    let replayed = http::metric(HTTP, "stockwatch_replayed_records_total").ok_or("no metrics")?;
    let each = |bytes: f64| bytes / (MINUTES * TICKERS) as f64;
    report.note(format!(
        "slow feed: {:.0} bytes of a quote, {:.0} bytes of checkpoints for it; ready {:.2} s after a SIGKILL, \
         {replayed} quotes replayed",
        each(raw),
        each(table),
        ready.as_secs_f64()
    ));
    report.at_most("slow feed: bytes of checkpoints against those of quotes", table / raw, TIMES_RAW);
    let held = (HELD * TICKERS) as f64;
    report.at_most("slow feed: quotes that a restart replays against those held", replayed / held, 1.0);
    Ok(())
}
