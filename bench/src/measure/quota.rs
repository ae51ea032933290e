//! A backlog whose output brokers take slowly: they hold the worker's answers back, and its transactions must fit.

use std::thread::sleep;
use std::time::{Duration, Instant};

use stockwatch_tests::Broker;

use crate::cluster::Cluster;
use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::quotes::Bulk;
use crate::report::Report;
use crate::systems::{Bench, TOLERANCE};

/// Bytes a second that the broker takes from a worker.
const QUOTA: u32 = 500_000;
const TICKERS: u64 = 1000;
const STEPS: u64 = 50;
const WINDOWS: [u32; 10] = [5, 10, 15, 20, 25, 30, 35, 40, 45, 50];
/// How long the worker may take to find out what fits.
const LEARNING: Duration = Duration::from_secs(60);
/// Three times what the quota alone makes of it.
const LIMIT: Duration = Duration::from_secs(400);
const STEP: Duration = Duration::from_secs(1);
const HTTP: u16 = 29_623;

/// Measures the worker, with a broker that it starts.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let broker = Broker::start();
    let bench = Bench { cluster: Cluster::at(broker.bootstrap()), ..bench.clone() };
    let job = Job::with_raw(&bench.cluster, "quota")?;
    Bulk { tickers: 0..TICKERS, steps: 0..STEPS, ..Bulk::default() }.write(&bench.cluster, &job.raw)?;
    broker.set_quota(Some(QUOTA));
    bench.write_windows(&job, &WINDOWS, TOLERANCE)?;
    let mut program = bench.start_worker(&job, "a", HTTP)?;
    let progress = bench.cluster.progress(&job.name, &job.raw)?;
    let begun = Instant::now();
    let (mut done, mut early, mut aborted) = (0, 0.0, 0.0);
    while done < progress.total && begun.elapsed() < LIMIT {
        sleep(STEP);
        program.check()?;
        done = progress.committed();
        aborted = http::metric(HTTP, "stockwatch_transactions_aborted_total").unwrap_or(aborted);
        if begun.elapsed() < LEARNING {
            early = aborted;
        }
    }
    report.note(format!(
        "quota of {QUOTA} bytes/s: {done} of {} quotes after {:.0} s, {aborted} transactions aborted, {early} of them \
         within the first minute",
        progress.total,
        begun.elapsed().as_secs_f64()
    ));
    report.at_least("quota: committed of the backlog", done as f64 / progress.total as f64, 1.0);
    report.at_most("quota: transactions aborted after the first minute", aborted - early, 0.0);
    Ok(())
}
