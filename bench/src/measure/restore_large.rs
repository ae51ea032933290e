//! A restart with the state of two full partitions, in the memory limit that a pod has by default.

use std::time::Duration;

use crate::error::Result;
use crate::http;
use crate::job::Job;
use crate::limit::MemoryLimit;
use crate::quotes::Bulk;
use crate::report::Report;
use crate::systems::{Bench, TOLERANCE};

const PARTITIONS: i32 = 2;
/// As many in each partition as a wildcard allows.
const ENTITIES: u64 = 200_000;
const STEPS: u64 = 15;
const MEMORY: u64 = 512 << 20;
/// The most that may be resident, in megabytes.
const PEAK: f64 = 400.0;
const LIMIT: Duration = Duration::from_secs(300);
const HTTP: u16 = 29_620;

/// Measures the worker.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let bench = &bench.with_partitions(PARTITIONS);
    let job = Job::with_raw(&bench.cluster, "restore-large")?;
    Bulk { tickers: 0..ENTITIES, steps: 0..STEPS, ..Bulk::default() }.write(&bench.cluster, &job.raw)?;
    bench.write_spec(&job, TOLERANCE)?;
    let mut program = bench.start_worker(&job, "a", HTTP)?;
    bench.cluster.catch_up(&mut program, &job.name, &job.raw, LIMIT)?;
    let catching_up = program.process().peak_memory()?;
    program.kill()?;

    let limit = MemoryLimit::of(MEMORY);
    if limit.is_none() {
        report.note("large restore: no control group can be made here: nothing limits it".into());
    }
    let mut program = bench.start_worker(&job, "a", HTTP)?;
    if let Some(limit) = &limit {
        limit.hold(program.process())?;
    }
    let peak = match http::ready(&mut program, HTTP, LIMIT) {
        Ok(at) => {
            let peak = program.process().peak_memory()?;
            report.note(format!(
                "large restore: {:.1} s, {ENTITIES} entities of {STEPS} quotes, peak {peak:.0} MB; {catching_up:.0} MB \
                 while they were computed",
                (at - program.started()).as_secs_f64()
            ));
            peak
        }
        Err(error) => {
            report.note(format!("large restore: it does not start: {error}"));
            f64::NAN
        }
    };
    report.at_most("peak MB of a restart with 2 × 100,000 entities in 512 MiB", peak, PEAK);
    Ok(())
}
