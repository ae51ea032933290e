//! The worker's memory with six tickers and nothing else to do.

use std::time::Duration;

use crate::error::Result;
use crate::http;
use crate::report::Report;
use crate::systems::Bench;

const HTTP: u16 = 29_605;
const SETTLED: Duration = Duration::from_secs(30);

/// Measures the worker.
pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let spec = bench.write_simulated("idle")?;
    let mut program = bench.run_worker(&spec, "idle", HTTP)?;
    http::ready(&mut program, HTTP, SETTLED)?;
    std::thread::sleep(SETTLED);
    program.check()?;
    let (memory, peak) = (program.process().resident_memory()?, program.process().peak_memory()?);
    report.note(format!("idle: {memory:.1} MB resident with six tickers, {peak:.1} MB at most"));
    report.at_most("idle memory, MB", memory, 20.0);
    Ok(())
}
