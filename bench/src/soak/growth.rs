//! Whether programs leak: their memory and open files in two quiet phases, with random events in between.

use std::collections::HashMap;

use stockwatch_tests::outage;

use crate::error::Result;
use crate::process::Process;
use crate::report::median;

/// After an event: connections that it broke, and those that restored partitions, are closed by then. In seconds.
const SETTLED: u64 = 40;
/// Samples of a quiet phase.
const LOOKS: usize = 10;
/// Seconds between two samples: allocators return memory with delay.
const BETWEEN: u64 = 3;

/// Every process of the programs in a quiet phase: medians of its samples.
#[derive(Debug)]
pub(super) struct QuietPhase(HashMap<Process, Size>);

/// How large a process is.
#[derive(Debug, Clone, Copy)]
struct Size {
    program: &'static str,
    megabytes: f64,
    files: f64,
}

/// One process that lived through both quiet phases.
#[derive(Debug)]
pub(super) struct Grown {
    /// Its memory in the end, in megabytes.
    pub(super) megabytes: f64,
    /// Memory in the end against the beginning.
    pub(super) memory: f64,
    /// Open files in the end, less those of the beginning.
    pub(super) files: f64,
}

impl QuietPhase {
    /// Waits until earlier events have no effect any more, then samples. No event may happen meanwhile.
    pub(super) fn sample() -> Result<Self> {
        outage(SETTLED);
        let mut lives: HashMap<Process, (&'static str, Vec<f64>, Vec<f64>)> = HashMap::new();
        for _ in 0..LOOKS {
            outage(BETWEEN);
            for program in ["stockwatch-operator", "stockwatch-worker"] {
                for process in Process::all(program)? {
                    // A process that has just ended does not count.
                    let (Ok(memory), Ok(open)) = (process.own_memory(), process.open_files()) else {
                        continue;
                    };
                    let (_, megabytes, files) = lives.entry(process).or_insert((program, vec![], vec![]));
                    megabytes.push(memory);
                    files.push(open);
                }
            }
        }
        let size = |(program, mut megabytes, mut files): (_, Vec<f64>, Vec<f64>)| Size {
            program,
            megabytes: median(&mut megabytes),
            files: median(&mut files),
        };
        Ok(Self(lives.into_iter().map(|(process, looks)| (process, size(looks))).collect()))
    }

    /// Returns the processes of a program that were there before as well.
    pub(super) fn since(&self, before: &Self, program: &str) -> Vec<Grown> {
        let grown = |(process, now): (&Process, &Size)| {
            let then = before.0.get(process).filter(|_| now.program == program)?;
            Some(Grown {
                megabytes: now.megabytes,
                memory: now.megabytes / then.megabytes,
                files: now.files - then.files,
            })
        };
        self.0.iter().filter_map(grown).collect()
    }
}
