//! What verdicts, episodes and accounts cost: instructions of the core, counted by callgrind, and the worker's CPU while it
//! catches up, each against the release before them, with few alarms and with as many as there can be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;

use crate::error::Result;
use crate::job::Job;
use crate::quotes::Bulk;
use crate::report::{Report, median};
use crate::systems::Bench;

/// Fewer than one quote in a hundred raises an alarm.
const FEW: &str = "0.35%";
/// Nearly every quote raises one in each window.
const STORM: &str = "0";
/// Pairs of runs, the older program first in every other one; the median of their ratios counts.
const PAIRS: usize = 9;
/// A fresh broker answers fetches in small pieces.
const WARMING: usize = 2;
const LIMIT: Duration = Duration::from_secs(180);
const HTTP: u16 = 29_625;
const RAW: &str = "alarms.raw";

/// The release to compare with.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The directory that bench/before.sh prints.
    #[arg(long)]
    before: PathBuf,
}

/// Counts instructions; needs no broker. True if every bar holds.
pub(crate) fn instructions(arguments: &Arguments) -> Result<bool> {
    let now = std::env::current_exe()?.with_file_name("examples").join("instructions");
    let before = arguments.before.join("instructions");
    let mut report = Report::begin()?;
    for (name, tolerance) in [("few alarms", FEW), ("a storm", STORM)] {
        let ((said, now), (_, before)) = (counted(&now, tolerance)?, counted(&before, tolerance)?);
        report.note(format!("{name}: {said}; {now:.0} instructions, {before:.0} before"));
        let bar = format!("instructions of the core, {name}, against before");
        if tolerance == FEW {
            report.at_most(&bar, now / before, 1.05);
        } else {
            report.plain(&bar, now / before);
        }
    }
    Ok(report.print())
}

/// What the program says of its quotes, and the instructions that it spends on them.
fn counted(program: &Path, tolerance: &str) -> Result<(String, f64)> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*compute*"])
        .arg(program)
        .arg(tolerance)
        .output()
        .map_err(|e| format!("valgrind: {e}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    let count = log.lines().find_map(|line| line.split_once("Collected : ")?.1.parse().ok());
    match count {
        Some(count) if output.status.success() && count > 0.0 => {
            Ok((String::from_utf8_lossy(&output.stdout).trim().to_owned(), count))
        }
        _ => Err(format!("{} under callgrind: {}\n{log}", program.display(), output.status).into()),
    }
}

/// Measures the worker's CPU, and that of the worker before.
pub(crate) fn run(bench: &Bench, report: &mut Report, arguments: &Arguments) -> Result<()> {
    let before = Bench { worker: arguments.before.join("stockwatch-worker"), ..bench.clone() };
    bench.cluster.create(&[RAW])?;
    Bulk { tickers: 0..1000, steps: 0..500, ..Bulk::default() }.write(&bench.cluster, RAW)?;
    for (name, tolerance, limit) in [("few alarms", FEW, 1.08), ("a storm", STORM, 1.35)] {
        let mut ratios = Vec::new();
        for pair in 0..WARMING + PAIRS {
            let run = |bench: &Bench, which: &str| {
                cpu(bench, tolerance, &format!("alarms.{which}-{tolerance}-{pair}"))
            };
            let (now, then) = if pair % 2 == 0 {
                let then = run(&before, "before")?;
                (run(bench, "now")?, then)
            } else {
                (run(bench, "now")?, run(&before, "before")?)
            };
            eprintln!("{name}: {now:.2} CPU s/M quotes, {then:.2} before");
            if pair >= WARMING {
                ratios.push(now / then);
            }
        }
        report.at_most(
            &format!("CPU with {name} against before, median of {PAIRS} pairs"),
            median(&mut ratios),
            limit,
        );
    }
    Ok(())
}

/// CPU seconds for each million of quotes that a worker catches up with.
fn cpu(bench: &Bench, tolerance: &str, name: &str) -> Result<f64> {
    let job = Job::new(&bench.cluster, &name.replace('%', ""), RAW)?;
    bench.write_spec(&job, tolerance)?;
    let mut program = bench.start_worker(&job, "a", HTTP)?;
    let done = bench.cluster.catch_up(&mut program, &job.name, RAW, LIMIT)?;
    let cpu = program.process().cpu_seconds()? / done.records * 1e6;
    program.kill()?;
    Ok(cpu)
}
