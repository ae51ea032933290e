//! Whether programs grow: their memory and open files, looked at in two calms with everything that happens in between.

use std::collections::HashMap;

use stockwatch_tests::outage;

use crate::error::Result;
use crate::process::Process;
use crate::report::median;

/// So long after the last event connections that it cost are closed, and those that restored partitions.
const SETTLED: u64 = 40;
/// A calm is looked at so often,
const LOOKS: usize = 10;
/// with so much between, in seconds: allocators breathe.
const BETWEEN: u64 = 3;

/// Every process of the programs in one calm: the median of some looks.
#[derive(Debug)]
pub(super) struct Calm(HashMap<Process, Size>);

/// How large a process is.
#[derive(Debug, Clone, Copy)]
struct Size {
    program: &'static str,
    megabytes: f64,
    files: f64,
}

/// One process that was there in both calms.
#[derive(Debug)]
pub(super) struct Grown {
    /// Its memory in the end, in megabytes.
    pub(super) megabytes: f64,
    /// Memory in the end against the beginning.
    pub(super) memory: f64,
    /// Open files in the end, less those of the beginning.
    pub(super) files: f64,
}

impl Calm {
    /// Waits until what happened before is over, then looks. Nothing is to happen meanwhile.
    pub(super) fn look() -> Result<Self> {
        outage(SETTLED);
        let mut lives: HashMap<Process, (&'static str, Vec<f64>, Vec<f64>)> = HashMap::new();
        for _ in 0..LOOKS {
            outage(BETWEEN);
            for program in ["stockwatch-operator", "stockwatch-worker"] {
                for process in Process::all(program)? {
                    // One that has just ended is not among those that live on.
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

    /// The processes of a program that were there before as well.
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
