//! The cost of a quote as windows grow: the same number of quotes, ever closer in event time.

use std::time::Duration;

use crate::error::Result;
use crate::job::Job;
use crate::quotes::Bulk;
use crate::report::{Report, median};
use crate::systems::{Bench, TOLERANCE};

/// Quotes in the longest window (15 minutes), and the milliseconds between two quotes that make it so.
const STEPS: [(u32, u64); 4] = [(15, 60_000), (150, 6_000), (1_500, 600), (10_000, 90)];
const TICKERS: u64 = 10;
const QUOTES: u64 = 600_000;
const LIMIT: Duration = Duration::from_secs(120);
const HTTP: u16 = 29_606;

/// The windows take turns this often, and the medians count.
const ROUNDS: usize = 3;

/// Measures the worker.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let raw = |held: u32| format!("windows-{held}.raw");
    for (held, step_millis) in STEPS {
        bench.cluster.create(&[&raw(held)])?;
        Bulk { tickers: 0..TICKERS, steps: 0..QUOTES / TICKERS, step_millis, ..Bulk::default() }
            .write(&bench.cluster, &raw(held))?;
    }
    let mut costs = STEPS.map(|_| Vec::new());
    for round in 0..ROUNDS {
        for ((held, _), costs) in STEPS.into_iter().zip(&mut costs) {
            let job = Job::new(&bench.cluster, &format!("windows-{held}-{round}"), &raw(held))?;
            bench.write_spec(&job, TOLERANCE)?;
            let mut program = bench.start_worker(&job, "a", HTTP)?;
            let done = bench.cluster.catch_up(&mut program, &job.name, &job.raw, LIMIT)?;
            let cost = program.process().cpu_seconds()? / done.records * 1e6;
            let peak = program.process().peak_memory()?;
            report.note(format!("windows of {held} quotes: {cost:.2} CPU s/M quotes, peak {peak:.0} MB"));
            costs.push(cost);
        }
    }
    let [small, larger @ ..] = costs.each_mut().map(|costs| median(costs));
    let worst = larger.into_iter().fold(0.0, f64::max);
    report.at_most("CPU for each quote, the worst against windows of 15", worst / small, 1.25);
    Ok(())
}
